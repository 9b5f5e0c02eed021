//! What waits for its calendar day: the newest of it, or all of it as a note. Whatever comes late, is corrected or is cut off, a record
//! system gets what its organisation's rules say, once and in order, and the sharing service everything at once.

use crate::deliver::deliver;
use crate::house::*;
use crate::receiver::Receiver;
use fhir::json::{Json, Limits};
use fhir::resource::InformationService;
use fhir::time::parse_instant;
use hub::{Amount, Form, Rule};
use serde_json::{Value, json};

const SHARING: &str = "310001007/sharing";
const RECORD_SYSTEM: &str = "310001007/record-system";
const NOWHERE: &str = "http://127.0.0.1:9/f/fhir";
const NEWEST: (Amount, Form) = (Amount::NewestOfDay, Form::Reading);
const NOTE: (Amount, Form) = (Amount::All, Form::Note);

/// A hub whose record system gets everything by one rule.
async fn with((send, form): (Amount, Form), record_system: &str) -> Hub {
    let mut one = receiver(FJELLVIK, Some(record_system), Some(NOWHERE));
    one.record_system_kinds.push(InformationService::DOCUMENTS);
    let of = Vec::new();
    one.record_system_rules = vec![Rule { of, send, form }];
    Hub::with(vec![one]).await
}

async fn new(rule: (Amount, Form)) -> Hub {
    with(rule, "http://127.0.0.1:9/epj").await
}

/// An oxygen saturation measured then.
fn spo2(key: &str, when: &str, value: u32) -> Value {
    let mut body = reading(ragnhild(), key, value);
    body["effectiveDateTime"] = json!(when);
    body
}

fn with_status(mut body: Value, status: &str) -> Value {
    body["status"] = json!(status);
    body
}

async fn send(hub: &Hub, sent: &[Value]) -> Vec<String> {
    let reply = hub
        .post(&hub.home(FJELLVIK), "/fhir", &bundle("batch", sent))
        .await;
    assert_eq!(statuses(&reply), vec![201; sent.len()], "{}", reply.json);
    keys(&reply)
}

/// Puts the clock, and looks at the days that are over then.
async fn at(hub: &Hub, when: &str) {
    hub.clock.set(parse_instant(when).unwrap());
    hub.state.close_days().await.unwrap();
}

/// What the record system is to get, in order: names of readings, and of documents `note`.
async fn goes(hub: &Hub) -> Vec<String> {
    let bodies = bodies(hub).await;
    bodies
        .iter()
        .map(|body| match body["resourceType"].as_str().unwrap() {
            "Bundle" => "note".to_owned(),
            _ => {
                let named = &body["identifier"];
                let name = &named.get(0).unwrap_or(named)["value"];
                let value = &body["valueQuantity"]["value"];
                format!("{} {value}", name.as_str().unwrap())
            }
        })
        .collect()
}

async fn bodies(hub: &Hub) -> Vec<Value> {
    let waiting = hub.waiting(RECORD_SYSTEM).await.into_iter();
    waiting
        .map(|(_, body)| serde_json::from_str(&body).unwrap())
        .collect()
}

/// How many are held and left out for the record system.
async fn counts(hub: &Hub) -> (u64, u64) {
    let reply = hub.get(&hub.home(FJELLVIK), "/deliveries").await;
    let all = reply.json["receivers"].as_array().unwrap();
    let mut ours = all.iter().filter(|one| one["receiver"] == RECORD_SYSTEM);
    let ours = ours.next().unwrap();
    (
        ours["held"].as_u64().unwrap(),
        ours["left_out"].as_u64().unwrap(),
    )
}

/// How an entry stands at the record system.
async fn stands(hub: &Hub, key: &str) -> String {
    let reply = hub
        .get(&hub.home(FJELLVIK), &format!("/deliveries/{key}"))
        .await;
    let all = reply.json["receivers"].as_array().unwrap();
    let mut ours = all.iter().filter(|one| one["receiver"] == RECORD_SYSTEM);
    let state = ours.next().unwrap()["state"].as_str().unwrap().to_owned();
    assert!(ours.next().is_none(), "{}", reply.json);
    state
}

/// Lines of a note, and what it adds to.
fn lines(document: &Value) -> (Vec<String>, Option<String>) {
    let composition = &document["entry"][0]["resource"];
    let div = composition["section"][0]["text"]["div"].as_str().unwrap();
    let inner = div
        .strip_prefix("<div xmlns=\"http://www.w3.org/1999/xhtml\">")
        .and_then(|rest| rest.strip_suffix("</div>"))
        .unwrap();
    let lines = inner.split_terminator("</p>");
    let lines = lines.map(|line| line.strip_prefix("<p>").unwrap().to_owned());
    let first = composition["relatesTo"][0]["targetIdentifier"]["value"].as_str();
    (lines.collect(), first.map(str::to_owned))
}

#[tokio::test]
async fn of_each_kind_the_newest_of_the_day_goes_an_hour_after_it_and_the_rest_is_left_out() {
    let hub = new(NEWEST).await;
    let mut pulse = spo2("pulse", "2026-11-21T07:00:00+01:00", 78);
    pulse["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "8867-4"}]});
    pulse["valueQuantity"] =
        json!({"value": 78, "system": "http://unitsofmeasure.org", "code": "/min", "unit": "/min"});
    let sent = [
        spo2("seven", "2026-11-21T07:00:00+01:00", 91),
        spo2("nine", "2026-11-21T09:00:00+01:00", 93),
        answers(ragnhild(), "q-1"),
        pulse,
        spo2("eight", "2026-11-21T08:00:00+01:00", 92),
    ];
    let reply = hub
        .post(&hub.home(FJELLVIK), "/fhir", &bundle("batch", &sent))
        .await;
    assert_eq!(statuses(&reply), [201; 5], "{}", reply.json);
    // Somebody else's day is another.
    let mut other = reading(patient("arne"), "other", 95);
    other["effectiveDateTime"] = json!("2026-11-21T06:00:00+01:00");
    send(&hub, &[other]).await;
    assert_eq!(hub.waiting(SHARING).await.len(), 6, "everything, at once");
    let answers = hub.waiting(RECORD_SYSTEM).await;
    assert_eq!(answers.len(), 1, "answers wait for no day");
    assert_eq!(counts(&hub).await, (5, 0));
    let entries = reply.json["entry"].as_array().unwrap();
    let key = |at: usize| {
        let place = entries[at]["response"]["location"].as_str().unwrap();
        place.split('/').next_back().unwrap().to_owned()
    };
    assert_eq!(stands(&hub, &key(0)).await, "held");

    let hub = hub.restarted().await;
    assert_eq!(counts(&hub).await, (5, 0), "counted anew");
    // Sent again it neither waits nor counts again.
    let again = hub
        .post(&hub.home(FJELLVIK), "/fhir/Observation", &sent[0])
        .await;
    assert_eq!(again.status, 200);
    at(&hub, "2026-11-22T00:59:59+01:00").await;
    assert_eq!(counts(&hub).await, (5, 0), "not yet");
    at(&hub, "2026-11-22T01:00:00+01:00").await;
    let all = goes(&hub).await;
    let (mine, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| !one.starts_with("other"));
    assert_eq!(rest, ["other 95"]);
    assert_eq!(mine[1..], ["pulse 78", "nine 93"]);
    assert_eq!(counts(&hub).await, (0, 2));
    assert_eq!(stands(&hub, &key(0)).await, "left-out");
    assert_eq!(stands(&hub, &key(1)).await, "pending");
    assert_eq!(hub.waiting(SHARING).await.len(), 6);

    let hub = hub.restarted().await;
    at(&hub, "2026-11-23T01:00:00+01:00").await;
    assert_eq!(goes(&hub).await.len(), 4, "once");
    assert_eq!(counts(&hub).await, (0, 2));
}

#[tokio::test]
async fn a_day_is_one_of_the_calendar_where_clocks_change_too() {
    for (just, before, after, next, over) in [
        // 23 hours.
        (
            "2027-03-28T00:00:00+01:00",
            "2027-03-27T23:59:59+01:00",
            "2027-03-28T23:59:59+02:00",
            "2027-03-29T00:00:00+02:00",
            "2027-03-29T01:00:00+02:00",
        ),
        // 25 hours; 22:30 UTC is the same evening still.
        (
            "2027-10-31T00:00:00+02:00",
            "2027-10-30T23:59:59+02:00",
            "2027-10-31T22:30:00Z",
            "2027-11-01T00:00:00+01:00",
            "2027-11-01T01:00:00+01:00",
        ),
    ] {
        let hub = new(NEWEST).await;
        hub.clock.set(parse_instant(next).unwrap());
        let sent = [
            spo2("after", after, 93),
            spo2("next", next, 94),
            spo2("just", just, 92),
            spo2("before", before, 91),
        ];
        send(&hub, &sent).await;
        at(&hub, over).await;
        assert_eq!(goes(&hub).await, ["before 91", "after 93"], "{over}");
        assert_eq!(counts(&hub).await, (1, 1));
    }
}

#[tokio::test]
async fn what_comes_late_goes_if_it_is_newer_than_what_went_and_pieces_of_a_backlog_are_looked_at_together()
 {
    let hub = new(NEWEST).await;
    // It is 10 in the morning; these are yesterday's, in pieces, shuffled.
    let evening = spo2("evening", "2026-11-20T19:00:00+01:00", 92);
    send(&hub, &[evening]).await;
    hub.clock.advance(600 * 1_000_000);
    let morning = spo2("morning", "2026-11-20T08:00:00+01:00", 90);
    let older = spo2("older", "2026-11-19T08:00:00+01:00", 89);
    send(&hub, &[morning, older]).await;
    at(&hub, "2026-11-21T10:59:59+01:00").await;
    assert_eq!(goes(&hub).await, [""; 0]);
    at(&hub, "2026-11-21T11:15:00+01:00").await;
    // Whose moment came first; each day has its newest.
    assert_eq!(goes(&hub).await, ["evening 92", "older 89"]);
    assert_eq!(counts(&hub).await, (0, 1));
    // Two days later the rest of the backlog.
    at(&hub, "2026-11-23T12:00:00+01:00").await;
    let noon = spo2("noon", "2026-11-20T12:00:00+01:00", 91);
    send(&hub, &[noon]).await;
    at(&hub, "2026-11-23T13:00:00+01:00").await;
    assert_eq!(goes(&hub).await.len(), 2, "older than what went");
    assert_eq!(counts(&hub).await, (0, 2));
    let hub = hub.restarted().await;
    let night = spo2("night", "2026-11-20T23:00:00+01:00", 88);
    send(&hub, &[night]).await;
    at(&hub, "2026-11-23T14:15:00+01:00").await;
    assert_eq!(
        goes(&hub).await,
        ["evening 92", "older 89", "night 88"],
        "newer"
    );
    assert_eq!(counts(&hub).await, (0, 2));
}

#[tokio::test]
async fn a_correction_takes_the_place_of_what_waits_and_follows_what_went() {
    let hub = new(NEWEST).await;
    let first = [
        spo2("six", "2026-11-21T06:00:00+01:00", 90),
        spo2("seven", "2026-11-21T07:00:00+01:00", 91),
        spo2("eight", "2026-11-21T08:00:00+01:00", 92),
        spo2("nine", "2026-11-21T09:00:00+01:00", 93),
    ];
    let keys = send(&hub, &first).await;
    // Nine was never measured, and eight was another value; six was in truth the evening before.
    let corrections = [
        with_status(first[3].clone(), "entered-in-error"),
        with_status(spo2("eight", "2026-11-21T08:00:00+01:00", 82), "corrected"),
        with_status(spo2("six", "2026-11-20T22:00:00+01:00", 90), "amended"),
    ];
    send(&hub, &corrections).await;
    assert_eq!(goes(&hub).await, [""; 0], "nothing of them was there");
    assert_eq!(counts(&hub).await, (3, 4));
    assert_eq!(stands(&hub, &keys[3]).await, "left-out");
    at(&hub, "2026-11-22T01:00:00+01:00").await;
    assert_eq!(goes(&hub).await, ["six 90", "eight 82"]);
    assert_eq!(counts(&hub).await, (0, 5));
    // What went is corrected at once, after it.
    let again = spo2("eight", "2026-11-21T08:00:00+01:00", 83);
    send(&hub, &[with_status(again.clone(), "corrected")]).await;
    send(&hub, &[with_status(again, "entered-in-error")]).await;
    assert_eq!(
        goes(&hub).await,
        ["six 90", "eight 82", "eight 83", "eight 83"]
    );
    assert_eq!(counts(&hub).await, (0, 5));
}

#[tokio::test]
async fn a_correction_that_comes_while_its_day_is_closed_is_never_lost() {
    for _ in 0..20 {
        let hub = new(NEWEST).await;
        let first = spo2("eight", "2026-11-21T08:00:00+01:00", 92);
        send(&hub, &[first]).await;
        hub.clock
            .set(parse_instant("2026-11-22T01:00:00+01:00").unwrap());
        let corrected = spo2("eight", "2026-11-21T08:00:00+01:00", 82);
        let corrected = [with_status(corrected, "corrected")];
        let (_, closed) = tokio::join!(send(&hub, &corrected), hub.state.close_days());
        closed.unwrap();
        at(&hub, "2026-11-22T03:00:00+01:00").await;
        let went = goes(&hub).await;
        assert!(
            went == ["eight 82"] || went == ["eight 92", "eight 82"],
            "{went:?}"
        );
        assert_eq!(counts(&hub).await.0, 0);
    }
}

#[tokio::test]
async fn a_day_is_a_note_with_a_line_a_reading_and_what_comes_later_is_added_to_it() {
    let hub = new(NOTE).await;
    let system = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
    let mut low = spo2("low", "2026-11-21T08:05:00+01:00", 84);
    low["interpretation"] =
        json!([{"coding": [{"system": system, "code": "L"}], "text": "Rød <b>&\nsjekk"}]);
    let mut pressure = spo2("bp", "2026-11-21T05:06:00Z", 0);
    pressure["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "85354-9"}]});
    pressure.as_object_mut().unwrap().remove("valueQuantity");
    let part = |code: &str, value: u32| {
        let unit = json!({"value": value, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"});
        json!({"code": {"coding": [{"system": "http://loinc.org", "code": code}]}, "valueQuantity": unit})
    };
    pressure["component"] = json!([part("8480-6", 134), part("8462-4", 78)]);
    let mut warm = spo2("temp", "2026-11-21T09:30:00+01:00", 0);
    warm["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "8310-5"}]});
    let text = warm
        .to_string()
        .replace("\"code\":\"%\"", "\"code\":\"Cel\"");
    let text = text.replace("\"value\":0", "\"value\":37.60");
    let home = hub.home(FJELLVIK);
    let reply = hub.post_text(&home, "/fhir/Observation", text).await;
    assert_eq!(reply.status, 201, "{}", reply.json);
    let keys = send(&hub, &[low, pressure]).await;
    assert_eq!(stands(&hub, &keys[0]).await, "held");
    at(&hub, "2026-11-22T01:00:00+01:00").await;
    let sent = bodies(&hub).await;
    assert_eq!(goes(&hub).await, ["note"]);
    let (said, first) = lines(&sent[0]);
    assert_eq!(
        said,
        [
            "06:06 Blodtrykk systolisk 134 mmHg, diastolisk 78 mmHg",
            "08:05 Oksygenmetning 84 % (merket av kilden: Rød &lt;b&gt;&amp; sjekk)",
            "09:30 Kroppstemperatur 37,60 °C",
        ]
    );
    assert_eq!(first, None);
    assert_eq!(
        (counts(&hub).await, hub.waiting(SHARING).await.len()),
        ((0, 0), 3)
    );
    assert_eq!(stands(&hub, &keys[0]).await, "pending");
    let composition = &sent[0]["entry"][0]["resource"];
    assert_eq!(composition["title"], "Målinger 21.11.2026");
    let json = Json::parse(composition.to_string(), Limits::RESOURCE).unwrap();
    let checked = fhir::check::check(&json, json.root(), &fhir::check::Rules::default());
    assert!(checked.is_ok(), "{:?}", checked.err());

    // The note went; a correction, and what came late, are said in one that belongs to it.
    let right = spo2("low", "2026-11-21T08:05:00+01:00", 94);
    let late = spo2("late", "2026-11-21T22:00:00+01:00", 90);
    send(&hub, &[late, with_status(right.clone(), "corrected")]).await;
    at(&hub, "2026-11-22T02:00:00+01:00").await;
    let sent = bodies(&hub).await;
    let name = sent[0]["identifier"]["value"].as_str().unwrap();
    let expected = [
        "08:05 Oksygenmetning 94 % (rettet)",
        "22:00 Oksygenmetning 90 %",
    ];
    let expected = (expected.map(str::to_owned).to_vec(), Some(name.to_owned()));
    assert_eq!(lines(&sent[1]), expected);
    assert_ne!(sent[1]["identifier"], sent[0]["identifier"]);
    send(&hub, &[with_status(right, "entered-in-error")]).await;
    let hub = hub.restarted().await;
    at(&hub, "2026-11-22T03:15:00+01:00").await;
    let sent = bodies(&hub).await;
    let (said, _) = lines(&sent[2]);
    assert_eq!(said, ["08:05 Oksygenmetning 94 % (feilført, tatt tilbake)"]);
}

#[tokio::test]
async fn a_long_day_is_several_notes_with_each_reading_once() {
    let hub = new(NOTE).await;
    let all: Vec<Value> = (0..1_100)
        .map(|n| {
            let when = format!(
                "2026-11-20T{:02}:{:02}:{:02}+01:00",
                n / 3600,
                n / 60 % 60,
                n % 60
            );
            spo2(&format!("r-{n}"), &when, 90)
        })
        .collect();
    for part in all.chunks(100) {
        send(&hub, part).await;
    }
    at(&hub, "2026-11-21T11:00:00+01:00").await;
    let sent = bodies(&hub).await;
    let counted: Vec<_> = sent.iter().map(|one| lines(one).0.len()).collect();
    assert_eq!(counted, [500, 500, 100]);
    assert_eq!(counts(&hub).await, (0, 0));
}

#[tokio::test]
async fn a_note_reaches_a_record_system_that_was_away_once_whoever_is_stopped() {
    let record_system = Receiver::listen(&[]).await;
    let hub = new((Amount::NewestOfDay, Form::Note)).await;
    let sent = [
        spo2("six", "2026-11-21T06:00:00+01:00", 90),
        spo2("seven", "2026-11-21T07:00:00+01:00", 91),
    ];
    let keys = send(&hub, &sent).await;
    // Stopped before the day is over, and after it.
    let hub = hub.restarted().await;
    hub.clock
        .set(parse_instant("2026-11-22T08:00:00+01:00").unwrap());
    let mut hub = hub.restarted().await;
    // The workers find the day by themselves; nobody listens at the record system.
    deliver(&hub, async {
        while stands(&hub, &keys[1]).await != "pending" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(stands(&hub, &keys[0]).await, "left-out");
    hub.config.receivers[0].record_system = Some(record_system.base().parse().unwrap());
    hub.clock.advance(3_600_000_000);
    let hub = hub.restarted().await;
    deliver(&hub, record_system.heard()).await;
    let got = record_system.got();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].bundle["type"], "document");
    let (said, _) = lines(&got[0].bundle);
    assert_eq!(said, ["07:00 Oksygenmetning 91 %"]);
    let hub = hub.restarted().await;
    assert_eq!(stands(&hub, &keys[1]).await, "delivered");
    at(&hub, "2026-11-24T08:00:00+01:00").await;
    assert_eq!(goes(&hub).await, [""; 0]);
}
