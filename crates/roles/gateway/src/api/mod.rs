//! The gateway's interactions, one file each.

pub mod audit;
pub mod changes;
pub mod consent;
pub mod everything;
pub mod explain;
pub mod file;
pub mod lastn;
pub mod lookup;
pub mod may_look;
pub mod metadata;
mod opened;
pub mod page;
pub mod read;
pub mod receipt;
pub mod smart;
pub mod stats;

use crate::State;
use axum::extract::Request;
use axum::response::Response;
use fhir::bundle::SearchsetWriter;
use fhir::operation::Input;
use futures::future::BoxFuture;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use trust::Interaction;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Receives a caller, finds the desk of the organisation that asks, and ends the visit on record whatever `work` says.
///
/// It runs to its end even if the caller goes away, so that what sources gave is on record here as it is there.
async fn received<W>(
    state: Arc<State>,
    parts: Parts,
    ids: RequestIds,
    interaction: Interaction,
    work: W,
) -> Result<Response, Problem>
where
    W: for<'a, 'b> FnOnce(
            &'a State,
            &'a mut Visit<'b>,
            &'a Parts,
        ) -> BoxFuture<'a, Result<Response, End>>
        + Send
        + 'static,
{
    let run = async move {
        let visit = state.desks.own().receive(&parts, ids, interaction).await?;
        let desk = match state.desks.of(visit.caller().organisation).await {
            Ok(desk) => desk,
            Err(problem) => return visit.end(End::Problem(problem), || Ok(empty())).await,
        };
        let mut visit = visit.at(desk.as_deref().unwrap_or(state.desks.own()));
        match work(&state, &mut visit, &parts).await {
            Ok(response) => Ok(response),
            Err(end) => visit.end(end, || Ok(empty())).await,
        }
    };
    tokio::spawn(run)
        .await
        .unwrap_or_else(|_| Err(Problem::bug("a look-up ended in a panic")))
}

/// As [`received`], for an operation: its form or Parameters is read, and what was asked goes on record as far as `on_record`
/// takes a parameter by its name.
async fn operated<W>(
    state: Arc<State>,
    request: Request,
    ids: RequestIds,
    interaction: Interaction,
    on_record: fn(&str) -> bool,
    work: W,
) -> Result<Response, Problem>
where
    W: for<'a, 'b> FnOnce(&'a State, &'a Visit<'b>, Input) -> BoxFuture<'a, Result<Response, End>>
        + Send
        + 'static,
{
    let (parts, body) = request.into_parts();
    received(
        state,
        parts,
        ids,
        interaction,
        move |state, visit, parts| {
            Box::pin(async move {
                let form = wire::operation::read(&parts.headers, body).await?;
                let told = form.iter().filter(|(name, _)| on_record(name));
                visit.asked(&wire::form::write(
                    told.map(|(name, value)| (name.as_str(), value.as_str())),
                ));
                work(state, visit, form).await
            })
        },
    )
    .await
}

/// A searchset with nothing in it: what is answered about somebody else than the token's patient.
fn empty() -> Response {
    fhir_response(StatusCode::OK, SearchsetWriter::new(Some(0), &[]).finish())
}
