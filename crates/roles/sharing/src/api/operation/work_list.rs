//! `Task/$work-list`: the organisation's own patients under follow-up, worst first, for its own personnel (decision 0053). A page of
//! rows, and in the same commit one record about each patient who is on it and one of the question itself.

use crate::State;
use crate::api::type_of;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use trust::{Ask, Interaction};
use wire::contract::work_list::{COUNT, KNOWN, MOST_ROWS, OFFSET, WorkList};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Rows where the caller does not say how many.
const ROWS: usize = 50;
/// Most patients under follow-up that a list is made of.
const MOST: usize = 2_000;
/// Longest tag.
const TAG: usize = 64;

/// `POST {base}/Task/$work-list`.
pub async fn work_list(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| answer(&state, visit, &parts, body).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::WorkList, work).await
}

/// What is asked.
struct Asked {
    count: usize,
    offset: usize,
    known: Option<String>,
}

async fn answer(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let resource = type_of(state, ResourceType::TASK.as_str())?;
    visit.may_list()?;
    let asked = asked(&wire::operation::read(&parts.headers, body).await?)?;
    visit.asked(&format!(
        "{COUNT}={}&{OFFSET}={}",
        asked.count, asked.offset
    ));
    let followed = state.followed(MOST).await?.ok_or_else(|| {
        let words = "more than 2000 patients are followed up: too many for one list";
        Problem::invalid(IssueCode::TooCostly, "Task", words)
    })?;
    let ask = Ask::of(Interaction::WorkList, resource);
    let mut shown = state.work_list(visit, &ask, followed).await?;
    let total = shown.len();
    shown.truncate(asked.offset.saturating_add(asked.count));
    let page = shown.split_off(asked.offset.min(shown.len()));
    let mut list = WorkList {
        tag: String::new(),
        at: visit.now,
        device: state.device().statement(),
        total,
        offset: asked.offset,
        rows: page.iter().map(|one| one.row.clone()).collect(),
        same: false,
    };
    list.tag = tag(state, &list);
    if asked.known.as_ref() == Some(&list.tag) {
        // Nothing is told of anybody but that she is as she was.
        (list.rows, list.same) = (Vec::new(), true);
        visit.write(visit.record()).await?;
        return Ok(given(&list));
    }
    let mut change = visit.change(visit.record());
    change.also = page
        .into_iter()
        .map(|one| {
            let record = visit.record().permitted(&one.permit);
            record.about(Some(one.row.patient)).disclosing(one.given)
        })
        .collect();
    visit.commit(change).await?;
    Ok(given(&list))
}

fn given(list: &WorkList) -> Response {
    fhir_response(StatusCode::OK, list.to_json().to_string().into_bytes())
}

/// What a list says, in short: under the store's own key, so that it tells nobody what it says.
fn tag(state: &State, list: &WorkList) -> String {
    let said = WorkList {
        at: fhir::time::Instant(0),
        ..list.clone()
    };
    let text = said.to_json().to_string();
    let key = state.desk.store.keyed("work list", text.as_bytes());
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn asked(input: &[(String, String)]) -> Result<Asked, Problem> {
    let mut asked = Asked {
        count: ROWS,
        offset: 0,
        known: None,
    };
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in input {
        if seen.contains(&name.as_str()) {
            return Err(Problem::invalid(IssueCode::Value, name, "expected once"));
        }
        seen.push(name);
        let number = |most: usize| value.parse().ok().filter(|number| *number <= most);
        match name.as_str() {
            COUNT => {
                let words = "expected a whole number from 1 to 200";
                let count = number(MOST_ROWS).filter(|count| *count > 0);
                asked.count =
                    count.ok_or_else(|| Problem::invalid(IssueCode::Value, COUNT, words))?;
            }
            OFFSET => {
                let words = "expected a whole number from 0 to 2000";
                asked.offset = number(MOST)
                    .ok_or_else(|| Problem::invalid(IssueCode::Value, OFFSET, words))?;
            }
            KNOWN if value.len() <= TAG => asked.known = Some(value.clone()),
            KNOWN => {
                let words = "expected the tag of an earlier list";
                return Err(Problem::invalid(IssueCode::Value, KNOWN, words));
            }
            _ => {
                let words = "known are _count, _offset and known";
                return Err(Problem::invalid(IssueCode::NotSupported, "", words));
            }
        }
    }
    Ok(asked)
}
