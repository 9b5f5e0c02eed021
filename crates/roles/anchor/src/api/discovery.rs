//! `GET /.well-known/openid-configuration` (RFC 8414), `GET /jwks` (RFC 7517) and `GET /openapi.json`: what is offered,
//! and nothing that is not.

use crate::{ROUTES, State};
use axum::extract;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use trust::keys::Algorithm;
use wire::contract::anchor::{
    AGREEMENTS, CLIENT_CREDENTIALS, Discovery, JWKS, PARTICIPANTS, TOKEN, TOKEN_EXCHANGE,
};
use wire::contract::demo::TEST_TOKEN;

/// Members of this anchor's discovery document.
pub(crate) async fn discovery(extract::State(state): extract::State<Arc<State>>) -> Response {
    let algorithms = || {
        Algorithm::ALL
            .iter()
            .map(|one| one.name().to_owned())
            .collect::<Vec<_>>()
    };
    let mut scopes: Vec<String> = Vec::new();
    for scope in state
        .config
        .clients
        .iter()
        .flat_map(|client| client.scopes.iter())
    {
        let text = scope.to_string();
        if !scopes.contains(&text) {
            scopes.push(text);
        }
    }
    scopes.sort();
    wire::outcome::json_response(
        StatusCode::OK,
        &Discovery {
            issuer: state.config.issuer.clone(),
            jwks_uri: state.url(JWKS),
            token_endpoint: state.url(TOKEN),
            grant_types_supported: vec![CLIENT_CREDENTIALS.to_owned(), TOKEN_EXCHANGE.to_owned()],
            token_endpoint_auth_methods_supported: vec!["private_key_jwt".to_owned()],
            token_endpoint_auth_signing_alg_values_supported: algorithms(),
            dpop_signing_alg_values_supported: algorithms(),
            scopes_supported: scopes,
            sign_in: None,
            participants_endpoint: Some(state.url(PARTICIPANTS)),
            agreements_endpoint: Some(state.url(AGREEMENTS)),
        },
    )
}

/// The public signing keys.
pub(crate) async fn jwks(extract::State(state): extract::State<Arc<State>>) -> Response {
    let body = state.keys.to_jwks().to_string();
    (
        [(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/jwk-set+json"),
        )],
        body,
    )
        .into_response()
}

/// The routes of this anchor; the test-token route only where it exists.
pub(crate) async fn openapi(extract::State(state): extract::State<Arc<State>>) -> Response {
    let demo = state.config.demo.is_some();
    let rows: Vec<_> = ROUTES
        .iter()
        .filter(|row| demo || row.path != TEST_TOKEN)
        .copied()
        .collect();
    let title = "Delt trust anchor (tillitsanker)";
    wire::outcome::json_response(
        StatusCode::OK,
        &wire::openapi::document(title, &state.config.issuer, &rows, SUMMARIES),
    )
}

const SUMMARIES: &[(&str, &str)] = &[
    (
        "GET /.well-known/openid-configuration",
        "Discovery document (RFC 8414)",
    ),
    ("GET /jwks", "Public signing keys (RFC 7517)"),
    (
        "POST /token",
        "Client credentials, or token exchange for gateways; private_key_jwt and DPoP",
    ),
    ("GET /participants", "Signed participant documents (JWS)"),
    ("GET /agreements", "Signed agreement documents (JWS)"),
    ("GET /openapi.json", "This description"),
    (
        "POST /test-token",
        "Demo mode only: a token for a synthetic person",
    ),
];
