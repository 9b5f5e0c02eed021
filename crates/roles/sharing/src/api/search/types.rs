//! A search over several types at once: `POST [base]/_search` and `GET [base]?_type=…` (FHIR R4 http.html#search, search 3.1.1.1).
//!
//! Every parameter must be one of each type that is searched. Types that are named must all be open to the caller; where none is
//! named, those that are. The answer is one list in one order, of one moment on all its pages.

use super::Form;
use super::answer::{Named, answer, names_person, others, sealed_link};
use super::listed::{self, Listed};
use crate::State;
use crate::disclose::disclose;
use crate::part::Part;
use axum::response::Response;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::{Grammar, Query, Via};
use store::{Cursor, Start};
use trust::{Ask, Interaction, Permit};
use wire::outcome::Problem;
use wire::visit::{End, Visit};

/// What a sealed link calls this search.
pub(super) const OF: &str = "*";

/// The parameter that names the types.
const TYPE: &str = "_type";
/// What every type can be sorted by.
const ORDERS: [&str; 2] = ["_id", "_lastUpdated"];

/// What was asked: of which types, and whether they were named.
struct Asked {
    types: Vec<ResourceType>,
    named: bool,
    rest: Form,
}

/// That a search whose parameters stand in a URL is understood, and names nobody by number.
///
/// # Errors
/// 400 with every fault.
pub(super) fn understood(state: &State, form: &Form) -> Result<(), Problem> {
    let asked = Asked::read(state, form)?;
    asked.queries(state, Via::Get).map(drop)
}

/// A page of the search.
pub(super) async fn page(
    state: &State,
    visit: &Visit<'_>,
    form: Form,
    after: Option<Cursor>,
) -> Result<Response, End> {
    let asked = Asked::read(state, &form)?;
    if let (true, [one]) = (asked.named, asked.types.as_slice()) {
        return answer(state, visit, *one, asked.rest, after).await;
    }
    // The need first: without it not even the question is looked at.
    open(&asked, |resource| {
        visit.permit(&Ask::of(Interaction::Search, resource))
    })?;
    let (mut queries, lists) = asked.queries(state, Via::Post)?;
    let mut named = Named::Anyone;
    for query in &queries {
        if query.patient.is_some() {
            named = Named::by(state, query).await?;
            break;
        }
    }
    let permits = open(&asked, |resource| {
        named.permit(visit, Ask::of(Interaction::Search, resource))
    })?;
    let joins = queries.iter().find(|query| !query.links.is_empty());
    let others = joins.map_or_else(Vec::new, |query| others(state, visit, &named, query));
    queries.retain(|query| permits.iter().any(|(of, _)| *of == query.resource));
    let start = after.map_or(Start::Now, Start::After);
    let start = listed::narrow(state, visit, &named, &lists, &mut queries, start).await?;
    let first = queries.first().ok_or_else(Problem::not_found)?.clone();
    let asks: Vec<(Permit, Query)> = permits
        .iter()
        .map(|(_, permit)| permit.clone())
        .zip(queries)
        .collect();
    for (permit, query) in &asks {
        permit.may_ask(query).map_err(End::Refused)?;
    }
    let mut page = state.desk.store.search_types(asks, others, start).await?;
    Part::of(&first).cut(&mut page.matches)?;
    let named = first.patient.as_ref().and(page.patient);
    let own = own_link(state, named.map(|id| format!("Patient/{id}")), &form);
    let next = match page.next {
        Some(after) => Some(sealed_link(
            state,
            visit,
            OF.to_owned(),
            form,
            after.to_bytes(),
        )?),
        None => None,
    };
    let (_, permit) = permits.first().ok_or_else(Problem::not_found)?;
    let disclosed = disclose(visit, permit, page.matches).await?;
    let mut links = vec![("self", own.as_str())];
    links.extend(next.as_deref().map(|url| ("next", url)));
    Ok(disclosed.searchset(&state.base, page.total, &links))
}

/// The permits of the types, in their order: of all, or of those that are open where none was named.
fn open(
    asked: &Asked,
    permit: impl Fn(ResourceType) -> Result<Permit, End>,
) -> Result<Vec<(ResourceType, Permit)>, End> {
    let mut found = Vec::with_capacity(asked.types.len());
    let mut refused = None;
    for resource in &asked.types {
        match permit(*resource) {
            Ok(permit) => found.push((*resource, permit)),
            Err(end) if asked.named => return Err(end),
            Err(end) => refused = refused.or(Some(end)),
        }
    }
    match refused {
        Some(end) if found.is_empty() => Err(end),
        _ => Ok(found),
    }
}

fn own_link(state: &State, patient: Option<String>, form: &Form) -> String {
    let kept = form
        .iter()
        .filter(|(name, value)| !names_person(name, value))
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let named = patient.as_deref().map(|patient| ("patient", patient));
    let pairs: Vec<_> = named.into_iter().chain(kept).collect();
    if pairs.is_empty() {
        return state.base.clone();
    }
    format!("{}?{}", state.base, wire::form::write(pairs))
}

impl Asked {
    fn read(state: &State, form: &Form) -> Result<Asked, Problem> {
        let (types, rest): (Form, Form) = form.iter().cloned().partition(|(name, _)| name == TYPE);
        let served: Vec<ResourceType> = state.config.types.iter().collect();
        let mut named = Vec::new();
        let mut issues = Vec::new();
        for name in types.iter().flat_map(|(_, value)| value.split(',')) {
            match served.iter().find(|one| one.as_str() == name) {
                Some(found) if !named.contains(found) => named.push(*found),
                Some(_) => {}
                None => {
                    let names: Vec<&str> = served.iter().map(|one| one.as_str()).collect();
                    let words = format!("types searched together here: {}", names.join(", "));
                    issues.push(Issue::error(IssueCode::NotSupported, TYPE, words));
                }
            }
        }
        if !issues.is_empty() {
            return Err(Problem::invalid_all(issues));
        }
        let any = !types.is_empty();
        Ok(Asked {
            types: if any { named } else { served },
            named: any,
            rest,
        })
    }

    /// The search of each type.
    fn queries(&self, state: &State, via: Via) -> Result<(Vec<Query>, Listed), Problem> {
        let (rest, lists) = listed::taken(state, &self.rest)?;
        let mut issues: Vec<Issue> = Vec::new();
        if self.types.len() > 1 {
            issues.extend(
                rest.iter()
                    .filter_map(|(name, value)| together(name, value)),
            );
        }
        let mut queries = Vec::with_capacity(self.types.len());
        for resource in &self.types {
            let (zone, numbers) = (&state.config.zone, state.config.person_numbers);
            let grammar = Grammar::Whole(&state.config.types);
            match fhir::search::parse(*resource, &rest, via, zone, numbers, grammar) {
                Ok(query) => queries.push(query),
                Err(more) => {
                    for issue in more {
                        // One word for each parameter, not one for each type.
                        if issues.iter().all(|one| one.expression != issue.expression) {
                            issues.push(issue);
                        }
                    }
                }
            }
        }
        if issues.is_empty() {
            Ok((queries, lists))
        } else {
            Err(Problem::invalid_all(issues))
        }
    }
}

/// Why a parameter cannot be asked of several types at once.
fn together(name: &str, value: &str) -> Option<Issue> {
    let refused = |words: String| Some(Issue::error(IssueCode::NotSupported, name, words));
    match name.split(':').next() {
        Some("_include" | "_revinclude") => {
            refused("nothing comes along in a search over several types: search one type".into())
        }
        Some("_sort") => {
            let known = |part: &str| ORDERS.contains(&part.strip_prefix('-').unwrap_or(part));
            if value.split(',').all(known) {
                return None;
            }
            refused(format!(
                "several types are sorted by {}; without _sort the newest come first",
                ORDERS.join(", ")
            ))
        }
        _ => None,
    }
}
