//! A municipality moves its sharing service to another supplier: its whole store is handed back sealed and taken over, blocks
//! and versions included; the record system's comparison agrees with both; the new delegation and data processing agreement are
//! signed and registered, the old ones end, and with them its word in the catalogue; no look-up loses anything meanwhile; and the old supplier's store ends with its
//! evidence (issue 4, item 8; docs/guide/moving.md).

use crate::kit::apart::{Apart, Client, FJELLVIK, More, NORDDRIFT, PROVEHEIM};
use crate::kit::lookup::{FNR, WEIGHT, find, receipt};
use crate::kit::process::{Said, delt};
use crate::kit::reading::Weight;
use crate::kit::wait::until;
use fhir::ids::{PersonIdentifier, PersonNumbers};
use fhir::resource::ResourceType;
use fhir::time::Zone;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::clients::{Caller, Reply, now};
use testkit::feed::Feed;
use testkit::feed::reconcile::Series;
use testkit::issuer::Issuer;
use testkit::people::Directory;
use wire::client::Request;
use wire::contract::catalogue::{Endpoint, READ_SCOPE};
use wire::contract::statement::{PUBLISH, PUBLISH_SCOPE, STATEMENT_TYP, Statement, id_of};
use wire::receipt::SourceState;

/// The new supplier.
const SORDRIFT: &str = "310001848";

const PARTS: [(&str, &[&str]); 6] = [
    ("anchor", &["anchor"]),
    ("catalogue", &["catalogue"]),
    ("locator", &["locator"]),
    ("hospital", &["sharing:proveheim", "gateway"]),
    ("norddrift", &["sharing:fjellvik"]),
    ("sordrift", &["sharing:fjellvik-2"]),
];

const CLIENTS: &[Client] = &[
    (
        "epj-fjellvik",
        FJELLVIK,
        "record-system",
        &["system/*.cruds"],
        &["sharing:fjellvik", "sharing:fjellvik-2"],
    ),
    (
        "fjellvik-2",
        FJELLVIK,
        "service",
        &["system/Pointer.c"],
        &["locator"],
    ),
    (
        "operator",
        PROVEHEIM,
        "operator",
        &["system/Change.cr"],
        &["operate"],
    ),
    // What the suppliers speak with at the catalogue.
    (
        "catalogue-norddrift",
        NORDDRIFT,
        "service",
        &["system/Endpoint.ru"],
        &["catalogue"],
    ),
    (
        "catalogue-sordrift",
        SORDRIFT,
        "service",
        &["system/Endpoint.ru"],
        &["catalogue"],
    ),
    // Keys for papers: registered with the participant, no clients of anything.
    ("papers-fjellvik", FJELLVIK, "service", &[], &[]),
    ("papers-sordrift", SORDRIFT, "service", &[], &[]),
    // The municipality's key for what is handed back.
    ("handed-back", FJELLVIK, "service", &[], &[]),
];

fn facts(region: &Apart) -> String {
    format!(
        r#"
[[organisation]]
orgnr = "{SORDRIFT}"
name = "SørDrift"
kind = "supplier"

[[service]]
id = "fjellvik-2"
orgnr = "{FJELLVIK}"
name = "Fjellvik kommune"
concept = "supplier"
supplier = "{SORDRIFT}"
processing_agreement = {{ id = "DBA-2", date = "2026-11-01" }}
delegation = {{ id = "DEL-2", date = "2026-11-01" }}
fhir = "{}"
client_file = "keys/fjellvik-2.json"
unknown_patients = "enrol"
store_of = "fjellvik"
"#,
        region.base("sharing:fjellvik-2")
    )
}

/// Somebody with a token that the anchor would have signed after a sign-in, by the anchor's own key.
struct Person {
    caller: Caller,
    token: String,
}

impl Person {
    async fn of(
        region: &Apart,
        claims: impl FnOnce(&Issuer, &str) -> trust::token::Claims,
    ) -> Person {
        let caller = Caller::new().unwrap();
        let shape = Issuer::start().await.unwrap();
        let mut claims = claims(&shape, caller.jkt());
        claims.iss = region.base("anchor");
        let key = region.data("anchor").join("anchor/signing-key.json");
        let key = std::fs::read_to_string(key).unwrap();
        let key = trust::keys::SigningKey::from_jwk(key.trim()).unwrap();
        let token = trust::token::issue(&claims, &key).unwrap();
        Person { caller, token }
    }

    async fn physician(region: &Apart, patient: &testkit::people::Patient) -> Person {
        let audience = region.audience("gateway");
        Person::of(region, |shape, jkt| {
            let directory = Directory::demo();
            let who = directory.practitioner("lung-physician").unwrap();
            let claims = shape.practitioner_claims(who, PROVEHEIM, patient, &audience, jkt, now());
            claims.unwrap()
        })
        .await
    }

    async fn look_up(&self, region: &Apart, patient: &testkit::people::Patient) -> Reply {
        self.asks(region, patient, None).await
    }

    /// The same with the municipality chosen by hand, or not.
    async fn asks(
        &self,
        region: &Apart,
        patient: &testkit::people::Patient,
        chosen: Option<&str>,
    ) -> Reply {
        let person = format!("{FNR}|{}", patient.number);
        let mut form = vec![("patient.identifier", person.as_str()), ("code", WEIGHT)];
        form.extend(chosen.map(|chosen| ("organization", chosen)));
        let gateway = region.audience("gateway");
        let asked = self
            .caller
            .search(&self.token, &gateway, "Observation", &form);
        asked.await.expect("an answer")
    }
}

/// Which of the municipality's services answered, and how.
fn fjellviks(reply: &Reply) -> Vec<(String, SourceState)> {
    let account = receipt(reply);
    let theirs = account
        .sources
        .into_iter()
        .filter(|one| one.organisation == FJELLVIK);
    theirs
        .map(|one| (one.endpoint.unwrap_or_default(), one.state))
        .collect()
}

struct Operator<'a>(&'a Apart);

impl Operator<'_> {
    fn key(&self, name: &str) -> PathBuf {
        self.0.folder().join(format!("keys/{name}.json"))
    }

    async fn anchor(&self, arguments: &[&str]) -> Said {
        let (config, file) = (self.0.config("anchor"), self.key("operator"));
        let access = [
            "--config",
            config.to_str().unwrap(),
            "--client-file",
            file.to_str().unwrap(),
        ];
        let all = [&["anchor"], &arguments[..1], &access, &arguments[1..]].concat();
        let said = delt(&all).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        said
    }

    /// Registers a document with the signatures of these.
    async fn register(&self, kind: &str, expect: &str, document: &Value, signers: &[&str]) {
        let path = self.0.folder().join("document.json");
        std::fs::write(&path, document.to_string()).unwrap();
        let path = path.to_str().unwrap();
        let mut signatures = Vec::new();
        for signer in signers {
            let file = self.key(signer);
            let said = delt(&[
                "anchor",
                "sign",
                "--client-file",
                file.to_str().unwrap(),
                "--document",
                path,
            ])
            .await;
            assert_eq!(said.code, Some(0), "{said:?}");
            signatures.push(said.out.trim().to_owned());
        }
        let mut arguments = vec![
            "register",
            "--expect",
            expect,
            "--reason",
            "bytte av leverandør",
            "--document",
            path,
        ];
        arguments.extend(signatures.iter().flat_map(|one| ["--signature", one]));
        arguments.push(kind);
        self.anchor(&arguments).await;
    }
}

fn contains(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => contains(&path, needle),
            false => std::fs::read(&path)
                .unwrap()
                .windows(needle.len())
                .any(|seen| seen == needle),
        }
    })
}

#[tokio::test]
async fn nothing_is_lost_on_the_way_and_the_old_store_ends_with_its_evidence() {
    let region = Apart::with(
        &PARTS,
        "",
        &format!("operator = \"{PROVEHEIM}\""),
        More {
            facts,
            clients: CLIENTS,
        },
    )
    .await;
    let region = &region;
    let operator = Operator(region);
    let mut running = Vec::new();
    for part in ["anchor", "catalogue", "locator", "hospital"] {
        running.push(region.start(part).await);
    }
    let old = region.start("norddrift").await;
    let directory = Directory::demo();
    let patient = directory.story_patient();
    let feed = |id: &str| {
        let base = region.base(&format!("sharing:{id}"));
        Feed::new(region.party("epj-fjellvik"), id, &base)
    };
    let (at_old, at_new) = (feed("fjellvik"), feed("fjellvik-2"));

    // Before: three readings, one of them corrected, and another patient who has closed hers to the hospital.
    let mut held = Vec::new();
    let mut keys = Vec::new();
    for value in ["61.40", "61.70", "61.90"] {
        let reading = Weight {
            value,
            ..Weight::of(&patient.number)
        };
        keys.push(reading.identifier.clone());
        let place = at_old.create("Observation", reading.json()).await.unwrap();
        let corrected = Weight {
            status: "corrected",
            value: "61.95",
            ..reading.clone()
        };
        if value == "61.90" {
            let answer = at_old
                .correct("Observation", &place, corrected.json().as_bytes())
                .await
                .unwrap();
            assert!(answer.status.is_success(), "{}", answer.status);
            held.push(corrected.json().into());
        } else {
            held.push(reading.json().into());
        }
    }
    let shy = directory
        .patients
        .iter()
        .find(|one| one.number != patient.number)
        .unwrap();
    let hers = Weight {
        value: "58.25",
        ..Weight::of(&shy.number)
    };
    at_old.create("Observation", hers.json()).await.unwrap();
    closes_to_the_hospital(region, shy).await;
    let physician = Person::physician(region, patient).await;
    let reply = until("the municipality's readings are shown", async || {
        let reply = physician.look_up(region, patient).await;
        keys.iter()
            .all(|key| find(&reply, key).is_some())
            .then_some(reply)
    })
    .await;
    assert_eq!(
        fjellviks(&reply),
        [(region.base("sharing:fjellvik"), SourceState::Complete)]
    );
    let curious = Person::physician(region, shy).await;
    assert!(curious.look_up(region, shy).await.matches().is_empty());

    // From here on somebody looks up all the time, and always sees all three.
    let stop = Arc::new(AtomicBool::new(false));
    let watch = async {
        let mut seen = 0_u32;
        let mut lost = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            let reply = physician.look_up(region, patient).await;
            seen += 1;
            if !keys.iter().all(|key| find(&reply, key).is_some()) {
                lost.push(reply.json.to_string());
            }
        }
        (seen, lost)
    };
    let moving = async {
        // The papers: the new supplier's, signed by both; the old delegation still stands.
        for (orgnr, name, kind, papers) in [
            (
                FJELLVIK,
                "Fjellvik kommune",
                "municipality",
                "papers-fjellvik",
            ),
            (SORDRIFT, "SørDrift", "supplier", "papers-sordrift"),
        ] {
            let document = json!({"orgnr": orgnr, "name": name, "kind": kind, "keys": [region.public_key(papers)]});
            operator.register("participant", "1", &document, &[]).await;
        }
        let both = ["papers-fjellvik", "papers-sordrift"];
        let agreement = json!({
            "id": "DBA-2", "controller": FJELLVIK, "processor": SORDRIFT, "service": "fjellvik-2", "date": "2026-11-01",
        });
        operator
            .register("processing-agreement", "1", &agreement, &both)
            .await;
        let delegation = json!({
            "id": "DEL-2", "from": FJELLVIK, "to": SORDRIFT, "from_day": "2026-11-01", "service": "fjellvik-2",
        });
        operator
            .register("delegation", "0", &delegation, &both[..1])
            .await;

        // The hospital's gateway may ask the new address too.
        let gateway = region.document_with("gateway", "sharing:fjellvik-2");
        operator.register("client", "1", &gateway, &[]).await;

        // Handed back while the old service goes on, and taken over by the new one.
        let sealed = region.folder().join("fjellvik.sealed");
        let public = region.folder().join("handed-back.jwk");
        std::fs::write(&public, region.public_key("handed-back").to_string()).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let old_store = region.data("norddrift").join("sharing/fjellvik");
        let said = delt(&[
            "hand-back",
            "--owner",
            "fjellvik",
            "--store",
            &text(&old_store),
            "--key",
            &text(&public),
            "--to",
            &text(&sealed),
        ])
        .await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let new_store = region.data("sordrift").join("sharing/fjellvik-2");
        let wrong = operator.key("papers-fjellvik");
        let taken = |key: PathBuf| {
            let (from, to) = (text(&sealed), text(&new_store));
            async move {
                delt(&[
                    "take-over",
                    "--from",
                    &from,
                    "--client-file",
                    key.to_str().unwrap(),
                    "--store",
                    &to,
                ])
                .await
            }
        };
        let said = taken(wrong).await;
        assert!(
            said.code == Some(1) && said.err.contains("sealed to another key"),
            "{said:?}"
        );
        assert!(!new_store.exists());
        let said = taken(operator.key("handed-back")).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let new = region.start("sordrift").await;

        // The record system feeds both; its comparison agrees with both.
        let reading = Weight {
            value: "62.05",
            ..Weight::of(&patient.number)
        };
        for feed in [&at_old, &at_new] {
            feed.create("Observation", reading.json()).await.unwrap();
        }
        held.push(reading.json().into());
        let series = Series {
            patient: PersonIdentifier::guess(&patient.number, PersonNumbers::Strict).unwrap(),
            resource_type: ResourceType::OBSERVATION,
            code: ("http://loinc.org".to_owned(), "29463-7".to_owned()),
            held,
        };
        for feed in [&at_old, &at_new] {
            assert_eq!(feed.reconcile(&series, &Zone::default()).await.unwrap(), []);
        }
        until("both services answer", async || {
            let reply = physician.look_up(region, patient).await;
            let complete = fjellviks(&reply)
                .iter()
                .filter(|one| one.1 == SourceState::Complete)
                .count();
            (complete == 2 && find(&reply, &reading.identifier).is_some()).then_some(())
        })
        .await;
        // What was closed is closed at both: asked by hand, for by the locator she is as unknown there.
        let reply = curious.asks(region, shy, Some(FJELLVIK)).await;
        assert!(reply.matches().is_empty(), "{}", reply.json);
        let all = fjellviks(&reply);
        let refused = |one: &(String, SourceState)| one.1 == SourceState::Refused;
        assert!(all.len() == 2 && all.iter().all(refused), "{all:?}");

        // The old supplier's right ends: its tokens stop.
        let hub = region.party("hub");
        let audience = region.base("sharing:fjellvik");
        assert!(hub.token(&audience, "system/Observation.c").await.is_ok());
        operator
            .anchor(&[
                "end",
                "--reason",
                "bytte av leverandør",
                "delegation",
                "DEL-VKP",
            ])
            .await;
        assert!(
            region
                .party("hub")
                .token(&audience, "system/Observation.c")
                .await
                .is_err()
        );

        // The municipality orders the end of the processing: pointers go, then every byte; the trail stays.
        let order = json!({"resourceType": "Parameters", "parameter": [
            {"name": "ground", "valueCode": "end-of-processing"},
            {"name": "order", "valueString": "FJ-2026-17"}, {"name": "decision", "valueString": "FJ-2026-16"},
            {"name": "scope", "valueCode": "store"},
        ]});
        let request = Request::post_fhir(format!("{audience}/$purge"), order.to_string());
        let answer = region
            .party("epj-fjellvik")
            .send(&audience, "system/*.cruds", request)
            .await
            .unwrap();
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        until("only the new service is asked", async || {
            let reply = physician.look_up(region, patient).await;
            (fjellviks(&reply) == [(region.base("sharing:fjellvik-2"), SourceState::Complete)])
                .then_some(())
        })
        .await;
        operator
            .anchor(&["suspend", "--reason", "avsluttet", "client", "fjellvik"])
            .await;

        // The catalogue: either supplier may sign what it runs while its data processing agreement stands. When the old one's ends,
        // its word is refused, also about the entry that was its own; the new one's is taken, and look-ups go where it says.
        assert_eq!(states(region, &NORDDRIFTS, "fjellvik").await, 200);
        let ended = json!({
            "id": "DBA-1", "controller": FJELLVIK, "processor": NORDDRIFT, "service": "fjellvik",
            "date": "2026-01-10", "until": "2026-11-01",
        });
        operator
            .register("processing-agreement", "1", &ended, &both[..1])
            .await;
        until("the old supplier's word is refused", async || {
            (states(region, &NORDDRIFTS, "fjellvik").await == 403).then_some(())
        })
        .await;
        assert_eq!(states(region, &NORDDRIFTS, "fjellvik-2").await, 403);
        assert_eq!(states(region, &SORDRIFTS, "fjellvik-2").await, 200);
        stop.store(true, Ordering::SeqCst);
        (new, sealed, old_store)
    };
    let ((seen, lost), (new, sealed, old_store)) = tokio::join!(watch, moving);
    assert!(seen > 3, "{seen}");
    assert!(
        lost.is_empty(),
        "{} of {seen} look-ups lost something: {}",
        lost.len(),
        lost[0]
    );
    assert!(old.stop().await.success());

    // Nothing of her is left in the old house, and its trail is whole to the end.
    for erased in [&keys[0], &keys[2], &hers.identifier] {
        let bare = erased.trim_start_matches("urn:uuid:");
        assert!(
            !contains(&old_store, bare.as_bytes()),
            "{erased} lies there still"
        );
    }
    let config = region.config("norddrift");
    let verify = [
        "audit",
        "verify",
        "--owner",
        "fjellvik",
        "--store",
        old_store.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
        "--offline",
    ];
    let said = delt(&verify).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("the trail is whole"), "{said:?}");
    assert!(sealed.is_file());
    let left: Vec<_> = std::fs::read_dir(old_store.parent().unwrap())
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1, "a copy was left behind: {left:?}");
    // The new house goes on with the same trail, and starts again with it.
    assert!(new.stop().await.success());
    let new = region.start("sordrift").await;
    let reply = physician.look_up(region, patient).await;
    assert!(
        keys.iter().all(|key| find(&reply, key).is_some()),
        "{}",
        reply.json
    );
    assert!(new.stop().await.success());
    for serving in running {
        assert!(serving.stop().await.success());
    }
}

/// A supplier: its client at the catalogue and its number.
type Supplier = (&'static str, &'static str);
const NORDDRIFTS: Supplier = ("catalogue-norddrift", NORDDRIFT);
const SORDRIFTS: Supplier = ("catalogue-sordrift", SORDRIFT);

/// A supplier states the municipality's Endpoint of a service as it stands, signed by itself: the catalogue's status.
async fn states(region: &Apart, (client, orgnr): &Supplier, service: &str) -> u16 {
    let (party, audience) = (region.party(client), region.audience("catalogue"));
    let sub = format!("Endpoint/{}", id_of("Endpoint", service));
    let read = Request::get(format!("{audience}/{sub}"));
    let entry = region
        .party("gateway")
        .send(&audience, READ_SCOPE, read)
        .await;
    let entry: Value = entry.unwrap().json().unwrap();
    let at = now();
    let statement = Statement {
        iss: (*orgnr).to_owned(),
        owner: FJELLVIK.to_owned(),
        sub,
        // Above whatever a service has counted by its clock.
        version: u64::try_from(at.0).unwrap(),
        iat: at.seconds(),
        exp: at.seconds() + 3_600,
        said: Default::default(),
        resource: Some(Endpoint::from_json(&entry).unwrap().to_json()),
    };
    let claims = serde_json::to_value(&statement).unwrap();
    let jws = party.sign(STATEMENT_TYP, &claims).unwrap();
    let url = format!("{}{PUBLISH}", region.base("catalogue"));
    let request = Request::post_json(url, &json!({ "statements": [jws] })).unwrap();
    let answer = party.send(&audience, PUBLISH_SCOPE, request).await;
    answer.unwrap().status.as_u16()
}

/// The patient's own wish, at the old service.
async fn closes_to_the_hospital(region: &Apart, patient: &testkit::people::Patient) {
    let audience = region.base("sharing:fjellvik");
    let her = Person::of(region, |shape, jkt| {
        let mut claims = shape.citizen_claims(patient, &audience, jkt, now());
        claims.scope = "patient/Consent.cruds".to_owned();
        claims
    })
    .await;
    let code = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    let consent = json!({
        "resourceType": "Consent", "status": "active",
        "scope": code("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [code("http://loinc.org", "59284-0")],
        "patient": {"identifier": {"system": FNR, "value": patient.number}},
        "policyRule": code("http://hl7.no/fhir/CodeSystem/no-basis-legal-formality-or-basis", "PBRL5-3"),
        "provision": {"type": "deny", "actor": [{
            "role": code("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"),
            "reference": {"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.101", "value": PROVEHEIM}},
        }]},
    });
    let request = Request::post_fhir(format!("{audience}/Consent"), consent.to_string());
    let reply = her.caller.send(&her.token, request).await.unwrap();
    assert_eq!(reply.status, 201, "{}", reply.json);
}
