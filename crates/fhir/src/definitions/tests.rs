//! The tables as a whole: they parse, name each other rightly, and hold what the standard has.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::invariants::{BY_HAND, NOT_LOOKED_AT};
use super::search::Kind;
use super::{
    COMPARTMENTS, Definitions, ELEMENTS, INVARIANTS, KNOWN_TYPES, SEARCH, Types, UnknownType,
    VALUES, known, lines,
};
use crate::resource::ResourceType;
use std::collections::BTreeSet;

const ALL: Definitions = Definitions::get();

fn types() -> impl Iterator<Item = ResourceType> {
    ALL.resource_types()
        .map(|name| ResourceType::parse(name).unwrap())
}

#[test]
fn every_resource_type_has_elements_and_search_parameters() {
    assert_eq!(types().count(), 146);
    for resource in types() {
        let table = ALL.elements(resource.as_str()).unwrap();
        assert!(table.resource && table.find("meta").is_some(), "{resource}");
        assert!(ALL.search_parameter(resource, "_id").is_some());
        assert!(ALL.search_parameter(resource, "_lastUpdated").is_some());
    }
}

#[test]
fn every_path_leads_along_the_element_rules() {
    for resource in types() {
        for parameter in ALL.search_parameters(resource) {
            let start = parameter.base;
            let parts = parameter.components.iter().flat_map(|c| &c.paths);
            assert_eq!(
                parameter.kind == Kind::Composite,
                !parameter.components.is_empty()
            );
            assert!(!parameter.paths.is_empty());
            for path in &parameter.paths {
                assert_eq!(
                    lead(start, path),
                    Some(path.used),
                    "{start} {}",
                    parameter.name
                );
            }
            for part in parts {
                let mut bases = parameter.paths.iter().map(|base| reached(start, base));
                let from = |base: Option<String>| {
                    let base = if part.from_resource {
                        Some(start.to_owned())
                    } else {
                        base
                    };
                    lead(&base?, part)
                };
                assert!(
                    bases.any(|base| from(base) == Some(part.used)),
                    "{start} {}",
                    parameter.name
                );
            }
        }
    }
}

/// The type's name at the end of a path, as the path itself says it.
fn lead(start: &str, path: &super::search::Path) -> Option<&'static str> {
    let Some((last, steps)) = path.steps.split_last() else {
        return Some(path.used).filter(|used| *used == start);
    };
    let mut table = start.to_owned();
    for step in steps {
        table = next(&table, step.member)?;
    }
    let (_, _, used) = ALL.elements(&table)?.find(last.member)?;
    Some(if used.name == "SimpleQuantity" {
        "Quantity"
    } else {
        used.name
    })
}

/// The table at the end of a path.
fn reached(start: &str, path: &super::search::Path) -> Option<String> {
    let mut table = start.to_owned();
    for step in &path.steps {
        table = next(&table, step.member)?;
    }
    Some(table)
}

fn next(table: &str, member: &str) -> Option<String> {
    let (_, _, used) = ALL.elements(table)?.find(member)?;
    match used.kind {
        super::elements::Kind::Complex(place) => Some(ALL.at(place).name.to_owned()),
        _ => None,
    }
}

#[test]
fn known_parameters() {
    let of = |resource: &str, name: &str| {
        ALL.search_parameter(ResourceType::parse(resource).unwrap(), name)
    };
    let code = of("Observation", "code").unwrap();
    assert_eq!(code.kind, Kind::Token);
    assert_eq!(
        code.definition(),
        "http://hl7.org/fhir/SearchParameter/clinical-code"
    );
    let date = of("Observation", "date").unwrap();
    let used: Vec<_> = date.paths.iter().map(|p| p.used).collect();
    assert_eq!(used, ["dateTime", "Period", "Timing", "instant"]);
    let status = of("Observation", "status").unwrap();
    assert_eq!(
        status.definition(),
        "http://hl7.org/fhir/SearchParameter/Observation-status"
    );
    assert!(of("Patient", "deceased").unwrap().present);
    let subject = of("CarePlan", "subject").unwrap();
    assert_eq!(*subject.targets, ["Group", "Patient"]);
    assert!(of("Observation", "nothing").is_none() && of("Observation", "Code").is_none());
    assert!(of("Location", "near").unwrap().kind == Kind::Special);
    assert_eq!(of("Observation", "_tag").unwrap().base, "Resource");
}

#[test]
fn known_compartments() {
    let patient = ALL.compartment("Patient").unwrap();
    assert_eq!(patient.parameters("Observation"), ["subject", "performer"]);
    assert_eq!(patient.parameters("Medication"), [""; 0]);
    assert!(ALL.compartment("Group").is_none());
    for name in [
        "Patient",
        "Practitioner",
        "RelatedPerson",
        "Device",
        "Encounter",
    ] {
        let compartment = ALL.compartment(name).unwrap();
        for resource in compartment.types() {
            for parameter in compartment.parameters(resource) {
                let known =
                    ResourceType::parse(resource).and_then(|r| ALL.search_parameter(r, parameter));
                assert!(
                    known.is_some() || *parameter == "{def}",
                    "{resource} {parameter}"
                );
            }
        }
    }
}

#[test]
fn value_sets_are_found_by_every_form_of_their_address() {
    let address = "http://hl7.org/fhir/ValueSet/administrative-gender";
    for form in [address.to_owned(), format!("{address}|4.0.1")] {
        let set = ALL.value_set(&form).unwrap();
        assert_eq!(set.address(), address);
        assert_eq!(
            set.all().collect::<Vec<_>>(),
            ["male", "female", "other", "unknown"]
        );
    }
    let all = ALL
        .value_set("http://hl7.org/fhir/ValueSet/resource-types")
        .unwrap();
    assert!(all.contains_code("Observation") && !all.contains_code("observation"));
    assert!(
        ALL.value_set("http://hl7.org/fhir/ValueSet/mimetypes")
            .is_none()
    );
}

#[test]
fn the_enabled_types_are_those_of_the_information_services() {
    let enabled: Vec<_> = ALL.enabled().collect();
    assert!(enabled.len() >= 20, "{}", enabled.len());
    let own = |r: ResourceType| {
        ALL.search_parameters(r)
            .filter(move |p| p.base == r.as_str())
    };
    let parameters: usize = enabled.iter().map(|e| own(e.resource).count()).sum();
    assert!(parameters >= 200, "{parameters}");
    for one in enabled {
        assert_eq!(
            one.resource.information_service(),
            Some(one.service),
            "{}",
            one.resource
        );
    }
    assert!(known("IT17 Nothing").is_err() && known("IT99 Patient").is_err());
    assert!(known("Patient").is_err() && known("on IT12 Patient").is_err());
}

#[test]
fn every_type_that_can_be_a_patients_has_an_information_service_and_once() {
    let compartment = ALL.compartment("Patient").unwrap();
    for name in compartment.types().filter(|name| *name != "AuditEvent") {
        let resource = ResourceType::parse(name).unwrap();
        assert!(resource.information_service().is_some(), "{name}");
    }
    let mut all: Vec<_> = KNOWN_TYPES.iter().map(|one| one.resource).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "a type is there twice");
}

#[test]
fn a_deployment_names_its_types() {
    let types = Types::named(&["default", "ServiceRequest", "Patient"]).unwrap();
    assert_eq!(types.iter().count(), Types::default().iter().count() + 1);
    let request = ResourceType::parse("ServiceRequest").unwrap();
    assert!(types.serves(request) && !Types::default().serves(request));
    let one = Types::named(&["Observation"]).unwrap();
    assert_eq!(one.iter().collect::<Vec<_>>(), [ResourceType::OBSERVATION]);
    assert!(matches!(
        Types::named(&["Observasjon"]),
        Err(UnknownType::Name(_))
    ));
    assert_eq!(Types::named(&["AuditEvent"]), Err(UnknownType::Trail));
}

#[test]
fn the_tables_are_small() {
    let bytes =
        ELEMENTS.len() + VALUES.len() + SEARCH.len() + COMPARTMENTS.len() + INVARIANTS.len();
    assert!(bytes < 400 * 1024, "{bytes}");
}

/// Each published rule of every type is looked at by its expression, by our own code, or is named with the reason.
#[test]
fn no_rule_is_left_out_in_silence() {
    let text = INVARIANTS;
    let keys: Vec<&str> = lines(text)
        .map(|line| line.split(" | ").nth(1).unwrap())
        .collect();
    assert!(keys.len() >= 200, "{}", keys.len());
    // The tables load only if every other expression was understood.
    let rules = |name: &str| &ALL.elements(name).unwrap().invariants;
    let loaded = rules("Observation").iter().map(|rule| rule.key);
    let loaded: Vec<_> = loaded.collect();
    for key in ["obs-6", "obs-7", "dom-4", "dom-5"] {
        assert!(loaded.contains(&key), "{key}: {loaded:?}");
    }
    for key in BY_HAND
        .iter()
        .chain(NOT_LOOKED_AT.iter().map(|(key, _)| key))
    {
        assert!(keys.contains(key), "{key} is no rule of the standard");
        assert!(!loaded.contains(key));
    }
    let named: BTreeSet<_> = NOT_LOOKED_AT.iter().map(|(key, _)| *key).collect();
    assert_eq!(named.len(), NOT_LOOKED_AT.len(), "twice");
    for one in ALL.enabled() {
        let name = one.resource.as_str();
        let of_enabled = |line: &&str| {
            line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}."))
        };
        for line in lines(text).filter(of_enabled) {
            let key = line.split(" | ").nth(1).unwrap();
            assert!(
                !named.contains(key),
                "{key} of {name}, which is on by default, is not looked at"
            );
        }
    }
}
