//! An issuer besides the anchor, `[issuer]`: HelseID, whose tokens the services named there take as they are. Its claim
//! names, audiences and scopes are configuration; agreements stay the region's own.

use super::{organisation, plain, services};
use crate::config::{Agreement, Config, Issuer, IssuerProfile};
use anyhow::{Context, anyhow, ensure};
use fhir::ids::OrganisationNumber;
use fhir::time::{LATEST, Range, Zone, parse_date};
use std::collections::HashMap;
use trust::scope::Scopes;
use trust::token::foreign::{Foreign, Names};
use url::Url;
use wire::protect::OtherIssuer;

/// What the services must know of it; `None` where the configuration names no other issuer.
pub fn of(config: &Config, zone: &Zone) -> anyhow::Result<Option<OtherIssuer>> {
    let Some(issuer) = &config.issuer else {
        return Ok(None);
    };
    let IssuerProfile::Helseid = issuer.profile;
    ensure!(
        plain(&config.anchor.base) != issuer.issuer,
        "issuer.issuer is the anchor itself, whose tokens count anyway"
    );
    let owners: HashMap<String, Option<&str>> = audiences(config).collect();
    let mut found = HashMap::new();
    for (url, theirs) in &issuer.audiences {
        let owner = owners
            .get(url.as_str())
            .ok_or_else(|| anyhow!("issuer.audiences: {url} is no audience of this region"))?;
        found.insert(url.clone(), foreign(config, issuer, theirs, *owner, zone)?);
    }
    Ok(Some(OtherIssuer {
        jwks_url: match &issuer.jwks {
            Some(url) => url.to_string(),
            None => format!("{}/.well-known/openid-configuration/jwks", issuer.issuer),
        },
        services: found,
    }))
}

/// Everything that a token can be for, with the organisation whose patients' data is behind it.
fn audiences(config: &Config) -> impl Iterator<Item = (String, Option<&str>)> {
    let fhir = |base: &Url| (format!("{}/fhir", plain(base)), None);
    let shared = config.hub.as_ref().map(|h| &h.base).into_iter();
    let shared = shared
        .chain(config.gateways())
        .chain(config.catalogue.as_ref().map(|c| &c.base));
    config
        .service
        .iter()
        .map(|s| (plain(&s.fhir), Some(s.orgnr.as_str())))
        .chain(shared.map(fhir))
        .chain(config.locator.as_ref().map(|l| (plain(&l.base), None)))
}

fn foreign(
    config: &Config,
    issuer: &Issuer,
    audience: &str,
    owner: Option<&str>,
    zone: &Zone,
) -> anyhow::Result<Foreign> {
    let scopes = issuer.scopes.iter().map(|(name, meant)| {
        let meant = Scopes::parse(&meant.join(" "));
        Ok((
            name.clone(),
            meant.map_err(|e| anyhow!("issuer.scopes: {name}: {e}"))?,
        ))
    });
    let clients = issuer.clients.iter().map(|(id, use_)| {
        let use_ = serde_json::from_value(use_.clone().into())
            .with_context(|| format!("issuer.clients: {id}: use `{use_}`"))?;
        Ok((id.clone(), use_))
    });
    let agreements = config
        .agreement
        .iter()
        .filter(|one| owner == Some(&one.provider))
        .map(|one| agreement(one, zone));
    let mut names = Names::default();
    for (claim, name) in &issuer.claims {
        let place = match claim.as_str() {
            "pid" => &mut names.pid,
            "pid_pseudonym" => &mut names.pid_pseudonym,
            "security_level" => &mut names.security_level,
            "hpr_number" => &mut names.hpr_number,
            "orgnr_parent" => &mut names.orgnr_parent,
            "attest" => &mut names.attest,
            other => return Err(anyhow!("issuer.claims: {other} is no claim that is read")),
        };
        place.clone_from(name);
    }
    Ok(Foreign {
        issuer: issuer.issuer.clone(),
        audience: audience.to_owned(),
        scopes: scopes.collect::<anyhow::Result<_>>()?,
        clients: clients.collect::<anyhow::Result<_>>()?,
        names,
        agreements: agreements.collect::<anyhow::Result<_>>()?,
        believe_stated_authorisations: issuer.believe_stated_authorisations.unwrap_or(false),
    })
}

fn agreement(
    one: &Agreement,
    zone: &Zone,
) -> anyhow::Result<(OrganisationNumber, Range, trust::Agreement)> {
    let day = |text: &str| {
        parse_date(text, zone).map_err(|e| anyhow!("agreement {}: {text}: {e}", one.id))
    };
    let range = Range {
        lo: day(&one.from)?.lo,
        hi: match &one.to {
            Some(last) => day(last)?.hi,
            None => LATEST,
        },
    };
    let agreement = trust::Agreement {
        id: one.id.clone(),
        version: one.version,
        services: services(&one.services)?,
    };
    Ok((organisation(&one.consumer)?, range, agreement))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that fails is a test that panics"
    )]
    use super::*;

    const HELSEID: &str = r#"
        profile = "helseid"
        issuer = "https://helseid-sts.test.nhn.no"
        clients = { "a-guid" = "record-system" }
        [audiences]
        "https://delt.example/fjellvik/fhir" = "nhn:delt-fjellvik"
        [scopes]
        "nhn:delt-fjellvik/read" = ["user/*.rs"]
    "#;

    fn read(text: &str) -> anyhow::Result<Option<OtherIssuer>> {
        let mut config: Config =
            toml::from_str(include_str!("../../../../config.default.toml")).unwrap();
        config.issuer = Some(toml::from_str(text)?);
        of(&config, &Zone::default())
    }

    #[test]
    fn the_region_says_what_the_other_issuers_words_mean() {
        let other = read(HELSEID).unwrap().unwrap();
        assert_eq!(
            other.jwks_url,
            "https://helseid-sts.test.nhn.no/.well-known/openid-configuration/jwks"
        );
        let fjellvik = &other.services["https://delt.example/fjellvik/fhir"];
        assert_eq!(fjellvik.audience, "nhn:delt-fjellvik");
        assert_eq!(fjellvik.scopes[0].1.to_string(), "user/*.rs");
        assert_eq!(fjellvik.clients[0].1, trust::ClientUse::RecordSystem);
        assert_eq!(fjellvik.names, Names::default());
        assert_eq!(fjellvik.agreements[0].2.id, "AVT-1");
        assert_eq!(other.services.len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (from, to) in [
            ("delt.example/fjellvik/fhir", "delt.example/elsewhere/fhir"),
            ("user/*.rs", "user/*.sr"),
            ("record-system", "superuser"),
            ("profile = \"helseid\"", "profile = \"other\""),
            (
                "https://helseid-sts.test.nhn.no",
                "https://delt.example/anchor",
            ),
            ("[scopes]", "[claims]\nnumber = \"x\"\n[scopes]"),
        ] {
            assert!(read(&HELSEID.replace(from, to)).is_err(), "{to}");
        }
        let renamed = HELSEID.replace("[scopes]", "[claims]\npid = \"pid\"\n[scopes]");
        let other = read(&renamed).unwrap().unwrap();
        assert_eq!(
            other.services["https://delt.example/fjellvik/fhir"]
                .names
                .pid,
            "pid"
        );
    }
}
