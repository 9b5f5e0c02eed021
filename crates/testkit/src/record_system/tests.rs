//! The record system over real HTTP, with real tokens and proofs.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;
use crate::bench_load::Load;
use crate::bundle::{self, BundleKind, EntryAnswer};
use crate::clients::{Caller, now};
use crate::issuer::{Issuer, ProofKey, SystemClient};
use http::{HeaderName, HeaderValue, Method, header};
use std::net::Ipv4Addr;
use trust::ClientUse;
use wire::client::{Http, Policy, Request};

const ORGNR: &str = "310001007";

struct Standing {
    issuer: Issuer,
    key: ProofKey,
    folder: tempfile::TempDir,
    base: String,
    stop: wire::Stop,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn stand_in(folder: tempfile::TempDir, issuer: Issuer) -> Standing {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let base = format!("http://{}/fjellvik", listener.local_addr().unwrap());
    let stop = wire::Stop::new();
    let house = House {
        clock: Arc::new(now),
        pause: wire::stop::real_pause(),
        ids: Arc::new(uuid::Uuid::new_v4),
        http: Http::new(Policy::loopback()).unwrap(),
        data: folder.path().to_owned(),
        stop: stop.clone(),
        other_issuer: None,
    };
    let config = Config {
        orgnr: ORGNR.into(),
        base: base.clone(),
        issuer: issuer.url().into(),
        jwks_url: issuer.jwks_url(),
        data: folder.path().to_owned(),
        rules: Rules::default(),
    };
    let system = RecordSystem::open(&config, &house).unwrap();
    let task = tokio::spawn(serve(
        listener,
        vec![("fjellvik".into(), system)],
        stop.clone(),
    ));
    Standing {
        issuer,
        key: ProofKey::generate().unwrap(),
        folder,
        base,
        stop,
        task,
    }
}

impl Standing {
    async fn new() -> Self {
        stand_in(tempfile::tempdir().unwrap(), Issuer::start().await.unwrap()).await
    }

    async fn restart(self) -> Self {
        self.stop.stop();
        self.task.await.unwrap().unwrap();
        stand_in(self.folder, self.issuer).await
    }

    fn audience(&self) -> String {
        format!("{}/fhir", self.base)
    }

    fn token(&self, scope: &str) -> String {
        let audience = self.audience();
        let hub = SystemClient {
            client_id: "delt-hub",
            use_: ClientUse::Service,
            orgnr: "310001287",
        };
        let claims = self
            .issuer
            .system_claims(hub, &audience, scope, self.key.jkt(), now());
        self.issuer.sign(&claims.unwrap()).unwrap()
    }

    async fn post(&self, token: &str, proof: &str, body: Vec<u8>) -> crate::clients::Reply {
        let request = Request::post_fhir(self.audience(), body)
            .header(
                header::AUTHORIZATION,
                HeaderValue::try_from(format!("DPoP {token}")).unwrap(),
            )
            .header(
                HeaderName::from_static("dpop"),
                HeaderValue::try_from(proof).unwrap(),
            );
        Caller::new().unwrap().send_bare(request).await.unwrap()
    }

    async fn deliver(&self, bodies: &[Bytes]) -> Vec<EntryAnswer> {
        let token = self.token("system/Observation.c");
        let proof = self
            .key
            .proof(&Method::POST, &self.audience(), &token, now())
            .unwrap();
        let entries = bodies
            .iter()
            .enumerate()
            .map(|(n, body)| (format!("urn:uuid:{n}"), &body[..]));
        let reply = self
            .post(
                &token,
                &proof,
                bundle::write(BundleKind::Batch, "Observation", entries),
            )
            .await;
        assert_eq!(reply.status, 200, "{}", reply.json);
        bundle::read_answers(&reply.body, bodies.len()).unwrap()
    }

    async fn received(&self) -> Received {
        let request = Request::get(format!("{}/received", self.base));
        let reply = Caller::new().unwrap().send_bare(request).await.unwrap();
        serde_json::from_slice(&reply.body).unwrap()
    }
}

fn readings(count: u64) -> Vec<Bytes> {
    let load = Load::new(
        11,
        3,
        "2026-11-20".parse().unwrap(),
        ORGNR,
        "Fjellvik kommune",
    );
    (0..count).map(|n| load.reading(n).unwrap().body).collect()
}

fn statuses(answers: &[EntryAnswer]) -> Vec<u16> {
    answers.iter().map(|a| a.status).collect()
}

fn corrected(body: &Bytes, status: &str) -> Bytes {
    let text = std::str::from_utf8(body).unwrap();
    let changed = text.replace("\"status\":\"final\"", &format!("\"status\":\"{status}\""));
    assert_ne!(text, changed);
    changed.into_bytes().into()
}

#[tokio::test]
async fn a_delivery_is_taken_once_and_known_again_after_a_restart() {
    let standing = Standing::new().await;
    let readings = readings(5);
    assert_eq!(statuses(&standing.deliver(&readings).await), [201; 5]);
    assert_eq!(statuses(&standing.deliver(&readings[..2]).await), [200; 2]);
    // Doubled within one bundle.
    let new = self::readings(6).pop().unwrap();
    assert_eq!(
        statuses(&standing.deliver(&[new.clone(), new.clone()]).await),
        [201, 200]
    );
    let before = standing.received().await;
    assert_eq!((before.readings, before.lines), (6, 6));
    let standing = standing.restart().await;
    assert_eq!(standing.received().await, before);
    assert_eq!(statuses(&standing.deliver(&readings).await), [200; 5]);
    assert_eq!(standing.received().await, before);
}

#[tokio::test]
async fn a_correction_is_a_new_line_and_another_content_is_refused() {
    let standing = Standing::new().await;
    let reading = readings(1).pop().unwrap();
    standing.deliver(std::slice::from_ref(&reading)).await;
    assert_eq!(
        statuses(
            &standing
                .deliver(&[corrected(&reading, "preliminary")])
                .await
        ),
        [422]
    );
    assert_eq!(
        statuses(&standing.deliver(&[corrected(&reading, "corrected")]).await),
        [201]
    );
    // The first content again is the first answer again.
    assert_eq!(statuses(&standing.deliver(&[reading]).await), [200]);
    let received = standing.received().await;
    assert_eq!((received.readings, received.lines), (1, 2));
}

#[tokio::test]
async fn one_bad_entry_costs_only_itself() {
    let standing = Standing::new().await;
    let mut bodies = readings(3);
    bodies[1] = Bytes::from_static(br#"{"resourceType":"Observation","status":"sometimes"}"#);
    let answers = standing.deliver(&bodies).await;
    assert_eq!(statuses(&answers), [201, 422, 201]);
    assert!(
        answers[1]
            .outcome
            .as_ref()
            .unwrap()
            .to_string()
            .contains("Bundle.entry[1].resource.status")
    );
}

#[tokio::test]
async fn without_token_scope_or_a_fresh_proof_nothing_is_taken() {
    let standing = Standing::new().await;
    let body = || {
        bundle::write(
            BundleKind::Batch,
            "Observation",
            [("urn:uuid:1".to_owned(), &readings(1)[0][..])],
        )
    };
    let bare = Caller::new()
        .unwrap()
        .send_bare(Request::post_fhir(standing.audience(), body()))
        .await
        .unwrap();
    assert_eq!(bare.status, 401);
    let narrow = standing.token("system/Observation.r");
    let proof = standing
        .key
        .proof(&Method::POST, &standing.audience(), &narrow, now())
        .unwrap();
    assert_eq!(standing.post(&narrow, &proof, body()).await.status, 403);
    let token = standing.token("system/Observation.c");
    let elsewhere = standing
        .key
        .proof(
            &Method::POST,
            &format!("{}/other", standing.base),
            &token,
            now(),
        )
        .unwrap();
    assert_eq!(standing.post(&token, &elsewhere, body()).await.status, 401);
    assert_eq!(standing.received().await.lines, 0);
    let proof = standing
        .key
        .proof(&Method::POST, &standing.audience(), &token, now())
        .unwrap();
    assert_eq!(standing.post(&token, &proof, body()).await.status, 200);
    assert_eq!(
        standing.post(&token, &proof, body()).await.status,
        401,
        "a proof counts once"
    );
    assert_eq!(standing.received().await.lines, 1);
}

#[tokio::test]
async fn bad_bodies_are_refused_in_words() {
    let standing = Standing::new().await;
    let token = standing.token("system/Observation.c");
    for (body, status) in [
        (b"{".to_vec(), 400),
        (
            br#"{"resourceType":"Bundle","type":"collection"}"#.to_vec(),
            400,
        ),
        (br#"{"resourceType":"Observation"}"#.to_vec(), 400),
    ] {
        let proof = standing
            .key
            .proof(&Method::POST, &standing.audience(), &token, now())
            .unwrap();
        let reply = standing.post(&token, &proof, body).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.json["resourceType"], "OperationOutcome");
    }
}

#[test]
fn an_unfinished_last_line_goes_and_a_damaged_line_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let whole = "{\"received\":1,\"identity\":\"ab\",\"digest\":\"".to_owned()
        + &"00".repeat(32)
        + "\",\"resource\":{}}\n";
    std::fs::write(&path, format!("{whole}{{\"received\":2,\"ident")).unwrap();
    let (_, book) = open_book(&path).unwrap();
    assert_eq!(book.readings.len(), 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
    std::fs::write(&path, format!("{whole}nonsense\n{whole}")).unwrap();
    assert!(matches!(open_book(&path), Err(OpenError::Damaged(2))));
}

/// A notification of one event, as a member's service signs it.
fn notification(number: u64) -> Vec<u8> {
    let parameter = |name: &str, member: &str, value: serde_json::Value| serde_json::json!({"name": name, member: value});
    let subscription = serde_json::json!({"reference": "http://service.test/Subscription/1"});
    let event = serde_json::json!({"name": "notification-event", "part": [
        parameter("event-number", "valueString", number.to_string().into()),
    ]});
    let status = serde_json::json!({"resourceType": "Parameters", "parameter": [
        parameter("subscription", "valueReference", subscription),
        parameter("type", "valueCode", "event-notification".into()),
        event,
    ]});
    let told = serde_json::json!({"resourceType": "Bundle", "entry": [{"resource": status}]});
    told.to_string().into_bytes()
}

#[tokio::test]
async fn an_event_that_is_told_again_because_its_answer_was_lost_is_kept_once_also_after_a_restart()
{
    let standing = Standing::new().await;
    let signer = trust::keys::SigningKey::generate().unwrap();
    let member = wire::contract::anchor::Participant {
        iss: standing.issuer.url().into(),
        sub: ORGNR.into(),
        iat: now().seconds(),
        name: ORGNR.into(),
        version: 1,
        state: Default::default(),
        units: Vec::new(),
        keys: vec![signer.public_jwk()],
        contacts: Vec::new(),
    };
    standing.issuer.vouch(&[member], &[]).unwrap();
    let tell = async |standing: &Standing, number: u64| {
        let body = notification(number);
        let typ = wire::contract::sharing::NOTIFICATION_TYP;
        let signature = trust::jws::sign_detached(typ, &body, &signer).unwrap();
        let name = HeaderName::from_static(wire::contract::sharing::NOTIFICATION_SIGNATURE_HEADER);
        let url = format!("{}/notified", standing.base);
        let request =
            Request::post_fhir(url, body).header(name, HeaderValue::try_from(signature).unwrap());
        Caller::new()
            .unwrap()
            .send_bare(request)
            .await
            .unwrap()
            .status
            .as_u16()
    };
    let kept = |standing: &Standing| {
        let text = std::fs::read_to_string(standing.folder.path().join(NOTIFIED)).unwrap();
        let each = text
            .lines()
            .map(|line| serde_json::from_str::<Noted>(line).unwrap());
        each.map(|one| one.number.unwrap()).collect::<Vec<_>>()
    };
    for number in [1, 1, 2, 1] {
        assert_eq!(
            tell(&standing, number).await,
            204,
            "a repeat is taken and ignored"
        );
    }
    assert_eq!(kept(&standing), [1, 2]);
    let standing = standing.restart().await;
    for number in [2, 3] {
        assert_eq!(tell(&standing, number).await, 204);
    }
    assert_eq!(kept(&standing), [1, 2, 3]);
}
