//! What rests in the locator's folder: no person's number and no name, whatever was asked, refused, replayed or forged.

use std::path::Path;

use http::{Method, StatusCode};
use serde_json::json;
use testkit::door::Held;
use testkit::issuer::ProofKey;
use trust::ClientUse;
use trust::token::Kind;

use crate::world::{
    FJELLVIK, KYSTREGIONEN, PROVEHEIM, World, entry, other_patient, patient, physician,
};

/// Every file under a folder, with its bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for one in std::fs::read_dir(folder).unwrap() {
        let path = one.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found.push((name, std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// What must not be found: numbers and names of everybody who took part.
fn secrets() -> Vec<&'static str> {
    let mut all = Vec::new();
    for person in [patient(), other_patient()] {
        all.extend([person.number.as_str(), person.name.as_str()]);
        all.extend(person.name.rsplit(' ').next());
    }
    all.extend([
        physician().number.as_str(),
        physician().name.as_str(),
        "Secret reason",
    ]);
    all
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes
        .windows(secret.len())
        .any(|window| window == secret.as_bytes())
}

/// Everything a caller can do, well and badly.
async fn use_it(world: &World) {
    world
        .announce(
            json!([
                entry(patient(), "IT17", "present", 1),
                entry(other_patient(), "IT03", "present", 2)
            ]),
            2,
        )
        .await;
    world
        .announce(json!([entry(patient(), "IT17", "absent", 3)]), 3)
        .await;
    let kinds = json!({"kinds": ["IT17", "IT03"]});
    for about in [patient(), other_patient()] {
        assert_eq!(
            world.locate(about, &["IT17", "IT03"]).await.status,
            StatusCode::OK
        );
        assert_eq!(
            world
                .send(&world.citizen_claims(about), "/locate", &kinds)
                .await
                .status,
            StatusCode::OK
        );
    }
    // Refused, malformed, out of scope, with a reason in free text.
    let mut outside = world.physician_claims(KYSTREGIONEN, patient());
    outside.attest.as_mut().unwrap().care_relationship.reason = Some("Secret reason".into());
    assert_eq!(
        world.send(&outside, "/locate", &kinds).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        world.locate(patient(), &[]).await.status,
        StatusCode::BAD_REQUEST
    );
    let mut citizen = world.citizen_claims(patient());
    citizen.scope = "patient/Observation.rs".into();
    assert_eq!(
        world.send(&citizen, "/locate", &kinds).await.status,
        StatusCode::FORBIDDEN
    );
    let foreign = json!({"holder": "fjellvik", "entries": [entry(patient(), "IT17", "present", 9)], "high_water": 9});
    assert_eq!(
        world.register(PROVEHEIM, &foreign).await.status,
        StatusCode::FORBIDDEN
    );
    // Good tokens with proofs that are used, foreign, old, or made for something else.
    for claims in [
        world.physician_claims(PROVEHEIM, patient()),
        world.citizen_claims(patient()),
        world.service_claims(ClientUse::Service, FJELLVIK),
    ] {
        let path = if claims.kind == Kind::System {
            "/register"
        } else {
            "/locate"
        };
        let held = Held::of(&world.issuer, &world.key, &claims).unwrap();
        let knock = || {
            world
                .door
                .knock(Method::POST, path)
                .header("content-type", "application/json")
                .body(kinds.to_string())
        };
        let used = knock().proof(&held, world.clock.now());
        let first = knock().with(&held, &used).send().await;
        assert_ne!(first.status, StatusCode::UNAUTHORIZED);
        let other_key = Held::from_jwt(&ProofKey::generate().unwrap(), held.jwt.clone());
        let stolen = knock().proof(&other_key, world.clock.now());
        let old = knock().proof(&held, world.clock.now().plus_seconds(-61));
        let elsewhere = world
            .door
            .get("/openapi.json")
            .proof(&held, world.clock.now());
        for proof in [used.as_str(), &stolen, &old, &elsewhere, "x.y.z"] {
            let reply = knock().with(&held, proof).send().await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
            assert!(
                reply
                    .header("www-authenticate")
                    .contains("invalid_dpop_proof")
            );
        }
        // A token that is no longer good, with a good proof.
        let mut stale = claims.clone();
        stale.exp = claims.iat - 11;
        stale.nbf = stale.exp - 300;
        assert_eq!(
            world.send(&stale, path, &kinds).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
}

#[tokio::test]
async fn no_file_holds_a_number_or_a_name_before_or_after_the_store_is_closed() {
    let world = World::new().await;
    use_it(&world).await;
    let folder = world.folder.path().to_owned();
    let search = |when: &str| {
        let found = files(&folder);
        assert!(
            found
                .iter()
                .any(|(name, bytes)| name == "store.db" && !bytes.is_empty()),
            "{when}"
        );
        for (name, bytes) in found {
            for secret in secrets() {
                assert!(!holds(&bytes, secret), "{when}: {name} holds {secret}");
            }
        }
    };
    search("open");
    // Records may rest compressed, so they are looked at as they read, too.
    let trail = world.trail().await;
    assert!(trail.len() > 25);
    for entry in &trail {
        let record = serde_json::to_string(&entry.record).unwrap();
        for secret in secrets() {
            assert!(!record.contains(secret), "a record holds {secret}");
        }
        assert!(entry.record.patient.is_none() && entry.record.person.is_none());
    }
    for ledger in ["pointer", "leaf", "holder"] {
        let entries = world
            .state
            .store()
            .ledger_scan(ledger, b"", None, 1_000)
            .await
            .unwrap();
        assert!(!entries.is_empty());
        for entry in entries {
            for secret in secrets() {
                assert!(!holds(&entry.key, secret) && !holds(&entry.value, secret));
            }
        }
    }
    // Closing the store folds the write-ahead log into the file.
    let World {
        state,
        door,
        folder: kept,
        ..
    } = world;
    drop((state, door));
    search("closed");
    drop(kept);
}

#[tokio::test]
async fn one_persons_records_can_be_found_by_the_same_pseudonym_and_two_persons_differ() {
    let world = World::new().await;
    world.locate(patient(), &["IT17"]).await;
    world.locate(other_patient(), &["IT17"]).await;
    let citizen = world.citizen_claims(patient());
    world
        .send(&citizen, "/locate", &json!({"kinds": ["IT17"]}))
        .await;
    let trail = world.trail().await;
    let part = |n: usize, name: &str| {
        let asked: &str = &trail[n].record.asked;
        let found = asked.split(' ').find_map(|part| part.strip_prefix(name));
        found.unwrap_or_else(|| panic!("{asked}")).to_owned()
    };
    assert_eq!(part(0, "patient="), part(2, "patient="));
    assert_ne!(part(0, "patient="), part(1, "patient="));
    assert_eq!(part(0, "by=practitioner:"), part(1, "by=practitioner:"));
    assert_eq!(
        part(2, "by=citizen:"),
        part(2, "patient="),
        "she asked about herself"
    );
    assert_eq!(part(0, "hpr="), physician().hpr);
}
