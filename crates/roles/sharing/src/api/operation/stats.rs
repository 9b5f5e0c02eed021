//! `Observation/$stats` (FHIR R4 observation-operation-stats.html): one patient's series in numbers, and as a curve.
//!
//! A code means its measurement kind, whichever of the kind's codes a reading carries; a component's code means that part
//! of the kind. Each series is counted in the kind's first unit (`spec/measurements`); what cannot be brought to it is left out
//! and said. Left out and said, too: readings that are entered in error or cancelled, and values with a comparator; preliminary
//! and corrected readings count. A code of no known kind is taken literally, in the unit of its newest reading. A reading's
//! time is when it started. `include` gives the readings that a value was taken from, newest first, at most `limit`.
//!
//! Ours beside FHIR's parameters: `start` and `end` (a Period without Parameters), and `bucket` for a curve.

mod read;

use super::question::Question;
use crate::State;
use crate::disclose::{listed, reduce};
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::ids::PersonIdentifier;
use fhir::operation::PATIENT;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::{PatientParam, Query};
use fhir::statistics::asked::{Asked, MOST_SOURCES, Wanted};
use fhir::statistics::counted::Counted;
use fhir::statistics::written::{self, Beside};
use http::{HeaderMap, StatusCode};
use read::{Reading, Sources};
use std::sync::Arc;
use store::{StoreError, Stored};
use trust::{Ask, Interaction, audit};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Most readings looked at in one call; more is refused, never cut off.
const MOST_READINGS: usize = 100_000;
/// Most bytes of the readings themselves in an answer.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// `POST {base}/Observation/$stats`.
pub async fn stats(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    // Another patient: as if there were nothing, in the shape that an answer has when nothing was found at all.
    let nothing = || Ok(nothing());
    let work = async |visit: &mut Visit<'_>| answer(&state, visit, &parts.headers, body).await;
    let desk = &state.desk;
    desk.serve_or(&parts, ids, Interaction::Search, nothing, work)
        .await
}

/// Takes in what was wanted, in one snapshot of the store; with it the readings to be given out, newest first.
async fn count(
    state: &State,
    question: &Question,
    person: &PersonIdentifier,
    asked: &Asked,
    wanted: Vec<Wanted>,
) -> Result<(Vec<Counted>, Vec<Stored>), End> {
    // One more than may be given out, so that too many are seen.
    let most = asked
        .sources
        .map_or(0, |limit| limit.unwrap_or(MOST_SOURCES + 1));
    let steps = wanted.into_iter().map(|wanted| {
        let query = Query {
            patient: Some(PatientParam::Identifier(person.clone())),
            codes: wanted.tokens.clone(),
            dates: asked.dates.clone(),
            ..question.query.clone()
        };
        (query, Reading::of(wanted, most))
    });
    let store = &state.desk.store;
    let walked = store
        .walk(&question.permit, steps.collect(), MOST_READINGS)
        .await;
    let mut counted = walked.map_err(|error| match error {
        StoreError::TooCostly => too_costly(
            "period",
            format!("more than {MOST_READINGS} readings; ask for a shorter time or fewer codes"),
        ),
        other => other.into(),
    })?;
    let kept = counted
        .iter_mut()
        .map(|one| std::mem::take(&mut one.sources));
    let sources = Sources::merged(kept, most);
    let bytes: usize = sources.iter().map(|one| one.body.len()).sum();
    if sources.len() > MOST_SOURCES || bytes > MOST_BYTES {
        let words = format!(
            "the readings behind the numbers are more than {MOST_SOURCES} or 8 MiB; give a limit, or ask for a shorter time"
        );
        return Err(too_costly("include", words).into());
    }
    Ok((
        counted
            .into_iter()
            .map(|one| one.counted.finished())
            .collect(),
        sources,
    ))
}

fn too_costly(name: &str, words: String) -> Problem {
    Problem::invalid_all(vec![Issue::error(IssueCode::TooCostly, name, words)])
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
    let form = wire::operation::read(headers, body).await?;
    visit.asked(&wire::form::write(
        form.iter().map(|(n, v)| (n.as_str(), v.as_str())),
    ));
    let asked = Asked::read(&form, &state.config.zone, visit.now).map_err(Problem::invalid_all)?;
    let whose = form
        .into_iter()
        .filter(|(name, _)| PATIENT.contains(&name.as_str()))
        .collect();
    let question = Question::read(state, visit, whose).await?;
    let mut asked = asked;
    let wanted = std::mem::take(&mut asked.wanted);
    let (counted, mut sources) = match &question.person {
        Some(person) => count(state, &question, person, &asked, wanted).await?,
        None => (Vec::new(), Vec::new()),
    };
    reduce(&question.permit, &mut sources)?;
    let subject = question.reference(state).await?;
    let beside = Beside {
        sources: sources.iter().map(|one| &one.body[..]).collect(),
        ..Beside::default()
    };
    let zone = &state.config.zone;
    let text = written::parameters(&asked, &counted, beside, subject.as_deref(), zone);
    let counted = counted
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
        .counting(counted)
        .disclosing(listed(&sources));
    visit.write(record).await?;
    Ok(fhir_response(StatusCode::OK, text))
}
