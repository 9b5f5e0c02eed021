//! `GET {gateway}/fhir/.well-known/smart-configuration` (SMART App Launch 2.2, "Conformance"): where the tokens come from with which apps
//! look up here. This base is the `iss` of a launch.

use crate::State;
use axum::extract;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;
use wire::contract::gateway::TYPES;
use wire::outcome::json_response;
use wire::smart::{self, People};

/// Open to all, as SMART has it.
pub async fn configuration(extract::State(state): extract::State<Arc<State>>) -> Response {
    let people = match state.config.sign_in {
        true => People::Launch,
        false => People::None,
    };
    json_response(
        StatusCode::OK,
        &smart::configuration(&state.config.issuer, people, scopes()),
    )
}

/// People look up, and a citizen reads her own, the trail of it, and closes what she will.
fn scopes() -> Vec<String> {
    let read = TYPES
        .iter()
        .flat_map(|one| ["user", "patient"].map(|context| format!("{context}/{one}.rs")))
        // The trail is the patient's alone.
        .filter(|scope| scope != "user/AuditEvent.rs");
    read.chain(["patient/Consent.cds".to_owned()]).collect()
}
