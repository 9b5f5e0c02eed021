//! What a patient closes is closed from the next request, on every way in; what yields to break the glass yields to that alone,
//! and it shows (threats-and-faults section 4).

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::door::Held;
use testkit::people::Directory;
use trust::audit::{Disclosed, Outcome};
use trust::wish::PSEUDONYM;

const WHEN: &str = "2026-11-20T08:00:00+01:00";
const SERVICES: &str = "https://delt.example/fhir/CodeSystem/information-service";

pub fn consent(provision: Value) -> Value {
    let mut provision = provision;
    provision["type"] = json!("deny");
    json!({
        "resourceType": "Consent", "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": ragnhild().number}},
        "policyRule": {"coding": [{"system": "http://hl7.no/fhir/CodeSystem/no-basis-legal-formality-or-basis", "code": "PBRL5-3"}]},
        "provision": provision,
    })
}

pub fn actor(system: &str, value: &str) -> Value {
    json!({"actor": [{
        "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
        "reference": {"identifier": {"system": system, "value": value}},
    }]})
}

/// The patient, who may write her wishes.
pub fn patient(service: &Service) -> Held {
    service.held(|jkt| {
        let mut claims =
            service
                .issuer
                .citizen_claims(ragnhild(), &service.base, jkt, service.clock.now());
        claims.scope = "patient/*.rs patient/Consent.cruds".into();
        claims
    })
}

/// The hospital's physician, known to the issuer by a pseudonym, for this purpose.
pub fn looks(service: &Service, purpose: &str, reason: Option<&str>) -> Held {
    service.physician_but(ragnhild(), |claims| {
        claims.pseudonym = Some("the-neighbour".into());
        let relation = &mut claims.attest.as_mut().unwrap().care_relationship;
        relation.purpose_of_use.as_mut().unwrap().code = purpose.into();
        relation.reason = reason.map(str::to_owned);
    })
}

pub async fn closed(service: &Service, provision: Value) -> String {
    let reply = service
        .post(&patient(service), "/Consent", &consent(provision))
        .await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
    let id = reply.json["id"].as_str().unwrap().to_owned();
    assert_eq!(
        reply.header("location"),
        format!("{}/Consent/{id}", service.base)
    );
    id
}

/// How each way to the one reading ends for this caller.
async fn ways(service: &Service, who: &Held, id: &str) -> Vec<StatusCode> {
    let number = number(ragnhild());
    let about = [("patient.identifier", number.as_str())];
    let everything = service
        .get(&patient(service), &format!("/Observation/{id}"))
        .await;
    let local = everything.json["subject"]["reference"]
        .as_str()
        .map(str::to_owned);
    let mut seen = vec![
        service.get(who, &format!("/Observation/{id}")).await.status,
        service
            .get(who, &format!("/Observation/{id}/_history/1"))
            .await
            .status,
        service
            .get(who, &format!("/Observation/{id}/_history"))
            .await
            .status,
        service.get(who, "/Observation/_history").await.status,
        service.get(who, "/Observation?status=final").await.status,
        service.search(who, "Observation", &about).await.status,
        service
            .door
            .post("/Observation/$lastn", "")
            .header("content-type", "application/x-www-form-urlencoded")
            .by(who, service.clock.now())
            .send()
            .await
            .status,
    ];
    if let Some(local) = local {
        seen.push(
            service
                .get(who, &format!("/{local}/$everything"))
                .await
                .status,
        );
    }
    seen
}

#[tokio::test]
async fn a_named_practitioner_is_shut_out_on_every_way_by_break_the_glass_too() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let open = ways(&service, &looks(&service, "TREAT", None), &id).await;
    assert!(
        open.iter().all(|status| *status == StatusCode::OK),
        "{open:?}"
    );
    closed(&service, actor(PSEUDONYM, "the-neighbour")).await;
    for (purpose, reason) in [
        ("TREAT", None),
        ("ETREAT", None),
        ("BTG", Some("unconscious")),
    ] {
        let shut = ways(&service, &looks(&service, purpose, reason), &id).await;
        assert!(
            shut.iter().all(|status| *status == StatusCode::FORBIDDEN),
            "{purpose}: {shut:?}"
        );
        let record = service.last_record().await;
        assert_eq!(
            record.outcome,
            Outcome::Refused {
                rule: "block".into(),
                code: "practitioner_blocked".into()
            }
        );
    }
    // Somebody else of the same organisation, and the patient herself, are not.
    let other = service.held(|jkt| {
        let issuer = &service.issuer;
        let colleague = &Directory::demo().practitioners[1];
        let mut claims = issuer
            .practitioner_claims(colleague, PROVEHEIM, ragnhild(), &service.base, jkt, NOW)
            .unwrap();
        claims.agreement = service.physician_claims(ragnhild(), jkt).agreement;
        claims
    });
    assert_eq!(
        service
            .get(&other, &format!("/Observation/{id}"))
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        service
            .get(&patient(&service), &format!("/Observation/{id}"))
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_block_of_everything_yields_to_a_reasoned_break_and_it_shows() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let wish = closed(&service, json!({})).await;
    let path = format!("/Observation/{id}");
    for (purpose, reason, expected) in [
        ("TREAT", None, StatusCode::FORBIDDEN),
        ("ETREAT", Some("unconscious"), StatusCode::FORBIDDEN),
        ("BTG", None, StatusCode::FORBIDDEN),
        ("BTG", Some("unconscious"), StatusCode::OK),
    ] {
        let reply = service.get(&looks(&service, purpose, reason), &path).await;
        assert_eq!(reply.status, expected, "{purpose} {reason:?}");
    }
    let record = service.last_record().await;
    assert_eq!(record.broken, ["block"]);
    assert_eq!(record.reason.as_deref(), Some("unconscious"));
    assert!(matches!(&record.disclosed[..], [Disclosed { id: given, .. }] if *given == id));
    // The patient sees that it was so.
    let trail = service.search(&patient(&service), "AuditEvent", &[]).await;
    assert!(trail.json.to_string().contains("\"BTG\""), "{}", trail.json);
    // Taken back, it is open from the next request.
    let reply = service
        .delete(&patient(&service), &format!("/Consent/{wish}"), None)
        .await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    let reply = service.get(&looks(&service, "TREAT", None), &path).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(service.last_record().await.broken.is_empty());
}

#[tokio::test]
async fn a_closed_kind_is_as_if_it_were_not_there() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    closed(
        &service,
        json!({"class": [{"system": SERVICES, "code": "IT17"}]}),
    )
    .await;
    let who = looks(&service, "TREAT", None);
    let about = number(ragnhild());
    let searched = service
        .search(&who, "Observation", &[("patient.identifier", &about)])
        .await;
    assert_eq!(found(&searched), Vec::<String>::new());
    assert_eq!(searched.json["total"], 0);
    let read = service.get(&who, &format!("/Observation/{id}")).await;
    let never = service
        .get(&who, "/Observation/00000000-0000-4000-8000-000000000000")
        .await;
    assert_eq!(
        (read.status, never.status),
        (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND)
    );
    let counted = service
        .search(
            &who,
            "Observation",
            &[("patient.identifier", &about), ("_count", "1")],
        )
        .await;
    assert_eq!(counted.json["total"], 0);
}

#[tokio::test]
async fn a_reservation_closes_to_others_and_not_to_the_owner() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let action = json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentaction", "code": "disclose"}]});
    closed(&service, json!({"action": [action]})).await;
    let path = format!("/Observation/{id}");
    let others = service
        .get(&looks(&service, "BTG", Some("unconscious")), &path)
        .await;
    assert_eq!(others.status, StatusCode::FORBIDDEN);
    let own = service.get(&service.record_system(FJELLVIK), &path).await;
    assert_eq!(own.status, StatusCode::OK);
}

#[tokio::test]
async fn wishes_are_listed_to_the_patient_alone_and_made_by_nobody_else() {
    let service = Service::fjellvik().await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let wish = closed(
        &service,
        actor("urn:oid:2.16.578.1.12.4.1.4.101", PROVEHEIM),
    )
    .await;
    let listed = service.search(&patient(&service), "Consent", &[]).await;
    assert_eq!(found(&listed), [wish]);
    // The hospital may neither list nor make nor end one, nor may the record system or another citizen.
    let arne = service.held(|jkt| {
        let mut claims =
            service
                .issuer
                .citizen_claims(arne(), &service.base, jkt, service.clock.now());
        claims.scope = "patient/*.cruds".into();
        claims
    });
    assert_eq!(
        found(&service.search(&arne, "Consent", &[]).await),
        Vec::<String>::new()
    );
    let about_her = service.post(&arne, "/Consent", &consent(json!({}))).await;
    assert_eq!(issues(&about_her.json), ["value @ Consent.patient"]);
    for who in [
        service.physician(ragnhild()),
        service.record_system(FJELLVIK),
    ] {
        let listed = service.search(&who, "Consent", &[]).await;
        assert_eq!(listed.status, StatusCode::FORBIDDEN);
        let made = service.post(&who, "/Consent", &consent(json!({}))).await;
        assert_eq!(made.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn who_was_shut_out_by_name_stays_out_whatever_they_sign_in_by() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let path = format!("/Observation/{id}");
    let looked = service.get(&looks(&service, "TREAT", None), &path).await;
    assert_eq!(looked.status, StatusCode::OK);
    let wish = closed(&service, actor(PSEUDONYM, "the-neighbour")).await;
    // Another issuer has another pseudonym for the same person, or says none.
    for pseudonym in [Some("elsewhere".to_owned()), None] {
        let same = service.physician_but(ragnhild(), |claims| {
            claims.pseudonym = pseudonym;
            let relation = &mut claims.attest.as_mut().unwrap().care_relationship;
            relation.purpose_of_use.as_mut().unwrap().code = "BTG".into();
            relation.reason = Some("unconscious".into());
        });
        let reply = service.get(&same, &path).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.json);
        let record = service.last_record().await;
        assert!(
            matches!(record.outcome, Outcome::Refused { code, .. } if code == "practitioner_blocked")
        );
    }
    // The patient is told what she said, and nobody's number.
    let listed = service.search(&patient(&service), "Consent", &[]).await;
    assert_eq!(found(&listed), std::slice::from_ref(&wish));
    assert!(!String::from_utf8_lossy(&listed.body).contains(&physician().number));
    let again = service
        .post(
            &patient(&service),
            "/Consent",
            &consent(actor(PSEUDONYM, "the-neighbour")),
        )
        .await;
    assert_eq!(again.json["id"], json!(wish), "the same wish");
}

#[tokio::test]
async fn wishes_that_have_ended_stand_in_nobodys_way() {
    let service = Service::fjellvik().await;
    let until = |n: u32| {
        let mut wish = consent(json!({}));
        wish["provision"]["period"] =
            json!({"end": format!("2026-11-21T09:{:02}:{:02}Z", 10 + n / 60, n % 60)});
        wish
    };
    for n in 0..100 {
        let made = service
            .post(&patient(&service), "/Consent", &until(n))
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.json);
    }
    let too_many = service
        .post(&patient(&service), "/Consent", &consent(json!({})))
        .await;
    assert_eq!(issues(&too_many.json), ["too-costly @ -"]);
    service.clock.advance(3_600_000_000);
    let listed = service.search(&patient(&service), "Consent", &[]).await;
    assert_eq!(found(&listed), Vec::<String>::new());
    let id = closed(&service, json!({})).await;
    let listed = service.search(&patient(&service), "Consent", &[]).await;
    assert_eq!(found(&listed), [id]);
    let kept = service.state.store().wishes(&identifier(ragnhild())).await;
    assert_eq!(kept.unwrap().len(), 1, "what has ended is forgotten");
}

#[tokio::test]
async fn a_wish_that_is_not_understood_closes_nothing_and_says_so() {
    let service = Service::fjellvik().await;
    let mut nested = consent(json!({}));
    nested["provision"]["provision"] = json!([{"type": "permit"}]);
    let reply = service.post(&patient(&service), "/Consent", &nested).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        issues(&reply.json),
        ["not-supported @ Consent.provision.provision"]
    );
    let mut bare = consent(json!({}));
    bare.as_object_mut().unwrap().remove("status");
    let reply = service.post(&patient(&service), "/Consent", &bare).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let listed = service
        .search(&patient(&service), "Consent", &[("status", "active")])
        .await;
    assert_eq!(listed.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        found(&service.search(&patient(&service), "Consent", &[]).await),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn the_same_wish_again_is_the_one_that_holds() {
    let service = Service::fjellvik().await;
    let id = closed(&service, json!({})).await;
    let again = async || {
        service
            .post(&patient(&service), "/Consent", &consent(json!({})))
            .await
    };
    let same = again().await;
    assert_eq!(
        (same.status, &same.json["id"]),
        (StatusCode::OK, &json!(id))
    );
    assert_eq!(service.last_record().await.outcome, Outcome::Allowed);
    let mut until = consent(json!({}));
    until["provision"]["period"] = json!({"end": "2099-01-01"});
    let other = service.post(&patient(&service), "/Consent", &until).await;
    assert_eq!(other.status, StatusCode::CREATED);
    // Taken back, it is made anew.
    service
        .delete(&patient(&service), &format!("/Consent/{id}"), None)
        .await;
    let anew = again().await;
    assert_eq!(anew.status, StatusCode::CREATED);
    assert_ne!(anew.json["id"], json!(id));
    let listed = service.search(&patient(&service), "Consent", &[]).await;
    assert_eq!(found(&listed).len(), 2);
}

#[tokio::test]
async fn what_is_claimed_of_consent_is_there_and_nothing_else_is() {
    let service = Service::fjellvik().await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let statement = service.door.get("/metadata").send().await.json;
    let rows = statement["rest"][0]["resource"].as_array().unwrap();
    let row = rows.iter().find(|row| row["type"] == "Consent").unwrap();
    let codes: Vec<&str> = row["interaction"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["create", "delete", "search-type"]);
    let her = patient(&service);
    let id = closed(&service, json!({})).await;
    let local = service
        .state
        .store()
        .patient_id(&identifier(ragnhild()))
        .await
        .unwrap()
        .unwrap();
    let by_patient = format!("Patient/{local}");
    let listed = service
        .search(&her, "Consent", &[("patient", &by_patient)])
        .await;
    assert_eq!(found(&listed), [id.as_str()]);
    let strange = "Patient/00000000-0000-4000-8000-000000000000";
    let listed = service
        .search(&her, "Consent", &[("patient", strange)])
        .await;
    assert_eq!(found(&listed), Vec::<String>::new());
    let path = format!("/Consent/{id}");
    let read = service.get(&her, &path).await;
    assert_eq!(read.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(read.header("allow"), "DELETE");
    let changed = service.put(&her, &path, None, &consent(json!({}))).await;
    assert_eq!(changed.status, StatusCode::METHOD_NOT_ALLOWED);
}
