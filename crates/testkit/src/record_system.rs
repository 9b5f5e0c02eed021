//! A small, real record system (EPJ) as receiver of what the hub delivers: `POST {base}/fhir`, a batch Bundle
//! (CONTRACT section 6), guarded by token and proof like every party; `GET {base}/received` for stories, which names
//! no person.
//!
//! Its users sit at a [`desk`], from which it opens the portal for a patient.
//!
//! What it acknowledges is durable: one NDJSON file, appended and synchronised before the answer. The same reading again
//! is the first answer again, across restarts too (CONTRACT section 5, "One reading").

pub mod desk;
mod notified;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use fhir::bundle::{BatchResponseWriter, BundleType, EntryResponse, entries};
use fhir::check::{Rules, check};
use fhir::json::{Json, Limits};
use fhir::outcome::{Issue, IssueCode, OperationOutcome};
use fhir::resource::Checked;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use store::{Change, Store};
use tokio::net::TcpListener;
use trust::Interaction;
use trust::audit::Record;
use trust::caller::Person;
use trust::scope::{Access, Context};
use wire::House;
use wire::members::MemberBook;
use wire::outcome::{Problem, fhir_response, json_response};
use wire::protect::{Guard, GuardConfig, Verified};
use wire::request_id::{Join, RequestIds};

/// Name of the file that holds the documents that were filed, one a line.
pub const DOCUMENTS: &str = "documents.ndjson";
pub use notified::{AWAY, NOTIFIED, Noted};

/// Name of the file that holds its own base, for a story that wants to be told there.
pub const ADDRESS: &str = "address.txt";
/// Name of the file that holds what was received.
pub const FILE: &str = "received.ndjson";

/// Where a record system stands and whom it trusts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The organisation's number.
    pub orgnr: String,
    /// Its base, without a slash at the end; deliveries come to `{base}/fhir`, which is also the audience.
    pub base: String,
    /// The anchor's issuer.
    pub issuer: String,
    /// Its key set's address.
    pub jwks_url: String,
    /// The folder that holds [`FILE`] and the store of audit and proofs.
    pub data: PathBuf,
    /// How readings are checked.
    pub rules: Rules,
}

/// Why a record system did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its file cannot be read or written.
    #[error("the record system's file: {0}")]
    Io(#[from] std::io::Error),
    /// A line that was acknowledged cannot be understood.
    #[error("the record system's file is damaged at line {0}")]
    Damaged(usize),
    /// Its store of audit and proofs cannot be opened.
    #[error("the record system's store: {0}")]
    Store(#[from] store::StoreError),
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    /// When it was received, UTC microseconds.
    received: i64,
    /// Identity key, hexadecimal: it holds the person's number, as the resource does.
    identity: String,
    /// Content digest, hexadecimal.
    digest: String,
    #[serde(borrow)]
    resource: &'a RawValue,
}

/// `GET {base}/received`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The organisation.
    pub orgnr: String,
    /// How many different readings.
    pub readings: usize,
    /// How many lines: readings and their corrections.
    pub lines: usize,
    /// Business identifiers in the order received, `system|value`; empty text for a reading without one.
    pub identifiers: Vec<String>,
}

/// What the file holds, in memory.
#[derive(Default)]
struct Book {
    /// Content digests of each reading, the latest last, by identity key.
    readings: HashMap<Vec<u8>, Vec<[u8; 32]>>,
    identifiers: Vec<String>,
}

/// A running record system.
pub struct RecordSystem {
    orgnr: String,
    rules: Rules,
    guard: Guard,
    store: Store,
    clock: store::Clock,
    ids: store::Ids,
    documents: PathBuf,
    data: PathBuf,
    /// Who signs what it is told.
    members: MemberBook,
    /// The highest event of each subscription that it has, by its address; held while a notification is taken.
    told: tokio::sync::Mutex<HashMap<String, u64>>,
    /// The file and what it holds change together.
    book: Mutex<(std::fs::File, Book)>,
}

impl RecordSystem {
    /// Opens the folder and reads what was received before. A last line without its end was never acknowledged and goes.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: &Config, house: &House) -> Result<Arc<Self>, OpenError> {
        std::fs::create_dir_all(&config.data)?;
        let book = open_book(&config.data.join(FILE))?;
        std::fs::write(config.data.join(ADDRESS), &config.base)?;
        let store = Store::open(
            &config.data.join("store"),
            &config.orgnr,
            house.surroundings(),
        )?;
        let guard = GuardConfig {
            issuer: config.issuer.clone(),
            jwks_url: config.jwks_url.clone(),
            audience: format!("{}{}", config.base, wire::contract::record_system::FHIR),
            base: config.base.clone(),
        };
        Ok(Arc::new(Self {
            orgnr: config.orgnr.clone(),
            rules: config.rules.clone(),
            guard: Guard::new(guard, store.clone(), house),
            store,
            clock: house.clock.clone(),
            ids: house.ids.clone(),
            documents: config.data.join(DOCUMENTS),
            data: config.data.clone(),
            members: MemberBook::new(&config.issuer, house.http.clone(), house.clock.clone()),
            told: tokio::sync::Mutex::new(notified::remembered(&config.data)?),
            book: Mutex::new(book),
        }))
    }

    /// Its routes, relative to its base.
    pub fn routes(self: &Arc<Self>) -> Router {
        let router = Router::new()
            .route(wire::contract::record_system::FHIR, post(deliver))
            .route("/received", get(received))
            .route(notified::PATH, post(notified::notified))
            .with_state(self.clone());
        wire::request_id::layer(router, Join::Behind, self.ids.clone())
    }

    /// What it has received.
    pub fn received(&self) -> Received {
        let guard = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let book = &guard.1;
        Received {
            orgnr: self.orgnr.clone(),
            readings: book.readings.len(),
            lines: book.identifiers.len(),
            identifiers: book.identifiers.clone(),
        }
    }

    /// Takes the readings in, all that can be in one durable append, and says what became of each.
    fn take_in(&self, readings: &[Result<Checked, Vec<Issue>>]) -> std::io::Result<Vec<Fate>> {
        let mut guard = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, book) = &mut *guard;
        let received = (self.clock)().0;
        let mut lines = Vec::new();
        let mut fresh: HashMap<&[u8], Vec<[u8; 32]>> = HashMap::new();
        let mut identifiers = Vec::new();
        let mut fates = Vec::with_capacity(readings.len());
        for reading in readings {
            let checked = match reading {
                Ok(checked) => checked,
                Err(issues) => {
                    fates.push(Fate::Refused(issues.clone()));
                    continue;
                }
            };
            let identity = checked.identity();
            let earlier = book
                .readings
                .get(&identity.key)
                .into_iter()
                .chain(fresh.get(&identity.key[..]))
                .flatten();
            let digests: Vec<&[u8; 32]> = earlier.collect();
            if digests.contains(&&identity.digest) {
                fates.push(Fate::Known);
                continue;
            }
            if !digests.is_empty() && !identity.correction {
                let words = "another content for the same reading, and its status is no correction";
                fates.push(Fate::Refused(vec![Issue::error(
                    IssueCode::Conflict,
                    "Observation",
                    words,
                )]));
                continue;
            }
            let text = std::str::from_utf8(checked.body()).map_err(std::io::Error::other)?;
            let resource: &RawValue = serde_json::from_str(text)?;
            let line = Line {
                received,
                identity: hex(&identity.key),
                digest: hex(&identity.digest),
                resource,
            };
            serde_json::to_writer(&mut lines, &line)?;
            lines.push(b'\n');
            fresh
                .entry(&identity.key)
                .or_default()
                .push(identity.digest);
            identifiers.push(business_identifier(text));
            fates.push(Fate::New);
        }
        append(file, &lines)?;
        for (key, digests) in fresh {
            book.readings
                .entry(key.to_vec())
                .or_default()
                .extend(digests);
        }
        book.identifiers.extend(identifiers);
        Ok(fates)
    }

    /// Keeps a document, once by its identifier: a Composition first, and everything that it refers to.
    fn file(&self, json: &Json) -> std::io::Result<Result<Bytes, Problem>> {
        let root = json.root();
        let identifier = root
            .path(&["identifier", "value"])
            .and_then(|one| one.str());
        let first = entries(root).next().and_then(|entry| entry.resource);
        let composed =
            first.and_then(|one| one.text("resourceType")).as_deref() == Some("Composition");
        let Some(identifier) = identifier.filter(|_| composed) else {
            let words = "a document has an identifier, and a Composition as its first entry";
            return Ok(Err(Problem::invalid(IssueCode::Invalid, "Bundle", words)));
        };
        let _one_at_a_time = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.documents.as_path();
        let before = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let same = format!("\"value\":\"{identifier}\"");
        if !before.lines().any(|line| line.contains(&same)) {
            let text: &RawValue = serde_json::from_str(root.raw())?;
            let mut line = serde_json::to_vec(text)?;
            line.retain(|byte| *byte != b'\n');
            line.push(b'\n');
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.create(true).append(true).mode(0o600).open(path)?;
            file.write_all(&line)?;
            file.sync_all()?;
        }
        let answer = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational"}]}"#;
        Ok(Ok(Bytes::from_static(answer.as_bytes())))
    }

    /// Writes who delivered what, and remembers the proof. Nothing is taken in before this is durable.
    async fn admit(&self, parts: &http::request::Parts, ids: &RequestIds) -> Result<(), Problem> {
        const ASKED: &str = "delivery";
        let verified = self
            .guard
            .admit(parts, ids, Interaction::Batch, ASKED)
            .await?;
        let Verified { caller, replay, .. } = &verified;
        let may = matches!(caller.person, Person::System)
            && ["Observation", "QuestionnaireResponse", "Bundle"]
                .iter()
                .any(|kind| caller.scopes.covers(Context::System, kind, Access::Create));
        let record = Record::new((self.clock)(), ids.ours, Interaction::Batch, ASKED)
            .caller_request_id(ids.callers.clone())
            .by(caller);
        let record = if may {
            record
        } else {
            record.failed(trust::Category::Forbidden)
        };
        let change = Change {
            audit: Some(record),
            replays: vec![*replay],
            ..Change::default()
        };
        if let Err(error) = self.store.commit(change).await {
            return Err(self
                .guard
                .commit_failed(error, &verified, ids, Interaction::Batch, ASKED)
                .await);
        }
        if may {
            Ok(())
        } else {
            Err(Problem::insufficient_scope())
        }
    }
}

/// What became of one entry.
enum Fate {
    New,
    Known,
    Refused(Vec<Issue>),
}

/// Several record systems behind one door, each under its name.
pub fn routes(systems: Vec<(String, Arc<RecordSystem>)>) -> Router {
    let nest = |router: Router, (name, system): (String, Arc<RecordSystem>)| {
        router.nest(&format!("/{name}"), system.routes())
    };
    systems.into_iter().fold(Router::new(), nest)
}

/// Serves them on one listener until the house stops.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    systems: Vec<(String, Arc<RecordSystem>)>,
    stop: wire::Stop,
) -> std::io::Result<()> {
    axum::serve(listener, routes(systems))
        .with_graceful_shutdown(async move { stop.stopped().await })
        .await
}

async fn received(State(system): State<Arc<RecordSystem>>) -> Response {
    json_response(StatusCode::OK, &system.received())
}

async fn deliver(State(system): State<Arc<RecordSystem>>, request: Request) -> Response {
    match delivered(system, request).await {
        Ok(body) => fhir_response(StatusCode::OK, body),
        Err(problem) => problem.into_response(),
    }
}

async fn delivered(system: Arc<RecordSystem>, request: Request) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    let ids = parts.extensions.get::<RequestIds>().cloned();
    let ids = ids.ok_or_else(|| Problem::bug("a request without its id"))?;
    system.admit(&parts, &ids).await?;
    let body = wire::body::fhir_json(&parts.headers, body, Limits::BUNDLE.bytes).await?;
    let json = Json::parse(body, Limits::BUNDLE)
        .map_err(|fault| Problem::invalid_all(vec![fault.into()]))?;
    let kind = BundleType::of(json.root()).map_err(|issue| Problem::invalid_all(vec![issue]))?;
    if kind == BundleType::Document {
        return system.file(&json).map_err(|error| {
            tracing::error!(%error, "a document could not be written");
            Problem::unavailable(5, "not available now; try again")
        })?;
    }
    if kind != BundleType::Batch {
        return Err(Problem::not_supported(
            "Bundle.type",
            "a record system takes deliveries as a Bundle of type batch, and documents",
        ));
    }
    // Checking and synchronising to disk hold a thread, not the runtime.
    let task = tokio::task::spawn_blocking(move || answer(&system, &json));
    let answered = task
        .await
        .map_err(|_| Problem::bug("a delivery ended in a panic"))?;
    answered.map_err(|error| {
        tracing::error!(%error, "a delivery could not be written");
        Problem::unavailable(5, "not available now; try again")
    })
}

fn answer(system: &RecordSystem, json: &Json) -> std::io::Result<Bytes> {
    let entries: Vec<_> = entries(json.root()).collect();
    let checked = |entry: &fhir::bundle::Entry<'_>| match entry.resource {
        Some(resource) => check(json, resource, &system.rules).map_err(|issues| {
            issues
                .into_iter()
                .map(|i| i.within(&format!("{}.resource", entry.expression())))
                .collect()
        }),
        None => Err(vec![Issue::error(
            IssueCode::Required,
            entry.expression(),
            "an entry must carry a resource",
        )]),
    };
    let readings: Vec<_> = entries.iter().map(checked).collect();
    let fates = system.take_in(&readings)?;
    let mut out = BatchResponseWriter::new(BundleType::BatchResponse);
    for (entry, fate) in entries.iter().zip(fates) {
        let full_url = entry.full_url();
        let (status, outcome) = match fate {
            Fate::New => ("201 Created", None),
            Fate::Known => ("200 OK", None),
            Fate::Refused(issues) => (
                "422 Unprocessable Content",
                Some(OperationOutcome { issues }),
            ),
        };
        out.entry(&EntryResponse {
            full_url: full_url.as_deref(),
            status,
            outcome: outcome.as_ref(),
            ..EntryResponse::default()
        });
    }
    Ok(out.finish().into())
}

/// Opens the file, drops an unfinished last line and reads the rest.
fn open_book(path: &Path) -> Result<(std::fs::File, Book), OpenError> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let mut book = Book::default();
    for (n, line) in text[..whole]
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .enumerate()
    {
        let damaged = || OpenError::Damaged(n + 1);
        let line: Line<'_> = serde_json::from_slice(line).map_err(|_| damaged())?;
        let key = unhex(&line.identity).ok_or_else(damaged)?;
        let digest: [u8; 32] = unhex(&line.digest)
            .and_then(|d| d.try_into().ok())
            .ok_or_else(damaged)?;
        book.readings.entry(key).or_default().push(digest);
        book.identifiers
            .push(business_identifier(line.resource.get()));
    }
    file.set_len(whole as u64)?;
    file.seek(SeekFrom::End(0))?;
    file.sync_all()?;
    if let Some(folder) = path.parent() {
        // So that the file's own name survives, too.
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok((file, book))
}

/// Appends and synchronises; a failed append leaves the file as it was.
fn append(file: &mut std::fs::File, lines: &[u8]) -> std::io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let before = file.metadata()?.len();
    let written = file.write_all(lines).and_then(|()| file.sync_data());
    if written.is_err() {
        file.set_len(before)?;
        file.seek(SeekFrom::Start(before))?;
    }
    written
}

/// `system|value` of the first identifier.
fn business_identifier(resource: &str) -> String {
    let resource: serde_json::Value = serde_json::from_str(resource).unwrap_or_default();
    // A QuestionnaireResponse has one, not a list.
    let named = &resource["identifier"];
    let first = named.get(0).unwrap_or(named);
    match (first["system"].as_str(), first["value"].as_str()) {
        (Some(system), Some(value)) => format!("{system}|{value}"),
        _ => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |i: usize| u8::from_str_radix(text.get(i..i + 2)?, 16).ok();
    text.len()
        .is_multiple_of(2)
        .then(|| (0..text.len()).step_by(2).map(pair).collect())?
}

#[cfg(test)]
mod tests;
