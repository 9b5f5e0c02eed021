//! The anchor's settings from the region's facts: who takes part, what they agreed, which clients and audiences there are.

use super::{Mounted, Setting, held, organisation, organisations, path_of, plain, services, trail};
use crate::config::{self, Config};
use crate::{check, surroundings};
use anyhow::{Context, anyhow};
use url::Url;

/// The bundle's styles, which the sign-in page shares with the portal.
const STYLESHEET: &str = "portal.css";

/// Opens the trust anchor.
pub async fn open(setting: &Setting<'_>) -> anyhow::Result<Vec<Mounted>> {
    let config = setting.config;
    let house = setting.house("anchor", setting.demo.time.clock())?;
    let state = ::anchor::open(settings(setting)?, house).await?;
    Ok(vec![Mounted {
        gauged: None,
        trails: trail(state.store()),
        client_file: None,
        path: path_of(&config.anchor.base),
        store: Some(state.store().clone()),
        workers: ::anchor::workers(state.clone()),
        router: ::anchor::routes(state),
    }])
}

fn settings(setting: &Setting<'_>) -> anyhow::Result<::anchor::Config> {
    let config = setting.config;
    let participants = config.organisation.iter().map(|o| {
        let units = o.sub_unit.iter().map(|u| {
            Ok(::anchor::config::Unit {
                orgnr: u.orgnr.as_deref().map(organisation).transpose()?,
                resh: u.resh.clone(),
                name: u.name.clone(),
            })
        });
        Ok(::anchor::config::Participant {
            orgnr: organisation(&o.orgnr)?,
            name: o.name.clone(),
            version: 1,
            units: units.collect::<anyhow::Result<_>>()?,
            keys: trust::keys::KeySet::default(),
            contacts: Vec::new(),
        })
    });
    let agreements = config.agreement.iter().map(|a| {
        Ok(::anchor::config::Agreement {
            id: a.id.clone(),
            version: a.version,
            consumer: ::anchor::config::Consumer::Organisation(organisation(&a.consumer)?),
            provider: organisation(&a.provider)?,
            services: services(&a.services)?,
            from: a.from.clone(),
            to: a.to.clone(),
            signed: true,
        })
    });
    let delegations = config.delegation.iter().map(|d| {
        Ok(::anchor::config::Delegation {
            id: d.id.clone(),
            version: d.version,
            from: organisation(&d.from)?,
            to: organisation(&d.to)?,
            from_day: d.from_day.clone(),
            to_day: d.to_day.clone(),
            signed: true,
        })
    });
    let audiences = audiences(config)?;
    let clients = config.client.iter().map(|c| {
        let key: serde_json::Value =
            serde_json::from_str(&c.jwk).with_context(|| format!("client {}: jwk", c.client_id))?;
        let said = wire::contract::register::Client {
            client_id: c.client_id.clone(),
            orgnr: c.orgnr.clone(),
            use_: c.use_.clone(),
            keys: vec![key],
            scopes: c.scopes.clone(),
            audiences: c.audiences.clone(),
            grants: c.grants.clone(),
            redirect_uris: c.redirect_uris.clone(),
            post_logout_redirect_uris: c.post_logout_redirect_uris.clone(),
        };
        let main_unit = setting.register.main_unit(organisation(&c.orgnr)?);
        let own_audience = ::anchor::config::gateway_of(&audiences, main_unit);
        ::anchor::config::Client::read(&said, own_audience)
            .map_err(|e| anyhow!("client {}: {e}", c.client_id))
    });
    Ok(::anchor::Config {
        issuer: setting.issuer(),
        zone: setting.zone.clone(),
        participants: participants.collect::<anyhow::Result<_>>()?,
        agreements: agreements.collect::<anyhow::Result<_>>()?,
        papers: papers(config)?,
        delegations: delegations.collect::<anyhow::Result<_>>()?,
        clients: clients.collect::<anyhow::Result<_>>()?,
        audiences,
        dpop_nonce: config.anchor.dpop_nonce,
        operator: config
            .anchor
            .operator
            .as_deref()
            .map(organisation)
            .transpose()?,
        publish_key_seconds: config.anchor.publish_key_seconds,
        hpr: config.anchor.hpr.as_ref().map(super::outside::hpr),
        identity_providers: super::identity::of(setting)?,
        law: Some(law(config)),
        stylesheet: crate::assets::lookup()(STYLESHEET).map(|asset| asset.bytes),
        demo: setting
            .demo
            .people
            .as_ref()
            .filter(|_| config.anchor.test_tokens)
            .map(|p| p.anchor()),
    })
}

/// What `delt check` asks of a file is asked of what operators register too, by the same rules.
fn law(config: &Config) -> ::anchor::config::Law {
    let config = config.clone();
    ::anchor::config::Law(std::sync::Arc::new(move |registered| {
        check::with_registered(&config, registered, &surroundings::today())
    }))
}

/// The § 9 collaborations and data processing agreements that the anchor publishes.
fn papers(config: &Config) -> anyhow::Result<Vec<::anchor::config::Paper>> {
    use ::anchor::config::{AgreementKind, Paper};
    let collaboration = |c: &config::Collaboration, members: &[String], kind| {
        anyhow::Ok(Paper {
            id: c.id.clone(),
            version: 1,
            kind,
            parties: organisations(members)?,
            processor: None,
            services: held(),
            from: c.date.clone(),
            until: None,
            signed: true,
        })
    };
    let mut found = Vec::new();
    if let Some(c) = config
        .locator
        .as_ref()
        .and_then(|l| l.collaboration.as_ref())
    {
        found.push(collaboration(c, &c.members, AgreementKind::Locator)?);
    }
    for s in &config.service {
        if let Some(c) = &s.collaboration {
            // Who answers for the register is bound like those who share it.
            let mut bound = s.members.clone();
            if !bound.contains(&s.orgnr) {
                bound.push(s.orgnr.clone());
            }
            found.push(collaboration(c, &bound, AgreementKind::SharedRegister)?);
        }
        if let (Some(paper), Some(supplier)) = (&s.processing_agreement, &s.supplier) {
            found.push(Paper {
                id: paper.id.clone(),
                version: 1,
                kind: AgreementKind::DataProcessing,
                parties: vec![organisation(&s.orgnr)?],
                processor: Some(organisation(supplier)?),
                services: held(),
                from: paper.date.clone(),
                until: None,
                signed: true,
            });
        }
    }
    Ok(found)
}

/// Everything that a token can be for.
fn audiences(config: &Config) -> anyhow::Result<Vec<::anchor::config::Audience>> {
    use ::anchor::config::{Audience, AudienceKind};
    let shared = |url: String, kind| Audience {
        url,
        owner: None,
        members: Vec::new(),
        kind,
    };
    let mut found = Vec::new();
    for s in &config.service {
        found.push(Audience {
            url: plain(&s.fhir),
            owner: Some(organisation(&s.orgnr)?),
            members: organisations(&s.members)?,
            kind: AudienceKind::Service,
        });
    }
    for o in &config.organisation {
        if let Some(r) = &o.record_system {
            let url = format!("{}{}", plain(&r.base), wire::contract::record_system::FHIR);
            found.push(Audience {
                url,
                owner: Some(organisation(&o.orgnr)?),
                members: Vec::new(),
                kind: AudienceKind::RecordSystem,
            });
        }
    }
    let fhir = |base: &Url| format!("{}/fhir", plain(base));
    found.extend(
        config
            .hub
            .as_ref()
            .map(|h| shared(fhir(&h.base), AudienceKind::Hub)),
    );
    found.extend(
        config
            .gateway
            .as_ref()
            .map(|g| shared(fhir(&g.base), AudienceKind::Gateway)),
    );
    for other in &config.other_gateway {
        found.push(Audience {
            owner: Some(organisation(&other.orgnr)?),
            ..shared(fhir(&other.base), AudienceKind::Gateway)
        });
    }
    found.extend(
        config
            .catalogue
            .as_ref()
            .map(|c| shared(fhir(&c.base), AudienceKind::Catalogue)),
    );
    found.extend(
        config
            .locator
            .as_ref()
            .map(|l| shared(plain(&l.base), AudienceKind::Locator)),
    );
    Ok(found)
}
