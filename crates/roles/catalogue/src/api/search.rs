//! Search on a type, by GET and by POST `_search` (FHIR R4 search.html). No parameter here carries a person's number, so
//! both ways are open; the query string goes nowhere but into the question.

use std::sync::Arc;

use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::outcome::{Issue, IssueCode};
use http::StatusCode;
use serde_json::{Value, json};
use trust::Interaction;
use trust::scope::Access;
use wire::contract::catalogue::searchset;
use wire::form::Form;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

use super::{permit, type_of};
use crate::State;
use crate::entry::Entry;
use crate::question::Question;
use crate::record;

/// Most entries in one answer (threats-and-faults section 4).
const MOST: usize = 1_000;

/// `GET {base}/fhir/{type}?…`.
pub async fn by_query(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let mut visit = state
        .desk
        .receive(&parts, ids, Interaction::Directory)
        .await?;
    let form = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let answered = match form {
        Ok(form) => answer(&state, &mut visit, &type_name, &form).await,
        Err(fault) => Err(Problem::from(fault).into()),
    };
    record::finish(visit, answered).await
}

/// `POST {base}/fhir/{type}/_search`.
pub async fn by_form(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut visit = state
        .desk
        .receive(&parts, ids, Interaction::Directory)
        .await?;
    let answered = match form(&parts.uri, &parts.headers, body).await {
        Ok(form) => answer(&state, &mut visit, &type_name, &form).await,
        Err(problem) => Err(problem.into()),
    };
    record::finish(visit, answered).await
}

/// The form of a POST search. FHIR lets parameters stand in the URL too; here one place is enough.
async fn form(
    uri: &http::Uri,
    headers: &http::HeaderMap,
    body: axum::body::Body,
) -> Result<Form, Problem> {
    if uri.query().is_some_and(|query| !query.is_empty()) {
        let words = "the parameters of _search stand in the form body alone";
        return Err(Problem::not_supported("url", words));
    }
    Ok(wire::form::read(headers, body).await?)
}

async fn answer(
    state: &State,
    visit: &mut Visit<'_>,
    type_name: &str,
    form: &Form,
) -> Result<Response, End> {
    let resource_type = type_of(type_name)?;
    let question = Question::parse(resource_type, &form.0).map_err(Problem::invalid_all)?;
    let (shelf, now) = (state.shelf(), visit.now);
    let told = question.told(&shelf, state.register());
    visit.asked(&told);
    let permit = permit(visit, resource_type, Access::Search)?;
    let found: Vec<&Entry> = shelf
        .of_type(resource_type)
        .map(std::convert::AsRef::as_ref)
        .filter(|entry| question.finds(entry, &shelf, state.register(), now))
        .collect();
    if found.len() > MOST {
        let words = format!("more than {MOST} entries; name an organisation");
        let issue = Issue::error(IssueCode::TooCostly, "", words);
        return Err(Problem::invalid_all(vec![issue]).into());
    }
    record::given(visit, &permit, &found).await?;
    let base = format!("{}{}", state.base, wire::contract::catalogue::FHIR);
    let resources: Vec<Value> = found.iter().map(|entry| state.shown(entry, now)).collect();
    let mut bundle = searchset(&base, &resources);
    let mark = if told.is_empty() { "" } else { "?" };
    bundle["link"] =
        json!([{"relation": "self", "url": format!("{base}/{resource_type}{mark}{told}")}]);
    Ok(fhir_response(StatusCode::OK, bundle.to_string()))
}
