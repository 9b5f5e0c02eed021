//! History of everything, a type or an entry (FHIR R4 http.html#history; IHE mCSD 4.0, ITI-91): newest first, so that a copy
//! elsewhere takes the first it meets of each entry. Versions are numbered through; a page ends at a number, and what comes
//! meanwhile has higher ones, so that pages are stable.

use std::sync::Arc;

use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::time::{Instant, parse_instant};
use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};
use trust::Interaction;
use trust::scope::Access;
use wire::contract::catalogue::{FHIR, TYPES};
use wire::form::Form;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

use super::{permit, type_of};
use crate::State;
use crate::entry::Entry;
use crate::record;
use crate::shelf::Past;

/// History of everything.
pub const SYSTEM: &str = "/fhir/_history";
/// History of a type.
pub const TYPE: &str = "/fhir/{type}/_history";
/// History of an entry.
pub const INSTANCE: &str = "/fhir/{type}/{id}/_history";
/// One version.
pub const VERSION: &str = "/fhir/{type}/{id}/_history/{vid}";

/// Versions on a page unless `_count` says so.
const PAGE: usize = 100;
/// Most versions on a page.
const MOST: usize = 200;
/// Where a page goes on: below this number.
const BELOW: &str = "_below";

/// `GET {base}/fhir/_history`.
pub async fn of_all(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    told(&state, ids, request, None, None).await
}

/// `GET {base}/fhir/{type}/_history`.
pub async fn of_type(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    told(&state, ids, request, Some(&type_name), None).await
}

/// `GET {base}/fhir/{type}/{id}/_history`.
pub async fn of_one(
    extract::State(state): extract::State<Arc<State>>,
    Path((type_name, id)): Path<(String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    told(&state, ids, request, Some(&type_name), Some(&id)).await
}

async fn told(
    state: &State,
    ids: RequestIds,
    request: Request,
    type_name: Option<&str>,
    id: Option<&str>,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let mut visit = state
        .desk
        .receive(&parts, ids, Interaction::Directory)
        .await?;
    let answered = answer(state, &mut visit, &parts, type_name, id).await;
    record::finish(visit, answered).await
}

/// What a history was asked for.
struct Asked {
    since: Option<Instant>,
    count: usize,
    below: Option<u64>,
}

impl Asked {
    fn read(parts: &Parts) -> Result<Self, Problem> {
        let form = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let form = form.map_err(Problem::from)?.once().map_err(Problem::from)?;
        let mut asked = Self {
            since: None,
            count: PAGE,
            below: None,
        };
        let mut issues = Vec::new();
        for (name, value) in &form.0 {
            let read = match name.as_str() {
                "_since" => parse_instant(value).map(|at| asked.since = Some(at)).ok(),
                "_count" => value
                    .parse()
                    .ok()
                    .filter(|count| *count > 0)
                    .map(|count: usize| asked.count = count.min(MOST)),
                BELOW => value.parse().map(|below| asked.below = Some(below)).ok(),
                _ => {
                    let words = "a history takes _since and _count";
                    issues.push(Issue::error(IssueCode::NotSupported, "", words));
                    continue;
                }
            };
            if read.is_none() {
                let words = "expected _since as an instant, _count as a number above 0";
                issues.push(Issue::error(IssueCode::Value, "", words));
            }
        }
        if issues.is_empty() {
            Ok(asked)
        } else {
            Err(Problem::invalid_all(issues))
        }
    }

    /// As a query, to go on below a number if there is more.
    fn query(&self, below: Option<u64>) -> String {
        let since = self.since.map(|at| at.to_string());
        let (count, below) = (self.count.to_string(), below.map(|n| n.to_string()));
        let pairs = [
            since.as_deref().map(|at| ("_since", at)),
            Some(("_count", count.as_str())),
            below.as_deref().map(|below| (BELOW, below)),
        ];
        wire::form::write(pairs.into_iter().flatten())
    }
}

async fn answer(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    type_name: Option<&str>,
    id: Option<&str>,
) -> Result<Response, End> {
    let resource_type = type_name.map(type_of).transpose()?;
    let asked = Asked::read(parts)?;
    visit.asked(&asked.query(asked.below));
    let types = match resource_type {
        Some(one) => vec![one],
        None => TYPES
            .iter()
            .filter_map(|name| ResourceType::parse(name))
            .collect(),
    };
    let mut permitted = None;
    for one in types {
        permitted = Some(permit(visit, one, Access::Read)?);
    }
    let Some(permit) = permitted else {
        return Err(Problem::bug("a history of no type").into());
    };
    let shelf = state.shelf();
    let meant = |past: &&Past| {
        resource_type.is_none_or(|one| past.resource_type == one)
            && id.is_none_or(|id| past.id == id)
            && asked.since.is_none_or(|since| past.updated >= since)
    };
    if id.is_some() && !shelf.past().iter().any(|past| meant(&past)) && asked.since.is_none() {
        return Err(Problem::not_found().into());
    }
    let total = shelf.past().iter().filter(meant).count();
    let mut page: Vec<&Past> = shelf
        .past()
        .iter()
        .rev()
        .filter(meant)
        .filter(|past| asked.below.is_none_or(|below| past.number < below))
        .take(asked.count + 1)
        .collect();
    let more = page.len() > asked.count;
    page.truncate(asked.count);
    let mut entries = Vec::with_capacity(page.len());
    for past in &page {
        // A renewal that another has taken the place of since is left out: the newer one stands on this page or one before.
        entries.extend(past.read(visit.store()).await?);
    }
    let given: Vec<&Entry> = entries.iter().collect();
    record::given(visit, &permit, &given).await?;
    let base = format!("{}{FHIR}", state.base);
    let mut place = base.clone();
    for part in [type_name, id].into_iter().flatten() {
        place.push('/');
        place.push_str(part);
    }
    let mut links = vec![json!({
        "relation": "self", "url": format!("{place}/_history?{}", asked.query(asked.below)),
    })];
    if let Some(last) = page.last().filter(|_| more) {
        let query = asked.query(Some(last.number));
        links.push(json!({"relation": "next", "url": format!("{place}/_history?{query}")}));
    }
    let mut bundle = json!({
        "resourceType": "Bundle", "type": "history", "total": total, "link": links,
    });
    // What a copy says in `_since` the next time.
    if let Some(newest) = shelf.past().last() {
        bundle["meta"] = json!({"lastUpdated": newest.updated});
    }
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| line(entry, &base, visit.now))
        .collect();
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    Ok(fhir_response(StatusCode::OK, bundle.to_string()))
}

/// A version as a history tells it. A withdrawal has no resource, but its statement, so that a copy can verify it.
fn line(entry: &Entry, base: &str, now: Instant) -> Value {
    let (method, status) = match (entry.kept.withdrawn, entry.version) {
        (true, _) => ("DELETE", "204"),
        (false, 1) => ("POST", "201"),
        (false, _) => ("PUT", "200"),
    };
    let url = match method {
        "POST" => entry.resource_type.to_string(),
        _ => entry.reference(),
    };
    let mut line = json!({
        "fullUrl": format!("{base}/{}", entry.reference()),
        "request": {"method": method, "url": url},
        "response": {
            "status": status, "lastModified": entry.updated, "etag": format!("W/\"{}\"", entry.version),
        },
    });
    if entry.kept.withdrawn {
        if let Some(stated) = &entry.kept.stated {
            use wire::contract::statement::STATEMENT;
            line["extension"] = json!([{"url": STATEMENT, "valueString": stated.jws}]);
        }
    } else {
        line["resource"] = entry.shown(now, None);
    }
    line
}
