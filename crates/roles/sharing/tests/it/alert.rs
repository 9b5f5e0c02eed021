//! Alerts over HTTP: what raises one, who takes it, and that nothing but a person closes it.

mod again;

use fhir::time::Instant;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;
use testkit::people::Practitioner;
use trust::Interaction;

use crate::assess::{assesses, assessing, other, plan, planned};
use crate::house::*;

const MINUTE: i64 = 60_000_000;

/// Somebody of the municipality's follow-up centre.
fn nurse(name: &str, number: &str) -> Practitioner {
    Practitioner {
        number: number.into(),
        name: name.into(),
        authorization: "SP".into(),
        ..physician().clone()
    }
}

pub fn kari() -> Practitioner {
    nurse("Kari Prøve", &physician().number)
}

pub fn ola() -> Practitioner {
    nurse("Ola Prøve", &arne().number)
}

/// A token of personnel of an organisation about the patient.
pub fn personnel(service: &Service, who: &Practitioner, orgnr: &str, scope: &str) -> Held {
    service.held(|jkt| {
        let (base, now) = (&service.base, service.clock.now());
        let claims = service
            .issuer
            .practitioner_claims(who, orgnr, ragnhild(), base, jkt, now);
        let mut claims = claims.unwrap();
        claims.scope = scope.into();
        claims
    })
}

const SCOPE: &str = "user/*.rs user/Task.u";

pub fn own(service: &Service, who: &Practitioner) -> Held {
    personnel(service, who, FJELLVIK, SCOPE)
}

/// One of the municipality's own takes a step, made from a version.
pub async fn step(
    service: &Service,
    who: &Practitioner,
    of: (&Value, u64),
    step: &str,
    note: Option<&str>,
) -> Reply {
    let held = own(service, who);
    asked(service, &held, of, step, note).await
}

/// Somebody asks for a step.
async fn asked(
    service: &Service,
    who: &Held,
    (task, version): (&Value, u64),
    step: &str,
    note: Option<&str>,
) -> Reply {
    let path = format!("/Task/{}/${step}", task["id"].as_str().unwrap());
    let knock = service.door.knock(http::Method::POST, &path);
    let knock = knock.header("if-match", &format!("W/\"{version}\""));
    let knock = match note {
        Some(note) => knock
            .header("content-type", "application/x-www-form-urlencoded")
            .body(wire::form::write([("note", note)])),
        None => knock,
    };
    knock.by(who, service.clock.now()).send().await
}

/// All alerts, oldest first.
pub async fn alerts(service: &Service) -> Vec<Value> {
    service.state.assess_waiting().await.unwrap();
    found_of(service, "Task", "authored-on").await
}

async fn found_of(service: &Service, resource: &str, sort: &str) -> Vec<Value> {
    let owner = service.record_system(FJELLVIK);
    let number = number(ragnhild());
    let form = [("patient.identifier", number.as_str()), ("_sort", sort)];
    let reply = service.search(&owner, resource, &form).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    reply.matches().into_iter().cloned().collect()
}

async fn issue(service: &Service, task: &Value) -> Value {
    let owner = service.record_system(FJELLVIK);
    let path = format!("/{}", task["focus"]["reference"].as_str().unwrap());
    service.get(&owner, &path).await.json
}

fn state(task: &Value) -> &str {
    task["businessStatus"]["coding"][0]["code"]
        .as_str()
        .unwrap()
}

fn diagnostics(reply: &Reply) -> &str {
    reply.json["issue"][0]["diagnostics"].as_str().unwrap()
}

/// Raises a red alert now, and gives the Task's id.
pub async fn raised(service: &Service) -> String {
    let plan = plan(ragnhild(), "1", ("2026-11-01", None), "84");
    service.created(&plan).await;
    let red = reading(ragnhild(), "red", "2026-11-21T08:30:00+01:00", "80");
    service.created(&red).await;
    let all = alerts(service).await;
    all[0]["id"].as_str().unwrap().to_owned()
}

/// The story's day 1 until 08:45: twice 87, and the clock ten past nine.
pub async fn yellow() -> Service {
    yellow_at(assessing().await).await
}

pub async fn yellow_at(service: Service) -> Service {
    service
        .clock
        .set("2026-11-19T09:10:00+01:00".parse().unwrap());
    planned(&service).await;
    for (key, when) in [
        ("a", "2026-11-19T08:28:00+01:00"),
        ("b", "2026-11-19T08:45:00+01:00"),
    ] {
        service.created(&reading(ragnhild(), key, when, "87")).await;
    }
    service
}

#[tokio::test]
async fn day_1_yellow_is_owned_by_one_assessed_and_closed_with_a_note() {
    let service = yellow().await;
    let (kari, ola) = (kari(), ola());
    let all = alerts(&service).await;
    let [task] = &all[..] else {
        panic!("one alert: {all:?}")
    };
    assert_eq!(
        (state(task), &task["status"]),
        ("raised", &json!("requested"))
    );
    assert_eq!(task["restriction"]["period"]["end"], "2026-11-19T10:10:00Z");
    let found = issue(&service, task).await;
    assert_eq!(found["code"]["coding"][0]["code"], "5.2.1");
    assert_eq!(
        (&found["severity"], &found["detail"]),
        (&json!("moderate"), &json!("gul"))
    );
    // The result and the two readings, each with its version.
    let implicated = found["implicated"].as_array().unwrap();
    assert_eq!(implicated.len(), 3, "{found}");
    for one in implicated {
        assert!(one["reference"].as_str().unwrap().ends_with("/_history/1"));
    }

    // Both take it at once.
    let first = step(&service, &kari, (task, 1), "own", None).await;
    let second = step(&service, &ola, (task, 1), "own", None).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.json);
    assert_eq!(
        first.json["owner"]["display"],
        "Kari Prøve, Fjellvik kommune"
    );
    assert_eq!(second.status, StatusCode::PRECONDITION_FAILED);
    assert!(diagnostics(&second).contains("owned by Kari Prøve, Fjellvik kommune"));
    // He who has seen that is told as well; and only she who has it goes on.
    for (what, note) in [("own", None), ("acknowledge", None), ("resolve", Some("x"))] {
        let reply = step(&service, &ola, (task, 2), what, note).await;
        assert_eq!(reply.status, StatusCode::CONFLICT, "{what}");
        assert!(
            diagnostics(&reply).contains("owned by Kari"),
            "{}",
            reply.json
        );
    }
    let again = step(&service, &kari, (task, 2), "own", None).await;
    assert_eq!(
        (again.status, &again.json["meta"]["versionId"]),
        (StatusCode::OK, &json!("2"))
    );
    // Nobody's number stands in it.
    assert!(!first.json.to_string().contains(&physician().number));
    assert!(!first.json.to_string().contains(&physician().hpr));

    let seen = step(&service, &kari, (task, 2), "acknowledge", None).await;
    assert_eq!(state(&seen.json), "acknowledged");
    assert!(seen.json.get("restriction").is_none());
    let noted = step(&service, &ola, (task, 3), "note", Some("Ringte 09:40")).await;
    assert_eq!(
        noted.json["note"][0]["authorString"],
        "Ola Prøve, Fjellvik kommune"
    );
    assert_eq!(noted.json["note"][0]["time"], "2026-11-19T08:10:00Z");
    let silent = step(&service, &kari, (task, 4), "resolve", None).await;
    assert_eq!(issues(&silent.json), ["required @ note"]);
    let closed = step(
        &service,
        &kari,
        (task, 4),
        "resolve",
        Some("Planens trinn er tatt"),
    )
    .await;
    assert_eq!(
        (state(&closed.json), &closed.json["status"]),
        ("resolved", &json!("completed"))
    );
    assert_eq!(closed.json["note"].as_array().unwrap().len(), 2);
    let late = step(&service, &kari, (task, 5), "own", None).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    // What was read after it was closed can still be said.
    let both = step(&service, &ola, (task, 5), "note", Some("Lest")).await;
    assert_eq!(both.status, StatusCode::OK, "{}", both.json);

    // Each step is on record, with who took it.
    let steps: Vec<_> = service
        .audit()
        .await
        .into_iter()
        .map(|entry| entry.record)
        .filter(|record| record.interaction == Interaction::AlertStep)
        .collect();
    assert_eq!(steps.len(), 12);
    assert!(steps.iter().all(|record| record.person.is_some()));
    assert!(
        steps[0]
            .disclosed
            .iter()
            .any(|one| one.resource == "Task" && one.version == 6)
    );
}

#[tokio::test]
async fn what_is_found_while_it_is_open_joins_it_and_red_renews_its_deadline() {
    let service = yellow().await;
    let kari = kari();
    let task = alerts(&service).await.remove(0);
    step(&service, &kari, (&task, 1), "own", None).await;
    step(&service, &kari, (&task, 2), "acknowledge", None).await;
    service.clock.advance(30 * MINUTE);
    let red = reading(ragnhild(), "c", "2026-11-19T09:35:00+01:00", "84");
    service.created(&red).await;
    let all = alerts(&service).await;
    assert_eq!(all.len(), 1);
    let risen = &all[0];
    assert_eq!(
        (state(risen), &risen["priority"]),
        ("owned", &json!("stat"))
    );
    assert_eq!(risen["owner"]["display"], "Kari Prøve, Fjellvik kommune");
    assert_eq!(
        risen["restriction"]["period"]["end"],
        "2026-11-19T08:55:00Z"
    );
    let text = risen.to_string();
    assert!(
        text.contains("alert-rose") && text.contains("2026-11-19T08:40:00Z"),
        "{text}"
    );
    let found = issue(&service, risen).await;
    assert_eq!(
        (&found["severity"], &found["detail"]),
        (&json!("high"), &json!("rød"))
    );
    assert!(found["implicated"].as_array().unwrap().len() > 3);
    // Who had not seen that cannot close it.
    let stale = step(&service, &kari, (&task, 3), "resolve", Some("x")).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    // A green reading closes nothing and lowers nothing.
    service.clock.advance(30 * MINUTE);
    let green = reading(ragnhild(), "d", "2026-11-19T10:05:00+01:00", "90");
    service.created(&green).await;
    assert_eq!(alerts(&service).await, all);
    let closed = step(&service, &kari, (risen, 4), "resolve", Some("Bedre")).await;
    assert_eq!(closed.status, StatusCode::OK, "{}", closed.json);
    // What was told of is not told again, though the plan is corrected; what is new is.
    let mut again = plan(ragnhild(), "1", ("2026-11-01", None), "84");
    again["title"] = json!("Samme plan, ny tittel");
    again["identifier"][0]["value"] = json!("1b");
    service.created(&again).await;
    assert_eq!(alerts(&service).await.len(), 1);
    service.clock.advance(30 * MINUTE);
    let worse = reading(ragnhild(), "e", "2026-11-19T10:35:00+01:00", "83");
    service.created(&worse).await;
    let all = alerts(&service).await;
    assert_eq!(
        all.iter().map(state).collect::<Vec<_>>(),
        ["resolved", "raised"]
    );
}

#[tokio::test]
async fn a_backlog_raises_nothing_and_a_first_of_two_waits() {
    let service = assessing().await;
    planned(&service).await;
    for (key, when, value) in [
        ("newer", "2026-11-21T08:30:00+01:00", "91"),
        ("old", "2026-11-18T08:30:00+01:00", "80"),
        ("behind it", "2026-11-21T08:00:00+01:00", "80"),
        ("one of two", "2026-11-21T09:30:00+01:00", "87"),
    ] {
        service
            .created(&reading(ragnhild(), key, when, value))
            .await;
        assert!(alerts(&service).await.is_empty(), "{key}");
    }
    assert!(
        found_of(&service, "DetectedIssue", "identified")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_deadline_that_passes_raises_the_level_until_somebody_has_it() {
    let service = yellow().await;
    let raised = alerts(&service).await.remove(0);
    let raised_at: Instant = service.clock.now();
    assert_eq!(service.state.watch_due().await.unwrap(), 0);
    service.clock.set(raised_at.plus_micros(120 * MINUTE));
    assert_eq!(service.state.watch_due().await.unwrap(), 1);
    assert_eq!(service.state.watch_due().await.unwrap(), 0);
    let waiting = alerts(&service).await.remove(0);
    assert_eq!(state(&waiting), "raised");
    assert_eq!(
        waiting["restriction"]["period"]["end"],
        "2026-11-19T14:10:00Z"
    );
    let extension = waiting["extension"].as_array().unwrap();
    let escalation = extension
        .iter()
        .find(|one| one["url"].as_str().unwrap().ends_with("alert-escalation"));
    let escalation = escalation.unwrap();
    assert_eq!(escalation["extension"][0]["valueUnsignedInt"], 1);
    assert_eq!(
        escalation["extension"][1]["valueDateTime"],
        "2026-11-19T10:10:00Z"
    );
    let record = service.last_record_of(Interaction::Assess).await;
    assert_eq!(record.asked, "alert: deadline passed, level 1");
    assert!(record.person.is_none());
    // Owned and looked into, it waits for nothing.
    let kari = kari();
    step(&service, &kari, (&raised, 2), "own", None).await;
    step(&service, &kari, (&raised, 3), "acknowledge", None).await;
    service.clock.advance(48 * 60 * MINUTE);
    assert_eq!(service.state.watch_due().await.unwrap(), 0);
}

#[tokio::test]
async fn an_alert_that_nobody_takes_is_for_the_role_that_the_organisation_names_next() {
    let service = Service::with("fjellvik", FJELLVIK, &[], |config| {
        assesses(config);
        let roles = ["Ansvarshavende sykepleier", "Vakthavende lege"];
        let assessment = config.assessment.as_mut().unwrap();
        assessment.escalate_to = roles.map(str::to_owned).to_vec();
    });
    let service = yellow_at(service.await).await;
    let raised = alerts(&service).await.remove(0);
    assert!(raised.get("performerType").is_none());
    for (level, role) in [
        (1, "Ansvarshavende sykepleier"),
        (2, "Vakthavende lege"),
        (3, "Vakthavende lege"),
    ] {
        let waiting = alerts(&service).await.remove(0);
        let end = waiting["restriction"]["period"]["end"].as_str().unwrap();
        service.clock.set(end.parse().unwrap());
        assert_eq!(service.state.watch_due().await.unwrap(), 1);
        let waiting = alerts(&service).await.remove(0);
        assert_eq!(waiting["performerType"], json!([{"text": role}]));
        let record = service.last_record_of(Interaction::Assess).await;
        assert_eq!(
            record.asked,
            format!("alert: deadline passed, level {level}, now for {role}")
        );
        let list = crate::work_list::list(&service, &[]).await;
        let alert = &list.rows[0].alerts[0];
        assert_eq!(
            (alert.level, alert.escalated_to.as_deref()),
            (level, Some(role))
        );
    }
    // Who has it, has it.
    step(&service, &kari(), (&raised, 4), "own", None).await;
    let owned = alerts(&service).await.remove(0);
    assert!(owned.get("performerType").is_none(), "{owned}");
}

#[tokio::test]
async fn a_note_is_text_and_notes_leave_room_for_the_end() {
    let service = yellow().await;
    let task = alerts(&service).await.remove(0);
    let kari = own(&service, &kari());
    for text in ["a\u{8}b", "a\u{1b}[2Jb", "a\u{85}b", "a\u{7f}"] {
        let reply = asked(&service, &kari, (&task, 1), "note", Some(text)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{text:?}");
        assert_eq!(issues(&reply.json), ["value @ note"]);
    }
    let lines = asked(&service, &kari, (&task, 1), "own", Some("en\r\nto\ttre")).await;
    assert_eq!(lines.status, StatusCode::OK, "{}", lines.json);
    let last = 181;
    for version in 2..last {
        let reply = asked(&service, &kari, (&task, version), "note", Some("Ringt")).await;
        assert_eq!(reply.status, StatusCode::OK, "{version}: {}", reply.json);
    }
    let full = asked(&service, &kari, (&task, last), "note", Some("Ringt")).await;
    assert_eq!(issues(&full.json), ["too-long @ note"]);
    let closed = asked(&service, &kari, (&task, last), "resolve", Some("Friskere")).await;
    assert_eq!(closed.status, StatusCode::OK, "{}", closed.json);
}

#[tokio::test]
async fn only_the_organisations_own_with_the_right_and_need_take_steps() {
    let service = yellow().await;
    let task = alerts(&service).await.remove(0);
    let other_patient = service.held(|jkt| {
        let (base, now) = (&service.base, service.clock.now());
        let claims = service
            .issuer
            .practitioner_claims(&kari(), FJELLVIK, arne(), base, jkt, now);
        let mut claims = claims.unwrap();
        claims.scope = SCOPE.into();
        claims
    });
    for (who, held, expected) in [
        (
            "without the scope",
            personnel(&service, &kari(), FJELLVIK, "user/*.rs"),
            StatusCode::FORBIDDEN,
        ),
        (
            "another organisation",
            personnel(&service, &kari(), PROVEHEIM, SCOPE),
            StatusCode::FORBIDDEN,
        ),
        (
            "about another patient",
            other_patient,
            StatusCode::NOT_FOUND,
        ),
        (
            "the patient",
            service.citizen(ragnhild()),
            StatusCode::FORBIDDEN,
        ),
        (
            "the record system",
            service.record_system(FJELLVIK),
            StatusCode::FORBIDDEN,
        ),
    ] {
        let reply = asked(&service, &held, (&task, 1), "own", None).await;
        assert_eq!(reply.status, expected, "{who}: {}", reply.json);
    }
    let kari = own(&service, &kari());
    let path = format!("/Task/{}", task["id"].as_str().unwrap());
    let blind = service
        .door
        .knock(http::Method::POST, &format!("{path}/$own"));
    let blind = blind.by(&kari, service.clock.now()).send().await;
    assert_eq!(blind.status, StatusCode::PRECONDITION_REQUIRED);
    // No feed writes, changes or takes back an alert.
    let owner = service.record_system(FJELLVIK);
    let mut forged = task.clone();
    forged["status"] = json!("completed");
    let found = issue(&service, &task).await;
    let found_path = format!("/DetectedIssue/{}", found["id"].as_str().unwrap());
    for reply in [
        service.put(&owner, &path, Some("W/\"1\""), &forged).await,
        service.delete(&owner, &path, Some("W/\"1\"")).await,
        service.delete(&owner, &found_path, Some("W/\"1\"")).await,
        service.post(&owner, "/DetectedIssue", &found).await,
    ] {
        assert_eq!(
            reply.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{}",
            reply.json
        );
    }
    assert_eq!(alerts(&service).await, [task]);
    // Others read it as they read all else.
    let physician = service.physician(ragnhild());
    assert_eq!(service.get(&physician, &path).await.status, StatusCode::OK);
    assert_eq!(
        service
            .get(&service.citizen(ragnhild()), &path)
            .await
            .status,
        StatusCode::OK
    );
}

/// A reading that an alert rests on is erased for good.
pub async fn erased(service: &Service, reading: &str) {
    let erased = reading.split("/_history").next().unwrap();
    let order = json!({"resourceType": "Parameters", "parameter": [
        {"name": "ground", "valueCode": "deletion-decision"},
        {"name": "order", "valueString": "o-1"},
        {"name": "decision", "valueString": "d-1"},
        {"name": "scope", "valueCode": "resource"},
        {"name": "resource", "valueReference": {"reference": erased}},
    ]});
    let owner = service.record_system(FJELLVIK);
    let reply = service.post(&owner, "/$purge", &order).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
}

#[tokio::test]
async fn an_alert_stands_though_what_it_rested_on_is_erased() {
    let service = yellow().await;
    let owner = service.record_system(FJELLVIK);
    let task = alerts(&service).await.remove(0);
    let found = issue(&service, &task).await;
    erased(
        &service,
        found["implicated"][1]["reference"].as_str().unwrap(),
    )
    .await;
    let path = format!("/{}", task["focus"]["reference"].as_str().unwrap());
    assert_eq!(
        service.get(&owner, &path).await.status,
        StatusCode::NOT_FOUND
    );
    // It is open still, and what is found next joins it with a list of its own.
    service.clock.advance(30 * MINUTE);
    let red_reading = reading(ragnhild(), "c", "2026-11-19T09:35:00+01:00", "84");
    service.created(&red_reading).await;
    let all = alerts(&service).await;
    assert_eq!(all.len(), 1);
    assert_ne!(all[0]["focus"], task["focus"]);
    assert_eq!(issue(&service, &all[0]).await["severity"], "high");
}

/// The story's rule: two daily readings in a row not here by noon, or a scheduled one when its day ends.
pub fn expecting() -> Value {
    let mut plan = plan(ragnhild(), "1", ("2026-11-01", None), "84");
    let rule = json!({ "url": fhir::plan::MISSING, "extension": [
        { "url": "in-a-row", "valuePositiveInt": 2 },
        { "url": "by", "valueTime": "12:00:00" },
        { "url": "text", "valueString": "To på rad" },
    ] });
    let extensions = plan["extension"].as_array_mut().unwrap();
    extensions.push(rule);
    plan
}

#[tokio::test]
async fn days_9_to_7_silence_raises_an_alert_at_noon_and_the_backlog_answers_it_and_closes_nothing()
{
    let service = assessing().await;
    let clock = |when: &str| service.clock.set(when.parse().unwrap());
    clock("2026-11-16T08:40:00+01:00");
    service.created(&expecting()).await;
    let last = reading(ragnhild(), "16", "2026-11-16T08:30:00+01:00", "91");
    service.created(&last).await;
    assert!(alerts(&service).await.is_empty());
    clock("2026-11-18T11:59:59+01:00");
    service.state.watch_due().await.unwrap();
    assert!(alerts(&service).await.is_empty());
    clock("2026-11-18T12:00:00+01:00");
    service.state.watch_due().await.unwrap();
    let all = alerts(&service).await;
    let [task] = &all[..] else {
        panic!("one alert: {all:?}")
    };
    assert_eq!(
        (state(task), &task["priority"]),
        ("raised", &json!("routine"))
    );
    assert_eq!(task["restriction"]["period"]["end"], "2026-11-18T15:00:00Z");
    let found = issue(&service, task).await;
    assert_eq!(found["code"]["coding"][0]["code"], "5.3.2");
    assert_eq!(found["severity"], "low");
    let named: Vec<_> = found["implicated"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["display"].as_str().unwrap().rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(named, ["2026-11-17T07:30:00Z", "2026-11-18T07:30:00Z"]);
    let record = service.last_record_of(Interaction::Assess).await;
    assert_eq!(
        record.asked,
        "alert: readings that the plan expects are missing"
    );
    // Looked at again, it is told once.
    service.state.watch_due().await.unwrap();
    assert_eq!(alerts(&service).await, all);
    let kari = kari();
    let owned = step(&service, &kari, (task, 1), "own", Some("Telefonen var av")).await;
    assert_eq!(owned.status, StatusCode::OK, "{}", owned.json);

    // The backlog, shuffled and doubled, and the day's own reading.
    clock("2026-11-19T09:00:00+01:00");
    let days = ["18", "17", "19", "18"];
    for day in days {
        let when = format!("2026-11-{day}T08:31:00+01:00");
        let owner = service.record_system(FJELLVIK);
        let body = reading(ragnhild(), day, &when, "90");
        let reply = service.post(&owner, "/Observation", &body).await;
        assert!(reply.status.is_success(), "{}", reply.json);
    }
    let all = alerts(&service).await;
    assert_eq!(all.iter().map(state).collect::<Vec<_>>(), ["owned"]);
    let found = issue(&service, &all[0]).await;
    let evidence = found["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), 2, "{found}");
    assert_eq!(evidence[0]["code"][0]["coding"][0]["code"], "answered");
    // She who has not seen what came cannot close it unseen.
    let stale = step(&service, &kari, (task, 2), "resolve", Some("x")).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let version = all[0]["meta"]["versionId"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let closed = step(
        &service,
        &kari,
        (task, version),
        "resolve",
        Some("Alt er her"),
    )
    .await;
    assert_eq!(state(&closed.json), "resolved", "{}", closed.json);
    clock("2026-11-19T12:00:00+01:00");
    service.state.watch_due().await.unwrap();
    assert_eq!(alerts(&service).await.len(), 1);
}

#[tokio::test]
async fn what_was_due_while_the_service_was_down_is_caught_up_with_and_an_ended_plan_expects_nothing()
 {
    let service = assessing().await;
    let clock = |when: &str| service.clock.set(when.parse().unwrap());
    clock("2026-11-16T08:40:00+01:00");
    let id = service.created(&expecting()).await;
    assert!(alerts(&service).await.is_empty());
    // Nothing was looked at for three days.
    clock("2026-11-19T15:00:00+01:00");
    service.state.watch_due().await.unwrap();
    let all = alerts(&service).await;
    assert_eq!(all.len(), 1);
    let found = issue(&service, &all[0]).await;
    assert_eq!(found["implicated"].as_array().unwrap().len(), 5, "{found}");
    let owner = service.record_system(FJELLVIK);
    let path = format!("/CarePlan/{id}");
    let reply = service.delete(&owner, &path, Some("W/\"1\"")).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.json);
    alerts(&service).await;
    clock("2026-11-25T15:00:00+01:00");
    service.state.watch_due().await.unwrap();
    let found = issue(&service, &all[0]).await;
    assert_eq!(found["implicated"].as_array().unwrap().len(), 5, "{found}");
}

/// Day 2's score has 2 points so far and is low; day 3's parts, without its saturation, come to 5.
#[tokio::test]
async fn a_score_raises_an_alert_of_its_own_and_a_low_one_none() {
    let service = assessing().await;
    planned(&service).await;
    let when = "2026-11-21T08:26:00+01:00";
    for body in [
        reading(ragnhild(), "s", when, "86"),
        other("p", when, "8867-4", "/min", "104"),
        other("t", when, "8310-5", "Cel", "37.6"),
    ] {
        service.created(&body).await;
        assert!(alerts(&service).await.is_empty());
    }
    let later = "2026-11-21T09:00:00+01:00";
    for body in [
        other("p2", later, "8867-4", "/min", "118"),
        other("r2", later, "9279-1", "/min", "24"),
    ] {
        service.created(&body).await;
    }
    let all = alerts(&service).await;
    let [task] = &all[..] else {
        panic!("one alert: {all:?}")
    };
    assert_eq!(task["priority"], "stat");
    let found = issue(&service, task).await;
    assert_eq!(found["code"]["coding"][0]["code"], "5.1");
    assert_eq!(
        (&found["severity"], &found["detail"]),
        (&json!("high"), &json!("rød"))
    );
}

#[tokio::test]
async fn of_two_at_the_same_moment_one_has_it() {
    let service = yellow().await;
    let task = alerts(&service).await.remove(0);
    let (kari, ola) = (kari(), ola());
    let (one, other) = tokio::join!(
        step(&service, &kari, (&task, 1), "own", None),
        step(&service, &ola, (&task, 1), "own", None),
    );
    let (won, lost) = match one.status {
        StatusCode::OK => (one, other),
        _ => (other, one),
    };
    assert_eq!(won.status, StatusCode::OK, "{}", won.json);
    assert_eq!(
        lost.status,
        StatusCode::PRECONDITION_FAILED,
        "{}",
        lost.json
    );
    let owner = won.json["owner"]["display"].as_str().unwrap();
    assert!(diagnostics(&lost).contains(owner), "{}", lost.json);
}

#[tokio::test]
async fn after_a_long_standstill_the_last_week_is_caught_up_with() {
    let service = assessing().await;
    let clock = |when: &str| service.clock.set(when.parse().unwrap());
    clock("2026-11-02T08:40:00+01:00");
    service.created(&expecting()).await;
    assert!(alerts(&service).await.is_empty());
    clock("2026-11-30T11:00:00+01:00");
    service.state.watch_due().await.unwrap();
    let all = alerts(&service).await;
    assert_eq!(all.len(), 1);
    let found = issue(&service, &all[0]).await;
    let named = found["implicated"].as_array().unwrap();
    let first = named[0]["display"].as_str().unwrap();
    assert!(first.ends_with("2026-11-22T07:30:00Z"), "{first}");
    // From noon on the 23rd to noon on the 29th, each with the day before it.
    assert_eq!(named.len(), 8, "{found}");
}
