//! Tests of the search grammar: what is understood, and that everything else is refused aloud.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::index::Coding;
use crate::outcome::IssueCode;
use crate::time::{self, Range};
use proptest::prelude::*;

const PERSON: &str = "14835210260";
const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

fn search_as(
    resource: ResourceType,
    parameters: &[(&str, &str)],
    via: Via,
) -> Result<Query, Vec<Issue>> {
    let owned: Vec<_> = parameters
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    parse(
        resource,
        &owned,
        via,
        &Zone::default(),
        PersonNumbers::Strict,
        Grammar::Shared,
    )
}

fn search(parameters: &[(&str, &str)]) -> Result<Query, Vec<Issue>> {
    search_as(ResourceType::OBSERVATION, parameters, Via::Post)
}

/// The one issue's code, after checking that it names the parameter and holds no person's number.
fn refused(parameters: &[(&str, &str)]) -> IssueCode {
    let issues = search(parameters).unwrap_err();
    assert_eq!(issues.len(), 1, "{issues:?}");
    assert!(!format!("{issues:?}").contains(PERSON));
    assert!(
        parameters
            .iter()
            .any(|(name, _)| issues[0].expression == [*name]),
        "{issues:?}"
    );
    issues[0].code
}

#[test]
fn nothing_asked_is_the_default() {
    let query = search(&[]).unwrap();
    assert_eq!(query, Query::all(ResourceType::OBSERVATION));
    assert_eq!((query.count, query.sort), (50, Sort::DateDesc));
}

#[test]
fn a_whole_search() {
    let query = search(&[
        (
            "patient.identifier",
            &format!("urn:oid:2.16.578.1.12.4.1.4.1|{PERSON}"),
        ),
        ("code", "http://loinc.org|8867-4,|x,2708-6,urn:y|"),
        ("category", "vital-signs"),
        ("date", "ge2026-01-01"),
        ("date", "lt2026-02-01"),
        (
            "status",
            "final,http://hl7.org/fhir/observation-status|amended",
        ),
        ("_count", "200"),
        ("_sort", "date"),
    ])
    .unwrap();
    assert!(
        matches!(&query.patient, Some(PatientParam::Identifier(p)) if p.value().expose() == PERSON)
    );
    let token = |system: TokenSystem, code: Option<&str>| TokenParam {
        system,
        code: code.map(str::to_owned),
    };
    assert_eq!(
        query.codes,
        [
            token(TokenSystem::Is("http://loinc.org".into()), Some("8867-4")),
            token(TokenSystem::Absent, Some("x")),
            token(TokenSystem::Any, Some("2708-6")),
            token(TokenSystem::Is("urn:y".into()), None),
        ]
    );
    assert_eq!(
        query.dates.iter().map(|d| d.prefix).collect::<Vec<_>>(),
        [Prefix::Ge, Prefix::Lt]
    );
    assert_eq!(query.status, ["final", "amended"]);
    assert_eq!((query.count, query.sort), (200, Sort::DateAsc));
}

#[test]
fn the_patient_in_all_its_forms() {
    for value in [ID.to_owned(), format!("Patient/{ID}")] {
        let query = search(&[("patient", &value)]).unwrap();
        assert_eq!(
            query.patient,
            Some(PatientParam::Local(LogicalId::parse(ID).unwrap()))
        );
    }
    for name in ["patient.identifier", "subject:identifier"] {
        assert!(search(&[(name, PERSON)]).is_ok());
        assert!(
            search(&[(
                name,
                &format!("http://hl7.no/fhir/NamingSystem/FNR|{PERSON}")
            )])
            .is_ok()
        );
        for bad in [
            "",
            "|",
            "|14835210260",
            "urn:oid:2.16.578.1.12.4.1.4.1|",
            "14835210261",
            "1483521026",
            "14835210260,13717404089",
            "urn:x|14835210260",
            "a|b|c",
        ] {
            assert_eq!(refused(&[(name, bad)]), IssueCode::Value, "{bad}");
        }
    }
    for bad in [
        "",
        "Patient/",
        "Patient/1",
        "Observation/0f8fad5b-d9cb-469f-a165-70867728950e",
        "http://x/Patient/0f8fad5b-d9cb-469f-a165-70867728950e",
        PERSON,
        "*",
    ] {
        assert_eq!(refused(&[("patient", bad)]), IssueCode::Value, "{bad}");
    }
    assert_eq!(
        refused(&[("patient", ID), ("patient.identifier", PERSON)]),
        IssueCode::Value
    );
    assert_eq!(
        refused(&[("patient", ID), ("patient", ID)]),
        IssueCode::Value
    );
}

#[test]
fn a_persons_number_in_a_url_is_refused_and_pointed_to_post() {
    for (resource, name) in [
        (ResourceType::OBSERVATION, "patient.identifier"),
        (ResourceType::OBSERVATION, "subject:identifier"),
        (ResourceType::PATIENT, "identifier"),
        (ResourceType::AUDIT_EVENT, "patient.identifier"),
    ] {
        assert!(search_as(resource, &[(name, PERSON)], Via::Post).is_ok());
        let issues = search_as(resource, &[(name, PERSON)], Via::Get).unwrap_err();
        assert_eq!(issues[0].code, IssueCode::Security);
        assert!(
            issues[0].diagnostics.contains("_search") && !issues[0].diagnostics.contains(PERSON)
        );
    }
    assert!(search_as(ResourceType::OBSERVATION, &[("patient", ID)], Via::Get).is_ok());
}

#[test]
fn no_person_parameter_of_the_table_is_open_by_get() {
    for row in SUPPORTED {
        for parameter in row.parameters {
            let carries = parameter.name.contains("identifier");
            assert_eq!(
                carries,
                parameter.feeds == Feeds::Person,
                "{} {}",
                row.resource,
                parameter.name
            );
        }
    }
}

#[test]
fn unknown_parameters_and_modifiers_are_refused_with_what_is_supported() {
    for name in [
        "codes",
        "Code",
        "code:not",
        "code:text",
        "date:missing",
        "patient:Patient",
        "subject",
        "performer:identifier",
        "_include",
        "_has:x:y",
        "_filter",
        "_text",
        "value-quantity",
        "",
        "encounter.patient",
    ] {
        let issues = search(&[(name, "x")]).unwrap_err();
        assert_eq!(issues[0].code, IssueCode::NotSupported, "{name}");
        assert!(
            issues[0].diagnostics.contains("patient.identifier"),
            "{name}"
        );
    }
    // The name itself may be anything, also a person's number.
    let issues = search(&[(PERSON, "x")]).unwrap_err();
    assert!(!format!("{issues:?}").contains(PERSON));
    assert!(search_as(ResourceType::PATIENT, &[("date", "2026")], Via::Post).is_err());
    assert!(search_as(ResourceType::CARE_PLAN, &[("code", "x")], Via::Post).is_err());
    assert_eq!(
        search_as(ResourceType::ORGANIZATION, &[], Via::Post).unwrap_err()[0].code,
        IssueCode::NotSupported
    );
}

#[test]
fn empty_values_never_mean_all() {
    for name in SUPPORTED[0].parameters.iter().map(|p| p.name) {
        assert_eq!(refused(&[(name, "")]), IssueCode::Value, "{name}");
    }
    for bad in [",", "a,", ",a", "a,,b", "|", "a|b|c"] {
        assert_eq!(refused(&[("code", bad)]), IssueCode::Value, "{bad}");
        assert_eq!(refused(&[("category", bad)]), IssueCode::Value, "{bad}");
    }
}

#[test]
fn all_findings_come_at_once() {
    let issues = search(&[("x", "1"), ("_count", "0"), ("date", "2026-13")]).unwrap_err();
    assert_eq!(
        issues
            .iter()
            .map(|i| i.expression[0].as_str())
            .collect::<Vec<_>>(),
        ["x", "_count", "date"]
    );
}

#[test]
fn counts_and_sorts() {
    for good in ["1", "50", "200", "007"] {
        assert!(search(&[("_count", good)]).is_ok());
    }
    for bad in [
        "0",
        "201",
        "-1",
        "+5",
        "5.0",
        "ten",
        "99999999999999999999",
        " 5",
        "٣",
    ] {
        assert_eq!(refused(&[("_count", bad)]), IssueCode::Value, "{bad}");
    }
    for bad in ["-Date", "code", "date,-date", "+date", "--date"] {
        assert_eq!(refused(&[("_sort", bad)]), IssueCode::NotSupported, "{bad}");
    }
}

#[test]
fn repeats_are_refused_but_for_dates() {
    for (name, value) in [
        ("code", "x"),
        ("category", "x"),
        ("status", "final"),
        ("_id", ID),
        ("_count", "5"),
        ("_sort", "date"),
    ] {
        assert_eq!(
            refused(&[(name, value), (name, value)]),
            IssueCode::Value,
            "{name}"
        );
    }
    let twice = [("date", "ge2026"), ("effective", "le2026")];
    let query = search_as(ResourceType::MEDICATION_STATEMENT, &twice, Via::Post).unwrap();
    assert_eq!(query.dates.len(), 2);
}

#[test]
fn limits_hold_on_both_sides_of_the_border() {
    let list = |n: usize| vec!["a"; n].join(",");
    assert!(search(&[("code", &list(50))]).is_ok());
    assert_eq!(refused(&[("code", &list(51))]), IssueCode::TooCostly);
    assert!(search(&[("date", "2026"); 20]).is_ok());
    assert_eq!(
        search(&[("date", "2026"); 21]).unwrap_err()[0].code,
        IssueCode::TooCostly
    );
}

#[test]
fn ids_and_statuses() {
    assert_eq!(
        search(&[("_id", &format!("{ID},{ID}"))]).unwrap().ids.len(),
        2
    );
    assert_eq!(refused(&[("_id", "1")]), IssueCode::Value);
    for bad in [
        "http://other|final",
        "|final",
        "http://hl7.org/fhir/observation-status|",
    ] {
        assert_eq!(refused(&[("status", bad)]), IssueCode::Value, "{bad}");
    }
}

#[test]
fn dates_that_are_refused() {
    for bad in [
        "ap2026",
        "xx2026",
        "EQ2026",
        "ge",
        "2026-02-30",
        "ge2026-01-01T10",
        "2026-01-01T10:00:00 02:00",
        "today",
        "ge 2026",
        "é2026",
    ] {
        assert_eq!(refused(&[("date", bad)]), IssueCode::Value, "{bad}");
    }
    assert_eq!(refused(&[("date", "2026,2027")]), IssueCode::NotSupported);
    let issues = search(&[("date", "ap2026")]).unwrap_err();
    assert!(issues[0].diagnostics.contains("ap is not supported"));
}

#[test]
fn tokens_match_codings() {
    let with = |system: Option<&str>| Coding {
        system: system.map(str::to_owned),
        code: "c".into(),
    };
    for (token, in_x, in_none) in [
        ("c", true, true),
        ("x|c", true, false),
        ("|c", false, true),
        ("x|", true, false),
        ("x|d", false, false),
        ("y|c", false, false),
        ("C", false, false),
    ] {
        let token = TokenParam::parse(token).unwrap();
        assert_eq!(
            (token.matches(&with(Some("x"))), token.matches(&with(None))),
            (in_x, in_none),
            "{token:?}"
        );
    }
    let escaped = TokenParam::parse("a\\|b|c\\,d\\\\").unwrap();
    assert_eq!(
        escaped,
        TokenParam {
            system: TokenSystem::Is("a|b".into()),
            code: Some("c,d\\".into())
        }
    );
    let list = search(&[("code", "a\\,b,c")]).unwrap().codes;
    assert_eq!(
        list.iter()
            .map(|t| t.code.clone().unwrap())
            .collect::<Vec<_>>(),
        ["a,b", "c"]
    );
}

/// The parameter 2026-03 (UTC+1 to the 29th, then +2) against points and periods at its borders.
#[test]
fn prefixes_on_ranges() {
    let zone = Zone::default();
    let range = |text: &str| time::parse_date(text, &zone).unwrap();
    let period = |from: &str, to: &str| Range {
        lo: range(from).lo,
        hi: range(to).hi,
    };
    let inside = range("2026-03-15");
    let before = range("2026-02-28");
    let after = range("2026-04-01");
    let same = range("2026-03");
    let into = period("2026-02-20", "2026-03-10");
    let out = period("2026-03-20", "2026-04-10");
    let around = period("2026-01-01", "2026-12-31");
    // Columns: before, into, inside, same, out, after, around.
    for (prefix, expected) in [
        ("", [false, false, true, true, false, false, false]),
        ("eq", [false, false, true, true, false, false, false]),
        ("ne", [true, true, false, false, true, true, true]),
        ("gt", [false, false, false, false, true, true, true]),
        ("lt", [true, true, false, false, false, false, true]),
        ("ge", [false, false, true, true, true, true, true]),
        ("le", [true, true, true, true, false, false, true]),
        ("sa", [false, false, false, false, false, true, false]),
        ("eb", [true, false, false, false, false, false, false]),
    ] {
        let query = search(&[("date", &format!("{prefix}2026-03"))]).unwrap();
        let got = [before, into, inside, same, out, after, around]
            .map(|when| query.dates[0].matches(&when));
        assert_eq!(got, expected, "{prefix}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_or_tells_a_value(name in prop::sample::select(SUPPORTED[0].parameters.iter().map(|p| p.name).collect::<Vec<_>>()), value in "\\PC{0,40}") {
        let secret = format!("{value}zqx");
        if let Err(issues) = search(&[(name, &secret)]) {
            for issue in issues {
                prop_assert!(!issue.diagnostics.contains("zqx"));
            }
        }
    }

    #[test]
    fn prefixes_agree_with_each_other(lo in 0_i64..40, width in 1_i64..20, plo in 0_i64..40, pwidth in 1_i64..20) {
        let when = Range { lo, hi: lo + width };
        let range = Range { lo: plo, hi: plo + pwidth };
        let is = |prefix| DateParam { prefix, range }.matches(&when);
        prop_assert_eq!(is(Prefix::Ne), !is(Prefix::Eq));
        prop_assert_eq!(is(Prefix::Ge), is(Prefix::Gt) || is(Prefix::Eq));
        prop_assert_eq!(is(Prefix::Le), is(Prefix::Lt) || is(Prefix::Eq));
        prop_assert!(!is(Prefix::Sa) || (is(Prefix::Gt) && !is(Prefix::Lt)));
        prop_assert!(!is(Prefix::Eb) || (is(Prefix::Lt) && !is(Prefix::Gt)));
        prop_assert!(is(Prefix::Ge) || is(Prefix::Le));
    }
}
