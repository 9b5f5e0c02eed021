//! The list of the organisation's own patients over HTTP: who is on it, in which order, who may see it, and that each of them can see
//! that it was seen.

mod limits;
mod meaning;
mod silence;

use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;
use testkit::issuer::ProofKey;
use testkit::people::{Directory, Patient, Practitioner};
use trust::Interaction;
use trust::audit::Record;
use wire::contract::work_list::{Row, Trend, WORK_LIST, WORK_LIST_SCOPE, WorkList};

use crate::alert::{alerts, kari, ola, step};
use crate::assess::{assessing, plan};
use crate::house::*;

/// A token of one of the municipality's own that names no patient.
pub fn without_patient(service: &Service, scope: &str) -> Held {
    by_key(service, &ProofKey::generate().unwrap(), &kari(), scope)
}

/// The same, of this person and bound to this key.
fn by_key(service: &Service, key: &ProofKey, who: &Practitioner, scope: &str) -> Held {
    let (base, now) = (&service.base, service.clock.now());
    let issuer = &service.issuer;
    let claims = issuer.practitioner_claims(who, FJELLVIK, ragnhild(), base, key.jkt(), now);
    let mut claims = claims.unwrap();
    claims.scope = scope.into();
    claims.patient = None;
    claims.attest.as_mut().unwrap().patients.clear();
    Held::of(issuer, key, &claims).unwrap()
}

async fn asked(service: &Service, who: &Held, form: &[(&str, &str)]) -> Reply {
    let knock = service.door.knock(http::Method::POST, WORK_LIST);
    let knock = knock
        .header("content-type", "application/x-www-form-urlencoded")
        .body(wire::form::write(form.iter().copied()));
    knock.by(who, service.clock.now()).send().await
}

/// The list, to somebody who has no tags.
pub async fn list(service: &Service, form: &[(&str, &str)]) -> WorkList {
    let who = without_patient(service, WORK_LIST_SCOPE);
    list_of(service, &who, form).await
}

async fn list_of(service: &Service, who: &Held, form: &[(&str, &str)]) -> WorkList {
    let reply = asked(service, who, form).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    WorkList::from_json(&reply.json).unwrap()
}

/// What somebody has who was given this.
fn tags(list: &WorkList) -> String {
    let all = [&list.tag].into_iter().chain(&list.order);
    all.map(String::as_str).collect::<Vec<_>>().join(",")
}

fn numbers(list: &WorkList) -> Vec<&str> {
    let rows = list.rows.iter();
    rows.map(|row| row.patient.value().expose()).collect()
}

fn others(count: usize) -> Vec<&'static Patient> {
    let all = Directory::demo().patients.iter();
    all.filter(|one| one.id != "ragnhild").take(count).collect()
}

/// A reading of the day of [`NOW`], or of so many days before.
fn of_day(of: &Patient, key: &str, days_before: u32, value: &str) -> Value {
    let day = 21 - days_before;
    reading(of, key, &format!("2026-11-{day}T08:30:00+01:00"), value)
}

async fn put(service: &Service, of: &Patient, key: &str, days_before: u32, value: &str) {
    let key = format!("{key}-{}", of.id);
    service.created(&of_day(of, &key, days_before, value)).await;
}

async fn follows(service: &Service, of: &Patient) {
    let mut plan = plan(of, "1", ("2026-11-01", None), "84");
    plan["identifier"][0]["value"] = json!(format!("plan-{}", of.id));
    service.created(&plan).await;
}

/// Ragnhild red after two green days, one green, one without readings; and one who is not followed up.
async fn ward() -> Service {
    let service = assessing().await;
    let [green, silent, stranger] = others(3)[..] else {
        panic!("three others")
    };
    for one in [ragnhild(), green, silent] {
        follows(&service, one).await;
    }
    for (days_before, value) in [(2, "91"), (1, "90"), (0, "80")] {
        put(
            &service,
            ragnhild(),
            &format!("r{days_before}"),
            days_before,
            value,
        )
        .await;
        put(
            &service,
            green,
            &format!("g{days_before}"),
            days_before,
            "92",
        )
        .await;
    }
    put(&service, stranger, "s", 0, "80").await;
    service.state.assess_waiting().await.unwrap();
    service
}

async fn listed_records(service: &Service) -> Vec<Record> {
    let all = service.audit().await.into_iter().map(|entry| entry.record);
    all.filter(|record| record.interaction == Interaction::WorkList)
        .collect()
}

#[tokio::test]
async fn red_stands_on_top_and_each_who_is_shown_is_on_record_by_herself() {
    let service = ward().await;
    let [green, silent, _] = others(3)[..] else {
        panic!("three others")
    };
    let who = without_patient(&service, WORK_LIST_SCOPE);
    let found = list_of(&service, &who, &[]).await;
    assert_eq!(
        numbers(&found),
        [ragnhild(), silent, green].map(|one| one.number.as_str())
    );
    assert_eq!((found.total, found.offset, found.same), (3, 0, false));
    assert!(found.device.contains("Ikke CE-merket"), "{}", found.device);
    let [red, unknown, well] = &found.rows[..] else {
        panic!("three rows")
    };
    assert_eq!(red.zone, Some(fhir::plan::Zone::Red));
    assert_eq!((red.trend, well.trend), (Trend::Worse, Trend::Same));
    assert_eq!(well.zone, Some(fhir::plan::Zone::Green));
    assert_eq!((unknown.zone, unknown.newest), (None, None));
    assert_eq!(red.newest.unwrap().to_string(), "2026-11-21T07:30:00Z");
    let [alert] = &red.alerts[..] else {
        panic!("one alert")
    };
    assert_eq!(
        (alert.state.as_str(), alert.topic.as_str(), alert.version),
        ("raised", "alert-readings", 1)
    );
    assert_eq!(alert.deadline.unwrap().to_string(), "2026-11-21T09:15:00Z");

    // One record of the question and one about each; each is found under her own number.
    let records = listed_records(&service).await;
    assert_eq!(records.len(), 4);
    let of_question: Vec<_> = records.iter().filter(|one| one.patient.is_none()).collect();
    assert_eq!(of_question.len(), 1);
    assert!(of_question[0].disclosed.is_empty());
    for one in [ragnhild(), silent, green] {
        let hers: Vec<_> = records
            .iter()
            .filter(|record| record.patient == Some(identifier(one)))
            .collect();
        let [record] = &hers[..] else {
            panic!("one record of {}", one.id)
        };
        assert!(record.person.is_some() && record.purpose.is_some());
        assert_eq!(record.request_id, of_question[0].request_id);
        assert!(
            record
                .disclosed
                .iter()
                .any(|given| given.resource == "Patient")
        );
        assert!(!format!("{:?}", record.asked).contains(&one.number));
    }
    let hers = records
        .iter()
        .find(|record| record.patient == Some(identifier(ragnhild())))
        .unwrap();
    let kinds: Vec<_> = hers
        .disclosed
        .iter()
        .map(|one| one.resource.as_str())
        .collect();
    assert!(
        kinds.contains(&"Task") && kinds.contains(&"Observation"),
        "{kinds:?}"
    );
    let log = service
        .search(&service.citizen(ragnhild()), "AuditEvent", &[])
        .await;
    assert!(log.json.to_string().contains("Kari Prøve"), "{}", log.json);

    // Who has it is seen at once, and the list is another.
    let task = alerts(&service).await.remove(0);
    step(&service, &kari(), (&task, 1), "own", None).await;
    let next = list_of(&service, &who, &[("known", &found.tag)]).await;
    assert!(!next.same && next.tag != found.tag);
    assert_eq!(
        next.rows[0].alerts[0].owner.as_deref(),
        Some("Kari Prøve, Fjellvik kommune")
    );
}

#[tokio::test]
async fn the_same_list_is_not_given_again_and_shows_nobody() {
    let service = ward().await;
    let who = without_patient(&service, WORK_LIST_SCOPE);
    let first = list_of(&service, &who, &[]).await;
    let before = listed_records(&service).await.len();
    service.clock.advance(60_000_000);
    let again = list_of(&service, &who, &[("known", &first.tag)]).await;
    assert!(again.same && again.rows.is_empty() && again.order.is_empty());
    assert_eq!((again.total, &again.tag), (3, &first.tag));
    let records = listed_records(&service).await;
    assert_eq!(records.len(), before + 1);
    assert!(records[0].patient.is_none() && records[0].disclosed.is_empty());
    let whole = list_of(&service, &who, &[("known", "another")]).await;
    assert_eq!(whole.rows, first.rows);
}

#[tokio::test]
async fn only_what_changed_is_given_again_and_on_record_and_what_went_is_said_by_its_tag() {
    let service = ward().await;
    let who = without_patient(&service, WORK_LIST_SCOPE);
    let first = list_of(&service, &who, &[]).await;
    let [red, silent, green] = &first.order[..] else {
        panic!("three rows")
    };
    assert_eq!(
        first.rows.iter().map(|row| &row.tag).collect::<Vec<_>>(),
        [red, silent, green]
    );
    // Somebody takes the alert: her row is another, and hers alone.
    let task = alerts(&service).await.remove(0);
    step(&service, &kari(), (&task, 1), "own", None).await;
    let before = listed_records(&service).await.len();
    let next = list_of(&service, &who, &[("known", &tags(&first))]).await;
    assert_eq!(numbers(&next), [ragnhild().number.as_str()]);
    let changed = &next.rows[0].tag;
    assert_eq!(next.order, [changed, silent, green].map(String::clone));
    assert_eq!((next.same, &next.gone), (false, &vec![red.clone()]));
    let mut records = listed_records(&service).await;
    let new = records.drain(..records.len() - before);
    let of_whom: Vec<_> = new.map(|record| record.patient).collect();
    assert_eq!(of_whom.len(), 2);
    assert!(of_whom.contains(&None) && of_whom.contains(&Some(identifier(ragnhild()))));
    // She shuts the reader out: her row is gone, and nobody is told why.
    let patient = crate::wishes::patient(&service);
    let made = service
        .post(&patient, "/Consent", &crate::wishes::consent(json!({})))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json);
    let before = listed_records(&service).await.len();
    let last = list_of(&service, &who, &[("known", &tags(&next))]).await;
    assert_eq!((last.total, last.rows.len()), (2, 0));
    assert_eq!(last.order, [silent, green].map(String::clone));
    assert_eq!(last.gone, std::slice::from_ref(changed));
    assert_eq!(listed_records(&service).await.len(), before + 1);
    // Of a page, what is not on it is gone from it.
    let page = [("known", tags(&last)), ("_count", "1".into())];
    let page = page.each_ref().map(|(name, value)| (*name, value.as_str()));
    let page = list_of(&service, &who, &page).await;
    assert_eq!(
        (page.order, page.gone),
        (vec![silent.clone()], vec![green.clone()])
    );
}

#[tokio::test]
async fn tags_are_one_callers_and_of_one_day() {
    let service = ward().await;
    let key = ProofKey::generate().unwrap();
    let asks = async |key: &ProofKey, who: &Practitioner, known: &str| {
        let who = by_key(&service, key, who, WORK_LIST_SCOPE);
        list_of(&service, &who, &[("known", known)]).await
    };
    let first = asks(&key, &kari(), "none").await;
    let known = tags(&first);
    assert!(
        asks(&key, &kari(), &known).await.same,
        "a new token by her key"
    );
    let texts = known
        .split(',')
        .all(|tag| tag.len() == 32 && !known.contains("148352"));
    assert!(texts, "{known}");
    // A colleague's, or her own of another sign-in: all is given, and on record.
    let other = ProofKey::generate().unwrap();
    for (key, who) in [(&key, ola()), (&other, kari()), (&other, ola())] {
        let before = listed_records(&service).await.len();
        let given = asks(key, &who, &known).await;
        assert_eq!(
            (given.same, given.rows.len(), given.gone),
            (false, 3, first.order.clone())
        );
        assert!(given.order.iter().all(|tag| !first.order.contains(tag)));
        assert_eq!(listed_records(&service).await.len(), before + 4);
    }
    // A page writes times of its own day without the date.
    service
        .clock
        .set("2026-11-21T23:59:00+01:00".parse().unwrap());
    let late = asks(&key, &kari(), &known).await;
    assert_eq!((late.same, late.rows.len()), (true, 0));
    service
        .clock
        .set("2026-11-22T00:01:00+01:00".parse().unwrap());
    assert_eq!(asks(&key, &kari(), &known).await.rows.len(), 3);
}

#[tokio::test]
async fn who_has_shut_the_reader_out_leaves_no_trace() {
    let service = ward().await;
    let patient = crate::wishes::patient(&service);
    let closed = crate::wishes::consent(json!({}));
    let made = service.post(&patient, "/Consent", &closed).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json);
    let found = list(&service, &[]).await;
    assert_eq!(found.total, 2);
    assert!(!numbers(&found).contains(&ragnhild().number.as_str()));
    let records = listed_records(&service).await;
    assert_eq!(records.len(), 3);
    let hers = Some(identifier(ragnhild()));
    assert!(records.iter().all(|record| record.patient != hers));
}

#[tokio::test]
async fn her_record_says_which_of_her_wishes_were_asked_and_nobody_elses_does() {
    let service = ward().await;
    let patient = crate::wishes::patient(&service);
    let neighbour = crate::wishes::actor(fhir::systems::HPR, "9999999");
    let closed = crate::wishes::consent(neighbour);
    let made = service.post(&patient, "/Consent", &closed).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json);
    let wish = made.json["id"].as_str().unwrap();
    assert_eq!(list(&service, &[]).await.total, 3);
    let hers = Some(identifier(ragnhild()));
    for record in listed_records(&service).await {
        let asked: &[&str] = if record.patient == hers { &[wish] } else { &[] };
        assert_eq!(record.inputs.wishes, asked);
    }
}

#[tokio::test]
async fn who_is_followed_up_has_a_plan_that_holds_or_an_open_alert() {
    let service = ward().await;
    let [green, ..] = others(1)[..] else {
        panic!("one other")
    };
    let mut ended = plan(green, "1", ("2026-11-01", Some("2026-11-20")), "84");
    ended["identifier"][0]["value"] = json!(format!("plan-{}", green.id));
    ended["status"] = json!("completed");
    let owner = service.record_system(FJELLVIK);
    let number = number(green);
    let form = [("patient.identifier", number.as_str())];
    let plans = service.search(&owner, "CarePlan", &form).await;
    let id = found(&plans)[0].clone();
    ended["id"] = json!(id);
    let path = format!("/CarePlan/{id}");
    let put = service.put(&owner, &path, Some("W/\"1\""), &ended).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.json);
    service.state.assess_waiting().await.unwrap();
    assert!(!numbers(&list(&service, &[]).await).contains(&green.number.as_str()));
    // Ragnhild's plan ends as well; what is open stays until somebody has closed it.
    let number = crate::house::number(ragnhild());
    let form = [("patient.identifier", number.as_str())];
    let hers = found(&service.search(&owner, "CarePlan", &form).await).remove(0);
    let gone = service
        .delete(&owner, &format!("/CarePlan/{hers}"), None)
        .await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    service.state.assess_waiting().await.unwrap();
    let rows = list(&service, &[]).await.rows;
    let of_hers = |row: &&Row| row.patient == identifier(ragnhild());
    assert_eq!(rows.iter().find(of_hers).unwrap().alerts.len(), 1);
    let task = alerts(&service).await.remove(0);
    let version: u64 = task["meta"]["versionId"].as_str().unwrap().parse().unwrap();
    step(&service, &kari(), (&task, version), "own", None).await;
    let closed = step(
        &service,
        &kari(),
        (&task, version + 1),
        "resolve",
        Some("Sett"),
    )
    .await;
    assert_eq!(closed.status, StatusCode::OK, "{}", closed.json);
    assert!(
        !list(&service, &[])
            .await
            .rows
            .iter()
            .any(|row| of_hers(&row))
    );
}

#[tokio::test]
async fn admitted_is_told_and_a_name_where_the_service_knows_one() {
    let service = ward().await;
    let person = json!({
        "resourceType": "Patient",
        "identifier": [{"system": fhir::systems::FNR, "value": ragnhild().number}],
        "name": [{"given": ["Ragnhild"], "family": "Testmo"}],
    });
    let owner = service.record_system(FJELLVIK);
    let reply = service.post(&owner, "/Patient", &person).await;
    assert!(reply.status.is_success(), "{}", reply.json);
    let encounter = json!({
        "resourceType": "Encounter",
        "identifier": [{"system": "urn:example:encounters", "value": "e-1"}],
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"identifier": {"system": fhir::systems::FNR, "value": ragnhild().number}},
    });
    service.created(&encounter).await;
    let rows = list(&service, &[]).await.rows;
    assert_eq!(rows[0].name.as_deref(), Some("Ragnhild Testmo"));
    assert_eq!(
        rows.iter().map(|row| row.admitted).collect::<Vec<_>>(),
        [true, false, false]
    );
}

#[tokio::test]
async fn pages_are_cut_and_strange_questions_refused() {
    let service = ward().await;
    let who = without_patient(&service, WORK_LIST_SCOPE);
    let whole = list_of(&service, &who, &[]).await;
    let page = list_of(&service, &who, &[("_count", "1"), ("_offset", "1")]).await;
    assert_eq!(page.rows, whole.rows[1..2]);
    assert_eq!((page.total, page.offset), (3, 1));
    assert!(list(&service, &[("_offset", "9")]).await.rows.is_empty());
    let too_many = vec!["a"; wire::contract::work_list::MOST_ROWS + 2].join(",");
    let too_long = "a".repeat(33);
    for (form, expected) in [
        ([("known", too_many.as_str())], "value @ known"),
        ([("known", too_long.as_str())], "value @ known"),
        ([("known", "a,,b")], "value @ known"),
        ([("_count", "0")], "value @ _count"),
        ([("_count", "201")], "value @ _count"),
        ([("_offset", "-1")], "value @ _offset"),
        ([("patient", "Patient/1")], "not-supported @ -"),
    ] {
        let reply = asked(&service, &who, &form).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(issues(&reply.json), [expected]);
    }
    // A shared register assesses nothing and has none.
    let shared = Service::kystregionen().await;
    let who = without_patient(&shared, WORK_LIST_SCOPE);
    assert_eq!(
        asked(&shared, &who, &[]).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_token_for_one_patient_opens_no_list_and_one_for_none_opens_nothing_else() {
    let service = ward().await;
    let bound = crate::alert::personnel(&service, &kari(), FJELLVIK, "user/*.cruds");
    let reply = asked(&service, &bound, &[]).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.json);
    let who = without_patient(&service, "user/*.cruds");
    let task = alerts(&service).await.remove(0);
    let path = format!("/Task/{}", task["id"].as_str().unwrap());
    assert_eq!(service.get(&who, &path).await.status, StatusCode::FORBIDDEN);
    let found = service.search(&who, "Observation", &[]).await;
    assert_eq!(found.status, StatusCode::FORBIDDEN);
}

/// Spoils what rests of a resource.
pub fn spoil(service: &Service, id: &str) {
    let file = walkdir(service.folder.path());
    let connection = rusqlite::Connection::open(file).unwrap();
    let id = uuid::Uuid::parse_str(id).unwrap();
    let bytes = id.as_bytes().as_slice();
    let changed = connection.execute("UPDATE record SET body = x'FF' WHERE id = ?1", [bytes]);
    assert_eq!(changed.unwrap(), 1);
}

/// The one store file in a folder.
pub fn walkdir(folder: &std::path::Path) -> std::path::PathBuf {
    let mut entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|one| one.unwrap().path());
    let mut folders = Vec::new();
    let own = entries.find(|path| {
        if path.is_dir() {
            folders.push(path.clone());
        }
        path.file_name().is_some_and(|name| name == "store.db")
    });
    own.unwrap_or_else(|| walkdir(&folders[0]))
}

#[tokio::test]
async fn one_whose_data_is_damaged_is_on_the_list_and_keeps_nobody_else_from_it() {
    let service = ward().await;
    let [green, silent, _] = others(3)[..] else {
        panic!("three others")
    };
    let owner = service.record_system(FJELLVIK);
    let number = number(green);
    let form = [("patient.identifier", number.as_str())];
    let hers = found(&service.search(&owner, "Observation", &form).await);
    spoil(&service, &hers[0]);
    let list = list(&service, &[]).await;
    let well = list
        .rows
        .iter()
        .find(|row| row.patient == identifier(green));
    assert!(well.unwrap().unread, "{:?}", list.total);
    let whole: Vec<_> = list.rows.iter().filter(|row| !row.unread).collect();
    assert_eq!(whole.len(), 2);
    assert_eq!(whole[0].zone, Some(fhir::plan::Zone::Red));
    // Above green, and above who is only not judged.
    assert_eq!(
        numbers(&list),
        [ragnhild(), green, silent].map(|one| one.number.as_str())
    );
}

#[tokio::test]
async fn what_came_after_all_is_missing_no_more_however_long_ago_it_was_expected() {
    let service = assessing().await;
    let clock = |when: &str| service.clock.set(when.parse().unwrap());
    clock("2026-11-16T08:40:00+01:00");
    service.created(&crate::alert::expecting()).await;
    alerts(&service).await;
    clock("2026-11-18T12:00:00+01:00");
    service.state.watch_due().await.unwrap();
    let missing = async || list(&service, &[]).await.rows.remove(0).missing;
    assert_eq!(missing().await, ["oxygen-saturation"]);
    // The alert stays open and unread for nine days.
    clock("2026-11-28T09:00:00+01:00");
    assert_eq!(missing().await, ["oxygen-saturation"]);
    for day in 15..=18 {
        let when = format!("2026-11-{day}T08:31:00+01:00");
        let came = reading(ragnhild(), &day.to_string(), &when, "90");
        service.created(&came).await;
    }
    assert_eq!(alerts(&service).await.len(), 1);
    assert!(missing().await.is_empty());
}
