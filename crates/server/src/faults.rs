//! The demo's fault switches (CONTRACT section 2): one service, one organisation's record system (`epj-ID`), the hub (`hub`) or a gateway (`gateway`,
//! `gateway-fjellvik`), made slow, dead, refusing, lying or skewed, for stories. A hub or gateway that is dead does nothing of its own either.
//! Exists only in `delt demo`; `delt serve` has no such route.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use bytes::Bytes;
use fhir::outcome::{Issue, IssueCode, OperationOutcome};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tower::ServiceExt;
use url::Url;
use wire::contract::demo::{FAULTS, Fault, FaultRequest};
use wire::stop::Pause;

/// Delay of `slow` when the request names none.
const SLOW_MS: u64 = 4_000;
/// Skew of `skewed` when the request names none: five minutes.
const SKEW_MS: u64 = 300_000;

/// The state of every service's switch. Cheap to clone.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    /// Path prefix (`/fjellvik/fhir`) to switch.
    by_prefix: Vec<(String, String)>,
    state: RwLock<HashMap<String, (Fault, u64)>>,
    skew: HashMap<String, Arc<AtomicI64>>,
    lies: AtomicUsize,
    /// Told whenever a switch is set.
    turned: watch::Sender<()>,
}

/// The name to the switch of a role that is one in its process: its path.
pub fn name_of(base: &Url) -> &str {
    base.path().trim_matches('/')
}

/// A connection that is dropped without an answer.
#[derive(Debug)]
pub struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped by the demo's fault switch")
    }
}
impl std::error::Error for Dropped {}

impl Faults {
    /// Switches for `services`: (id, path prefix on its listener).
    pub fn new(services: Vec<(String, String)>) -> Faults {
        let skew = services
            .iter()
            .map(|(id, _)| (id.clone(), Arc::default()))
            .collect();
        let by_prefix = services
            .into_iter()
            .map(|(id, prefix)| (prefix, id))
            .collect();
        Faults(Arc::new(Inner {
            by_prefix,
            state: RwLock::default(),
            skew,
            lies: AtomicUsize::new(0),
            turned: watch::Sender::new(()),
        }))
    }

    /// The skew (microseconds) that this service's clock adds.
    pub fn skew_of(&self, service: &str) -> Arc<AtomicI64> {
        self.0.skew.get(service).cloned().unwrap_or_default()
    }

    /// Waiting that does not end while whoever waits is dead.
    pub fn halting(&self, name: &str, pause: Pause) -> Pause {
        let (faults, name) = (self.clone(), Arc::<str>::from(name));
        Arc::new(move |wait| {
            let (faults, name, waited) = (faults.clone(), name.clone(), pause(wait));
            Box::pin(async move {
                let mut turned = faults.0.turned.subscribe();
                waited.await;
                while faults.is_dead(&name) {
                    // Never an error: the switches that are held here hold the sender.
                    let _ = turned.changed().await;
                }
            })
        })
    }

    fn is_dead(&self, name: &str) -> bool {
        let state = self.0.state.read();
        let fault = state.ok().and_then(|state| state.get(name).copied());
        fault.is_some_and(|(fault, _)| fault == Fault::Dead)
    }

    fn now(&self, path: &str) -> Option<(Fault, u64)> {
        let id = self.0.by_prefix.iter().find_map(|(prefix, id)| {
            let rest = path.strip_prefix(prefix.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then_some(id)
        })?;
        self.0.state.read().ok()?.get(id).copied()
    }

    /// Lets a request through to `router`, with whatever is wrong with its service today.
    pub async fn pass(
        &self,
        request: Request<Body>,
        router: Router,
    ) -> Result<Response<Body>, Dropped> {
        match self.now(request.uri().path()) {
            Some((Fault::Dead, _)) => return Err(Dropped),
            Some((Fault::Slow, ms)) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Some((Fault::Refusing, _)) => return Ok(refusal()),
            Some((Fault::Lying, _)) => return Ok(self.lie()),
            _ => {}
        }
        Ok(router
            .oneshot(request)
            .await
            .unwrap_or_else(|never| match never {}))
    }

    /// By turns: broken JSON, another patient's reading, an OperationOutcome dressed as success.
    fn lie(&self) -> Response<Body> {
        let lies: [&[u8]; 3] = [
            br#"{"resourceType":"Bundle","type":"searchset","entry":[{"resource":{"resourceType":"Observ"#,
            br#"{"resourceType":"Bundle","type":"searchset","entry":[{"fullUrl":"urn:uuid:6a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11","search":{"mode":"match"},"resource":{"resourceType":"Observation","id":"6a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"2708-6"}]},"subject":{"identifier":{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"01810012345"}},"effectiveDateTime":"2026-11-01T08:00:00+01:00","valueQuantity":{"value":12,"unit":"%","system":"http://unitsofmeasure.org","code":"%"}}}]}"#,
            br#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception"}]}"#,
        ];
        let turn = self.0.lies.fetch_add(1, Ordering::Relaxed) % lies.len();
        (
            [(header::CONTENT_TYPE, "application/fhir+json")],
            Bytes::from_static(lies[turn]),
        )
            .into_response()
    }

    fn set(&self, request: FaultRequest) -> Result<(), String> {
        let Some(skew) = self.0.skew.get(&request.service) else {
            return Err(format!(
                "no sharing service and no record system is called `{}`, nor is it the hub or a gateway",
                request.service
            ));
        };
        let ms = request.ms.unwrap_or(if request.fault == Fault::Skewed {
            SKEW_MS
        } else {
            SLOW_MS
        });
        let micros = if request.fault == Fault::Skewed {
            i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000)
        } else {
            0
        };
        skew.store(micros, Ordering::Relaxed);
        if let Ok(mut state) = self.0.state.write() {
            state.insert(request.service, (request.fault, ms));
        }
        self.0.turned.send_replace(());
        Ok(())
    }

    /// The control listener's routes.
    pub fn control(&self) -> Router {
        Router::new()
            .route(FAULTS, post(switch))
            .with_state(self.clone())
    }
}

async fn switch(State(faults): State<Faults>, body: Bytes) -> Response<Body> {
    let set = serde_json::from_slice(&body)
        .map_err(|e| e.to_string())
        .and_then(|request| faults.set(request));
    match set {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => answer(StatusCode::BAD_REQUEST, IssueCode::Invalid, why),
    }
}

fn refusal() -> Response<Body> {
    answer(
        StatusCode::FORBIDDEN,
        IssueCode::Forbidden,
        "this service refuses everything, by the demo's fault switch".into(),
    )
}

fn answer(status: StatusCode, code: IssueCode, words: String) -> Response<Body> {
    let outcome = OperationOutcome::new(vec![Issue::error(code, "", words)]);
    (
        status,
        [(header::CONTENT_TYPE, "application/fhir+json")],
        outcome.to_json(),
    )
        .into_response()
}
