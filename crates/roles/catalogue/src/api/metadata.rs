//! The CapabilityStatement (FHIR R4 capabilitystatement.html): exactly what the catalogue does, from the tables it is built
//! of.

use std::sync::Arc;

use axum::extract;
use axum::response::Response;
use fhir::resource::ResourceType;
use http::StatusCode;
use serde_json::{Value, json};
use wire::contract::catalogue::{FHIR, TYPES};
use wire::outcome::fhir_response;

use crate::State;
use crate::question::parameters;

/// Day on which the shape of this statement last changed.
const DATE: &str = "2026-11-21";

/// `GET {base}/fhir/metadata`.
pub async fn metadata(extract::State(state): extract::State<Arc<State>>) -> Response {
    fhir_response(StatusCode::OK, statement(&state).to_string())
}

fn statement(state: &State) -> Value {
    let resources: Vec<Value> = TYPES
        .iter()
        .filter_map(|name| ResourceType::parse(name))
        .map(resource)
        .collect();
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "Delt", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "API catalogue: organisations, what they offer, and where", "url": format!("{}{FHIR}", state.base)},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [{
            "mode": "server",
            "documentation": "Read and search only; entries come from the region's configuration. Not offered yet: history, paging, XML.",
            "security": {
                "description": format!("DPoP-bound access tokens (RFC 9449, RFC 9068) from {} with this base as audience.", state.issuer),
            },
            "resource": resources,
        }],
    })
}

fn resource(resource_type: ResourceType) -> Value {
    let searched: Vec<Value> = parameters(resource_type)
        .map(|one| json!({"name": one.name, "type": "token", "documentation": one.documentation}))
        .collect();
    json!({
        "type": resource_type.as_str(),
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "versioned",
        "readHistory": false,
        "searchParam": searched,
    })
}
