//! The recommended concept (DESIGN section 2): which realisations today's law allows, and the papers each needs.

use super::Refusal;
use crate::config::{Collaboration, Concept, Config};

/// A regional copy store besides the members' own records, and a national joined store, have no basis today.
pub fn known_in_law(config: &Config, day: &str, found: &mut Vec<Refusal>) {
    for s in &config.service {
        let setting = format!("service.{}.concept", s.id);
        match s.concept {
            Concept::RegionalCopy => found.push(Refusal::by_law(
                day,
                "regional-copy",
                setting,
                "a regional store of copies is kept besides the members' own records of the same data".into(),
            )),
            Concept::National => found.push(Refusal::by_law(
                day,
                "national-store",
                setting,
                "a store that joins the data of organisations nationally is configured".into(),
            )),
            _ => {}
        }
    }
}

/// A shared register has at least two members and a written agreement that says what § 9 asks for.
pub fn shared_has_members_and_agreement(config: &Config, day: &str, found: &mut Vec<Refusal>) {
    for s in config.service.iter().filter(|s| s.concept.is_shared()) {
        let mut members = s.members.clone();
        members.sort();
        members.dedup();
        if members.len() < 2 {
            found.push(Refusal::by_law(
                day,
                "shared-members",
                format!("service.{}.members", s.id),
                format!("a shared register has {} member(s)", members.len()),
            ));
        }
        match &s.collaboration {
            None => found.push(Refusal::by_law(
                day,
                "shared-agreement",
                format!("service.{}.collaboration", s.id),
                "a shared register stands without a written agreement".into(),
            )),
            Some(c) => incomplete(day, &format!("service.{}.collaboration", s.id), c, found),
        }
    }
    for s in config
        .service
        .iter()
        .filter(|s| !s.concept.is_shared() && !s.members.is_empty())
    {
        found.push(Refusal::by_law(
            day,
            "members-elsewhere",
            format!("service.{}.members", s.id),
            format!(
                "a service of concept `{}` serves one controller, but members are named",
                s.concept.word()
            ),
        ));
    }
}

fn incomplete(day: &str, setting: &str, c: &Collaboration, found: &mut Vec<Refusal>) {
    let parts = [
        ("date", &c.date),
        ("scope", &c.scope),
        ("controller_arrangement", &c.controller_arrangement),
        ("patients_rights", &c.patients_rights),
        ("exit_terms", &c.exit_terms),
    ];
    for (name, text) in parts {
        if text.trim().is_empty() {
            found.push(Refusal::by_law(
                day,
                "shared-agreement",
                format!("{setting}.{name}"),
                format!(
                    "the written agreement does not state its {}",
                    name.replace('_', " ")
                ),
            ));
        }
    }
    if c.date.as_str() > day {
        found.push(Refusal::by_law(
            day,
            "shared-agreement",
            format!("{setting}.date"),
            format!("the written agreement is dated {}, after today", c.date),
        ));
    }
}

/// A data processor works only under an agreement and a registered delegation, per organisation.
pub fn supplied_has_agreement_and_delegation(config: &Config, day: &str, found: &mut Vec<Refusal>) {
    for s in &config.service {
        let refuse = |need: &str, part: &str, reason: String| {
            Refusal::by_law(day, need, format!("service.{}.{part}", s.id), reason)
        };
        if !s.concept.is_supplied() {
            if s.supplier.is_some() {
                found.push(refuse(
                    "supplier-elsewhere",
                    "supplier",
                    format!("concept `{}` names a supplier", s.concept.word()),
                ));
            }
            continue;
        }
        if s.supplier.is_none() {
            found.push(refuse(
                "supplier-missing",
                "supplier",
                "no supplier is named".into(),
            ));
        }
        match &s.processing_agreement {
            None => found.push(refuse(
                "processing-agreement",
                "processing_agreement",
                "a data processor runs this service without a data processing agreement (databehandleravtale)".into(),
            )),
            Some(p) if p.date.as_str() > day => found.push(refuse(
                "processing-agreement",
                "processing_agreement.date",
                format!("the data processing agreement is dated {}, after today", p.date),
            )),
            Some(_) => {}
        }
        if s.delegation.is_none() {
            found.push(refuse(
                "delegation",
                "delegation",
                "no delegation to the supplier is registered for this organisation".into(),
            ));
        }
    }
}

/// A member of a shared register keeps no second copy of the same kinds in its own record system.
pub fn member_receives_no_second_copy(config: &Config, day: &str, found: &mut Vec<Refusal>) {
    const SHARED_KINDS: &str = "IT17";
    for s in config.service.iter().filter(|s| s.concept.is_shared()) {
        for member in &s.members {
            let receiver = config
                .organisation
                .iter()
                .find(|o| o.orgnr == *member)
                .and_then(|o| o.record_system.as_ref());
            if receiver.is_some_and(|r| r.kinds.iter().any(|k| k == SHARED_KINDS)) {
                found.push(Refusal::by_law(
                    day,
                    "second-copy",
                    format!("organisation.{member}.record_system"),
                    format!("{} is a member of the shared register `{}` and would get the same readings in its own record system too", config.name_of(member), s.id),
                ));
            }
        }
    }
}

/// A locator has a legal basis only within a written § 9 collaboration with named members.
pub fn locator_within_collaboration(config: &Config, day: &str, found: &mut Vec<Refusal>) {
    let Some(locator) = &config.locator else {
        return;
    };
    match &locator.collaboration {
        None => found.push(Refusal::by_law(
            day,
            "locator-outside",
            "locator.collaboration".into(),
            "a patient information locator stands outside an agreement".into(),
        )),
        Some(c) => {
            if c.members.len() < 2 {
                found.push(Refusal::by_law(
                    day,
                    "locator-outside",
                    "locator.collaboration.members".into(),
                    format!(
                        "the locator's agreement names {} member(s)",
                        c.members.len()
                    ),
                ));
            }
            incomplete(day, "locator.collaboration", c, found);
        }
    }
}

/// Whom a holder lets the locator tell of it are members of the agreement, which alone ask there.
pub fn told_of_to_members(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let collaboration = config
        .locator
        .as_ref()
        .and_then(|l| l.collaboration.as_ref());
    let members = collaboration.map_or(&[][..], |c| &c.members);
    for s in &config.service {
        let mut named = s
            .known_to
            .iter()
            .flatten()
            .chain(s.known_to.as_ref().map(|_| &s.orgnr));
        if let Some(stranger) = named.find(|one| !members.contains(one)) {
            found.push(Refusal::ours(
                format!("service.{}.known_to", s.id),
                format!("{} is no member of the locator's agreement, and neither asks there nor is told of", config.name_of(stranger)),
                "name members of [locator.collaboration]; a service that the locator knows nothing of needs no known_to",
            ));
        }
    }
}
