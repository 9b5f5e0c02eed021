//! The audit trail as the patient may see it, from every party of her look-ups: the sharing services that hold something
//! about her or that she chose, and the gateway's own stores (CONTRACT section 7; audit.md section 3). Newest first, one
//! page of at most `_count` (200 at the most); older ones are found by `date`.

use super::lookup::{asked, taken};
use super::opened::Opened;
use super::received;
use crate::State;
use crate::account;
use crate::answer::{self, Page};
use crate::ask::{Errand, Gave, MORE, Timed, Told};
use crate::examine::{self, Expected};
use crate::locate::Source;
use crate::merge::{Given, merge};
use crate::place::Place;
use crate::question::Question;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::bundle::{SearchMode, SearchsetWriter};
use fhir::ids::PersonIdentifier;
use fhir::search::Sort;
use fhir::time::Range;
use futures::future::join_all;
use std::sync::Arc;
use store::{AuditEntry, AuditFilter, Store, StoreError};
use trust::Interaction;
use trust::audit::fhir::{Observer, View, render};
use wire::outcome::Problem;
use wire::receipt::SourceState;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// How the gateway itself stands among the sources.
const SERVICE: &str = "gateway";
/// Records read from a store at a time.
const CHUNK: usize = 200;
/// Records of one store that one question may look through.
const MOST_RECORDS: usize = 20_000;

/// `POST {gateway}/fhir/AuditEvent/_search`.
pub async fn search(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    received(
        state,
        parts,
        ids,
        Interaction::AuditSearch,
        |state, visit, parts| {
            Box::pin(async move {
                let what = (Interaction::AuditSearch, "AuditEvent");
                let question = asked(state, visit, what, parts, body).await?;
                if question.sort() != Sort::DateDesc {
                    return Err(Problem::not_supported(
                        "_sort",
                        "the audit trail is given newest first",
                    )
                    .into());
                }
                trail(state, visit, &question).await
            })
        },
    )
    .await
}

async fn trail(state: &State, visit: &Visit<'_>, question: &Question) -> Result<Response, End> {
    let asked = (Interaction::AuditSearch, question);
    let errand = Errand::Once("AuditEvent/_search");
    let form = |patient: &_| question.for_sources(patient, Place::Start);
    let opened = Opened::open((state, visit), asked, (Place::Start, errand), form).await?;
    let mut answers = opened.ask().await;
    let Opened {
        mut sources,
        permit,
        patient,
        ..
    } = opened;
    let view = View::of(&visit.caller().person);
    answers.push(own_trails(state, question, &patient, (view, sources.len())).await);
    sources.push(ourselves(state));

    let copies: Vec<Given> = answers.iter().flat_map(taken).collect();
    let mut shown = merge(copies, question.rule(), question.sort());
    let all = shown.len();
    let left_out = shown.split_off(all.min(question.query.count as usize));
    for route in left_out.iter().flat_map(|entry| &entry.routes) {
        if let Some(Told::Gave(gave)) = answers.get_mut(route.source).map(|one| &mut one.told) {
            gave.cut_short.get_or_insert(MORE);
        }
    }
    let receipt = account::receipt(&sources, &answers, &shown, visit.now);
    let more = answers
        .iter()
        .any(|timed| matches!(&timed.told, Told::Gave(gave) if gave.more));
    let total = (all == shown.len() && !more && receipt.is_whole()).then_some(all as u64);
    let page = Page {
        path: question.resource.as_str(),
        parameters: &question.own_link(),
        shown,
        withdrawn: Vec::new(),
        total,
        next: None,
        changes: None,
    };
    answer::give(state, visit, &permit, &sources, receipt, page).await
}

/// The gateway as one source among the others.
pub(super) fn ourselves(state: &State) -> Source {
    Source {
        organisation: state.owner.to_string(),
        name: state
            .config
            .register
            .name(&state.owner)
            .map(|name| format!("{name} (gateway)")),
        service: SERVICE.to_owned(),
        base: Some(state.fhir.clone()),
        as_of: None,
        kinds: Arc::new([]),
        unasked: None,
    }
}

/// What the gateway's own stores hold about the patient, each rendered as its organisation's.
async fn own_trails(
    state: &State,
    question: &Question,
    patient: &PersonIdentifier,
    (view, number): (View, usize),
) -> Timed {
    let began = (state.house.clock)();
    let trails = state.desks.trails();
    let read = trails.into_iter().map(async |(organisation, store)| {
        let organisation = organisation.unwrap_or(state.owner);
        let observer = Observer {
            organisation: &organisation,
            service: SERVICE,
            register: &state.config.register,
        };
        let mut writer = SearchsetWriter::new(None, &[]);
        let (entries, more) = meant(&store, question, patient).await?;
        for entry in entries {
            let id = format!("{}-{}", store.owner(), entry.sequence);
            let event = render(&entry.record, &id, observer, view);
            writer.entry(None, event.to_string().as_bytes(), SearchMode::Match);
        }
        // Looked at as any other source's answer is.
        let expected = Expected {
            resource: question.resource,
            patient,
            base: &state.fhir,
            orgnr: organisation.as_str(),
            source: number,
            zone: &state.config.zone,
            numbers: state.config.person_numbers,
            // A trail has views of its own.
            withheld: &[],
        };
        let page = examine::page(writer.finish().into(), &expected);
        page.map(|page| (page, more)).map_err(|_| StoreError::Bug)
    });
    let pages: Result<Vec<_>, StoreError> = join_all(read).await.into_iter().collect();
    let told = match pages {
        Ok(pages) => {
            let mut gave = Gave::default();
            for (page, more) in pages {
                if more {
                    (gave.more, gave.cut_short) = (true, Some(MORE));
                }
                gave.given.extend(page.given);
                gave.dropped.add(page.dropped);
                gave.newest = gave.newest.max(page.newest);
            }
            Told::Gave(gave)
        }
        Err(error) => {
            tracing::error!(%error, "the gateway's own trail cannot be read");
            let reason = "the trail cannot be read".to_owned();
            Told::Nothing {
                state: SourceState::Failed,
                reason,
            }
        }
    };
    let micros = (state.house.clock)().0.saturating_sub(began.0).max(0);
    Timed {
        told,
        milliseconds: u64::try_from(micros / 1000).ok(),
    }
}

/// A store's newest records about the patient that the question's dates mean, as many as a page holds, and whether there
/// may be more.
async fn meant(
    store: &Store,
    question: &Question,
    patient: &PersonIdentifier,
) -> Result<(Vec<AuditEntry>, bool), StoreError> {
    let wanted = question.query.count as usize;
    let mut found: Vec<AuditEntry> = Vec::new();
    let mut before = None;
    for _ in 0..MOST_RECORDS / CHUNK {
        let filter = AuditFilter {
            patient: Some(patient.clone()),
            before,
            limit: CHUNK,
            ..AuditFilter::default()
        };
        let chunk = store.audit_search(filter).await?;
        let ended = chunk.len() < CHUNK;
        before = chunk.last().map(|entry| entry.sequence);
        found.extend(chunk.into_iter().filter(|entry| {
            let (lo, hi) = (entry.record.when.0, entry.record.when.0 + 1);
            question
                .query
                .dates
                .iter()
                .all(|date| date.matches(&Range { lo, hi }))
        }));
        if ended || found.len() >= wanted {
            let more = !ended || found.len() > wanted;
            found.truncate(wanted);
            return Ok((found, more));
        }
    }
    Err(StoreError::TooCostly)
}
