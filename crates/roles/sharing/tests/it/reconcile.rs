//! A record system compares what it holds with the copy here: from patients to the one reading, and nothing is changed.

use crate::house::*;
use fhir::json::{Json, Limits};
use fhir::systems;
use http::StatusCode;
use serde_json::{Value, json};
use store::Tally;
use testkit::clients::Reply;
use testkit::people::Patient;
use trust::ClientUse;
use trust::audit::Outcome;

/// A resource's digest by the published definition.
pub fn digest(resource: &Value) -> [u8; 16] {
    let json = Json::parse(resource.to_string(), Limits::RESOURCE).unwrap();
    fhir::identity::content(json.root())[..16]
        .try_into()
        .unwrap()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn who(of: &Patient) -> Value {
    json!({"name": "patient", "valueIdentifier": {"system": systems::FNR, "value": of.number}})
}

fn tally(resources: &[&Value]) -> [Value; 2] {
    let tally = Tally::of(resources.iter().map(|one| digest(one)).collect());
    [
        json!({"name": "count", "valueUnsignedInt": tally.count}),
        json!({"name": "digest", "valueString": hex(&tally.digest)}),
    ]
}

fn series(of: &Patient, resources: &[&Value]) -> Value {
    let [count, digest] = tally(resources);
    json!({"name": "series", "part": [who(of), count, digest]})
}

fn bucket(month: &str, resources: &[&Value]) -> Value {
    let [count, digest] = tally(resources);
    json!({"name": "bucket", "part": [{"name": "month", "valueString": month}, count, digest]})
}

fn entry(resource: &Value) -> Value {
    json!({"name": "entry", "part": [
        {"name": "digest", "valueString": hex(&digest(resource))},
        {"name": "identifier", "valueIdentifier": resource["identifier"][0]},
    ]})
}

/// A question about Observations.
pub fn question(parameters: &[Value]) -> Value {
    let mut all = vec![json!({"name": "type", "valueCode": "Observation"})];
    all.extend(parameters.iter().cloned());
    json!({"resourceType": "Parameters", "parameter": all})
}

async fn ask(service: &Service, parameters: &[Value]) -> Reply {
    let owner = service.record_system(FJELLVIK);
    service
        .post(&owner, "/$reconcile", &question(parameters))
        .await
}

/// How many agree, and of the rest: what it is about and its state.
fn told(reply: &Reply) -> (u64, Vec<(String, String)>) {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let rows = reply.json["parameter"].as_array().unwrap();
    assert_eq!(rows[0]["name"], "agree");
    let row = |row: &Value| {
        let part = |name: &str| {
            let parts = row["part"].as_array().unwrap();
            parts.iter().find(|part| part["name"] == name).cloned()
        };
        let about = match row["name"].as_str().unwrap() {
            "series" => part("patient").unwrap()["valueIdentifier"]["value"].clone(),
            "bucket" => part("month").unwrap()["valueString"].clone(),
            _ => part("resource").map_or(Value::Null, |one| {
                one["valueReference"]["reference"].clone()
            }),
        };
        let state = part("state").unwrap()["valueCode"].clone();
        (
            about.as_str().unwrap_or_default().to_owned(),
            state.as_str().unwrap().to_owned(),
        )
    };
    (
        rows[0]["valueUnsignedInt"].as_u64().unwrap(),
        rows[1..].iter().map(row).collect(),
    )
}

fn pair(about: &str, state: &str) -> (String, String) {
    (about.to_owned(), state.to_owned())
}

const OCTOBER: &str = "2026-10-31T23:30:00+01:00";
const NOVEMBER: &str = "2026-11-01T00:30:00+01:00";

#[tokio::test]
async fn one_lost_reading_is_found_from_the_municipality_down() {
    let service = Service::fjellvik().await;
    let source: Vec<Value> = [
        ("r-1", OCTOBER),
        ("r-2", NOVEMBER),
        ("r-3", "2026-11-20T08:00:00Z"),
    ]
    .map(|(key, when)| reading(ragnhild(), key, when, "91"))
    .into();
    let others = reading(arne(), "r-1", OCTOBER, "93");
    for one in [&source[0], &source[1], &others] {
        service.created(one).await;
    }
    let all: Vec<&Value> = source.iter().collect();
    let reply = ask(
        &service,
        &[series(ragnhild(), &all), series(arne(), &[&others])],
    )
    .await;
    assert_eq!(told(&reply), (1, vec![pair(&ragnhild().number, "differs")]));
    let record = service.last_record().await;
    assert_eq!((record.outcome, record.patient), (Outcome::Allowed, None));
    assert!(
        record.asked.ends_with("Observation series of 2"),
        "{}",
        record.asked
    );

    let months = [
        who(ragnhild()),
        bucket("2026-10", &all[..1]),
        bucket("2026-11", &all[1..]),
    ];
    let reply = ask(&service, &months).await;
    assert_eq!(told(&reply), (1, vec![pair("2026-11", "differs")]));

    let november = json!({"name": "month", "valueString": "2026-11"});
    let entries = [
        who(ragnhild()),
        november,
        entry(&source[1]),
        entry(&source[2]),
    ];
    let reply = ask(&service, &entries).await;
    assert_eq!(told(&reply), (1, vec![pair("", "missing")]));
    let part = &reply.json["parameter"][1]["part"];
    assert_eq!(part[0]["valueString"], hex(&digest(&source[2])));
    let record = service.last_record().await;
    assert_eq!(record.patient, Some(identifier(ragnhild())));

    // Repaired by the ordinary feed, both agree.
    service.created(&source[2]).await;
    let reply = ask(
        &service,
        &[series(ragnhild(), &all), series(arne(), &[&others])],
    )
    .await;
    assert_eq!(told(&reply), (2, vec![]));
}

#[tokio::test]
async fn each_way_to_differ_has_its_word() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let at = |key: &str, value: &str| reading(ragnhild(), key, NOVEMBER, value);
    let mut places = Vec::new();
    for (key, value) in [
        ("same", "91"),
        ("changed", "92"),
        ("withdrawn", "93"),
        ("extra", "94"),
    ] {
        places.push(format!(
            "Observation/{}",
            service.created(&at(key, value)).await
        ));
    }
    service
        .delete(&owner, &format!("/{}", places[2]), None)
        .await;
    let mut wrong = at("error", "95");
    wrong["status"] = "entered-in-error".into();
    service.created(&wrong).await;
    // By its content alone, where the source has no identifier at hand.
    let bare =
        json!({"name": "entry", "part": [{"name": "digest", "valueString": hex(&digest(&wrong))}]});
    let before = service.audit().await.len();
    let sent = [
        who(ragnhild()),
        entry(&at("same", "91")),
        entry(&at("changed", "92.5")),
        entry(&at("withdrawn", "93")),
        entry(&at("never", "96")),
        bare,
    ];
    let reply = ask(&service, &sent).await;
    let expected = vec![
        pair(&places[1], "differs"),
        pair(&places[2], "withdrawn"),
        pair("", "missing"),
        pair(&places[3], "extra"),
    ];
    assert_eq!(
        told(&reply),
        (2, expected),
        "what is entered in error counts like any other"
    );
    assert_eq!(service.audit().await.len(), before + 1);
    let record = service.last_record().await;
    let given: Vec<String> = record
        .disclosed
        .iter()
        .map(|one| format!("Observation/{}", one.id))
        .collect();
    assert_eq!(
        given,
        [places[1].clone(), places[2].clone(), places[3].clone()]
    );
    // Another month, and nothing of it is here.
    let october = json!({"name": "month", "valueString": "2026-10"});
    assert_eq!(
        told(&ask(&service, &[who(ragnhild()), october]).await),
        (0, vec![])
    );
    let undated = bucket("undated", &[]);
    assert_eq!(
        told(&ask(&service, &[who(ragnhild()), undated]).await),
        (1, vec![pair("2026-11", "extra")])
    );
    // Nothing was changed by asking.
    let found = service
        .search(
            &owner,
            "Observation",
            &[("patient.identifier", &number(ragnhild()))],
        )
        .await;
    assert_eq!(crate::house::found(&found).len(), 4);
}

#[tokio::test]
async fn patients_whom_the_source_does_not_know_are_found_by_the_end_of_the_number() {
    let service = Service::fjellvik().await;
    let (ours, theirs) = (
        reading(ragnhild(), "r-1", NOVEMBER, "91"),
        reading(arne(), "r-1", NOVEMBER, "92"),
    );
    service.created(&ours).await;
    service.created(&theirs).await;
    let ending = |of: &Patient| json!({"name": "ending", "valueString": &of.number[9..]});
    assert_ne!(&ragnhild().number[9..], &arne().number[9..]);
    let reply = ask(&service, &[ending(arne())]).await;
    assert_eq!(told(&reply), (0, vec![pair(&arne().number, "extra")]));
    let reply = ask(
        &service,
        &[ending(ragnhild()), series(ragnhild(), &[&ours])],
    )
    .await;
    assert_eq!(told(&reply), (1, vec![]));
    let reply = ask(&service, &[ending(arne()), series(ragnhild(), &[&ours])]).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(!reply.json.to_string().contains(&ragnhild().number));
    // A code narrows, as it does for a series that is replaced.
    let pulse_only =
        json!({"name": "code", "valueCoding": {"system": "http://loinc.org", "code": "8867-4"}});
    let reply = ask(&service, &[pulse_only.clone(), ending(arne())]).await;
    assert_eq!(told(&reply), (0, vec![]));
    let beat = pulse(arne(), "p-1", NOVEMBER);
    service.created(&beat).await;
    let reply = ask(&service, &[pulse_only, series(arne(), &[&beat])]).await;
    assert_eq!(told(&reply), (1, vec![]));
}

#[tokio::test]
async fn only_the_source_asks_and_a_question_is_understood_or_refused() {
    let service = Service::fjellvik().await;
    service
        .created(&reading(ragnhild(), "r-1", NOVEMBER, "91"))
        .await;
    let whole = question(&[who(ragnhild())]);
    for (who, status) in [
        (service.record_system(FJELLVIK), StatusCode::OK),
        (service.record_system(PROVEHEIM), StatusCode::FORBIDDEN),
        (service.hub(FJELLVIK), StatusCode::FORBIDDEN),
        (service.physician(ragnhild()), StatusCode::FORBIDDEN),
        (service.citizen(ragnhild()), StatusCode::FORBIDDEN),
        (
            service.system(ClientUse::RecordSystem, FJELLVIK, "system/Observation.c"),
            StatusCode::FORBIDDEN,
        ),
        (
            service.system(ClientUse::RecordSystem, FJELLVIK, "system/CarePlan.rs"),
            StatusCode::FORBIDDEN,
        ),
    ] {
        let reply = service.post(&who, "/$reconcile", &whole).await;
        assert_eq!(reply.status, status, "{}", reply.json);
        let outcome = service.last_record().await.outcome;
        assert_eq!(outcome == Outcome::Allowed, status == StatusCode::OK);
    }
    let month = |text: &str| json!({"name": "month", "valueString": text});
    let nothing = series(ragnhild(), &[]);
    for bad in [
        vec![],
        vec![
            json!({"name": "type", "valueCode": "CarePlan"}),
            who(ragnhild()),
        ],
        vec![json!({"name": "what", "valueString": "x"}), who(ragnhild())],
        vec![json!({"name": "ending", "valueString": "0a"})],
        vec![json!({"name": "ending", "valueString": "12345"})],
        vec![who(ragnhild()), month("2026-13")],
        vec![who(ragnhild()), month("2026-11"), bucket("2026-11", &[])],
        vec![who(ragnhild()), nothing.clone()],
        vec![nothing.clone(), nothing.clone()],
        vec![bucket("2026-11", &[])],
        vec![
            who(ragnhild()),
            bucket("2026-11", &[]),
            bucket("2026-11", &[]),
        ],
        vec![
            who(ragnhild()),
            json!({"name": "entry", "part": [{"name": "digest", "valueString": "00"}]}),
        ],
        vec![json!({"name": "series", "part": [who(ragnhild())]})],
    ] {
        let reply = ask(&service, &bad).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{bad:?}");
        assert!(!reply.json.to_string().contains(&ragnhild().number));
    }
    let shared = Service::kystregionen().await;
    let member = shared.record_system(SORLIA);
    let reply = shared.post(&member, "/$reconcile", &whole).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(issues(&reply.json), ["not-supported @ Parameters"]);
}

/// What suppliers compute by is what we compute by: the guide's example, which `interop/python/reconcile.py` computes too.
#[test]
fn the_guides_digests_are_ours() {
    let guide = include_str!("../../../../../docs/guide/record-system.md");
    let examples: Vec<String> = guide
        .lines()
        .filter(|line| line.starts_with("{\"resourceType\":\""))
        .map(|line| {
            let json = Json::parse(line, Limits::RESOURCE).unwrap();
            hex(&fhir::identity::content(json.root())[..16])
        })
        .collect();
    assert_eq!(examples.len(), 2);
    let mut digests = Vec::new();
    for one in &examples {
        assert!(guide.contains(&format!("\ndigest: `{one}`")), "{one}");
        let bytes = (0..16).map(|i| u8::from_str_radix(&one[2 * i..2 * i + 2], 16).unwrap());
        digests.push(bytes.collect::<Vec<u8>>().try_into().unwrap());
    }
    let both = hex(&Tally::of(digests).digest);
    assert!(
        guide.contains(&format!("digest of the set of both: `{both}`")),
        "{both}"
    );
}
