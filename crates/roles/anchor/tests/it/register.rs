//! Participants, clients, agreements, delegations and papers registered by orders: what each opens and when, what is refused
//! with which reason, and that two operators at once lose nothing.

use crate::operate::*;
use crate::region::*;
use anchor::config::{Audience, AudienceKind};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use std::sync::Arc;
use trust::jws;
use trust::keys::SigningKey;

const NEW: &str = "310001848";

fn order(kind: &str, expect: u64, document: &Value, signatures: &[String]) -> Value {
    json!({
        "kind": kind, "expect": expect, "document": document.to_string(),
        "signatures": signatures, "reason": "avtale 2026/1",
    })
}

async fn send(region: &Region, key: &SigningKey, order: Value) -> Answer {
    operate(region, key, "/operate/register", order).await
}

/// Lets it in and gives the change.
async fn put(region: &Region, key: &SigningKey, order: Value) -> Value {
    let answer = send(region, key, order).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    verified(region, &answer, "delt-change+jwt").await.remove(0)
}

fn participant(orgnr: &str, name: &str, key: &SigningKey) -> Value {
    json!({
        "orgnr": orgnr, "name": name, "kind": "municipality", "keys": [key.public_jwk()],
        "units": [{"resh": "4200000", "name": "Oppfølgingssenter"}],
        "contacts": [{"role": "security", "telephone": "+47 00 00 00 02"}],
    })
}

fn client(id: &str, orgnr: &str, key: Value) -> Value {
    json!({
        "client_id": id, "orgnr": orgnr, "use": "home-system", "keys": [key],
        "scopes": ["system/Observation.c"], "audiences": [HUB],
    })
}

fn agreement(id: &str) -> Value {
    json!({
        "id": id, "terms": "3", "consumer": "310001074", "provider": "310001422",
        "services": ["IT17"], "from": "2026-01-01",
    })
}

fn sign(document: &Value, key: &SigningKey) -> String {
    jws::sign_detached("delt-document+jws", document.to_string().as_bytes(), key).unwrap()
}

/// Registers keys of two organisations that take part by configuration.
async fn with_keys(region: &Region, key: &SigningKey) -> (SigningKey, SigningKey) {
    let (a, b) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    for (orgnr, name, own) in [
        ("310001074", "Prøveheim", &a),
        ("310001007", "Fjellvik", &b),
    ] {
        let mut document = participant(orgnr, name, own);
        document["units"] = json!([]);
        put(region, key, order("participant", 1, &document, &[])).await;
    }
    (a, b)
}

async fn ask(region: &Region, id: &str, key: &SigningKey) -> Answer {
    region
        .token(region.ask(id, key, HUB, "system/Observation.c"))
        .await
}

#[tokio::test]
async fn a_participant_and_its_client_are_there_from_the_next_request_on_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    let (own, theirs) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let new = client("hjemme-ny", NEW, theirs.public_jwk());
    let refused = send(&region, key, order("client", 0, &new, &[])).await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.body.to_string().contains("register it first"),
        "{}",
        refused.body
    );
    assert_eq!(
        ask(&region, "hjemme-ny", &theirs).await.error(),
        (401, "invalid_client")
    );

    let document = participant(NEW, "Testvik kommune", &own);
    let change = put(&region, key, order("participant", 0, &document, &[])).await;
    // The order stands in the list as its operator signed it.
    let signed = change["order"].as_str().unwrap();
    let compact = jws::parse(signed, jws::Embedded::Refused).unwrap();
    let said = jws::claims(compact.verify(key.public()).unwrap()).unwrap();
    assert_eq!(said["order"]["document"], document.to_string());
    put(&region, key, order("client", 0, &new, &[])).await;
    assert_eq!(ask(&region, "hjemme-ny", &theirs).await.status, 200);

    let region = operated.reopen(region, folder.path()).await;
    assert_eq!(ask(&region, "hjemme-ny", &theirs).await.status, 200);
    let all = verified(
        &region,
        &region.get("/participants").await,
        "delt-participant+jwt",
    )
    .await;
    let published = all.iter().find(|one| one["sub"] == NEW).unwrap();
    assert_eq!(published["version"], 1);
    assert_eq!(published["keys"][0]["x"], own.public_jwk()["x"]);
    assert_eq!(published["contacts"][0]["role"], "security");
    // Suspended, it is nobody; a new key written meanwhile does not bring it back.
    done(
        &region,
        key,
        "/operate/suspend",
        json!({"kind": "client", "id": "hjemme-ny", "reason": "tapt"}),
    )
    .await;
    let next = SigningKey::generate().unwrap();
    let changed = client("hjemme-ny", NEW, next.public_jwk());
    put(&region, key, order("client", 2, &changed, &[])).await;
    for one in [&theirs, &next] {
        assert_eq!(
            ask(&region, "hjemme-ny", one).await.error(),
            (401, "invalid_client")
        );
    }
    done(
        &region,
        key,
        "/operate/resume",
        json!({"kind": "client", "id": "hjemme-ny", "reason": "funnet"}),
    )
    .await;
    assert_eq!(
        ask(&region, "hjemme-ny", &theirs).await.error(),
        (401, "invalid_client")
    );
    assert_eq!(ask(&region, "hjemme-ny", &next).await.status, 200);
}

#[tokio::test]
async fn a_gateway_of_an_organisations_own_is_its_clients_and_no_other_is_it() {
    const OWN: &str = "http://127.0.0.1:7070/gateway-fjellvik/fhir";
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = Region::open_as(folder.path(), operated.keys.clone(), |config| {
        with(config, key);
        config.audiences.push(Audience {
            url: OWN.into(),
            owner: Some(org("310001007")),
            members: vec![],
            kind: AudienceKind::Gateway,
        });
    });
    let region = region.await;
    // One of the municipality, and one of somebody who has no gateway of its own.
    let clients = [
        ("delt-gateway-fjellvik", "310001007", OWN),
        ("delt-gateway-sorlia", "310001422", GATEWAY),
    ];
    let scope = "user/Observation.rs";
    let subjects = [
        (OWN, region.physicians_token(OWN, scope, &[]).await),
        (GATEWAY, region.physicians_token(GATEWAY, scope, &[]).await),
    ];
    for (id, orgnr, is) in clients {
        let own = SigningKey::generate().unwrap();
        let document = json!({
            "client_id": id, "orgnr": orgnr, "use": "gateway", "keys": [own.public_jwk()],
            "scopes": ["user/*.rs"], "audiences": [FJELLVIK],
        });
        put(&region, key, order("client", 0, &document, &[])).await;
        for (at, subject) in &subjects {
            let asked = region.exchange_by((id, &own), subject, FJELLVIK, scope);
            let answer = region.token(asked).await;
            if *at == is {
                assert_eq!(answer.status, 200, "{id} at {at}: {}", answer.body);
            } else {
                assert_eq!(answer.error(), (400, "invalid_request"), "{id} at {at}");
            }
        }
    }
    // The hospital's, by configuration, is not the municipality's either; and nothing but its own audience tells what a token is for.
    let answer = region.token(region.exchange(&subjects[0].1, FJELLVIK, scope));
    assert_eq!(answer.await.error(), (400, "invalid_request"));
    let claims = region.claims(&subjects[0].1, OWN).await;
    assert!(claims.agreement.is_none());
}

#[tokio::test]
async fn an_agreement_opens_only_when_both_have_signed_it() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    let (a, b) = with_keys(&region, key).await;
    // The configured agreement ends; only a new one opens Fjellvik again.
    let subject = region
        .physicians_token(GATEWAY, "user/Observation.rs", &[])
        .await;
    let exchange = async |region: &Region| {
        region
            .token(region.exchange(&subject, FJELLVIK, "user/Observation.rs"))
            .await
    };
    assert_eq!(exchange(&region).await.status, 200);
    done(
        &region,
        key,
        "/operate/end",
        json!({"kind": "agreement", "id": "AVT-1", "reason": "ny avtale"}),
    )
    .await;
    assert_eq!(exchange(&region).await.error(), (400, "invalid_target"));

    let mut document = agreement("AVT-2");
    document["provider"] = json!("310001007");
    put(&region, key, order("agreement", 0, &document, &[])).await;
    assert_eq!(exchange(&region).await.error(), (400, "invalid_target"));
    put(
        &region,
        key,
        order("agreement", 1, &document, &[sign(&document, &a)]),
    )
    .await;
    assert_eq!(exchange(&region).await.error(), (400, "invalid_target"));
    let (_, state) = document_of(&region, "AVT-2").await;
    assert_eq!(state["signed"], false);
    put(
        &region,
        key,
        order("agreement", 2, &document, &[sign(&document, &b)]),
    )
    .await;
    assert_eq!(exchange(&region).await.status, 200);
    let (version, state) = document_of(&region, "AVT-2").await;
    assert_eq!((version, &state["signed"]), (3, &json!(true)));
    let answer = operate(&region, key, "/operate/registered", Value::Null).await;
    let entries = verified(&region, &answer, "delt-entry+jwt").await;
    let entry = entries.iter().find(|one| one["id"] == "AVT-2").unwrap();
    assert_eq!(
        (&entry["version"], &entry["unsigned_by"]),
        (&json!(3), &json!([]))
    );
    assert_eq!(entry["signatures"].as_array().unwrap().len(), 2);

    // Other words, and the old signatures are worth nothing: closed until both sign anew.
    let first = document.clone();
    document["services"] = json!(["IT17", "IT03"]);
    put(&region, key, order("agreement", 3, &document, &[])).await;
    assert_eq!(exchange(&region).await.error(), (400, "invalid_target"));
    let both = [sign(&document, &a), sign(&document, &b)];
    put(&region, key, order("agreement", 4, &document, &both)).await;
    let region = operated.reopen(region, folder.path()).await;
    assert_eq!(exchange(&region).await.status, 200);
    // An operator who kept the signatures under the first words does not bring those back.
    let kept = [sign(&first, &a), sign(&first, &b)];
    for signatures in [&kept[..], &[]] {
        let back = order("agreement", 5, &first, signatures);
        assert_eq!(send(&region, key, back).await.status, 409);
    }
    done(
        &region,
        key,
        "/operate/end",
        json!({"kind": "agreement", "id": "AVT-2", "reason": "slutt"}),
    )
    .await;
    assert_eq!(exchange(&region).await.error(), (400, "invalid_target"));
    let again = send(&region, key, order("agreement", 6, &document, &both)).await;
    assert_eq!(again.status, 409, "{}", again.body);
}

async fn document_of(region: &Region, id: &str) -> (u64, Value) {
    let all = verified(
        region,
        &region.get("/agreements").await,
        "delt-agreement+jwt",
    )
    .await;
    let one = all.into_iter().find(|one| one["sub"] == id).unwrap();
    (one["version"].as_u64().unwrap(), one)
}

#[tokio::test]
async fn a_delegation_counts_when_its_giver_has_signed_and_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    let (_, b) = with_keys(&region, key).await;
    assert_eq!(hub(&region).await.status, 200);
    done(
        &region,
        key,
        "/operate/end",
        json!({"kind": "delegation", "id": "DEL-1", "reason": "ny"}),
    )
    .await;
    assert_eq!(hub(&region).await.error(), (400, "invalid_target"));
    let document =
        json!({"id": "DEL-2", "from": "310001007", "to": "310001287", "from_day": "2026-01-01"});
    put(&region, key, order("delegation", 0, &document, &[])).await;
    assert_eq!(hub(&region).await.error(), (400, "invalid_target"));
    put(
        &region,
        key,
        order("delegation", 1, &document, &[sign(&document, &b)]),
    )
    .await;
    assert_eq!(hub(&region).await.status, 200);
    done(
        &region,
        key,
        "/operate/end",
        json!({"kind": "delegation", "id": "DEL-2", "reason": "flyttet"}),
    )
    .await;
    assert_eq!(hub(&region).await.error(), (400, "invalid_target"));
}

#[tokio::test]
async fn bad_orders_are_refused_with_their_reason_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    let (a, _) = with_keys(&region, key).await;
    let own = SigningKey::generate().unwrap();
    let private: Value = serde_json::from_str(&own.to_private_jwk()).unwrap();
    let with = |mut document: Value, name: &str, value: Value| {
        document[name] = value;
        document
    };
    let home = client("hjemme-2", "310001007", own.public_jwk());
    let good = agreement("AVT-9");
    let other = agreement("AVT-8");
    let cases = [
        (
            "a private key",
            order("client", 0, &client("x", "310001007", private), &[]),
            422,
            "private",
        ),
        (
            "a number that is none",
            order("participant", 0, &participant("310001848x", "X", &own), &[]),
            400,
            "organisation number",
        ),
        (
            "an unknown use",
            order("client", 0, &with(home.clone(), "use", json!("lege")), &[]),
            422,
            "use",
        ),
        (
            "an unknown grant",
            order(
                "client",
                0,
                &with(home.clone(), "grants", json!(["password"])),
                &[],
            ),
            422,
            "grant",
        ),
        (
            "an unknown scope",
            order(
                "client",
                0,
                &with(home.clone(), "scopes", json!(["alt"])),
                &[],
            ),
            422,
            "scopes",
        ),
        (
            "a redirect to anywhere",
            order(
                "client",
                0,
                &with(home.clone(), "redirect_uris", json!(["http://x.example"])),
                &[],
            ),
            400,
            "redirect_uris",
        ),
        (
            "the operator's door",
            order(
                "client",
                0,
                &with(
                    home.clone(),
                    "audiences",
                    json!([format!("{ISSUER}/operate")]),
                ),
                &[],
            ),
            400,
            "operator",
        ),
        (
            "an unknown member",
            order(
                "agreement",
                0,
                &with(good.clone(), "signed", json!(true)),
                &[],
            ),
            400,
            "contract",
        ),
        (
            "a service that is none",
            order(
                "agreement",
                0,
                &with(good.clone(), "services", json!(["IT99"])),
                &[],
            ),
            422,
            "service",
        ),
        (
            "days that are none",
            order(
                "agreement",
                0,
                &with(good.clone(), "from", json!("01.01.2026")),
                &[],
            ),
            400,
            "yyyy-mm-dd",
        ),
        (
            "the last before the first",
            order(
                "agreement",
                0,
                &with(good.clone(), "to", json!("2025-12-31")),
                &[],
            ),
            400,
            "yyyy-mm-dd",
        ),
        (
            "a stranger",
            order(
                "agreement",
                0,
                &with(good.clone(), "provider", json!("310001635")),
                &[],
            ),
            400,
            "participant",
        ),
        (
            "a person's number",
            order(
                "agreement",
                0,
                &with(good.clone(), "terms", json!("om 14835210260")),
                &[],
            ),
            400,
            "11 digits",
        ),
        (
            "an id with a line break",
            order(
                "agreement",
                0,
                &with(good.clone(), "id", json!("a\nb")),
                &[],
            ),
            400,
            "id",
        ),
        (
            "another document's signature",
            order("agreement", 0, &good, &[sign(&other, &a)]),
            400,
            "signature",
        ),
        (
            "a stranger's signature",
            order("agreement", 0, &good, &[sign(&good, &own)]),
            400,
            "signature",
        ),
        (
            "an older version",
            order("participant", 1, &participant("310001074", "X", &own), &[]),
            412,
            "expects version 1 and it is 2",
        ),
        (
            "one that is not there",
            order("agreement", 4, &good, &[]),
            412,
            "it is 0",
        ),
        (
            "one's own client",
            order(
                "client",
                1,
                &client(OPERATOR, "310001287", own.public_jwk()),
                &[],
            ),
            409,
            "client you speak by",
        ),
        (
            "another's number as its unit",
            order(
                "participant",
                2,
                &with(
                    participant("310001074", "X", &own),
                    "units",
                    json!([{"orgnr": "310001007", "name": "Fjellvik"}]),
                ),
                &[],
            ),
            400,
            "stands twice",
        ),
        (
            "a signing key",
            order("signing-key", 0, &good, &[]),
            400,
            "addresses of their own",
        ),
    ];
    let before = operate(&region, key, "/operate/changes", Value::Null).await;
    for (what, order, status, words) in cases {
        let answer = send(&region, key, order).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        assert!(
            answer.body.to_string().contains(words),
            "{what}: {}",
            answer.body
        );
    }
    // Twice the same member in a document: what one reader sees another does not.
    let text = good
        .to_string()
        .replacen('{', r#"{"provider":"310001848","#, 1);
    let mut twice = order("agreement", 0, &good, &[]);
    twice["document"] = json!(text);
    assert_eq!(send(&region, key, twice).await.status, 400);
    // Not signed, by another key, for another address, too old, for another anchor.
    let said = |path: &str, iat: i64, aud: &str| json!({"aud": aud, "iat": iat, "path": path, "order": order("agreement", 0, &good, &[])});
    let path = "/operate/register";
    for (what, body, signer) in [
        ("another key", said(path, region.now(), ISSUER), &own),
        (
            "another address",
            said("/operate/end", region.now(), ISSUER),
            key,
        ),
        ("too old", said(path, region.now() - 71, ISSUER), key),
        (
            "another anchor",
            said(path, region.now(), "https://other.example"),
            key,
        ),
    ] {
        let text = jws::sign("delt-order+jwt", &body, signer).unwrap();
        let token = token(&region, key, OPERATOR, BOTH).await;
        let sent = request(&region, key, &token, "POST", path, &text);
        let answer = region.send(sent).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.body);
    }
    let bare = Request::post(path).body(Body::from("{}")).unwrap();
    assert_eq!(region.send(bare).await.status, 401);
    let after = operate(&region, key, "/operate/changes", Value::Null).await;
    assert_eq!(
        before.body.as_array().unwrap().len(),
        after.body.as_array().unwrap().len()
    );
}

#[tokio::test]
async fn two_operators_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    let own = SigningKey::generate().unwrap();
    let name = |name: &str| order("participant", 1, &participant("310001074", name, &own), &[]);
    let (one, other) = tokio::join!(
        send(&region, key, name("Prøveheim sykehus")),
        send(&region, key, name("Prøveheim HF")),
    );
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412], "{} {}", one.body, other.body);
    // About different things, both stand.
    let (one, other) = tokio::join!(
        send(
            &region,
            key,
            order("agreement", 0, &with_provider("AVT-3"), &[])
        ),
        send(
            &region,
            key,
            order("agreement", 0, &with_provider("AVT-4"), &[])
        ),
    );
    assert_eq!(
        (one.status.as_u16(), other.status.as_u16()),
        (200, 200),
        "{} {}",
        one.body,
        other.body
    );
    let (first, second) = (
        document_of(&region, "AVT-3").await,
        document_of(&region, "AVT-4").await,
    );
    assert_eq!((first.0, second.0), (1, 1));
}

fn with_provider(id: &str) -> Value {
    let mut document = agreement(id);
    document["provider"] = json!("310001007");
    document
}

#[tokio::test]
async fn what_the_law_refuses_is_not_registered() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let law = anchor::config::Law(Arc::new(|all: &wire::contract::register::Registered| {
        let lonely = all
            .collaborations
            .iter()
            .filter(|one| one.members.len() < 2);
        lonely
            .map(|one| format!("{} has one member alone", one.id))
            .collect()
    }));
    let region = Region::open_as(folder.path(), operated.keys.clone(), |config| {
        with(config, &operated.operator);
        config.law = Some(law);
    })
    .await;
    let (a, b) = with_keys(&region, key).await;
    let paper = |members: &[&str]| {
        json!({
            "id": "LOK-2", "register": "locator", "date": "2026-01-15", "scope": "hvem har hva",
            "controller_arrangement": "felles", "patients_rights": "hos alle", "exit_terms": "ut innen en dag",
            "members": members,
        })
    };
    let alone = paper(&["310001074"]);
    let answer = send(
        &region,
        key,
        order("collaboration", 0, &alone, &[sign(&alone, &a)]),
    )
    .await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(answer.body.to_string().contains("one member alone"));
    let two = paper(&["310001074", "310001007"]);
    let both = [sign(&two, &a), sign(&two, &b)];
    put(&region, key, order("collaboration", 0, &two, &both)).await;
    let (version, published) = document_of(&region, "LOK-2").await;
    assert_eq!((version, &published["kind"]), (1, &json!("locator")));
    assert_eq!(published["parties"], json!(["310001074", "310001007"]));
}
