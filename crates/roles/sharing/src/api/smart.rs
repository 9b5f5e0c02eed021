//! `GET {base}/.well-known/smart-configuration` (SMART App Launch 2.2, "Conformance"): where this service's tokens come from. Apps are
//! launched with a patient at the gateway, not here.

use crate::State;
use axum::extract;
use axum::response::Response;
use fhir::definitions::Types;
use fhir::resource::ResourceType;
use http::StatusCode;
use std::sync::Arc;
use wire::outcome::json_response;
use wire::smart::{self, People};

/// Where the document stands under the FHIR base.
pub const PATH: &str = wire::contract::launch::SMART_CONFIGURATION;

/// Open to all, as SMART has it.
pub async fn configuration(extract::State(state): extract::State<Arc<State>>) -> Response {
    let people = match state.config.sign_in {
        true => People::SignIn,
        false => People::None,
    };
    let document = smart::configuration(&state.config.issuer, people, scopes(&state.config.types));
    json_response(StatusCode::OK, &document)
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
