//! `Task/$work-list`: the organisation's own patients under follow-up, worst first, for its own personnel (decision 0053). A page of
//! rows without those that the caller has already, and in the same commit one record about each patient of whom something is said and one of the
//! question itself.

use crate::State;
use crate::api::type_of;
use crate::work_list::{Found, Tags};
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use trust::{Ask, Interaction};
use wire::contract::work_list::{COUNT, KNOWN, MOST_ROWS, OFFSET, TAG, WorkList};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Rows where the caller does not say how many.
const ROWS: usize = 50;
/// Most patients under follow-up that a list is made of.
const MOST: usize = 2_000;
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
    known: Known,
}

/// What the caller has.
#[derive(Default)]
struct Known {
    /// The list's tag.
    list: Option<String>,
    /// Its rows'.
    rows: Vec<String>,
}

async fn answer(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let resource = type_of(state, ResourceType::TASK.as_str())?;
    visit.may_list()?;
    let Asked {
        count,
        offset,
        known,
    } = asked(&wire::operation::read(&parts.headers, body).await?)?;
    let rows = known.rows.len();
    visit.asked(&format!(
        "{COUNT}={count}&{OFFSET}={offset}&{KNOWN}={rows} rows"
    ));
    let followed = state.followed(MOST).await?.ok_or_else(|| {
        let words = "more than 2000 patients are followed up: too many for one list";
        Problem::invalid(IssueCode::TooCostly, "Task", words)
    })?;
    let ask = Ask::of(Interaction::WorkList, resource);
    let Found {
        mut shown,
        undecided,
    } = state.work_list(visit, &ask, followed).await?;
    let total = shown.len();
    shown.truncate(offset.saturating_add(count));
    let mut page = shown.split_off(offset.min(shown.len()));
    let tags = Tags::to(state, visit.caller(), visit.now);
    for one in &mut page {
        one.row.tag = tags.row(&one.row);
    }
    let mut list = WorkList {
        tag: String::new(),
        at: visit.now,
        device: state.device().statement(),
        total,
        undecided,
        quiet: state.quiet(visit.now),
        offset,
        same: false,
        order: page.iter().map(|one| one.row.tag.clone()).collect(),
        rows: Vec::new(),
        gone: Vec::new(),
    };
    list.tag = tags.list(&list);
    if known.list.as_ref() == Some(&list.tag) {
        // Nothing is told of anybody but that she is as she was.
        (list.same, list.order) = (true, Vec::new());
        visit.write(visit.record()).await?;
        return Ok(given(&list));
    }
    page.retain(|one| !known.rows.contains(&one.row.tag));
    list.rows = page.iter().map(|one| one.row.clone()).collect();
    let gone = known.rows.into_iter();
    list.gone = gone.filter(|tag| !list.order.contains(tag)).collect();
    let mut change = visit.change(visit.record());
    change.also = page
        .into_iter()
        .map(|one| {
            let record = visit.record().permitted(&one.permit);
            let record = record.with_facts(&one.decided_with);
            record.about(Some(one.row.patient)).disclosing(one.given)
        })
        .collect();
    visit.commit(change).await?;
    Ok(given(&list))
}

fn given(list: &WorkList) -> Response {
    fhir_response(StatusCode::OK, list.to_json().to_string().into_bytes())
}

fn asked(input: &[(String, String)]) -> Result<Asked, Problem> {
    let mut asked = Asked {
        count: ROWS,
        offset: 0,
        known: Known::default(),
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
            KNOWN => asked.known = known(value)?,
            _ => {
                let words = "known are _count, _offset and known";
                return Err(Problem::invalid(IssueCode::NotSupported, "", words));
            }
        }
    }
    Ok(asked)
}

/// The tag of a list, and then those of its rows.
fn known(text: &str) -> Result<Known, Problem> {
    let is_tag = |tag: &str| (1..=TAG).contains(&tag.len());
    let tags: Vec<_> = text.split(',').take(MOST_ROWS + 2).collect();
    if tags.len() > MOST_ROWS + 1 || !tags.iter().all(|tag| is_tag(tag)) {
        let words =
            "expected the tag of an earlier list, and those of its rows after it, joined by commas";
        return Err(Problem::invalid(IssueCode::Value, KNOWN, words));
    }
    let mut tags = tags.into_iter().map(str::to_owned);
    Ok(Known {
        list: tags.next(),
        rows: tags.collect(),
    })
}
