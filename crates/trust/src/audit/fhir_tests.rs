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

fn show(record: &Record, case: &Case, view: View) -> Value {
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
        (i64::from(u32::MAX), true),
        (i64::from(u32::MAX) + 1, false),
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
