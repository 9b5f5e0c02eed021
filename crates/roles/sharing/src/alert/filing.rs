//! Files what people say of an alert in the organisation's record system, through the hub: each note becomes a document in the commit of
//! the step that it was said in, and the hub takes it as any document, once, and delivers it as to any receiver.
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
use http::header::HeaderValue;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Change, Due, OutboxEntry, StoreError, Stored};
use trust::Interaction;
use trust::audit::Record;
use wire::Worker;
use wire::client::{PeerError, Request};
use wire::contract::hub::{FHIR, NOTE_SCOPE};
use wire::courier::{self, Deliver, Fate};

/// The receiver in the outbox.
pub const RECEIVER: &str = "hub";
/// Topic in the outbox.
const TOPIC: &str = "alert-note";
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
    /// What the alert is about, if it is there still.
    pub issue: Option<&'a Stored>,
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
    let mut issue = said.issue.and_then(|held| Some((held, task::plain(held)?)));
    let code = issue.as_ref().map(|(_, issue)| issue["code"].clone());
    let mut section = json!({
        "title": "Notat",
        "code": {"text": "Notat"},
        "text": {"status": "generated", "div": narrative::paragraphs(said.text)},
        "author": [{"type": "Practitioner", "display": said.by.name}],
    });
    if let Some((held, _)) = &issue {
        let about = of("DetectedIssue", &held.id.to_string());
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
    if let Some((held, issue)) = &mut issue {
        named(issue, &state.base);
        let url = of("DetectedIssue", &held.id.to_string());
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
        let url = format!("{base}/{}", reference.as_str()?);
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
        let task = due.key.strip_prefix("note/");
        let task = task.and_then(|of| LogicalId::parse(of.split_once('/')?.0).ok());
        let Some(id) = task else {
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
        let document: Value = serde_json::from_slice(&due.body).unwrap_or_default();
        let words = format!("{NOT_FILED}{}", beginning(task.json(), &document));
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

/// How the note of a document begins, so that one knows which is meant.
fn beginning(task: &Value, document: &Value) -> String {
    let composition = &document["entry"][0]["resource"];
    let notes = task["note"].as_array().into_iter().flatten();
    let mut same = notes.filter(|note| {
        note["time"] == composition["date"]
            && note["authorString"] == composition["author"][0]["display"]
    });
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
        let why = match self.send(due).await {
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
        let given_up = |status, reason: String| {
            Fate::given_up(status, due.attempts, &GIVEN_UP, &reason)
                .unwrap_or_else(|| Fate::of_status(status, reason))
        };
        match party.send(&base, NOTE_SCOPE, request).await {
            Ok(answer) => {
                let status = answer.status.as_u16();
                given_up(status, format!("the hub answered {status}"))
            }
            Err(PeerError::Token(code)) if NO_TOKEN.contains(&code) => given_up(
                403,
                format!("the anchor gives no token for the hub: {code}"),
            ),
            Err(error) => Fate::of_peer_error(&error),
        }
    }
}
