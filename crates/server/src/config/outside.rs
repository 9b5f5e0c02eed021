//! Sources outside the region that a role asks: the register of health personnel.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use url::Url;

/// The register of health personnel (HPR).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hpr {
    /// Its FHIR base.
    pub url: Url,
    /// Private client file (mode 0600) that it is asked as; none: it asks nobody who they are.
    pub client_file: Option<PathBuf>,
    /// Audience of that client's tokens; the base otherwise.
    pub audience: Option<String>,
    /// Their scope.
    #[serde(default = "hpr_scope")]
    pub scope: String,
    /// How long an answer is used, in seconds.
    #[serde(default = "a_minute")]
    pub keep_seconds: u32,
}

fn hpr_scope() -> String {
    wire::contract::hpr::SCOPE.to_owned()
}
fn a_minute() -> u32 {
    60
}
