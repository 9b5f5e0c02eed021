//! Steps of an alert by people: `POST {base}/Task/{id}/$own`, `$acknowledge`, `$note`, `$resolve`, and of two alerts `$join`. Each is a new version of the
//! Task, with who took it, and needs `If-Match` (FHIR R4 http.html#concurrency): of two who take an alert at once one has it,
//! and the other is told who. What may be done when is `alert/machine.rs`.

mod join;

pub use join::join;

use crate::alert::{self, By, Entry, Handed, Key, No, Owner, Standing, Step, Task, outgoing};
use crate::api::{id_of, if_match, writable};
use crate::disclose;
use crate::{Partner, State};
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::ids::LogicalId;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use store::{Change, Expect, Put, StoreError};
use trust::{Ask, Category, Interaction, Permit, Person, Refusal};
use wire::contract::alert::Word;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::signed;
use wire::visit::{End, Visit};

const CLOSED: Refusal = Refusal {
    rule: "block",
    category: Category::Forbidden,
    code: "blocked",
    message: "the patient has closed this to the organisation that it would be handed over to, or it is not known whether she has",
};
/// Parameter: what is said may be looked up by others.
const SHARED: &str = "shared";
/// Parameter: the author's signature of it ([`signed::Claims`]).
const SIGNATURE: &str = "signature";
/// The steps that take it.
const SHARES: [Step; 3] = [Step::Acknowledge, Step::Note, Step::Resolve];
/// Longest note, in characters.
const LONGEST: usize = 4_000;

type Handled = Result<Response, Problem>;

/// `$own`.
pub async fn own(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Handled {
    step(&state, &id, ids, request, Step::Own).await
}

/// `$acknowledge`.
pub async fn acknowledge(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Handled {
    step(&state, &id, ids, request, Step::Acknowledge).await
}

/// `$note`.
pub async fn note(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Handled {
    step(&state, &id, ids, request, Step::Note).await
}

/// `$resolve`.
pub async fn resolve(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Handled {
    step(&state, &id, ids, request, Step::Resolve).await
}

/// `$hand-over`.
pub async fn hand_over(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Handled {
    step(&state, &id, ids, request, Step::HandOver).await
}

/// `$accept`.
pub async fn accept(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Handled {
    step(&state, &id, ids, request, Step::Accept).await
}

/// `$decline`.
pub async fn decline(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Handled {
    step(&state, &id, ids, request, Step::Decline).await
}

async fn step(
    state: &Arc<State>,
    id: &str,
    ids: RequestIds,
    request: Request,
    step: Step,
) -> Handled {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| taken(state, visit, id, &parts, body, step).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::AlertStep, work).await
}

async fn taken(
    state: &State,
    visit: &mut Visit<'_>,
    id: &str,
    parts: &Parts,
    body: Body,
    step: Step,
) -> Result<Response, End> {
    let resource = writable(state, ResourceType::TASK.as_str())?;
    let permit = visit.permit(&Ask::of(Interaction::AlertStep, resource))?;
    let id = id_of(id)?;
    let expected = if_match(&parts.headers)?.ok_or_else(Problem::precondition_required)?;
    let input = wire::operation::read(&parts.headers, body).await?;
    let (note, to) = (note_in(&input, step)?, to_in(state, &input, step)?);
    let signature = signature_in(&input, step, note.is_some())?;
    let sealed = signature.map(|signature| Ok::<_, Problem>((signature, sealer(state)?)));
    let sealed = sealed.transpose()?;
    if let (Some((signature, _)), Some(words)) = (sealed, &note) {
        let (task, jkt) = (id.to_string(), &visit.caller().jkt);
        if !signed::is_hers(signature, jkt, (&task, expected), words, visit.now) {
            return Err(unsigned().into());
        }
    }
    let person = person(state, visit)?;
    let read = || async { state.desk.store.read(&permit, resource, id).await };
    let stored = read().await?.ok_or_else(Problem::not_found)?;
    let mut task = Task::read(&stored).ok_or_else(no_alert)?;
    if task.version != expected {
        return Err(stale(&task).into());
    }
    let wait = task.wait(state.deadlines());
    let by = By {
        person: Some(&person),
        note: note.is_some(),
        now: visit.now,
        wait: &wait,
    };
    let alert = task.alert.after(step, &by).map_err(told)?;
    let written = match (&note, step) {
        (None, Step::Note | Step::HandOver) => return Err(told(No::NeedsNote).into()),
        (Some(text), step)
            if (step == Step::Note && !task.has_room()) || !task.note(&person, text, visit.now) =>
        {
            let words = "this alert has as many notes as it may have";
            return Err(Problem::invalid(IssueCode::TooLong, "note", words).into());
        }
        (note, _) => note.is_some() || alert != task.alert,
    };
    if !written {
        // Hers already: nothing is written but that she asked.
        return answered(visit, &permit, stored).await;
    }
    let (due, open) = (alert.deadline.map(|end| end.0), alert.state.is_open());
    let (from, waited) = (task.alert.state, task.what());
    task.set(alert, visit.now);
    let patient = patient(state, &permit).await?;
    let (mut filed, mut assessed) = (None, None);
    if let (Some(text), trust::PermitScope::Patient(about)) = (&note, permit.patient()) {
        let issue = state.found(&permit, &task).await?;
        let said = alert::Said {
            person: about,
            by: &person,
            text,
            at: visit.now,
            issue: issue.as_ref().map(|(id, _, issue)| (*id, issue)),
        };
        filed = alert::filed(state, &task, &said)?;
        if let Some((signature, party)) = sealed {
            let id = LogicalId::from((state.house.ids)());
            let assessment = alert::shared(state, party, &task, &said, signature);
            let assessment = assessment.map_err(|_| StoreError::Bug)?;
            assessed = Some(Put::CreateAs {
                id,
                resource: state.checked(patient, &assessment)?,
                written_by: None,
                enrol: false,
            });
            task.attach(id);
        }
    }
    let mut change = visit.change(visit.record().permitted(&permit));
    change.outbox.extend(filed);
    let word = match (step, from) {
        (Step::HandOver, _) => Some(Word::Offer),
        (Step::Own, Standing::HandingOver) => Some(Word::Recall),
        (Step::Accept, _) => Some(Word::Accept),
        (Step::Decline, _) => Some(Word::Decline),
        _ => None,
    };
    if let Some(word) = word {
        told_to(
            state,
            &mut change,
            &permit,
            &mut task,
            (word, to),
            (&person, note.as_deref()),
        )
        .await?;
    }
    change.puts.extend(assessed);
    let put = state.new_version(patient, task.id, task.version, task.json())?;
    change.puts.push(put);
    change.audit_fill = true;
    change.every_fault = true;
    let key = |what| Key { patient, what };
    let (before, after) = (key(waited), key(task.what()));
    // An alert that another has taken the place of is waited for by nobody.
    let held = state.alert_entry(before).await?;
    let mut queue = Vec::new();
    if let Some((_, version)) = held.filter(|(entry, _)| entry.task == Some(task.id)) {
        let entry = Entry {
            task: Some(task.id),
            due,
        };
        let (entry, here) = (open.then_some(&entry), Expect::Version(version));
        if before == after {
            change.ledger.push(before.write(entry, here)?);
        } else {
            change.ledger.push(before.write(None, here)?);
            change.ledger.push(after.write(entry, Expect::Absent)?);
            queue.push((before, None));
        }
        queue.push((after, due.filter(|_| open)));
    }
    match visit.attempt(change).await? {
        Ok(_) => {}
        Err(StoreError::Puts(_)) => {
            let now = read().await?.ok_or_else(Problem::not_found)?;
            return Err(stale(&Task::read(&now).ok_or_else(no_alert)?).into());
        }
        Err(error) => return Err(error.into()),
    }
    state.raised(queue);
    let stored = read().await?.ok_or_else(Problem::not_found)?;
    reduced(&permit, stored)
}

/// What the patient has closed to another organisation is not handed over to it.
async fn open_to(state: &State, permit: &Permit, to: &Partner) -> Result<(), End> {
    let trust::PermitScope::Patient(person) = permit.patient() else {
        return Err(Problem::not_found().into());
    };
    match state.open_to(person, to).await? {
        Some(true) => Ok(()),
        Some(false) | None => Err(End::Refused(CLOSED)),
    }
}

/// Adds to a change what the other organisation is told in its commit.
async fn told_to(
    state: &State,
    change: &mut Change,
    permit: &Permit,
    task: &mut Task,
    (word, to): (Word, Option<&Partner>),
    by: (&Owner, Option<&str>),
) -> Result<(), End> {
    let partner = |number: &str| {
        let mut all = state.config.hand_over.iter();
        all.find(|one| one.organisation.to_string() == number)
    };
    if let (Word::Offer, Some(to)) = (word, to) {
        open_to(state, permit, to).await?;
        if let Some(came_by) = task.came_by
            && state.unheard(Word::Accept, came_by).await?
        {
            // Else a third might take what its sender has given to another meanwhile.
            let words = "who offered it has not heard yet that it was accepted: hand it over when they have";
            return Err(Problem::conflict(words).into());
        }
        let offer = (state.house.ids)();
        task.offer(offer, to);
        let bundle = state.offer(permit, task).await?;
        let handed = Handed {
            task: task.id,
            with: to.organisation.to_string(),
            made: true,
        };
        change.ledger.push(handed.write(offer)?);
        change.outbox.push(outgoing(
            state,
            to,
            (word, offer),
            (by.0, None),
            Some(bundle),
        )?);
        return Ok(());
    }
    let offer = task
        .came_by
        .filter(|_| word != Word::Recall)
        .or(task.offered);
    let handed = match offer {
        Some(offer) => state.handed(offer).await?.map(|handed| (offer, handed)),
        None => None,
    };
    // Whom alerts are not handed over with any more is told nothing.
    if let Some((offer, handed)) = handed
        && let Some(partner) = partner(&handed.with)
    {
        change
            .outbox
            .push(outgoing(state, partner, (word, offer), by, None)?);
    }
    Ok(())
}

/// The Task as it is, with a record of its disclosure.
async fn answered(
    visit: &Visit<'_>,
    permit: &Permit,
    stored: store::Stored,
) -> Result<Response, End> {
    let listed = disclose::listed(std::slice::from_ref(&stored));
    let record = visit.record().permitted(permit).disclosing(listed);
    visit.write(record).await?;
    reduced(permit, stored)
}

fn reduced(permit: &Permit, mut stored: store::Stored) -> Result<Response, End> {
    disclose::reduce(permit, [&mut stored])?;
    let mut response = fhir_response(StatusCode::OK, stored.body);
    disclose::tag(&mut response, stored.version, stored.last_updated);
    Ok(response)
}

/// The Patient whom the permit opens.
async fn patient(state: &State, permit: &Permit) -> Result<fhir::ids::LogicalId, End> {
    let trust::PermitScope::Patient(person) = permit.patient() else {
        return Err(Problem::not_found().into());
    };
    let patient = state.desk.store.patient_id(person).await?;
    patient.ok_or_else(|| Problem::not_found().into())
}

/// Who takes the step: name and organisation as the token says, and a hash by which she is known again.
fn person(state: &State, visit: &Visit<'_>) -> Result<Owner, Problem> {
    let caller = visit.caller();
    let unnamed = || {
        Problem::forbidden("the token does not say who takes the step: a name and an organisation")
    };
    let Person::Practitioner {
        identifier,
        name: Some(name),
        ..
    } = &caller.person
    else {
        return Err(unnamed());
    };
    let organisation = caller.organisation.ok_or_else(unnamed)?;
    let organisation = state.config.register.name(&organisation);
    let number = identifier.value().expose();
    let key = state.desk.store.keyed("alert person", number.as_bytes());
    Ok(Owner {
        key: key.iter().map(|byte| format!("{byte:02x}")).collect(),
        name: format!("{name}, {}", organisation.ok_or_else(unnamed)?),
    })
}

/// Whom an alert is handed over to.
fn to_in<'s>(
    state: &'s State,
    input: &[(String, String)],
    step: Step,
) -> Result<Option<&'s Partner>, Problem> {
    if step != Step::HandOver {
        return Ok(None);
    }
    let named = input.iter().find(|(name, _)| name == "to");
    let mut partners = state.config.hand_over.iter();
    let found =
        named.and_then(|(_, number)| partners.find(|one| one.organisation.to_string() == *number));
    let words = "expected the number of an organisation that this service hands alerts over to";
    let refused = || Problem::invalid(IssueCode::Value, "to", words);
    found.map(Some).ok_or_else(refused)
}

/// What somebody says of a step.
fn note_in(input: &[(String, String)], step: Step) -> Result<Option<String>, Problem> {
    let other = |name: &str| {
        let of_shared = [SHARED, SIGNATURE].contains(&name);
        (step == Step::HandOver && name == "to")
            || (step == Step::Gather && name == join::WITH)
            || (SHARES.contains(&step) && of_shared)
    };
    let own: Vec<_> = input.iter().filter(|(name, _)| !other(name)).collect();
    match &own[..] {
        [] => Ok(None),
        [(name, text)] if name == "note" => {
            let text = text.trim();
            match text_fault(text) {
                Some(words) => Err(Problem::invalid(IssueCode::Value, "note", words)),
                None => Ok(Some(text.to_owned())),
            }
        }
        _ => {
            let words = "known are note, once, where what is said may be shared, shared and signature, and with of $join";
            Err(Problem::invalid(IssueCode::NotSupported, "note", words))
        }
    }
}

/// Her signature of what she says, where others may look it up as a resource of its own.
fn signature_in(
    input: &[(String, String)],
    step: Step,
    note: bool,
) -> Result<Option<&str>, Problem> {
    let all = |wanted: &str| -> Vec<&str> {
        let named = input.iter().filter(|(name, _)| name == wanted);
        named.map(|(_, value)| value.as_str()).collect()
    };
    match (&all(SHARED)[..], &all(SIGNATURE)[..]) {
        ([] | ["false"], []) => Ok(None),
        (["true"], [signature]) if note && SHARES.contains(&step) => Ok(Some(signature)),
        (["true"], _) if note && SHARES.contains(&step) => Err(unsigned()),
        _ => {
            let words = "expected true, once, with a note and its signature";
            Err(Problem::invalid(IssueCode::Value, SHARED, words))
        }
    }
}

fn unsigned() -> Problem {
    let words = "what others may look up is signed by its author: expected, once, a compact JWS of typ delt-said+jwt over this Task, \
        the version of If-Match and the SHA-256 of the note without blanks around it, by the key that the token is bound to, made within five minutes";
    Problem::invalid(IssueCode::Value, SIGNATURE, words)
}

/// By whose key this service vouches for what its people signed.
fn sealer(state: &State) -> Result<&wire::client::Party, Problem> {
    state.party.as_ref().ok_or_else(|| {
        let words = "this service has no registered key by which it could vouch for the author: what she says can be noted, not shared";
        Problem::invalid(IssueCode::NotSupported, SHARED, words)
    })
}

/// What is wrong with a text that is to stand in a Task, if anything is.
pub(super) fn text_fault(text: &str) -> Option<&'static str> {
    if text.trim().is_empty() || text.chars().count() > LONGEST {
        return Some("expected 1 to 4000 characters");
    }
    let strange = |one: char| one.is_control() && !"\t\r\n".contains(one);
    text.chars()
        .any(strange)
        .then_some("expected no control characters but tab and the ends of lines")
}

fn no_alert() -> Problem {
    let words = "this Task is no alert of this service";
    Problem::invalid(IssueCode::BusinessRule, "Task", words)
}

/// Somebody came before: what she is to know before she tries again.
fn stale(task: &Task) -> Problem {
    let standing = task.alert.state.name();
    let (version, name) = (task.version, task.alert.name());
    let who = if name.is_empty() {
        "nobody owns it".to_owned()
    } else {
        format!("owned by {name}")
    };
    Problem::precondition_failed(format!(
        "the alert is in version {version} now ({standing}), {who}"
    ))
}

fn told(no: No) -> Problem {
    let words = match no {
        No::NeedsNote => {
            let words = "this step takes a note that says why";
            return Problem::invalid(IssueCode::Required, "note", words);
        }
        No::Closed(state) => format!("the alert is closed ({})", state.name()),
        No::Owned(name) => format!("owned by {name}; $own with a note takes it over"),
        No::Unowned => "nobody owns it: $own it first".to_owned(),
        No::Offered => "another organisation offers it: accept or decline it first".to_owned(),
        No::NotOffered => "it is no offer of another organisation, or not any more".to_owned(),
        No::OnItsWay => {
            "it is offered to another organisation; $own with a note takes it back".to_owned()
        }
    };
    Problem::conflict(words)
}
