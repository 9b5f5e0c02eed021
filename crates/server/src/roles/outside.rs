//! Sources outside the region, from the configuration to what the roles take.

use super::{plain, services};
use crate::config;
use anyhow::{Context, bail};
use std::time::Duration;
use trust::wish::Closed;

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

/// Citizens' settings, as a sharing service replicates them; `delt check` has refused what cannot be read.
pub fn pvk(source: &config::Pvk) -> anyhow::Result<::sharing::pvk::Pvk> {
    let definition = |one: &config::Definition| {
        let closed = match one.kind {
            config::DefinitionKind::Reservation => Closed::Sharing,
            config::DefinitionKind::AccessLimitation if one.closes.is_empty() => Closed::Everything,
            config::DefinitionKind::AccessLimitation => Closed::Services {
                services: services(&one.closes)?,
            },
            config::DefinitionKind::Consent => bail!("a consent opens nothing here"),
        };
        let id = one.id.parse().context("a definition's id is no GUID")?;
        Ok(::sharing::pvk::Definition { id, closed })
    };
    Ok(::sharing::pvk::Pvk {
        url: plain(&source.url),
        client_file: source.client_file.clone(),
        audience: source.audience.clone(),
        scope: source.scope.clone(),
        part: source.part.clone(),
        every: Duration::from_secs(u64::from(source.every_seconds)),
        max_age_seconds: 60 * i64::from(source.max_age_minutes),
        closes_when_older: source.when_older == config::WhenOlder::Close,
        definitions: source
            .definition
            .iter()
            .map(definition)
            .collect::<anyhow::Result<_>>()?,
    })
}
