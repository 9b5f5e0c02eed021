//! What home systems send: a Bundle (`collection` or `batch`, each entry alone; `document`, one unit), a single Observation or a single
//! QuestionnaireResponse (CONTRACT section 6).
//!
//! What is acknowledged is durable: the new entries of one bundle, their ledger and outbox rows, the audit record and the used
//! proof become durable in one commit a patient. If somebody sent the same reading in the meantime, it is looked at again.

use crate::State;
use crate::address;
use crate::amount::Counts;
use crate::document;
use crate::idempotency::{self, Answer as First, Begun, Running};
use crate::intake::{self, Accepted, Refused, Taken};
use crate::quarantine::{self, Keeping};
use crate::silence;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::bundle::{BatchResponseWriter, BundleType, Entry, EntryResponse};
use fhir::ids::PersonIdentifier;
use fhir::json::{Json, Limits, Node};
use fhir::outcome::{Issue, IssueCode, OperationOutcome};
use fhir::resource::ResourceType;
use futures::future::join_all;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use store::{Change, Expect, StoreError};
use trust::{Ask, Category, ClientUse, Interaction, Permit};
use wire::outcome::Problem;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// How often an entry is looked at again when the same reading arrives at the same time.
const TRIES: usize = 5;

/// `POST {hub}/fhir/Observation`.
pub async fn observation(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    posted(&state, ids, request, ResourceType::OBSERVATION).await
}

/// `POST {hub}/fhir/QuestionnaireResponse`.
pub async fn questionnaire_response(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    posted(&state, ids, request, ResourceType::QUESTIONNAIRE_RESPONSE).await
}

async fn posted(
    state: &State,
    ids: RequestIds,
    request: Request,
    kind: ResourceType,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| single(state, visit, &parts, body, kind).await;
    state.serve(&parts, ids, Interaction::Create, work).await
}

async fn single(
    state: &State,
    visit: &Visit<'_>,
    parts: &Parts,
    body: Body,
    kind: ResourceType,
) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Create, kind))?;
    pace(state, visit, 1)?;
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::RESOURCE.bytes).await?;
    let running = match idempotency::begin(state, visit, parts, &bytes).await? {
        Begun::Before(answer) => return again(visit, &permit, answer).await,
        Begun::Now(running) => running,
    };
    let json = Json::parse(bytes, Limits::RESOURCE)?;
    // What is taken here, but at another address; whatever else is wrong with it is told with its place below.
    let found = ResourceType::of(json.root());
    if found.is_ok_and(|found| found != kind && intake::topic(found).is_some()) {
        let words = format!("{kind} is posted to this address");
        return Err(Problem::not_supported("resourceType", words).into());
    }
    let sent = [Sent {
        node: json.root(),
        what: What::Reading { tagged: None },
    }];
    let mut answers = take_all(state, visit, &permit, &json, &sent).await?;
    let answer = answers
        .pop()
        .unwrap_or_else(|| Err(Problem::bug("an entry was not answered")));
    one_answer(running, answer, kind.as_str()).await
}

/// The answer to one thing that was taken in.
pub(super) fn acknowledged(kind: &str, key: &str, status: StatusCode) -> First {
    First {
        status: status.as_u16(),
        location: Some(location(kind, key)),
        body: Vec::new(),
    }
}

/// Counts what a sender sends, or a record system asks.
pub(super) fn pace(state: &State, visit: &Visit<'_>, readings: usize) -> Result<(), Problem> {
    let sender = state.sender(&visit.caller().client_id);
    let counted = state.senders.take(sender, readings, visit.now);
    counted.map_err(Problem::throttled)
}

/// Whether an entry's answer would be the same at another try.
fn settled(answer: &Answer) -> bool {
    // Another token may have the right.
    let passing =
        |status: StatusCode| status.is_server_error() || matches!(status.as_u16(), 403 | 429);
    // What found no room aside finds it when there is some.
    let crowded = |p: &Problem| p.issues().iter().any(|i| i.code == IssueCode::Throttled);
    !answer
        .as_ref()
        .is_err_and(|p| passing(p.status()) || crowded(p))
}

/// Gives an answer, kept for its `Idempotency-Key` first if it is settled. The request's record is written already.
async fn give(running: Running<'_>, answer: First, settled: bool) -> Result<Response, End> {
    let answer = if settled {
        let kept = running.answered(answer).await;
        kept.map_err(|error| End::Audited(error.into()))?
    } else {
        answer
    };
    Ok(answer.response())
}

/// Gives the first answer again.
async fn again(visit: &Visit<'_>, permit: &Permit, answer: First) -> Result<Response, End> {
    visit.write(visit.record().permitted(permit)).await?;
    Ok(answer.response())
}

/// `POST {hub}/fhir`.
pub async fn bundle(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| many(&state, visit, &parts, body).await;
    state.serve(&parts, ids, Interaction::Batch, work).await
}

async fn many(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Batch, ResourceType::BUNDLE))?;
    // A sender that floods is told so before its body is read.
    let sender = state.sender(&visit.caller().client_id);
    let ready = state.senders.ready(sender, visit.now);
    ready.map_err(Problem::throttled)?;
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::BUNDLE.bytes).await?;
    let running = match idempotency::begin(state, visit, parts, &bytes).await? {
        Begun::Before(answer) => return again(visit, &permit, answer).await,
        Begun::Now(running) => running,
    };
    let json = Json::parse(bytes, Limits::BUNDLE)?;
    let root = json.root();
    match BundleType::of(root).map_err(|issue| Problem::invalid_all(vec![issue]))? {
        BundleType::Collection | BundleType::Batch if visit.caller().use_ == ClientUse::Service => {
            let words = "a sharing service files documents here, and sends no readings";
            return Err(Problem::forbidden(words).into());
        }
        BundleType::Collection | BundleType::Batch => {}
        BundleType::Document => return whole(state, visit, &permit, running, &json).await,
        other => {
            let words = format!(
                "a {} is not taken here; send collection or batch, whose entries are each taken alone, or a document",
                other.code()
            );
            return Err(Problem::not_supported("Bundle.type", words).into());
        }
    }
    let all = wire::bundle::sent(root)?;
    pace(state, visit, all.len())?;
    let tagged = address::tagged(root);
    visit.asked(&format!("Bundle of {} entries", all.len()));
    // What is wrong with an entry outside its resource is answered without looking further.
    let faults: Vec<Option<Problem>> = all.iter().map(fault_of).collect();
    let sound = all.iter().zip(&faults).filter(|(_, fault)| fault.is_none());
    let sent: Vec<Sent<'_>> = sound
        .filter_map(|(e, _)| {
            Some(Sent {
                node: e.resource?,
                what: What::Reading {
                    tagged: tagged.as_deref(),
                },
            })
        })
        .collect();
    let mut answers = take_all(state, visit, &permit, &json, &sent)
        .await?
        .into_iter();
    let mut writer = BatchResponseWriter::default();
    let mut all_settled = true;
    for (entry, fault) in all.iter().zip(faults) {
        let answer = match fault {
            Some(fault) => Err(fault),
            None => match answers.next() {
                Some(Err(problem)) => {
                    Err(problem.within(&format!("{}.resource", entry.expression())))
                }
                Some(answer) => answer,
                None => Err(Problem::bug("an entry was not answered")),
            },
        };
        all_settled &= settled(&answer);
        respond(&mut writer, entry, answer);
    }
    let answer = First {
        status: StatusCode::OK.as_u16(),
        location: None,
        body: writer.finish(),
    };
    give(running, answer, all_settled).await
}

/// A document: one unit, one answer.
async fn whole(
    state: &State,
    visit: &mut Visit<'_>,
    permit: &Permit,
    running: Running<'_>,
    json: &Json,
) -> Result<Response, End> {
    let entries = fhir::bundle::entries(json.root()).take(wire::bundle::MAX_ENTRIES);
    pace(state, visit, entries.count().max(1))?;
    visit.asked("Bundle, a document");
    let sent = [Sent {
        node: json.root(),
        what: What::Document,
    }];
    let mut answers = take_all(state, visit, permit, json, &sent).await?;
    let answer = answers
        .pop()
        .unwrap_or_else(|| Err(Problem::bug("a document was not answered")));
    one_answer(running, answer, "Bundle").await
}

/// Answers a request that sent one thing.
async fn one_answer(
    running: Running<'_>,
    answer: Answer,
    kind: &'static str,
) -> Result<Response, End> {
    let settled = settled(&answer);
    let answer = match answer {
        Ok(taken) => acknowledged(kind, &taken.key, taken.status),
        // The record of a refused entry is written; only the words are left.
        Err(problem) if !settled => return Err(End::Audited(problem)),
        Err(problem) => First {
            status: problem.status().as_u16(),
            location: None,
            body: problem.to_json(),
        },
    };
    give(running, answer, settled).await
}

/// What is wrong with an entry outside its resource: none is there, or something else than a reading's sending is asked
/// for. `PUT` is PMD's second way to send (measurements.md section 8) and means the same here.
fn fault_of(entry: &Entry<'_>) -> Option<Problem> {
    let fault = |code, member: &str, words: &str| {
        let place = format!("{}.{member}", entry.expression());
        Some(Problem::unprocessable(vec![Issue::error(
            code, place, words,
        )]))
    };
    if entry.resource.is_none() {
        return fault(IssueCode::Required, "resource", "the entry has no resource");
    }
    let sends = |method: &str| matches!(method, "POST" | "PUT");
    if entry.request.is_some() && !entry.method().is_some_and(|method| sends(&method)) {
        return fault(
            IssueCode::NotSupported,
            "request.method",
            "a reading is sent by POST or PUT; nothing else is done here",
        );
    }
    None
}

/// One thing as sent.
struct Sent<'a> {
    node: Node<'a>,
    what: What<'a>,
}

/// What is sent.
#[derive(Clone, Copy)]
enum What<'a> {
    /// One reading, with the organisation number that its Bundle names.
    Reading { tagged: Option<&'a str> },
    /// The Bundle itself.
    Document,
}

impl Sent<'_> {
    async fn take(
        &self,
        state: &State,
        visit: &Visit<'_>,
        json: &Json,
    ) -> Result<Accepted, Refused> {
        match self.what {
            What::Reading { tagged } => {
                intake::take(state, visit.caller(), json, self.node, tagged, None).await
            }
            What::Document => document::take(state, visit.caller(), json).await,
        }
    }

    /// What keeps it aside, if it is to be.
    async fn keep(
        &self,
        state: &State,
        visit: &Visit<'_>,
        refused: &mut Refused,
    ) -> Result<Option<Keeping>, StoreError> {
        let tagged = match self.what {
            What::Reading { tagged } => tagged,
            What::Document => None,
        };
        quarantine::keep(state, visit, refused, self.node, tagged).await
    }
}

/// What a sender is told of an entry: that it is acknowledged, or what is wrong with it.
type Answer = Result<Acknowledged, Problem>;

/// An acknowledged entry.
struct Acknowledged {
    /// By which its delivery is asked for.
    key: String,
    status: StatusCode,
    /// What was remarked of it.
    remarks: Vec<Issue>,
    /// To be counted.
    counts: Counts,
}

impl Acknowledged {
    fn of(one: Accepted) -> Self {
        Self {
            key: one.key,
            status: status(one.fate),
            remarks: one.remarks,
            counts: one.counts,
        }
    }
}

/// One patient's new entries of a request.
struct Group {
    patient: PersonIdentifier,
    change: Change,
    entries: Vec<(usize, Accepted)>,
}

/// Takes every entry, makes what can be acknowledged durable, and answers in order.
async fn take_all(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    json: &Json,
    sent: &[Sent<'_>],
) -> Result<Vec<Answer>, End> {
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(sent.len());
    let mut groups: Vec<Group> = Vec::new();
    let mut aside = Vec::new();
    for (at, one) in sent.iter().enumerate() {
        match one.take(state, visit, json).await {
            Ok(accepted) => {
                add(&mut groups, at, accepted);
                answers.push(None);
            }
            Err(mut refused) => {
                aside.extend(one.keep(state, visit, &mut refused).await?);
                answers.push(Some(Err(refused.problem)));
            }
        }
    }
    if !answers.is_empty() && answers.iter().all(is_too_much) {
        state.turn_away(visit).await?;
        return Ok(answers.into_iter().flatten().collect());
    }
    let lone = sent.len() == 1;
    let proven = commit_all(visit, permit, groups, (aside, lone), &mut answers).await?;
    if !proven {
        visit.write(visit.record().permitted(permit)).await?;
    }
    let mut done = Vec::with_capacity(sent.len());
    for (one, answer) in sent.iter().zip(answers) {
        done.push(match answer {
            Some(answer) => answer,
            None => alone(state, visit, permit, json, one).await?,
        });
    }
    for taken in done.iter().flatten() {
        taken.counts.count(state);
    }
    if done.iter().any(Result::is_ok) {
        silence::heard(state, visit).await;
    }
    Ok(done)
}

/// Whether an entry is refused because its device sends too much.
fn is_too_much(answer: &Option<Answer>) -> bool {
    let is = |problem: &Problem| problem.status() == StatusCode::TOO_MANY_REQUESTS;
    matches!(answer, Some(Err(problem)) if is(problem))
}

/// Puts an entry with its patient's others. The same reading twice in one request waits until the first is durable.
fn add(groups: &mut Vec<Group>, at: usize, mut accepted: Accepted) {
    let group = match groups.iter().position(|g| g.patient == accepted.patient) {
        Some(found) => &mut groups[found],
        None => {
            groups.push(Group {
                patient: accepted.patient.clone(),
                change: Change::default(),
                entries: Vec::new(),
            });
            let last = groups.len() - 1;
            &mut groups[last]
        }
    };
    // Whatever may be there or not, several may write.
    let mut once = accepted.change.ledger.iter();
    let twice = once.any(|w| {
        let mut before = group.change.ledger.iter();
        w.expect != Expect::Any && before.any(|known| known.key == w.key)
    });
    if twice {
        return;
    }
    group.change.ledger.append(&mut accepted.change.ledger);
    group.change.outbox.append(&mut accepted.change.outbox);
    group.entries.push((at, accepted));
}

/// Makes the groups durable, and what is kept aside. Whether the request's proof and record were written with them: so it is for one
/// patient and nothing kept aside, the common request, in one commit; otherwise the request has a record of its own, first, and each
/// entry kept aside has one that says whose it is and why. `lone`: the request sent one thing, whose record is the request's.
async fn commit_all(
    visit: &Visit<'_>,
    permit: &Permit,
    groups: Vec<Group>,
    (mut aside, lone): (Vec<Keeping>, bool),
    answers: &mut [Option<Answer>],
) -> Result<bool, End> {
    let record = visit.record().permitted(permit);
    let together = groups.len() == 1 && aside.is_empty();
    if !together {
        let one = if lone { aside.pop() } else { None };
        let own = match &one {
            Some(kept) => kept.on(record.clone()),
            None if groups.is_empty() => record.clone().failed(Category::Invalid),
            None => record.clone(),
        };
        let mut change = visit.change(own);
        change.ledger = one.map(|kept| kept.writes).unwrap_or_default();
        visit.commit(change).await?;
    }
    let kept = aside.into_iter().map(|kept| {
        visit.commit(Change {
            audit: Some(kept.on(record.clone())),
            ledger: kept.writes,
            ..Change::default()
        })
    });
    for kept in join_all(kept).await {
        kept?;
    }
    let record = &record;
    // All at once, so that the store makes them durable together: a hundred patients cost one flush, not a hundred.
    let committed = join_all(groups.into_iter().map(|group| async move {
        let proof = visit.change(record.clone().about(Some(group.patient)));
        let change = Change {
            audit: proof.audit,
            replays: if together { proof.replays } else { Vec::new() },
            ..group.change
        };
        (group.entries, visit.commit(change).await)
    }));
    let mut proven = true;
    for (entries, committed) in committed.await {
        match committed {
            Ok(_) => acknowledge(entries, answers),
            // Somebody else took one of them in meanwhile: nothing of the group was written, each is looked at again.
            Err(End::Problem(problem)) if problem.status() == StatusCode::CONFLICT => {
                proven = !together;
            }
            Err(end) => return Err(end),
        }
    }
    Ok(proven)
}

fn acknowledge(entries: Vec<(usize, Accepted)>, answers: &mut [Option<Answer>]) {
    for (at, one) in entries {
        if let Some(answer) = answers.get_mut(at) {
            *answer = Some(Ok(Acknowledged::of(one)));
        }
    }
}

pub(super) fn status(fate: Taken) -> StatusCode {
    match fate {
        Taken::New | Taken::Corrected => StatusCode::CREATED,
        Taken::Before => StatusCode::OK,
    }
}

/// Looks at one entry again and takes it by itself, against whatever is durable now.
async fn alone(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    json: &Json,
    one: &Sent<'_>,
) -> Result<Answer, End> {
    for _ in 0..TRIES {
        let mut accepted = match one.take(state, visit, json).await {
            Ok(accepted) => accepted,
            Err(mut refused) => {
                let kept = one.keep(state, visit, &mut refused).await?;
                let record = visit.record();
                let (record, ledger) = match kept {
                    Some(kept) => (kept.on(record), kept.writes),
                    None => (record.failed(Category::Conflict), Vec::new()),
                };
                let audit = Some(record);
                state
                    .desk
                    .store
                    .commit(Change {
                        ledger,
                        audit,
                        ..Change::default()
                    })
                    .await?;
                return Ok(Err(refused.problem));
            }
        };
        if accepted.fate == Taken::Before {
            return Ok(Ok(Acknowledged::of(accepted)));
        }
        let audit = Some(
            visit
                .record()
                .permitted(permit)
                .about(Some(accepted.patient.clone())),
        );
        match state
            .desk
            .store
            .commit(Change {
                audit,
                ..std::mem::take(&mut accepted.change)
            })
            .await
        {
            Ok(_) => return Ok(Ok(Acknowledged::of(accepted))),
            Err(StoreError::LedgerMismatch { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Err(Problem::unavailable(
        1,
        "the same reading is arriving many times at once; try again",
    )))
}

/// Where an entry's delivery is asked for.
fn location(kind: &str, key: &str) -> String {
    format!("{kind}/{key}")
}

fn respond(writer: &mut BatchResponseWriter, entry: &Entry<'_>, answer: Answer) {
    let full_url = entry.full_url();
    let kind = entry.resource.and_then(|one| one.text("resourceType"));
    let kind = kind.unwrap_or_default();
    match answer {
        Ok(taken) => {
            let place = format!("{}.resource", entry.expression());
            let placed = taken.remarks.into_iter().map(|one| one.within(&place));
            let remarks: Vec<Issue> = placed.collect();
            let outcome = (!remarks.is_empty()).then(|| OperationOutcome::new(remarks));
            writer.entry(&EntryResponse {
                full_url: full_url.as_deref(),
                status: &taken.status.to_string(),
                location: Some(&location(&kind, &taken.key)),
                outcome: outcome.as_ref(),
                ..EntryResponse::default()
            });
        }
        Err(problem) => {
            let outcome = OperationOutcome::new(problem.issues().to_vec());
            writer.entry(&EntryResponse {
                full_url: full_url.as_deref(),
                status: &problem.status().to_string(),
                outcome: Some(&outcome),
                ..EntryResponse::default()
            });
        }
    }
}
