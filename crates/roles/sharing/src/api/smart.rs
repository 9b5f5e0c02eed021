//! `GET {base}/.well-known/smart-configuration` (SMART App Launch 2.2, "Conformance"): where this service's tokens come from.
//!
//! It says what is there and no more: where people do not sign in at the issuer, neither an authorization endpoint nor what goes
//! with it (pushed requests, PKCE, refresh, revocation, ID tokens) is named; launch in context is not there yet.

use crate::State;
use axum::extract;
use axum::response::Response;
use fhir::definitions::Types;
use fhir::resource::ResourceType;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use trust::keys::Algorithm;
use wire::contract::anchor::{
    AUTHORIZATION_CODE, AUTHORIZE, CLIENT_CREDENTIALS, JWKS, PAR, REFRESH_TOKEN, REVOKE, TOKEN,
    TOKEN_EXCHANGE,
};
use wire::outcome::json_response;

/// Where the document stands under the FHIR base.
pub const PATH: &str = "/.well-known/smart-configuration";

/// What of SMART's list is there: clients with keys of their own, and scopes of version 2 for users and for a citizen's own data.
const CAPABILITIES: &[&str] = &[
    "client-confidential-asymmetric",
    "permission-patient",
    "permission-user",
    "permission-v2",
];

/// Open to all, as SMART has it.
pub async fn configuration(extract::State(state): extract::State<Arc<State>>) -> Response {
    json_response(StatusCode::OK, &document(&state))
}

fn document(state: &State) -> Value {
    let issuer = &state.config.issuer;
    let algorithms: Vec<&str> = Algorithm::ALL.iter().map(|one| one.name()).collect();
    let mut document = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}{JWKS}"),
        "token_endpoint": format!("{issuer}{TOKEN}"),
        "grant_types_supported": [CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "dpop_signing_alg_values_supported": algorithms,
        "scopes_supported": scopes(&state.config.types),
        "capabilities": CAPABILITIES,
    });
    if state.config.sign_in {
        sign_in(&mut document, issuer);
    }
    document
}

/// What is there because people sign in.
fn sign_in(document: &mut Value, issuer: &str) {
    let add = |list: &mut Value, more: &[&str]| {
        if let Some(list) = list.as_array_mut() {
            list.extend(more.iter().map(|one| json!(one)));
        }
    };
    add(
        &mut document["grant_types_supported"],
        &[AUTHORIZATION_CODE, REFRESH_TOKEN],
    );
    add(
        &mut document["capabilities"],
        &["permission-offline", "sso-openid-connect"],
    );
    document["authorization_endpoint"] = json!(format!("{issuer}{AUTHORIZE}"));
    document["pushed_authorization_request_endpoint"] = json!(format!("{issuer}{PAR}"));
    document["revocation_endpoint"] = json!(format!("{issuer}{REVOKE}"));
    document["response_types_supported"] = json!(["code"]);
    document["code_challenge_methods_supported"] = json!(["S256"]);
}

/// A system writes and reads what it may write; people and a citizen read, and she reads the trail and closes what she will.
fn scopes(types: &Types) -> Vec<String> {
    let written = types.iter().map(|one| format!("system/{one}.cruds"));
    let read = types
        .iter()
        .flat_map(|one| ["user", "patient"].map(|context| format!("{context}/{one}.rs")));
    let trail = format!("patient/{}.rs", ResourceType::AUDIT_EVENT);
    let wishes = format!("patient/{}.cds", ResourceType::CONSENT);
    written.chain(read).chain([trail, wishes]).collect()
}
