//! Sources outside the region that a role asks: the register of health personnel, and Helsenorge's privacy component.

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

/// Personvernkomponenten (PVK), as one service replicates from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pvk {
    /// Its base, in front of `/personvern`.
    pub url: Url,
    /// Private client file (mode 0600) that it is asked as.
    pub client_file: PathBuf,
    /// Audience of that client's tokens.
    pub audience: String,
    /// Their scope.
    pub scope: String,
    /// The organisation's party code there.
    pub part: String,
    /// Between two replications, in seconds.
    #[serde(default = "a_minute")]
    pub every_seconds: u32,
    /// How old the copy may be, in minutes.
    #[serde(default = "an_hour")]
    pub max_age_minutes: u32,
    /// What happens when it is older.
    #[serde(default)]
    pub when_older: WhenOlder,
    /// The settings that are replicated.
    pub definition: Vec<Definition>,
}

/// What happens when the copy of the settings is too old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenOlder {
    /// Nothing is opened that a setting could close.
    #[default]
    Close,
    /// The copy counts as it is, and the alarm is raised.
    Tell,
}

/// One setting (personverninnstilling) that citizens can make there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its GUID.
    pub id: String,
    /// What kind it is.
    pub kind: DefinitionKind,
    /// Information services that an access limitation closes (`IT17`); none: everything.
    #[serde(default)]
    pub closes: Vec<String>,
}

/// Kinds of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefinitionKind {
    /// Reservasjon: against sharing with other organisations.
    Reservation,
    /// Tilgangsbegrensning: a block.
    AccessLimitation,
    /// Samtykke; known so that it can be refused.
    Consent,
}

fn hpr_scope() -> String {
    wire::contract::hpr::SCOPE.to_owned()
}
fn a_minute() -> u32 {
    60
}
fn an_hour() -> u32 {
    60
}
