//! The next page of a look-up, by the sealed link that the page before gave. The same question is asked again from there on.

use super::{lookup, received};
use crate::State;
use crate::place::Place;
use crate::question::Question;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use std::sync::Arc;
use trust::Interaction;
use wire::outcome::Problem;
use wire::paging::Ticket;
use wire::request_id::RequestIds;

/// `GET {gateway}/fhir/_page/{sealed}`.
pub async fn page(
    extract::State(state): extract::State<Arc<State>>,
    Path(sealed): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    received(state, parts, ids, Interaction::Lookup, |state, visit, _| {
        Box::pin(async move {
            let unsealed = visit.store().unseal(&sealed);
            let ticket: Ticket<(String, Place)> =
                Ticket::open(unsealed, visit.caller(), visit.now)?;
            let (type_name, place) = ticket.cursor;
            visit.asked(&wire::form::write(
                ticket.query.iter().map(|(n, v)| (n.as_str(), v.as_str())),
            ));
            let question = Question::read(&type_name, ticket.query, &state.config)?;
            lookup::look_up(state, visit, &question, place).await
        })
    })
    .await
}
