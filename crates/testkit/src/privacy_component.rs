//! A small Personvernkomponent (PVK, Helsenorge), as `wire::contract::pvk` has it: who has an active setting of a definition,
//! page by page, to whoever brings a DPoP-bound token for it. Its citizens are the test's own, and synthetic.

use crate::issuer::Issuer;
use axum::Json;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use wire::contract::pvk::{ACTIVE, DEFINITION, FIRST_PAGE, PAGE, PART};
use wire::form::Form;

/// The audience of tokens for it, and their scope.
pub const AUDIENCE: &str = "nhn:helsenorge/personvern";
/// The scope of tokens for it.
pub const SCOPE: &str = "nhn:helsenorge/personvern/les";
/// Citizens on one page.
const PAGE_CITIZENS: usize = 2;

/// How the component answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// With an error from the second page on.
    FailingMidway,
    /// With an error.
    Failing,
    /// With pages that lead back to the first but one.
    Circling,
    /// About another party than was asked for.
    AnotherParty,
    /// With a number among the citizens' that is nobody's.
    Garbled,
}

#[derive(Default)]
struct Book {
    /// Kind and citizens, by definition.
    definitions: BTreeMap<String, (&'static str, BTreeSet<String>)>,
    mood: Option<Mood>,
    pages: usize,
}

/// The component. Ends with the runtime that started it.
#[derive(Clone)]
pub struct PrivacyComponent {
    base: String,
    issuer: Issuer,
    book: Arc<Mutex<Book>>,
}

impl std::fmt::Debug for PrivacyComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivacyComponent({})", self.base)
    }
}

impl PrivacyComponent {
    /// Starts one without settings on a free port of the loopback; it takes this issuer's tokens.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(issuer: Issuer) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let component = Self {
            base: format!("http://{}", listener.local_addr()?),
            issuer,
            book: Arc::default(),
        };
        let router = Router::new()
            .route(ACTIVE, get(active))
            .with_state(component.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(component)
    }

    /// Its base.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Makes a definition known, of this kind.
    pub fn define(&self, definition: &str, kind: &'static str) {
        let known = (kind, BTreeSet::new());
        self.book().definitions.insert(definition.to_owned(), known);
    }

    /// A citizen sets it, or takes it back.
    pub fn set(&self, definition: &str, citizen: &str, active: bool) {
        if let Some((_, citizens)) = self.book().definitions.get_mut(definition) {
            if active {
                citizens.insert(citizen.to_owned());
            } else {
                citizens.remove(citizen);
            }
        }
    }

    /// From now on it answers so.
    pub fn be(&self, mood: Mood) {
        self.book().mood = Some(mood);
    }

    /// How many pages it gave.
    pub fn pages(&self) -> usize {
        self.book().pages
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn active(
    State(component): State<PrivacyComponent>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let url = format!("{}{ACTIVE}", component.base);
    if !component
        .issuer
        .admits(&headers, "GET", &url, AUDIENCE, SCOPE)
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut book = component.book();
    let mood = book.mood.unwrap_or(Mood::Well);
    let query = query.unwrap_or_default();
    let Ok(asked) = Form::parse(query.as_bytes()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (Some(definition), Some(part), Some(page)) =
        (asked.get(DEFINITION), asked.get(PART), asked.get(PAGE))
    else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let at: usize = page.parse().unwrap_or_default();
    let fails = mood == Mood::Failing || mood == Mood::FailingMidway && at > 0;
    let Some((kind, citizens)) = book.definitions.get(definition).filter(|_| !fails) else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let mut told: Vec<_> = citizens
        .iter()
        .skip(at * PAGE_CITIZENS)
        .take(PAGE_CITIZENS)
        .map(|citizen| {
            json!({
                "innbyggerFnr": citizen, "sekvensnummer": 1,
                "opprettetTidspunkt": "2026-11-01T08:00:00", "sistEndretTidspunkt": "2026-11-01T08:00:00",
            })
        })
        .collect();
    if mood == Mood::Garbled {
        told.push(json!({"innbyggerFnr": "00000000000", "sekvensnummer": 1}));
    }
    let more = citizens.len() > (at + 1) * PAGE_CITIZENS;
    let next = match mood {
        Mood::Circling => 1,
        _ if more => at + 1,
        _ => 0,
    };
    let answer = json!({
        "definisjonGuid": definition, "definisjonNavn": "Syntetisk",
        "partKode": if mood == Mood::AnotherParty { "another" } else { part },
        "typePi": kind, "reFasteMetadata": {"omfangElementer": []},
        // The published form is a number; text has been met, and so both come from here.
        "pagingReference": if next == 0 { json!(FIRST_PAGE) } else { json!(next) },
        "personvernInnstillinger": told,
    });
    book.pages += 1;
    Json(answer).into_response()
}
