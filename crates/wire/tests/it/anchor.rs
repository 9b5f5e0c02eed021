//! A small anchor: keys that can be rotated, a token endpoint that checks assertion and proof, and ways to go wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use trust::keys::{KeySet, SigningKey};
use trust::token::{Actor, Claims, Confirmation, Kind};
use trust::{ClientUse, assertion, dpop, token};
use wire::contract::anchor::{CLIENT_CREDENTIALS, TOKEN_EXCHANGE};
use wire::form::Form;
use wire::oauth_error::{OAuthCode, OAuthError};

/// What the key-set route answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Jwks {
    Good,
    Garbage,
    Failing,
}

pub struct Anchor {
    pub issuer: String,
    pub clock: store::Clock,
    pub key: Mutex<SigningKey>,
    /// Published beside the one that signs: the next, or the one before.
    pub beside: Mutex<Option<SigningKey>>,
    pub clients: Mutex<Vec<(String, KeySet)>>,
    pub jwks: Mutex<Jwks>,
    pub refuse: Mutex<Option<OAuthCode>>,
    pub key_fetches: AtomicUsize,
    pub tokens: AtomicUsize,
    /// Proofs must carry this nonce.
    pub nonce: Mutex<Option<String>>,
}

impl Anchor {
    pub fn new(issuer: String, clock: store::Clock) -> Arc<Self> {
        Arc::new(Self {
            issuer,
            clock,
            key: Mutex::new(SigningKey::generate().unwrap()),
            beside: Mutex::default(),
            clients: Mutex::default(),
            jwks: Mutex::new(Jwks::Good),
            refuse: Mutex::default(),
            key_fetches: AtomicUsize::new(0),
            tokens: AtomicUsize::new(0),
            nonce: Mutex::default(),
        })
    }

    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/jwks", get(jwks))
            .route("/token", post(issue))
            .with_state(self.clone())
    }

    /// Another key signs from now on; the one before is published no longer, and given back.
    pub fn rotate(&self) -> SigningKey {
        std::mem::replace(
            &mut *self.key.lock().unwrap(),
            SigningKey::generate().unwrap(),
        )
    }

    /// A system token's claims, good for this moment.
    pub fn claims(&self, audience: &str, jkt: &str) -> Claims {
        let now = (self.clock)().seconds();
        Claims {
            iss: self.issuer.clone(),
            aud: audience.to_owned(),
            sub: "kit".to_owned(),
            client_id: "kit".to_owned(),
            iat: now,
            nbf: now,
            exp: now + token::LIFETIME_SECONDS,
            jti: uuid::Uuid::new_v4().to_string(),
            scope: "system/Observation.c".to_owned(),
            cnf: Some(Confirmation {
                jkt: jkt.to_owned(),
            }),
            act: None,
            name: None,
            pid: None,
            security_level: None,
            hpr_number: None,
            orgnr_parent: Some("310001007".parse().unwrap()),
            attest: None,
            authorization_details: Vec::new(),
            grant: None,
            patient_id: None,
            patient: None,
            agreement: None,
            delegation: None,
            use_: ClientUse::HomeSystem,
            kind: Kind::System,
            represents: None,
            represented_by: Vec::new(),
            pseudonym: None,
        }
    }

    pub fn sign(&self, claims: &Claims) -> String {
        token::issue(claims, &self.key.lock().unwrap()).unwrap()
    }
}

async fn jwks(State(anchor): State<Arc<Anchor>>) -> Response {
    anchor.key_fetches.fetch_add(1, Ordering::SeqCst);
    match *anchor.jwks.lock().unwrap() {
        Jwks::Good => {
            let mut keys = vec![anchor.key.lock().unwrap().public().clone()];
            keys.extend(
                anchor
                    .beside
                    .lock()
                    .unwrap()
                    .iter()
                    .map(|key| key.public().clone()),
            );
            let keys = KeySet::of(keys).unwrap();
            Json(keys.to_jwks()).into_response()
        }
        Jwks::Garbage => "{\"keys\":[{\"kty\":\"oct\"}]}".into_response(),
        Jwks::Failing => http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn issue(
    State(anchor): State<Arc<Anchor>>,
    headers: http::HeaderMap,
    body: axum::body::Body,
) -> Result<Response, OAuthError> {
    let form = wire::form::read(&headers, body).await?.once()?;
    let needed = |name: &str| {
        form.get(name).ok_or(OAuthError::new(
            OAuthCode::InvalidRequest,
            "a parameter is missing",
        ))
    };
    let now = (anchor.clock)();
    let assertion = needed("client_assertion")?;
    let claimed = assertion::claimed_client(assertion).unwrap();
    let keys = anchor
        .clients
        .lock()
        .unwrap()
        .iter()
        .find(|(id, _)| *id == claimed)
        .map(|(_, keys)| keys.clone());
    let keys = keys.ok_or(OAuthError::new(OAuthCode::InvalidClient, "unknown client"))?;
    assertion::verify(assertion, &claimed, &keys, &anchor.issuer, now)
        .map_err(|error| OAuthError::new(OAuthCode::InvalidClient, error.to_string()))?;
    let proof = headers.get("dpop").unwrap().to_str().unwrap();
    let url = format!("{}/token", anchor.issuer);
    let nonce = anchor.nonce.lock().unwrap().clone();
    let proof = match &nonce {
        None => dpop::verify(proof, "POST", &url, None, None, now),
        Some(ours) => {
            let until = |theirs: &str| (theirs == ours).then_some(now.seconds() + 60);
            dpop::verify_with_nonce(proof, "POST", &url, &until)
        }
    };
    if proof == Err(dpop::DpopError::Nonce) {
        let refused = OAuthError::new(OAuthCode::UseDpopNonce, "with a nonce").into_response();
        return Ok(([("dpop-nonce", nonce.unwrap())], refused).into_response());
    }
    let proof =
        proof.map_err(|error| OAuthError::new(OAuthCode::InvalidDpopProof, error.to_string()))?;
    if let Some(code) = *anchor.refuse.lock().unwrap() {
        return Err(OAuthError::new(code, "refused"));
    }
    anchor.tokens.fetch_add(1, Ordering::SeqCst);
    let mut claims = anchor.claims(needed("resource")?, &proof.jkt);
    claims.scope = needed("scope")?.to_owned();
    match needed("grant_type")? {
        CLIENT_CREDENTIALS => {}
        TOKEN_EXCHANGE => {
            subject_of(&form)?;
            claims.act = Some(Actor { client_id: claimed });
        }
        _ => {
            return Err(OAuthError::new(
                OAuthCode::UnsupportedGrantType,
                "not offered",
            ));
        }
    }
    let answer = serde_json::json!({
        "access_token": anchor.sign(&claims), "token_type": "DPoP", "expires_in": token::LIFETIME_SECONDS,
    });
    Ok(Json(answer).into_response())
}

fn subject_of(form: &Form) -> Result<(), OAuthError> {
    match form.get("subject_token") {
        Some(token) if !token.is_empty() => Ok(()),
        _ => Err(OAuthError::new(
            OAuthCode::InvalidRequest,
            "no subject token",
        )),
    }
}
