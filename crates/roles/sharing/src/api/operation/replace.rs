//! `$replace-series`: the record system puts a whole series in the place of what is here, so that the copy equals its source.
//!
//! Parameters: `patient` (Identifier), `type` (a resource type), optionally `code` (Coding: only what carries it), and
//! `series` (a Bundle of type collection with all of the series; an empty one withdraws all). All or nothing, in one commit.

use crate::State;
use crate::api::writable;
use crate::feed;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::ids::PersonIdentifier;
use fhir::index::{Coding, Subject};
use fhir::json::{Json, Limits, Node};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::{TokenParam, TokenSystem};
use http::StatusCode;
use http::request::Parts;
use serde_json::json;
use std::sync::Arc;
use store::{Fate, Replace};
use trust::{Ask, Interaction};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Most resources of one series.
const MOST: usize = 10_000;

/// `POST {base}/$replace-series`.
pub async fn replace(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| put_in_place(&state, visit, &parts, body).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Replace, work)
        .await
}

/// What is to be replaced, as sent.
struct Sent<'a> {
    patient: PersonIdentifier,
    resource_type: ResourceType,
    code: Option<Coding>,
    entries: Vec<Node<'a>>,
}

async fn put_in_place(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    visit.permit(&Ask::of(Interaction::Replace, ResourceType::OBSERVATION))?;
    if !state.config.members.is_empty() {
        let words = "a shared register is its members' record itself: there is no source to equal, and each member corrects what it wrote";
        return Err(Problem::not_supported("Parameters", words).into());
    }
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::BUNDLE.bytes).await?;
    let json = Json::parse(bytes, Limits::BUNDLE)?;
    let sent = Sent::read(state, json.root()).map_err(Problem::invalid_all)?;
    visit.asked(&format!(
        "{} series of {} resources",
        sent.resource_type,
        sent.entries.len()
    ));
    // A series is created, corrected and withdrawn: each of the rights is needed.
    for interaction in [
        Interaction::Create,
        Interaction::Update,
        Interaction::Withdraw,
    ] {
        visit.permit(&Ask::of(interaction, sent.resource_type))?;
    }
    let permit = visit.permit(&Ask::of(Interaction::Replace, sent.resource_type))?;
    let code = sent.code.map(|coding| TokenParam {
        system: coding.system.map_or(TokenSystem::Absent, TokenSystem::Is),
        code: Some(coding.code),
    });
    let codes: Vec<TokenParam> = code.into_iter().collect();
    let mut resources = Vec::with_capacity(sent.entries.len());
    for (at, node) in sent.entries.into_iter().enumerate() {
        let place = format!("Parameters.parameter.resource.entry[{at}].resource");
        let taken = feed::take(state, visit, Interaction::Create, &json, node, None)
            .map_err(|end| match end {
                End::Problem(problem) => End::Problem(problem.within(&place)),
                other => other,
            })?
            .checked;
        let index = taken.index();
        let about =
            matches!(&index.subject, Some(Subject::Person(person)) if *person == sent.patient);
        let coded = codes.is_empty()
            || index
                .codings
                .iter()
                .any(|coding| codes.iter().any(|token| token.matches(coding)));
        if taken.resource_type() != sent.resource_type || !about || !coded {
            let words = "this resource is not of the series: its type, its patient by number, or its code is another";
            return Err(Problem::unprocessable(vec![Issue::error(
                IssueCode::BusinessRule,
                place,
                words,
            )])
            .into());
        }
        resources.push(taken);
    }
    let record = visit
        .record()
        .permitted(&permit)
        .about(Some(sent.patient.clone()));
    let mut change = visit.change(record);
    let signed = crate::copy::sign(visit, &mut change);
    change.audit_fill = true;
    change.replace = Some(Replace {
        patient: sent.patient,
        resource_type: sent.resource_type,
        codes,
        resources,
        enrol: state.config.enrol,
    });
    let committed = visit.commit(change).await?;
    signed.stands(state);
    let count = |name: &str, fate: Fate| {
        let count = committed.puts.iter().filter(|put| put.fate == fate).count();
        json!({"name": name, "valueDecimal": count})
    };
    let answer = json!({
        "resourceType": "Parameters",
        "parameter": [
            count("created", Fate::Created),
            count("updated", Fate::Updated),
            count("unchanged", Fate::Existing),
            count("withdrawn", Fate::Withdrawn),
        ],
    });
    Ok(fhir_response(
        StatusCode::OK,
        answer.to_string().into_bytes(),
    ))
}

impl<'a> Sent<'a> {
    fn read(state: &State, root: Node<'a>) -> Result<Sent<'a>, Vec<Issue>> {
        let fault = |place: &str, words: &str| vec![Issue::error(IssueCode::Invalid, place, words)];
        if root.text("resourceType").as_deref() != Some("Parameters") {
            return Err(fault("resourceType", "a Parameters resource was expected"));
        }
        let (mut patient, mut resource_type, mut code, mut series) = (None, None, None, None);
        for parameter in root.get("parameter").into_iter().flat_map(Node::items) {
            let name = parameter.text("name").unwrap_or_default();
            let twice = match name.as_ref() {
                "patient" => parameter
                    .get("valueIdentifier")
                    .and_then(|of| PersonIdentifier::read(of, state.config.person_numbers))
                    .map(|found| patient.replace(found).is_some()),
                "type" => parameter
                    .text("valueCode")
                    .and_then(|name| writable(state, &name).ok())
                    .filter(|found| *found != ResourceType::PATIENT)
                    .map(|found| resource_type.replace(found).is_some()),
                "code" => parameter
                    .get("valueCoding")
                    .and_then(Coding::read)
                    .map(|found| code.replace(found).is_some()),
                "series" => parameter
                    .get("resource")
                    .filter(|bundle| {
                        bundle.text("resourceType").as_deref() == Some("Bundle")
                            && bundle.text("type").as_deref() == Some("collection")
                    })
                    .map(|found| series.replace(found).is_some()),
                _ => None,
            };
            if twice != Some(false) {
                let words = "expected once each: patient (Identifier), type (code), code (Coding, may be left out), series (Bundle of type collection)";
                return Err(fault(&parameter.expression(), words));
            }
        }
        let (Some(patient), Some(resource_type), Some(series)) = (patient, resource_type, series)
        else {
            return Err(fault(
                "Parameters.parameter",
                "patient, type and series are needed",
            ));
        };
        let mut entries = Vec::new();
        for entry in series.get("entry").into_iter().flat_map(Node::items) {
            let Some(resource) = entry.get("resource") else {
                return Err(fault(&entry.expression(), "the entry has no resource"));
            };
            entries.push(resource);
        }
        if entries.len() > MOST {
            return Err(vec![Issue::error(
                IssueCode::TooCostly,
                "Parameters.parameter",
                format!("a series has at most {MOST} resources; name a code to replace a part"),
            )]);
        }
        Ok(Sent {
            patient,
            resource_type,
            code,
            entries,
        })
    }
}
