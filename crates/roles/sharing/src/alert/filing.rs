//! Files what people say of an alert in the organisation's record system, through the hub: each note becomes a document in the commit of
//! the step that it was said in, and the hub takes it as any document, once, and delivers it as to any receiver. What the hub has taken
//! is not in the record yet: its delivery is asked after until the record system has it or has refused it.
//!
//! A document has VKP's form of a followed-up alert (vkp-Composition-v090; category, event and section as words): a
//! Composition with what was said, by whom and when, and the DetectedIssue that it is about. What the alert rests on is named by
//! address, never carried: the record has the readings already, or never takes them. Decision 0048.

use super::machine::Owner;
use super::task::{self, Task};
use crate::State;
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::narrative;
use fhir::systems;
use fhir::time::Instant;
use http::HeaderName;
use http::header::{HeaderValue, LOCATION};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Due, OutboxEntry, StoreError};
use trust::Interaction;
use trust::audit::Record;
use wire::Worker;
use wire::client::{Answer, PeerError, Request};
use wire::contract::hub::{DELIVERIES, Delivery, DeliveryState, FHIR, NOTE_SCOPE, Progress};
use wire::courier::{self, Deliver, Fate};

/// The receiver in the outbox.
pub const RECEIVER: &str = "hub";
/// Topic in the outbox.
const TOPIC: &str = "alert-note";
/// Topic of what the hub has taken and the record system has not yet.
const TAKEN: &str = "alert-note-taken";
/// Between two looks at whether the record system has it.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Names of notes.
const NOTES: &str = "https://delt.example/fhir/alert-note";
/// An address as an identifier.
const ADDRESS: &str = "urn:ietf:rfc:3986";
/// Most references of a DetectedIssue that go along: the newest.
const MOST: usize = 50;
/// Answers of the hub after which a note is given up when it has been tried for an hour or so: what is sent, or who sends it, is not
/// taken there.
const GIVEN_UP: [u16; 6] = [400, 401, 403, 404, 405, 413];
/// Refusals of the anchor that are as lasting: this client has no token for the hub.
const NO_TOKEN: [&str; 4] = [
    "invalid_client",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
];
/// Said on the alert of a note that was given up.
const NOT_FILED: &str = "Notatet er ikke ført i journalen, som ikke tok det imot. Før det der selv";
/// Characters of a note by which one knows it.
const BEGINNING: usize = 60;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What somebody said.
pub struct Said<'a> {
    /// About whom.
    pub person: &'a PersonIdentifier,
    /// Who.
    pub by: &'a Owner,
    /// The words.
    pub text: &'a str,
    /// When.
    pub at: Instant,
    /// What the alert is about, if it is there still: the DetectedIssue and its id.
    pub issue: Option<(LogicalId, &'a Value)>,
}

/// What is left of a note that the hub has taken: where it is asked after, and by what the Task knows it.
#[derive(Serialize, Deserialize)]
struct Taken {
    /// The Task, by which what is erased is found here too.
    task: String,
    /// By which the hub knows its delivery.
    delivery: String,
    #[serde(flatten)]
    said: Known,
}

/// By what a Task knows one of its notes.
#[derive(Serialize, Deserialize)]
struct Known {
    date: Value,
    by: Value,
}

impl Known {
    fn of(document: &Value) -> Known {
        let composition = &document["entry"][0]["resource"];
        Known {
            date: composition["date"].clone(),
            by: composition["author"][0]["display"].clone(),
        }
    }
}

/// The Task of a note in the outbox.
fn task_of(due: &Due) -> Option<LogicalId> {
    let of = due.key.strip_prefix("note/")?;
    LogicalId::parse(of.split_once('/')?.0).ok()
}

/// What goes to the hub of a note, in the commit of the Task's next version. `None`: notes are filed nowhere.
///
/// # Errors
/// A bug, if it cannot be written.
pub fn outgoing(
    state: &State,
    task: &Task,
    said: &Said<'_>,
) -> Result<Option<OutboxEntry>, StoreError> {
    if state.config.files_notes.is_none() {
        return Ok(None);
    }
    // A version is written once: its note has one name, at every try.
    let name = format!("{}/{}", task.id, task.version.saturating_add(1));
    let document = document(state, &name, task, said);
    Ok(Some(OutboxEntry {
        topic: TOPIC,
        receivers: vec![RECEIVER.to_owned()],
        partition: task.id.to_string(),
        key: format!("note/{name}"),
        body: serde_json::to_vec(&document)
            .map_err(|_| StoreError::Bug)?
            .into(),
    }))
}

fn document(state: &State, name: &str, task: &Task, said: &Said<'_>) -> Value {
    let (system, value) = (said.person.system(), said.person.value().expose());
    let subject = json!({"identifier": {"system": system, "value": value}});
    let at = said.at.to_string();
    let event = if task.alert.state.is_open() {
        "Bekreftet"
    } else {
        "Håndtert"
    };
    let of = |kind: &str, id: &str| format!("{}/{kind}/{id}", state.base);
    let mut issue = said.issue.map(|(id, issue)| (id, issue.clone()));
    let code = issue.as_ref().map(|(_, issue)| issue["code"].clone());
    let mut section = json!({
        "title": "Notat",
        "code": {"text": "Notat"},
        "text": {"status": "generated", "div": narrative::paragraphs(said.text)},
        "author": [{"type": "Practitioner", "display": said.by.name}],
    });
    if let Some((id, _)) = &issue {
        let about = of("DetectedIssue", &id.to_string());
        section["entry"] = json!([{"reference": about}]);
    }
    let composition = json!({
        "resourceType": "Composition",
        "identifier": {"system": NOTES, "value": name},
        "status": "final",
        "type": code.unwrap_or_else(|| json!({"text": "Varsel"})),
        "category": [{"text": "Digital hjemmeoppfølging"}],
        "subject": subject,
        "date": at,
        "author": [{"type": "Practitioner", "display": said.by.name}],
        "attester": [{"mode": "professional", "time": at, "party": {"type": "Practitioner", "display": said.by.name}}],
        "custodian": {
            "identifier": {"system": systems::ORGNR, "value": state.config.owner.to_string()},
            "display": state.config.name,
        },
        "event": [{"code": [{"text": event}]}],
        "title": format!("Notat om varsel, {}", task.alert.state.name().to_lowercase()),
        "section": [section],
    });
    let mut entries = vec![
        json!({"fullUrl": of("Composition", &name.replace('/', "-")), "resource": composition}),
    ];
    if let Some((id, issue)) = &mut issue {
        named(issue, &state.base);
        let url = of("DetectedIssue", &id.to_string());
        entries.push(json!({"fullUrl": url, "resource": issue}));
    }
    json!({
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {"system": NOTES, "value": name},
        "timestamp": at,
        "entry": entries,
    })
}

/// What a DetectedIssue refers to, by whole addresses as identifiers: a document holds what it refers to, and this one does not.
fn named(issue: &mut Value, base: &str) {
    let address = |one: &mut Value| {
        let members = one.as_object_mut()?;
        let reference = members.remove("reference")?;
        let url = task::address(base, reference.as_str()?);
        members.insert(
            "identifier".into(),
            json!({"system": ADDRESS, "value": url}),
        );
        Some(())
    };
    if let Some(all) = issue.get_mut("implicated").and_then(Value::as_array_mut) {
        let old = all.len().saturating_sub(MOST);
        all.drain(..old);
        for one in all {
            address(one);
        }
    }
    let came = issue.get_mut("evidence").and_then(Value::as_array_mut);
    for one in came.into_iter().flatten() {
        let details = one.get_mut("detail").and_then(Value::as_array_mut);
        for detail in details.into_iter().flatten() {
            address(detail);
        }
    }
}

/// The courier to the hub; none where notes are filed nowhere.
pub fn courier(state: &Arc<State>) -> Option<Worker> {
    state.config.files_notes.as_ref()?;
    let state = state.clone();
    Some(Worker::new("note-courier", async move {
        let (house, store) = (state.house.clone(), state.desk.store.clone());
        courier::run(store, RECEIVER.to_owned(), Filing(state), &house).await;
    }))
}

impl State {
    /// Brings what waits for the hub now, and says how many notes were taken. The worker does the same by itself.
    ///
    /// # Errors
    /// Of the store.
    pub async fn file_waiting(self: &Arc<Self>) -> Result<usize, StoreError> {
        let (store, now) = (&self.desk.store, (self.house.clock)());
        courier::once(store, RECEIVER, &Filing(self.clone()), now).await
    }

    /// Says on the alert that a note of it is not in the record system.
    async fn not_filed(&self, due: &Due) -> Result<(), StoreError> {
        let Some(id) = task_of(due) else {
            return Ok(());
        };
        let Some((person, permit, mut task)) = self.alert_of(id).await? else {
            // Erased since.
            return Ok(());
        };
        let Some(patient) = self.desk.store.patient_id(&person).await? else {
            return Ok(());
        };
        let now = (self.house.clock)();
        let body: Value = serde_json::from_slice(&due.body).unwrap_or_default();
        let said = match serde_json::from_value::<Taken>(body.clone()) {
            Ok(taken) => taken.said,
            Err(_) => Known::of(&body),
        };
        let words = format!("{NOT_FILED}{}", beginning(task.json(), &said));
        if !task.note(&self.service_itself(), &words, now) {
            tracing::error!("a note of an alert is not filed, and there is no room to say so");
            return Ok(());
        }
        task.set(task.alert.clone(), now);
        let (request, asked) = ((self.house.ids)(), format!("alert: {} not filed", due.key));
        let record = Record::new(now, request, Interaction::Assess, &asked)
            .permitted(&permit)
            .about(Some(person));
        let change = Change {
            puts: vec![self.new_version(patient, id, task.version, task.json())?],
            audit: Some(record),
            audit_fill: true,
            ..Change::default()
        };
        self.desk.store.commit(change).await?;
        Ok(())
    }
}

/// How a note begins, so that one knows which is meant.
fn beginning(task: &Value, said: &Known) -> String {
    let notes = task["note"].as_array().into_iter().flatten();
    let mut same =
        notes.filter(|note| note["time"] == said.date && note["authorString"] == said.by);
    let text = same.next().and_then(|note| note["text"].as_str());
    text.map(|text| format!(": «{}»", text.chars().take(BEGINNING).collect::<String>()))
        .unwrap_or_default()
}

struct Filing(Arc<State>);

impl Deliver for Filing {
    async fn deliver(&self, batch: &[Due]) -> Vec<Fate> {
        let waits = "an earlier note about the same alert waits";
        courier::in_turn(batch, waits, |due| self.bring(due)).await
    }
}

impl Filing {
    /// Brings one note. One that the hub never takes is given up, and the alert says so in the same round: who believes that a note stands
    /// in the record would not write it there.
    async fn bring(&self, due: &Due) -> Fate {
        let fate = match due.topic.as_str() {
            TAKEN => self.stands(due).await,
            _ => self.send(due).await,
        };
        let why = match fate {
            Fate::Dead(why) => why,
            fate => return fate,
        };
        match self.0.not_filed(due).await {
            Ok(()) => Fate::Dead(why),
            Err(error) => Fate::Retry(format!("{why}, and the Task could not be written: {error}")),
        }
    }

    async fn send(&self, due: &Due) -> Fate {
        let (Some(party), Some(hub)) = (&self.0.party, &self.0.config.files_notes) else {
            return Fate::Retry("no hub to file notes at, or no client to speak with".into());
        };
        let base = format!("{}{FHIR}", hub.as_str().trim_end_matches('/'));
        let Ok(key) = HeaderValue::try_from(&due.key) else {
            return Fate::Dead("the note has no key".into());
        };
        let request = Request::post_fhir(base.clone(), due.body.clone())
            .header(IDEMPOTENCY_KEY, key)
            .request_id((self.0.house.ids)());
        match party.send(&base, NOTE_SCOPE, request).await {
            Ok(answer) if answer.status.is_success() => self.taken(due, &answer).await,
            told => self.refused(due, told),
        }
    }

    /// The hub has taken a note: from now on it is asked after, in the change that ends its sending.
    async fn taken(&self, due: &Due, answer: &Answer) -> Fate {
        let place = answer.headers.get(LOCATION).and_then(|at| at.to_str().ok());
        let delivery = place.and_then(|at| at.rsplit('/').next());
        let (Some(delivery), Some(task)) = (delivery, task_of(due)) else {
            return Fate::Retry("the hub does not say by what its delivery is known".into());
        };
        let document: Value = serde_json::from_slice(&due.body).unwrap_or_default();
        let taken = Taken {
            task: task.to_string(),
            delivery: delivery.to_owned(),
            said: Known::of(&document),
        };
        let Ok(body) = serde_json::to_vec(&taken) else {
            return Fate::Retry("what the hub has taken cannot be written".into());
        };
        let asked = OutboxEntry {
            topic: TAKEN,
            receivers: vec![RECEIVER.to_owned()],
            // A later note need not wait until this one is in the record: the hub keeps them in order.
            partition: due.key.clone(),
            key: due.key.clone(),
            body: body.into(),
        };
        let change = Change {
            carried: vec![due.id],
            outbox: vec![asked],
            ..Change::default()
        };
        match self.0.desk.store.commit(change).await {
            Ok(_) | Err(StoreError::NotPending) => Fate::Done,
            Err(error) => Fate::Retry(error.to_string()),
        }
    }

    /// Whether the record system has what the hub took.
    async fn stands(&self, due: &Due) -> Fate {
        let (Some(party), Some(hub)) = (&self.0.party, &self.0.config.files_notes) else {
            return Fate::Retry("no hub to ask, or no client to speak with".into());
        };
        let Ok(taken) = serde_json::from_slice::<Taken>(&due.body) else {
            return Fate::Dead("what the hub has taken does not read again".into());
        };
        let hub = hub.as_str().trim_end_matches('/');
        let url = format!("{hub}{DELIVERIES}/{}", taken.delivery);
        let request = Request::get(url).request_id((self.0.house.ids)());
        let told = party
            .send(&format!("{hub}{FHIR}"), NOTE_SCOPE, request)
            .await;
        let answer = match told {
            Ok(answer) if answer.status.is_success() => answer,
            told => return self.refused(due, told),
        };
        let Ok(delivery) = answer.json::<Delivery>() else {
            return Fate::Retry("the hub's answer could not be read".into());
        };
        let is = |state| move |one: &DeliveryState| one.state == state;
        let all = &delivery.receivers;
        if let Some(dead) = all.iter().find(|one| is(Progress::Dead)(one)) {
            let why = dead.reason.clone().unwrap_or_default();
            return Fate::Dead(format!("the record system did not take it: {why}"));
        }
        if !all.is_empty() && all.iter().all(is(Progress::Delivered)) {
            return Fate::Done;
        }
        Fate::RetryAfter(
            LOOK_AGAIN,
            "the hub has it, and the record system not yet".into(),
        )
    }

    /// What comes of an answer that is no success.
    fn refused(&self, due: &Due, told: Result<Answer, PeerError>) -> Fate {
        let given_up = |status, reason: String| {
            Fate::given_up(status, due.attempts, &GIVEN_UP, &reason)
                .unwrap_or_else(|| Fate::of_status(status, reason))
        };
        match told {
            Ok(answer) => {
                let status = answer.status.as_u16();
                let fate = given_up(status, format!("the hub answered {status}"));
                later(fate, answer.retry_after((self.0.house.clock)()))
            }
            Err(PeerError::Token(code)) if NO_TOKEN.contains(&code) => given_up(
                403,
                format!("the anchor gives no token for the hub: {code}"),
            ),
            Err(error) => Fate::of_peer_error(&error),
        }
    }
}

/// Not before the hub asks for it.
fn later(fate: Fate, pause: Option<Duration>) -> Fate {
    match (fate, pause) {
        (Fate::Retry(why), Some(pause)) => Fate::RetryAfter(pause, why),
        (fate, _) => fate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_that_asks_for_time_has_it_and_what_is_over_is_over() {
        let pause = Some(Duration::from_secs(90));
        let busy = || Fate::Retry("the hub answered 429".into());
        let Fate::RetryAfter(wait, _) = later(busy(), pause) else {
            panic!("it does not wait");
        };
        assert_eq!(Some(wait), pause);
        assert_eq!(later(busy(), None), busy());
        assert_eq!(
            later(Fate::Dead("no".into()), pause),
            Fate::Dead("no".into())
        );
    }
}
