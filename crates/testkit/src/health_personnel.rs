//! A small register of health personnel (HPR), as `wire::contract::hpr` has it: FHIR over HTTP on the loopback, one person
//! found by HPR number, with what they are authorised as and for how long. Its people are the test's own, and synthetic.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use fhir::bundle::{SearchMode, SearchsetWriter};
use fhir::systems;
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use wire::contract::hpr::{APPROVAL, AUTHORISATION, IDENTIFIER, SEARCH};
use wire::form::Form;

/// An approval to work as something.
#[derive(Clone, Debug)]
pub struct Approval {
    /// Code of 9060 (`LE`).
    pub code: String,
    /// First day.
    pub from: String,
    /// Last day, if it ends.
    pub to: Option<String>,
}

impl Approval {
    /// One that does not end.
    pub fn since(code: &str, from: &str) -> Approval {
        Approval {
            code: code.to_owned(),
            from: from.to_owned(),
            to: None,
        }
    }

    /// The same until a day.
    #[must_use]
    pub fn until(self, to: &str) -> Approval {
        Approval {
            to: Some(to.to_owned()),
            ..self
        }
    }
}

/// How the register answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// Not at all.
    Silent,
    /// With an error.
    Failing,
    /// With a searchset that never ends.
    Endless,
}

#[derive(Default)]
struct Book {
    people: BTreeMap<String, (String, Vec<Approval>)>,
    mood: Option<Mood>,
    asked: usize,
    tokens: usize,
}

/// The register. Ends with the runtime that started it.
#[derive(Clone)]
pub struct HealthPersonnel {
    base: String,
    book: Arc<Mutex<Book>>,
}

impl std::fmt::Debug for HealthPersonnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HealthPersonnel({})", self.base)
    }
}

impl HealthPersonnel {
    /// Starts an empty one on a free port of the loopback.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let register = Self {
            base: format!("http://{}/hpr", listener.local_addr()?),
            book: Arc::default(),
        };
        let routes = Router::new()
            .route(SEARCH, post(search))
            .with_state(register.clone());
        let router = Router::new().nest("/hpr", routes);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(register)
    }

    /// Its base.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Enters a person by HPR number, with their national identity number and what they are approved for; replaces what stood.
    pub fn enter(&self, hpr: &str, number: &str, approvals: Vec<Approval>) {
        self.book()
            .people
            .insert(hpr.to_owned(), (number.to_owned(), approvals));
    }

    /// From now on it answers so.
    pub fn be(&self, mood: Mood) {
        self.book().mood = Some(mood);
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.book().asked
    }

    /// How often with a DPoP-bound token.
    pub fn asked_with_a_token(&self) -> usize {
        self.book().tokens
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn search(
    State(register): State<HealthPersonnel>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (mood, found) = {
        let mut book = register.book();
        book.asked += 1;
        let scheme = headers.get(header::AUTHORIZATION);
        let bound = scheme.is_some_and(|value| value.as_bytes().starts_with(b"DPoP "));
        book.tokens += usize::from(bound && headers.contains_key("dpop"));
        let named = Form::parse(&body).ok();
        let named = named.as_ref().and_then(|form| form.get(IDENTIFIER));
        let hpr = named.and_then(|text| text.strip_prefix(systems::HPR)?.strip_prefix('|'));
        let found = hpr.and_then(|hpr| Some((hpr.to_owned(), book.people.get(hpr)?.clone())));
        (book.mood.unwrap_or(Mood::Well), found)
    };
    match mood {
        Mood::Silent => std::future::pending().await,
        Mood::Failing => StatusCode::BAD_GATEWAY.into_response(),
        Mood::Endless => {
            let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4096]));
            axum::body::Body::from_stream(futures::stream::repeat_with(chunk)).into_response()
        }
        Mood::Well => {
            let mut answer = SearchsetWriter::new(Some(u64::from(found.is_some())), &[]);
            if let Some((hpr, (number, approvals))) = found {
                let told = practitioner(&hpr, &number, &approvals).to_string();
                answer.entry(None, told.as_bytes(), SearchMode::Match);
            }
            let media = [(header::CONTENT_TYPE, wire::contract::FHIR_JSON)];
            (media, answer.finish()).into_response()
        }
    }
}

/// The person as no-basis-Practitioner.
fn practitioner(hpr: &str, number: &str, approvals: &[Approval]) -> serde_json::Value {
    let qualifications: Vec<_> = approvals
        .iter()
        .map(|one| {
            let mut period = json!({"start": one.from});
            if let Some(to) = &one.to {
                period["end"] = json!(to);
            }
            json!({
                "code": {"coding": [
                    {"system": AUTHORISATION, "code": one.code},
                    {"system": APPROVAL, "code": "AU"},
                ]},
                "period": period,
            })
        })
        .collect();
    let mut told = json!({
        "resourceType": "Practitioner",
        "meta": {"profile": ["http://hl7.no/fhir/StructureDefinition/no-basis-Practitioner"]},
        "active": true,
        "identifier": [
            {"system": systems::HPR, "value": hpr},
            {"system": systems::FNR, "value": number},
        ],
    });
    if !qualifications.is_empty() {
        told["qualification"] = json!(qualifications);
    }
    told
}
