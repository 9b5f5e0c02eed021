//! `Observation/$stats` (FHIR R4 observation-operation-stats.html): one patient's series in numbers, and as a curve.
//!
//! A code means its measurement kind, whichever of the kind's codes a reading carries; a component's code means that part
//! of the kind. Each series is counted in the kind's first unit (`spec/measurements`); what cannot be brought to it is left out
//! and said. Left out and said, too: readings that are entered in error or cancelled, and values with a comparator. A code
//! of no known kind is taken literally, in the unit of its newest reading. A reading's time is when it started.
//!
//! Ours beside FHIR's parameters: `start` and `end` (a Period without Parameters), and `bucket` for a curve.

mod ask;
mod read;
mod write;

use super::input;
use super::question::{PATIENT, Question};
use crate::State;
use ask::Asked;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::{PatientParam, Query};
use http::{HeaderMap, StatusCode};
use read::Counted;
use std::sync::Arc;
use trust::{Ask, Interaction, audit};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Most readings looked at in one call; more is refused, never cut off.
const MOST_READINGS: usize = 100_000;

/// `POST {base}/Observation/$stats`.
pub async fn stats(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut visit = state.desk.receive(&parts, ids, Interaction::Search).await?;
    match answer(&state, &mut visit, &parts.headers, body).await {
        Ok(response) => Ok(response),
        // Another patient: as if there were nothing, in the shape that an answer has when nothing was found at all.
        Err(end) => visit.end(end, || Ok(nothing())).await,
    }
}

/// An answer without any series.
fn nothing() -> Response {
    fhir_response(
        StatusCode::OK,
        &br#"{"resourceType":"Parameters","parameter":[]}"#[..],
    )
}

async fn answer(
    state: &State,
    visit: &mut Visit<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, End> {
    // The need first, then what was asked.
    visit.permit(&Ask::of(Interaction::Search, ResourceType::OBSERVATION))?;
    let form = input::read(headers, body).await?;
    visit.asked(&wire::form::write(
        form.iter().map(|(n, v)| (n.as_str(), v.as_str())),
    ));
    let asked = Asked::read(&form, &state.config.zone, visit.now).map_err(Problem::invalid_all)?;
    let whose = form
        .into_iter()
        .filter(|(name, _)| PATIENT.contains(&name.as_str()))
        .collect();
    let question = Question::read(state, visit, whose).await?;
    let mut counted: Vec<Counted> = Vec::new();
    if let Some(person) = &question.person {
        let mut looked_at = 0;
        for wanted in &asked.wanted {
            let query = Query {
                patient: Some(PatientParam::Identifier(person.clone())),
                codes: wanted.tokens.clone(),
                dates: asked.dates.clone(),
                count: Query::MAX_COUNT,
                ..question.query.clone()
            };
            let mut counting = Counted::of(wanted);
            let mut after = None;
            loop {
                let page = state
                    .desk
                    .store
                    .search(&question.permit, &query, after)
                    .await?;
                looked_at += page.matches.len();
                if looked_at > MOST_READINGS {
                    let words = format!(
                        "more than {MOST_READINGS} readings; ask for a shorter time or fewer codes"
                    );
                    let issue = Issue::error(IssueCode::TooCostly, "period", words);
                    return Err(Problem::invalid_all(vec![issue]).into());
                }
                for stored in page.matches {
                    counting.take(&stored, &state.config.zone)?;
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            counted.push(counting.finished());
        }
    }
    let subject = question.reference(state).await?;
    let text = write::parameters(&asked, &counted, subject.as_deref(), &state.config.zone);
    let disclosed = counted
        .iter()
        .flat_map(Counted::used)
        .map(|(what, count)| audit::Counted {
            resource: "Observation".to_owned(),
            what,
            count,
        })
        .collect();
    let record = visit
        .record()
        .permitted(&question.permit)
        .about(question.person.clone())
        .counting(disclosed);
    visit.write(record).await?;
    Ok(fhir_response(StatusCode::OK, text))
}
