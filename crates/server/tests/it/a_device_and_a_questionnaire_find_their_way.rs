//! A municipality's record system says at the hub whom its scale weighs; what the scale weighs of others is kept aside until the
//! record system says otherwise. Answers to a questionnaire go the way of readings: to the record system, and to the sharing service,
//! where they are found.

use crate::kit::apart::{Apart, Client, FJELLVIK, More};
use crate::kit::reading::Weight;
use crate::kit::wait::until;
use serde_json::{Value, json};
use testkit::feed::Feed;
use testkit::home_system::HomeSystem;
use testkit::people::Directory;
use wire::Stop;
use wire::client::Request;
use wire::contract::hub::{
    ANSWER_SCOPE, ASSIGN_SCOPE, ASSIGNMENTS, ASSIGNMENTS_END, QUARANTINE, QUESTIONNAIRE_RESPONSE,
    Quarantine, WRITE_SCOPE,
};

const PARTS: [(&str, &[&str]); 3] = [
    ("anchor", &["anchor"]),
    ("hub", &["hub"]),
    ("sharing", &["sharing:fjellvik"]),
];
/// The record system: it reads back at the sharing service and assigns at the hub.
const RECORD: Client = (
    "epj-fjellvik",
    FJELLVIK,
    "record-system",
    &["system/*.cruds"],
    &["sharing:fjellvik", "hub"],
);

#[tokio::test]
async fn whom_a_device_measures_is_the_record_systems_word_and_answers_arrive_at_both_receivers() {
    let more = More {
        facts: |_| String::new(),
        clients: &[RECORD],
    };
    let region = Apart::with(&PARTS, "", "", more).await;
    let stop = Stop::new();
    let record = region.open_record_system(&stop).await;
    let mut running = Vec::new();
    for (part, _) in PARTS {
        running.push(region.start(part).await);
    }
    let (hub, audience) = (region.base("hub"), region.audience("hub"));
    let (epj, party) = (region.party(RECORD.0), region.party("home"));
    let home = HomeSystem::new(party.clone(), &hub);
    let directory = Directory::demo();
    let (her, him) = (
        directory.story_patient(),
        directory.patient("arne").unwrap(),
    );

    let scale = json!({"system": "urn:example:scales", "value": "SYNT-1"});
    let weighed = |weight: &Weight| {
        let mut body: Value = serde_json::from_str(&weight.json()).unwrap();
        body["device"] = json!({"identifier": scale});
        body.to_string()
    };
    let state = async |path: &str, body: Value| {
        let request = Request::post(format!("{hub}{path}"), "application/json", body.to_string());
        let answer = epj.send(&audience, ASSIGN_SCOPE, request).await.unwrap();
        answer.status.as_u16()
    };
    let now = testkit::clients::now();
    let yesterday = fhir::time::Instant(now.0 - 86_400_000_000).to_string();
    let patient = json!({"system": fhir::systems::FNR, "value": her.number});
    assert_eq!(
        state(
            ASSIGNMENTS,
            json!({"device": scale, "patient": patient, "from": yesterday})
        )
        .await,
        201
    );
    let (hers, his) = (Weight::of(&her.number), Weight::of(&him.number));
    assert_eq!(home.send_one(weighed(&hers)).await.unwrap().status, 201);
    assert_eq!(home.send_one(weighed(&his)).await.unwrap().status, 422);
    let request = Request::get(format!("{hub}{QUARANTINE}"));
    let aside: Quarantine = party
        .send(&audience, WRITE_SCOPE, request)
        .await
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(aside.entries[0].reason, "assigned-otherwise");
    let end = fhir::time::Instant(hers.taken.0 - 3_600_000_000).to_string();
    assert_eq!(
        state(ASSIGNMENTS_END, json!({"device": scale, "until": end})).await,
        200
    );
    let replay = format!("{hub}{QUARANTINE}/{}/replay", aside.entries[0].id);
    let request = Request::new(http::Method::POST, replay);
    assert_eq!(
        party
            .send(&audience, WRITE_SCOPE, request)
            .await
            .unwrap()
            .status,
        201
    );

    let name = format!("urn:uuid:{}", uuid::Uuid::new_v4());
    let answers = json!({
        "resourceType": "QuestionnaireResponse", "status": "completed", "authored": yesterday,
        "identifier": {"system": "urn:ietf:rfc:3986", "value": name},
        "subject": {"identifier": {"system": fhir::systems::FNR, "value": her.number}},
        "item": [{"linkId": "score", "text": "CAT", "answer": [{"valueInteger": 18}]}],
    });
    let request = Request::post_fhir(
        format!("{hub}{QUESTIONNAIRE_RESPONSE}"),
        answers.to_string(),
    );
    let taken = party.send(&audience, ANSWER_SCOPE, request).await.unwrap();
    assert_eq!(
        taken.status,
        201,
        "{}",
        String::from_utf8_lossy(&taken.body)
    );

    let names = [hers.identifier, his.identifier, name.clone()];
    until("the record system has all three", async || {
        let received = record.received().identifiers;
        let there = |name: &String| received.iter().any(|one| one.ends_with(name.as_str()));
        names.iter().all(there).then_some(())
    })
    .await;
    let base = region.base("sharing:fjellvik");
    let feed = Feed::new(epj.clone(), "fjellvik", &base);
    let person = format!("{}|{}", fhir::systems::FNR, her.number);
    let form = [("patient.identifier", person.as_str())];
    let found = until("the answers are found at the sharing service", async || {
        let answer = feed.search("QuestionnaireResponse", &form).await.unwrap();
        let page: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.status, 200, "{page}");
        let first = page["entry"][0]["resource"].clone();
        first.is_object().then_some(first)
    })
    .await;
    assert_eq!(
        (&found["identifier"]["value"], &found["item"]),
        (&json!(name), &answers["item"])
    );
    for process in running {
        assert!(process.stop().await.success());
    }
    stop.stop();
}
