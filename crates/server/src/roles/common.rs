//! The common services: catalogue and locator.

use super::{Figure, Mounted, Setting, held, needed, organisation, organisations, path_of, trail};
use crate::{config, metrics};
use anyhow::anyhow;
use fhir::ids::{HerId, ReshId};
use wire::contract::statement::{Organisation, SubUnit};

/// Opens the API catalogue.
pub async fn catalogue(setting: &Setting<'_>) -> anyhow::Result<Vec<Mounted>> {
    let config = setting.config;
    let part = needed(&config.catalogue, "catalogue")?;
    let listed = config.organisation.iter().map(listed);
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
            terms: s.terms.clone(),
        })
    });
    let settings = ::catalogue::Config {
        base: part.base.clone(),
        issuer: setting.issuer(),
        organisations: listed.collect::<anyhow::Result<_>>()?,
        services: offered.collect::<anyhow::Result<_>>()?,
    };
    let state = ::catalogue::open(
        settings,
        setting.house("catalogue", setting.demo.time.clock())?,
    )
    .await?;
    let told = state.clone();
    Ok(vec![Mounted {
        gauged: Some(std::sync::Arc::new(move || seen(&told))),
        trails: trail(state.store()),
        client_file: None,
        path: path_of(&part.base),
        store: Some(state.store().clone()),
        workers: ::catalogue::workers(state.clone()),
        router: ::catalogue::routes(state),
    }])
}

/// An organisation as it stands in the catalogue.
pub(super) fn listed(o: &config::Organisation) -> anyhow::Result<Organisation> {
    let resh = |resh: &str| ReshId::parse(resh).map_err(|e| anyhow!("RESH id: {e}"));
    let her_id = |her_id: &str| HerId::parse(her_id).map_err(|e| anyhow!("HER id: {e}"));
    let unit = |u: &config::SubUnit| {
        anyhow::Ok(SubUnit {
            orgnr: u.orgnr.as_deref().map(organisation).transpose()?,
            resh: u.resh.as_deref().map(resh).transpose()?,
            name: u.name.clone(),
        })
    };
    Ok(Organisation {
        orgnr: organisation(&o.orgnr)?,
        name: o.name.clone(),
        her_id: o.her_id.as_deref().map(her_id).transpose()?,
        kind: o.kind.word().to_owned(),
        sub_units: o.sub_unit.iter().map(unit).collect::<Result<_, _>>()?,
    })
}

/// What the catalogue saw at the addresses that it lists.
fn seen(state: &::catalogue::State) -> Vec<Figure> {
    let told = |(service, seen): (String, ::catalogue::Seen)| {
        let figure = |name, value| Figure {
            name,
            labels: vec![("service", service.clone())],
            value,
        };
        let one = |is: bool| f64::from(u8::from(is));
        let days = seen.certificate_days;
        let other = seen.owner == ::catalogue::Custodian::Other;
        [
            Some(figure(metrics::LISTED, one(seen.fault.is_none()))),
            Some(figure(metrics::TAKEN_OVER, one(other))),
            Some(figure(metrics::UNCLAIMED, seen.missing as f64)),
            days.map(|days| figure(metrics::CERTIFICATE, days as f64)),
        ]
    };
    let all = state.seen().into_iter();
    all.flat_map(told).flatten().collect()
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
            known_to: s.known_to.as_deref().map(organisations).transpose()?,
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
        key_days: part.key_days,
    };
    let state = ::locator::open(
        settings,
        setting.house("locator", setting.demo.time.clock())?,
    )
    .await?;
    let told = state.clone();
    Ok(vec![Mounted {
        gauged: Some(std::sync::Arc::new(move || {
            vec![Figure {
                name: metrics::BUDGETS,
                labels: Vec::new(),
                value: told.budgets_exceeded() as f64,
            }]
        })),
        trails: trail(state.store()),
        client_file: None,
        path: path_of(&part.base),
        store: Some(state.store().clone()),
        workers: ::locator::workers(state.clone()),
        router: ::locator::routes(state),
    }])
}
