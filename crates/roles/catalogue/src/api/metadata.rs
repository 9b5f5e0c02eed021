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
const DATE: &str = "2026-11-30";

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
            "documentation": "Entries are their owners': a service states its own by POST $publish, a list of statements signed (JWS, typ delt-catalogue+jwt) with a key that the anchor publishes for the organisation or for its supplier. The statement stands in an extension of the entry and can be verified without this catalogue; an entry that is not stated again in time lapses, and says so in status or active. Organisations that state nothing stand as the region's operator configured them. _history, of everything, a type or an entry, with _since and _count (at most 200), newest first, feeds copies elsewhere; its pages are stable. Not offered: paging of searches, XML.",
            "security": {
                "description": format!("DPoP-bound access tokens (RFC 9449, RFC 9068) from {} with this base as audience.", state.issuer),
            },
            "resource": resources,
            "interaction": [{"code": "history-system"}],
        }],
    })
}

fn resource(resource_type: ResourceType) -> Value {
    let searched: Vec<Value> = parameters(resource_type)
        .map(|one| json!({"name": one.name, "type": "token", "documentation": one.documentation}))
        .collect();
    json!({
        "type": resource_type.as_str(),
        "interaction": [{"code": "read"}, {"code": "vread"}, {"code": "history-instance"}, {"code": "history-type"}, {"code": "search-type"}],
        "versioning": "versioned",
        "readHistory": true,
        "searchParam": searched,
    })
}
