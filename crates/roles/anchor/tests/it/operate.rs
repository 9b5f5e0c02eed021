//! The anchor in operation: suspension, its end, early ends, the list of changes, and a change of signing keys, as
//! operators, clients and strangers see them; with a restart in between.

use crate::journey::PHYSICIAN;
use crate::region::*;
use anchor::config::{AgreementKind, Client, Config, Grant, Paper};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::Ordering;
use trust::audit::Outcome;
use trust::encoding::sha256_base64url;
use trust::keys::{KeySet, SigningKey};
use trust::scope::Scopes;
use trust::{ClientUse, Interaction, dpop, jws};

const OPERATION: &str = "http://127.0.0.1:7070/anchor/operate";
pub const OPERATOR: &str = "operator-natt";
const OTHER_OPERATOR: &str = "operator-dag";
pub const BOTH: &str = "system/Change.cr";

/// A region with an operator organisation (NordDrift) and two operator clients; the keys survive a restart.
#[derive(Clone)]
pub struct Operated {
    pub keys: Keys,
    pub operator: SigningKey,
}

impl Operated {
    pub fn new() -> Operated {
        Operated {
            keys: Keys::new(),
            operator: SigningKey::generate().unwrap(),
        }
    }

    pub async fn open(&self, folder: &Path) -> Region {
        let operator = self.operator.clone();
        Region::open_as(folder, self.keys.clone(), |config| with(config, &operator)).await
    }

    /// The same after a restart, ten seconds later.
    pub async fn reopen(&self, region: Region, folder: &Path) -> Region {
        let now = region.now();
        drop(region);
        let region = self.open(folder).await;
        region.clock.store(now + 10, Ordering::SeqCst);
        region
    }
}

pub fn with(config: &mut Config, key: &SigningKey) {
    config.operator = Some(org("310001287"));
    for id in [OPERATOR, OTHER_OPERATOR] {
        config.clients.push(Client {
            client_id: id.into(),
            orgnr: org("310001287"),
            use_: ClientUse::Operator,
            keys: KeySet::of(vec![key.public().clone()]).unwrap(),
            scopes: Scopes::parse(BOTH).unwrap(),
            identity: vec![],
            grants: vec![Grant::ClientCredentials],
            redirect_uris: vec![],
            post_logout_redirect_uris: vec![],
            audiences: vec![OPERATION.into()],
            own_audience: None,
        });
    }
}

pub fn request(
    region: &Region,
    key: &SigningKey,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Request<Body> {
    let path_only = path.split('?').next().unwrap();
    let url = format!("{ISSUER}{path_only}");
    // An order is signed as a whole; what is no JSON is sent as it is.
    let body = match serde_json::from_str::<Value>(body) {
        Ok(order) => {
            let said =
                json!({"aud": ISSUER, "iat": region.now(), "path": path_only, "order": order});
            jws::sign("delt-order+jwt", &said, key).unwrap()
        }
        Err(_) => body.to_owned(),
    };
    let proof = dpop::prove(
        key,
        method,
        &url,
        Some(&dpop::ath(token)),
        region.now(),
        &region.jti(),
    );
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("DPoP {token}"))
        .header("dpop", proof.unwrap())
        .header("content-type", "application/jose")
        .body(Body::from(body))
        .unwrap()
}

pub async fn token(region: &Region, key: &SigningKey, client: &str, scope: &str) -> String {
    let answer = region
        .token(region.ask(client, key, OPERATION, scope))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["access_token"].as_str().unwrap().to_owned()
}

/// One request of the operator, with a token of its own.
pub async fn operate(region: &Region, key: &SigningKey, path: &str, body: Value) -> Answer {
    let method = if body.is_null() { "GET" } else { "POST" };
    let token = token(region, key, OPERATOR, BOTH).await;
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    region
        .send(request(region, key, &token, method, path, &text))
        .await
}

pub async fn done(region: &Region, key: &SigningKey, path: &str, body: Value) -> Vec<Value> {
    let answer = operate(region, key, path, body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    verified(region, &answer, "delt-change+jwt").await
}

/// The claims of signed documents, each verified with the keys published now.
pub async fn verified(region: &Region, answer: &Answer, typ: &str) -> Vec<Value> {
    let keys = region.keys().await;
    let one = |text: &Value| {
        let compact = jws::parse(text.as_str().unwrap(), jws::Embedded::Refused).unwrap();
        compact.require_typ(typ).unwrap();
        Value::Object(jws::claims(compact.verify_with(&keys).unwrap()).unwrap())
    };
    answer.body.as_array().unwrap().iter().map(one).collect()
}

pub async fn document(region: &Region, path: &str, typ: &str, sub: &str) -> (u64, String) {
    let all = verified(region, &region.get(path).await, typ).await;
    let one = all.iter().find(|one| one["sub"] == sub).unwrap();
    let state = one["state"].as_str().unwrap().to_owned();
    (one["version"].as_u64().unwrap(), state)
}

fn order(kind: &str, id: &str) -> Value {
    json!({"kind": kind, "id": id, "reason": "nøkkelen er på avveie"})
}

async fn home(region: &Region) -> Answer {
    region
        .token(region.ask(
            "hjemmesystem-fjellvik",
            &region.home,
            HUB,
            "system/Observation.c",
        ))
        .await
}

pub async fn hub(region: &Region) -> Answer {
    region
        .token(region.ask("delt-hub", &region.hub, FJELLVIK, "system/Observation.c"))
        .await
}

async fn exchange(region: &Region, subject: &str, resource: &str) -> Answer {
    region
        .token(region.exchange(subject, resource, "user/Observation.rs"))
        .await
}

#[tokio::test]
async fn a_suspended_client_is_nobody_until_it_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    assert_eq!(home(&region).await.status, 200);
    let unknown = region
        .token(region.ask("finnes-ikke", &region.home, HUB, "system/Observation.c"))
        .await;
    let changes = done(
        &region,
        key,
        "/operate/suspend",
        order("client", "hjemmesystem-fjellvik"),
    )
    .await;
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0]["client_id"], OPERATOR);
    for _ in 0..2 {
        let refused = home(&region).await;
        assert_eq!(refused.error(), (401, "invalid_client"));
        assert_eq!(refused.body, unknown.body);
        assert_eq!(hub(&region).await.status, 200);
    }
    // Durable; and what was refused is on record under the client's name.
    let region = operated.reopen(region, folder.path()).await;
    assert_eq!(home(&region).await.error(), (401, "invalid_client"));
    let records = region.audited().await;
    let refused = records.iter().filter(|one| {
        one.client.as_deref() == Some("hjemmesystem-fjellvik")
            && matches!(&one.outcome, Outcome::Unauthenticated { code } if code == "invalid_client")
    });
    assert_eq!(refused.count(), 3);
    assert!(
        records
            .iter()
            .any(|one| one.interaction == Interaction::Operate
                && one.asked.contains("Client hjemmesystem-fjellvik")
                && one.client.as_deref() == Some(OPERATOR))
    );
    done(
        &region,
        key,
        "/operate/resume",
        order("client", "hjemmesystem-fjellvik"),
    )
    .await;
    assert_eq!(home(&region).await.status, 200);
}

#[tokio::test]
async fn a_suspended_participant_neither_reads_nor_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    let subject = region
        .physicians_token(GATEWAY, "user/Observation.rs", &[])
        .await;
    assert_eq!(exchange(&region, &subject, FJELLVIK).await.status, 200);
    // The provider: what others read there by agreement ends, what they read elsewhere does not.
    done(
        &region,
        key,
        "/operate/suspend",
        order("participant", "310001007"),
    )
    .await;
    assert_eq!(
        exchange(&region, &subject, FJELLVIK).await.error(),
        (400, "invalid_target")
    );
    assert_eq!(exchange(&region, &subject, PROVEHEIM).await.status, 200);
    assert_eq!(home(&region).await.error(), (401, "invalid_client"));
    // Its patients' readings still reach its own store.
    assert_eq!(hub(&region).await.status, 200);
    let state = document(
        &region,
        "/participants",
        "delt-participant+jwt",
        "310001007",
    )
    .await;
    assert_eq!(state, (2, "suspended".into()));
    done(
        &region,
        key,
        "/operate/resume",
        order("participant", "310001007"),
    )
    .await;
    assert_eq!(exchange(&region, &subject, FJELLVIK).await.status, 200);
    let state = document(
        &region,
        "/participants",
        "delt-participant+jwt",
        "310001007",
    )
    .await;
    assert_eq!(state, (3, "active".into()));
    // The consumer: its gateway is nobody, and nobody else's gateway may use its people's tokens.
    done(
        &region,
        key,
        "/operate/suspend",
        order("participant", "310001074"),
    )
    .await;
    assert_eq!(
        exchange(&region, &subject, PROVEHEIM).await.error(),
        (401, "invalid_client")
    );
    let other = region
        .test_token(&region.order(GATEWAY, "user/Observation.rs"))
        .await;
    assert_eq!(other.error(), (400, "invalid_request"));
}

#[tokio::test]
async fn one_key_of_a_client_agreements_and_delegations() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let fresh = SigningKey::generate().unwrap();
    let (public, operator) = (fresh.public().clone(), key.clone());
    let region = Region::open_as(folder.path(), operated.keys.clone(), move |config| {
        with(config, &operator);
        let hub = config
            .clients
            .iter_mut()
            .find(|one| one.client_id == "delt-hub");
        let hub = hub.unwrap();
        hub.keys = KeySet::of([hub.keys.keys(), &[public]].concat()).unwrap();
    })
    .await;
    let mut stolen = order("client-key", "delt-hub");
    stolen["kid"] = region.hub.kid().into();
    done(&region, key, "/operate/suspend", stolen).await;
    assert_eq!(hub(&region).await.error(), (401, "invalid_client"));
    let by_fresh = region.ask("delt-hub", &fresh, FJELLVIK, "system/Observation.c");
    assert_eq!(region.token(by_fresh).await.status, 200);

    done(
        &region,
        key,
        "/operate/suspend",
        order("delegation", "DEL-1"),
    )
    .await;
    let by_fresh = region.ask("delt-hub", &fresh, FJELLVIK, "system/Observation.c");
    assert_eq!(
        region.token(by_fresh).await.error(),
        (400, "invalid_target")
    );
    done(
        &region,
        key,
        "/operate/resume",
        order("delegation", "DEL-1"),
    )
    .await;
    let by_fresh = region.ask("delt-hub", &fresh, FJELLVIK, "system/Observation.c");
    let answer = region.token(by_fresh).await;
    let text = answer.body["access_token"].as_str().unwrap();
    let claims = region.claims(text, FJELLVIK).await;
    assert_eq!(claims.delegation.unwrap().version, 3);

    let subject = region
        .physicians_token(GATEWAY, "user/Observation.rs", &[])
        .await;
    assert_eq!(exchange(&region, &subject, FJELLVIK).await.status, 200);
    done(&region, key, "/operate/end", order("agreement", "AVT-1")).await;
    assert_eq!(
        exchange(&region, &subject, FJELLVIK).await.error(),
        (400, "invalid_target")
    );
    let state = document(&region, "/agreements", "delt-agreement+jwt", "AVT-1").await;
    assert_eq!(state, (3, "ended".into()));
    let again = operate(&region, key, "/operate/resume", order("agreement", "AVT-1")).await;
    assert_eq!(again.status, 409);
}

#[tokio::test]
async fn papers_that_no_token_depends_on_end_and_are_not_suspended() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let operator = key.clone();
    let paper = |id: &str, kind, processor: Option<&str>| Paper {
        id: id.into(),
        version: 1,
        kind,
        parties: vec![org("310001007")],
        processor: processor.map(org),
        services: vec![],
        from: "2026-01-01".into(),
        until: None,
        signed: true,
    };
    let papers = vec![
        paper("DBA-1", AgreementKind::DataProcessing, Some("310001074")),
        paper("LOK-1", AgreementKind::Locator, None),
    ];
    let region = Region::open_as(folder.path(), operated.keys.clone(), move |config| {
        with(config, &operator);
        config.papers = papers;
    })
    .await;
    let kinds = [
        ("processing-agreement", "DBA-1"),
        ("collaboration", "LOK-1"),
    ];
    for (kind, id) in kinds {
        for action in ["suspend", "resume"] {
            let path = format!("/operate/{action}");
            let answer = operate(&region, key, &path, order(kind, id)).await;
            assert_eq!(answer.status, 400, "{action} {kind}");
        }
        let typ = "delt-agreement+jwt";
        assert_eq!(
            document(&region, "/agreements", typ, id).await,
            (1, "active".into())
        );
        done(&region, key, "/operate/end", order(kind, id)).await;
        assert_eq!(
            document(&region, "/agreements", typ, id).await,
            (2, "ended".into())
        );
        let again = operate(&region, key, "/operate/end", order(kind, id)).await;
        assert_eq!(again.status, 409);
    }
    // Each by its own kind, and nothing that is not there.
    for (kind, id) in [
        ("processing-agreement", "LOK-1"),
        ("collaboration", "LOK-2"),
    ] {
        let answer = operate(&region, key, "/operate/end", order(kind, id)).await;
        assert_eq!(answer.status, 404, "{kind} {id}");
    }
}

#[tokio::test]
async fn the_list_grows_by_its_own_hash_and_survives() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    done(
        &region,
        key,
        "/operate/suspend",
        order("client", "delt-hub"),
    )
    .await;
    done(&region, key, "/operate/resume", order("client", "delt-hub")).await;
    let region = operated.reopen(region, folder.path()).await;
    done(
        &region,
        key,
        "/operate/suspend",
        order("agreement", "AVT-1"),
    )
    .await;
    let answer = operate(&region, key, "/operate/changes", Value::Null).await;
    let all = verified(&region, &answer, "delt-change+jwt").await;
    let did: Vec<_> = all
        .iter()
        .map(|one| one["action"].as_str().unwrap())
        .collect();
    assert_eq!(did, ["suspend", "resume", "suspend"]);
    let mut previous = None;
    for (at, (text, claims)) in (1..).zip(answer.body.as_array().unwrap().iter().zip(&all)) {
        assert_eq!(claims["sequence"], at);
        assert_eq!(claims["previous"].as_str().map(str::to_owned), previous);
        let payload = text.as_str().unwrap().split('.').nth(1).unwrap();
        let payload = trust::encoding::from_base64url(payload).unwrap();
        previous = Some(sha256_base64url(&payload));
    }
    assert_eq!(
        done(&region, key, "/operate/changes?after=2", Value::Null)
            .await
            .len(),
        1
    );
    let odd = operate(&region, key, "/operate/changes?page=2", Value::Null).await;
    assert_eq!(odd.status, 400);
}

#[tokio::test]
async fn only_an_operator_of_the_anchors_own_organisation_operates() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    let body = order("client", "hjemmesystem-fjellvik").to_string();
    let bare = Request::post("/operate/suspend").body(Body::from(body.clone()));
    assert_eq!(region.send(bare.unwrap()).await.status, 401);
    // Another client gets no token for the operation, and a token for elsewhere opens nothing here.
    let other = region.ask("delt-hub", &region.hub, OPERATION, BOTH);
    assert_eq!(region.token(other).await.error(), (400, "invalid_target"));
    let elsewhere = hub(&region).await.body["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let sent = request(
        &region,
        &region.hub,
        &elsewhere,
        "POST",
        "/operate/suspend",
        &body,
    );
    assert_eq!(region.send(sent).await.status, 401);
    // A test token for the operation is no operator's.
    let forged = region
        .test_token(&region.order(OPERATION, "user/*.rs"))
        .await;
    if let Some(token) = forged.body["access_token"].as_str() {
        let sent = request(
            &region,
            &region.user,
            token,
            "POST",
            "/operate/suspend",
            &body,
        );
        assert_eq!(region.send(sent).await.status, 403);
    }
    // A right to read is none to change; a proof counts once, and for its own request.
    let reads = token(&region, key, OPERATOR, "system/Change.r").await;
    let sent = request(&region, key, &reads, "POST", "/operate/suspend", &body);
    assert_eq!(region.send(sent).await.status, 403);
    let changes = token(&region, key, OPERATOR, BOTH).await;
    let stolen = request(
        &region,
        &region.hub,
        &changes,
        "POST",
        "/operate/suspend",
        &body,
    );
    assert_eq!(region.send(stolen).await.status, 401);
    let sent = request(&region, key, &changes, "GET", "/operate/changes", "");
    let proof = sent.headers()["dpop"].clone();
    assert_eq!(region.send(sent).await.status, 200);
    let mut again = request(&region, key, &changes, "GET", "/operate/changes", "");
    again.headers_mut().insert("dpop", proof);
    assert_eq!(region.send(again).await.status, 401);
    assert_eq!(home(&region).await.status, 200);
    // A suspended operator's token is worth nothing from the next request on.
    done(
        &region,
        key,
        "/operate/suspend",
        order("client", OTHER_OPERATOR),
    )
    .await;
    let refused = region.ask(OTHER_OPERATOR, key, OPERATION, BOTH);
    assert_eq!(region.token(refused).await.error(), (401, "invalid_client"));
    let records = region.audited().await;
    let refused = |one: &&trust::audit::Record| {
        one.interaction == Interaction::Operate && !matches!(one.outcome, Outcome::Allowed)
    };
    assert!(records.iter().filter(refused).count() >= 3);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    let mut person = order("client", "delt-hub");
    person["reason"] = "gjelder 148352 10260".into();
    let mut empty = order("client", "delt-hub");
    empty["reason"] = " ".into();
    let mut keyed = order("agreement", "AVT-1");
    keyed["kid"] = "x".into();
    for (path, body, status) in [
        ("/operate/suspend", order("client", "finnes-ikke"), 404),
        ("/operate/suspend", order("participant", "310001902"), 404),
        ("/operate/suspend", order("participant", "kommunen"), 400),
        ("/operate/suspend", order("agreement", "AVT-9"), 404),
        ("/operate/suspend", order("delegation", "DEL-9"), 404),
        ("/operate/suspend", order("client-key", "delt-hub"), 400),
        ("/operate/suspend", order("signing-key", "x"), 400),
        ("/operate/suspend", order("patient", "x"), 400),
        ("/operate/suspend", keyed, 400),
        ("/operate/suspend", person, 400),
        ("/operate/suspend", empty, 400),
        // Nobody locks the door behind which the keys lie.
        ("/operate/suspend", order("client", OPERATOR), 409),
        ("/operate/suspend", order("participant", "310001287"), 409),
        ("/operate/resume", order("client", "delt-hub"), 409),
        ("/operate/end", order("client", "delt-hub"), 400),
        (
            "/operate/remove-key",
            json!({"reason": "x", "kid": "ukjent"}),
            404,
        ),
        ("/operate/remove-key", json!({"reason": "x"}), 400),
        (
            "/operate/rotate-key",
            json!({"reason": "x", "kid": "y"}),
            400,
        ),
    ] {
        let text = body.to_string();
        let answer = operate(&region, key, path, body).await;
        assert_eq!(answer.status, status, "{path} {text}: {}", answer.body);
    }
    let none = done(&region, key, "/operate/changes", Value::Null).await;
    assert!(none.is_empty());
}

async fn kid_of_a_token(region: &Region) -> String {
    let answer = home(region).await;
    let text = answer.body["access_token"].as_str().unwrap();
    let compact = jws::parse(text, jws::Embedded::Refused).unwrap();
    assert!(compact.verify_with(&region.keys().await).is_ok());
    compact.header.kid.clone().unwrap()
}

#[tokio::test]
async fn a_new_key_signs_when_everybody_has_it_and_the_old_one_stays_until_its_tokens_end() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    let old = kid_of_a_token(&region).await;
    let changes = done(
        &region,
        key,
        "/operate/rotate-key",
        json!({"reason": "årlig"}),
    )
    .await;
    let new = changes[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(changes[0]["from"], NOW + 600);
    assert_eq!(region.keys().await.keys().len(), 2);
    assert_eq!(kid_of_a_token(&region).await, old);
    let twice = operate(
        &region,
        key,
        "/operate/rotate-key",
        json!({"reason": "igjen"}),
    )
    .await;
    assert_eq!(twice.status, 409);
    region.clock.store(NOW + 599, Ordering::SeqCst);
    assert_eq!(kid_of_a_token(&region).await, old);
    let subject = region
        .physicians_token(GATEWAY, "user/Observation.rs", &[])
        .await;
    region.clock.store(NOW + 600, Ordering::SeqCst);
    assert_eq!(kid_of_a_token(&region).await, new);
    // A token of the old key is still good for all it was good for.
    assert_eq!(exchange(&region, &subject, FJELLVIK).await.status, 200);
    document(&region, "/agreements", "delt-agreement+jwt", "AVT-1").await;
    let region = operated.reopen(region, folder.path()).await;
    region.clock.store(NOW + 899, Ordering::SeqCst);
    assert_eq!(region.keys().await.keys().len(), 2);
    region.clock.store(NOW + 1000, Ordering::SeqCst);
    assert_eq!(kid_of_a_token(&region).await, new);
    assert_eq!(region.keys().await.keys().len(), 1);
    region.state.sweep().await.unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap();
    let names = files.map(|one| one.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("signing-key")).count(), 1);
}

#[tokio::test]
async fn a_key_that_others_have_is_gone_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    let old = kid_of_a_token(&region).await;
    let subject = region
        .physicians_token(GATEWAY, "user/Observation.rs", &[])
        .await;
    let order = json!({"kid": old, "reason": "maskinen er stjålet"});
    let changes = done(&region, key, "/operate/remove-key", order).await;
    let did: Vec<_> = changes
        .iter()
        .map(|one| one["action"].as_str().unwrap())
        .collect();
    assert_eq!(did, ["publish", "remove"]);
    let keys = region.keys().await;
    assert_eq!(keys.keys().len(), 1);
    assert!(keys.find(Some(&old)).is_none());
    assert_eq!(
        exchange(&region, &subject, FJELLVIK).await.error(),
        (400, "invalid_request")
    );
    let new = kid_of_a_token(&region).await;
    assert_ne!(new, old);
    let region = operated.reopen(region, folder.path()).await;
    assert_eq!(kid_of_a_token(&region).await, new);
    document(
        &region,
        "/participants",
        "delt-participant+jwt",
        "310001007",
    )
    .await;
}

#[tokio::test]
async fn a_sign_in_ends_with_its_client_and_comes_back_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    let signed_in = region.signed_in().await;
    let refresh = signed_in["refresh_token"].as_str().unwrap();
    let access = signed_in["access_token"].as_str().unwrap();
    let code = region.code_for(region.push(), PHYSICIAN).await;
    for suspended in [order("client", JOURNAL), order("participant", "310001074")] {
        done(&region, key, "/operate/suspend", suspended.clone()).await;
        let nobody = (401, "invalid_client");
        assert_eq!(region.token(region.renew(refresh)).await.error(), nobody);
        assert_eq!(region.token(region.redeem(&code)).await.error(), nobody);
        assert_eq!(region.post("/par", region.push()).await.error(), nobody);
        // Nor does a gateway get anything for the token that is out: its own organisation's, or another's.
        let exchanged = region.token(region.exchange_at_fjellvik(access)).await;
        assert!(exchanged.status.is_client_error(), "{}", exchanged.body);
        done(&region, key, "/operate/resume", suspended).await;
    }
    // What stood before stands again: nothing was used up by the refusals.
    assert_eq!(region.token(region.redeem(&code)).await.status, 200);
    assert_eq!(region.token(region.renew(refresh)).await.status, 200);
    let exchanged = region.token(region.exchange_at_fjellvik(access)).await;
    assert_eq!(exchanged.status, 200, "{}", exchanged.body);
}

#[tokio::test]
async fn an_order_counts_although_its_sender_hangs_up() {
    let folder = tempfile::tempdir().unwrap();
    let operated = Operated::new();
    let key = &operated.operator;
    let region = operated.open(folder.path()).await;
    let token = token(&region, key, OPERATOR, BOTH).await;
    let body = order("client", "hjemmesystem-fjellvik").to_string();
    let sent = request(&region, key, &token, "POST", "/operate/suspend", &body);
    {
        let sending = std::pin::pin!(region.send(sent));
        assert!(futures::poll!(sending).is_pending());
    }
    let mut asked = 0;
    while home(&region).await.status == 200 {
        asked += 1;
        assert!(asked < 1000, "the order was lost");
    }
}
