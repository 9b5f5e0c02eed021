//! An organisation's own service (the municipality's; the hospital's is the same), from memory: a list of patients, one alert of the story's patient and its steps. It checks, as the
//! real one does, that the list is asked for by a token of nobody and a step by a token of that patient.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use wire::contract::work_list::WorkList;
use wire::form::Form;

use crate::fake::Fake;

/// What it holds.
#[derive(Default)]
pub struct Service {
    /// The list that it gives; `None`: it has none.
    pub list: Mutex<Option<WorkList>>,
    /// The alert.
    pub task: Mutex<Option<Value>>,
    /// Other alerts of hers, the newest first.
    pub others: Mutex<Vec<Value>>,
    /// Forms as they came, with the step first.
    pub steps: Mutex<Vec<(String, Form)>>,
    /// Who takes the alert just before the next step arrives.
    pub rival: Mutex<Option<&'static str>>,
    /// What it answers to every step, if it takes none.
    pub refuses: Mutex<Option<StatusCode>>,
}

/// An alert that is open.
pub fn task(version: u64, state: &str, owner: Option<&str>) -> Value {
    let mut task = json!({
        "resourceType": "Task",
        "id": "a-1",
        "meta": {"versionId": version.to_string()},
        "status": match state {
            "raised" | "offered" => "requested",
            "owned" => "accepted",
            "resolved" | "handed-over" | "joined" => "completed",
            "declined" => "rejected",
            _ => "in-progress",
        },
        "code": {"coding": [{"system": fhir::systems::ASSESSMENT, "code": "alert-readings"}]},
        "businessStatus": {"coding": [{"code": state}]},
        "authoredOn": "2026-03-05T07:26:00Z",
        "restriction": {"period": {"end": "2026-03-05T07:41:00Z"}},
        "extension": [{"url": fhir::plan::ZONE, "valueCoding": {"code": "red"}}],
        "note": [{"authorString": "Kari <Prøve>", "time": "2026-03-05T07:30:00Z", "text": "Ringte <b>nå</b>"}],
    });
    if let Some(owner) = owner {
        task["owner"] = json!({"identifier": {"value": owner}, "display": owner});
    }
    task
}

/// Its routes.
pub fn routes() -> Router<Arc<Fake>> {
    ["fjellvik", "proveheim"]
        .into_iter()
        .fold(Router::new(), |router, place| {
            let at = |path: &str| format!("/{place}/fhir/Task/{path}");
            router
                .route(&at("$work-list"), post(list))
                .route(&at("_search"), post(search))
                .route(&at("{id}/{step}"), post(step))
        })
}

async fn opened(
    fake: &Fake,
    request: Request,
) -> Result<(String, http::HeaderMap, Form), StatusCode> {
    let (parts, body): (_, Body) = request.into_parts();
    let patient = fake.admit(parts.method.as_str(), parts.uri.path(), &parts.headers)?;
    let form = wire::form::read(&parts.headers, body).await.unwrap();
    Ok((patient, parts.headers, form))
}

async fn list(State(fake): State<Arc<Fake>>, request: Request) -> Response {
    let (patient, _, form) = match opened(&fake, request).await {
        Ok(opened) => opened,
        Err(status) => return status.into_response(),
    };
    let Some(mut list) = fake.own.list.lock().unwrap().clone() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !patient.is_empty() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let known: Vec<_> = form.get("known").unwrap_or_default().split(',').collect();
    list.rows.retain(|row| !known.contains(&row.tag.as_str()));
    if known[0] == list.tag {
        (list.same, list.order, list.rows) = (true, Vec::new(), Vec::new());
    }
    Json(list.to_json()).into_response()
}

async fn search(State(fake): State<Arc<Fake>>, request: Request) -> Response {
    let (patient, _, form) = match opened(&fake, request).await {
        Ok(opened) => opened,
        Err(status) => return status.into_response(),
    };
    let asked = form.get("patient.identifier").unwrap_or_default();
    assert!(!patient.is_empty() && asked.ends_with(&patient), "{asked}");
    let code = format!(
        "{0}|alert-readings,{0}|alert-missing",
        fhir::systems::ASSESSMENT
    );
    assert_eq!(form.get("code"), Some(code.as_str()));
    assert_eq!(form.get("_sort"), Some("-authored-on"));
    let task = fake.own.task.lock().unwrap().clone();
    let others = fake.own.others.lock().unwrap().clone();
    let status: Vec<_> = form.get("status").unwrap().split(',').collect();
    let count = form.get("_count").unwrap().parse().unwrap();
    let entries: Vec<_> = task
        .into_iter()
        .chain(others)
        .filter(|task| status.iter().any(|one| task["status"] == *one))
        .take(count)
        .map(|task| json!({"resource": task, "search": {"mode": "match"}}))
        .collect();
    Json(json!({"resourceType": "Bundle", "type": "searchset", "entry": entries})).into_response()
}

async fn step(
    State(fake): State<Arc<Fake>>,
    Path((id, step)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (patient, headers, form) = match opened(&fake, request).await {
        Ok(opened) => opened,
        Err(status) => return status.into_response(),
    };
    assert!(!patient.is_empty() && id == "a-1");
    let seen = headers["if-match"].to_str().unwrap().to_owned();
    let mut task = fake.own.task.lock().unwrap();
    let version: u64 = task.as_ref().unwrap()["meta"]["versionId"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    if let Some(rival) = fake.own.rival.lock().unwrap().take() {
        *task = Some(self::task(version + 1, "owned", Some(rival)));
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    assert_eq!(seen, format!("W/\"{version}\""));
    if let Some(status) = *fake.own.refuses.lock().unwrap() {
        return status.into_response();
    }
    let state = match (step.as_str(), form.get("note")) {
        ("$own", _) => "owned",
        ("$resolve", None) => return StatusCode::BAD_REQUEST.into_response(),
        ("$resolve", _) => "resolved",
        ("$join", None) => return StatusCode::BAD_REQUEST.into_response(),
        ("$join", _) => {
            for other in fake.own.others.lock().unwrap().iter_mut() {
                let (id, version) = (&other["id"], &other["meta"]["versionId"]);
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let seen = format!("Task/{}/_history/{}", text(id), text(version));
                if form.get("with") == Some(seen.as_str()) {
                    let id = id.clone();
                    *other = self::task(9, "joined", None);
                    other["id"] = id;
                }
            }
            "owned"
        }
        _ => "acknowledged",
    };
    fake.own.steps.lock().unwrap().push((step, form));
    let next = self::task(version + 1, state, Some("Mari Syntetisk, Fjellvik kommune"));
    *task = Some(next.clone());
    Json(next).into_response()
}
