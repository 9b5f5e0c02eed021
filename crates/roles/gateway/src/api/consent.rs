//! The citizen's one place for blocks and reservation (FHIR R4 consent.html; pasient- og brukerrettighetsloven § 5-3): made,
//! listed and taken back at every sharing service that the locator names or she chose (`organization`, in the address or the
//! form). Every answer holds a signed receipt of what each of them did: a wish that did not reach somebody is said, and
//! sending it again is safe, for the same wish is never kept twice.

use super::received;
use crate::State;
use crate::account;
use crate::answer::RECEIPTS;
use crate::deadline::Deadline;
use crate::locate::{Source, locate};
use crate::question::{Whom, chosen};
use crate::wishes::{Errand, Heard, Held, Round, patient, receipt};
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::bundle::{SearchMode, SearchsetWriter};
use fhir::ids::{LogicalId, OrganisationNumber, PersonIdentifier};
use fhir::json::{Json, Limits};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Expect, LedgerWrite};
use trust::{Ask, Category, Interaction, Permit, PermitScope};
use wire::contract::ORGANISATION_NUMBER_SYSTEM;
use wire::contract::gateway::{ORGANIZATION, ROUTE_EXTENSION};
use wire::form::Form;
use wire::outcome::{Problem, fhir_response};
use wire::receipt::{Receipt, SourceState};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// `POST {gateway}/fhir/Consent[?organization=…]`: 201 when at least one holder took it.
pub async fn make(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let what = Interaction::WishMade;
    received(state, parts, ids, what, move |state, visit, parts| {
        Box::pin(async move {
            let (permit, patient) = own(visit, what)?;
            let chosen = chosen_by(state, visit, query(parts)?)?;
            let limit = Limits::RESOURCE.bytes;
            let bytes = wire::body::fhir_json(&parts.headers, body, limit).await?;
            about(state, &bytes, &patient)?;
            let (done, receipt) = run(
                state,
                visit,
                &permit,
                &patient,
                &chosen,
                Errand::Make(&bytes),
            )
            .await?;
            let Some(made) = done.first() else {
                return Ok(fhir_response(receipt.status, receipt.body));
            };
            let mut response = fhir_response(StatusCode::CREATED, receipt.body);
            let place = format!("{}/Consent/{}", state.fhir, made.meaning);
            if let Ok(place) = HeaderValue::from_str(&place) {
                response.headers_mut().insert(header::LOCATION, place);
            }
            Ok(response)
        })
    })
    .await
}

/// `POST {gateway}/fhir/Consent/_search`: each wish once, with the holders that keep it as routes, and the receipt.
pub async fn list(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let what = Interaction::WishesRead;
    received(state, parts, ids, what, move |state, visit, parts| {
        Box::pin(async move {
            let (permit, patient) = own(visit, what)?;
            let form = wire::form::read(&parts.headers, body)
                .await
                .map_err(Problem::from)?;
            let chosen = chosen_by(state, visit, form)?;
            let (done, receipt) =
                run(state, visit, &permit, &patient, &chosen, Errand::List).await?;
            if receipt.status.is_success() {
                let listed = searchset(state, &done, &receipt.body);
                return Ok(fhir_response(StatusCode::OK, listed));
            }
            Ok(fhir_response(receipt.status, receipt.body))
        })
    })
    .await
}

/// `DELETE {gateway}/fhir/Consent/{id}[?organization=…]`: 200 with the receipt, also when it was taken back before.
pub async fn end(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let what = Interaction::WishEnded;
    received(state, parts, ids, what, move |state, visit, parts| {
        Box::pin(async move {
            let (permit, patient) = own(visit, what)?;
            let chosen = chosen_by(state, visit, query(parts)?)?;
            let id = LogicalId::parse(&id).map_err(|_| Problem::not_found())?;
            let meaning = id.to_string().parse().map_err(|_| Problem::not_found())?;
            let (_, receipt) = run(
                state,
                visit,
                &permit,
                &patient,
                &chosen,
                Errand::End(meaning),
            )
            .await?;
            Ok(fhir_response(receipt.status, receipt.body))
        })
    })
    .await
}

/// The permit, and whose wishes it opens.
fn own(visit: &Visit<'_>, what: Interaction) -> Result<(Permit, PersonIdentifier), End> {
    let permit = visit.permit(&Ask::of(what, ResourceType::CONSENT))?;
    let PermitScope::Patient(patient) = permit.patient() else {
        return Err(Problem::bug("a wish without a patient").into());
    };
    let patient = patient.clone();
    Ok((permit, patient))
}

fn query(parts: &Parts) -> Result<Form, Problem> {
    Ok(Form::parse(
        parts.uri.query().unwrap_or_default().as_bytes(),
    )?)
}

/// The organisations chosen besides; no other parameter is known.
pub(super) fn chosen_by(
    state: &State,
    visit: &mut Visit<'_>,
    mut form: Form,
) -> Result<Vec<OrganisationNumber>, Problem> {
    let mut issues = Vec::new();
    let named = form.take(ORGANIZATION);
    let found = chosen(&named, &state.config.register, &mut issues);
    issues.extend(form.0.iter().map(|(name, _)| {
        let words = "this parameter is not supported; supported: organization";
        Issue::error(IssueCode::NotSupported, name, words)
    }));
    if !issues.is_empty() {
        return Err(Problem::invalid_all(issues));
    }
    for organisation in &found {
        visit.asked(&format!("{ORGANIZATION}={organisation}"));
    }
    Ok(found)
}

/// Refuses a body that is no Consent about the token's patient; what it may say is for each holder to judge.
fn about(state: &State, bytes: &[u8], own: &PersonIdentifier) -> Result<(), Problem> {
    // Bounds, duplicate members and encodings first.
    Json::parse(bytes.to_vec(), Limits::RESOURCE)?;
    let sent: Value =
        serde_json::from_slice(bytes).map_err(|_| Problem::bug("JSON is not JSON"))?;
    if sent["resourceType"] != ResourceType::CONSENT.as_str() {
        let words = "expected a Consent";
        return Err(Problem::invalid(IssueCode::Invalid, "resourceType", words));
    }
    if patient(&sent, state.config.person_numbers).as_ref() != Some(own) {
        let words = "a wish is about the token's own patient, named by national identity number";
        let issue = Issue::error(IssueCode::Value, "Consent.patient.identifier", words);
        return Err(Problem::unprocessable(vec![issue]));
    }
    Ok(())
}

/// The signed receipt as it leaves, and the status that fits it.
pub(super) struct Account {
    pub(super) body: String,
    pub(super) status: StatusCode,
}

/// Finds the holders, runs the errand at each, and puts on record what became of it.
async fn run(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    patient: &PersonIdentifier,
    chosen: &[OrganisationNumber],
    errand: Errand<'_>,
) -> Result<(Vec<Held>, Account), End> {
    let deadline = Deadline::after(state.config.total_deadline);
    let sources = holders(state, visit, chosen, &deadline).await;
    let round = Round {
        state,
        visit,
        patient,
        deadline: &deadline,
    };
    let heard = round.all(&sources, errand).await;
    let receipt = receipt(&sources, &heard, Vec::len);
    let did = receipt.sources.iter().any(|one| one.state.is_whole());
    let refused = receipt
        .sources
        .iter()
        .any(|one| one.state == SourceState::Refused);
    let making = matches!(errand, Errand::Make(_));
    let status = match account::failure(&receipt) {
        _ if did => StatusCode::OK,
        Some(status) => status,
        None if refused => StatusCode::UNPROCESSABLE_ENTITY,
        // Nobody is known to hold anything: nothing is shut, and that is not success.
        None if making => StatusCode::NOT_FOUND,
        None => StatusCode::OK,
    };
    let account = accounted(state, visit, permit, &sources, (receipt, status)).await?;
    let held = heard.into_iter().flat_map(Heard::into_held).collect();
    Ok((held, account))
}

/// Whoever holds anything about the patient, by the locator, and those chosen besides.
pub(super) async fn holders(
    state: &State,
    visit: &Visit<'_>,
    chosen: &[OrganisationNumber],
    deadline: &Deadline,
) -> Vec<Source> {
    let whom = Whom {
        resource: None,
        chosen,
    };
    locate(state, visit, whom, deadline).await
}

/// Signs the receipt, and puts on record what became of each holder, and the receipt itself.
pub(super) async fn accounted(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    sources: &[Source],
    (receipt, status): (Receipt, StatusCode),
) -> Result<Account, End> {
    let receipt = state
        .party
        .sign_receipt(receipt)
        .map_err(|_| Problem::bug("a receipt cannot be signed"))?;
    let body = receipt.to_json().to_string();
    let mut record = visit.record().permitted(permit);
    record = match status {
        StatusCode::OK => record,
        StatusCode::UNPROCESSABLE_ENTITY => record.failed(Category::Invalid),
        StatusCode::NOT_FOUND => record.failed(Category::NotFound),
        _ => record.failed(Category::Unavailable),
    };
    let mut change = visit.change(record.with_peers(account::peers(sources, &receipt)));
    change.ledger.push(LedgerWrite {
        ledger: RECEIPTS,
        key: visit.ids().ours.as_bytes().to_vec(),
        value: Some(body.clone().into_bytes()),
        expect: Expect::Any,
    });
    visit.commit(change).await?;
    Ok(Account { body, status })
}

/// Every wish once, the holders that keep it as routes.
fn searchset(state: &State, held: &[Held], receipt: &str) -> Vec<u8> {
    let mut wishes: Vec<Vec<&Held>> = Vec::new();
    for one in held {
        let same = |group: &&mut Vec<&Held>| group[0].meaning == one.meaning;
        match wishes.iter_mut().find(same) {
            Some(group) => group.push(one),
            None => wishes.push(vec![one]),
        }
    }
    let own = wire::paging::self_link(&state.fhir, "Consent", &[]);
    let total = wishes.len() as u64;
    let mut writer = SearchsetWriter::new(Some(total), &[("self", own.as_str())]);
    for group in wishes {
        let roads: Vec<Value> = group.iter().map(|one| road(one)).collect();
        let mut shown = group[0].consent.clone();
        shown["id"] = json!(group[0].meaning);
        let place = format!("{}/Consent/{}", state.fhir, group[0].meaning);
        writer.extended_entry(
            Some(json!(roads).to_string().as_bytes()),
            Some(place.as_str()),
            shown.to_string().as_bytes(),
            SearchMode::Match,
        );
    }
    writer.entry(None, receipt.as_bytes(), SearchMode::Outcome);
    writer.finish()
}

fn road(held: &Held) -> Value {
    json!({"url": ROUTE_EXTENSION, "extension": [
        {"url": "organisation", "valueIdentifier": {"system": ORGANISATION_NUMBER_SYSTEM, "value": held.organisation}},
        {"url": "fullUrl", "valueUrl": held.url},
    ]})
}
