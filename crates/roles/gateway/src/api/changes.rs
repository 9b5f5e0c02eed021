//! What has changed since the caller last looked, by the sealed link of an earlier answer (ours; FHIR R4 has no such
//! interaction over several servers): new, corrected, withdrawn, and all of sources that answer for the first time, each told
//! apart. The answer carries a link of its own for the next time.

use super::lookup::taken;
use super::opened::Opened;
use super::received;
use crate::State;
use crate::account;
use crate::answer::{self, Page};
use crate::ask::Errand;
use crate::changes::{self, Known, known};
use crate::merge::merge;
use crate::place::Place;
use crate::question::Question;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use std::sync::Arc;
use trust::Interaction;
use wire::outcome::Problem;
use wire::paging::Ticket;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Most changes in one answer; whoever missed more looks up anew.
const MOST: usize = 1_000;

/// `GET {gateway}/fhir/_changes/{sealed}`.
pub async fn changes(
    extract::State(state): extract::State<Arc<State>>,
    Path(sealed): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    received(state, parts, ids, Interaction::Lookup, |state, visit, _| {
        Box::pin(async move {
            let unsealed = visit.store().unseal(&sealed);
            let ticket: Ticket<Known> = Ticket::open(unsealed, visit.caller(), visit.now)?;
            let (type_name, moments) = ticket.cursor;
            visit.asked(&wire::form::write(
                ticket.query.iter().map(|(n, v)| (n.as_str(), v.as_str())),
            ));
            let question = Question::read(&type_name, ticket.query, &state.config)?;
            told(state, visit, &question, moments).await
        })
    })
    .await
}

async fn told(
    state: &State,
    visit: &Visit<'_>,
    question: &Question,
    moments: Vec<(String, i64)>,
) -> Result<Response, End> {
    let asked = (Interaction::Lookup, question);
    let form = |patient: &_| question.for_sources(patient, Place::Start);
    let errand = (Place::Start, Errand::Whole);
    let opened = Opened::open((state, visit), asked, errand, form).await?;
    let sources = &opened.sources;
    let known = known(moments, visit.now);
    let (answers, withdrawn) = changes::since(&opened.asking(), sources, &known).await;
    let copies = answers.iter().flat_map(taken).collect();
    let shown = merge(copies, question.rule(), question.sort());
    if shown.len() > MOST {
        let words = "more has changed than one answer holds; look up anew";
        return Err(Problem::invalid(fhir::outcome::IssueCode::TooCostly, "", words).into());
    }
    let receipt = account::receipt(sources, &answers, &shown, visit.now);
    let total = receipt.is_whole().then_some(shown.len() as u64);
    let page = Page {
        path: question.resource.as_str(),
        parameters: &question.own_link(),
        total,
        shown,
        withdrawn,
        next: None,
        changes: changes::link(state, visit, question, sources, &answers)?,
    };
    answer::give(state, visit, &opened.permit, sources, receipt, page).await
}
