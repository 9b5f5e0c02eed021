//! Search on a type and in a patient's compartment, by POST and by GET (FHIR R4 search.html), and its pages.
//!
//! A person's number travels in the body only (CONTRACT section 1). The next link is sealed by the store's own key for the
//! same client and patient; it holds the question, so a page answers what the first page was asked.

mod answer;
mod listed;
mod types;

pub(super) use answer::{NOBODY, Named, next_link, others, own_link, sealed_link};

use super::type_of;
use crate::State;
use answer::answer;
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::bundle::SearchsetWriter;
use fhir::resource::ResourceType;
use fhir::search::{Grammar, Via};
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use store::Cursor;
use trust::Interaction;
use wire::outcome::{Problem, fhir_response};
use wire::paging::Ticket;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// A form's parameters, in order.
pub(super) type Form = Vec<(String, String)>;

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

/// `POST {base}/_search`: several types at once.
pub async fn of_types(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        let form = sent(visit, &parts, body).await?;
        types::page(&state, visit, form, None).await
    };
    serve(&state, &parts, ids, work).await
}

/// `GET {base}?…`: as by POST, but a person's number never stands in a URL.
pub async fn of_types_by_get(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        let form = of_url(&parts)?;
        types::understood(&state, &form)?;
        visit.asked(&written(&form));
        types::page(&state, visit, form, None).await
    };
    serve(&state, &parts, ids, work).await
}

/// Whether searches can be narrowed to the members of a List (`_list`).
pub(super) fn lists(state: &State) -> bool {
    listed::served(state).is_some()
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
    desk.serve_or(parts, ids, Interaction::Search, nothing, work)
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
    let cursor = |bytes| Cursor::from_bytes(bytes).ok_or_else(Problem::not_found);
    if of == types::OF {
        return types::page(state, visit, form, Some(cursor(after)?)).await;
    }
    match type_of(state, of)? {
        ResourceType::AUDIT_EVENT => super::audit::page(state, visit, form, after).await,
        resource => answer(state, visit, resource, form, Some(cursor(after)?)).await,
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
    let sent = of_url(parts)?;
    read(state, visit, type_name, compartment, sent)
}

/// Carries out a search that an entry of a bundle asks for by GET.
pub(super) async fn by_form(
    state: &State,
    visit: &mut Visit<'_>,
    type_name: &str,
    compartment: Option<(&str, &str)>,
    sent: Form,
) -> Result<Response, End> {
    let (resource, form) = read(state, visit, type_name, compartment, sent)?;
    first(state, visit, resource, form).await
}

/// Reads a search whose parameters stand in a URL.
fn read(
    state: &State,
    visit: &mut Visit<'_>,
    type_name: &str,
    compartment: Option<(&str, &str)>,
    sent: Form,
) -> Result<(ResourceType, Form), End> {
    let resource = type_of(state, type_name)?;
    let form = match compartment {
        Some(compartment) => within(resource, compartment, sent)?,
        None => sent,
    };
    understood(state, resource, &form)?;
    visit.asked(&written(&form));
    Ok((resource, form))
}

/// Parameters as they go on record.
fn written(form: &Form) -> String {
    wire::form::write(form.iter().map(|(n, v)| (n.as_str(), v.as_str())))
}

/// That the parameters of a search in a URL are understood, and name nobody by number.
///
/// # Errors
/// 400 with every fault.
pub(super) fn understood(
    state: &State,
    resource: ResourceType,
    form: &Form,
) -> Result<(), Problem> {
    // The trail has a short list of its own.
    let (grammar, form) = if resource == ResourceType::AUDIT_EVENT {
        (Grammar::Shared, form.clone())
    } else {
        let (form, _) = listed::taken(state, form)?;
        (Grammar::Whole(&state.config.types), form)
    };
    fhir::search::parse(
        resource,
        &form,
        Via::Get,
        &state.config.zone,
        state.config.person_numbers,
        grammar,
    )
    .map(|_| ())
    .map_err(Problem::invalid_all)
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
    Ok((resource, sent(visit, parts, body).await?))
}

/// Reads a form; it goes on record as received.
async fn sent(visit: &mut Visit<'_>, parts: &Parts, body: Body) -> Result<Form, End> {
    let form = wire::form::read(&parts.headers, body)
        .await
        .map_err(Problem::from)?
        .0;
    visit.asked(&written(&form));
    Ok(form)
}

/// The parameters of a URL.
///
/// # Errors
/// 400 for a query that cannot be read or is longer than 8 KiB.
pub(super) fn of_url(parts: &Parts) -> Result<Form, Problem> {
    of_query(parts.uri.query().unwrap_or_default())
}

/// The parameters of a query, the part of a URL after `?`.
///
/// # Errors
/// As [`of_url`].
pub(super) fn of_query(query: &str) -> Result<Form, Problem> {
    const LONGEST: usize = 8 * 1024;
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
    visit.asked(&format!("{of} {}", written(&form)));
    Ok((of, form, after))
}
