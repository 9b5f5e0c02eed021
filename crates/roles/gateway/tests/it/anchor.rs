//! A small anchor: its keys, the gateway's own tokens, and token exchange as CONTRACT section 4 has it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use std::sync::{Arc, Mutex};
use trust::keys::{KeySet, SigningKey};
use trust::token::{Actor, Claims, Confirmation};
use trust::{assertion, dpop, jws, token};
use wire::contract::anchor::{CLIENT_CREDENTIALS, PARTICIPANT_TYP, Participant, TOKEN_EXCHANGE};
use wire::contract::operate::Standing;
use wire::oauth_error::{OAuthCode, OAuthError};

pub struct Anchor {
    pub issuer: String,
    /// `{gateway}/fhir`, which a subject token must be for.
    pub gateway: String,
    pub clock: store::Clock,
    pub key: SigningKey,
    /// The gateway's registered key.
    pub client: SigningKey,
    /// It answers nobody.
    pub down: std::sync::atomic::AtomicBool,
    /// How often its documents were asked for.
    pub documents_asked: std::sync::atomic::AtomicUsize,
    /// Audiences for which an exchange is refused.
    pub refused: Mutex<Vec<String>>,
}

impl Anchor {
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/jwks", get(jwks))
            .route("/participants", get(participants))
            .route("/agreements", get(agreements))
            .route("/token", post(issue))
            .with_state(self.clone())
    }

    fn documents(&self, documents: serde_json::Value) -> Response {
        if self.down.load(std::sync::atomic::Ordering::SeqCst) {
            return http::StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let asked = &self.documents_asked;
        asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Json(documents).into_response()
    }

    pub fn sign(&self, claims: &Claims) -> String {
        token::issue(claims, &self.key).unwrap()
    }
}

/// The claims of a token, believed: who verifies them is not what these tests are about.
pub fn claims_of(token: &str) -> Claims {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&trust::encoding::from_base64url(payload).unwrap()).unwrap()
}

async fn jwks(State(anchor): State<Arc<Anchor>>) -> Response {
    Json(
        KeySet::of(vec![anchor.key.public().clone()])
            .unwrap()
            .to_jwks(),
    )
    .into_response()
}

async fn participants(State(anchor): State<Arc<Anchor>>) -> Response {
    let participant = Participant {
        iss: anchor.issuer.clone(),
        sub: crate::world::PROVEHEIM.to_owned(),
        iat: 1,
        name: "Prøveheim".to_owned(),
        version: 1,
        state: Standing::Active,
        units: Vec::new(),
        keys: vec![anchor.client.public_jwk()],
        contacts: Vec::new(),
    };
    let participant = serde_json::to_value(participant).unwrap();
    let signed = jws::sign(PARTICIPANT_TYP, &participant, &anchor.key).unwrap();
    anchor.documents(serde_json::json!([signed]))
}

async fn agreements(State(anchor): State<Arc<Anchor>>) -> Response {
    anchor.documents(serde_json::json!([]))
}

async fn issue(
    State(anchor): State<Arc<Anchor>>,
    headers: http::HeaderMap,
    body: axum::body::Body,
) -> Result<Response, OAuthError> {
    if anchor.down.load(std::sync::atomic::Ordering::SeqCst) {
        return Err(OAuthError::new(OAuthCode::TemporarilyUnavailable, "down"));
    }
    let form = wire::form::read(&headers, body).await?.once()?;
    let now = (anchor.clock)();
    let client = assertion::claimed_client(form.get("client_assertion").unwrap()).unwrap();
    let keys = KeySet::of(vec![anchor.client.public().clone()]).unwrap();
    assertion::verify(
        form.get("client_assertion").unwrap(),
        &client,
        &keys,
        &anchor.issuer,
        now,
    )
    .unwrap();
    let proof = headers.get("dpop").unwrap().to_str().unwrap();
    let proof = dpop::verify(
        proof,
        "POST",
        &format!("{}/token", anchor.issuer),
        None,
        None,
        now,
    )
    .unwrap();
    let audience = form.get("resource").unwrap();
    if anchor
        .refused
        .lock()
        .unwrap()
        .iter()
        .any(|refused| refused == audience)
    {
        return Err(OAuthError::new(OAuthCode::InvalidTarget, "refused"));
    }
    let mut claims = match form.get("grant_type").unwrap() {
        CLIENT_CREDENTIALS => serde_json::from_value(serde_json::json!({
            "iss": anchor.issuer, "aud": audience, "sub": client, "client_id": client,
            "iat": now.seconds(), "nbf": now.seconds(), "exp": now.seconds() + 300, "jti": uuid::Uuid::new_v4(),
            "https://delt.example/claims/use": "gateway", "https://delt.example/claims/kind": "system",
        }))
        .unwrap(),
        TOKEN_EXCHANGE => {
            let subject = form.get("subject_token").unwrap();
            let keys = KeySet::of(vec![anchor.key.public().clone()]).unwrap();
            let mut claims = token::verify(subject, &keys, &anchor.issuer, &anchor.gateway, now).unwrap();
            claims.act = Some(Actor { client_id: client });
            claims.jti = uuid::Uuid::new_v4().to_string();
            claims
        }
        other => panic!("grant {other}"),
    };
    claims.aud = audience.to_owned();
    claims.scope = form.get("scope").unwrap().to_owned();
    claims.cnf = Some(Confirmation { jkt: proof.jkt });
    let seconds = claims.exp - now.seconds();
    let token = anchor.sign(&claims);
    Ok(Json(
        serde_json::json!({"access_token": token, "token_type": "DPoP", "expires_in": seconds}),
    )
    .into_response())
}
