//! The citizen's own wishes about who may see (blocks and reservation), as Consent: made, listed and taken back by the patient
//! alone (FHIR R4 consent.html; pasient- og brukerrettighetsloven § 5-3). In force from the next request.

use crate::State;
use crate::announce::is_told;
use crate::consent;
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::bundle::{SearchMode, SearchsetWriter};
use fhir::check;
use fhir::ids::PersonIdentifier;
use fhir::json::{Json, Limits};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use store::{AuditFilter, MOST_WISHES, StoreError};
use trust::wish::{Closed, Named, Source, Wish};
use trust::{Ask, Interaction, Permit, PermitScope};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Records of a patient's trail taken at a time, and how often: more is not looked through for a name.
const CHUNK: usize = 1_000;
const MOST_CHUNKS: usize = 50;

/// `POST {base}/Consent`: 201 with the wish as it holds; 200 with the one that is there when the same holds already, so that
/// sending it again is safe.
pub async fn make(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| made(&state, visit, &parts, body).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::WishMade, work).await
}

/// `POST {base}/Consent/_search`: all wishes of the token's patient that hold; takes no parameters but `patient`, which the
/// token has answered already.
pub async fn list(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let nothing = || Ok(super::search::empty());
    let work = async |visit: &mut Visit<'_>| listed(&state, visit, &parts, body).await;
    let desk = &state.desk;
    desk.serve_or(&parts, ids, Interaction::WishesRead, nothing, work)
        .await
}

/// `DELETE {base}/Consent/{id}`: 204, also when it was taken back before; 409 for one that is kept from elsewhere.
pub async fn end(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        let (permit, patient) = own(visit, Interaction::WishEnded)?;
        let id = super::id_of(&id)?;
        let kept = visit.store().wishes(&patient).await?;
        let from_elsewhere = |one: &Wish| one.id == id.to_string() && one.source != Source::Here;
        if state.replication.is_some() && kept.iter().any(from_elsewhere) {
            let words = "this was made at Helsenorge, and is taken back there; it ends here when it has ended there";
            return Err(Problem::conflict(words).into());
        }
        let mut change = visit.change(visit.record().permitted(&permit));
        change
            .ledger
            .push(visit.store().wish_ended(&patient, &id.to_string()));
        let ended = kept.iter().find(|one| one.id == id.to_string());
        if ended.is_some_and(|one| is_told(&one.closed)) {
            change.retold.push(patient);
        }
        visit.commit(change).await?;
        Ok(fhir_response(StatusCode::NO_CONTENT, ""))
    };
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::WishEnded, work).await
}

/// The permit, and whose wishes it opens.
fn own(visit: &Visit<'_>, interaction: Interaction) -> Result<(Permit, PersonIdentifier), End> {
    let permit = visit.permit(&Ask::of(interaction, ResourceType::CONSENT))?;
    let PermitScope::Patient(patient) = permit.patient() else {
        return Err(Problem::bug("a wish without a patient").into());
    };
    let patient = patient.clone();
    Ok((permit, patient))
}

async fn made(
    state: &State,
    visit: &Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let (permit, patient) = own(visit, Interaction::WishMade)?;
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::RESOURCE.bytes).await?;
    let json = Json::parse(bytes, Limits::RESOURCE)?;
    let root = json.root();
    if root.text("resourceType").as_deref() != Some(ResourceType::CONSENT.as_str()) {
        let words = "expected a Consent";
        return Err(Problem::invalid(IssueCode::Invalid, "resourceType", words).into());
    }
    check::check(&json, root, &state.rules()).map_err(Problem::unprocessable)?;
    let sent = consent::read(root, &state.config.zone, state.config.person_numbers)
        .map_err(Problem::unprocessable)?;
    let meant = match (sent.patient, sent.local) {
        (Some(person), _) => Some(person),
        (None, Some(id)) => visit.store().patient_of(id).await?,
        (None, None) => None,
    };
    if meant.as_ref() != Some(&patient) {
        let words = "a wish is about the token's own patient";
        return Err(Problem::unprocessable(vec![Issue::error(
            IssueCode::Value,
            "Consent.patient",
            words,
        )])
        .into());
    }
    let kept = visit.store().wishes(&patient).await?;
    // What was made elsewhere ends there, whatever she wishes here: hers stands beside it.
    let own = |one: &&Wish| one.source == Source::Here;
    let same = |one: &&Wish| {
        one.closed.says(&sent.closed) && one.until == sent.until && one.holds(visit.now)
    };
    if let Some(wish) = kept.iter().filter(own).find(same) {
        visit.write(visit.record().permitted(&permit)).await?;
        return Ok(answer(state, StatusCode::OK, wish, &patient));
    }
    let (holding, ended): (Vec<&Wish>, Vec<&Wish>) = kept
        .iter()
        .filter(own)
        .partition(|one| one.holds(visit.now));
    if holding.len() >= MOST_WISHES {
        let words = format!("at most {MOST_WISHES} wishes; take back what no longer matters");
        return Err(Problem::invalid(IssueCode::TooCostly, "", words).into());
    }
    let wish = Wish {
        id: (state.house.ids)().to_string(),
        closed: recognised(visit, &patient, sent.closed).await?,
        since: visit.now,
        until: sent.until,
        source: Source::Here,
    };
    let mut change = visit.change(visit.record().permitted(&permit));
    change
        .ledger
        .push(visit.store().wish_made(&patient, &wish)?);
    let forgotten = ended
        .iter()
        .map(|one| visit.store().wish_ended(&patient, &one.id));
    change.ledger.extend(forgotten);
    if is_told(&wish.closed) {
        change.retold.push(patient.clone());
    }
    visit.commit(change).await?;
    Ok(answer(state, StatusCode::CREATED, &wish, &patient))
}

/// A wish that names somebody who looked at this patient's data here means that person, whatever they sign in by next time.
async fn recognised(
    visit: &Visit<'_>,
    patient: &PersonIdentifier,
    closed: Closed,
) -> Result<Closed, StoreError> {
    let Closed::Practitioner { who } = closed else {
        return Ok(closed);
    };
    let mut before = None;
    for _ in 0..MOST_CHUNKS {
        let filter = AuditFilter {
            patient: Some(patient.clone()),
            before,
            limit: CHUNK,
            ..AuditFilter::default()
        };
        let records = visit.store().audit_search(filter).await?;
        let known = records.iter().find_map(|one| {
            let asker = one.record.person.as_ref()?;
            let meant =
                asker.practitioner && who.means(asker.pseudonym.as_deref(), asker.hpr.as_ref());
            meant.then(|| asker.identifier.clone())
        });
        let ended = records.len() < CHUNK;
        if known.is_some() || ended {
            let who = Named {
                number: known,
                ..who
            };
            return Ok(Closed::Practitioner { who });
        }
        before = records.last().map(|one| one.sequence);
    }
    Ok(Closed::Practitioner { who })
}

/// A wish as it holds, and its place.
fn answer(state: &State, status: StatusCode, wish: &Wish, patient: &PersonIdentifier) -> Response {
    let told = consent::render(wish, patient);
    let mut response = fhir_response(status, told.to_string());
    let place = format!("{}/Consent/{}", state.base, wish.id);
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

async fn listed(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let form = wire::form::read(&parts.headers, body)
        .await
        .map_err(Problem::from)?
        .0;
    let (permit, patient) = own(visit, Interaction::WishesRead)?;
    if let Some((name, _)) = form.iter().find(|(name, _)| name != "patient") {
        let words = "this search parameter is not supported; supported: patient";
        return Err(Problem::invalid(IssueCode::NotSupported, name, words).into());
    }
    for (_, value) in &form {
        let id = value.strip_prefix("Patient/").unwrap_or(value);
        let named = visit.store().patient_of(super::id_of(id)?).await?;
        if named.as_ref() != Some(&patient) {
            return Err(End::Nothing(super::search::NOBODY, named));
        }
    }
    let wishes = visit.store().wishes(&patient).await?;
    visit.write(visit.record().permitted(&permit)).await?;
    let held: Vec<_> = wishes.iter().filter(|one| one.holds(visit.now)).collect();
    let own = wire::paging::self_link(&state.base, "Consent", &[]);
    let mut answer = SearchsetWriter::new(Some(held.len() as u64), &[("self", own.as_str())]);
    for wish in held {
        let place = format!("{}/Consent/{}", state.base, wish.id);
        let told = consent::render(wish, &patient).to_string();
        answer.entry(Some(place.as_str()), told.as_bytes(), SearchMode::Match);
    }
    Ok(fhir_response(StatusCode::OK, answer.finish()))
}
