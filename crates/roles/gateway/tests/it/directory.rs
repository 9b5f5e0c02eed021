//! A catalogue and a locator that can be told to be down or silent, and that count who asked.

use crate::anchor::claims_of;
use crate::sources::Source;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use fhir::ids::OrganisationNumber;
use fhir::time::Instant;
use http::{HeaderMap, StatusCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use wire::contract::ORGANISATION_NUMBER_SYSTEM;
use wire::contract::catalogue::{BY_ORGANISATION, Endpoint, EndpointStatus, searchset};
use wire::contract::locator::{Holder, LocateAnswer, LocateRequest};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Up,
    Down,
    Silent,
    Garbled,
    /// Whoever asks has used up a budget.
    Budget,
    /// Whoever asks is refused, with this code.
    Refuses(&'static str),
}

pub struct Directory {
    pub catalogue: Mutex<Health>,
    pub locator: Mutex<Health>,
    pub endpoints: Mutex<Vec<(Endpoint, Vec<String>)>>,
    /// Services that the locator names, with the time it knows of.
    pub located: Mutex<Vec<(String, OrganisationNumber, Instant)>>,
    pub catalogue_asked: AtomicUsize,
    pub located_for: Mutex<Vec<(String, Vec<String>, String)>>,
}

impl Directory {
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/catalogue/fhir/Endpoint/_search", post(endpoints))
            .route("/locator/locate", post(locate))
            .with_state(self.clone())
    }

    /// Lists a source; `members` are those of a shared register.
    pub fn list(&self, source: &Source, members: &[&str]) {
        let endpoint = Endpoint {
            id: source.service.clone(),
            service: source.service.clone(),
            status: EndpointStatus::Active,
            name: source.service.clone(),
            address: source.base.clone(),
            managing: source.orgnr.clone(),
            managing_name: Some(format!("{} (syntetisk)", source.service)),
            payload_kinds: vec!["IT03".into(), "IT08".into(), "IT17".into()],
            concept: None,
            supplier: None,
        };
        self.endpoints
            .lock()
            .unwrap()
            .push((endpoint, members.iter().map(|m| (*m).to_owned()).collect()));
    }
}

async fn sick(health: Health) -> Option<Response> {
    match health {
        Health::Up => None,
        Health::Down => Some(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
        Health::Garbled => Some("{\"resourceType\":\"Patient\"}".into_response()),
        Health::Silent => std::future::pending().await,
        Health::Budget => {
            let wait = [(http::header::RETRY_AFTER, "3600")];
            Some((StatusCode::TOO_MANY_REQUESTS, wait).into_response())
        }
        Health::Refuses(code) => {
            let details = serde_json::json!({"coding": [{"code": code}], "text": "rule"});
            let outcome = serde_json::json!({"resourceType": "OperationOutcome", "issue": [{"details": details}]});
            Some((StatusCode::FORBIDDEN, outcome.to_string()).into_response())
        }
    }
}

fn token(headers: &HeaderMap) -> trust::token::Claims {
    claims_of(
        headers["authorization"]
            .to_str()
            .unwrap()
            .strip_prefix("DPoP ")
            .unwrap(),
    )
}

async fn endpoints(
    State(directory): State<Arc<Directory>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    directory.catalogue_asked.fetch_add(1, Ordering::SeqCst);
    let health = *directory.catalogue.lock().unwrap();
    if let Some(sick) = sick(health).await {
        return sick;
    }
    assert!(
        token(&headers).patient.is_none(),
        "the catalogue hears of no patient"
    );
    let form = wire::form::read(&headers, body).await.unwrap();
    let asked = form
        .get(BY_ORGANISATION)
        .unwrap()
        .strip_prefix(&format!("{ORGANISATION_NUMBER_SYSTEM}|"))
        .unwrap();
    let all = directory.endpoints.lock().unwrap();
    let found: Vec<_> = all
        .iter()
        .filter(|(endpoint, members)| {
            endpoint.managing == asked || members.iter().any(|member| member == asked)
        })
        .map(|(endpoint, _)| endpoint.to_json())
        .collect();
    axum::Json(searchset("http://catalogue.example/fhir", &found)).into_response()
}

async fn locate(
    State(directory): State<Arc<Directory>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let health = *directory.locator.lock().unwrap();
    if let Some(sick) = sick(health).await {
        return sick;
    }
    let request: LocateRequest = wire::body::json(&headers, body, 1000).await.unwrap();
    let kinds: Vec<String> = request.kinds.iter().map(ToString::to_string).collect();
    let claims = token(&headers);
    assert!(claims.aud.ends_with("/locator") && claims.act.is_some());
    let id = headers["x-request-id"].to_str().unwrap().to_owned();
    directory
        .located_for
        .lock()
        .unwrap()
        .push((claims.scope, kinds, id));
    let located = directory.located.lock().unwrap();
    let holders = located.iter().map(|(service, orgnr, as_of)| Holder {
        service: service.clone(),
        orgnr: *orgnr,
        kinds: request.kinds.clone(),
        as_of: *as_of,
    });
    axum::Json(LocateAnswer {
        holders: holders.collect(),
        members: Vec::new(),
    })
    .into_response()
}
