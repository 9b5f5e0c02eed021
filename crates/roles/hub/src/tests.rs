//! What one sender or one reading must not do to others: keep another organisation's readings out, or hold up a receiver.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use crate::deliver::Delivering;
use crate::{Config, Receiver, State};
use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use fhir::ids::{OrganisationNumber, PersonNumbers};
use fhir::resource::InformationService;
use fhir::time::Instant;
use http::StatusCode;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use testkit::door::{Door, Held};
use testkit::issuer::{Issuer, ProofKey, SystemClient};
use testkit::people::Directory;
use testkit::surroundings::{FixedClock, ids};
use trust::ClientUse;
use trust::organisation::Register;
use wire::client::{Http, Policy};
use wire::courier::{Deliver, Fate};
use wire::{House, Stop};

const NOW: Instant = Instant(1_795_251_600_000_000);
const FJELLVIK: &str = "310001007";
const PROVEBAKKEN: &str = "310001147";
const NORDDRIFT: &str = "310001287";
const BASE: &str = "http://hub.test/hub";

fn org(number: &str) -> OrganisationNumber {
    OrganisationNumber::parse(number).unwrap()
}

struct Hub {
    _folder: tempfile::TempDir,
    clock: FixedClock,
    issuer: Issuer,
    state: Arc<State>,
    door: Door,
}

impl Hub {
    async fn new() -> Hub {
        Self::ruled(Vec::new()).await
    }

    /// With a record system for each organisation, where there are rules for it.
    async fn ruled(rules: Vec<crate::Rule>) -> Hub {
        let folder = tempfile::tempdir().unwrap();
        let clock = FixedClock::at(NOW);
        let issuer = Issuer::start_at(clock.clock()).await.unwrap();
        let client = SystemClient {
            client_id: "hub",
            use_: ClientUse::Hub,
            orgnr: NORDDRIFT,
        };
        let receiver = listen().await;
        let file = issuer.client_file(client, &receiver).unwrap();
        let client_file = folder.path().join("hub.json");
        std::fs::write(&client_file, serde_json::to_vec(&file).unwrap()).unwrap();
        std::fs::set_permissions(&client_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut register = Register::default();
        for orgnr in [FJELLVIK, PROVEBAKKEN, NORDDRIFT] {
            register.add(org(orgnr), orgnr);
        }
        let receivers = [FJELLVIK, PROVEBAKKEN].map(|orgnr| Receiver {
            orgnr: org(orgnr),
            record_system: (!rules.is_empty()).then(|| receiver.parse().unwrap()),
            record_system_kinds: vec![InformationService::MEASUREMENTS],
            record_system_rules: rules.clone(),
            sharing: Some(receiver.parse().unwrap()),
            expected_there: Vec::new(),
        });
        let config = Config {
            base: BASE.parse().unwrap(),
            operator: org(NORDDRIFT),
            issuer: issuer.url().to_owned(),
            client_file,
            register,
            zone: fhir::time::Zone::default(),
            person_numbers: PersonNumbers::Strict,
            synthetic_only: true,
            require_assignment: false,
            models: Vec::new(),
            replay_days: 30,
            bounds: crate::Bounds::default(),
            expects: Vec::new(),
            receivers: receivers.to_vec(),
        };
        let house = House {
            clock: clock.clock(),
            pause: wire::stop::real_pause(),
            ids: ids(7),
            http: Http::new(Policy::loopback()).unwrap(),
            data: folder.path().to_owned(),
            stop: Stop::new(),
            other_issuer: None,
        };
        let state = crate::open(config, house).await.unwrap();
        let door = Door::new(crate::routes(state.clone()), BASE);
        Hub {
            _folder: folder,
            clock,
            issuer,
            state,
            door,
        }
    }

    async fn send(&self, orgnr: &str, key: &str) -> StatusCode {
        self.send_body(orgnr, reading(key)).await
    }

    async fn send_body(&self, orgnr: &str, body: String) -> StatusCode {
        self.post(orgnr, "/fhir/Observation", body).await.status
    }

    async fn post(&self, orgnr: &str, path: &str, body: String) -> testkit::clients::Reply {
        let held = self.held(orgnr);
        let knock = self.door.post(path, body);
        knock.by(&held, self.clock.now()).send().await
    }

    /// One reading under an `Idempotency-Key`.
    async fn keyed(&self, orgnr: &str, key: &str, body: String) {
        let held = self.held(orgnr);
        let knock = self.door.post("/fhir/Observation", body);
        let knock = knock.header("idempotency-key", key);
        let reply = knock.by(&held, self.clock.now()).send().await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
    }

    fn held(&self, orgnr: &str) -> Held {
        let proof = ProofKey::generate().unwrap();
        let client = SystemClient {
            client_id: orgnr,
            use_: ClientUse::HomeSystem,
            orgnr,
        };
        let audience = format!("{BASE}/fhir");
        let (jkt, now) = (proof.jkt(), self.clock.now());
        let claims = self
            .issuer
            .system_claims(client, &audience, "system/Observation.c", jkt, now)
            .unwrap();
        Held::of(&self.issuer, &proof, &claims).unwrap()
    }
}

fn reading(key: &str) -> String {
    let number = &Directory::demo().patient("ragnhild").unwrap().number;
    format!(
        r#"{{"resourceType":"Observation","identifier":[{{"system":"urn:example:readings","value":"{key}"}}],"status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},"subject":{{"identifier":{{"system":"{}","value":"{number}"}}}},"effectiveDateTime":"2026-11-20T08:00:00+01:00","valueQuantity":{{"value":72,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}}}"#,
        fhir::systems::FNR
    )
}

/// A receiver that takes each entry, but no bundle in which the word "poison" stands.
async fn listen() -> String {
    let take = |request: Request| async move {
        let body = axum::body::to_bytes(request.into_body(), 16 << 20)
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        if text.contains("poison") {
            return StatusCode::BAD_REQUEST.into_response();
        }
        let one = r#"{"response":{"status":"201 Created"}}"#;
        let entries = vec![one; text.matches("fullUrl").count()].join(",");
        format!(r#"{{"resourceType":"Bundle","type":"batch-response","entry":[{entries}]}}"#)
            .into_response()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(take);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("{address}/fhir")
}

#[tokio::test]
async fn the_same_reading_sent_for_two_organisations_reaches_both() {
    let hub = Hub::new().await;
    for orgnr in [FJELLVIK, PROVEBAKKEN] {
        assert_eq!(hub.send(orgnr, "r-1").await, StatusCode::CREATED);
        let stands = hub
            .state
            .store()
            .outbox_state(&format!("{orgnr}/sharing"))
            .await
            .unwrap();
        assert_eq!(stands.pending, 1, "{orgnr}");
    }
    assert_eq!(hub.send(FJELLVIK, "r-1").await, StatusCode::OK);
}

#[tokio::test]
async fn an_entry_that_a_receiver_cannot_take_holds_up_no_other() {
    let hub = Hub::new().await;
    for key in ["r-1", "poison", "r-3"] {
        assert_eq!(hub.send(FJELLVIK, key).await, StatusCode::CREATED);
    }
    let due = hub
        .state
        .store()
        .outbox_due("310001007/sharing", NOW, 100)
        .await
        .unwrap();
    let delivering = Delivering {
        state: hub.state.clone(),
        at: 0,
    };
    // All are one patient's: the third must not overtake the second.
    let fates = delivering.deliver(&due).await;
    assert_eq!(fates[0], Fate::Done);
    assert!(
        matches!(&fates[1..], [Fate::Retry(_), Fate::Retry(_)]),
        "{fates:?}"
    );
    assert_eq!(delivering.deliver(&due[2..]).await, [Fate::Done]);
}

#[tokio::test]
async fn what_is_kept_aside_is_listed_without_loading_it() {
    let hub = Hub::new().await;
    assert_eq!(hub.send(FJELLVIK, "r-1").await, StatusCode::CREATED);
    let note = format!(r#""note":[{{"text":"{}"}}],"status""#, "x".repeat(1 << 20));
    let other = reading("r-1").replace(r#""status""#, &note);
    assert_eq!(
        hub.send_body(FJELLVIK, other.clone()).await,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let store = hub.state.store();
    let listed = store
        .ledger_scan("quarantine", b"", None, 10)
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].value.len() < 4096, "{}", listed[0].value.len());
    let kept = store
        .ledger_scan("quarantine-body", b"", None, 10)
        .await
        .unwrap();
    assert_eq!((kept.len(), &kept[0].key), (1, &listed[0].key));
    assert_eq!(kept[0].value, other.as_bytes());
}

#[tokio::test]
async fn a_reading_too_large_for_any_receiver_is_not_acknowledged_in_a_bundle_either() {
    let hub = Hub::new().await;
    let note = format!(r#""note":[{{"text":"{}"}}],"status""#, "x".repeat(3 << 20));
    let large = reading("r-1").replace(r#""status""#, &note);
    assert_eq!(
        hub.send_body(FJELLVIK, large.clone()).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let small = reading("r-2");
    let bundle = format!(
        r#"{{"resourceType":"Bundle","type":"batch","entry":[{{"resource":{large}}},{{"resource":{small}}}]}}"#
    );
    let reply = hub.post(FJELLVIK, "/fhir", bundle).await;
    let status = |n: usize| {
        reply.json["entry"][n]["response"]["status"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (status(0), status(1)),
        ("413 Payload Too Large".to_owned(), "201 Created".to_owned())
    );
    let stands = hub
        .state
        .store()
        .outbox_state("310001007/sharing")
        .await
        .unwrap();
    assert_eq!(stands.pending, 1);
}

#[tokio::test]
async fn an_entry_that_a_receiver_never_takes_becomes_a_dead_letter() {
    let hub = Hub::new().await;
    assert_eq!(hub.send(FJELLVIK, "poison").await, StatusCode::CREATED);
    let store = hub.state.store();
    let mut due = store
        .outbox_due("310001007/sharing", NOW, 100)
        .await
        .unwrap();
    let delivering = Delivering {
        state: hub.state.clone(),
        at: 0,
    };
    due[0].attempts = 14;
    let fate = delivering.deliver(&due).await.remove(0);
    assert!(matches!(fate, Fate::Retry(_)), "{fate:?}");
    due[0].attempts = 15;
    let fate = delivering.deliver(&due).await.remove(0);
    let reason = "the receiver answered 400 Bad Request, 16 times";
    assert_eq!(fate, Fate::Dead(reason.to_owned()));
}

const DAY: i64 = 86_400_000_000;

#[tokio::test]
async fn a_reading_is_known_for_thirty_days_after_its_body_is_gone_then_forgotten() {
    let hub = Hub::new().await;
    let store = hub.state.store();
    for key in ["delivered", "waiting"] {
        assert_eq!(hub.send(FJELLVIK, key).await, StatusCode::CREATED);
    }
    // It waits ten days for its receiver: the thirty days begin when its body is gone.
    hub.clock.advance(10 * DAY);
    let due = store
        .outbox_due("310001007/sharing", hub.clock.now(), 1)
        .await
        .unwrap();
    store.outbox_done(vec![due[0].id]).await.unwrap();
    hub.clock.advance(29 * DAY);
    crate::forget::round(&hub.state).await.unwrap();
    assert_eq!(hub.send(FJELLVIK, "delivered").await, StatusCode::OK);
    hub.clock.advance(2 * DAY);
    // The store forgets the delivery in its own rounds, with a commit a minute later or two; then the hub the reading.
    for key in ["other", "another"] {
        assert_eq!(hub.send(PROVEBAKKEN, key).await, StatusCode::CREATED);
        hub.clock.advance(120_000_000);
    }
    crate::forget::round(&hub.state).await.unwrap();
    let known = store.ledger_scan("reading", b"", None, 10).await.unwrap();
    assert_eq!(known.len(), 3, "the one that waits, and the new ones");
    assert_eq!(hub.send(FJELLVIK, "waiting").await, StatusCode::OK);
    assert_eq!(hub.send(FJELLVIK, "delivered").await, StatusCode::CREATED);
}

#[tokio::test]
async fn what_went_of_a_day_and_in_which_note_is_forgotten_when_its_readings_are() {
    let rule = |form| crate::Rule {
        of: Vec::new(),
        send: crate::Amount::NewestOfDay,
        form,
    };
    for form in [crate::Form::Reading, crate::Form::Note] {
        let hub = Hub::ruled(vec![rule(form)]).await;
        let store = hub.state.store();
        assert_eq!(hub.send(FJELLVIK, "first").await, StatusCode::CREATED);
        hub.clock.advance(2 * DAY);
        hub.state.close_days().await.unwrap();
        for receiver in ["310001007/record-system", "310001007/sharing"] {
            let now = hub.clock.now();
            let due = store.outbox_due(receiver, now, 9).await.unwrap();
            assert_eq!(due.len(), 1, "{receiver}");
            store.outbox_done(vec![due[0].id]).await.unwrap();
        }
        let there = async || {
            let mut there = Vec::new();
            for ledger in ["reading", "held", "day-went"] {
                let entries = store.ledger_scan(ledger, b"", None, 9).await;
                there.push(entries.unwrap().len());
            }
            there
        };
        // Of a note it is remembered by each entry where it went, and by the day that there was one.
        let noted = usize::from(form == crate::Form::Note);
        hub.clock.advance(29 * DAY);
        crate::forget::round(&hub.state).await.unwrap();
        assert_eq!(there().await, [1, noted, 1 + noted]);
        hub.clock.advance(2 * DAY);
        for key in ["other", "another"] {
            assert_eq!(hub.send(PROVEBAKKEN, key).await, StatusCode::CREATED);
            hub.clock.advance(120_000_000);
        }
        crate::forget::round(&hub.state).await.unwrap();
        assert_eq!(there().await, [2, 2, 0], "those that wait are known");
    }
}

#[tokio::test]
async fn what_is_kept_aside_and_what_was_answered_have_their_days() {
    let hub = Hub::new().await;
    assert_eq!(hub.send(FJELLVIK, "r-1").await, StatusCode::CREATED);
    let other = reading("r-1").replace(r#""value":72"#, r#""value":73"#);
    let refused = hub.send_body(FJELLVIK, other.clone()).await;
    assert_eq!(refused, StatusCode::UNPROCESSABLE_ENTITY);
    hub.keyed(FJELLVIK, "k", reading("r-2")).await;
    let kept = async || {
        let mut kept = Vec::new();
        for ledger in ["quarantine", "quarantine-body", "idempotency"] {
            let entries = hub.state.store().ledger_scan(ledger, b"", None, 10).await;
            kept.push(entries.unwrap().len());
        }
        kept
    };
    let round = async || crate::forget::round(&hub.state).await.unwrap();
    round().await;
    assert_eq!(kept().await, [1, 1, 1]);
    hub.clock.advance(DAY + 1_000);
    round().await;
    assert_eq!(kept().await, [1, 1, 0]);
    hub.clock.advance(89 * DAY - 2_000);
    round().await;
    assert_eq!(kept().await, [1, 1, 0]);
    hub.clock.advance(2_000);
    round().await;
    assert_eq!(kept().await, [0, 0, 0]);
    let sender = [FJELLVIK.as_bytes(), b"\0"].concat();
    assert_eq!(hub.state.aside.held(&sender).entries, 0, "the room is free");
}

/// One of a device's assignments, to be committed; from so many days before now, until so many.
async fn lent(
    hub: &Hub,
    orgnr: &str,
    serial: &str,
    from: i64,
    until: Option<i64>,
) -> (store::Change, crate::assignment::Counted) {
    let number = &Directory::demo().patient("ragnhild").unwrap().number;
    let patient =
        fhir::ids::PersonIdentifier::parse(fhir::systems::FNR, number, PersonNumbers::Strict);
    let device = wire::contract::hub::Named {
        system: "urn:example:devices".to_owned(),
        value: serial.to_owned(),
    };
    let ago = |days: i64| Instant(NOW.0 - days * DAY);
    let span = (ago(from), until.map(ago));
    let patient = patient.unwrap();
    let made = crate::assignment::assign(&hub.state, org(orgnr), device, &patient, span);
    let Ok((write, counted)) = made.await else {
        panic!("{serial} is not assigned");
    };
    let change = store::Change {
        ledger: vec![write],
        ..store::Change::default()
    };
    (change, counted)
}

#[tokio::test]
async fn an_assignment_is_forgotten_when_no_late_reading_can_be_held_against_it() {
    let hub = Hub::new().await;
    for (orgnr, serial, from, until) in [
        (FJELLVIK, "X", 300, Some(179)),
        (FJELLVIK, "Y", 300, Some(179)),
        (PROVEBAKKEN, "Y", 179, None),
        (FJELLVIK, "Z", 300, Some(170)),
    ] {
        let (change, counted) = lent(&hub, orgnr, serial, from, until).await;
        hub.state.store().commit(change).await.unwrap();
        counted.durable(&hub.state);
    }
    let left = async || {
        crate::forget::round(&hub.state).await.unwrap();
        let kept = hub.state.store().ledger_scan("assignment", b"", None, 10);
        let of = |orgnr| hub.state.assigned.after(org(orgnr), None, 10).len();
        (kept.await.unwrap().len(), of(FJELLVIK), of(PROVEBAKKEN))
    };
    assert_eq!(left().await, (3, 3, 1), "90 days late and 90 aside");
    hub.clock.advance(2 * DAY);
    assert_eq!(left().await, (2, 1, 1), "the other's assignment stays");
    hub.clock.advance(300 * DAY);
    assert_eq!(left().await, (1, 0, 1), "what has no end is never over");
}

#[tokio::test]
async fn an_assignment_that_was_not_written_is_not_counted_but_another_of_the_same_device_is() {
    let hub = Hub::new().await;
    let count = || hub.state.assigned.after(org(FJELLVIK), None, 10).len();
    let (_, counted) = lent(&hub, FJELLVIK, "X", 9, None).await;
    assert_eq!(count(), 1, "before it is durable");
    counted.undone(&hub.state).await;
    assert_eq!(count(), 0);
    // Two at once: the first to be counted fails.
    let (_, failed) = lent(&hub, FJELLVIK, "X", 9, None).await;
    let (change, written) = lent(&hub, FJELLVIK, "X", 9, None).await;
    hub.state.store().commit(change).await.unwrap();
    written.durable(&hub.state);
    failed.undone(&hub.state).await;
    assert_eq!(count(), 1);
}

#[tokio::test]
async fn a_known_reading_that_does_not_read_is_damage_and_not_taken_for_new() {
    let hub = Hub::new().await;
    assert_eq!(hub.send(FJELLVIK, "r-1").await, StatusCode::CREATED);
    let store = hub.state.store();
    let known = store.ledger_scan("reading", b"", None, 10).await.unwrap();
    let spoilt = store::LedgerWrite {
        ledger: "reading",
        key: known[0].key.clone(),
        value: Some(b"spoilt".to_vec()),
        expect: store::Expect::Any,
    };
    let change = store::Change {
        ledger: vec![spoilt],
        ..store::Change::default()
    };
    store.commit(change).await.unwrap();
    let reply = hub
        .post(FJELLVIK, "/fhir/Observation", reading("r-1"))
        .await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    let words = reply.json["issue"][0]["diagnostics"].as_str().unwrap();
    assert!(!words.contains("at once"), "{words}");
    let waits = store.outbox_state("310001007/sharing").await.unwrap();
    assert_eq!(waits.pending, 1);
}
