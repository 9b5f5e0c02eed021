//! The CapabilityStatement (FHIR R4 capabilitystatement.html): exactly what this service does, from the tables it is built of.

use crate::State;
use crate::subscription::{self, Topic};
use axum::extract;
use axum::response::Response;
use fhir::definitions::Types;
use fhir::resource::ResourceType;
use fhir::search::{Served, references, served, supported};
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::outcome::fhir_response;

/// Day on which the shape of this statement last changed.
const DATE: &str = "2026-11-30";

/// `GET {base}/metadata`.
pub async fn metadata(extract::State(state): extract::State<Arc<State>>) -> Response {
    let statement = statement(&state);
    fhir_response(StatusCode::OK, statement.to_string().into_bytes())
}

fn statement(state: &State) -> Value {
    let mut resources: Vec<Value> = state
        .config
        .types
        .iter()
        .map(|t| {
            let mut row = resource(t, served(t));
            along(&state.config.types, t, &mut row);
            row
        })
        .collect();
    resources.push(resource(ResourceType::AUDIT_EVENT, trail()));
    resources.push(wishes());
    if !state.config.subscribers.is_empty() {
        resources.push(subscriptions());
    }
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "publisher": state.config.name,
        "software": {"name": "Delt", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": format!("Data-sharing service of {}. {}", state.config.name, crate::publish::in_words(&state.config.publish)), "url": state.base, "custodian": custodian(state)},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "documentation": "Search is by POST [type]/_search, by GET and in a Patient's compartment; a person's number never stands in a URL, so what is searched by it goes by POST. Searches take chains (reference[:Type].parameter) and _has:Type:reference:parameter, at most two one after the other, within what could be read alone; _sort by any parameter but composites (at most five; what has no value comes last), _total (none, estimate, accurate), _count (0: the number alone). All pages of a search answer as of the first, what comes along among them. Several types are searched at once by POST [base]/_search or GET [base]?_type=A,B, by the parameters that each of them has (without _type, those of every type), sorted by _id or _lastUpdated or else newest first. A search that looks at too much is refused (too-costly), and one that takes over two seconds (timeout). Searches, reads and histories take _summary and _elements. _include and _revinclude, with :iterate, go two steps; an answer holds at most 1,000 resources, and more is refused. Bundles of type collection and batch are posted to the base, each entry taken alone; a transaction's entries are taken all or none, in the order DELETE, POST, PUT and PATCH (JSON Patch in a Binary), GET. A delete withdraws the shared copy; it touches no record and erases nothing. Not offered yet: XML.",
            "security": {
                "service": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}]}],
                "description": format!("DPoP-bound access tokens (RFC 9449, RFC 9068) from {} with this base as audience; patient data needs the attest of the Norwegian trust framework (tillitsrammeverket).", state.config.issuer),
            },
            "resource": resources,
            "interaction": [{"code": "batch"}, {"code": "transaction"}, {"code": "search-system"}],
            "searchParam": everywhere(state),
            "operation": super::operation::offered("", false),
        }],
    })
}

/// What a search of any type takes besides the type's own parameters.
fn everywhere(state: &State) -> Value {
    let mut all = vec![json!({
        "name": "_type",
        "type": "token",
        "documentation": "the types to search at once, with commas between; of [base] alone",
    })];
    if super::search::lists(state) {
        all.push(json!({
            "name": "_list",
            "type": "special",
            "documentation": "the id of a List here: what its entries refer to, as far as the List is seen",
        }));
    }
    all.into()
}

/// The organisation that answers for the service; whoever lists the address compares it with whose it is said to be.
fn custodian(state: &State) -> Value {
    let (owner, name) = (&state.config.owner, &state.config.name);
    json!({"identifier": {"system": fhir::systems::ORGNR, "value": owner.as_str()}, "display": name})
}

/// What comes along with a type's matches (`searchInclude`), and what may refer to them (`searchRevInclude`): references
/// between types that are served.
fn along(types: &Types, resource: ResourceType, row: &mut Value) {
    let of = |source: ResourceType| {
        references(source, types)
            .into_iter()
            .map(|(parameter, targets)| (parameter.name, targets))
    };
    let mut forwards: Vec<String> = of(resource)
        .map(|(name, _)| format!("{resource}:{name}"))
        .collect();
    if !forwards.is_empty() {
        forwards.insert(0, "*".to_owned());
        row["searchInclude"] = forwards.into();
    }
    let backwards: Vec<String> = types
        .iter()
        .flat_map(|source| of(source).map(move |(name, targets)| (source, name, targets)))
        .filter(|(_, _, targets)| targets.contains(&resource))
        .map(|(source, name, _)| format!("{source}:{name}"))
        .collect();
    if !backwards.is_empty() {
        row["searchRevInclude"] = backwards.into();
    }
}

/// A patient's own blocks and reservation.
fn wishes() -> Value {
    json!({
        "type": ResourceType::CONSENT.as_str(),
        "documentation": "What the patient has closed: made, listed and taken back by the patient alone, by a citizen's token. Scope patient-privacy, category LOINC 59284-0, a provision of type deny; provision.actor names an organisation or a practitioner, provision.class kinds of information, an action disclose reserves against sharing; none of these closes everything. In force from the next request.",
        "interaction": [{"code": "create"}, {"code": "delete"}, {"code": "search-type"}],
        "searchParam": [{"name": "patient", "type": "reference", "documentation": "the token's own patient"}],
    })
}

/// What may be subscribed to (`capabilitystatement-subscriptiontopic-canonical` of HL7's backport).
fn subscriptions() -> Value {
    let topic = |topic: Topic| {
        let url = subscription::canonical("capabilitystatement-subscriptiontopic-canonical");
        json!({"url": url, "valueCanonical": topic.canonical()})
    };
    let topics: Vec<Value> = Topic::ALL.into_iter().map(topic).collect();
    let codes = ["create", "read", "update", "delete", "search-type"];
    json!({
        "type": ResourceType::SUBSCRIPTION.as_str(),
        "extension": topics,
        "supportedProfile": [subscription::canonical("backport-subscription")],
        "documentation": "Of organisations that have registered endpoints here. criteria is a topic's canonical; the filter patient=Patient/{id} names the token's own patient, and the organisation's own record system alone may leave it out. rest-hook with application/fhir+json, content empty or id-only; heartbeat 30 to 86400 s, timeout 1 to 30 s, at most 100 events in one notification. It is active after the handshake, and error after seven failures in a row: nothing is sent then until it is put (If-Match) with status requested, by a token that states the need anew. Rights are asked at each notification; events have numbers without a gap, and the newest 1000 are given by $events. Another organisation's ends within 90 days. Notifications are signed (header delt-signature). Headers are not shown again. GET without parameters lists the caller's own.",
        "interaction": codes.map(|code| json!({"code": code})),
        "operation": super::operation::offered(ResourceType::SUBSCRIPTION.as_str(), false),
    })
}

/// What the trail is searched by: its own short list.
fn trail() -> Vec<Served> {
    let row = supported(ResourceType::AUDIT_EVENT);
    row.map_or(&[][..], |row| row.parameters)
        .iter()
        .filter_map(|p| {
            Some(Served {
                name: p.name,
                kind: p.kind.code()?,
                definition: None,
                documentation: p.documentation,
            })
        })
        .collect()
}

fn resource(resource: ResourceType, parameters: Vec<Served>) -> Value {
    let searched: Vec<Value> = parameters
        .into_iter()
        .map(|p| {
            let mut row = json!({"name": p.name, "type": p.kind, "documentation": p.documentation});
            if let Some(definition) = p.definition {
                row["definition"] = definition.into();
            }
            row
        })
        .collect();
    let interactions: &[&str] = if resource == ResourceType::AUDIT_EVENT {
        &["search-type"]
    } else {
        &[
            "read",
            "vread",
            "update",
            "patch",
            "delete",
            "history-instance",
            "history-type",
            "create",
            "search-type",
        ]
    };
    let mut row = json!({
        "type": resource.as_str(),
        "interaction": interactions.iter().map(|code| json!({"code": code})).collect::<Vec<_>>(),
        "searchParam": searched,
    });
    let profiles: Vec<&str> = fhir::check::profile::all()
        .iter()
        .filter(|profile| profile.resource == resource)
        .filter_map(|profile| profile.canonicals.first().map(String::as_str))
        .collect();
    if !profiles.is_empty() {
        row["supportedProfile"] = profiles.into();
    }
    let written = resource != ResourceType::AUDIT_EVENT;
    if let Some(operations) = super::operation::offered(resource.as_str(), written) {
        row["operation"] = operations;
    }
    if written {
        row["versioning"] = "versioned".into();
        row["readHistory"] = true.into();
        row["conditionalRead"] = "full-support".into();
        row["conditionalCreate"] = true.into();
        row["conditionalUpdate"] = true.into();
        row["conditionalDelete"] = "single".into();
        row["updateCreate"] = false.into();
    }
    row
}
