//! The answer to a search: whom it names, what it finds, what comes along, and its links.
//!
//! Standard: FHIR R4 search 3.1.1.5, 3.1.1.5.7 (includes). What comes along is read under a permit of its own type.

use super::{Form, listed};
use crate::State;
use crate::disclose::disclose_with;
use crate::part::Part;
use axum::response::Response;
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use fhir::search::{Grammar, PatientParam, Query, Via};
use store::{Cursor, Excess, Start};
use trust::{Ask, Category, Interaction, Permit, PermitScope, Refusal};
use wire::outcome::Problem;
use wire::paging::{self, Ticket};
use wire::visit::{End, Visit};

/// An id that no patient here has: the answer is as empty as for a patient of somebody else.
pub(in crate::api) const NOBODY: Refusal = Refusal {
    rule: "patient",
    category: Category::NotFound,
    code: "other_patient",
    message: "the search names another patient than the token's",
};

/// Whom a search names.
pub(in crate::api) enum Named {
    /// Nobody in particular.
    Anyone,
    /// This person.
    Person(PersonIdentifier),
    /// A local id that no patient here has.
    Nobody,
}

impl Named {
    /// Finds whom the query names.
    pub(in crate::api) async fn by(state: &State, query: &Query) -> Result<Named, End> {
        Ok(match &query.patient {
            Some(PatientParam::Identifier(person)) => Named::Person(person.clone()),
            Some(PatientParam::Local(id)) => match state.desk.store.patient_of(*id).await? {
                Some(person) => Named::Person(person),
                None => Named::Nobody,
            },
            None => Named::Anyone,
        })
    }

    /// Asks the rules. An id that is nobody's is to a person's token like another patient; to the store's own system it
    /// is a patient without data.
    pub(in crate::api) fn permit(&self, visit: &Visit<'_>, mut ask: Ask) -> Result<Permit, End> {
        if let Named::Person(person) = self {
            ask.patient = Some(person.clone());
        }
        let permit = visit.permit(&ask)?;
        match (self, permit.patient()) {
            (Named::Nobody, PermitScope::Patient(_)) => Err(End::Nothing(NOBODY, None)),
            _ => Ok(permit),
        }
    }
}

/// A page of a search: what matches, what comes with it, on record before it is given.
pub(in crate::api) async fn answer(
    state: &State,
    visit: &Visit<'_>,
    resource: ResourceType,
    form: Form,
    after: Option<Cursor>,
) -> Result<Response, End> {
    let ask = Ask::of(Interaction::Search, resource);
    visit.permit(&ask)?;
    let (asked, lists) = listed::taken(state, &form)?;
    let mut query = fhir::search::parse(
        resource,
        &asked,
        Via::Post,
        &state.config.zone,
        state.config.person_numbers,
        Grammar::Whole(&state.config.types),
    )
    .map_err(Problem::invalid_all)?;
    let named = Named::by(state, &query).await?;
    let permit = named.permit(visit, ask)?;
    permit.may_ask(&query).map_err(End::Refused)?;
    let others = others(state, visit, &named, &query);
    let start = after.map_or(Start::Now, Start::After);
    let queries = std::slice::from_mut(&mut query);
    let start = listed::narrow(state, visit, &named, &lists, queries, start).await?;
    let store = &state.desk.store;
    let found = store.gather(&permit, others, &query, start).await?;
    let mut included = found.included.map_err(too_much)?;
    let mut page = found.page;
    let part = Part::of(&query);
    part.cut(&mut page.matches)?;
    part.of_included().cut(&mut included)?;
    let own = own_link(&state.base, resource, page.patient, &query, &form);
    let next = match page.next {
        Some(after) => Some(next_link(state, visit, resource, form, after.to_bytes())?),
        None => None,
    };
    let disclosed = disclose_with(visit, &permit, page.matches, included).await?;
    let mut links = vec![("self", own.as_str())];
    links.extend(next.as_deref().map(|url| ("next", url)));
    Ok(disclosed.searchset(&state.base, page.total, &links))
}

/// The permits of other types that take part: what comes along, and what is asked about through a reference. What the
/// token does not open takes no part.
pub(in crate::api) fn others(
    state: &State,
    visit: &Visit<'_>,
    named: &Named,
    query: &Query,
) -> Vec<(ResourceType, Permit)> {
    if query.includes.is_empty() && query.links.is_empty() {
        return Vec::new();
    }
    let permit = |resource| {
        let permit = named.permit(visit, Ask::of(Interaction::Search, resource));
        permit.ok().map(|permit| (resource, permit))
    };
    state.config.types.iter().filter_map(permit).collect()
}

fn too_much(excess: Excess) -> Problem {
    Problem::invalid(IssueCode::TooCostly, "_include", excess.to_string())
}

/// The `self` link: what was understood, with the patient by local id and never by number.
pub(in crate::api) fn own_link(
    base: &str,
    resource: ResourceType,
    patient: Option<LogicalId>,
    query: &Query,
    form: &[(String, String)],
) -> String {
    let patient = match &query.patient {
        Some(PatientParam::Identifier(_)) => patient,
        Some(PatientParam::Local(id)) => Some(*id),
        None => None,
    };
    let kept = form
        .iter()
        .filter(|(name, value)| !names_person(name, value))
        .cloned();
    // A Patient is named by its own id; `_id` that was asked for already stays as it was.
    let named = patient.and_then(|id| match resource {
        ResourceType::PATIENT if query.ids.is_empty() => Some(("_id".to_owned(), id.to_string())),
        ResourceType::PATIENT => None,
        _ => Some(("patient".to_owned(), format!("Patient/{id}"))),
    });
    let pairs: Form = named.into_iter().chain(kept).collect();
    paging::self_link(base, resource.as_str(), &pairs)
}

/// Whether a parameter names the patient, or may hold a person's number, which stands in no link.
pub(super) fn names_person(name: &str, value: &str) -> bool {
    let patient = ["patient", "patient.identifier", "subject:identifier"];
    let digits = || {
        value
            .split(|c: char| !c.is_ascii_digit())
            .any(|run| run.len() == 11)
    };
    patient.contains(&name) || fhir::search::may_carry_a_person(name) && digits()
}

/// The next page, for this caller only: the question and how far it came, sealed.
pub(in crate::api) fn next_link(
    state: &State,
    visit: &Visit<'_>,
    resource: ResourceType,
    form: Form,
    after: Vec<u8>,
) -> Result<String, End> {
    sealed_link(state, visit, resource.as_str().to_owned(), form, after)
}

/// As [`next_link`], for any question that [`super::page`] knows by the name `of`.
pub(in crate::api) fn sealed_link(
    state: &State,
    visit: &Visit<'_>,
    of: String,
    form: Form,
    after: Vec<u8>,
) -> Result<String, End> {
    let ticket = Ticket::new(visit.caller(), form, (of, after), visit.now);
    Ok(paging::next_link(
        &state.base,
        &state.desk.store.seal(&ticket.to_bytes()?)?,
    ))
}
