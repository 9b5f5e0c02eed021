//! Many users at once, each about another patient: nobody gets anything of anybody else's, no source is asked with another's token,
//! and each organisation's trail tells of its own people alone.

use crate::person::{Person, Reply};
use crate::sources::Behaviour;
use crate::world::{PROVEBAKKEN, PROVEHEIM, World, pulse};
use fhir::systems;
use futures::future::join_all;
use http::StatusCode;
use std::collections::{BTreeMap, BTreeSet};
use wire::client::Request;
use wire::contract::gateway::CHANGES_RELATION;

/// How many people ask at once.
const USERS: usize = 24;
const SOURCES: [&str; 3] = ["fjellvik", "provebakken", "proveheim"];

/// Every source holds two readings of each patient.
async fn world(patients: &[String]) -> World {
    let world = World::new().await;
    for service in SOURCES {
        world.set(service, Behaviour::Exact);
        let held = patients.iter().enumerate().flat_map(|(n, patient)| {
            [1, 2].map(|turn| {
                let id = format!("p{n}-{service}-{turn}");
                let mut reading = pulse(&id, &format!("2026-11-0{turn}T08:00:00Z"), 70, &id);
                reading["subject"]["identifier"]["value"] = patient.as_str().into();
                reading["valueQuantity"]["system"] = "http://unitsofmeasure.org".into();
                reading["valueQuantity"]["code"] = "/min".into();
                reading
            })
        });
        let held: Vec<_> = held.collect();
        *world.source(service).past.lock().unwrap() = held.iter().cloned().map(Ok).collect();
        world.hold(service, held);
    }
    world.locate(&SOURCES);
    world
}

/// A user with one token, about one patient.
struct User<'a> {
    world: &'a World,
    person: Person<'a>,
    token: String,
    patient: &'a str,
    number: usize,
}

impl<'a> User<'a> {
    fn of(world: &'a World, number: usize, patient: &'a str) -> User<'a> {
        let organisation = [PROVEHEIM, PROVEBAKKEN][number % 2];
        let mut person = Person::practitioner(world, organisation).about(patient);
        person.claims.sub = format!("user-{number}");
        let token = world.anchor.sign(&person.claims);
        User {
            world,
            person,
            token,
            patient,
            number,
        }
    }

    async fn send(&self, request: Request) -> Reply {
        let credentials = self.person.prove_with(&request, self.token.clone());
        self.person.send_with(request, &credentials).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        let whose = format!("{}|{}", systems::FNR, self.patient);
        let mut form = form.to_vec();
        if !path.starts_with("Patient/") {
            form.push(("patient.identifier", &whose));
        }
        let url = format!("{}/{path}", self.world.fhir());
        self.send(Request::post_form(url, form)).await
    }

    /// Every reading of the answer is the patient's, and all that there should be are there.
    fn gets(&self, way: &str, reply: &Reply, wanted: usize) {
        assert_eq!(reply.status, StatusCode::OK, "{way}: {}", reply.json);
        assert_eq!(reply.headers["cache-control"], "no-store", "{way}");
        let own = format!("p{}-", self.number);
        let text = reply.json.to_string();
        let parts = text.split("\"id\":\"p").skip(1);
        let found: BTreeSet<&str> = parts.map(|rest| &rest[..rest.find('"').unwrap()]).collect();
        assert_eq!(found.len(), wanted, "{way}: {found:?}");
        let theirs = |id: &&str| format!("p{id}").starts_with(&own);
        assert!(found.iter().all(theirs), "{way} of {own}: {found:?}");
        assert!(!text.contains("another patient"), "{way}: {text}");
    }

    /// Looks up until everything is there, so that a busy machine's late tokens are no part of what follows.
    async fn warm_up(&self) {
        let form = [("_type", "Observation")];
        for (path, form) in [
            ("Observation/_search", &[][..]),
            ("Patient/$everything", &form),
        ] {
            while self.post(path, form).await.ids().len() < 2 * SOURCES.len() {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn every_way(&self) {
        let searched = self.post("Observation/_search", &[("_count", "4")]).await;
        self.gets("search", &searched, 4);
        let next = searched.link("next").expect("a page").to_owned();
        let changes = searched.link(CHANGES_RELATION).unwrap().to_owned();
        let counted = [
            ("code", "8867-4"),
            ("statistic", "count"),
            ("include", "true"),
        ];
        let everything = [("_type", "Observation"), ("_count", "50")];
        let (page, changes, newest, counted, everything) = tokio::join!(
            self.send(Request::get(next)),
            self.send(Request::get(changes)),
            self.post("Observation/$lastn", &[("max", "3")]),
            self.post("Observation/$stats", &counted),
            self.post("Patient/$everything", &everything),
        );
        self.gets("page", &page, 2);
        self.gets("changes", &changes, 6);
        self.gets("$lastn", &newest, 3);
        self.gets("$stats", &counted, 6);
        self.gets("$everything", &everything, 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_users_at_once_get_each_their_own_patient_and_nothing_else() {
    let directory = testkit::people::Directory::with_more_people(USERS);
    let patients = directory.patients.iter().map(|one| one.number.clone());
    let patients: Vec<String> = patients.take(USERS).collect();
    let world = world(&patients).await;
    let users: Vec<User<'_>> = patients
        .iter()
        .enumerate()
        .map(|(number, patient)| User::of(&world, number, patient))
        .collect();
    let groups = users.chunks(3).map(|group| group.iter().map(User::warm_up));
    for group in groups {
        join_all(group).await;
    }
    join_all(users.iter().map(User::every_way)).await;

    // Each source was asked about a patient with that patient's user's token alone.
    let users: BTreeMap<String, &str> = users
        .iter()
        .map(|user| (user.person.claims.sub.clone(), user.patient))
        .collect();
    for service in SOURCES {
        let asked = world.source(service).asked();
        assert!(asked.len() >= 5 * USERS, "{}", asked.len());
        for one in asked {
            let patient = one.claims.patient.as_ref().unwrap().value().expose();
            assert_eq!(users[&one.claims.sub], patient);
            for named in one.get("patient.identifier") {
                assert!(named.ends_with(patient), "another patient than the token's");
            }
        }
    }
    // And each organisation's trail tells of its own people's look-ups, of one patient each.
    for (turn, organisation) in [PROVEHEIM, PROVEBAKKEN].into_iter().enumerate() {
        let (records, receipts) = world.records(Some(organisation)).await;
        assert!(records.len() >= 8 * USERS / 2, "{}", records.len());
        assert_eq!(receipts.len(), records.len());
        for record in records.iter().map(|one| &one.record) {
            let patient = record.patient.as_ref().unwrap().value().expose();
            let number = patients.iter().position(|one| one == patient).unwrap();
            assert_eq!(number % 2, turn);
            let own = format!("p{number}-");
            let given = record.disclosed.iter();
            assert!(given.clone().count() > 0 && given.clone().all(|one| one.id.starts_with(&own)));
        }
    }
}
