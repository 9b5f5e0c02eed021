//! The consumers' side: the gateway and the portal.

use super::{
    Figure, Mounted, Setting, client_file, needed, organisation, organisations, path_of, plain,
};
use crate::{assets, config, metrics};
use std::time::Duration;

/// How long one source may take.
const SOURCE_DEADLINE: Duration = Duration::from_secs(3);
/// How long a look-up may take in all.
const TOTAL_DEADLINE: Duration = Duration::from_secs(5);

/// Opens the gateway.
pub async fn gateway(setting: &Setting<'_>) -> anyhow::Result<Vec<Mounted>> {
    let config = setting.config;
    let part = needed(&config.gateway, "gateway")?;
    let locator = config
        .locator
        .as_ref()
        .and_then(|l| Some((l, l.collaboration.as_ref()?)));
    let settings = ::gateway::Config {
        base: part.base.clone(),
        issuer: setting.issuer(),
        client_file: client_file(&part.client_file, "gateway")?,
        catalogue: needed(&config.catalogue, "catalogue")?.base.clone(),
        locator: locator
            .map(|(l, c)| {
                anyhow::Ok(::gateway::LocatorConfig {
                    base: l.base.clone(),
                    members: organisations(&c.members)?,
                })
            })
            .transpose()?,
        register: setting.register.clone(),
        zone: setting.zone.clone(),
        person_numbers: setting.person_numbers(),
        sign_in: setting.signs_in(),
        record_systems: record_systems(config)?,
        catalogue_grace: Duration::from_secs(u64::from(part.catalogue_grace_hours) * 3600),
        source_deadline: SOURCE_DEADLINE,
        total_deadline: TOTAL_DEADLINE,
    };
    let house = setting.house_that_may_fall("gateway", &part.base)?;
    let state = ::gateway::open(settings, house).await?;
    let told = state.clone();
    Ok(vec![Mounted {
        gauged: Some(std::sync::Arc::new(move || circuits(&told))),
        trails: Some(std::sync::Arc::new({
            let state = state.clone();
            move || state.trails()
        })),
        client_file: part.client_file.clone(),
        path: path_of(&part.base),
        store: Some(state.store().clone()),
        workers: ::gateway::workers(state.clone()),
        router: ::gateway::routes(state),
    }])
}

/// Where each organisation's record system takes documents.
fn record_systems(
    config: &config::Config,
) -> anyhow::Result<Vec<(fhir::ids::OrganisationNumber, String)>> {
    let with = config
        .organisation
        .iter()
        .filter_map(|o| Some((o, o.record_system.as_ref()?)));
    with.map(|(o, r)| {
        let fhir = format!("{}{}", plain(&r.base), wire::contract::record_system::FHIR);
        Ok((organisation(&o.orgnr)?, fhir))
    })
    .collect()
}

/// How the gateway treats each provider.
fn circuits(state: &::gateway::State) -> Vec<Figure> {
    let told = |one: ::gateway::Standing| {
        let phase = match one.phase {
            ::gateway::Phase::Closed => 0.0,
            ::gateway::Phase::HalfOpen => 1.0,
            ::gateway::Phase::Open => 2.0,
        };
        let figure = |name, value| Figure {
            name,
            labels: vec![("provider", one.provider.clone())],
            value,
        };
        [
            figure(metrics::CIRCUIT, phase),
            figure(metrics::SOURCE_ASKED, one.asked as f64),
            figure(metrics::SOURCE_REPEATED, one.repeated as f64),
            figure(metrics::SOURCE_FAILED, one.failed as f64),
        ]
    };
    state.circuits().into_iter().flat_map(told).collect()
}

/// Opens the portal.
pub async fn portal(setting: &Setting<'_>) -> anyhow::Result<Vec<Mounted>> {
    let config = setting.config;
    let part = needed(&config.portal, "portal")?;
    let units = |o: &config::Organisation| {
        let of = o.orgnr.clone();
        let unit = move |u: &config::SubUnit| {
            let numbers = [u.orgnr.clone(), u.resh.clone()].into_iter().flatten();
            let of = of.clone();
            let name = u.name.clone();
            numbers
                .map(move |orgnr| ::portal::Organisation {
                    orgnr,
                    name: name.clone(),
                    part_of: Some(of.clone()),
                })
                .collect::<Vec<_>>()
        };
        o.sub_unit.iter().flat_map(unit).collect::<Vec<_>>()
    };
    let organisations = config.organisation.iter().flat_map(|o| {
        let own = ::portal::Organisation {
            orgnr: o.orgnr.clone(),
            name: o.name.clone(),
            part_of: None,
        };
        std::iter::once(own).chain(units(o))
    });
    let settings = ::portal::Config {
        base: plain(&part.base),
        gateway: plain(&needed(&config.gateway, "gateway")?.base),
        catalogue: plain(&needed(&config.catalogue, "catalogue")?.base),
        client_file: config
            .catalogue
            .as_ref()
            .and_then(|c| c.client_file.clone()),
        zone: config.zone.clone(),
        language: "nb".into(),
        staff: part.staff.clone(),
        citizens: part.citizens,
        organisations: organisations.collect(),
        demo: setting.demo.people.as_ref().map(|p| ::portal::DemoPeople {
            issuer: setting.issuer(),
            practitioners: p.practitioners.clone(),
            patients: p.patients.clone(),
        }),
    };
    let state = ::portal::open(
        settings,
        setting.house("portal", setting.demo.time.clock())?,
    )?;
    Ok(vec![Mounted {
        gauged: None,
        trails: None,
        client_file: None,
        path: String::new(),
        store: None,
        workers: ::portal::workers(state.clone()),
        router: ::portal::routes(state, assets::lookup()),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_three_seconds_and_the_whole_five() {
        let promised = (Duration::from_secs(3), Duration::from_secs(5));
        assert_eq!((SOURCE_DEADLINE, TOTAL_DEADLINE), promised);
    }
}
