//! `$explain-access`: what an earlier request here was refused or denied, or what was left out of what was given, by which rule,
//! in plain Norwegian (both) and English, and by which versions of which rules.
//!
//! Parameter `request`: the `X-Request-Id` of the answer. Told to the patient, to personnel of the organisation that asked
//! (about the same patient), and to the organisation's own record system; to all others no such request is known. Who acts
//! for a patient hears of their own requests alone. What a block of a kind hides is told to the patient alone
//! ([`trust::explain`]). What else the decision rested on (scopes, level of login, agreement, wishes by id, as of when settings
//! elsewhere were known) is told to the controller's own systems alone.

use crate::State;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::ids::LogicalId;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{AuditEntry, AuditFilter};
use trust::audit::{Outcome, Record};
use trust::explain::{Explanation, Told, explain};
use trust::{Ask, Interaction, PermitScope, Person};

use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Records of one request that are looked at: one, and one for each entry of a bundle.
const MOST: usize = 600;

/// `POST {base}/$explain-access`.
pub async fn explain_access(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| told(&state, visit, &parts.headers, body).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::Explain, work).await
}

async fn told(
    state: &State,
    visit: &mut Visit<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Explain, ResourceType::AUDIT_EVENT))?;
    let asked = request_named(&wire::operation::read(headers, body).await?)?;
    visit.asked(&format!("request={asked}"));
    let filter = AuditFilter {
        request_id: Some(asked.to_string()),
        limit: MOST,
        ..AuditFilter::default()
    };
    let entries = state.desk.store.audit_search(filter).await?;
    let open = |entry: &&AuditEntry| {
        let record = &entry.record;
        match permit.patient() {
            PermitScope::OwnStore => true,
            PermitScope::Patient(patient) => {
                record.patient.as_ref() == Some(patient) && theirs(state, visit, record)
            }
            PermitScope::Nobody => false,
        }
    };
    let mut records: Vec<&AuditEntry> = entries.iter().filter(open).collect();
    records.sort_by_key(|entry| entry.sequence);
    if records.is_empty() {
        return Err(Problem::not_found().into());
    }
    let to = match visit.caller().person {
        Person::Citizen { .. } => Told::Patient,
        _ => Told::Organisation,
    };
    let controller = permit.patient() == &PermitScope::OwnStore && permit.is_own();
    let parts = records.iter().map(|one| {
        let mut parts = part(&one.record, to);
        parts.extend(
            controller
                .then(|| inputs(&one.record))
                .into_iter()
                .flatten(),
        );
        json!({"name": "decision", "part": parts})
    });
    let parts: Vec<Value> = parts.collect();
    let about = records.first().and_then(|one| one.record.patient.clone());
    visit
        .write(visit.record().permitted(&permit).about(about))
        .await?;
    let answer = json!({"resourceType": "Parameters", "parameter": parts});
    Ok(fhir_response(StatusCode::OK, answer.to_string()))
}

/// Whether a record is about a request of the caller's own: the patient's are all hers, and hers alone are her blocks.
fn theirs(state: &State, visit: &Visit<'_>, record: &Record) -> bool {
    let controller = |one| state.config.register.main_unit(one);
    match &visit.caller().person {
        Person::Citizen {
            represents: None, ..
        } => true,
        Person::Citizen { identifier, .. } => {
            let asker = record.person.as_ref();
            asker.is_some_and(|asker| asker.represents && asker.identifier == *identifier)
        }
        _ => {
            let (own, other) = (visit.caller().organisation, record.organisation);
            own.is_some() && own.map(controller) == other.map(controller)
        }
    }
}

fn request_named(input: &[(String, String)]) -> Result<LogicalId, Problem> {
    let [(name, value)] = input else {
        let words = "one parameter is expected: request, the X-Request-Id of the answer";
        return Err(Problem::invalid(IssueCode::Required, "request", words));
    };
    if name != "request" {
        let words = "this parameter is not known; expected: request";
        return Err(Problem::invalid(IssueCode::NotSupported, name, words));
    }
    LogicalId::parse(value).map_err(|_| {
        let words = "expected the X-Request-Id of an answer";
        Problem::invalid(IssueCode::Value, "request", words)
    })
}

/// What a decision rested on.
fn inputs(record: &Record) -> Vec<Value> {
    let inputs = &record.inputs;
    let agreement = record.agreement.as_ref().map(|(id, version)| {
        let services: Vec<String> = inputs.agreed.iter().map(ToString::to_string).collect();
        format!("{id}/{version} {}", services.join(" "))
    });
    let level = inputs.security_level.map(|level| level.to_string());
    let as_of = inputs.settings_as_of.map(|as_of| as_of.to_string());
    let scope = Some(inputs.scope.clone()).filter(|scope| !scope.is_empty());
    let wishes = Some(inputs.wishes.join(" ")).filter(|ids| !ids.is_empty());
    [
        ("scope", scope),
        ("security-level", level),
        ("agreement", agreement),
        ("wishes", wishes),
        ("settings-as-of", as_of),
    ]
    .into_iter()
    .filter_map(|(kind, value)| {
        Some(json!({"name": "input", "part": [
            {"name": "kind", "valueCode": kind},
            {"name": "value", "valueString": value?},
        ]}))
    })
    .collect()
}

/// The parts of one decision.
fn part(record: &Record, to: Told) -> Vec<Value> {
    let outcome = match &record.outcome {
        Outcome::Allowed => "allowed",
        Outcome::Refused { .. } => "refused",
        Outcome::Unauthenticated { .. } => "unauthenticated",
        Outcome::Failed { .. } => "failed",
    };
    let mut parts = vec![
        json!({"name": "when", "valueInstant": record.when.to_string()}),
        json!({"name": "outcome", "valueCode": outcome}),
    ];
    if !record.rules.is_empty() {
        let rules: Vec<String> = record
            .rules
            .iter()
            .map(|(name, version)| format!("{name}/{version}"))
            .collect();
        parts.push(json!({"name": "rules", "valueString": rules.join(" ")}));
    }
    parts.extend(explain(record, to).iter().map(reason));
    parts
}

fn reason(one: &Explanation) -> Value {
    let text = |language: &str, words: &str| {
        json!({"name": "text", "part": [
            {"name": "language", "valueCode": language},
            {"name": "value", "valueString": words},
        ]})
    };
    let mut parts = vec![
        json!({"name": "rule", "valueCode": one.rule}),
        text("nb", one.words.nb),
        text("nn", one.words.nn),
        text("en", one.words.en),
    ];
    parts.extend(
        one.withheld
            .iter()
            .map(|kind| json!({"name": "withheld", "valueCode": kind.to_string()})),
    );
    parts.extend(one.left_out.iter().map(|detail| {
        let words = detail.words();
        json!({"name": "left-out", "part": [
            {"name": "detail", "valueCode": detail.code()},
            text("nb", words.nb),
            text("nn", words.nn),
            text("en", words.en),
        ]})
    }));
    json!({"name": "reason", "part": parts})
}
