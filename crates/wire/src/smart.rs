//! `.well-known/smart-configuration` (SMART App Launch 2.2, "Conformance"): where the tokens of a FHIR base come from.
//!
//! It says what is there and no more: where people do not sign in at the issuer, neither an authorization endpoint nor what goes
//! with it (pushed requests, PKCE, launch, refresh, revocation, ID tokens) is named.

use crate::contract::anchor::{
    AUTHORIZATION_CODE, AUTHORIZE, CLIENT_CREDENTIALS, JWKS, PAR, REFRESH_TOKEN, REVOKE, TOKEN,
    TOKEN_EXCHANGE,
};
use crate::contract::launch::{CHOOSE_PATIENT, IN_CONTEXT, LAUNCH};
use serde_json::{Value, json};
use trust::keys::Algorithm;

/// Clients with keys of their own, and scopes of version 2 for users and for a citizen's own data.
const CAPABILITIES: &[&str] = &[
    "client-confidential-asymmetric",
    "permission-patient",
    "permission-user",
    "permission-v2",
];
/// What is there besides because people sign in.
const SIGNED_IN: &[&str] = &["permission-offline", "sso-openid-connect"];
/// What is there besides where apps are launched with a patient.
const LAUNCHED: &[&str] = &[
    "launch-ehr",
    "launch-standalone",
    "context-ehr-patient",
    "context-standalone-patient",
    "context-banner",
];

/// How people come by tokens for a FHIR base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum People {
    /// Not at all.
    None,
    /// By signing in at the issuer.
    SignIn,
    /// That, and apps are launched with a patient in context.
    Launch,
}

/// The document of a FHIR base. `scopes` are those of its types.
pub fn configuration(issuer: &str, people: People, scopes: Vec<String>) -> Value {
    let algorithms: Vec<&str> = Algorithm::ALL.iter().map(|one| one.name()).collect();
    let mut document = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}{JWKS}"),
        "token_endpoint": format!("{issuer}{TOKEN}"),
        "grant_types_supported": [CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "dpop_signing_alg_values_supported": algorithms,
        "scopes_supported": scopes,
        "capabilities": CAPABILITIES,
    });
    let mut add = |name: &str, more: &[&str]| {
        if let Some(list) = document[name].as_array_mut() {
            list.extend(more.iter().map(|one| json!(one)));
        }
    };
    if people >= People::SignIn {
        add(
            "grant_types_supported",
            &[AUTHORIZATION_CODE, REFRESH_TOKEN],
        );
        add("capabilities", SIGNED_IN);
    }
    if people == People::Launch {
        add("capabilities", LAUNCHED);
        add("scopes_supported", &[IN_CONTEXT, CHOOSE_PATIENT]);
    }
    if people >= People::SignIn {
        document["authorization_endpoint"] = json!(format!("{issuer}{AUTHORIZE}"));
        document["pushed_authorization_request_endpoint"] = json!(format!("{issuer}{PAR}"));
        document["revocation_endpoint"] = json!(format!("{issuer}{REVOKE}"));
        document["response_types_supported"] = json!(["code"]);
        document["code_challenge_methods_supported"] = json!(["S256"]);
    }
    if people == People::Launch {
        document["launch_context_endpoint"] = json!(format!("{issuer}{LAUNCH}"));
    }
    document
}
