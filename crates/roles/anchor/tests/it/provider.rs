//! An identity provider as HelseID is one: discovery, pushed requests, a token endpoint with `private_key_jwt`. It checks what
//! it is sent and signs what the test wants. Nobody sees its pages: the test is the browser.

use crate::region::NOW;
use anchor::config::{IdentityProvider, LoginClaims};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use fhir::ids::PersonNumbers;
use fhir::time::Instant;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard};
use trust::encoding::sha256_base64url;
use trust::keys::{Algorithm, KeySet, SigningKey};
use trust::token::Kind;
use trust::{assertion, dpop, jws};
use wire::form::Form;

pub const CLIENT: &str = "delt-anchor";
pub const NONCE: &str = "server-nonce";

/// What it was sent, and how it answers.
pub struct Said {
    /// Forms pushed, in order.
    pub pushed: Vec<Form>,
    /// Codes redeemed, in order.
    pub redeemed: Vec<String>,
    /// Claims besides the standard ones, or in their place; null takes one away.
    pub claims: Vec<(&'static str, Value)>,
    /// `typ` of its ID tokens.
    pub typ: &'static str,
    /// Signs its ID tokens, if another than it publishes.
    pub signer: Option<SigningKey>,
    /// What its token endpoint answers instead.
    pub token_error: Option<(u16, &'static str)>,
    /// Members of its discovery document in place of its own.
    pub discovery: Vec<(&'static str, Value)>,
    /// Does its token endpoint want a DPoP proof with its nonce?
    pub wants_nonce: bool,
    /// How often it told its nonce.
    pub told: usize,
    /// The time at which it works.
    pub now: i64,
}

#[derive(Clone)]
pub struct Provider {
    pub url: String,
    /// Our key there.
    pub client_key: SigningKey,
    key: SigningKey,
    said: Arc<Mutex<Said>>,
}

impl Provider {
    pub async fn start() -> Provider {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Provider {
            url: format!("http://{}", listener.local_addr().unwrap()),
            client_key: SigningKey::generate().unwrap(),
            key: SigningKey::generate().unwrap(),
            said: Arc::new(Mutex::new(Said {
                pushed: vec![],
                redeemed: vec![],
                claims: vec![],
                typ: "JWT",
                signer: None,
                token_error: None,
                discovery: vec![],
                wants_nonce: false,
                told: 0,
                now: NOW,
            })),
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/par", post(par))
            .route("/token", post(token))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    pub fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap()
    }

    /// How the anchor is told of it, as HelseID.
    pub fn helseid(&self, id: &str) -> IdentityProvider {
        IdentityProvider {
            id: id.into(),
            name: "HelseID".into(),
            people: Kind::Practitioner,
            issuer: self.url.clone(),
            client_id: CLIENT.into(),
            key: self.client_key.clone(),
            algorithms: vec![Algorithm::Es256, Algorithm::Ps256],
            dpop: false,
            scope: "openid profile helseid://scopes/identity/pid".into(),
            acr_values: None,
            claims: LoginClaims {
                pid: "helseid://claims/identity/pid".into(),
                name: "name".into(),
                hpr_number: Some("helseid://claims/hpr/hpr_number".into()),
                level: "helseid://claims/identity/security_level".into(),
            },
            high: vec!["4".into()],
            person_numbers: PersonNumbers::Strict,
            sign_out: false,
        }
    }

    /// The same as ID-porten, for citizens.
    pub fn idporten(&self, id: &str) -> IdentityProvider {
        IdentityProvider {
            name: "ID-porten".into(),
            people: Kind::Citizen,
            scope: "openid profile".into(),
            acr_values: Some("idporten-loa-high".into()),
            claims: LoginClaims {
                pid: "pid".into(),
                name: "name".into(),
                hpr_number: None,
                level: "acr".into(),
            },
            high: vec!["idporten-loa-high".into()],
            ..self.helseid(id)
        }
    }

    /// The last pushed request.
    pub fn request(&self) -> Form {
        self.said()
            .pushed
            .last()
            .cloned()
            .expect("a pushed request")
    }

    /// Its good answer to the last request, as the browser brings it back.
    pub fn answer(&self) -> Vec<(&'static str, String)> {
        let state = self.request().get("state").unwrap().to_owned();
        vec![
            ("code", "c-1".to_owned()),
            ("state", state),
            ("iss", self.url.clone()),
        ]
    }

    /// The refusal where proofs are wanted and there is none with the nonce, by the key that the request names.
    fn unproved(&self, path: &str, headers: &HeaderMap, request: &Form) -> Option<Response> {
        if !self.said().wants_nonce {
            return None;
        }
        let url = format!("{}{path}", self.url);
        let known = |nonce: &str| (nonce == NONCE).then_some(NOW + 60);
        let proof = headers["dpop"].to_str().unwrap();
        match dpop::verify_with_nonce(proof, "POST", &url, &known) {
            Ok(proof) => {
                assert_eq!(request.get("dpop_jkt"), Some(proof.jkt.as_str()));
                None
            }
            Err(refused) => {
                let mut answer = error(400, refused.code());
                let headers = answer.headers_mut();
                headers.insert("dpop-nonce", NONCE.parse().unwrap());
                self.said().told += 1;
                Some(answer)
            }
        }
    }

    /// Who proved itself with this form.
    fn authenticated(&self, form: &Form) -> bool {
        let keys = KeySet::of(vec![self.client_key.public().clone()]).unwrap();
        let now = Instant::from_seconds(self.said().now);
        let jwt = form.get("client_assertion").unwrap_or_default();
        form.get("client_assertion_type") == Some(assertion::TYPE)
            && assertion::verify(jwt, CLIENT, &keys, &self.url, now).is_ok()
    }
}

async fn discovery(State(provider): State<Provider>) -> Json<Value> {
    let url = &provider.url;
    let mut document = json!({
        "issuer": url, "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/jwks"),
        "pushed_authorization_request_endpoint": format!("{url}/par"),
        "authorization_response_iss_parameter_supported": true,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
    });
    for (name, value) in &provider.said().discovery {
        match value {
            Value::Null => drop(document.as_object_mut().unwrap().remove(*name)),
            value => document[*name] = value.clone(),
        }
    }
    Json(document)
}

async fn jwks(State(provider): State<Provider>) -> Json<Value> {
    Json(
        KeySet::of(vec![provider.key.public().clone()])
            .unwrap()
            .to_jwks(),
    )
}

fn error(status: u16, word: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, Json(json!({"error": word}))).into_response()
}

async fn par(State(provider): State<Provider>, headers: HeaderMap, body: Bytes) -> Response {
    let form = Form::parse(&body).unwrap().once().unwrap();
    if !provider.authenticated(&form) {
        return error(401, "invalid_client");
    }
    if let Some(refused) = provider.unproved("/par", &headers, &form) {
        return refused;
    }
    let mut said = provider.said();
    said.pushed.push(form);
    let uri = format!("urn:ietf:params:oauth:request_uri:{}", said.pushed.len());
    (
        StatusCode::CREATED,
        Json(json!({"request_uri": uri, "expires_in": 60})),
    )
        .into_response()
}

async fn token(State(provider): State<Provider>, headers: HeaderMap, body: Bytes) -> Response {
    let form = Form::parse(&body).unwrap().once().unwrap();
    if !provider.authenticated(&form) {
        return error(401, "invalid_client");
    }
    let request = provider.request();
    if let Some(refused) = provider.unproved("/token", &headers, &request) {
        return refused;
    }
    let mut said = provider.said();
    if let Some((status, word)) = said.token_error {
        return error(status, word);
    }
    said.redeemed.push(form.get("code").unwrap().to_owned());
    let verifier = form.get("code_verifier").unwrap();
    assert_eq!(
        request.get("code_challenge"),
        Some(sha256_base64url(verifier.as_bytes()).as_str())
    );
    assert_eq!(request.get("redirect_uri"), form.get("redirect_uri"));
    let mut claims = json!({
        "iss": provider.url, "aud": CLIENT, "sub": "s-1", "nonce": request.get("nonce"),
        "iat": said.now, "exp": said.now + 300, "auth_time": said.now - 30,
    });
    for (name, value) in &said.claims {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(*name)),
            value => claims[*name] = value.clone(),
        }
    }
    let signer = said.signer.as_ref().unwrap_or(&provider.key);
    let jwt = jws::sign(said.typ, &claims, signer).unwrap();
    Json(json!({"access_token": "opaque", "token_type": "DPoP", "expires_in": 60, "id_token": jwt}))
        .into_response()
}
