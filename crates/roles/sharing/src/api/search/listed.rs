//! `_list`: only what stands in a List that the caller may see (FHIR R4 search 3.1.1.4.16).
//!
//! Members are the entries' literal references to resources here; an entry marked deleted is none. The List is read as of the
//! search's own moment, so that all pages have the same members. Current lists by name (`$current-…`) are not kept here.

use super::Form;
use super::answer::Named;
use crate::State;
use fhir::ids::LogicalId;
use fhir::json::{Json, Limits, Node};
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use fhir::search::{Condition, Filter, Query};
use std::collections::HashSet;
use store::Start;
use trust::{Ask, Interaction};
use wire::outcome::Problem;
use wire::visit::{End, Visit};

/// The parameter.
pub(super) const NAME: &str = "_list";

/// The Lists that a search names; what it finds is in each of them.
pub(super) type Listed = Vec<LogicalId>;

/// The type, where this service has it.
pub(super) fn served(state: &State) -> Option<ResourceType> {
    ResourceType::parse("List").filter(|list| state.serves(*list))
}

/// Takes the Lists out of the parameters of a search.
///
/// # Errors
/// 400 for one that is not named by id, and where this service has none.
pub(super) fn taken(state: &State, form: &Form) -> Result<(Form, Listed), Problem> {
    let (lists, rest): (Form, Form) = form.iter().cloned().partition(|(name, _)| name == NAME);
    let mut ids = Vec::with_capacity(lists.len());
    for (_, value) in &lists {
        if served(state).is_none() {
            let words = "there are no Lists at this service";
            return Err(Problem::not_supported(NAME, words));
        }
        let id = value.strip_prefix("List/").unwrap_or(value);
        let words = "expected the id of a List here; current lists by name are not kept";
        let id = LogicalId::parse(id)
            .map_err(|_| Problem::invalid(IssueCode::NotSupported, NAME, words))?;
        ids.push(id);
    }
    Ok((rest, ids))
}

/// Narrows each query to the members of its type. Gives where the search then starts: at the moment of which the Lists are.
pub(super) async fn narrow(
    state: &State,
    visit: &Visit<'_>,
    named: &Named,
    lists: &Listed,
    queries: &mut [Query],
    mut start: Start,
) -> Result<Start, End> {
    let Some(list) = served(state) else {
        return Ok(start);
    };
    for id in lists {
        // A List that is not seen has no members.
        let mut members = HashSet::new();
        if let Ok(permit) = named.permit(visit, Ask::of(Interaction::Search, list)) {
            let mut query = Query::all(list);
            query.ids = vec![*id];
            let at = match &start {
                Start::After(cursor) => Start::At(cursor.moment()),
                first => first.clone(),
            };
            let page = state.desk.store.search(&permit, &query, at).await?;
            if let Start::Now = start {
                start = Start::At(page.moment);
            }
            for found in page.matches {
                let json = Json::parse(found.body, Limits::BUNDLE)
                    .map_err(|_| Problem::bug("a stored resource cannot be read"))?;
                members.extend(entries(json.root()));
            }
        }
        for query in queries.iter_mut() {
            keep(query, &members);
        }
    }
    Ok(start)
}

/// What the entries of a List refer to here.
fn entries(list: Node<'_>) -> Vec<(ResourceType, LogicalId)> {
    list.all(&["entry"])
        .into_iter()
        .filter(|entry| entry.get("deleted").and_then(|one| one.bool()) != Some(true))
        .filter_map(|entry| {
            let reference = entry.path(&["item", "reference"])?.str()?;
            let plain = reference
                .split_once("/_history/")
                .map_or(&*reference, |(it, _)| it);
            let (name, id) = plain.split_once('/')?;
            Some((ResourceType::parse(name)?, LogicalId::parse(id).ok()?))
        })
        .collect()
}

fn keep(query: &mut Query, members: &HashSet<(ResourceType, LogicalId)>) {
    let own = |id: &LogicalId| members.contains(&(query.resource, *id));
    let ids: Vec<LogicalId> = if query.ids.is_empty() {
        members
            .iter()
            .filter(|(of, _)| *of == query.resource)
            .map(|(_, id)| *id)
            .collect()
    } else {
        query.ids.iter().copied().filter(own).collect()
    };
    if ids.is_empty() {
        // No id at all is asked for as one of none.
        query.filters.push(Filter {
            name: "_id",
            condition: Condition::Any(Vec::new()),
        });
    }
    query.ids = ids;
}
