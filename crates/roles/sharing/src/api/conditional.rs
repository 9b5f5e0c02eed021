//! Conditional interactions (FHIR R4 http.html#ccreate, #cupdate, #cdelete): what to do is decided by a search.
//!
//! A condition is a search of the type, or its business identifier (`identifier=system|value`), which the store keeps
//! unique with the patient. Search and commit of one condition follow each other without another condition between them,
//! so that any number of equal requests at once make one resource. A person's number stands in no URL or header.

use super::search::Form;
use crate::State;
use fhir::index::Subject;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use fhir::search::{Grammar, PatientParam, Via};
use http::HeaderMap;
use store::Stored;
use tokio::sync::MutexGuard;
use trust::{Ask, Interaction, Permit};
use wire::outcome::Problem;
use wire::visit::{End, Visit};

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
    let mut found = all(state, &permit, resource, form, about, via).await?;
    if found.len() > 1 {
        return Err(Problem::multiple_matches().into());
    }
    Ok(found.pop().map(|stored| (stored, permit)))
}

async fn all(
    state: &State,
    permit: &Permit,
    resource: ResourceType,
    form: &Form,
    about: Option<&Subject>,
    via: Via,
) -> Result<Vec<Stored>, End> {
    const IDENTIFIER: &str = "identifier";
    let understood = |form: &Form| {
        fhir::search::parse(
            resource,
            form,
            via,
            &state.config.zone,
            state.config.person_numbers,
            Grammar::Whole(&state.config.types),
        )
        .map_err(Problem::invalid_all)
        .and_then(|query| {
            if query.links.is_empty() {
                return Ok(query);
            }
            let words = "a condition is on the resource itself: no chains and no _has";
            Err(Problem::invalid(IssueCode::NotSupported, "", words))
        })
    };
    let searchable = fhir::search::supported(resource)
        .is_some_and(|row| row.parameters.iter().any(|p| p.name == IDENTIFIER));
    let (identifiers, rest): (Form, Form) = form
        .iter()
        .cloned()
        .partition(|(name, _)| name == IDENTIFIER && !searchable);
    let Some((_, identifier)) = identifiers.first() else {
        let mut query = understood(form)?;
        query.count = 2;
        return Ok(state.desk.store.search(permit, &query, None).await?.matches);
    };
    let fault = |words: &str| Problem::invalid(IssueCode::Value, IDENTIFIER, words);
    if via == Via::Get && fhir::search::holds_a_person(identifier) {
        let words = "a person's number is not accepted in a URL or header: send the condition in a bundle, as ifNoneExist";
        return Err(Problem::invalid(IssueCode::Security, IDENTIFIER, words).into());
    }
    let (system, value) = identifier
        .split_once('|')
        .filter(|(system, value)| {
            !system.is_empty() && !value.is_empty() && !value.contains(['|', ',', '\\'])
        })
        .ok_or_else(|| fault("expected one identifier, as system|value"))?;
    if identifiers.len() > 1 {
        return Err(fault("one identifier was expected").into());
    }
    let narrowed = match understood(&rest)?.patient {
        Some(PatientParam::Local(id)) => Some(Subject::Local(id)),
        Some(PatientParam::Identifier(person)) => Some(Subject::Person(person)),
        None => None,
    };
    if rest
        .iter()
        .any(|(name, _)| !name.starts_with("patient") && !name.starts_with("subject"))
    {
        let words = "beside identifier a condition here takes only whom it is about";
        return Err(Problem::not_supported(IDENTIFIER, words).into());
    }
    let about = narrowed.or_else(|| about.cloned());
    Ok(state
        .desk
        .store
        .identified(permit, resource, system, value, about)
        .await?)
}
