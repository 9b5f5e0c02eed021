//! The recommended concept (DESIGN section 2): which realisations today's law allows, and the papers each needs.

use super::Refusal;
use crate::config::{Collaboration, Concept, Config};

const EXIT_TEXT: &str = "state date, scope, controller_arrangement, patients_rights and exit_terms in [service.collaboration]";

/// A regional copy store besides the members' own records, and a national joined store, have no basis today.
pub fn known_in_law(config: &Config, day: &str, found: &mut Vec<Refusal>) {
    for s in &config.service {
        let setting = format!("service.{}.concept", s.id);
        match s.concept {
            Concept::RegionalCopy => found.push(Refusal::by_law(
                day,
                "shared-register",
                setting,
                "a regional store of copies is kept besides the members' own records of the same data".into(),
                "use `shared` and keep the register instead of the members' own for the same kinds, or `supplier` with one separate \
                 store an organisation; a regional copy besides them would need an amendment of pasientjournalloven § 9 (\"instead of\" to \"besides\")",
            )),
            Concept::National => found.push(Refusal::by_law(
                day,
                "national-registers",
                setting,
                "a store that joins the data of organisations nationally is configured".into(),
                "let each organisation share by look-up; a national joined store would need a regulation of its own under pasientjournalloven",
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
                "shared-register",
                format!("service.{}.members", s.id),
                format!("a shared register has {} member(s)", members.len()),
                "name at least two member organisations, or use `own` or `supplier`",
            ));
        }
        match &s.collaboration {
            None => found.push(Refusal::by_law(
                day,
                "shared-register",
                format!("service.{}.collaboration", s.id),
                "a shared register stands without a written agreement".into(),
                EXIT_TEXT,
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
            "record-duty",
            format!("service.{}.members", s.id),
            format!(
                "a service of concept `{}` serves one controller, but members are named",
                s.concept.word()
            ),
            "remove `members`, or choose `shared` with its agreement",
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
                "shared-register",
                format!("{setting}.{name}"),
                format!(
                    "the written agreement does not state its {}",
                    name.replace('_', " ")
                ),
                EXIT_TEXT,
            ));
        }
    }
    if c.date.as_str() > day {
        found.push(Refusal::by_law(
            day,
            "shared-register",
            format!("{setting}.date"),
            format!("the written agreement is dated {}, after today", c.date),
            "start when the agreement is in force",
        ));
    }
}

/// A data processor works only under an agreement and a registered delegation, per organisation.
pub fn supplied_has_agreement_and_delegation(config: &Config, day: &str, found: &mut Vec<Refusal>) {
    for s in &config.service {
        let refuse = |part: &str, reason: String, remedy: &str| {
            Refusal::by_law(
                day,
                "processor",
                format!("service.{}.{part}", s.id),
                reason,
                remedy,
            )
        };
        if !s.concept.is_supplied() {
            if s.supplier.is_some() {
                found.push(refuse(
                    "supplier",
                    format!("concept `{}` names a supplier", s.concept.word()),
                    "choose `supplier` or `shared-supplier`, or remove the supplier",
                ));
            }
            continue;
        }
        if s.supplier.is_none() {
            found.push(refuse(
                "supplier",
                "no supplier is named".into(),
                "name the data processor's organisation number",
            ));
        }
        match &s.processing_agreement {
            None => found.push(refuse(
                "processing_agreement",
                "a data processor runs this service without a data processing agreement (databehandleravtale)".into(),
                "register the agreement's id and date for this organisation",
            )),
            Some(p) if p.date.as_str() > day => found.push(refuse(
                "processing_agreement.date",
                format!("the data processing agreement is dated {}, after today", p.date),
                "start when it is in force",
            )),
            Some(_) => {}
        }
        if s.delegation.is_none() {
            found.push(refuse(
                "delegation",
                "no delegation to the supplier is registered for this organisation".into(),
                "register the delegation's id and date; one supplier needs one for each organisation it serves",
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
                    "shared-register",
                    format!("organisation.{member}.record_system"),
                    format!("{} is a member of the shared register `{}` and would get the same readings in its own record system too", config.name_of(member), s.id),
                    "remove IT17 from the record system's kinds: members read the shared register as their own record. Keeping both would need an amendment of § 9",
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
    let remedy = "state the § 9 agreement and its members in [locator.collaboration], or leave the locator out: look-up works without it. \
                  A central locator for all would need a regulation of its own";
    match &locator.collaboration {
        None => found.push(Refusal::by_law(
            day,
            "shared-register",
            "locator.collaboration".into(),
            "a patient information locator stands outside an agreement".into(),
            remedy,
        )),
        Some(c) => {
            if c.members.len() < 2 {
                found.push(Refusal::by_law(
                    day,
                    "shared-register",
                    "locator.collaboration.members".into(),
                    format!(
                        "the locator's agreement names {} member(s)",
                        c.members.len()
                    ),
                    remedy,
                ));
            }
            incomplete(day, "locator.collaboration", c, found);
        }
    }
}
