//! The profiles as a whole: they parse, and every path in them leads through the element rules to something that can be so.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::definitions::Definitions;
use crate::definitions::elements::Table;

/// The FHIR type that a path leads to, by the element rules; `None` where it leads nowhere.
fn leads_to(table: &'static Table, path: &[Step]) -> Option<String> {
    let (step, rest) = path.split_first()?;
    // What stands beside a primitive (`_district`) is an Element.
    if let Some(beside) = step.member.strip_prefix('_') {
        table.find(beside)?;
        return leads_to(Definitions::get().elements("Element")?, rest);
    }
    let used: Vec<_> = if step.choice {
        let name = step.name();
        let element = table.elements.iter().find(|e| e.name == name)?;
        element.uses.iter().collect()
    } else {
        vec![table.find(&step.member)?.2]
    };
    if rest.is_empty() {
        return Some(used[0].name.to_owned());
    }
    let below = format!("{}.{}", table.name, step.member);
    let next = Definitions::get()
        .elements(&below)
        .or_else(|| Definitions::get().elements(used[0].name))?;
    leads_to(next, rest)
}

#[test]
fn every_profile_parses_and_every_path_is_one_of_its_type() {
    assert!(all().len() >= 40, "{}", all().len());
    for profile in all() {
        assert!(!profile.rules.is_empty(), "{}", profile.id);
        let table = Definitions::get()
            .elements(profile.resource.as_str())
            .unwrap();
        for rule in &profile.rules {
            let found = leads_to(table, &rule.at.0)
                .unwrap_or_else(|| panic!("{}: {:?} leads nowhere", profile.id, rule.at));
            let fits = match &rule.want {
                Want::Count(min, max) => min <= max,
                Want::Value(_) => {
                    !["Coding", "CodeableConcept", "Reference"].contains(&found.as_str())
                }
                Want::Coded(_) | Want::Has(_) => {
                    ["Coding", "CodeableConcept"].contains(&found.as_str())
                }
                Want::Refers(_) => found == "Reference",
                Want::Resource(_) => found == "Resource",
            };
            assert!(fits, "{}: {:?} is {found}", profile.id, rule);
        }
    }
}

#[test]
fn no_canonical_names_two_profiles() {
    let mut all: Vec<_> = all().iter().flat_map(|p| &p.canonicals).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn older_canonicals_and_versions_name_the_same_profile() {
    let now = "http://hl7.no/fhir/vkpobservation/StructureDefinition/vkp-Observation-Heartrate";
    let heart = by_canonical(now).unwrap();
    for other in [
        "http://hl7.no/fhir/vkpobservation/StructureDefinition/vkp-Observation-Heartrate|0.5.2",
        "http://ehelse.no/fhir/StructureDefinition/vkp-Observation-Heartrate-v090",
    ] {
        assert!(std::ptr::eq(by_canonical(other).unwrap(), heart), "{other}");
    }
    assert!(by_canonical("http://hl7.no/fhir/StructureDefinition/no-basis-Patient").is_some());
    assert!(by_canonical("http://hl7.no/fhir/ig/StructureDefinition/no-basis-Patient").is_some());
    assert!(
        by_canonical("http://hl7.no/fhir/StructureDefinition/vkp-Observation-Heartrate").is_none()
    );
}

#[test]
fn a_demand_names_a_profile_that_is_carried_once_and_of_its_type() {
    let canonical = "http://hl7.no/fhir/StructureDefinition/no-basis-Patient";
    let mut demands = Demands::default();
    assert_eq!(demands.add(canonical, Some("Patient"), Mode::Warn), Ok(()));
    assert!(matches!(
        demands.add(canonical, None, Mode::Off),
        Err(DemandError::Twice(_))
    ));
    assert!(matches!(
        demands.add("http://x", None, Mode::Off),
        Err(DemandError::Unknown(_))
    ));
    let role = "http://hl7.no/fhir/StructureDefinition/no-basis-PractitionerRole";
    assert!(matches!(
        demands.add(role, Some("Patient"), Mode::Off),
        Err(DemandError::Type(..))
    ));
}
