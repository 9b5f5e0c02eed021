//! The AuditEvent as a controller and as the patient see it.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

use super::*;
use crate::audit::{Disclosed, Peer};
use crate::rules::people::{Case, FJELLVIK, PATIENT, PHYSICIAN, org, permit};

fn record(case: &Case) -> Record {
    Record::new(
        case.facts.now,
        "5f0c",
        case.ask.interaction,
        "patient.identifier=x&code=y",
    )
    .by(&case.caller)
    .permitted(&permit(case))
    .disclosing(vec![
        Disclosed {
            resource: "Observation".into(),
            id: "a".into(),
            version: 1,
        },
        Disclosed {
            resource: "Observation".into(),
            id: "b".into(),
            version: 3,
        },
    ])
    .with_peers(vec![Peer {
        organisation: FJELLVIK.into(),
        service: "fjellvik".into(),
        state: "complete".into(),
        count: 2,
    }])
}

/// As rendered, and checked: it is sound FHIR, and meets the profile that it claims.
fn show(record: &Record, case: &Case, view: View) -> Value {
    let shown = rendered(record, case, view);
    let limits = ::fhir::json::Limits::RESOURCE;
    let json = ::fhir::json::Json::parse(shown.to_string().into_bytes(), limits).unwrap();
    let found = ::fhir::check::check(&json, json.root(), &Default::default()).err();
    let wrong: Vec<_> = found
        .into_iter()
        .flatten()
        .map(|issue| (issue.expression, issue.diagnostics))
        .collect();
    assert_eq!(wrong, [], "{shown:#}");
    shown
}

fn rendered(record: &Record, case: &Case, view: View) -> Value {
    let observer = Observer {
        organisation: &org(FJELLVIK),
        service: "fjellvik",
        register: &case.facts.register,
    };
    render(
        record,
        "11111111-2222-4333-8444-555555555555",
        observer,
        view,
    )
}

fn case() -> Case {
    let mut case = Case::practitioner();
    case.attest(|attest| {
        attest.care_relationship.healthcare_service = Some(Code {
            code: "S01".into(),
            text: None,
            system: "urn:oid:2.16.578.1.12.4.1.1.8655".into(),
            assigner: None,
        });
        attest.practitioner.department = Some(Id {
            id: "4001234".into(),
            name: Some("Lungeavdelingen".into()),
            system: systems::RESH.into(),
            authority: None,
        });
    });
    case
}

#[test]
fn for_the_controller() {
    let case = case();
    insta::assert_json_snapshot!(show(&record(&case), &case, View::Controller));
}

#[test]
fn for_the_patient_without_staff_numbers() {
    let case = case();
    let shown = show(&record(&case), &case, View::Patient);
    let text = shown.to_string();
    for hidden in [PHYSICIAN, "9144900", "decision-1", "cGF0aWVudC", "\"a\""] {
        assert!(!text.contains(hidden), "{hidden}");
    }
    assert!(text.contains(PATIENT) && text.contains("Lege Syntetisk") && text.contains("REDACTED"));
    insta::assert_json_snapshot!(shown);
}

#[test]
fn a_record_survives_its_stored_form() {
    let case = case();
    let whole = record(&case);
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), whole);
    assert!(text.contains(r#""Observation/b/3""#));
    let shown = format!("{whole:?}");
    assert!(!shown.contains(PATIENT) && !shown.contains(PHYSICIAN));
}

#[test]
fn refusals_and_unknown_callers_have_records_too() {
    let mut case = Case::practitioner();
    case.caller.agreement = None;
    let refusal = crate::decide(&case.ask, &case.caller, &case.facts)
        .permit()
        .unwrap_err();
    let refused = Record::new(case.facts.now, "r", case.ask.interaction, "q")
        .by(&case.caller)
        .refused(&refusal);
    assert_eq!(
        show(&refused, &case, View::Controller)["outcomeDesc"],
        "refused by agreement: agreement_missing"
    );
    let unknown = Record::new(case.facts.now, "r", case.ask.interaction, "q")
        .unauthenticated("invalid_token");
    let shown = show(&unknown, &case, View::Controller);
    assert_eq!(shown["outcome"], "4");
    assert_eq!(shown["agent"][0]["who"]["display"], "unknown");
    assert!(shown.get("purposeOfEvent").is_none());
}

#[test]
fn only_an_event_of_somebody_in_a_role_with_a_purpose_about_a_patient_claims_the_profile() {
    let claims = |record: &Record, case: &Case| {
        [View::Controller, View::Patient, View::Representative].map(|view| {
            let shown = show(record, case, view);
            shown["meta"].get("profile").is_some()
        })
    };
    let case = case();
    assert_eq!(claims(&record(&case), &case), [true; 3]);
    for change in [
        |one: &mut Record| one.patient = None,
        |one: &mut Record| one.purpose = None,
        |one: &mut Record| one.person = None,
    ] {
        let mut other = record(&case);
        change(&mut other);
        assert_eq!(claims(&other, &case), [false; 3]);
    }
    let citizen = Case::citizen();
    assert_eq!(claims(&record(&citizen), &citizen), [false; 3]);
}

/// A refusal of this code by this rule.
fn refused(case: &Case, rule: &'static str, code: &'static str) -> Record {
    let refusal = crate::Refusal {
        rule,
        category: crate::Category::Forbidden,
        code,
        message: "",
    };
    Record::new(case.facts.now, "5f0c", case.ask.interaction, "q")
        .by(&case.caller)
        .refused(&refusal)
}

#[test]
fn why_it_was_refused_is_told_in_her_words_and_to_who_acts_for_her_not_at_all() {
    let case = case();
    let record = refused(&case, "block", "practitioner_blocked");
    let told = |view| show(&record, &case, view)["outcomeDesc"].clone();
    assert_eq!(
        told(View::Controller),
        "refused by block: practitioner_blocked"
    );
    let words = crate::explain::of("practitioner_blocked").nb;
    assert_eq!(told(View::Patient), words);
    assert_eq!(told(View::Representative), "refused");
    let shown = show(&record, &case, View::Representative).to_string();
    assert!(
        !shown.contains("block") && !shown.contains("sperr"),
        "{shown}"
    );
    assert!(!shown.contains("5f0c"), "nor by which id to ask");
    // What was allowed or failed says so to all.
    for view in [View::Controller, View::Patient, View::Representative] {
        let allowed = self::record(&case);
        assert_eq!(show(&allowed, &case, view)["outcomeDesc"], "allowed");
        assert_eq!(show(&allowed, &case, view)["outcome"], "0");
        assert_eq!(show(&record, &case, view)["outcome"], "4");
    }
}

#[test]
fn who_reads_the_trail_at_a_service_sees_no_more_than_the_patient() {
    assert_eq!(View::of(&Case::citizen().caller.person), View::Patient);
    assert_eq!(View::of(&Case::practitioner().caller.person), View::Patient);
    assert_eq!(View::of(&crate::Person::System), View::Patient);
    let mut person = Case::citizen().caller.person;
    if let crate::Person::Citizen { represents, .. } = &mut person {
        *represents = Some(crate::caller::Representation {
            id: "r-1".into(),
            services: Vec::new(),
            log: true,
            notes: false,
        });
    }
    assert_eq!(View::of(&person), View::Representative);
}

#[test]
fn a_request_is_hers_who_made_it_for_the_patient_and_nobody_elses() {
    let own = Case::citizen().caller;
    let mut acting = own.clone();
    if let crate::Person::Citizen { represents, .. } = &mut acting.person {
        *represents = Some(crate::caller::Representation {
            id: "r-1".into(),
            services: Vec::new(),
            log: true,
            notes: false,
        });
    }
    let herself = own.person.identifier().unwrap().clone();
    let other = crate::rules::people::person(PHYSICIAN);
    let case = case();
    let asked = |caller: &crate::Caller, by: &fhir::ids::PersonIdentifier| {
        Record::new(case.facts.now, "5f0c", case.ask.interaction, "q")
            .by(caller)
            .is_asked_for_the_patient_by(by)
    };
    assert!(asked(&acting, &herself));
    assert!(!asked(&acting, &other));
    assert!(!asked(&own, &herself), "about herself, not for another");
    assert!(!asked(
        &Case::system(crate::ClientUse::RecordSystem, FJELLVIK).caller,
        &herself
    ));
}

#[test]
fn by_the_requests_id_the_patient_asks_why() {
    let case = case();
    let ids = |view| {
        let shown = show(&record(&case), &case, view);
        let entities = shown["entity"].as_array().unwrap().clone();
        entities
            .iter()
            .flat_map(|one| one["detail"].as_array().cloned().unwrap_or_default())
            .filter(|detail| detail["type"] == REQUEST_ID)
            .map(|detail| detail["valueString"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(View::Controller), ["5f0c"]);
    assert_eq!(ids(View::Patient), ["5f0c"]);
    assert_eq!(ids(View::Representative), [""; 0]);
}

#[test]
fn what_a_decision_rested_on_is_the_controllers_alone_to_know() {
    let mut case = case();
    case.agreement(&["IT08", "IT17"]);
    case.wish(crate::wish::Closed::Services {
        services: vec![crate::rules::people::service("IT17")],
    });
    let wish = case.facts.wishes[0].id.clone();
    let mut record = record(&case).with_facts(&case.facts);
    record.inputs.settings_as_of = Some(::fhir::time::Instant::from_seconds(0));
    let scope = case.caller.scopes.to_string();
    assert!(!scope.is_empty());
    let shown = show(&record, &case, View::Controller);
    let details = shown["entity"][0]["detail"].as_array().unwrap();
    let detail = |kind: &str| {
        let found = details.iter().find(|one| one["type"] == kind);
        found.map(|one| one["valueString"].as_str().unwrap().to_owned())
    };
    assert_eq!(detail("scope"), Some(scope.clone()));
    assert_eq!(detail("security-level").as_deref(), Some("4"));
    assert_eq!(detail("agreed").as_deref(), Some("IT08 IT17"));
    assert_eq!(detail("wishes"), Some(wish.clone()));
    assert!(detail("settings-as-of").unwrap().starts_with("1970-01-01T"));
    for view in [View::Patient, View::Representative] {
        let shown = show(&record, &case, view).to_string();
        assert!(!shown.contains(&scope) && !shown.contains(&wish), "{shown}");
    }
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    // What has ended by now was no part of it.
    let mut wishes = case.facts.wishes.to_vec();
    wishes[0].until = Some(case.facts.now);
    let facts = case.facts.clone().with(wishes.into());
    assert!(
        self::record(&case)
            .with_facts(&facts)
            .inputs
            .wishes
            .is_empty()
    );
    // A system has no level; without anything to tell nothing is kept.
    let system = Case::system(crate::ClientUse::RecordSystem, FJELLVIK);
    assert_eq!(self::record(&system).inputs.security_level, None);
    let unknown = Record::new(case.facts.now, "r", case.ask.interaction, "q");
    assert!(unknown.inputs.is_empty() && !self::record(&case).inputs.is_empty());
    let text = serde_json::to_string(&unknown).unwrap();
    assert!(!text.contains("inputs"), "{text}");
}

#[test]
fn a_refusal_keeps_the_rules_that_were_asked_as_far_as_the_one_that_refused() {
    let case = case();
    let rules = |rule, code| {
        let record = refused(&case, rule, code);
        let names = record.rules.iter().map(|(name, _)| name.as_str());
        (
            names.collect::<Vec<_>>().join(" "),
            record.rules.last().map(|last| last.1),
        )
    };
    let (first, version) = rules("audience", "wrong_audience");
    assert_eq!((first.as_str(), version), ("audience", Some(1)));
    let (asked, version) = rules("block", "blocked");
    assert!(asked.starts_with("audience role scope ") && asked.ends_with(" reservation block"));
    let block = crate::rules::LIST.iter().find(|rule| rule.name == "block");
    assert_eq!(version, block.map(|rule| rule.version));
    assert!(
        !asked.contains("minimisation"),
        "asked after it, and so not asked"
    );
    // What no rule of the list said is no rule's; and what was permitted keeps what was asked for that.
    assert_eq!(rules("member", "other_member"), (String::new(), None));
    let permitted = record(&case);
    let all = permitted.rules.len();
    let refusal = crate::Refusal {
        rule: "authorisation",
        category: crate::Category::Forbidden,
        code: "detail_closed",
        message: "",
    };
    assert_eq!(permitted.refused(&refusal).rules.len(), all);
    assert_eq!(all, crate::rules::LIST.len());
}

#[test]
fn whom_it_was_attempted_about_finds_who_asked_and_nothing_of_the_other_patient() {
    const ARNE: &str = PHYSICIAN;
    let mut case = Case::practitioner();
    case.purpose("BTG", Some("she is unconscious"));
    case.wish(crate::wish::Closed::Everything);
    case.attest(|attest| {
        let code = |code: &str, system: &str| {
            Some(Code {
                code: code.into(),
                text: None,
                system: system.into(),
                assigner: None,
            })
        };
        attest.care_relationship.healthcare_service =
            code("P01", "urn:oid:2.16.578.1.12.4.1.1.8655");
        attest.care_relationship.purpose_of_use_details =
            code("POLBESOK", "https://terminology.dips.com/decisiontemplate");
    });
    let refused = refused(&case, "patient", "other_patient").with_facts(&case.facts);
    let arne = crate::rules::people::person(ARNE);
    let other = refused.attempted(arne.clone());
    assert_eq!(other.patient, Some(arne));
    assert_eq!(
        (
            &other.request_id,
            &other.rules,
            &other.when,
            &other.organisation,
            &other.person
        ),
        (
            &refused.request_id,
            &refused.rules,
            &refused.when,
            &refused.organisation,
            &refused.person
        )
    );
    assert_eq!(
        other.outcome,
        Outcome::Refused {
            rule: "patient".into(),
            code: "others_access".into()
        }
    );
    for view in [View::Patient, View::Controller] {
        let shown = show(&other, &case, view);
        let text = shown.to_string();
        for hidden in [PATIENT, "unconscious", "P01", "POLBESOK", "decision-1"] {
            assert!(!text.contains(hidden), "{view:?}: {hidden}");
        }
        assert!(
            text.contains("Lege Syntetisk") && text.contains("BTG"),
            "{text}"
        );
        assert_eq!(shown["contained"][0]["identifier"][0]["value"], ARNE);
    }
    assert!(other.inputs.wishes.is_empty() && !refused.inputs.wishes.is_empty());
    let words = crate::explain::of("others_access");
    assert!(words.nb.contains("en annen pasient"));
    assert_eq!(show(&other, &case, View::Patient)["outcomeDesc"], words.nb);
    // Somebody who acts for her is nobody to the other.
    let mut citizen = Case::citizen();
    if let crate::Person::Citizen { represents, .. } = &mut citizen.caller.person {
        *represents = Some(crate::caller::Representation {
            id: "r-1".into(),
            services: Vec::new(),
            log: false,
            notes: false,
        });
    }
    let refused = self::refused(&citizen, "patient", "other_patient");
    assert!(refused.person.as_ref().unwrap().represents);
    let other = refused.attempted(crate::rules::people::person(ARNE));
    assert!(!other.person.as_ref().unwrap().represents);
}

#[test]
fn citizens_and_systems() {
    let case = Case::citizen();
    let shown = show(&record(&case), &case, View::Patient);
    assert_eq!(shown["agent"][0]["name"], "Ragnhild Testmo");
    let case = Case::system(crate::ClientUse::RecordSystem, FJELLVIK);
    let shown = show(&record(&case), &case, View::Controller);
    assert!(shown["contained"].to_string().contains(FJELLVIK));
}

#[test]
fn a_long_question_is_cut_on_a_character() {
    let long = "å".repeat(10_000);
    let record = Record::new(
        ::fhir::time::Instant::from_seconds(0),
        "r",
        crate::Interaction::Search,
        &long,
    );
    assert!(record.asked.len() == 8 * 1024 + 3 && record.asked.ends_with('…'));
    // One byte further on the border falls within a letter; at the border nothing is cut.
    let asked = |text: String| {
        Record::new(
            ::fhir::time::Instant::from_seconds(0),
            "r",
            crate::Interaction::Search,
            &text,
        )
        .asked
    };
    assert_eq!(asked(format!("a{long}")).len(), 8 * 1024 - 1 + 3);
    let border = "a".repeat(8 * 1024);
    assert_eq!(asked(border.clone()), border);
}

#[test]
fn what_was_given_out_as_numbers_is_counted_for_both() {
    let case = case();
    let record = record(&case).counting(vec![crate::audit::Counted {
        resource: "Observation".into(),
        what: "http://loinc.org|29463-7".into(),
        count: 40,
    }]);
    let entity = |view| show(&record, &case, view)["entity"].to_string();
    let shown = entity(View::Patient);
    assert!(
        shown.contains(r#""valueString":"42""#) && !shown.contains("29463-7"),
        "{shown}"
    );
    let shown = entity(View::Controller);
    assert!(
        shown.contains("29463-7") && shown.contains(r#""valueString":"40""#),
        "{shown}"
    );
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}

#[test]
fn the_relation_of_care_is_shown_where_fhir_can_write_its_time() {
    let case = case();
    let mut record = record(&case);
    for (toa, shown) in [
        (-1, false),
        (0, true),
        (i64::from(i32::MAX), true),
        (i64::from(i32::MAX) + 1, false),
    ] {
        record.toa = Some(toa);
        let extensions = show(&record, &case, View::Controller)["extension"].to_string();
        assert_eq!(extensions.contains("carerelation"), shown, "{toa}");
    }
}

#[test]
fn a_gateway_that_is_the_client_is_named_once() {
    let mut case = case();
    for (gateway, applications) in [(None, 1), (Some("client"), 1), (Some("gateway"), 2)] {
        case.caller.gateway = gateway.map(str::to_owned);
        let shown = show(&record(&case), &case, View::Controller);
        let agents = shown["agent"].as_array().unwrap();
        // The first is the person who asked.
        assert_eq!(agents.len(), 1 + applications, "{gateway:?}");
    }
}
