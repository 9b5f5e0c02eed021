//! The same rules over the configuration with what the anchor's operators registered on top of it: nothing becomes lawful by
//! the way it came.

use super::refusals;
use crate::config::{
    Agreement, Client, Collaboration, Config, Delegation, Organisation, OrganisationKind, Paper,
    SubUnit,
};
use wire::contract::register::{self, LOCATOR, Registered};

/// What is refused of the configuration and the registered together, on `day`, that is not refused of the configuration
/// alone; and what does not fit it.
pub fn with_registered(config: &Config, registered: &Registered, day: &str) -> Vec<String> {
    let mut together = config.clone();
    let mut said = Vec::new();
    for one in &registered.participants {
        match organisation(config, one) {
            Some(it) => place(&mut together.organisation, it, |had| had.orgnr == one.orgnr),
            None => said.push(format!(
                "{}: `{}` is no kind of organisation",
                one.orgnr, one.kind
            )),
        }
    }
    for one in &registered.clients {
        place(&mut together.client, client(one), |had| {
            had.client_id == one.client_id
        });
    }
    for one in &registered.agreements {
        place(&mut together.agreement, agreement(one), |had| {
            had.id == one.id
        });
    }
    for one in &registered.delegations {
        place(&mut together.delegation, delegation(one), |had| {
            had.id == one.id
        });
        let Some(id) = &one.service else { continue };
        let service = together
            .service
            .iter_mut()
            .find(|s| s.id == *id && s.orgnr == one.from);
        match service {
            Some(service) => {
                service.delegation = Some(Paper {
                    id: one.id.clone(),
                    date: one.from_day.clone(),
                });
            }
            None => said.push(format!(
                "{}: {} has no sharing service of that id",
                one.id, one.from
            )),
        }
    }
    for one in &registered.processing_agreements {
        if one.until.as_deref().is_some_and(|until| until < day) {
            continue;
        }
        let mut services = together.service.iter_mut();
        match services.find(|s| s.id == one.service && s.orgnr == one.controller) {
            Some(service) => {
                service.supplier = Some(one.processor.clone());
                service.processing_agreement = Some(Paper {
                    id: one.id.clone(),
                    date: one.date.clone(),
                });
            }
            None => said.push(format!(
                "{}: {} has no sharing service of that id",
                one.id, one.controller
            )),
        }
    }
    for one in &registered.collaborations {
        if one.until.as_deref().is_some_and(|until| until < day) {
            continue;
        }
        let written = Some(collaboration(one));
        if one.register == LOCATOR {
            match &mut together.locator {
                Some(locator) => locator.collaboration = written,
                None => said.push(format!("{}: the region has no locator", one.id)),
            }
            continue;
        }
        match together.service.iter_mut().find(|s| s.id == one.register) {
            Some(service) => {
                service.members = one.members.clone();
                service.collaboration = written;
            }
            None => said.push(format!("{}: there is no register of that id", one.id)),
        }
    }
    let before = refusals(config, day);
    let new = refusals(&together, day)
        .into_iter()
        .filter(|one| !before.contains(one));
    said.extend(new.map(|one| one.to_string()));
    said
}

fn place<T>(list: &mut Vec<T>, one: T, same: impl Fn(&T) -> bool) {
    match list.iter_mut().find(|had| same(had)) {
        Some(had) => *had = one,
        None => list.push(one),
    }
}

fn organisation(config: &Config, one: &register::Participant) -> Option<Organisation> {
    let kind: OrganisationKind = serde_json::from_value(one.kind.clone().into()).ok()?;
    let had = config
        .organisation
        .iter()
        .find(|had| had.orgnr == one.orgnr);
    let unit = |unit: &register::Unit| SubUnit {
        orgnr: unit.orgnr.clone(),
        resh: unit.resh.clone(),
        name: unit.name.clone(),
    };
    Some(Organisation {
        orgnr: one.orgnr.clone(),
        name: one.name.clone(),
        kind,
        sub_unit: one.units.iter().map(unit).collect(),
        her_id: had.and_then(|had| had.her_id.clone()),
        record_system: had.and_then(|had| had.record_system.clone()),
    })
}

fn client(one: &register::Client) -> Client {
    Client {
        client_id: one.client_id.clone(),
        orgnr: one.orgnr.clone(),
        use_: one.use_.clone(),
        jwk: one
            .keys
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
        scopes: one.scopes.clone(),
        audiences: one.audiences.clone(),
        grants: one.grants.clone(),
        redirect_uris: one.redirect_uris.clone(),
        post_logout_redirect_uris: one.post_logout_redirect_uris.clone(),
    }
}

fn agreement(one: &register::Agreement) -> Agreement {
    Agreement {
        id: one.id.clone(),
        version: 1,
        consumer: one.consumer.clone(),
        provider: one.provider.clone(),
        services: one.services.clone(),
        from: one.from.clone(),
        to: one.to.clone(),
    }
}

fn delegation(one: &register::Delegation) -> Delegation {
    Delegation {
        id: one.id.clone(),
        version: 1,
        from: one.from.clone(),
        to: one.to.clone(),
        from_day: one.from_day.clone(),
        to_day: one.to_day.clone(),
    }
}

fn collaboration(one: &register::Collaboration) -> Collaboration {
    Collaboration {
        id: one.id.clone(),
        date: one.date.clone(),
        scope: one.scope.clone(),
        controller_arrangement: one.controller_arrangement.clone(),
        patients_rights: one.patients_rights.clone(),
        exit_terms: one.exit_terms.clone(),
        members: one.members.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const DAY: &str = "2026-11-22";

    fn config() -> Config {
        toml::from_str(include_str!("../../../../config.default.toml")).unwrap()
    }

    fn written(register: &str, members: &[&str], rights: &str) -> register::Collaboration {
        register::Collaboration {
            id: "NY-1".into(),
            register: register.into(),
            date: "2026-03-01".into(),
            scope: "scope".into(),
            controller_arrangement: "joint".into(),
            patients_rights: rights.into(),
            exit_terms: "leave".into(),
            members: members.iter().map(|one| (*one).to_owned()).collect(),
            until: None,
        }
    }

    #[test]
    fn a_file_and_an_order_meet_the_same_rules() {
        let two = ["310001422", "310001562"];
        for (register, members, rights, refused) in [
            ("kystregionen", &two[..], "each its own", None),
            (
                "kystregionen",
                &two[..1],
                "each its own",
                Some("has 1 member(s)"),
            ),
            (
                "kystregionen",
                &two[..],
                " ",
                Some("does not state its patients rights"),
            ),
            (
                "fjellvik",
                &two[..],
                "each its own",
                Some("members are named"),
            ),
            ("locator", &two[..1], "at any", Some("names 1 member(s)")),
            (
                "nowhere",
                &two[..],
                "at any",
                Some("no register of that id"),
            ),
        ] {
            let registered = Registered {
                collaborations: vec![written(register, members, rights)],
                ..Registered::default()
            };
            let said = with_registered(&config(), &registered, DAY).join("\n");
            match refused {
                None => assert_eq!(said, "", "{register}"),
                Some(words) => assert!(said.contains(words), "{register}: {said}"),
            }
        }
        let agreement = |service: &str, date: &str| Registered {
            processing_agreements: vec![register::ProcessingAgreement {
                id: "DBA-2".into(),
                controller: "310001007".into(),
                processor: "310001287".into(),
                service: service.into(),
                date: date.into(),
                until: None,
            }],
            ..Registered::default()
        };
        assert!(with_registered(&config(), &agreement("fjellvik", "2026-11-22"), DAY).is_empty());
        let future = with_registered(&config(), &agreement("fjellvik", "2026-11-23"), DAY);
        assert!(future.join("").contains("after today"), "{future:?}");
        let other = with_registered(&config(), &agreement("proveheim", "2026-11-22"), DAY);
        assert!(other.join("").contains("no sharing service"), "{other:?}");
    }
}
