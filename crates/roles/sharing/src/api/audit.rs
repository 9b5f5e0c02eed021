//! The audit trail as the patient may see it (audit.md section 3): who looked, from where, why and when, with names and
//! without staff numbers. Reading it is itself on record.

use super::search::{Form, Named, empty, next_link, own_link};
use crate::State;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::bundle::{SearchMode, SearchsetWriter};
use fhir::ids::PersonIdentifier;
use fhir::resource::ResourceType;
use fhir::search::{Query, Sort, Via};
use fhir::time::Range;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use store::{AuditEntry, AuditFilter, StoreError};
use trust::audit::Disclosed;
use trust::audit::fhir::{Observer, View, render};
use trust::{Ask, Interaction, PermitScope};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Records looked at for one answer at most; a trail that is longer is read by date.
const MOST: usize = 10_000;
/// Records taken from the store at a time.
const CHUNK: usize = 1_000;

/// `POST {base}/AuditEvent/_search`: newest first unless asked otherwise, in pages.
pub async fn search(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let nothing = || Ok(empty());
    let work = async |visit: &mut Visit<'_>| found(&state, visit, &parts, body).await;
    state
        .desk
        .serve_or(&parts, ids, Interaction::AuditSearch, nothing, work)
        .await
}

async fn found(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let form = wire::form::read(&parts.headers, body)
        .await
        .map_err(Problem::from)?
        .0;
    visit.asked(&wire::form::write(
        form.iter().map(|(n, v)| (n.as_str(), v.as_str())),
    ));
    answer(state, visit, form, None).await
}

/// A further page; `after` is the place of the last record given.
pub(super) async fn page(
    state: &State,
    visit: &Visit<'_>,
    form: Form,
    after: &[u8],
) -> Result<Response, End> {
    let after = <[u8; 8]>::try_from(after).map_err(|_| Problem::not_found())?;
    answer(state, visit, form, Some(u64::from_be_bytes(after))).await
}

pub(super) async fn answer(
    state: &State,
    visit: &Visit<'_>,
    form: Form,
    after: Option<u64>,
) -> Result<Response, End> {
    let ask = Ask::of(Interaction::AuditSearch, ResourceType::AUDIT_EVENT);
    visit.permit(&ask)?;
    let query = fhir::search::parse(
        ResourceType::AUDIT_EVENT,
        &form,
        Via::Post,
        &state.config.zone,
        state.config.person_numbers,
        fhir::search::Grammar::Shared,
    )
    .map_err(Problem::invalid_all)?;
    let named = Named::by(state, &query).await?;
    let permit = named.permit(visit, ask)?;
    let patient = match (permit.patient(), &named) {
        (PermitScope::Patient(patient), _) | (PermitScope::OwnStore, Named::Person(patient)) => {
            Some(patient.clone())
        }
        (PermitScope::OwnStore, Named::Nobody) | (PermitScope::Nobody, _) => None,
        (PermitScope::OwnStore, Named::Anyone) => {
            return Err(Problem::not_supported(
                "patient",
                "the whole trail is read with `delt audit`; here it is read for one patient",
            )
            .into());
        }
    };
    let mut entries = match patient {
        Some(patient) => trail(state, patient, &query, after).await?,
        None => Vec::new(),
    };
    let count = query.count as usize;
    let more = entries.len() > count;
    entries.truncate(count);
    let known = match &named {
        Named::Person(person) => state.desk.store.patient_id(person).await?,
        Named::Anyone | Named::Nobody => None,
    };
    let own = own_link(&state.base, ResourceType::AUDIT_EVENT, known, &query, &form);
    let next = match entries.last().filter(|_| more) {
        Some(last) => Some(next_link(
            state,
            visit,
            ResourceType::AUDIT_EVENT,
            form,
            last.sequence.to_be_bytes().to_vec(),
        )?),
        None => None,
    };
    let given = entries
        .iter()
        .map(|e| Disclosed {
            resource: "AuditEvent".to_owned(),
            id: e.sequence.to_string(),
            version: 1,
        })
        .collect();
    let _receipt = visit
        .write(visit.record().permitted(&permit).disclosing(given))
        .await?;
    let links: Vec<(&str, &str)> = [("self", own.as_str())]
        .into_iter()
        .chain(next.as_deref().map(|url| ("next", url)))
        .collect();
    let total = (!more && after.is_none()).then_some(entries.len() as u64);
    let observer = Observer {
        organisation: &state.config.owner,
        service: &state.config.id,
        register: &state.config.register,
    };
    let view = View::of(&visit.caller().person);
    let mut writer = SearchsetWriter::new(total, &links);
    for entry in &entries {
        let id = entry.sequence.to_string();
        let event = render(&entry.record, &id, observer, view);
        writer.entry(
            Some(&format!("{}/AuditEvent/{id}", state.base)),
            event.to_string().as_bytes(),
            SearchMode::Match,
        );
    }
    Ok(fhir_response(StatusCode::OK, writer.finish()))
}

/// The records of one patient that the query means, in its order, after `after`: one more than a page holds, if there are.
async fn trail(
    state: &State,
    patient: PersonIdentifier,
    query: &Query,
    after: Option<u64>,
) -> Result<Vec<AuditEntry>, End> {
    let newest_first = query.sort == Sort::DateDesc;
    let wanted = query.count as usize + 1;
    let mut found: Vec<AuditEntry> = Vec::new();
    let mut before = after.filter(|_| newest_first);
    for _ in 0..MOST / CHUNK {
        let filter = AuditFilter {
            patient: Some(patient.clone()),
            before,
            limit: CHUNK,
            ..AuditFilter::default()
        };
        let chunk = state.desk.store.audit_search(filter).await?;
        let ended = chunk.len() < CHUNK;
        before = chunk.last().map(|entry| entry.sequence);
        found.extend(chunk.into_iter().filter(|entry| {
            let when = entry.record.when.0;
            let unseen = newest_first || after.is_none_or(|after| entry.sequence > after);
            unseen
                && query.dates.iter().all(|date| {
                    date.matches(&Range {
                        lo: when,
                        hi: when + 1,
                    })
                })
        }));
        if ended || (newest_first && found.len() >= wanted) {
            if !newest_first {
                found.reverse();
            }
            found.truncate(wanted);
            return Ok(found);
        }
    }
    Err(StoreError::TooCostly.into())
}
