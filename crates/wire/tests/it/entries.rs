//! A reader believes owners, and not the catalogue.

use crate::region::{listen, serve};
use axum::Router;
use axum::routing::get;
use fhir::time::Instant;
use serde_json::{Value, json};
use std::sync::Arc;
use trust::jws;
use trust::keys::{KeySet, SigningKey};
use wire::client::{Http, Policy};
use wire::contract::anchor::{
    AGREEMENT_TYP, AgreementDocument, AgreementKind, PARTICIPANT_TYP, Participant,
};
use wire::contract::operate::Standing;
use wire::contract::statement::{STATEMENT, STATEMENT_TYP, Said, Statement};
use wire::entries::{EntryError, Reader};
use wire::members::{MemberBook, StatementError};

pub const OWNER: &str = "310001007";
pub const OTHER: &str = "310001074";
/// A member of the owner's register, and a unit of the other's.
const MEMBER: &str = "310001422";
const UNIT: &str = "310001929";
pub const NOW: i64 = 1_800_000_000;

/// An anchor that vouches for two members, and their keys.
pub async fn anchor() -> (String, SigningKey, SigningKey) {
    let (own, owner, other) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let (listener, url) = listen().await;
    let participant = |orgnr: &str, key: &SigningKey| {
        let one = Participant {
            iss: url.clone(),
            sub: orgnr.into(),
            iat: 1,
            name: orgnr.into(),
            version: 1,
            state: Standing::Active,
            units: if orgnr == OTHER {
                vec![UNIT.into()]
            } else {
                Vec::new()
            },
            keys: vec![key.public_jwk()],
            contacts: Vec::new(),
        };
        jws::sign(PARTICIPANT_TYP, &serde_json::to_value(one).unwrap(), &own).unwrap()
    };
    let participants = json!([participant(OWNER, &owner), participant(OTHER, &other)]);
    let agreement = AgreementDocument {
        iss: url.clone(),
        sub: "FBR-1".into(),
        iat: 1,
        version: 1,
        state: Standing::Active,
        signed: true,
        kind: AgreementKind::SharedRegister,
        parties: vec![OWNER.into(), MEMBER.into()],
        consumer: None,
        provider: None,
        processor: None,
        services: Vec::new(),
        from: "2026-01-01".into(),
        until: None,
    };
    let agreement = serde_json::to_value(agreement).unwrap();
    let agreement = jws::sign(AGREEMENT_TYP, &agreement, &own).unwrap();
    let keys = KeySet::of(vec![own.public().clone()]).unwrap().to_jwks();
    let give = |value: Value| get(move || std::future::ready(axum::Json(value.clone())));
    let router = Router::new()
        .route("/jwks", give(keys))
        .route("/participants", give(participants))
        .route("/agreements", give(json!([agreement])));
    serve(listener, router);
    (url, owner, other)
}

/// The members that the anchor vouches for.
pub fn book(issuer: &str) -> MemberBook {
    let http = Http::new(Policy::loopback()).unwrap();
    MemberBook::new(issuer, http, clock())
}

fn clock() -> store::Clock {
    Arc::new(|| Instant::from_seconds(NOW))
}

fn reader(issuer: &str) -> Reader {
    Reader::new(book(issuer), clock())
}

fn endpoint(address: &str) -> Value {
    json!({
        "resourceType": "Endpoint", "id": "e", "status": "active", "address": address,
        "managingOrganization": {"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.101", "value": OWNER}},
    })
}

fn statement(version: u64) -> Statement {
    Statement {
        iss: OWNER.into(),
        owner: OWNER.into(),
        sub: "Endpoint/e".into(),
        version,
        iat: NOW,
        exp: NOW + 60,
        said: Said::Listed,
        resource: Some(endpoint("https://own.example/fhir")),
    }
}

/// An entry as a catalogue gives it: what it shows, and the statement under it.
fn shown(mut entry: Value, statement: &Statement, key: &SigningKey) -> Value {
    let jws = jws::sign(
        STATEMENT_TYP,
        &serde_json::to_value(statement).unwrap(),
        key,
    )
    .unwrap();
    entry["extension"] = json!([{"url": STATEMENT, "valueString": jws}]);
    entry
}

#[tokio::test]
async fn what_the_owner_signed_counts_and_not_what_the_catalogue_shows() {
    let (issuer, owner, other) = anchor().await;
    let reader = reader(&issuer);
    // What nobody signed is the operator's word, until its owner signs it: then it is no longer.
    let plain = endpoint("https://configured.example/fhir");
    assert_eq!(reader.believe(&plain).await.unwrap(), plain);
    let lie = shown(endpoint("https://evil.example/fhir"), &statement(1), &owner);
    let believed = reader.believe(&lie).await.unwrap();
    assert_eq!(believed["address"], "https://own.example/fhir");
    assert_eq!(reader.believe(&plain).await, Err(EntryError::Stripped));
    // Another member signs the owner's Endpoint as if it were its own to sign, and the catalogue plays along.
    let captured = Statement {
        iss: OTHER.into(),
        owner: OTHER.into(),
        ..statement(9)
    };
    let captured = shown(endpoint("x"), &captured, &other);
    assert_eq!(reader.believe(&captured).await, Err(EntryError::Other));
    // The catalogue may say that an entry does not count, not that it does.
    let mut off = shown(endpoint("x"), &statement(1), &owner);
    off["status"] = "error".into();
    assert_eq!(reader.believe(&off).await.unwrap()["status"], "error");
    let mut suspended = statement(1);
    suspended.resource.as_mut().unwrap()["status"] = "suspended".into();
    let revived = shown(endpoint("x"), &suspended, &owner);
    assert_eq!(
        reader.believe(&revived).await.unwrap()["status"],
        "suspended"
    );

    let signer = Err(EntryError::Statement(StatementError::Signer));
    let forged = shown(endpoint("x"), &statement(2), &other);
    assert_eq!(reader.believe(&forged).await, signer);
    let mut foreign = statement(2);
    foreign.iss = OTHER.into();
    assert_eq!(
        reader
            .believe(&shown(endpoint("x"), &foreign, &other))
            .await,
        signer
    );
    let mut another = statement(2);
    another.sub = "Endpoint/f".into();
    let moved = shown(endpoint("x"), &another, &owner);
    assert_eq!(reader.believe(&moved).await, Err(EntryError::Other));
    let mut old = statement(2);
    (old.iat, old.exp) = (NOW - 60, NOW);
    let lapsed = shown(endpoint("x"), &old, &owner);
    assert_eq!(reader.believe(&lapsed).await.unwrap()["status"], "off");
    let gone = Statement {
        said: Said::Withdrawn,
        resource: None,
        ..statement(2)
    };
    assert_eq!(
        reader.believe(&shown(endpoint("x"), &gone, &owner)).await,
        Err(EntryError::Other)
    );
}

#[tokio::test]
async fn nobodys_data_is_reached_by_another_whatever_the_catalogue_finds() {
    let (issuer, ..) = anchor().await;
    let reader = reader(&issuer);
    assert!(reader.reaches(OWNER, OWNER).await);
    assert!(!reader.reaches(OWNER, OTHER).await);
    // Members of a register of both, and nobody else.
    assert!(reader.reaches(MEMBER, OWNER).await);
    assert!(!reader.reaches(MEMBER, OTHER).await);
    assert!(
        reader.reaches(UNIT, OTHER).await,
        "a unit is its controller's"
    );
    assert!(!reader.reaches(UNIT, OWNER).await);
}

#[tokio::test]
async fn a_catalogue_that_goes_back_to_an_older_version_is_not_followed() {
    let (issuer, owner, _) = anchor().await;
    let reader = reader(&issuer);
    let (old, new) = (statement(7), statement(8));
    assert!(
        reader
            .believe(&shown(endpoint("x"), &old, &owner))
            .await
            .is_ok()
    );
    assert!(
        reader
            .believe(&shown(endpoint("x"), &new, &owner))
            .await
            .is_ok()
    );
    let back = reader.believe(&shown(endpoint("x"), &old, &owner)).await;
    assert_eq!(back, Err(EntryError::Older));
    assert!(
        reader
            .believe(&shown(endpoint("x"), &new, &owner))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn without_the_anchors_documents_what_is_signed_is_not_believed() {
    let owner = SigningKey::generate().unwrap();
    let reader = reader("http://127.0.0.1:9");
    let entry = shown(endpoint("x"), &statement(1), &owner);
    assert_eq!(reader.believe(&entry).await, Err(EntryError::Unverified));
}
