//! Search on a type by POST (FHIR R4 search.html), answered from every source that may hold something.

use super::opened::{Opened, needed};
use super::received;
use crate::State;
use crate::account;
use crate::answer::{self, Page};
use crate::ask::{Timed, Told};
use crate::changes;
use crate::merge::merge;
use crate::place::{self, Cut, Paper, Place, cut};
use crate::question::{Question, looked_up};
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use http::request::Parts;
use std::sync::Arc;
use trust::Interaction;
use wire::outcome::Problem;
use wire::paging::{self, Ticket};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// `POST {gateway}/fhir/{type}/_search`.
pub async fn search(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    received(
        state,
        parts,
        ids,
        Interaction::Lookup,
        |state, visit, parts| {
            Box::pin(async move {
                let what = (Interaction::Lookup, type_name.as_str());
                let question = asked(state, visit, what, parts, body).await?;
                look_up(state, visit, &question, Place::Start).await
            })
        },
    )
    .await
}

/// `GET {gateway}/fhir/{type}?…`: not offered, and said so.
pub async fn by_get(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    received(state, parts, ids, Interaction::Lookup, |_, _, _| {
        Box::pin(async move {
            looked_up(&type_name)?;
            let words = format!(
                "search by GET is not offered here; POST the same parameters to {type_name}/_search"
            );
            Err(Problem::not_supported("url", words).into())
        })
    })
    .await
}

/// Reads the form; what was asked goes on record as received.
pub(super) async fn asked(
    state: &State,
    visit: &mut Visit<'_>,
    (interaction, type_name): (Interaction, &str),
    parts: &Parts,
    body: Body,
) -> Result<Question, End> {
    let form = wire::form::read(&parts.headers, body)
        .await
        .map_err(Problem::from)?
        .0;
    visit.asked(&wire::form::write(
        form.iter().map(|(n, v)| (n.as_str(), v.as_str())),
    ));
    needed(visit, interaction, [looked_up(type_name)?])?;
    let form = without_own_patient(form, type_name, visit.caller().patient_id.as_deref());
    Ok(Question::read(type_name, form, &state.config)?)
}

/// The patient of a launch is the token's, by the id that the app was given: named so, nobody else is meant, and nothing needs to be
/// said. Any other id stays, and is refused.
fn without_own_patient(
    mut form: Vec<(String, String)>,
    type_name: &str,
    own: Option<&str>,
) -> Vec<(String, String)> {
    let names = |name: &str| match type_name {
        "Patient" => name == "_id",
        _ => matches!(name, "patient" | "subject" | "patient:Patient"),
    };
    form.retain(|(name, value)| {
        let id = value.strip_prefix("Patient/").unwrap_or(value);
        !names(name) || own != Some(id)
    });
    form
}

/// One page of a look-up, from `place` on.
pub(super) async fn look_up(
    state: &State,
    visit: &Visit<'_>,
    question: &Question,
    place: Place,
) -> Result<Response, End> {
    let asked = (Interaction::Lookup, question);
    let form = |patient: &_| question.for_sources(patient, place);
    let opened = Opened::open((state, visit), asked, (place, question.errand()), form).await?;
    let (answers, sources) = (opened.ask().await, &opened.sources);
    let (page, all) = paged(question, place, &answers, question.query.count as usize);
    let receipt = account::receipt(sources, &answers, &page.shown, visit.now);
    let next = page
        .next
        .map(|place| next_link(state, visit, question, place))
        .transpose()?;
    let total = (place == Place::Start && next.is_none() && receipt.is_whole()).then_some(all);
    let changes = match place {
        Place::Start => changes::link(state, visit, question, sources, &answers)?,
        _ => None,
    };
    let page = Page {
        path: question.resource.as_str(),
        parameters: &question.own_link(),
        shown: page.shown,
        withdrawn: Vec::new(),
        total,
        next,
        changes,
    };
    answer::give(state, visit, &opened.permit, sources, receipt, page).await
}

/// Merges what came and cuts a page of at most `count` from it; with it, how many there are in all.
pub(super) fn paged(
    question: &Question,
    place: Place,
    answers: &[Timed],
    count: usize,
) -> (Cut, u64) {
    let horizons: Vec<i64> = answers.iter().filter_map(unread_from).collect();
    let copies = answers.iter().flat_map(taken).collect();
    let merged = merge(copies, question.rule(), question.sort());
    let all = merged.len() as u64;
    let paper = Paper {
        place,
        sort: question.sort(),
        count,
        horizons: &horizons,
        dated_only: !question.query.dates.is_empty() || !question.is_ordered(),
    };
    (cut(merged, &paper), all)
}

/// From where on a source's answer is not known, if it has more.
fn unread_from(timed: &Timed) -> Option<i64> {
    match &timed.told {
        Told::Gave(gave) if gave.more => place::horizon(&gave.given),
        _ => None,
    }
}

/// Copies of what a source gave; the bytes are shared.
pub(super) fn taken(timed: &Timed) -> Vec<crate::merge::Given> {
    match &timed.told {
        Told::Gave(gave) => gave.given.clone(),
        Told::Nothing { .. } => Vec::new(),
    }
}

/// The next page, for this caller only: the question and how far it came, sealed by the organisation's own store.
fn next_link(
    state: &State,
    visit: &Visit<'_>,
    question: &Question,
    place: Place,
) -> Result<String, End> {
    let cursor = (question.resource.as_str().to_owned(), place);
    let ticket = Ticket::new(visit.caller(), question.form.clone(), cursor, visit.now);
    Ok(paging::next_link(
        &state.fhir,
        &visit.store().seal(&ticket.to_bytes()?)?,
    ))
}
