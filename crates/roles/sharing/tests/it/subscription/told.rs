//! What is told: the story's day 3, topics, silence, bounds, the organisation's own record system.

use fhir::systems;
use http::StatusCode;
use serde_json::{Value, json};
use trust::Interaction;
use trust::audit::Outcome;
use trust::keys::{KeySet, PublicKey};
use wire::contract::sharing::{NOTIFICATION_SIGNATURE_HEADER, NOTIFICATION_TYP};

use super::*;
use crate::house::*;

#[tokio::test]
async fn day_3_the_gp_hears_that_something_came_and_reads_it_by_his_own_right() {
    let region = Region::new().await;
    let mut body = wanted(&region.endpoint(), "new-reading", Some(&region.patient));
    body["channel"]["header"] = json!([format!("Authorization: Bearer {SECRET}")]);
    let path = region.followed(&region.gp(), &body).await;
    // Handshake before active; nothing that was there before is news.
    assert_eq!(region.hook.heard(), [("handshake".to_owned(), vec![])]);
    assert_eq!(region.stands(&path).await, ("active".into(), "0".into()));
    let id = region.reads("news", "87").await;
    region.tells().await;
    let (headers, bytes) = region.hook.0.taken.lock().unwrap()[0].clone();
    let told: Value = serde_json::from_slice(&bytes).unwrap();
    insta::assert_snapshot!(
        "an_event_as_the_gp_is_told_it",
        serde_json::to_string_pretty(&told)
            .unwrap()
            .replace(&id, "READING")
            .replace(path.rsplit_once('/').unwrap().1, "SUBSCRIPTION")
            .replace(
                told["entry"][0]["fullUrl"].as_str().unwrap(),
                "urn:uuid:ONE"
            )
    );
    // It names, and says nothing: neither who she is nor what was measured.
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(
        !text.contains(&ragnhild().number) && !text.contains("value\":"),
        "{text}"
    );
    assert_eq!(headers["authorization"], format!("Bearer {SECRET}"));
    // Signed by the municipality's service over these bytes and no others.
    let signature = headers[NOTIFICATION_SIGNATURE_HEADER].to_str().unwrap();
    let file = std::fs::read(region.service.folder.path().join("client.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let mut public = file["jwk"].clone();
    public.as_object_mut().unwrap().remove("d");
    let keys = KeySet::of(vec![PublicKey::from_jwk(&public.to_string()).unwrap()]).unwrap();
    let verify =
        |bytes: &[u8]| trust::jws::verify_detached(signature, NOTIFICATION_TYP, bytes, &keys);
    assert_eq!(verify(&bytes), Ok(()));
    assert!(verify(text.replace("\"1\"", "\"2\"").as_bytes()).is_err());
    // The trail has the subscription, and what was given out to whom; never the secret.
    let made = region.service.last_record_of(Interaction::Subscribe).await;
    assert_eq!(made.patient, Some(identifier(ragnhild())));
    assert_eq!(
        made.asked,
        format!("POST /Subscription new-reading of {}", region.patient)
    );
    let record = region.service.last_record_of(Interaction::Notify).await;
    assert_eq!(
        (record.outcome.clone(), record.organisation),
        (Outcome::Allowed, Some(org(PROVEBAKKEN)))
    );
    assert_eq!(record.patient, Some(identifier(ragnhild())));
    let given: Vec<_> = record
        .disclosed
        .iter()
        .map(|one| format!("{}/{}", one.resource, one.id))
        .collect();
    assert_eq!(given, [format!("Observation/{id}")]);
    assert!(record.person.is_some_and(|one| one.practitioner));
    // What it says is read by the GP's own right.
    let read = region
        .get(&region.gp(), &format!("/Observation/{id}"))
        .await;
    assert_eq!(read["valueQuantity"]["value"], 87);
    // Nothing else is told, also not the same again, and other patients' readings are none of it.
    region.hook.heard();
    let other = reading(arne(), "his", "2026-11-21T08:00:00+01:00", "95");
    region.service.created(&other).await;
    let owner = region.service.record_system(FJELLVIK);
    let again = reading(ragnhild(), "news", "2026-11-21T08:00:00+01:00", "87");
    let again = region.service.post(&owner, "/Observation", &again).await;
    assert_eq!(again.status, StatusCode::OK);
    region.tells().await;
    assert!(region.hook.heard().is_empty());
}

/// What is yellow as pulse was yellow as heart rate: that is no change.
#[tokio::test]
async fn a_pulse_is_held_against_the_heart_rate_before_it() {
    let region = Region::with(crate::assess::assesses).await;
    let path = region.follows("zone-change").await;
    let service = &region.service;
    let plan = crate::assess::plan(ragnhild(), "1", ("2026-11-01", None), "84");
    let plan = crate::assess::with_yellow_from(&plan, "heart-rate", "100", "/min");
    service.created(&plan).await;
    let told = async || {
        service.state.assess_waiting().await.unwrap();
        region.tells().await;
        region.missed(&path, "").await.len()
    };
    let before = told().await;
    let beats = async |key: &str, minute: u32, snomed: &str, value: &str| {
        let when = format!("2026-11-21T09:{minute}:00+01:00");
        let mut body = crate::assess::other(key, &when, "8867-4", "/min", value);
        body["code"]["coding"] = json!([{"system": "http://snomed.info/sct", "code": snomed}]);
        service.created(&body).await;
        told().await
    };
    let (heart_rate, pulse) = ("364075005", "78564009");
    assert_eq!(beats("b-1", 10, heart_rate, "110").await, before + 1);
    assert_eq!(
        beats("b-2", 20, pulse, "112").await,
        before + 1,
        "yellow still"
    );
    assert_eq!(
        beats("b-3", 30, heart_rate, "80").await,
        before + 2,
        "green"
    );
}

/// Answers to a questionnaire.
fn answers(key: &str, status: &str) -> Value {
    json!({
        "resourceType": "QuestionnaireResponse",
        "identifier": {"system": "urn:example:answers", "value": key},
        "status": status,
        "subject": {"identifier": {"system": systems::FNR, "value": ragnhild().number}},
        "authored": "2026-11-21T08:00:00+01:00",
        "item": [{"linkId": "score", "answer": [{"valueInteger": 18}]}],
    })
}

#[tokio::test]
async fn answers_are_new_readings_as_long_as_they_may_be_read() {
    let region = Region::new().await;
    let both = region.follows("new-reading").await;
    let of_type = async |name: &str| {
        let mut body = wanted(&region.endpoint(), "new-reading", Some(&region.patient));
        let filter = format!("{name}?patient={}", region.patient);
        body["_criteria"]["extension"][0]["valueString"] = json!(filter);
        let path = region.followed(&region.gp(), &body).await;
        let shown = region.get(&region.gp(), &path).await;
        assert_eq!(shown["_criteria"]["extension"][0]["valueString"], filter);
        path
    };
    let readings = of_type("Observation").await;
    let given = of_type("QuestionnaireResponse").await;
    region.hook.heard();
    region.service.created(&answers("q-0", "in-progress")).await;
    let id = region.service.created(&answers("q-1", "completed")).await;
    let reading = region.reads("news", "87").await;
    region.tells().await;
    let foci = async |path: &str| {
        let told = region.missed(path, "").await;
        told.into_iter().map(|(_, focus)| focus).collect::<Vec<_>>()
    };
    let answered = format!("QuestionnaireResponse/{id}");
    let read = format!("Observation/{reading}");
    assert_eq!(foci(&both).await, [answered.clone(), read.clone()]);
    assert_eq!(foci(&readings).await, [read]);
    assert_eq!(foci(&given).await, [answered]);
    let record = region.service.last_record_of(Interaction::Notify).await;
    assert_eq!(record.patient, Some(identifier(ragnhild())));
    // Read by the GP's own right.
    let path = format!("/QuestionnaireResponse/{id}");
    assert_eq!(region.get(&region.gp(), &path).await["status"], "completed");
    // From the minute in which the agreement rests nothing is told, and nothing has a number.
    region.hook.heard();
    region.vouched(Standing::Active, Standing::Suspended);
    region.service.clock.advance(61 * SECOND);
    region.service.created(&answers("q-2", "completed")).await;
    region.tells().await;
    assert!(region.hook.heard().is_empty());
    region.vouched(Standing::Active, Standing::Active);
    region.service.clock.advance(61 * SECOND);
    region.tells().await;
    assert_eq!(foci(&given).await.len(), 1);
}

#[tokio::test]
async fn plans_zones_and_alerts_are_topics_of_their_own() {
    let region = Region::with(crate::assess::assesses).await;
    let mut paths = Vec::new();
    for topic in ["plan-change", "zone-change", "alert", "missing-reading"] {
        paths.push(region.follows(topic).await);
    }
    region.hook.heard();
    let region = &region;
    let of = |at: usize| {
        let path = paths[at].clone();
        async move {
            region.service.state.assess_waiting().await.unwrap();
            region.tells().await;
            let told = region.missed(&path, "").await;
            told.into_iter()
                .map(|(_, focus)| focus.split('/').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        }
    };
    let plan = crate::assess::plan(ragnhild(), "1", ("2026-11-01", None), "84");
    region.service.created(&plan).await;
    assert_eq!(of(0).await, ["CarePlan"]);
    // The reading that was there is judged: its zone is the first there is.
    let zones = of(1).await.len();
    let reads = |key: &'static str, when: &'static str, value: &'static str| {
        let body = reading(ragnhild(), key, when, value);
        let service = &region.service;
        async move { service.created(&body).await }
    };
    reads("z-1", "2026-11-21T09:30:00+01:00", "90").await;
    assert_eq!(of(1).await.len(), zones, "green again is no change");
    reads("z-2", "2026-11-21T09:40:00+01:00", "84").await;
    assert_eq!(of(1).await.len(), zones + 1, "red is");
    reads("z-3", "2026-11-21T09:50:00+01:00", "83").await;
    assert_eq!(of(1).await.len(), zones + 1, "red again is none");
    assert!(of(2).await.iter().all(|focus| focus == "Task"));
    assert!(!of(2).await.is_empty());
    // A source's own alert of readings that did not come.
    let missing = json!({
        "resourceType": "DetectedIssue", "status": "final",
        "code": {"coding": [{"system": "http://ehelse.no/fhir/CodeSystem/vkp-alert-code-v090", "code": "5.3.2"}]},
        "patient": {"identifier": {"system": systems::FNR, "value": ragnhild().number}},
    });
    region.service.created(&missing).await;
    assert_eq!(of(3).await, ["DetectedIssue"]);
}

#[tokio::test]
async fn the_organisations_own_record_system_hears_of_everybody_each_on_her_own_record() {
    let region = Region::new().await;
    let owner = region.service.record_system(FJELLVIK);
    let path = region
        .followed(&owner, &wanted(&region.endpoint(), "new-reading", None))
        .await;
    region.hook.heard();
    for (n, of) in [ragnhild(), arne(), arne(), ragnhild()]
        .into_iter()
        .enumerate()
    {
        let body = reading(of, &format!("own-{n}"), "2026-11-21T08:00:00+01:00", "91");
        region.service.created(&body).await;
    }
    // Her own organisation is told, whatever she has closed to others.
    region.closes(json!({})).await;
    region.tells().await;
    assert_eq!(region.hook.numbers(), [1, 2, 3, 4]);
    let records = region.service.audit().await;
    let told: Vec<_> = records
        .iter()
        .map(|entry| &entry.record)
        .filter(|record| record.interaction == Interaction::Notify)
        .map(|record| (record.patient.clone().unwrap(), record.disclosed.len()))
        .collect();
    let (her, him) = (identifier(ragnhild()), identifier(arne()));
    assert_eq!(told, [(her.clone(), 1), (him.clone(), 2), (her.clone(), 1)]);
    // Asked for, they are given of one patient at a time, each in that one's trail.
    for (since, numbers, whose) in [
        (1, vec![1], &her),
        (2, vec![2, 3], &him),
        (4, vec![4], &her),
    ] {
        let place = format!("{path}/$events?eventsSinceNumber={since}");
        let given = events(&region.get(&owner, &place).await);
        let given: Vec<u64> = given.into_iter().map(|(number, _)| number).collect();
        assert_eq!(given, numbers);
        let record = region
            .service
            .last_record_of(Interaction::SubscriptionRead)
            .await;
        assert_eq!(record.patient.as_ref(), Some(whose));
        assert_eq!(record.disclosed.len(), numbers.len());
    }
}

/// The number is written with what happened; until somebody hears of it, it goes to the next if there is nothing to tell after all.
#[tokio::test]
async fn a_number_is_given_by_the_commit_of_what_happened_and_moves_up_until_somebody_hears_of_it()
{
    let region = Region::new().await;
    let owner = region.service.record_system(FJELLVIK);
    let all = wanted(&region.endpoint(), "new-reading", None);
    region.followed(&owner, &all).await;
    region.hook.heard();
    let erased = region.reads("r-1", "90").await;
    let kept = region.reads("r-2", "91").await;
    // Nobody has looked after any subscription since.
    assert_eq!(region.listed().await.waiting, 2);
    let parameters = json!({"resourceType": "Parameters", "parameter": [
        {"name": "ground", "valueCode": "deletion-decision"},
        {"name": "order", "valueString": "o-1"},
        {"name": "decision", "valueString": "d-1"},
        {"name": "scope", "valueCode": "resource"},
        {"name": "resource", "valueReference": {"reference": format!("Observation/{erased}")}},
    ]});
    let purged = region.service.post(&owner, "/$purge", &parameters).await;
    assert_eq!(purged.status, StatusCode::OK, "{}", purged.json);
    region.tells().await;
    let told = vec![(1, format!("Observation/{kept}"))];
    assert_eq!(
        region.hook.heard(),
        [("event-notification".to_owned(), told)]
    );
    let listed = region.listed().await;
    assert_eq!((listed.heard_of, listed.waiting), (1, 0));
}

/// A result that says the zone there was is no event: its number goes to the next that says another.
#[tokio::test]
async fn a_zone_that_is_as_before_leaves_no_gap_in_the_numbers() {
    let region = Region::with(crate::assess::assesses).await;
    let path = region.follows("zone-change").await;
    let plan = crate::assess::plan(ragnhild(), "1", ("2026-11-01", None), "84");
    region.service.created(&plan).await;
    region.service.state.assess_waiting().await.unwrap();
    region.tells().await;
    let before = region.missed(&path, "").await.len() as u64;
    region.hook.heard();
    for (minute, value) in [("30", "90"), ("40", "84")] {
        let when = format!("2026-11-21T09:{minute}:00+01:00");
        let body = reading(ragnhild(), &format!("z-{minute}"), &when, value);
        region.service.created(&body).await;
        region.service.state.assess_waiting().await.unwrap();
    }
    assert_eq!(region.listed().await.waiting, 2);
    region.tells().await;
    assert_eq!(region.hook.numbers(), [before + 1]);
    let told = region.missed(&path, "").await;
    assert!(told.iter().all(|(_, focus)| !focus.is_empty()), "{told:?}");
    let numbers: Vec<u64> = told.into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, Vec::from_iter(1..=before + 1));
}

#[tokio::test]
async fn where_nothing_is_named_nothing_is_on_record_as_given() {
    let region = Region::new().await;
    let mut body = wanted(&region.endpoint(), "new-reading", Some(&region.patient));
    body["channel"]["_payload"]["extension"][0]["valueCode"] = json!("empty");
    region.followed(&region.gp(), &body).await;
    region.hook.heard();
    region.reads("r-1", "84").await;
    region.tells().await;
    assert_eq!(region.hook.heard()[0].1, [(1, String::new())]);
    let record = region.service.last_record_of(Interaction::Notify).await;
    assert_eq!(record.patient, Some(identifier(ragnhild())));
    assert!(record.disclosed.is_empty());
}

#[tokio::test]
async fn subscribers_are_bounded_and_a_silent_time_is_told_too() {
    let region = Region::new().await;
    let mut body = region.follows_with_heartbeats().await;
    region.passes(59).await;
    assert_eq!(region.hook.heard(), []);
    region.passes(1).await;
    assert_eq!(region.hook.heard(), [("heartbeat".to_owned(), vec![])]);
    region.passes(60).await;
    assert_eq!(region.hook.heard().len(), 1);
    // Notifications hold no more than asked for.
    body["channel"]["extension"] =
        json!([{"url": format!("{BACKPORT}/backport-max-count"), "valuePositiveInt": 2}]);
    region.followed(&region.gp(), &body).await;
    region.hook.heard();
    for n in 0..5 {
        region.reads(&format!("r-{n}"), "90").await;
    }
    region.tells().await;
    let mut sizes: Vec<_> = region
        .hook
        .heard()
        .into_iter()
        .map(|(_, events)| events.len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2, 2, 5]);
    for _ in 0..3 {
        region.followed(&region.gp(), &body).await;
    }
    let more = region.asks(&region.gp(), &body).await;
    assert_eq!(more.status, StatusCode::BAD_REQUEST, "{}", more.json);
    assert_eq!(issues(&more.json), ["too-costly @ -"]);
}

#[tokio::test]
async fn without_subscribers_there_are_no_subscriptions() {
    let service = Service::fjellvik().await;
    let statement = service.door.get("/metadata").send().await.json;
    assert!(!statement.to_string().contains("Subscription"));
    let region = Region::new().await;
    let statement = region.service.door.get("/metadata").send().await.json;
    let rows = statement["rest"][0]["resource"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["type"] == "Subscription")
        .unwrap();
    let topics = row["extension"].as_array().unwrap();
    assert_eq!(topics.len(), 5);
    assert!(topics.iter().all(|one| {
        one["url"]
            .as_str()
            .unwrap()
            .ends_with("capabilitystatement-subscriptiontopic-canonical")
    }));
}

#[tokio::test]
async fn an_endpoint_that_answers_each_notification_with_a_write_ends_in_error_and_loses_nothing() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    region.hook.heard();
    let (mut turns, mut written) = (0_usize, 1_usize);
    region.reads("turn-0", "90").await;
    loop {
        region.tells().await;
        let told = region.hook.numbers();
        if !told.is_empty() {
            turns += 1;
            assert!(turns < 300, "it goes round");
            region.reads(&format!("turn-{written}"), "90").await;
            written += 1;
        } else if region.stands(&path).await.0 == "error" {
            break;
        } else {
            // It is made to wait, and longer each time.
            region.service.clock.advance(10 * SECOND);
            region.vouched(Standing::Active, Standing::Active);
        }
    }
    assert!(turns >= 60, "{turns}: a busy hour is no loop");
    let told = region.get(&region.system(), &path).await;
    assert!(
        told["error"].as_str().unwrap().contains("too often"),
        "{told}"
    );
    let asked = region.hook.asked();
    region.passes(3_600).await;
    assert_eq!(
        region.hook.asked(),
        asked,
        "nothing is sent until it is asked for"
    );
    region.vouched(Standing::Active, Standing::Active);
    let (_, count) = region.stands(&path).await;
    assert_eq!(count, written.to_string());
    let last = region
        .missed(&path, &format!("?eventsSinceNumber={count}"))
        .await;
    assert_eq!(last.len(), 1, "what was not told can be fetched");
}

/// The request of a notification's entry about a resource.
fn requested(region: &Region, id: &str) -> Value {
    let taken = region.hook.0.taken.lock().unwrap();
    let (_, body) = taken.last().expect("a notification");
    let told: Value = serde_json::from_slice(body).unwrap();
    let mut entries = told["entry"].as_array().unwrap().iter();
    let of = format!("/Observation/{id}");
    let one = entries.find(|one| one["fullUrl"].as_str().unwrap().ends_with(&of));
    let one = one.unwrap_or_else(|| panic!("{told}"));
    assert!(one.get("resource").is_none(), "it names, and says nothing");
    one["request"].clone()
}

#[tokio::test]
async fn what_is_withdrawn_or_taken_back_is_told_to_who_may_see_it_and_to_nobody_else() {
    let region = Region::new().await;
    region.follows("new-reading").await;
    let owner = region.service.record_system(FJELLVIK);
    let (first, second, third) = (
        region.reads("w-1", "90").await,
        region.reads("w-2", "91").await,
        region.reads("w-3", "92").await,
    );
    region.tells().await;
    region.hook.heard();
    let withdraw = async |id: &str| {
        let reply = region
            .service
            .delete(&owner, &format!("/Observation/{id}"), Some("W/\"1\""))
            .await;
        assert!(reply.status.is_success(), "{} {}", reply.status, reply.json);
        region.tells().await;
    };
    withdraw(&first).await;
    assert_eq!(
        requested(&region, &first),
        json!({"method": "DELETE", "url": format!("Observation/{first}")})
    );
    assert_eq!(
        region.hook.heard(),
        [(
            "event-notification".to_owned(),
            vec![(4, format!("Observation/{first}"))]
        )]
    );
    let record = region.service.last_record_of(Interaction::Notify).await;
    assert_eq!(
        (record.disclosed.len(), record.disclosed[0].version),
        (1, 2)
    );
    // A reading that turns out to be wrong is told as a change.
    let mut wrong = reading(ragnhild(), "w-2", "2026-11-21T08:00:00+01:00", "91");
    wrong["id"] = json!(second);
    wrong["status"] = json!("entered-in-error");
    let place = format!("/Observation/{second}");
    let reply = region
        .service
        .put(&owner, &place, Some("W/\"1\""), &wrong)
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    region.tells().await;
    assert_eq!(requested(&region, &second)["method"], "PUT");
    assert_eq!(region.hook.numbers(), [5]);
    // What she has closed is not told when it goes either.
    let wish = region.closes(organisation_closed(PROVEBAKKEN)).await;
    withdraw(&third).await;
    assert_eq!(region.hook.heard(), []);
    region.opens(&wish).await;
    region.passes(60).await;
    assert_eq!(region.hook.heard(), []);
}
