//! A citizen's one place for why somebody was refused, or given less than everything: an entry of her log names the request, and
//! every sharing service that the locator names or she chose (`organization`) is asked what it decided of it, each with a token of
//! its own, and the gateway's own trail too. The answer is Parameters (`wire::explained`): a `holder` for each that knows of it, and
//! the signed `receipt`, which says who did not tell.

use super::audit::ourselves;
use super::consent::{accounted, chosen_by, holders};
use super::{opened, received};
use crate::State;
use crate::account;
use crate::deadline::Deadline;
use crate::wishes::{Heard, Round, receipt};
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::ids::{LogicalId, OrganisationNumber, PersonIdentifier};
use fhir::resource::ResourceType;
use futures::future::join_all;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use store::{AuditFilter, StoreError};
use trust::audit::Record;
use trust::{Ask, Interaction, Person, explain};
use wire::explained::{self, Decision, Everywhere, Told};
use wire::form::Form;
use wire::outcome::{Problem, fhir_response};
use wire::receipt::SourceState;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Records of one request that are looked at in one of our stores.
const MOST: usize = 600;

/// `POST {gateway}/fhir/$explain-access`.
pub async fn everywhere(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let what = Interaction::Explain;
    received(state, parts, ids, what, move |state, visit, parts| {
        Box::pin(answer(state, visit, parts, body))
    })
    .await
}

async fn answer(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Explain, ResourceType::AUDIT_EVENT))?;
    let patient = opened::patient_of(&permit)?;
    let form = wire::operation::read(&parts.headers, body).await?;
    let (named, others): (Vec<_>, Vec<_>) =
        form.into_iter().partition(|(name, _)| name == "request");
    let asked = explained::request_named(&named)?;
    let chosen = chosen_by(state, visit, Form(others))?;
    visit.asked(&format!("request={asked}"));
    let deadline = Deadline::after(state.config.total_deadline);
    let mut sources = holders(state, visit, &chosen, &deadline).await;
    let round = Round {
        state,
        visit,
        patient,
        deadline: &deadline,
    };
    let (mut heard, own) = futures::join!(
        round.explain(&sources, &asked),
        own_decisions(state, visit, patient, &asked)
    );
    let mut told: Vec<Told> = sources
        .iter()
        .zip(&heard)
        .filter_map(|(source, heard)| {
            let decisions = heard.told().filter(|decisions| !decisions.is_empty())?;
            Some(Told {
                organisation: OrganisationNumber::parse(&source.organisation).ok()?,
                decisions: decisions.clone(),
            })
        })
        .collect();
    sources.push(ourselves(state));
    heard.push(Heard::ours(match own {
        Ok(own) => {
            let all = own.iter().flat_map(|one| one.decisions.clone());
            let all = all.collect();
            told.extend(own);
            Ok(all)
        }
        Err(error) => {
            tracing::error!(%error, "the gateway's own trail cannot be read");
            Err((SourceState::Failed, "the trail cannot be read".to_owned()))
        }
    }));
    let receipt = receipt(&sources, &heard, Vec::len);
    let status = account::failure(&receipt).unwrap_or(StatusCode::OK);
    let account = accounted(state, visit, &permit, &sources, (receipt, status)).await?;
    if !account.status.is_success() {
        return Ok(fhir_response(account.status, account.body));
    }
    let answer = Everywhere {
        holders: told,
        receipt: serde_json::from_str(&account.body)
            .map_err(|_| Problem::bug("a receipt is not JSON"))?,
    };
    Ok(fhir_response(StatusCode::OK, answer.to_json().to_string()))
}

/// What the gateway itself decided of the request, by the organisations in whose name it was asked.
async fn own_decisions(
    state: &State,
    visit: &Visit<'_>,
    patient: &PersonIdentifier,
    request: &LogicalId,
) -> Result<Vec<Told>, StoreError> {
    let read = state
        .desks
        .trails()
        .into_iter()
        .map(async |(organisation, store)| {
            let filter = AuditFilter {
                request_id: Some(request.to_string()),
                patient: Some(patient.clone()),
                limit: MOST,
                ..AuditFilter::default()
            };
            let mut entries = store.audit_search(filter).await?;
            entries.retain(|entry| is_theirs(visit, &entry.record));
            entries.sort_by_key(|entry| entry.sequence);
            let decisions = entries
                .iter()
                .map(|entry| Decision::of(&entry.record, explain::Told::Patient));
            Ok(Told {
                organisation: organisation.unwrap_or(state.owner),
                decisions: decisions.collect(),
            })
        });
    let all: Result<Vec<Told>, StoreError> = join_all(read).await.into_iter().collect();
    Ok(all?
        .into_iter()
        .filter(|told| !told.decisions.is_empty())
        .collect())
}

/// The patient hears of every request about her, who acts for her of their own alone.
fn is_theirs(visit: &Visit<'_>, record: &Record) -> bool {
    match &visit.caller().person {
        Person::Citizen {
            represents: None, ..
        } => true,
        Person::Citizen { identifier, .. } => record.is_asked_for_the_patient_by(identifier),
        _ => false,
    }
}
