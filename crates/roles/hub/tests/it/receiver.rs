//! Receivers on the loopback that answer as a test tells them and keep what they got.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// How a receiver answers one bundle; when it is told nothing more it takes everything.
#[derive(Clone, Copy)]
pub enum Answer {
    /// The whole bundle with this status and no usable body.
    Whole(u16),
    /// 200 with something that is no batch-response.
    Rubbish,
    /// Each entry with this status and, for 4xx, an outcome.
    Each(u16),
    /// The entry at this place with this status, the others 201.
    One(usize, u16),
}

/// What a receiver got.
#[derive(Clone, Debug)]
pub struct Got {
    pub bundle: Value,
    pub text: String,
    pub headers: HeaderMap,
}

#[derive(Clone, Default)]
pub struct Receiver {
    pub url: String,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    got: Arc<Mutex<Vec<Got>>>,
    heard: Arc<Notify>,
}

impl Receiver {
    /// Listens at a free port; `url` is its FHIR base.
    pub async fn listen(answers: &[Answer]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let receiver = Receiver {
            url: format!("{base}/fhir"),
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
            ..Receiver::default()
        };
        // As much as a receiver takes (threats-and-faults.md section 4).
        let most = axum::extract::DefaultBodyLimit::max(10 << 20);
        let router = Router::new()
            .fallback(take)
            .layer(most)
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// The base to which a record system's `/fhir` is appended.
    pub fn base(&self) -> &str {
        self.url.strip_suffix("/fhir").unwrap()
    }

    /// Bundles so far.
    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits for a bundle that nobody waited for yet.
    pub async fn heard(&self) {
        self.heard.notified().await;
    }

    /// Business identifiers of everything that came, in order.
    pub fn names(&self) -> Vec<String> {
        let got = self.got();
        let entries = got
            .iter()
            .flat_map(|g| g.bundle["entry"].as_array().unwrap());
        entries
            .map(|e| {
                e["resource"]["identifier"][0]["value"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let bundle: Value = serde_json::from_str(&text).unwrap();
    let count = bundle["entry"].as_array().map_or(0, Vec::len);
    let answer = receiver
        .answers
        .lock()
        .unwrap()
        .pop_front()
        .unwrap_or(Answer::Each(201));
    receiver.got.lock().unwrap().push(Got {
        bundle,
        text,
        headers,
    });
    receiver.heard.notify_one();
    let each = |status: &dyn Fn(usize) -> u16| {
        let entry = |n| {
            let mut response = json!({ "status": format!("{} said", status(n)) });
            if status(n) >= 400 {
                response["outcome"] = json!({ "resourceType": "OperationOutcome", "issue": [{
                    "severity": "error", "code": "business-rule", "diagnostics": "free words that may hold anything", "expression": ["Observation.subject"],
                }] });
            }
            json!({ "response": response })
        };
        let entries: Vec<Value> = (0..count).map(entry).collect();
        axum::Json(json!({ "resourceType": "Bundle", "type": "batch-response", "entry": entries }))
            .into_response()
    };
    match answer {
        Answer::Whole(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Rubbish => "thanks".into_response(),
        Answer::Each(status) => each(&|_| status),
        Answer::One(place, status) => each(&|n| if n == place { status } else { 201 }),
    }
}
