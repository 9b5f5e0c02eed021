//! Conditional interactions (FHIR R4 http.html#ccreate, #cupdate, #cdelete): what to do is decided by a search.
//!
//! A condition is any search of the type, chains and `_has` among it. Search and commit of one condition follow each other without another condition between them,
//! so that any number of equal requests at once make one resource. A person's number stands in no URL or header.

use super::search::{self, Form, Named};
use crate::State;
use fhir::index::Subject;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use fhir::search::{Grammar, PatientParam, Query, Via};
use http::HeaderMap;
use store::Stored;
use tokio::sync::MutexGuard;
use trust::{Ask, Interaction, Permit};
use wire::outcome::Problem;
use wire::visit::{End, Visit};

/// The parameter that a resource's own identifiers are found by.
const IDENTIFIER: &str = "identifier";

/// The header of a conditional create.
pub const IF_NONE_EXIST: &str = "if-none-exist";

/// The only holder of conditions until it is dropped.
pub async fn alone(state: &State) -> MutexGuard<'_, ()> {
    state.conditions.lock().await
}

/// The condition in `If-None-Exist`.
///
/// # Errors
/// 400 when it cannot be read or says nothing.
pub fn if_none_exist(headers: &HeaderMap) -> Result<Option<Form>, Problem> {
    let mut values = headers.get_all(IF_NONE_EXIST).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let text = text.ok_or_else(|| {
        Problem::invalid(
            IssueCode::Value,
            "If-None-Exist",
            "one search was expected, for example identifier=system|value",
        )
    })?;
    parse(text, "If-None-Exist").map(Some)
}

/// A condition from its text, with or without `?` and type before it.
///
/// # Errors
/// 400 as above; `place` is where it stands.
pub fn parse(text: &str, place: &str) -> Result<Form, Problem> {
    let query = text.rsplit_once('?').map_or(text, |(_, query)| query);
    let form = wire::form::Form::parse(query.as_bytes())?.0;
    require(&form, place)?;
    Ok(form)
}

/// A condition that says nothing would mean everything, and one that shapes an answer (`_summary=count`) would hide what
/// meets it.
///
/// # Errors
/// 400.
pub fn require(form: &Form, place: &str) -> Result<(), Problem> {
    let steers = |(name, _): &&(String, String)| fhir::search::steers(name);
    let harmless = ["_count", "_sort"];
    if form
        .iter()
        .filter(steers)
        .any(|(name, _)| !harmless.contains(&name.as_str()))
    {
        let words = "a condition takes no parameter that shapes an answer";
        return Err(Problem::not_supported(place, words));
    }
    if form.iter().any(|one| !steers(&one)) {
        return Ok(());
    }
    Err(Problem::invalid(
        IssueCode::Required,
        place,
        "a condition was expected, for example identifier=system|value",
    ))
}

/// What meets a condition: nothing, one, or 412.
///
/// # Errors
/// 400 for a condition that is not understood, 412 where several meet it, and the rules' refusal where the caller may not
/// search.
pub async fn one(
    state: &State,
    visit: &Visit<'_>,
    resource: ResourceType,
    form: &Form,
    about: Option<&Subject>,
    via: Via,
) -> Result<Option<(Stored, Permit)>, End> {
    let permit = visit.permit(&Ask::of(Interaction::Search, resource))?;
    let query = understood(state, resource, form, about, via)?;
    permit.may_ask(&query).map_err(End::Refused)?;
    let others = search::others(state, visit, &Named::by(state, &query).await?, &query);
    let store = &state.desk.store;
    let mut found = store
        .gather(&permit, others, &query, None)
        .await?
        .page
        .matches;
    if found.len() > 1 {
        return Err(Problem::multiple_matches().into());
    }
    Ok(found.pop().map(|stored| (stored, permit)))
}

/// The search that a condition is. A resource's own identifiers may stand in a URL or header as long as no person's number is
/// among them; they mean the resource about whom the one that is sent is about, where the condition names nobody.
fn understood(
    state: &State,
    resource: ResourceType,
    form: &Form,
    about: Option<&Subject>,
    via: Via,
) -> Result<Query, Problem> {
    let read = |form: &Form, via| {
        let (zone, numbers) = (&state.config.zone, state.config.person_numbers);
        let grammar = Grammar::Whole(&state.config.types);
        fhir::search::parse(resource, form, via, zone, numbers, grammar)
            .map_err(Problem::invalid_all)
    };
    if resource == ResourceType::PATIENT {
        let mut query = read(form, via)?;
        query.count = 2;
        return Ok(query);
    }
    let (identifiers, rest): (Form, Form) = form
        .iter()
        .cloned()
        .partition(|(name, _)| name.split(':').next() == Some(IDENTIFIER));
    let numbered = |(_, value): &(String, String)| fhir::search::holds_a_person(value);
    if via == Via::Get && identifiers.iter().any(numbered) {
        let words = "a person's number is not accepted in a URL or header: send the condition in a bundle, as ifNoneExist";
        return Err(Problem::invalid(IssueCode::Security, IDENTIFIER, words));
    }
    let mut query = read(&rest, via)?;
    query.filters.extend(read(&identifiers, Via::Post)?.filters);
    query.count = 2;
    if !identifiers.is_empty() && query.patient.is_none() {
        query.patient = about.map(|about| match about {
            Subject::Local(id) => PatientParam::Local(*id),
            Subject::Person(person) => PatientParam::Identifier(person.clone()),
        });
    }
    Ok(query)
}
