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
use fhir::resource::ResourceType;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use store::{AuditEntry, AuditFilter};
use trust::audit::Record;
use trust::explain::Told;
use trust::{Ask, Interaction, PermitScope, Person};
use wire::explained::{self, Decision};
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
    let asked = explained::request_named(&wire::operation::read(headers, body).await?)?;
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
    let decision = |one: &&AuditEntry| Decision {
        inputs: match controller {
            true => inputs(&one.record),
            false => Vec::new(),
        },
        ..Decision::of(&one.record, to)
    };
    let decisions: Vec<Decision> = records.iter().map(decision).collect();
    let about = records.first().and_then(|one| one.record.patient.clone());
    visit
        .write(visit.record().permitted(&permit).about(about))
        .await?;
    let answer = explained::answer(&decisions).to_string();
    Ok(fhir_response(StatusCode::OK, answer))
}

/// Whether a record is about a request of the caller's own: the patient's are all hers, and hers alone are her blocks.
fn theirs(state: &State, visit: &Visit<'_>, record: &Record) -> bool {
    let controller = |one| state.config.register.main_unit(one);
    match &visit.caller().person {
        Person::Citizen {
            represents: None, ..
        } => true,
        Person::Citizen { identifier, .. } => record.is_asked_for_the_patient_by(identifier),
        _ => {
            let (own, other) = (visit.caller().organisation, record.organisation);
            own.is_some() && own.map(controller) == other.map(controller)
        }
    }
}

/// What a decision rested on.
fn inputs(record: &Record) -> Vec<(String, String)> {
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
    .filter_map(|(kind, value)| Some((kind.to_owned(), value?)))
    .collect()
}
