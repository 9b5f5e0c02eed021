//! History of a resource or a type (FHIR R4 http.html#history): its versions, newest first, withdrawals as DELETE.
//!
//! A type's history is the token's patient's, or all of it for the organisation's own record system. The next link is
//! sealed as a search's is; versions never change, so pages stand still.

use super::{id_of, search, type_of};
use crate::State;
use crate::disclose::disclose_versions;
use crate::part::Part;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::ids::LogicalId;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::Query;
use fhir::time::Instant;
use http::request::Parts;
use std::sync::Arc;
use store::{HistoryCursor, Past};
use trust::{Ask, Interaction, PermitScope};
use wire::outcome::Problem;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// What a page's ticket calls this question: `Observation/_history` or `Observation/{id}/_history`.
const HISTORY: &str = "_history";

/// `GET {base}/{type}/{id}/_history`.
pub async fn instance(
    extract::State(state): extract::State<Arc<State>>,
    Path((type_name, id)): Path<(String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    serve(&state, &parts, ids, (&type_name, Some(&id))).await
}

/// `GET {base}/{type}/_history`.
pub async fn of_type(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    serve(&state, &parts, ids, (&type_name, None)).await
}

async fn serve(
    state: &State,
    parts: &Parts,
    ids: RequestIds,
    (type_name, id): (&str, Option<&str>),
) -> Result<Response, Problem> {
    let work = async |visit: &mut Visit<'_>| {
        let (resource, id, form) = asked(state, visit, type_name, id, parts)?;
        answer(state, visit, resource, id, form, None).await
    };
    let interaction = if id.is_some() {
        Interaction::Read
    } else {
        Interaction::Search
    };
    state.desk.serve(parts, ids, interaction, work).await
}

/// A history asked for by an entry of a bundle.
pub(super) async fn told(
    state: &State,
    visit: &mut Visit<'_>,
    resource: ResourceType,
    id: Option<LogicalId>,
    form: search::Form,
) -> Result<Response, End> {
    let resource = kept(state, resource.as_str())?;
    past(resource, id, &form)?;
    visit.asked(&wire::form::write(
        form.iter().map(|(n, v)| (n.as_str(), v.as_str())),
    ));
    answer(state, visit, resource, id, form, None).await
}

fn asked(
    state: &State,
    visit: &mut Visit<'_>,
    type_name: &str,
    id: Option<&str>,
    parts: &Parts,
) -> Result<(ResourceType, Option<LogicalId>, search::Form), End> {
    let form = search::of_url(parts)?;
    visit.asked(&wire::form::write(
        form.iter().map(|(n, v)| (n.as_str(), v.as_str())),
    ));
    let resource = kept(state, type_name)?;
    Ok((resource, id.map(id_of).transpose()?, form))
}

/// A type whose versions are kept: the trail has none.
fn kept(state: &State, type_name: &str) -> Result<ResourceType, Problem> {
    type_of(state, type_name)
        .ok()
        .filter(|resource| state.serves(*resource))
        .ok_or_else(Problem::not_found)
}

/// A further page of a question `of`, as its ticket calls it; `None` if the ticket is for a search.
pub(super) async fn page(
    state: &State,
    visit: &Visit<'_>,
    of: &str,
    form: &search::Form,
    after: &[u8],
) -> Option<Result<Response, End>> {
    let of = of.strip_suffix(HISTORY)?.strip_suffix('/')?;
    let (type_name, id) = match of.split_once('/') {
        Some((type_name, id)) => (type_name, Some(id)),
        None => (of, None),
    };
    let opened = || {
        let id = id.map(id_of).transpose()?;
        let after = HistoryCursor::from_bytes(after).ok_or_else(Problem::not_found)?;
        Ok::<_, Problem>((kept(state, type_name)?, id, after))
    };
    Some(match opened() {
        Ok((resource, id, after)) => {
            answer(state, visit, resource, id, form.clone(), Some(after)).await
        }
        Err(problem) => Err(problem.into()),
    })
}

async fn answer(
    state: &State,
    visit: &Visit<'_>,
    resource_type: ResourceType,
    id: Option<LogicalId>,
    form: search::Form,
    after: Option<HistoryCursor>,
) -> Result<Response, End> {
    let interaction = if id.is_some() {
        Interaction::Read
    } else {
        Interaction::Search
    };
    let permit = visit.permit(&Ask::of(interaction, resource_type))?;
    let mut others = form.clone();
    let part = Part::taken(state, resource_type, &mut others)?;
    let past = past(resource_type, id, &others)?;
    let mut page = state.desk.store.history(&permit, past, after).await?;
    if id.is_some() && after.is_none() && past.since.is_none() && page.versions.is_empty() {
        return Err(Problem::not_found().into());
    }
    if id.is_some() && page.versions.is_empty() && after.is_none() {
        // Nothing since then: of something that is there, or of nothing at all.
        let all = Past {
            since: None,
            count: 1,
            ..past
        };
        if state
            .desk
            .store
            .history(&permit, all, None)
            .await?
            .versions
            .is_empty()
        {
            return Err(Problem::not_found().into());
        }
    }
    let of = match id {
        Some(id) => format!("{resource_type}/{id}/{HISTORY}"),
        None => format!("{resource_type}/{HISTORY}"),
    };
    let own = wire::paging::self_link(&state.base, &of, &form);
    let next = match page.next {
        Some(after) => Some(search::sealed_link(
            state,
            visit,
            of,
            form,
            after.to_bytes().to_vec(),
        )?),
        None => None,
    };
    // The trail is found by its patient: of an own system's look at one resource that is who it is about.
    let about = match (permit.patient(), id) {
        (PermitScope::OwnStore, Some(id)) => state.desk.store.patient_of(id).await?,
        _ => None,
    };
    let mut links = vec![("self", own.as_str())];
    links.extend(next.as_deref().map(|url| ("next", url)));
    part.cut(page.versions.iter_mut().filter_map(|v| v.stored.as_mut()))?;
    let disclosed = disclose_versions(visit, &permit, about, resource_type, page.versions).await?;
    Ok(disclosed.history(&state.base, page.total, &links))
}

/// Reads `_since` and `_count`; anything else is refused.
pub(super) fn past(
    resource_type: ResourceType,
    id: Option<LogicalId>,
    form: &[(String, String)],
) -> Result<Past, Problem> {
    let mut past = Past {
        resource_type,
        id,
        since: None,
        count: Query::DEFAULT_COUNT,
    };
    let mut issues = Vec::new();
    for (n, (name, value)) in form.iter().enumerate() {
        let twice = form[..n].iter().any(|(other, _)| other == name);
        let fault = match name.as_str() {
            "_since" | "_count" if twice => Some("the parameter is there twice".to_owned()),
            "_since" => match instant(value) {
                Some(since) => {
                    past.since = Some(since);
                    None
                }
                None => Some("expected an instant, for example 2026-11-21T08:00:00Z".to_owned()),
            },
            "_count" => match value.parse::<u32>() {
                Ok(count) if (1..=Query::MAX_COUNT).contains(&count) && !value.starts_with('+') => {
                    past.count = count;
                    None
                }
                _ => Some(format!(
                    "expected a whole number from 1 to {}",
                    Query::MAX_COUNT
                )),
            },
            _ => {
                let words = "a history takes _since, _count, _summary and _elements";
                issues.push(Issue::error(IssueCode::NotSupported, "", words));
                None
            }
        };
        if let Some(words) = fault {
            issues.push(Issue::error(IssueCode::Value, name.as_str(), words));
        }
    }
    if issues.is_empty() {
        Ok(past)
    } else {
        Err(Problem::invalid_all(issues))
    }
}

fn instant(text: &str) -> Option<Instant> {
    fhir::time::parse_instant(text).ok()
}
