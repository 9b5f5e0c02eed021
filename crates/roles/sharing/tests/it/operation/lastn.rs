//! `$lastn` gives the newest of each kind of measurement, of one patient, and no more.

use super::call;
use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;
use trust::audit::Outcome;

const PATH: &str = "/Observation/$lastn";

fn coded(mut body: Value, codes: &[(&str, &str)]) -> Value {
    let list: Vec<Value> = codes
        .iter()
        .map(|(system, code)| json!({"system": system, "code": code}))
        .collect();
    body["code"] = json!({"coding": list});
    body
}

/// Three kinds under several codings, of two patients.
async fn filled() -> Service {
    let service = Service::fjellvik().await;
    let snomed = "http://snomed.info/sct";
    let day = |n: u32| format!("2026-11-{n:02}T08:00:00+01:00");
    let mut list = Vec::new();
    for n in 1..=5 {
        let body = reading(ragnhild(), &format!("s-{n}"), &day(n), &format!("9{n}"));
        // One and the same kind, coded in both and in either system.
        list.push(match n % 3 {
            0 => body,
            1 => coded(body, &[(snomed, "431314004")]),
            _ => coded(body, &[("http://loinc.org", "2708-6")]),
        });
        list.push(pulse(ragnhild(), &format!("p-{n}"), &day(n)));
    }
    // Pulse by its own SNOMED CT code goes with heart rate.
    let own = coded(pulse(ragnhild(), "p-6", &day(6)), &[(snomed, "78564009")]);
    list.push(own);
    let mut wrong = reading(ragnhild(), "s-9", &day(9), "40");
    wrong["status"] = "entered-in-error".into();
    list.push(wrong);
    let mut unknown = coded(
        reading(ragnhild(), "u-1", &day(2), "7"),
        &[("urn:house", "x")],
    );
    unknown["category"] =
        json!([{"coding": [{"system": fhir::systems::OBSERVATION_CATEGORY, "code": "exam"}]}]);
    list.push(unknown);
    list.push(reading(arne(), "a-1", &day(10), "97"));
    let owner = service.record_system(FJELLVIK);
    let reply = service.post(&owner, "/", &bundle("batch", &list)).await;
    for entry in reply.json["entry"].as_array().unwrap() {
        assert!(
            entry["response"]["status"]
                .as_str()
                .unwrap()
                .starts_with("201"),
            "{entry}"
        );
    }
    service
}

/// The matches' own identifiers.
fn keys(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let key = |m: &&Value| m["identifier"][0]["value"].as_str().unwrap().to_owned();
    reply.matches().iter().map(key).collect()
}

async fn newest(service: &Service, who: &Held, form: &[(&str, &str)]) -> Vec<String> {
    keys(&call(service, who, PATH, form).await)
}

#[tokio::test]
async fn the_newest_of_each_kind_whatever_its_codes() {
    let service = filled().await;
    let who = service.physician(ragnhild());
    assert_eq!(newest(&service, &who, &[]).await, ["p-6", "s-5", "u-1"]);
    assert_eq!(
        newest(&service, &who, &[("max", "3")]).await,
        ["p-6", "p-5", "p-4", "s-5", "s-4", "s-3", "u-1"]
    );
    assert_eq!(newest(&service, &who, &[("max", "100")]).await.len(), 12);
    // A code is matched as in a search; only the counting is by kind.
    assert_eq!(newest(&service, &who, &[("code", "2708-6")]).await, ["s-5"]);
    assert_eq!(
        newest(
            &service,
            &who,
            &[("code", "431314004,78564009"), ("max", "9")]
        )
        .await,
        ["p-6", "s-4", "s-3", "s-1"]
    );
    assert_eq!(
        newest(&service, &who, &[("category", "exam")]).await,
        ["u-1"]
    );
    assert_eq!(
        newest(
            &service,
            &who,
            &[("date", "lt2026-11-03"), ("category", "vital-signs")]
        )
        .await,
        ["p-2", "s-2"]
    );
    // What is in error counts only for who asks for it.
    assert_eq!(
        newest(&service, &who, &[("status", "entered-in-error")]).await,
        ["s-9"]
    );
    assert!(
        newest(&service, &who, &[("code", "nothing")])
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn parameters_say_the_same_and_the_link_names_nobody() {
    let service = filled().await;
    let owner = service.record_system(FJELLVIK);
    let of = [
        ("patient.identifier", ragnhild().number.as_str()),
        ("code", "8867-4"),
        ("max", "2"),
    ];
    let by_form = call(&service, &owner, PATH, &of).await;
    assert_eq!(keys(&by_form), ["p-5", "p-4"]);
    assert_eq!(by_form.json["total"], 2);
    let own = by_form.link("self").unwrap().to_owned();
    assert!(
        own.contains("/Observation/$lastn?patient=Patient%2F") && !own.contains(&ragnhild().number),
        "{own}"
    );
    let patient = service
        .search(&owner, "Patient", &[("identifier", &number(ragnhild()))])
        .await;
    let id = found(&patient).remove(0);
    let asked = json!({"resourceType": "Parameters", "parameter": [
        {"name": "subject", "valueUri": format!("Patient/{id}")},
        {"name": "code", "valueString": "8867-4"},
        {"name": "max", "valuePositiveInt": 2},
    ]});
    let by_parameters = service.post(&owner, PATH, &asked).await;
    assert_eq!(keys(&by_parameters), ["p-5", "p-4"]);
    assert_eq!(by_parameters.link("self").unwrap(), own);
}

#[tokio::test]
async fn one_patients_data_only_and_all_of_it_on_record() {
    let service = filled().await;
    let who = service.physician(ragnhild());
    let reply = call(
        &service,
        &who,
        PATH,
        &[("patient.identifier", &ragnhild().number)],
    )
    .await;
    let record = service.last_record().await;
    let mut given: Vec<String> = record.disclosed.iter().map(|d| d.id.clone()).collect();
    let mut shown = found(&reply);
    given.sort();
    shown.sort();
    assert_eq!((given, record.outcome), (shown, Outcome::Allowed));
    // Another patient, by number or by id, is nothing at all.
    let owner = service.record_system(FJELLVIK);
    let other = service
        .search(&owner, "Patient", &[("identifier", &number(arne()))])
        .await;
    let other = format!("Patient/{}", found(&other)[0]);
    for form in [
        ("patient.identifier", arne().number.as_str()),
        ("subject", other.as_str()),
    ] {
        assert!(newest(&service, &who, &[form]).await.is_empty());
        assert!(matches!(
            service.last_record().await.outcome,
            Outcome::Refused { .. }
        ));
    }
    // A system names the patient; an id that nobody has finds nothing.
    let reply = call(&service, &owner, PATH, &[]).await;
    assert_eq!(
        (reply.status, issues(&reply.json)),
        (
            StatusCode::BAD_REQUEST,
            vec!["required @ subject".to_owned()]
        )
    );
    let nobody = "Patient/00000000-0000-4000-8000-000000000009";
    assert!(
        newest(&service, &owner, &[("subject", nobody)])
            .await
            .is_empty()
    );
    // Who may not see the kind sees nothing; who has no right is told so.
    let narrow = service.physician_but(ragnhild(), |claims| {
        let plans = fhir::resource::ResourceType::CARE_PLAN.information_service();
        claims.agreement.as_mut().unwrap().services = plans.into_iter().collect();
    });
    assert!(newest(&service, &narrow, &[]).await.is_empty());
    let scope = service.physician_but(ragnhild(), |claims| {
        claims.scope = "user/CarePlan.rs".into()
    });
    assert_eq!(
        call(&service, &scope, PATH, &[]).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn what_is_not_understood_is_refused_by_name() {
    let service = filled().await;
    let who = service.physician(ragnhild());
    for (form, expected) in [
        ([("max", "0")], "value @ max"),
        ([("max", "101")], "value @ max"),
        ([("max", "-1")], "value @ max"),
        ([("maximum", "1")], "not-supported @ maximum"),
        ([("_count", "1")], "not-supported @ _count"),
        ([("_sort", "date")], "not-supported @ _sort"),
        ([("code", "")], "value @ code"),
        ([("date", "xx")], "value @ date"),
    ] {
        let reply = call(&service, &who, PATH, &form).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{form:?}");
        assert_eq!(issues(&reply.json), [expected], "{form:?}");
    }
    let twice = [("code", "x"), ("code", "y")];
    assert_eq!(
        issues(&call(&service, &who, PATH, &twice).await.json),
        ["value @ code"]
    );
    let reply = service.door.post(PATH, "<x/>").by(&who, NOW).send().await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let reply = service.get(&who, PATH).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
}
