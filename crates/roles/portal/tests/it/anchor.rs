//! The fake's anchor for launches: pushed requests, codes and renewals from memory. It checks what the real one checks of the portal:
//! a proof by one key throughout, PKCE, the exact redirect URI.

use std::sync::{Arc, Mutex, OnceLock};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use testkit::people::{Directory, Patient};
use trust::encoding::sha256_base64url;
use trust::keys::SigningKey;
use wire::form::Form;

use crate::BASE;
use crate::fake::Fake;

/// What the fake's anchor remembers.
#[derive(Default)]
pub struct Launches {
    /// Forms that were pushed, each with the key that proved it. The last one's code is its number.
    pub pushed: Mutex<Vec<(Form, String)>>,
    /// Refresh tokens asked with.
    pub renewed: Mutex<Vec<String>>,
    /// Tokens that were revoked.
    pub revoked: Mutex<Vec<String>>,
    /// The OAuth error that pushed requests or renewals get.
    pub refusing: Mutex<Option<&'static str>>,
    /// Who signs in.
    pub person: Mutex<Person>,
    /// Signs ID tokens, if another than it publishes.
    pub signer: Mutex<Option<SigningKey>>,
    /// Claims of ID tokens besides the others, or in their place.
    pub claims: Mutex<Vec<(&'static str, Value)>>,
    /// What a renewal waits for, and that one is waiting.
    pub gate: Mutex<Option<Arc<Gate>>>,
    /// Number of the patient whom it attests, if another than was asked for.
    pub about: Mutex<Option<String>>,
    /// Audience and scope of each token, where the request named an audience by `resource`.
    pub given: Mutex<Vec<(String, String)>>,
    /// Another issuer that the SMART configuration names.
    pub other_issuer: Mutex<Option<&'static str>>,
}

/// Where a renewal waits.
#[derive(Default)]
pub struct Gate {
    /// One came.
    pub came: tokio::sync::Notify,
    /// It may go on.
    pub open: tokio::sync::Notify,
}

/// Id of a practitioner; the GP unless it is said otherwise.
pub struct Person(pub &'static str);

impl Default for Person {
    fn default() -> Person {
        Person("gp")
    }
}

pub fn routes() -> Router<Arc<Fake>> {
    Router::new()
        .route(
            "/gateway/fhir/.well-known/smart-configuration",
            get(configuration),
        )
        .route("/anchor/jwks", get(jwks))
        .route("/anchor/par", post(push))
        .route("/anchor/revoke", post(revoke))
}

async fn configuration(State(fake): State<Arc<Fake>>) -> Json<Value> {
    let own = format!("{}/anchor", fake.base);
    let issuer = fake.launches.other_issuer.lock().unwrap().unwrap_or(&own);
    let people = wire::smart::People::Launch;
    Json(wire::smart::configuration(issuer, people, vec![]))
}

/// The key that the fake's anchor signs with.
fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate().unwrap())
}

async fn jwks() -> Json<Value> {
    Json(json!({"keys": [key().public_jwk()]}))
}

/// The sign-in of the Nth pushed request, for those that want to know who it was.
fn id_token(fake: &Fake, asked: &Form, number: &str, citizen: &Patient) -> Option<String> {
    asked
        .get("scope")?
        .split(' ')
        .find(|one| *one == "openid")?;
    let now = (fake.clock)().seconds();
    let mut claims = json!({
        "iss": format!("{}/anchor", fake.base), "sub": "s", "aud": "portal",
        "iat": now, "exp": now + 300, "auth_time": now, "nonce": asked.get("nonce"),
        "sid": format!("sid-{number}"),
        "helseid://claims/identity/pid": citizen.number, "name": citizen.name,
    });
    for (name, value) in fake.launches.claims.lock().unwrap().iter() {
        claims[*name] = value.clone();
    }
    let other = fake.launches.signer.lock().unwrap();
    let key = other.as_ref().unwrap_or(key());
    Some(trust::jws::sign("JWT", &claims, key).unwrap())
}

/// The key that proved a request, if the proof is good for this endpoint now.
fn proved(fake: &Fake, headers: &HeaderMap, endpoint: &str) -> String {
    let proof = headers["dpop"].to_str().unwrap();
    let url = format!("{}/anchor/{endpoint}", fake.base);
    trust::dpop::verify(proof, "POST", &url, None, None, (fake.clock)())
        .unwrap()
        .jkt
}

fn refuse(code: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": code}))).into_response()
}

async fn push(State(fake): State<Arc<Fake>>, request: Request) -> Response {
    let (parts, body): (_, Body) = request.into_parts();
    let form = wire::form::read(&parts.headers, body).await.unwrap();
    let jkt = proved(&fake, &parts.headers, "par");
    if let Some(code) = *fake.launches.refusing.lock().unwrap() {
        return refuse(code);
    }
    let mut pushed = fake.launches.pushed.lock().unwrap();
    let uri = format!("urn:ietf:params:oauth:request_uri:{}", pushed.len());
    pushed.push((form, jkt));
    let answer = json!({"request_uri": uri, "expires_in": 60});
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn revoke(State(fake): State<Arc<Fake>>, request: Request) -> StatusCode {
    let (parts, body): (_, Body) = request.into_parts();
    let form = wire::form::read(&parts.headers, body).await.unwrap();
    let token = form.get("token").unwrap().to_owned();
    fake.launches.revoked.lock().unwrap().push(token);
    StatusCode::OK
}

/// The first part of the path of the audience that a token is for, which must be one of those pushed; `token` where none was named.
fn place(fake: &Fake, asked: &Form, form: &Form) -> String {
    let pushed = asked.0.iter().filter(|(name, _)| name == "resource");
    let pushed: Vec<&str> = pushed.map(|(_, url)| url.as_str()).collect();
    let url = match (form.get("resource"), pushed.as_slice()) {
        (None, []) => return "token".to_owned(),
        (None, [only]) => *only,
        (Some(url), all) if all.contains(&url) => url,
        _ => panic!("the audience is not one that was granted"),
    };
    let scope = form.get("scope").or(asked.get("scope")).unwrap();
    let given = (url.to_owned(), scope.to_owned());
    fake.launches.given.lock().unwrap().push(given);
    let path = url.strip_prefix(&format!("{}/", fake.base)).unwrap();
    path.split('/').next().unwrap().to_owned()
}

/// Tokens for the code `code-N` of the Nth pushed request, and renewals of `refresh-N-M`.
pub fn give(fake: &Fake, headers: &HeaderMap, form: &Form) -> Response {
    let jkt = proved(fake, headers, "token");
    let (number, round) = match form.get("refresh_token") {
        Some(refresh) => {
            if let Some(code) = *fake.launches.refusing.lock().unwrap() {
                return refuse(code);
            }
            fake.launches
                .renewed
                .lock()
                .unwrap()
                .push(refresh.to_owned());
            let (number, round) = refresh
                .strip_prefix("refresh-")
                .and_then(|rest| rest.split_once('-'))
                .unwrap();
            (number.to_owned(), round.parse::<usize>().unwrap() + 1)
        }
        None => {
            let code = form.get("code").unwrap();
            (code.strip_prefix("code-").unwrap().to_owned(), 0)
        }
    };
    let pushed = fake.launches.pushed.lock().unwrap();
    let (asked, key) = &pushed[number.parse::<usize>().unwrap()];
    assert_eq!(*key, jkt, "one key throughout");
    if round == 0 {
        let verifier = form.get("code_verifier").unwrap();
        let challenge = sha256_base64url(verifier.as_bytes());
        assert_eq!(asked.get("code_challenge"), Some(challenge.as_str()));
        let callback = format!("{BASE}/callback");
        assert_eq!(form.get("redirect_uri"), Some(callback.as_str()));
    }
    let directory = Directory::demo();
    let who = fake.launches.person.lock().unwrap().0;
    let gp = directory.practitioner(who).unwrap();
    let hpr = json!({"id": gp.hpr, "system": "urn:oid:2.16.578.1.12.4.1.4.4"});
    // The handle says whom it is about: `about-N`, the Nth patient; else the attest, and for a list nobody.
    let about = asked.get("launch").unwrap_or("about-0");
    let patient = &directory.patients[about[6..].parse::<usize>().unwrap()];
    let stated: Value = match asked.get("authorization_details") {
        Some(details) => serde_json::from_str(details).unwrap(),
        None => Value::Null,
    };
    let scope = asked.get("scope").unwrap();
    let named = stated[0]["patients"][0]["identifier"]["id"].as_str();
    let named = match scope.ends_with(" user/Task.s") {
        true => named,
        false => Some(named.unwrap_or(&patient.number)),
    };
    let other = fake.launches.about.lock().unwrap().clone();
    let named = other.as_deref().or(named);
    let place = place(fake, asked, form);
    let mut answer = json!({
        "access_token": format!("{place}.{jkt}.{}", named.unwrap_or_default()),
        "token_type": "DPoP", "expires_in": 300,
        "refresh_token": format!("refresh-{number}-{round}"),
        "scope": asked.get("scope"),
        "patient": "3b6f6c53-6ad8-4b53-93d1-0a5f6f3f0c11", "need_patient_banner": true,
        "authorization_details": [{
            "type": "nhn:tillitsrammeverk:parameters", "toa": (fake.clock)().seconds(),
            "practitioner": {
                "identifier": {"id": gp.number, "system": "urn:oid:2.16.578.1.12.4.1.4.1", "name": gp.name},
                "hpr_nr": hpr,
                "legal_entity": {"id": directory.orgnr("provebakken"), "system": "urn:oid:2.16.578.1.12.4.1.4.101"},
            },
            "care_relationship": {
                "purpose_of_use": {"code": "COC", "system": "urn:oid:2.16.840.1.113883.1.11.20448"},
                "purpose_of_use_details": {"code": "BEHANDLER", "text": "<b>Behandler</b>", "system": "x"},
                "decision_ref": {"id": format!("d-{number}"), "user_selected": true},
            },
            "patients": Vec::from_iter(named.map(
                |number| json!({"identifier": {"id": number, "system": "urn:oid:2.16.578.1.12.4.1.4.1"}}),
            )),
        }],
    });
    if let Some(jwt) = id_token(fake, asked, &number, patient) {
        answer["id_token"] = json!(jwt);
    }
    Json(answer).into_response()
}
