//! Sources outside the region, from the configuration to what the roles take.

use super::plain;
use crate::config;

/// The register of health personnel, as the anchor asks it.
pub fn hpr(source: &config::Hpr) -> ::anchor::config::Hpr {
    let url = plain(&source.url);
    ::anchor::config::Hpr {
        audience: source.audience.clone().unwrap_or_else(|| url.clone()),
        url,
        client_file: source.client_file.clone(),
        scope: source.scope.clone(),
        keep_seconds: i64::from(source.keep_seconds),
    }
}
