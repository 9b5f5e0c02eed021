//! The common services: catalogue and locator.

use super::{Mounted, Setting, held, needed, organisation, organisations, path_of, trail};
use crate::surroundings;
use anyhow::anyhow;
use fhir::ids::ReshId;

/// Opens the API catalogue.
pub async fn catalogue(setting: &Setting<'_>) -> anyhow::Result<Vec<Mounted>> {
    let config = setting.config;
    let part = needed(&config.catalogue, "catalogue")?;
    let listed = config.organisation.iter().map(|o| {
        let units = o.sub_unit.iter().map(|u| {
            Ok(::catalogue::SubUnit {
                orgnr: u.orgnr.as_deref().map(organisation).transpose()?,
                resh: u
                    .resh
                    .as_deref()
                    .map(ReshId::parse)
                    .transpose()
                    .map_err(|e| anyhow!("RESH id: {e}"))?,
                name: u.name.clone(),
            })
        });
        Ok(::catalogue::Organisation {
            orgnr: organisation(&o.orgnr)?,
            name: o.name.clone(),
            kind: o.kind.word().to_owned(),
            sub_units: units.collect::<anyhow::Result<_>>()?,
        })
    });
    let offered = config.service.iter().map(|s| {
        Ok(::catalogue::Service {
            id: s.id.clone(),
            orgnr: organisation(&s.orgnr)?,
            name: s.name.clone(),
            concept: s.concept.lawful().ok_or_else(|| {
                anyhow!(
                    "service `{}`: concept `{}` cannot be run",
                    s.id,
                    s.concept.word()
                )
            })?,
            supplier: s.supplier.as_deref().map(organisation).transpose()?,
            members: organisations(&s.members)?,
            fhir: s.fhir.clone(),
            services: held(),
            telephone: s.telephone.clone(),
        })
    });
    let settings = ::catalogue::Config {
        base: part.base.clone(),
        issuer: setting.issuer(),
        organisations: listed.collect::<anyhow::Result<_>>()?,
        services: offered.collect::<anyhow::Result<_>>()?,
    };
    let state =
        ::catalogue::open(settings, setting.house("catalogue", surroundings::clock())?).await?;
    Ok(vec![Mounted {
        gauged: None,
        trails: trail(state.store()),
        client_file: None,
        path: path_of(&part.base),
        store: Some(state.store().clone()),
        workers: ::catalogue::workers(state.clone()),
        router: ::catalogue::routes(state),
    }])
}

/// Opens the patient information locator.
pub async fn locator(setting: &Setting<'_>) -> anyhow::Result<Vec<Mounted>> {
    let part = needed(&setting.config.locator, "locator")?;
    let collaboration = needed(&part.collaboration, "locator.collaboration")?;
    let holders = setting
        .config
        .service
        .iter()
        .filter(|s| collaboration.members.contains(&s.orgnr));
    let holders = holders.map(|s| {
        Ok(::locator::Holder {
            service: s.id.clone(),
            orgnr: organisation(&s.orgnr)?,
        })
    });
    let settings = ::locator::Config {
        base: part.base.clone(),
        issuer: setting.issuer(),
        agreement: (collaboration.id.clone(), 1),
        members: organisations(&collaboration.members)?,
        holders: holders.collect::<anyhow::Result<_>>()?,
        register: setting.register.clone(),
        budget: ::locator::Budget::default(),
    };
    let state = ::locator::open(settings, setting.house("locator", surroundings::clock())?).await?;
    Ok(vec![Mounted {
        gauged: None,
        trails: trail(state.store()),
        client_file: None,
        path: path_of(&part.base),
        store: Some(state.store().clone()),
        workers: ::locator::workers(state.clone()),
        router: ::locator::routes(state),
    }])
}
