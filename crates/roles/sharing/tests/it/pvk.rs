//! What citizens set at Helsenorge is in force here from the replication that brings it to the one that misses it, beside what
//! they close here themselves.

use crate::house::*;
use crate::wishes::{closed, consent, looks, patient};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sharing::Config;
use sharing::pvk::{Age, Definition, Fault, Pvk, Turned};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use testkit::issuer::{Issuer, SystemClient};
use testkit::people::Directory;
use testkit::privacy_component::{AUDIENCE, Mood, PrivacyComponent, SCOPE};
use trust::ClientUse;
use trust::audit::Outcome;
use trust::wish::{Closed, Source};
use wire::contract::pvk::{ACCESS_LIMITATION, RESERVATION};

const WHEN: &str = "2026-11-20T08:00:00+01:00";
const BLOCK: &str = "2c11f0ca-7270-43f1-a473-000000000001";
pub const RESERVED: &str = "2c11f0ca-7270-43f1-a473-000000000002";
const KINDS: &str = "2c11f0ca-7270-43f1-a473-000000000003";
/// How old the copy may be, in seconds.
const MOST: i64 = 600;

/// A service that replicates three definitions, with a reading of Ragnhild's, and its source.
async fn service(closes_when_older: bool) -> (Service, PrivacyComponent) {
    let (service, component, _) = configured(closes_when_older).await;
    (service, component)
}

/// Where a service of Fjellvik's replicates three definitions from; a copy that is too old closes.
pub fn source(component: &PrivacyComponent, issuer: &Issuer, folder: &Path) -> Pvk {
    component.define(BLOCK, ACCESS_LIMITATION);
    component.define(RESERVED, RESERVATION);
    component.define(KINDS, ACCESS_LIMITATION);
    let client = SystemClient {
        client_id: "fjellvik-pvk",
        use_: ClientUse::Service,
        orgnr: FJELLVIK,
    };
    let file = issuer.client_file(client, AUDIENCE).unwrap();
    let path = folder.join("pvk.json");
    std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let definition = |id: &str, closed| Definition {
        id: id.parse().unwrap(),
        closed,
    };
    Pvk {
        url: component.base().to_owned(),
        client_file: path,
        audience: AUDIENCE.into(),
        scope: SCOPE.into(),
        part: "fjellvik".into(),
        every: Duration::from_secs(60),
        max_age_seconds: MOST,
        closes_when_older: true,
        definitions: vec![
            definition(BLOCK, Closed::Everything),
            definition(RESERVED, Closed::Sharing),
            definition(
                KINDS,
                Closed::Services {
                    services: vec![fhir::resource::InformationService::MEASUREMENTS],
                },
            ),
        ],
    }
}

async fn configured(closes_when_older: bool) -> (Service, PrivacyComponent, Config) {
    let clock = testkit::surroundings::FixedClock::at(NOW);
    let issuer = testkit::issuer::Issuer::start_at(clock.clock())
        .await
        .unwrap();
    let component = PrivacyComponent::start(issuer.clone()).await.unwrap();
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let mut config = config(folder.path(), &issuer, "fjellvik", FJELLVIK, &[]);
    let mut source = source(&component, &issuer, folder.path());
    source.closes_when_older = closes_when_older;
    config.pvk = Some(source);
    let service = Service::open(folder, clock, issuer, config.clone()).await;
    let about = reading(ragnhild(), "r-1", WHEN, "91");
    service.created(&about).await;
    (service, component, config)
}

/// How a look-up of the hospital's physician ends: status, and how many readings it found.
async fn seen(service: &Service, purpose: &str, reason: Option<&str>) -> (u16, u64) {
    let number = number(ragnhild());
    let who = looks(service, purpose, reason);
    let about = [("patient.identifier", number.as_str())];
    let reply = service.search(&who, "Observation", &about).await;
    let found = reply.json["total"].as_u64().unwrap_or_default();
    (reply.status.as_u16(), found)
}

/// The word of the last refusal.
async fn refused(service: &Service) -> String {
    match service.last_record().await.outcome {
        Outcome::Refused { code, .. } => code,
        other => format!("{other:?}"),
    }
}

/// Her list: what is closed, and where it was made.
async fn list(service: &Service) -> Vec<Value> {
    let reply = service.search(&patient(service), "Consent", &[]).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let entries = reply.json["entry"].as_array().cloned().unwrap_or_default();
    entries
        .into_iter()
        .map(|one| one["resource"].clone())
        .collect()
}

#[tokio::test]
async fn a_setting_at_the_source_is_in_force_from_its_replication_to_its_end_there() {
    let (service, component) = service(true).await;
    assert_eq!(service.state.replicate().await, Ok(Turned::default()));
    assert_eq!(seen(&service, "TREAT", None).await, (200, 1));
    let turned = |made, ended| Ok(Turned { made, ended });
    // More than one page, others' settings among them.
    let others = Directory::demo();
    for other in others.patients.iter().skip(1).take(3) {
        component.set(BLOCK, &other.number, true);
    }
    component.set(BLOCK, &ragnhild().number, true);
    assert_eq!(seen(&service, "TREAT", None).await, (200, 1), "not yet");
    assert_eq!(service.state.replicate().await, turned(4, 0));
    assert_eq!(service.state.replicate().await, turned(0, 0));
    assert_eq!(seen(&service, "TREAT", None).await.0, 403);
    assert_eq!(refused(&service).await, "blocked_at_helsenorge");
    assert_eq!(seen(&service, "BTG", Some("unconscious")).await, (200, 1));
    // She sees it with its source, and is told where it is taken back.
    let told = list(&service).await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0]["meta"]["source"],
        "https://delt.example/fhir/source/personvernkomponenten"
    );
    assert!(
        told[0]["sourceReference"]["display"]
            .as_str()
            .unwrap()
            .contains("Helsenorge")
    );
    let path = format!("/Consent/{}", told[0]["id"].as_str().unwrap());
    let reply = service
        .door
        .knock(Method::DELETE, &path)
        .by(&patient(&service), service.clock.now())
        .send()
        .await;
    assert_eq!(reply.status, StatusCode::CONFLICT, "{}", reply.json);
    assert_eq!(seen(&service, "TREAT", None).await.0, 403);
    // The other kinds: reservation, and a closed kind, which is left out in silence.
    component.set(BLOCK, &ragnhild().number, false);
    component.set(KINDS, &ragnhild().number, true);
    assert_eq!(service.state.replicate().await, turned(1, 1));
    assert_eq!(seen(&service, "TREAT", None).await, (200, 0));
    component.set(RESERVED, &ragnhild().number, true);
    assert_eq!(service.state.replicate().await, turned(1, 0));
    assert_eq!(seen(&service, "BTG", Some("unconscious")).await.0, 403);
    assert_eq!(refused(&service).await, "reserved_at_helsenorge");
    for definition in [KINDS, RESERVED] {
        component.set(definition, &ragnhild().number, false);
    }
    assert_eq!(service.state.replicate().await, turned(0, 2));
    assert_eq!(seen(&service, "TREAT", None).await, (200, 1));
    assert!(list(&service).await.is_empty());
}

#[tokio::test]
async fn what_she_closed_here_stands_whatever_comes_and_goes_there() {
    let (service, component) = service(true).await;
    component.set(BLOCK, &ragnhild().number, true);
    service.state.replicate().await.unwrap();
    // The same said here is a wish of its own.
    let id = closed(&service, json!({})).await;
    let again = service
        .post(&patient(&service), "/Consent", &consent(json!({})))
        .await;
    assert_eq!(
        (again.status, again.json["id"].as_str()),
        (StatusCode::OK, Some(id.as_str()))
    );
    assert_eq!(list(&service).await.len(), 2);
    assert_eq!(seen(&service, "TREAT", None).await.0, 403);
    assert_eq!(refused(&service).await, "blocked");
    component.set(BLOCK, &ragnhild().number, false);
    service.state.replicate().await.unwrap();
    assert_eq!(seen(&service, "TREAT", None).await.0, 403);
    let kept = service
        .state
        .store()
        .wishes(&identifier(ragnhild()))
        .await
        .unwrap();
    let [only] = &kept[..] else {
        panic!("hers alone is left");
    };
    assert_eq!((only.id.as_str(), only.source), (id.as_str(), Source::Here));
    // And the other way: taking hers back leaves the other.
    component.set(BLOCK, &ragnhild().number, true);
    service.state.replicate().await.unwrap();
    let reply = service
        .door
        .knock(Method::DELETE, &format!("/Consent/{id}"))
        .by(&patient(&service), service.clock.now())
        .send()
        .await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    assert_eq!(seen(&service, "TREAT", None).await.0, 403);
    assert_eq!(refused(&service).await, "blocked_at_helsenorge");
}

#[tokio::test]
async fn half_a_list_closes_what_it_names_and_opens_nothing() {
    for mood in [
        Mood::Failing,
        Mood::FailingMidway,
        Mood::Circling,
        Mood::AnotherParty,
        Mood::Garbled,
    ] {
        let (service, component) = service(true).await;
        let people = Directory::demo();
        let numbers: Vec<&str> = people
            .patients
            .iter()
            .map(|one| one.number.as_str())
            .collect();
        for number in &numbers[..3] {
            component.set(BLOCK, number, true);
        }
        service.state.replicate().await.unwrap();
        let first = service.state.settings_age();
        service.clock.advance(10_000_000);
        // One takes it back, another sets it; the list does not come whole.
        let (gone, new) = (numbers[2], numbers[3]);
        component.set(BLOCK, gone, false);
        component.set(BLOCK, new, true);
        component.be(mood);
        assert!(service.state.replicate().await.is_err(), "{mood:?}");
        let holds = async |number: &str| {
            let who = fhir::ids::PersonIdentifier::guess(number, fhir::ids::PersonNumbers::Strict);
            let kept = service.state.store().wishes(&who.unwrap()).await.unwrap();
            !kept.is_empty()
        };
        for number in numbers[..3].iter() {
            assert!(
                holds(number).await,
                "{mood:?}: nothing is ended by half a list"
            );
        }
        let age = service.state.settings_age();
        assert_eq!(
            age.unwrap().seconds,
            first.unwrap().seconds.map(|age| age + 10)
        );
        // When it is well again, all is as it is there.
        component.be(Mood::Well);
        service.state.replicate().await.unwrap();
        assert!(!holds(gone).await && holds(new).await, "{mood:?}");
    }
}

/// A source that loses its list answers with an empty one, whole and well formed.
#[tokio::test]
async fn a_list_that_is_suddenly_empty_opens_nothing_until_it_has_stood_for_an_hour() {
    let (service, component) = service(false).await;
    let people = Directory::with_more_people(12);
    let numbers = people.patients.iter().map(|one| one.number.as_str());
    let twelve: Vec<&str> = numbers.take(12).collect();
    let set = |whom: &[&str], active| {
        for number in whom {
            component.set(BLOCK, number, active);
        }
    };
    let turned = |made, ended| Ok(Turned { made, ended });
    let minutes = |minutes: i64| service.clock.advance(minutes * 60 * 1_000_000);
    set(&twelve, true);
    assert_eq!(service.state.replicate().await, turned(12, 0));
    // Half of them may take it back at once.
    set(&twelve[6..], false);
    assert_eq!(service.state.replicate().await, turned(0, 6));
    set(&twelve, true);
    assert_eq!(service.state.replicate().await, turned(6, 0));
    // More than half: not before the source has said so for an hour. What is new is in force at once.
    set(&twelve[5..], false);
    component.set(RESERVED, twelve[0], true);
    for passed in [0, 59] {
        minutes(passed);
        let waiting = service.state.replicate().await;
        assert!(matches!(waiting, Err(Fault::Shape(_))), "{waiting:?}");
        assert_eq!(service.state.store().replicas().await.unwrap().len(), 13);
    }
    // A source that is well again in between begins anew.
    set(&twelve[5..6], true);
    assert_eq!(service.state.replicate().await, turned(0, 6));
    set(&twelve, true);
    assert_eq!(service.state.replicate().await, turned(6, 0));
    set(&twelve, false);
    assert!(service.state.replicate().await.is_err());
    minutes(60);
    assert_eq!(service.state.replicate().await, turned(0, 12));
    // Of few wishes every one may end: that is people's own doing.
    set(&twelve[..9], true);
    assert_eq!(service.state.replicate().await, turned(9, 0));
    set(&twelve[..9], false);
    assert_eq!(service.state.replicate().await, turned(0, 9));
}

#[tokio::test]
async fn a_copy_that_is_too_old_closes_or_is_told_as_the_configuration_says() {
    for closes in [true, false] {
        let (service, component) = service(closes).await;
        let late = |seconds| {
            Some(Age {
                seconds,
                late: true,
            })
        };
        // There never was a whole copy.
        component.be(Mood::Failing);
        let failed = service.state.replicate().await;
        assert_eq!(
            failed,
            Err(Fault::Peer(wire::client::PeerError::Status(502)))
        );
        assert_eq!(service.state.settings_age(), late(None));
        let expected = if closes { (503, 0) } else { (200, 1) };
        assert_eq!(seen(&service, "TREAT", None).await, expected);
        component.be(Mood::Well);
        service.state.replicate().await.unwrap();
        assert_eq!(seen(&service, "TREAT", None).await, (200, 1));
        service.clock.advance((MOST - 1) * 1_000_000);
        assert_eq!(seen(&service, "TREAT", None).await, (200, 1));
        service.clock.advance(1_000_000);
        assert_eq!(service.state.settings_age(), late(Some(MOST)));
        assert_eq!(seen(&service, "TREAT", None).await, expected);
        if closes {
            assert_eq!(refused(&service).await, "settings_unknown");
            // A reservation may be among what is not known: to others nothing yields.
            assert_eq!(seen(&service, "BTG", Some("unconscious")).await.0, 503);
            // She herself, and the record system that feeds the service, see as before.
            let number = number(ragnhild());
            let about = [("patient.identifier", number.as_str())];
            for who in [patient(&service), service.record_system(FJELLVIK)] {
                let reply = service.search(&who, "Observation", &about).await;
                assert_eq!(reply.status, StatusCode::OK);
            }
        }
        service.state.replicate().await.unwrap();
        assert_eq!(seen(&service, "TREAT", None).await, (200, 1));
    }
}

#[tokio::test]
async fn the_copy_and_its_age_survive_a_restart_and_a_definition_that_is_no_more_ends() {
    let (first, component, mut config) = configured(true).await;
    component.set(BLOCK, &ragnhild().number, true);
    first.state.replicate().await.unwrap();
    let record = {
        let filter = store::AuditFilter {
            patient: Some(identifier(ragnhild())),
            limit: 100,
            ..store::AuditFilter::default()
        };
        let trail = first.state.store().audit_search(filter).await.unwrap();
        trail
            .into_iter()
            .find(|one| one.record.interaction == trust::Interaction::WishMade)
    };
    let record = record.expect("the trail tells of the wish").record;
    assert!(
        record.asked.contains("Personvernkomponenten")
            && !record.asked.contains(&ragnhild().number)
    );
    first.clock.advance(60_000_000);
    let service = first.reopened(config.clone()).await;
    assert_eq!(
        service.state.settings_age(),
        Some(Age {
            seconds: Some(60),
            late: false
        })
    );
    assert_eq!(seen(&service, "TREAT", None).await.0, 403);
    assert_eq!(service.state.replicate().await, Ok(Turned::default()));
    config.pvk.as_mut().unwrap().definitions.remove(0);
    let service = service.reopened(config).await;
    assert_eq!(
        service.state.replicate().await,
        Ok(Turned { made: 0, ended: 1 })
    );
    assert_eq!(seen(&service, "TREAT", None).await, (200, 1));
}
