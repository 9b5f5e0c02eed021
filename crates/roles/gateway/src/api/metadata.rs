//! The CapabilityStatement (FHIR R4 capabilitystatement.html): exactly what the gateway does, from the tables it is built of.

use crate::State;
use axum::extract;
use axum::response::Response;
use fhir::search::{Feeds, SUPPORTED, Supported};
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::contract::gateway::{ORGANIZATION, TYPES};
use wire::outcome::fhir_response;

/// Day on which the shape of this statement last changed.
const DATE: &str = "2026-11-30";

/// Operations over the region: type, name, definition, what it takes.
const OPERATIONS: &[(&str, &str, &str, &str)] = &[
    (
        "Observation",
        "lastn",
        "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
        "POST a form or Parameters: patient.identifier (a token's patient if left out), code, category, date, status, max (1 to 100, default 1), organization. The newest max of each measurement kind among what all holders have, each reading once.",
    ),
    (
        "Observation",
        "stats",
        "http://hl7.org/fhir/OperationDefinition/Observation-stats",
        "POST a form or Parameters as at a sharing service, and organization. Counted from the merged readings of all holders, each once; of readings whose copies disagree none, and that is said. The receipt is the parameter receipt.",
    ),
    (
        "Patient",
        "everything",
        "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        "POST on the type, for the token's patient: a form or Parameters with _type (comma list), _count (1 to 200, default 50), organization. Type by type, the Patient first, each merged by its rule, newest first; pages by sealed links, each with a receipt of its own.",
    ),
];

/// `GET {gateway}/fhir/metadata`.
pub async fn metadata(extract::State(state): extract::State<Arc<State>>) -> Response {
    fhir_response(StatusCode::OK, statement(&state).to_string().into_bytes())
}

fn statement(state: &State) -> Value {
    let types = SUPPORTED
        .iter()
        .filter(|row| TYPES.contains(&row.resource.as_str()));
    let resources: Vec<Value> = types.map(resource).chain([wishes()]).collect();
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "publisher": state.config.register.name(&state.owner),
        "software": {"name": "Delt", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "Look-up across organisations, with a completeness receipt", "url": state.fhir},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [{
            "mode": "server",
            "documentation": "Search is by POST [type]/_search; a person's number never stands in a URL. Every searchset holds a completeness receipt: an OperationOutcome (search.mode outcome) with one issue a source. Entries carry the roads they came by as extensions. A receipt is read again as OperationOutcome/{id}; the key that signs it is at jwks beside this base. The first page of a search carries a link (relation https://delt.example/fhir/link/changes) to what will have changed since: new, corrected, withdrawn and first-answer are told apart. Not offered: search by GET, XML, and any write but a citizen's own wishes (Consent).",
            "operation": [{
                "name": "file",
                "definition": "https://delt.example/fhir/OperationDefinition/file",
                "documentation": "POST Parameters: receipt (the id of a look-up's receipt), reading (full addresses at sources of that receipt, at most 30) and assessment (text). 202: a document Bundle (Composition first, the readings as their holders have them, the receipt last) is on its way to the record system of the caller's organisation; 502 with a receipt: something could not be read, and nothing was filed.",
            }, {
                "name": "may-look",
                "definition": "https://delt.example/fhir/OperationDefinition/may-look",
                "documentation": "POST, by the patient or by whoever represents her where that covers the log; organization may name holders besides those that the locator names. Parameters: a holder for each that told (as its own may-look operation tells), and the receipt, which says who did not.",
            }, {
                "name": "explain-access",
                "definition": "https://delt.example/fhir/OperationDefinition/explain-access",
                "documentation": "POST, by the patient, or by whoever represents her of their own requests: request (the request id that an entry of the log names); organization may name holders besides those that the locator names. Parameters: a holder for each that knows of the request (as its own explain-access operation tells), the gateway's own decisions among them, and the receipt, which says who did not tell.",
            }, {
                "name": "read",
                "definition": "https://delt.example/fhir/OperationDefinition/read",
                "documentation": "POST a form or Parameters: url (the full address of a resource, or of a version, as an answer gave it) and organization (whose it is). A searchset of at most one, with the receipt.",
            }],
            "security": {
                "description": format!("DPoP-bound access tokens (RFC 9449, RFC 9068) from {} with this base as audience, bound to one patient; practitioners need the attest of the Norwegian trust framework (tillitsrammeverket).", state.config.issuer),
            },
            "resource": resources,
        }],
    })
}

/// A citizen's own blocks and reservation.
fn wishes() -> Value {
    json!({
        "type": "Consent",
        "documentation": "A citizen's own wishes, at every holder at once; each answer is, or holds, the receipt of what each holder did. Creating the same again is safe. The id stands for what the wish means, the same at every holder.",
        "interaction": [{"code": "create"}, {"code": "search-type"}, {"code": "delete"}],
        "searchParam": [chosen_besides()],
    })
}

/// The parameter that names more organisations.
fn chosen_besides() -> Value {
    json!({
        "name": ORGANIZATION,
        "type": "token",
        "documentation": "organisations to ask besides those that the locator names: organisation numbers, comma for or; not passed on",
    })
}

fn resource(row: &Supported) -> Value {
    // The gateway has no Patient of its own, so `patient` by logical id finds nothing here.
    let parameters = row
        .parameters
        .iter()
        .filter(|parameter| parameter.feeds != Feeds::Patient);
    let mut searched: Vec<Value> = parameters
        .filter_map(|p| {
            Some(json!({"name": p.name, "type": p.kind.code()?, "documentation": p.documentation}))
        })
        .collect();
    searched.push(chosen_besides());
    let mut told = json!({
        "type": row.resource.as_str(),
        "interaction": [{"code": "search-type"}],
        "searchParam": searched,
    });
    let operations: Vec<Value> = OPERATIONS
        .iter()
        .filter(|one| one.0 == row.resource.as_str())
        .map(|(_, name, definition, documentation)| {
            json!({"name": name, "definition": definition, "documentation": documentation})
        })
        .collect();
    if !operations.is_empty() {
        told["operation"] = Value::from(operations);
    }
    told
}
