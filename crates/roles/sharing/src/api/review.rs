//! `$reviews`: the controller's look at broken glass. Each request that overrode what a patient closed waits here until the
//! organisation's own system says what was found (pasientjournalloven §§ 17 and 22; threats-and-faults.md section 4).

use crate::State;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{AuditFilter, Finding, Review};
use trust::audit::Record;
use trust::{Ask, Interaction};
use wire::contract::ORGANISATION_NUMBER_SYSTEM;
use wire::form::Form;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Reviews in one answer.
const MOST: usize = 100;
/// Records of one request that are looked at.
const RECORDS: usize = 600;
/// What a review may find.
const OUTCOMES: [&str; 2] = ["justified", "unjustified"];
/// Longest text of a finding.
const LONGEST: usize = 2_000;

/// `GET {base}/$reviews[?state=closed]`: those that wait, or those that are closed.
pub async fn list(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| listed(visit, &parts).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::ReviewsRead, work)
        .await
}

/// `POST {base}/$reviews` with `request`, `outcome`, `by` and, if wished, `note`: closes one.
pub async fn close(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| closed(visit, &parts, body).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::ReviewClosed, work)
        .await
}

async fn listed(visit: &mut Visit<'_>, parts: &Parts) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(
        Interaction::ReviewsRead,
        ResourceType::AUDIT_EVENT,
    ))?;
    let query = parts.uri.query().unwrap_or_default();
    let form = Form::parse(query.as_bytes()).map_err(Problem::from)?.0;
    let closed = match &form[..] {
        [] => false,
        [(name, value)] if name == "state" && value == "open" => false,
        [(name, value)] if name == "state" && value == "closed" => true,
        _ => {
            let words = "one parameter is known: state, open or closed";
            return Err(Problem::invalid(IssueCode::NotSupported, "state", words).into());
        }
    };
    let mut reviews = visit.store().reviews(closed, MOST + 1).await?;
    let more = reviews.len() > MOST;
    reviews.truncate(MOST);
    reviews.sort_by_key(|review| review.when);
    let mut parameters = Vec::new();
    for review in &reviews {
        let record = broke(visit, &review.request).await?;
        parameters.push(part(review, record.as_ref()));
    }
    if more {
        parameters.push(json!({"name": "more", "valueBoolean": true}));
    }
    visit.write(visit.record().permitted(&permit)).await?;
    Ok(answer(&parameters))
}

async fn closed(visit: &mut Visit<'_>, parts: &Parts, body: Body) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(
        Interaction::ReviewClosed,
        ResourceType::AUDIT_EVENT,
    ))?;
    let input = wire::operation::read(&parts.headers, body).await?;
    let (request, found) = finding(&input, visit)?;
    visit.asked(&format!(
        "request={request} outcome={} by={}",
        found.outcome, found.by
    ));
    let record = broke(visit, &request).await?;
    let ledger = visit.store().review_closed(&request, found).await?;
    let ledger = ledger.ok_or_else(Problem::not_found)?;
    let about = record.and_then(|record| record.patient);
    let mut change = visit.change(visit.record().permitted(&permit).about(about));
    change.ledger.extend(ledger);
    visit.commit(change).await?;
    Ok(answer(&[]))
}

/// The record of a request that broke the glass; there may be more of them, one a part.
async fn broke(visit: &Visit<'_>, request: &str) -> Result<Option<Record>, End> {
    let filter = AuditFilter {
        request_id: Some(request.to_owned()),
        limit: RECORDS,
        ..AuditFilter::default()
    };
    let entries = visit.store().audit_search(filter).await?;
    let mut records = entries.into_iter().map(|entry| entry.record);
    Ok(records.find(|record| !record.broken.is_empty()))
}

fn finding(input: &[(String, String)], visit: &Visit<'_>) -> Result<(String, Finding), Problem> {
    let known = ["request", "outcome", "by", "note"];
    if let Some((name, _)) = input
        .iter()
        .find(|(name, _)| !known.contains(&name.as_str()))
    {
        let words = "this parameter is not known; expected: request, outcome, by, note";
        return Err(Problem::invalid(IssueCode::NotSupported, name, words));
    }
    let one = |name: &str| {
        let mut values = input.iter().filter(|(own, _)| own == name);
        let value = values.next().map(|(_, value)| value.trim().to_owned());
        let sound = value
            .as_ref()
            .is_none_or(|text| !text.is_empty() && text.len() <= LONGEST);
        if sound && values.next().is_none() {
            Ok(value)
        } else {
            let words = "expected once, not empty, and at most 2000 bytes";
            Err(Problem::invalid(IssueCode::Value, name, words))
        }
    };
    let needed = |name: &str| {
        let missing = || Problem::invalid(IssueCode::Required, name, "this parameter is missing");
        one(name)?.ok_or_else(missing)
    };
    let outcome = needed("outcome")?;
    if !OUTCOMES.contains(&outcome.as_str()) {
        let words = "expected justified or unjustified";
        return Err(Problem::invalid(IssueCode::Value, "outcome", words));
    }
    let found = Finding {
        when: visit.now,
        outcome,
        by: needed("by")?,
        note: one("note")?,
    };
    Ok((needed("request")?, found))
}

/// One review, with what the trail tells of it.
fn part(review: &Review, record: Option<&Record>) -> Value {
    let text = |name: &str, value: &str| json!({"name": name, "valueString": value});
    let identifier = |name: &str, system: &str, value: &str| json!({"name": name, "valueIdentifier": {"system": system, "value": value}});
    let mut parts = vec![
        text("request", &review.request),
        json!({"name": "when", "valueInstant": review.when.to_string()}),
    ];
    let rules = review.rules.iter();
    parts.extend(rules.map(|rule| json!({"name": "rule", "valueCode": rule})));
    if let Some(organisation) = &review.organisation {
        let system = ORGANISATION_NUMBER_SYSTEM;
        parts.push(identifier("organisation", system, organisation.as_str()));
    }
    if let Some(record) = record {
        if let Some(patient) = &record.patient {
            let value = patient.value().expose();
            parts.push(identifier("patient", patient.system(), value));
        }
        let name = record.person.as_ref().and_then(|who| who.name.as_deref());
        parts.extend(name.map(|name| text("practitioner", name)));
        parts.extend(record.reason.as_deref().map(|one| text("reason", one)));
        let given =
            record.disclosed.len() as u64 + record.counted.iter().map(|one| one.count).sum::<u64>();
        parts.push(json!({"name": "disclosed", "valueInteger": given}));
    }
    if let Some(found) = &review.found {
        parts.push(json!({"name": "closed", "valueInstant": found.when.to_string()}));
        parts.push(json!({"name": "outcome", "valueCode": found.outcome}));
        parts.push(text("by", &found.by));
        parts.extend(found.note.as_deref().map(|note| text("note", note)));
    }
    json!({"name": "review", "part": parts})
}

fn answer(parameters: &[Value]) -> Response {
    let mut told = json!({"resourceType": "Parameters"});
    if !parameters.is_empty() {
        told["parameter"] = json!(parameters);
    }
    fhir_response(StatusCode::OK, told.to_string())
}
