//! What the hub says of itself: a CapabilityStatement of its FHIR side and an OpenAPI description of the rest.

use crate::{ROUTES, State};
use axum::extract;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;
use wire::outcome::{fhir_response, json_response};

/// Day on which the shape of this statement last changed.
const DATE: &str = "2026-11-30";

/// One line a route, for the OpenAPI description.
const SUMMARIES: &[(&str, &str)] = &[
    (
        "GET /assignments",
        "Which devices of the caller's organisation are assigned, from when to when",
    ),
    (
        "POST /assignments",
        "Says which patient a device measures, from when to when",
    ),
    ("POST /assignments/end", "Ends a device's assignment"),
    (
        "GET /deliveries",
        "How the receivers of the sender's organisation stand",
    ),
    (
        "GET /deliveries/{key}",
        "How far one acknowledged entry came with each receiver",
    ),
    (
        "GET /quarantine",
        "What of the sender's own sendings was kept aside, and why",
    ),
    (
        "POST /quarantine/{id}/replay",
        "Takes an entry that was kept aside in as if it were sent now",
    ),
    (
        "GET /dead-letters",
        "What the receivers of the sender's organisation refused for good, and why",
    ),
    (
        "POST /deliveries/{key}/replay",
        "Delivers again what a receiver refused for good",
    ),
];

/// `GET {hub}/fhir/metadata`.
pub async fn metadata(extract::State(state): extract::State<Arc<State>>) -> Response {
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "Delt", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "Welfare technology hub: takes home measurements in and delivers them to their owner", "url": state.desk.guard.audience()},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [{
            "mode": "server",
            "documentation": "Bundles of type collection and batch are posted to the base, each entry taken alone, or document: Composition, DetectedIssue, Observation and QuestionnaireResponse as one unit with one answer; single Observations to Observation and single QuestionnaireResponses to QuestionnaireResponse. With an Idempotency-Key the same post gets the first answer again. Nothing is read here. Not offered: transaction Bundles, other resource types.",
            "resource": [
                {"type": "Observation", "interaction": [{"code": "create"}]},
                {"type": "QuestionnaireResponse", "interaction": [{"code": "create"}]},
            ],
            "interaction": [{"code": "batch"}],
        }],
    });
    fhir_response(StatusCode::OK, statement.to_string().into_bytes())
}

/// `GET {hub}/openapi.json`.
pub async fn openapi(extract::State(state): extract::State<Arc<State>>) -> Response {
    let base = state.config.base.as_str().trim_end_matches('/');
    json_response(
        StatusCode::OK,
        &wire::openapi::document("Delt hub", base, ROUTES, SUMMARIES),
    )
}
