//! The audit trail as the patient may see it (audit.md section 3): who looked, from where, why and when, with names and
//! without staff numbers. Reading it is itself on record.

use crate::State;
use wire::visit::{End, Visit};
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::bundle::{SearchMode, SearchsetWriter};
use fhir::resource::ResourceType;
use fhir::search::{PatientParam, Via};
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use trust::audit::fhir::{Observer, View};
use trust::{Ask, Interaction, PermitScope};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;

/// `POST {base}/AuditEvent/_search`: newest first, at most one page (`_count`, 200 at the most).
pub async fn search(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut visit = state.desk.receive(&parts, ids, Interaction::AuditSearch).await?;
    match found(&state, &mut visit, &parts, body).await {
        Ok(response) => Ok(response),
        Err(end) => visit.end(end, || Ok(fhir_response(StatusCode::OK, SearchsetWriter::new(Some(0), &[]).finish()))).await,
    }
}

async fn found(state: &State, visit: &mut Visit<'_>, parts: &Parts, body: Body) -> Result<Response, End> {
    let form = wire::form::read(&parts.headers, body).await.map_err(Problem::from)?.0;
    visit.asked(&wire::form::write(form.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
    let query = fhir::search::parse(ResourceType::AUDIT_EVENT, &form, Via::Post, &state.config.zone, state.config.person_numbers)
        .map_err(Problem::invalid_all)?;
    let mut ask = Ask::of(Interaction::AuditSearch, ResourceType::AUDIT_EVENT);
    ask.patient = match &query.patient {
        Some(PatientParam::Identifier(person)) => Some(person.clone()),
        Some(PatientParam::Local(id)) => state.desk.store.patient_of(*id).await?,
        None => None,
    };
    let permit = visit.permit(&ask)?;
    let patient = match permit.patient() {
        PermitScope::Patient(patient) => patient.clone(),
        PermitScope::OwnStore => {
            return Err(Problem::not_supported("patient", "the whole trail is read with `delt audit`; here it is read for one patient").into());
        }
    };
    let filter = store::AuditFilter { patient: Some(patient), limit: query.count as usize, ..store::AuditFilter::default() };
    let entries = state.desk.store.audit_search(filter).await?;
    let _receipt = visit.write(visit.record().permitted(&permit)).await?;
    let wanted = |when: fhir::time::Instant| {
        let moment = fhir::time::Range { lo: when.0, hi: when.0 + 1 };
        query.dates.iter().all(|date| date.matches(&moment))
    };
    let observer = Observer { organisation: &state.config.owner, service: &state.config.id, register: &state.config.register };
    let mut writer = SearchsetWriter::new(None, &[]);
    for entry in entries.iter().filter(|e| wanted(e.record.when)) {
        let event = trust::audit::fhir::render(&entry.record, &entry.sequence.to_string(), observer, View::Patient);
        writer.entry(None, event.to_string().as_bytes(), SearchMode::Match);
    }
    Ok(fhir_response(StatusCode::OK, writer.finish()))
}
