//! Search on a type and in a patient's compartment, by POST and by GET (FHIR R4 search.html), and its pages.
//!
//! A person's number travels in the body only (CONTRACT section 1). The next link is sealed by the store's own key for the
//! same client and patient; it holds the question, so a page answers what the first page was asked.

use super::type_of;
use crate::State;
use crate::disclose::disclose;
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::bundle::SearchsetWriter;
use fhir::ids::PersonIdentifier;
use fhir::resource::ResourceType;
use fhir::search::{Grammar, PatientParam, Query, Via};
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use store::Cursor;
use trust::{Ask, Category, Interaction, Permit, PermitScope, Refusal};
use wire::outcome::{Problem, fhir_response};
use wire::paging::{self, Ticket};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// A form's parameters, in order.
pub(super) type Form = Vec<(String, String)>;

/// An id that no patient here has: the answer is as empty as for a patient of somebody else.
const NOBODY: Refusal = Refusal {
    rule: "patient",
    category: Category::NotFound,
    code: "other_patient",
    message: "the search names another patient than the token's",
};

/// `POST {base}/{type}/_search`.
pub async fn search(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        let (resource, form) = asked(&state, visit, &type_name, &parts, body).await?;
        answer(&state, visit, resource, form, None).await
    };
    serve(&state, &parts, ids, work).await
}

/// `GET {base}/_page/{sealed}`.
pub async fn page(
    extract::State(state): extract::State<Arc<State>>,
    Path(sealed): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        let (of, form, after) = opened(&state, visit, &sealed)?;
        further(&state, visit, &of, form, &after).await
    };
    serve(&state, &parts, ids, work).await
}

/// `GET {base}/{type}?…`: as by POST, but a person's number never stands in a URL.
pub async fn by_get(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        let (resource, form) = in_url(&state, visit, &type_name, None, &parts)?;
        first(&state, visit, resource, form).await
    };
    serve(&state, &parts, ids, work).await
}

/// `GET {base}/Patient/{id}/{type}?…`: a search in a patient's compartment (FHIR R4 compartmentdefinition.html).
pub async fn compartment_by_get(
    extract::State(state): extract::State<Arc<State>>,
    Path((compartment, id, type_name)): Path<(String, String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let whole = (compartment.as_str(), id.as_str());
    let work = async |visit: &mut Visit<'_>| {
        let (resource, form) = in_url(&state, visit, &type_name, Some(whole), &parts)?;
        first(&state, visit, resource, form).await
    };
    serve(&state, &parts, ids, work).await
}

/// `POST {base}/Patient/{id}/{type}/_search`.
pub async fn compartment(
    extract::State(state): extract::State<Arc<State>>,
    Path((compartment, id, type_name)): Path<(String, String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        let (resource, form) = asked(&state, visit, &type_name, &parts, body).await?;
        let form = within(resource, (&compartment, &id), form)?;
        first(&state, visit, resource, form).await
    };
    serve(&state, &parts, ids, work).await
}

/// To whom nothing is opened, nothing is found.
async fn serve(
    state: &State,
    parts: &Parts,
    ids: RequestIds,
    work: impl AsyncFnOnce(&mut Visit<'_>) -> Result<Response, End>,
) -> Result<Response, Problem> {
    let nothing = || Ok(empty());
    let desk = &state.desk;
    desk.serve(parts, ids, Interaction::Search, nothing, work)
        .await
}

/// A further page of what `of` names: a type that was searched, or a history.
async fn further(
    state: &State,
    visit: &Visit<'_>,
    of: &str,
    form: Form,
    after: &[u8],
) -> Result<Response, End> {
    if let Some(answer) = super::history::page(state, visit, of, &form, after).await {
        return answer;
    }
    match type_of(state, of)? {
        ResourceType::AUDIT_EVENT => super::audit::page(state, visit, form, after).await,
        resource => {
            let after = Cursor::from_bytes(after).ok_or_else(Problem::not_found)?;
            answer(state, visit, resource, form, Some(after)).await
        }
    }
}

/// Reads type and parameters of a search by GET. Only what was understood, and so holds no person's number, goes on
/// record.
fn in_url(
    state: &State,
    visit: &mut Visit<'_>,
    type_name: &str,
    compartment: Option<(&str, &str)>,
    parts: &Parts,
) -> Result<(ResourceType, Form), End> {
    let resource = type_of(state, type_name)?;
    let sent = of_url(parts)?;
    let form = match compartment {
        Some(compartment) => within(resource, compartment, sent)?,
        None => sent,
    };
    // The trail has a short list of its own.
    let grammar = if resource == ResourceType::AUDIT_EVENT {
        Grammar::Shared
    } else {
        Grammar::Whole(&state.config.types)
    };
    fhir::search::parse(
        resource,
        &form,
        Via::Get,
        &state.config.zone,
        state.config.person_numbers,
        grammar,
    )
    .map_err(Problem::invalid_all)?;
    visit.asked(&wire::form::write(
        form.iter().map(|(n, v)| (n.as_str(), v.as_str())),
    ));
    Ok((resource, form))
}

/// The search of a type in a compartment as a search of the type. Only patients have compartments here, and only types
/// that can be searched by `patient` are in them.
fn within(
    resource: ResourceType,
    (compartment, id): (&str, &str),
    form: Form,
) -> Result<Form, Problem> {
    let by_patient = resource == ResourceType::AUDIT_EVENT
        || fhir::search::served(resource)
            .iter()
            .any(|p| p.name == "patient");
    if compartment != ResourceType::PATIENT.as_str() || !by_patient {
        return Err(Problem::not_found());
    }
    let id = super::id_of(id)?;
    let named = ("patient".to_owned(), format!("Patient/{id}"));
    Ok(std::iter::once(named).chain(form).collect())
}

/// The first page of a search, of resources or of the trail.
async fn first(
    state: &State,
    visit: &Visit<'_>,
    resource: ResourceType,
    form: Form,
) -> Result<Response, End> {
    if resource == ResourceType::AUDIT_EVENT {
        super::audit::answer(state, visit, form, None).await
    } else {
        answer(state, visit, resource, form, None).await
    }
}

/// A searchset with nothing in it.
pub(super) fn empty() -> Response {
    fhir_response(StatusCode::OK, SearchsetWriter::new(Some(0), &[]).finish())
}

/// Reads type and form of a POST search; what was asked goes on record as received.
async fn asked(
    state: &State,
    visit: &mut Visit<'_>,
    type_name: &str,
    parts: &Parts,
    body: Body,
) -> Result<(ResourceType, Form), End> {
    let resource = type_of(state, type_name)?;
    let form = wire::form::read(&parts.headers, body)
        .await
        .map_err(Problem::from)?
        .0;
    visit.asked(&wire::form::write(
        form.iter().map(|(n, v)| (n.as_str(), v.as_str())),
    ));
    Ok((resource, form))
}

/// The parameters of a URL.
///
/// # Errors
/// 400 for a query that cannot be read or is longer than 8 KiB.
pub(super) fn of_url(parts: &Parts) -> Result<Form, Problem> {
    const LONGEST: usize = 8 * 1024;
    let query = parts.uri.query().unwrap_or_default();
    if query.len() > LONGEST {
        return Err(Problem::invalid(
            fhir::outcome::IssueCode::TooLong,
            "",
            format!("a query takes at most {LONGEST} bytes"),
        ));
    }
    Ok(wire::form::Form::parse(query.as_bytes())?.0)
}

/// Opens a next link; one that is not for this caller is not there. What the first page was asked goes on record again.
fn opened(
    state: &State,
    visit: &mut Visit<'_>,
    sealed: &str,
) -> Result<(String, Form, Vec<u8>), End> {
    let ticket: Ticket<(String, Vec<u8>)> =
        Ticket::open(state.desk.store.unseal(sealed), visit.caller(), visit.now)?;
    let (of, after) = ticket.cursor;
    let form = ticket.query;
    visit.asked(&format!(
        "{of} {}",
        wire::form::write(form.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    ));
    Ok((of, form, after))
}

/// Whom a search names.
pub(super) enum Named {
    /// Nobody in particular.
    Anyone,
    /// This person.
    Person(PersonIdentifier),
    /// A local id that no patient here has.
    Nobody,
}

impl Named {
    /// Finds whom the query names.
    pub(super) async fn by(state: &State, query: &Query) -> Result<Named, End> {
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
    pub(super) fn permit(&self, visit: &Visit<'_>, mut ask: Ask) -> Result<Permit, End> {
        if let Named::Person(person) = self {
            ask.patient = Some(person.clone());
        }
        let permit = visit.permit(&ask)?;
        match (self, permit.patient()) {
            (Named::Nobody, PermitScope::Patient(_)) => Err(End::Nothing(NOBODY)),
            _ => Ok(permit),
        }
    }
}

async fn answer(
    state: &State,
    visit: &Visit<'_>,
    resource: ResourceType,
    form: Form,
    after: Option<Cursor>,
) -> Result<Response, End> {
    let ask = Ask::of(Interaction::Search, resource);
    visit.permit(&ask)?;
    let query = fhir::search::parse(
        resource,
        &form,
        Via::Post,
        &state.config.zone,
        state.config.person_numbers,
        Grammar::Whole(&state.config.types),
    )
    .map_err(Problem::invalid_all)?;
    let permit = Named::by(state, &query).await?.permit(visit, ask)?;
    let found = state.desk.store.search(&permit, &query, after).await?;
    let own = own_link(state, resource, &query, &form).await?;
    let next = match found.next {
        Some(after) => Some(next_link(
            state,
            visit,
            resource,
            form,
            after.to_bytes().to_vec(),
        )?),
        None => None,
    };
    let disclosed = disclose(visit, &permit, found.matches).await?;
    let mut links = vec![("self", own.as_str())];
    links.extend(next.as_deref().map(|url| ("next", url)));
    Ok(disclosed.searchset(&state.base, found.total, &links))
}

/// The `self` link: what was understood, with the patient by local id and never by number.
pub(super) async fn own_link(
    state: &State,
    resource: ResourceType,
    query: &Query,
    form: &[(String, String)],
) -> Result<String, End> {
    let patient = match &query.patient {
        Some(PatientParam::Identifier(person)) => state.desk.store.patient_id(person).await?,
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
    Ok(paging::self_link(&state.base, resource.as_str(), &pairs))
}

/// Whether a parameter names the patient, or may hold a person's number, which stands in no link.
fn names_person(name: &str, value: &str) -> bool {
    let patient = ["patient", "patient.identifier", "subject:identifier"];
    let digits = || {
        value
            .split(|c: char| !c.is_ascii_digit())
            .any(|run| run.len() == 11)
    };
    patient.contains(&name) || fhir::search::may_carry_a_person(name) && digits()
}

/// The next page, for this caller only: the question and how far it came, sealed.
pub(super) fn next_link(
    state: &State,
    visit: &Visit<'_>,
    resource: ResourceType,
    form: Form,
    after: Vec<u8>,
) -> Result<String, End> {
    sealed_link(state, visit, resource.as_str().to_owned(), form, after)
}

/// As [`next_link`], for any question that [`page`] knows by the name `of`.
pub(super) fn sealed_link(
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
