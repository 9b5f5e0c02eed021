//! Tests of general search: every kind of parameter and modifier on both sides of its border, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::definitions::{Definitions, Types};
use crate::ids::{LogicalId, PersonIdentifier, PersonNumbers};
use crate::json::{Json, Limits};
use crate::outcome::IssueCode;
use crate::resource::ResourceType;
use crate::search::{Grammar, Query, Sort, Via, matches, may_carry_a_person, parse, served};
use crate::time::Zone;

const PERSON: &str = "14835210260";
const OTHER: &str = "13717404089";
const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
const FNR: &str = "urn:oid:2.16.578.1.12.4.1.4.1";
const DNR: &str = "urn:oid:2.16.578.1.12.4.1.4.2";

fn types() -> impl Iterator<Item = ResourceType> {
    Definitions::get().enabled().map(|one| one.resource)
}

fn read(
    resource: &str,
    parameters: &[(&str, &str)],
    via: Via,
) -> Result<Query, Vec<crate::outcome::Issue>> {
    let owned: Vec<_> = parameters
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    let resource = ResourceType::parse(resource).unwrap();
    parse(
        resource,
        &owned,
        via,
        &Zone::default(),
        PersonNumbers::Strict,
        Grammar::Whole(&Types::default()),
    )
}

/// Whether a resource of this body is found.
fn found(body: &str, parameters: &[(&str, &str)]) -> bool {
    let json = Json::parse(body.as_bytes().to_vec(), Limits::RESOURCE).unwrap();
    let resource = ResourceType::of(json.root()).unwrap();
    let query = read(resource.as_str(), parameters, Via::Post)
        .unwrap_or_else(|issues| panic!("{parameters:?}: {issues:?}"));
    matches(json.root(), &query, None)
}

const CONDITION: &str = r#"{"resourceType":"Condition","id":"0f8fad5b-d9cb-469f-a165-70867728950e",
 "meta":{"lastUpdated":"2026-11-20T08:00:00.000Z","profile":["http://x.example/p"],"tag":[{"system":"urn:t","code":"a"}],"source":"urn:s"},
 "identifier":[{"type":{"coding":[{"system":"urn:it","code":"MR"}],"text":"Journalnummer"},"system":"urn:j","value":"17"}],
 "clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},
 "code":{"coding":[{"system":"urn:icpc","code":"R95","display":"Kronisk obstruktiv lungesykdom"}],"text":"KOLS"},
 "subject":{"identifier":{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}},
 "encounter":{"reference":"Encounter/e1"},
 "asserter":{"reference":"https://other.example/fhir/Practitioner/p1"},
 "onsetDateTime":"2020-05","abatementString":"våren 2021",
 "recordedDate":"2026-11-20"}"#;

#[test]
fn every_kind_and_modifier_on_a_condition() {
    for (name, value, expected) in [
        ("code", "R95", true),
        ("code", "urn:icpc|R95", true),
        ("code", "urn:icpc|", true),
        ("code", "|R95", false),
        ("code", "r95", false),
        ("code", "R96,R95", true),
        ("code", "R96\\,R95", false),
        ("code:not", "R95", false),
        ("code:not", "R96", true),
        ("severity:not", "R96", true),
        ("code:text", "kols", true),
        ("code:text", "kronisk obs", true),
        ("code:text", "obstruktiv", false),
        ("code:missing", "true", false),
        ("severity:missing", "true", true),
        ("severity:missing", "false", false),
        ("clinical-status", "active", true),
        ("identifier", "urn:j|17", true),
        ("identifier", "17", true),
        ("identifier", "urn:k|17", false),
        ("identifier:of-type", "urn:it|MR|17", true),
        ("identifier:of-type", "urn:it|MR|18", false),
        ("identifier:of-type", "urn:it|PI|17", false),
        ("encounter", "e1", true),
        ("encounter", "Encounter/e1", true),
        ("encounter", "e2", false),
        ("encounter:Encounter", "e1", true),
        (
            "asserter",
            "https://other.example/fhir/Practitioner/p1",
            true,
        ),
        ("asserter", "Practitioner/p1", false),
        ("asserter", "p1", false),
        ("onset-date", "2020", true),
        ("onset-date", "2020-05-01", false),
        ("onset-date", "ge2020-05-01", true),
        ("onset-date", "lt2020-05-01", false),
        ("onset-date", "2019,2020", true),
        ("onset-date:missing", "false", true),
        ("abatement-string", "VAREN", true),
        ("abatement-string", "2021", false),
        ("abatement-string:contains", "2021", true),
        ("abatement-string:exact", "våren 2021", true),
        ("abatement-string:exact", "Våren 2021", false),
        ("recorded-date", "2026-11-20", true),
        ("_id", ID, true),
        ("_lastUpdated", "ge2026-11-20", true),
        ("_lastUpdated", "gt2026-11-21", false),
        ("_profile", "http://x.example/p", true),
        ("_profile", "http://x.example/", false),
        ("_profile:below", "http://x.example/", true),
        ("_profile:above", "http://x.example/p/q", true),
        ("_tag", "urn:t|a", true),
        ("_tag", "urn:u|a", false),
        ("_security:missing", "true", true),
        ("_source", "urn:s", true),
        ("patient.identifier", PERSON, true),
        ("patient.identifier", OTHER, false),
        ("patient:missing", "false", true),
        ("subject:identifier", &format!("{FNR}|{PERSON}"), true),
        ("asserter:identifier", "urn:x|1", false),
    ] {
        assert_eq!(
            found(CONDITION, &[(name, value)]),
            expected,
            "{name}={value}"
        );
    }
    // A repeat is and, a comma is or.
    assert!(found(CONDITION, &[("code", "R95"), ("code", "urn:icpc|")]));
    assert!(!found(CONDITION, &[("code", "R95"), ("code", "R96")]));
}

#[test]
fn quantities_composites_and_codes_of_an_observation() {
    let body = format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"29463-7"}}]}},
        "subject":{{"identifier":{{"system":"{FNR}","value":"{PERSON}"}}}},"effectiveDateTime":"2026-11-20T08:00:00Z",
        "performer":[{{"reference":"Patient/{ID}"}},{{"identifier":{{"system":"{DNR}","value":"53917404089"}}}}],
        "valueQuantity":{{"value":72.50,"system":"http://unitsofmeasure.org","code":"kg"}},
        "component":[{{"code":{{"coding":[{{"code":"a"}}]}},"valueQuantity":{{"value":1}}}},{{"code":{{"coding":[{{"code":"b"}}]}},"valueQuantity":{{"value":2}}}}]}}"#
    );
    for (name, value, expected) in [
        ("value-quantity", "72.5", true),
        ("value-quantity", "72.4", false),
        ("value-quantity", "gt72|http://unitsofmeasure.org|kg", true),
        ("value-quantity", "72500|http://unitsofmeasure.org|g", true),
        (
            "value-quantity",
            "gt72500|http://unitsofmeasure.org|g",
            false,
        ),
        ("combo-value-quantity", "2", true),
        ("code-value-quantity", "29463-7$gt72", true),
        (
            "code-value-quantity",
            "http://loinc.org|29463-7$lt72",
            false,
        ),
        ("component-code-value-quantity", "a$1", true),
        ("component-code-value-quantity", "a$2", false),
        ("component-code-value-quantity", "a$2,b$2", true),
        ("status:not", "final", false),
        ("status:not", "cancelled", true),
        (
            "status",
            "http://hl7.org/fhir/observation-status|final",
            true,
        ),
        (
            "status:in",
            "http://hl7.org/fhir/ValueSet/observation-status",
            true,
        ),
        ("date", "2025,2026", true),
        ("date", "2025,2024", false),
        ("performer", &format!("Patient/{ID}"), true),
        ("performer:Patient", ID, true),
        ("performer:Practitioner", ID, false),
        ("subject:missing", "false", true),
        ("data-absent-reason:missing", "true", true),
    ] {
        assert_eq!(found(&body, &[(name, value)]), expected, "{name}={value}");
    }
}

#[test]
fn names_addresses_and_booleans_of_a_patient() {
    let body = format!(
        r#"{{"resourceType":"Patient","identifier":[{{"system":"{FNR}","value":"{PERSON}"}},{{"system":"urn:mrn","value":"7"}}],
        "name":[{{"family":"Ødegård","given":["Åse","Marie"]}}],"gender":"female","birthDate":"1952-03-14","deceasedBoolean":false,
        "telecom":[{{"system":"phone","value":"900","use":"home"}}],"address":[{{"city":"Fjellvik"}}],"active":true}}"#
    );
    for (name, value, expected) in [
        ("name", "åse", true),
        ("name", "marie", true),
        ("name", "arie", false),
        ("family", "ødegard", true),
        ("family:exact", "Ødegård", true),
        ("given", "ode", false),
        ("address", "fjell", true),
        ("address-city:contains", "vik", true),
        ("gender", "female", true),
        (
            "gender",
            "http://hl7.org/fhir/administrative-gender|female",
            true,
        ),
        ("birthdate", "1952", true),
        ("deceased", "false", true),
        ("deceased", "true", false),
        ("active", "true", true),
        ("phone", "900", true),
        ("email", "900", false),
        ("email:missing", "true", true),
        ("identifier", PERSON, true),
        ("identifier", "urn:mrn|7", true),
        ("identifier", "urn:mrn|8", false),
    ] {
        assert_eq!(found(&body, &[(name, value)]), expected, "{name}={value}");
    }
}

#[test]
fn a_patient_is_found_by_id_and_by_number_once_both_are_known() {
    let person = PersonIdentifier::parse(FNR, PERSON, PersonNumbers::Strict).unwrap();
    let id = LogicalId::parse(ID).unwrap();
    let by_number = format!(
        r#"{{"resourceType":"Communication","status":"completed","recipient":[{{"identifier":{{"system":"{FNR}","value":"{PERSON}"}}}}]}}"#
    );
    let by_id = format!(
        r#"{{"resourceType":"Communication","status":"completed","recipient":[{{"reference":"Patient/{ID}"}}]}}"#
    );
    let local = ("recipient", format!("Patient/{ID}"));
    let number = ("recipient:identifier", format!("{FNR}|{PERSON}"));
    for (parameter, body, before) in [
        (&local, &by_number, false),
        (&local, &by_id, true),
        (&number, &by_number, true),
        (&number, &by_id, false),
    ] {
        let json = Json::parse(body.as_bytes().to_vec(), Limits::RESOURCE).unwrap();
        let mut query = read("Communication", &[(parameter.0, &parameter.1)], Via::Post).unwrap();
        assert_eq!(matches(json.root(), &query, None), before);
        query
            .people(|_| Ok::<_, ()>(Some((id, person.clone()))))
            .unwrap();
        assert!(matches(json.root(), &query, None), "{}", parameter.0);
        assert!(!format!("{query:?}").contains(PERSON));
    }
}

#[test]
fn what_is_refused_and_how() {
    let many = ["x"; 51].join(",");
    for (resource, name, value, code) in [
        ("Condition", "codes", "x", IssueCode::NotSupported),
        ("Condition", "code:foo", "x", IssueCode::NotSupported),
        ("Condition", "code:exact", "x", IssueCode::NotSupported),
        (
            "Condition",
            "onset-date:not",
            "2020",
            IssueCode::NotSupported,
        ),
        (
            "Condition",
            "code:of-type",
            "a|b|c",
            IssueCode::NotSupported,
        ),
        (
            "Condition",
            "code:in",
            "http://x.example/vs",
            IssueCode::NotSupported,
        ),
        (
            "Condition",
            "encounter:Patient",
            "x",
            IssueCode::NotSupported,
        ),
        ("Condition", "_text", "x", IssueCode::NotSupported),
        (
            "Condition",
            "_include",
            "Condition:code",
            IssueCode::NotSupported,
        ),
        ("Condition", "code", "", IssueCode::Value),
        ("Condition", "code", "a,,b", IssueCode::Value),
        ("Condition", "code", "a|b|c", IssueCode::Value),
        ("Condition", "code", &many, IssueCode::TooCostly),
        ("Condition", "code:missing", "yes", IssueCode::Value),
        ("Condition", "onset-date", "ap", IssueCode::Value),
        ("Condition", "onset-date", "2020-13", IssueCode::Value),
        ("Condition", "onset-age", "x", IssueCode::Value),
        ("Condition", "onset-age", "5|kg", IssueCode::Value),
        ("Condition", "encounter", "Patient/x", IssueCode::Value),
        ("Condition", "encounter", "Foo/x", IssueCode::Value),
        ("Condition", "encounter", "a b", IssueCode::Value),
        ("Condition", "abatement-string", " ", IssueCode::Value),
        (
            "Condition",
            "patient.identifier",
            "14835210261",
            IssueCode::Value,
        ),
        (
            "Condition",
            "asserter:identifier",
            &format!("{FNR}|14835210261"),
            IssueCode::Value,
        ),
        ("Observation", "code-value-quantity", "x", IssueCode::Value),
        ("Observation", "code-value-quantity", "x$", IssueCode::Value),
        (
            "Observation",
            "code-value-quantity",
            "x$y",
            IssueCode::Value,
        ),
        ("Observation", "_sort", "foo", IssueCode::NotSupported),
        (
            "Observation",
            "_sort",
            "code-value-quantity",
            IssueCode::NotSupported,
        ),
        ("Observation", "_sort", "status,-status", IssueCode::Value),
        (
            "Observation",
            "_sort",
            "status,code,_id,category,method,device",
            IssueCode::TooCostly,
        ),
        ("Observation", "_sort:desc", "code", IssueCode::NotSupported),
        ("Observation", "_total", "some", IssueCode::Value),
        ("Observation", "encounter.status", "x", IssueCode::Value),
        (
            "Observation",
            "encounter:Patient.status",
            "x",
            IssueCode::NotSupported,
        ),
        (
            "Observation",
            "encounter:Encounter.foo",
            "x",
            IssueCode::NotSupported,
        ),
        (
            "Observation",
            "encounter:Encounter.location.name",
            "x",
            IssueCode::NotSupported,
        ),
        ("Observation", "code.status", "x", IssueCode::NotSupported),
        ("Observation", "foo.status", "x", IssueCode::NotSupported),
        (
            "Observation",
            "encounter:Encounter.",
            "x",
            IssueCode::NotSupported,
        ),
        (
            "Observation",
            "encounter:Encounter._sort",
            "date",
            IssueCode::NotSupported,
        ),
        (
            "Observation",
            "encounter:Encounter.part-of.part-of.status",
            "x",
            IssueCode::TooCostly,
        ),
        ("Patient", "_has:Observation:subject", "x", IssueCode::Value),
        (
            "Patient",
            "_has:Observation:code:status",
            "x",
            IssueCode::NotSupported,
        ),
        (
            "Patient",
            "_has:Foo:subject:status",
            "x",
            IssueCode::NotSupported,
        ),
        (
            "Patient",
            "_has:Observation:encounter:status",
            "x",
            IssueCode::Value,
        ),
        (
            "Patient",
            "_has:Observation:subject:foo",
            "x",
            IssueCode::NotSupported,
        ),
        (
            "Patient",
            "_has:Observation:subject:_has:Observation:derived-from:_has:Observation:derived-from:code",
            "x",
            IssueCode::TooCostly,
        ),
        ("Patient", "deceased", "maybe", IssueCode::Value),
        ("Patient", "active", "urn:x|true", IssueCode::Value),
        ("Patient", "gender", "urn:x|female", IssueCode::Value),
    ] {
        let issues = read(resource, &[(name, value)], Via::Post).unwrap_err();
        assert_eq!(
            (issues.len(), issues[0].code),
            (1, code),
            "{name}={value}: {issues:?}"
        );
        let shown: String = name.chars().take(64).collect();
        assert!(issues[0].expression == [shown], "{issues:?}");
        assert!(!issues[0].diagnostics.contains("14835210261"));
    }
    let issues = read("Condition", &[("codes", "x")], Via::Post).unwrap_err();
    assert!(issues[0].diagnostics.contains("onset-date"));
    assert!(read("Condition", &[("code", "x"); 20], Via::Post).is_ok());
    assert!(read("Condition", &[("code", "x"); 21], Via::Post).is_err());
}

#[test]
fn links_are_understood_with_what_stands_at_their_end() {
    for (resource, name, reverse, reference, end) in [
        (
            "Condition",
            "encounter.status",
            false,
            "encounter",
            "Encounter",
        ),
        (
            "Observation",
            "encounter:EpisodeOfCare.status",
            false,
            "encounter",
            "EpisodeOfCare",
        ),
        (
            "Observation",
            "patient.birthdate",
            false,
            "patient",
            "Patient",
        ),
        (
            "Patient",
            "_has:Observation:subject:code",
            true,
            "subject",
            "Observation",
        ),
        (
            "Condition",
            "_has:Observation:focus:code",
            true,
            "focus",
            "Observation",
        ),
    ] {
        let value = if name.ends_with("birthdate") {
            "2020"
        } else {
            "x"
        };
        let query = read(resource, &[(name, value)], Via::Post).unwrap();
        let [link] = query.links.as_slice() else {
            panic!("{name}")
        };
        assert_eq!(
            (
                link.reverse,
                link.reference.name,
                link.query.resource.as_str()
            ),
            (reverse, reference, end)
        );
        assert_eq!(query.others().len(), 1, "{name}");
    }
    let two = read(
        "Patient",
        &[(
            "_has:Encounter:subject:_has:Observation:encounter:code",
            "x",
        )],
        Via::Post,
    );
    let others = two.unwrap().others();
    assert_eq!(
        others.iter().map(|one| one.as_str()).collect::<Vec<_>>(),
        ["Encounter", "Observation"]
    );
    // The choices are named, and no value.
    let issues = read("Observation", &[("encounter.status", "secret")], Via::Post).unwrap_err();
    assert!(issues[0].diagnostics.contains("Encounter, EpisodeOfCare"));
    assert!(!format!("{issues:?}").contains("secret"));
    // Who is not searched here is no end.
    let few = Types::named(&["Observation", "Patient"]).unwrap();
    let form = [("encounter.status".to_owned(), "x".to_owned())];
    let zone = Zone::default();
    let resource = ResourceType::OBSERVATION;
    assert!(
        parse(
            resource,
            &form,
            Via::Post,
            &zone,
            PersonNumbers::Strict,
            Grammar::Whole(&few)
        )
        .is_err()
    );
}

#[test]
fn order_is_the_tables_own_where_it_can_be() {
    let keys = |resource, sort| {
        let query = read(resource, &[("_sort", sort)], Via::Post).unwrap();
        let key = |one: &crate::search::SortKey| (one.parameter.name, one.descending);
        (query.sort, query.keys.iter().map(key).collect::<Vec<_>>())
    };
    assert_eq!(keys("Observation", "date"), (Sort::DateAsc, vec![]));
    assert_eq!(
        keys("MedicationStatement", "-effective"),
        (Sort::DateDesc, vec![])
    );
    assert_eq!(
        keys("Encounter", "-date"),
        (Sort::DateDesc, vec![("date", true)])
    );
    assert_eq!(
        keys("Observation", "-date,status"),
        (Sort::DateDesc, vec![("date", true), ("status", false)])
    );
}

#[test]
fn nearly_a_date_is_a_tenth_of_the_way_to_now() {
    let body = r#"{"resourceType":"Condition","onsetDateTime":"DATE","subject":{"display":"x"}}"#;
    let now = crate::time::Instant::from_seconds(1_767_225_600); // 2026-01-01
    // 2006 begins twenty years before: two years on both sides.
    for (onset, expected) in [
        ("2004-02-01", true),
        ("2003-12-01", false),
        ("2008-12-01", true),
        ("2009-02-01", false),
    ] {
        let json = Json::parse(body.replace("DATE", onset), Limits::RESOURCE).unwrap();
        let mut query = read("Condition", &[("onset-date", "ap2006")], Via::Post).unwrap();
        query.approximate(now);
        assert_eq!(matches(json.root(), &query, None), expected, "{onset}");
    }
}

#[test]
fn a_number_in_a_url_is_refused_wherever_it_could_stand() {
    for resource in types() {
        for parameter in served(resource) {
            for name in [
                parameter.name.to_owned(),
                format!("{}:identifier", parameter.name),
            ] {
                if !may_carry_a_person(&name) {
                    continue;
                }
                let issues = read(resource.as_str(), &[(&name, PERSON)], Via::Get).unwrap_err();
                assert_eq!(issues[0].code, IssueCode::Security, "{resource} {name}");
            }
        }
    }
    for name in [
        "identifier",
        "identifier:of-type",
        "performer:identifier",
        "patient.identifier",
    ] {
        assert!(may_carry_a_person(name));
    }
    for name in [
        "code",
        "abatement-string",
        "_source",
        "subject",
        "encounter:missing",
    ] {
        let issues = read("Condition", &[(name, &format!("x|{PERSON}"))], Via::Get).unwrap_err();
        assert_eq!(issues[0].code, IssueCode::Security, "{name}");
    }
    assert!(read("Condition", &[("code", "x"), ("encounter", ID)], Via::Get).is_ok());
}

#[test]
fn the_hot_parameters_stay_fields_of_the_query() {
    let query = read(
        "Observation",
        &[
            ("patient.identifier", PERSON),
            ("code", "http://loinc.org|8867-4"),
            ("category", "vital-signs"),
            ("date", "ge2026-01-01"),
            ("date", "lt2026-02-01"),
            ("status", "final"),
            ("_id", ID),
            ("_count", "100"),
            ("_sort", "-date"),
        ],
        Via::Post,
    )
    .unwrap();
    assert!(query.filters.is_empty());
    assert_eq!(
        (query.codes.len(), query.dates.len(), query.ids.len()),
        (1, 2, 1)
    );
}

#[test]
fn enough_is_served_and_all_of_it_is_understood() {
    assert!(types().count() >= 20);
    let mut count = 0;
    for resource in types() {
        for parameter in served(resource) {
            count += 1;
            if parameter.definition.is_some() {
                let name = format!("{}:missing", parameter.name);
                let query = read(resource.as_str(), &[(&name, "true")], Via::Post);
                assert_eq!(query.unwrap().filters.len(), 1, "{resource} {name}");
            }
        }
    }
    assert!(count >= 200, "{count}");
}
