//! `$file`: chosen readings, an assessment and a receipt become one document (FHIR R4 documents.html) in the caller's own record
//! system, so that what was relied on is in the record (ours; the shape of the Composition follows IT09, vkp-Composition).
//!
//! Each reading is read again at the source that the receipt names, in the user's name: what is filed is what its holder has, not
//! what somebody sends. If one cannot be had, or the whole is longer than a record system takes, nothing is filed. The document
//! becomes durable with the audit record; a courier brings it, and keeps trying. Asked for once more (an answer was lost, a button
//! pressed twice) it is the same document: the first answer is given again, and a dead letter is brought once more. The assessment
//! is in the document alone: no trail and no log holds it.

use super::opened::patient_of;
use super::operated;
use super::read::{fetch, kind_at};
use crate::State;
use crate::account;
use crate::answer::{self, Gives, RECEIPT_OF, RECEIPTS, receipt_of};
use crate::ask::{Timed, Told};
use crate::deadline::Deadline;
use crate::document::{Document, document};
use crate::filing::{TOPIC, receiver};
use crate::locate::{Source, is_within};
use crate::merge::{Given, Rule, merge};
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::json::Limits;
use fhir::operation::{Input, unknown};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::Sort;
use futures::stream::{self, StreamExt};
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;
use store::{DeliveryState, Expect, LedgerWrite, OutboxEntry, Store, StoreError};
use trust::{Ask, Interaction, Permit, Person};
use uuid::Uuid;
use wire::client::PeerError;
use wire::contract::record_system::DOCUMENT_SCOPE;
use wire::oauth_error::OAuthCode;
use wire::outcome::{Problem, fhir_response};
use wire::receipt::Receipt;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Ledger of documents by their ids, with the request that filed each.
const DOCUMENTS: &str = "document";
/// Most readings in one document.
const MOST: usize = 30;
/// Longest assessment, in bytes.
const WORDS: usize = 20_000;
/// Longest document, in bytes: more no record system takes (`fhir::json::Limits::BUNDLE`).
const LONGEST: usize = Limits::BUNDLE.bytes;
/// Readings that are fetched at the same time: with [`LONGEST`] the most that a request holds in memory.
const AT_ONCE: usize = 8;

/// `POST {gateway}/fhir/$file`.
pub async fn file(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    operated(
        state,
        request,
        ids,
        Interaction::Read,
        // Only what is known to be no narrative: a misspelt name may hold the assessment.
        |name| matches!(name, "receipt" | "reading"),
        |state, visit, form| Box::pin(filed(state, visit, form)),
    )
    .await
}

/// What was asked for.
struct Asked {
    receipt: Uuid,
    readings: Vec<(String, ResourceType)>,
    assessment: String,
}

async fn filed(state: &State, visit: &Visit<'_>, form: Input) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Read, ResourceType::OBSERVATION))?;
    let asked = understood(form)?;
    let patient = patient_of(&permit)?;
    let own = visit.caller().organisation.map(|one| state.controller(one));
    let Some((own, fhir)) = own.and_then(|own| Some((own, state.record_systems.get(&own)?))) else {
        let words = "no record system is known for the caller's organisation";
        return Err(Problem::not_supported("", words).into());
    };
    let (outcome, receipt) = kept(visit, asked.receipt).await?;
    let id = id_of(visit, &asked);
    if is_filed(visit, id).await? {
        return again(visit, &permit, id, &asked).await;
    }
    may_file(state, fhir).await?;
    let (sources, answers) = read(state, visit, &permit, patient, &asked, &receipt).await?;
    let given: Vec<&Given> = answers.iter().filter_map(only).collect();
    let whole = given.len() == asked.readings.len();
    let copies = given.iter().map(|one| (*one).clone()).collect();
    let shown = merge(copies, Rule::Record, Sort::DateAsc);
    let mut gives = Gives::of(&shown);
    if whole {
        let document = document(&Document {
            id,
            now: visit.now,
            patient,
            caller: visit.caller(),
            organisation: own,
            assessment: &asked.assessment,
            readings: &given,
            receipt: (asked.receipt, &outcome),
        });
        if document.len() > LONGEST {
            return Err(too_long().into());
        }
        gives.outbox.push(OutboxEntry {
            topic: TOPIC,
            receivers: vec![receiver(own)],
            partition: format!("{}|{}", patient.system(), patient.value().expose()),
            key: id.to_string(),
            body: document.into(),
        });
        gives.ledger.push(LedgerWrite {
            ledger: DOCUMENTS,
            key: id.as_bytes().to_vec(),
            value: Some(visit.ids().ours.as_bytes().to_vec()),
            expect: Expect::Absent,
        });
    }
    let account = account::receipt(&sources, &answers, &shown, visit.now);
    let signed = match answer::record(state, visit, &permit, &sources, account, gives).await {
        // The same was asked for twice at the same time; the other was first.
        Err(End::Problem(_)) if whole && is_filed(visit, id).await? => {
            return again(visit, &permit, id, &asked).await;
        }
        signed => signed?,
    };
    if !whole {
        // Nothing was filed; the receipt says who did not give what.
        return Ok(fhir_response(StatusCode::BAD_GATEWAY, signed.outcome));
    }
    Ok(promised(id, &asked))
}

fn promised(id: Uuid, asked: &Asked) -> Response {
    let answer = json!({"resourceType": "Parameters", "parameter": [
        {"name": "document", "valueUri": format!("urn:uuid:{id}")},
        {"name": "readings", "valueUnsignedInt": asked.readings.len()},
        {"name": "receipt", "valueUri": format!("urn:uuid:{}", asked.receipt)},
    ]});
    fhir_response(StatusCode::ACCEPTED, answer.to_string())
}

/// The document's id (UUID version 8): the same for the same caller, receipt, readings and words, and tells none of them.
fn id_of(visit: &Visit<'_>, asked: &Asked) -> Uuid {
    let caller = visit.caller();
    let person = match &caller.person {
        Person::Practitioner { identifier, .. } | Person::Citizen { identifier, .. } => {
            format!("{}|{}", identifier.system(), identifier.value().expose())
        }
        Person::System => caller.client_id.clone(),
    };
    let organisation = caller.organisation.map(|one| one.to_string());
    let readings: Vec<&str> = asked.readings.iter().map(|(url, _)| url.as_str()).collect();
    let (receipt, words) = (asked.receipt, &asked.assessment);
    let whole = json!([organisation, person, receipt, readings, words]).to_string();
    let hash = visit.store().keyed(DOCUMENTS, whole.as_bytes());
    uuid::Builder::from_custom_bytes(hash).into_uuid()
}

async fn is_filed(visit: &Visit<'_>, id: Uuid) -> Result<bool, StoreError> {
    let known = visit.store().ledger_get(DOCUMENTS, id.as_bytes()).await?;
    Ok(known.is_some())
}

/// The first answer once more. What was given up meanwhile is brought again, for that is what the caller is promised.
async fn again(
    visit: &Visit<'_>,
    permit: &Permit,
    id: Uuid,
    asked: &Asked,
) -> Result<Response, End> {
    visit.write(visit.record().permitted(permit)).await?;
    // The record is written: what goes wrong from here on gets no second one.
    let revived = revive(visit.store(), id).await;
    revived.map_err(|error| End::Audited(error.into()))?;
    Ok(promised(id, asked))
}

async fn revive(store: &Store, id: Uuid) -> Result<(), StoreError> {
    for one in store.outbox_by_key(&id.to_string()).await? {
        if one.state == DeliveryState::Dead {
            store.outbox_revive(one.id).await?;
        }
    }
    Ok(())
}

/// Nothing is promised that the trust anchor does not let this gateway keep: without a delegation it files for nobody else. An
/// anchor that is silent forbids nothing; the courier asks it again.
async fn may_file(state: &State, fhir: &str) -> Result<(), Problem> {
    match state.party.token(fhir, DOCUMENT_SCOPE).await {
        Err(PeerError::Token(word)) if is_refusal(word) => {
            let words = "the trust anchor gives this gateway no token for the record system of the caller's organisation";
            Err(Problem::forbidden(words))
        }
        _ => Ok(()),
    }
}

fn is_refusal(word: &str) -> bool {
    let refusals = [
        OAuthCode::InvalidTarget,
        OAuthCode::InvalidScope,
        OAuthCode::UnauthorizedClient,
    ];
    refusals.iter().any(|one| one.as_str() == word)
}

fn understood(form: Input) -> Result<Asked, Problem> {
    let known = [("receipt", false), ("reading", true), ("assessment", false)];
    let mut issues = unknown(&form, &known);
    let one = |wanted: &str| {
        let found = form.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let mut refuse = |code, name: &str, words: &str| issues.push(Issue::error(code, name, words));
    let receipt = one("receipt");
    let receipt = receipt.strip_prefix("urn:uuid:").unwrap_or(&receipt);
    let receipt = receipt.parse::<Uuid>();
    if receipt.is_err() {
        let words = "expected the id of the receipt of the look-up";
        refuse(IssueCode::Required, "receipt", words);
    }
    let mut readings: Vec<(String, ResourceType)> = Vec::new();
    for (_, url) in form.iter().filter(|(name, _)| name == "reading") {
        match kind_at(url) {
            Some(kind) if readings.iter().all(|(other, _)| other != url) => {
                readings.push((url.clone(), kind));
            }
            Some(_) => refuse(IssueCode::Duplicate, "reading", "a reading is there twice"),
            None => {
                let words =
                    "expected the full address of a resource of a type that is looked up here";
                refuse(IssueCode::Value, "reading", words);
            }
        }
    }
    let assessment = one("assessment");
    if readings.len() > MOST || assessment.len() > WORDS {
        let words =
            format!("more than {MOST} readings, or an assessment of more than {WORDS} bytes");
        refuse(IssueCode::TooCostly, "", &words);
    }
    if readings.is_empty() && assessment.is_empty() {
        refuse(
            IssueCode::Required,
            "reading",
            "nothing was chosen to be filed",
        );
    }
    match (issues.is_empty(), receipt) {
        (true, Ok(receipt)) => Ok(Asked {
            receipt,
            readings,
            assessment,
        }),
        _ => Err(Problem::invalid_all(issues)),
    }
}

/// A receipt that this caller may have had, as it was signed.
async fn kept(visit: &Visit<'_>, id: Uuid) -> Result<(String, Receipt), End> {
    let store = visit.store();
    let theirs = store.ledger_get(RECEIPT_OF, id.as_bytes()).await?;
    let row = match theirs.is_some_and(|row| row.value[..] == receipt_of(visit)[..]) {
        true => store.ledger_get(RECEIPTS, id.as_bytes()).await?,
        false => None,
    };
    let text = row.and_then(|row| String::from_utf8(row.value).ok());
    let text = text.ok_or_else(|| {
        let words = "no such receipt is known to the caller";
        Problem::invalid(IssueCode::NotFound, "receipt", words)
    })?;
    let receipt = Receipt::parse(&text).map_err(|_| Problem::bug("a kept receipt is not one"))?;
    Ok((text, receipt))
}

/// Reads every chosen reading at the source that the receipt names for its address, until they are too long together.
async fn read(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    patient: &PersonIdentifier,
    asked: &Asked,
    receipt: &Receipt,
) -> Result<(Vec<Source>, Vec<Timed>), End> {
    let mut places: Vec<(OrganisationNumber, &str, ResourceType)> = Vec::new();
    for (url, kind) in &asked.readings {
        let named = receipt.sources.iter().find(|source| {
            let base = source.endpoint.as_deref();
            base.is_some_and(|base| is_within(url, base))
        });
        let organisation = named.and_then(|one| OrganisationNumber::parse(&one.organisation).ok());
        let Some(organisation) = organisation else {
            let words = "the receipt names no source with this address";
            return Err(Problem::invalid(IssueCode::NotFound, "reading", words).into());
        };
        places.push((organisation, url, *kind));
    }
    let deadline = Deadline::after(state.config.total_deadline);
    let reads: Vec<_> = places
        .into_iter()
        .enumerate()
        .map(|(number, place)| fetch(state, visit, permit, patient, place, number, &deadline))
        .collect();
    let mut reads = stream::iter(reads).buffered(AT_ONCE);
    let (mut sources, mut answers, mut bytes) = (Vec::new(), Vec::new(), 0);
    while let Some(read) = reads.next().await {
        let (source, timed) = read.ok_or_else(Problem::not_found)?;
        bytes += only(&timed).map_or(0, |one| one.body.len());
        if bytes > LONGEST {
            return Err(too_long().into());
        }
        sources.push(source);
        answers.push(timed);
    }
    Ok((sources, answers))
}

fn too_long() -> Problem {
    let words = format!(
        "the document would be longer than {LONGEST} bytes, which no record system takes: choose fewer readings"
    );
    Problem::result_too_large(words)
}

/// The one resource that was read.
fn only(timed: &Timed) -> Option<&Given> {
    match &timed.told {
        Told::Gave(gave) => gave.given.first(),
        Told::Nothing { .. } => None,
    }
}
