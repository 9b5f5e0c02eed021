//! `GET /.well-known/openid-configuration` (RFC 8414), `GET /jwks` (RFC 7517) and `GET /openapi.json`: what is offered,
//! and nothing that is not.

use crate::config::{Client, Grant};
use crate::{ROUTES, State};
use axum::extract;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use trust::keys::Algorithm;
use wire::contract::anchor::{
    AGREEMENTS, AUTHORIZE, Discovery, END_SESSION, JWKS, PAR, PARTICIPANTS, REVOKE,
    SignInDiscovery, TOKEN,
};
use wire::contract::launch::LAUNCH;
use wire::route::{Access, RouteRow};

/// Members of this anchor's discovery document.
pub(crate) async fn discovery(extract::State(state): extract::State<Arc<State>>) -> Response {
    let mut scopes: Vec<String> = Vec::new();
    let smart = |client: &Client| client.scopes.iter().map(ToString::to_string).collect();
    for client in &state.config.clients {
        let smart: Vec<String> = smart(client);
        for text in smart.iter().chain(&client.identity) {
            if !scopes.contains(text) {
                scopes.push(text.clone());
            }
        }
    }
    scopes.sort();
    wire::outcome::json_response(
        StatusCode::OK,
        &Discovery {
            issuer: state.config.issuer.clone(),
            jwks_uri: state.url(JWKS),
            token_endpoint: state.url(TOKEN),
            grant_types_supported: Grant::ALL
                .into_iter()
                .filter(|grant| state.offers(*grant))
                .map(|grant| grant.name().to_owned())
                .collect(),
            token_endpoint_auth_methods_supported: vec!["private_key_jwt".to_owned()],
            token_endpoint_auth_signing_alg_values_supported: algorithms(),
            dpop_signing_alg_values_supported: algorithms(),
            scopes_supported: scopes,
            sign_in: state.signs_in().then(|| sign_in(&state)),
            participants_endpoint: Some(state.url(PARTICIPANTS)),
            agreements_endpoint: Some(state.url(AGREEMENTS)),
        },
    )
}

fn algorithms() -> Vec<String> {
    let all = Algorithm::ALL.iter();
    all.map(|one| one.name().to_owned()).collect()
}

/// What is there because people can sign in.
fn sign_in(state: &State) -> SignInDiscovery {
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    SignInDiscovery {
        authorization_endpoint: state.url(AUTHORIZE),
        pushed_authorization_request_endpoint: state.url(PAR),
        require_pushed_authorization_requests: true,
        launch_context_endpoint: Some(state.url(LAUNCH)),
        revocation_endpoint: Some(state.url(REVOKE)),
        end_session_endpoint: Some(state.url(END_SESSION)),
        revocation_endpoint_auth_methods_supported: list(&["private_key_jwt"]),
        revocation_endpoint_auth_signing_alg_values_supported: algorithms(),
        response_types_supported: list(&["code"]),
        response_modes_supported: list(&["query"]),
        code_challenge_methods_supported: list(&["S256"]),
        authorization_response_iss_parameter_supported: true,
        authorization_details_types_supported: list(&[trust::attest::CLAIM]),
        prompt_values_supported: list(&["none", "login", "select_account"]),
        subject_types_supported: list(&["public"]),
        id_token_signing_alg_values_supported: vec![
            state.key().public().algorithm().name().to_owned(),
        ],
        claims_supported: list(&crate::login::CLAIMS),
        claims_parameter_supported: false,
        request_parameter_supported: false,
    }
}

/// The public signing keys.
pub(crate) async fn jwks(extract::State(state): extract::State<Arc<State>>) -> Response {
    let body = state.keys().to_jwks().to_string();
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
    let there = |row: &&RouteRow| match row.access {
        Access::Demo => state.config.demo.is_some(),
        Access::SignIn | Access::Arrival => state.signs_in(),
        _ => true,
    };
    let rows: Vec<_> = ROUTES.iter().filter(there).copied().collect();
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
        "Client credentials, code, refresh, or token exchange for gateways; private_key_jwt and DPoP",
    ),
    ("POST /par", "Pushed authorization request (RFC 9126)"),
    (
        "POST /launch",
        "Record systems: what an app is opened for (SMART App Launch, EHR launch); gives the handle",
    ),
    (
        "GET /authorize",
        "Sign-in of a pushed request; answers at the redirect URI",
    ),
    (
        "POST /revoke",
        "Ends what a sign-in gave a client (RFC 7009)",
    ),
    ("GET /sign-in", "Who is signed in at this browser"),
    ("POST /sign-in", "The sign-in page's form"),
    (
        "GET /sign-in/{provider}",
        "From the sign-in page to an identity provider",
    ),
    (
        "GET /sign-in/{provider}/callback",
        "An identity provider's answer (OpenID Connect)",
    ),
    (
        "POST /sign-in/patient",
        "The form on which health personnel names the patient (launch/patient)",
    ),
    (
        "POST /sign-in/for",
        "The form on which a citizen says for whom she signed in (fullmakt, parents)",
    ),
    ("POST /sign-out", "Ends the session at this browser"),
    (
        "GET /end-session",
        "Clients send the browser here to sign out (OpenID Connect RP-Initiated Logout 1.0)",
    ),
    ("POST /end-session", "The same by a form"),
    (
        "GET /signed-out",
        "Back from a sign-out at an identity provider",
    ),
    ("GET /sign-in.css", "Styles of the pages"),
    ("GET /participants", "Signed participant documents (JWS)"),
    ("GET /agreements", "Signed agreement documents (JWS)"),
    ("GET /openapi.json", "This description"),
    (
        "POST /operate/suspend",
        "Operators: a participant, client, client key, agreement or delegation gets no new token",
    ),
    ("POST /operate/resume", "Operators: tokens as before"),
    (
        "POST /operate/end",
        "Operators: an agreement or delegation ends for good",
    ),
    (
        "POST /operate/rotate-key",
        "Operators: a new signing key, published before it signs",
    ),
    (
        "POST /operate/remove-key",
        "Operators: a signing key is gone at once",
    ),
    (
        "GET /operate/changes",
        "Operators: who did what when, signed, each with the hash of the one before",
    ),
    (
        "POST /operate/register",
        "Operators: a participant, client, agreement, delegation, processing agreement or collaboration, or signatures on one",
    ),
    (
        "GET /operate/registered",
        "Operators: everything registered by orders, with versions and missing signatures, signed",
    ),
    (
        "POST /audit-heads",
        "Clients: the end of their audit trail, signed by them (application/jose); witnessed and kept",
    ),
    (
        "POST /audit-heads/list",
        "Clients: what was witnessed of their audit trail (application/jose)",
    ),
    (
        "POST /test-token",
        "Demo mode only: a token for a synthetic person",
    ),
];
