//! An alert as resources: a Task (where it stands) and a DetectedIssue (what was found), written and read again.
//!
//! | What | Where |
//! |---|---|
//! | which alert it is | `identifier`, system [`ALERTS`], the same on both |
//! | what it is about | a coding of [`ASSESSMENT`] in `code`; on the DetectedIssue VKP's code too: 5.1, 5.2.1, 5.3.2 |
//! | state | `businessStatus` in [`STATES`]; `status` is the nearest of FHIR's |
//! | how grave | extension `zone` on the Task; `severity` and in words `detail` on the DetectedIssue |
//! | who has it | `owner`: a name, and a keyed hash by which her next step is known as hers |
//! | by when | `restriction.period.end` |
//! | passed deadlines, and when | extension [`ESCALATION`] |
//! | for whom it is since then, by role | `performerType.text` |
//! | when it rose to red | extension [`ROSE`] |
//! | when its owner last looked into it | extension [`ACKNOWLEDGED`] |
//! | what people say of it | `note`, with author and time |
//! | what of that others may look up | `output` |
//! | what came after all | `DetectedIssue.evidence` |
//! | that another organisation offered it, and which offer | `basedOn`, system [`OFFERS`] |
//! | that it is offered to another organisation | extension [`OFFERED`] |
//! | which others were joined to it | extension [`REPLACES`] |
//! | to which it was joined | `partOf` |
//! | what it rests on | `DetectedIssue.implicated`: results and readings, each with its version; what is missing by its code |

use super::Deadlines;
use super::finding::Finding;
use super::ledger::What;
use super::machine::{Alert, Owner, State};
use crate::Partner;
use crate::assess::{Device, Owner as Organisation, zone_name};
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::plan::{ZONE, ZONES, Zone};
use fhir::systems::{self, ASSESSMENT};
use fhir::time::{Instant, parse_instant};
use serde_json::{Map, Value, json};
use store::Stored;
use uuid::Uuid;

/// Names of alerts.
pub const ALERTS: &str = "https://delt.example/fhir/alert";
/// States of an alert.
const STATES: &str = "https://delt.example/fhir/CodeSystem/alert-state";
/// People as an alert knows them: a keyed hash of this service's own.
const PERSONS: &str = "https://delt.example/fhir/alert-person";
/// Extension: how many deadlines have passed (`level`), and when the last did (`at`).
const ESCALATION: &str = "https://delt.example/fhir/StructureDefinition/alert-escalation";
/// Extension: when it rose from yellow to red.
const ROSE: &str = "https://delt.example/fhir/StructureDefinition/alert-rose";
/// Extension: when its owner last looked into it.
const ACKNOWLEDGED: &str = "https://delt.example/fhir/StructureDefinition/alert-acknowledged";
/// Offers between organisations.
const OFFERS: &str = "https://delt.example/fhir/alert-offer";
/// Extension: the last offer (`offer`) and to whom (`to`).
const OFFERED: &str = "https://delt.example/fhir/StructureDefinition/alert-offered";
/// Extension of FHIR R4: an alert that ended, for which this one stands too.
const REPLACES: &str = "http://hl7.org/fhir/StructureDefinition/task-replaces";
/// VKP's codes of alerts (vkp-alert-code-v090).
const VKP: &str = "http://ehelse.no/fhir/CodeSystem/vkp-alert-code-v090";
/// Most references of one alert: what is found after that raises it, and is not listed.
const MOST_EVIDENCE: usize = 500;
/// Most notes of one alert.
const MOST_NOTES: usize = 200;
/// Most of them before a step that is nothing but a note is refused, so that there is room for the steps that close it.
const MOST_REMARKS: usize = 180;

/// What an alert is about; a patient has at most one open alert of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// What readings mean.
    Readings,
    /// Readings that did not come.
    Missing,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Topic; 2] = [Topic::Readings, Topic::Missing];

    /// Our code of it.
    pub fn code(self) -> &'static str {
        match self {
            Topic::Readings => "alert-readings",
            Topic::Missing => "alert-missing",
        }
    }

    /// VKP's code of an alert that sums up.
    pub fn summary(self) -> &'static str {
        match self {
            Topic::Readings => "5.1",
            Topic::Missing => "5.3.2",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Topic::Readings => "Varsel om målinger",
            Topic::Missing => "Varsel om målinger som mangler",
        }
    }
}

/// Who raises alerts, about whom.
pub struct Frame<'a> {
    /// The patient, named as readings name theirs.
    pub patient: &'a PersonIdentifier,
    /// The organisation.
    pub owner: &'a Organisation,
    /// The medical device's own statement.
    pub device: &'a Device,
}

impl Frame<'_> {
    fn person(&self) -> Value {
        json!({"identifier": {"system": self.patient.system(), "value": self.patient.value().expose()}})
    }

    /// A new DetectedIssue.
    pub fn issue(&self, name: &str, finding: &Finding, now: Instant) -> Value {
        let mut issue = json!({
            "resourceType": "DetectedIssue",
            "identifier": [{"system": ALERTS, "value": name}],
            "status": "final",
            "code": {
                "coding": [
                    {"system": VKP, "code": finding.code},
                    {"system": ASSESSMENT, "code": finding.topic.code()},
                ],
                "text": finding.topic.text(),
            },
            "patient": self.person(),
            "identifiedDateTime": now.to_string(),
            "author": {"display": self.device.statement()},
        });
        join(&mut issue, finding);
        issue
    }

    /// A new Task for an alert that another organisation offers.
    pub fn came(
        &self,
        name: &str,
        issue: LogicalId,
        (from, offer): (&Partner, Uuid),
        (topic, alert): (Topic, &Alert),
        now: Instant,
    ) -> Value {
        let mut task = self.task(name, issue, topic, alert, now);
        task["basedOn"] = json!([{
            "identifier": {"system": OFFERS, "value": offer.to_string()},
            "display": from.name,
        }]);
        task["requester"] = json!({
            "type": "Organization",
            "identifier": {"system": systems::ORGNR, "value": from.organisation.to_string()},
            "display": from.name,
        });
        task
    }

    /// A new Task for it.
    pub fn task(
        &self,
        name: &str,
        issue: LogicalId,
        topic: Topic,
        alert: &Alert,
        now: Instant,
    ) -> Value {
        let mut task = json!({
            "resourceType": "Task",
            "identifier": [{"system": ALERTS, "value": name}],
            "intent": "order",
            "code": {
                "coding": [{"system": ASSESSMENT, "code": topic.code()}],
                "text": topic.text(),
            },
            "focus": {"reference": format!("DetectedIssue/{issue}")},
            "for": self.person(),
            "authoredOn": now.to_string(),
            "requester": {
                "type": "Organization",
                "identifier": {"system": systems::ORGNR, "value": self.owner.orgnr.to_string()},
                "display": self.owner.name,
            },
        });
        set(&mut task, topic, alert, now);
        task
    }
}

/// Adds a finding to a DetectedIssue: what it rests on, and its gravity where that is more than was.
pub fn join(issue: &mut Value, finding: &Finding) {
    let Some(members) = issue.as_object_mut() else {
        return;
    };
    let zone = finding.zone.unwrap_or(Zone::Green);
    if zone > zone_of_severity(members) {
        members.insert("severity".into(), severity(zone).into());
        members.insert("detail".into(), zone_name(zone).to_lowercase().into());
    } else if finding.zone.is_none() {
        members.entry("severity").or_insert("low".into());
    }
    let held = members.entry("implicated").or_insert(json!([]));
    if let Some(held) = held.as_array_mut() {
        for one in &finding.evidence {
            if held.len() < MOST_EVIDENCE && !held.contains(one) {
                held.push(one.clone());
            }
        }
    }
}

/// Adds to a DetectedIssue what another alert rests on, and what came of it after all. `false`: there is no room for all of it.
pub fn gather(issue: &mut Value, other: &Value, finding: &Finding) -> bool {
    join(issue, finding);
    let came = other["evidence"].as_array().into_iter().flatten();
    for one in came {
        let reference = one["detail"][0]["reference"].as_str();
        if reference.is_some_and(|text| !answered(issue, text) && !has_come(issue, text)) {
            return false;
        }
    }
    rests_on(issue, finding)
}

/// Whether a DetectedIssue rests on all of this already.
pub fn rests_on(issue: &Value, finding: &Finding) -> bool {
    let held = issue["implicated"].as_array();
    let there = |one| held.is_some_and(|held| held.contains(one));
    finding.evidence.iter().all(there)
}

/// Says that something that was missing has come: the reading, with its version. `false`: it is said already.
pub fn answered(issue: &mut Value, reading: &str) -> bool {
    if has_come(issue, reading) {
        return false;
    }
    let Some(members) = issue.as_object_mut() else {
        return false;
    };
    let held = members.entry("evidence").or_insert(json!([]));
    let Some(held) = held
        .as_array_mut()
        .filter(|held| held.len() < MOST_EVIDENCE)
    else {
        return false;
    };
    held.push(json!({
        "code": [{"coding": [{"system": ASSESSMENT, "code": "answered"}], "text": "Kom senere"}],
        "detail": [{"reference": reading}],
    }));
    true
}

fn has_come(issue: &Value, reading: &str) -> bool {
    let held = issue["evidence"].as_array().into_iter().flatten();
    let mut held = held.map(|one| &one["detail"][0]["reference"]);
    held.any(|one| one == reading)
}

fn severity(zone: Zone) -> &'static str {
    match zone {
        Zone::Green => "low",
        Zone::Yellow => "moderate",
        Zone::Red => "high",
    }
}

fn zone_of_severity(issue: &Map<String, Value>) -> Zone {
    let held = issue.get("severity").and_then(Value::as_str);
    let mut zones = Zone::ALL.into_iter();
    let found = zones.find(|zone| Some(severity(*zone)) == held);
    found.unwrap_or(Zone::Green)
}

/// Puts into a Task where its alert stands.
fn set(task: &mut Value, topic: Topic, alert: &Alert, now: Instant) {
    task["status"] = alert.state.status().into();
    task["businessStatus"] = json!({
        "coding": [{"system": STATES, "code": alert.state.code()}],
        "text": alert.state.name(),
    });
    task["priority"] = match (topic, alert.zone) {
        (Topic::Missing, _) => "routine",
        (_, Zone::Red) => "stat",
        _ => "urgent",
    }
    .into();
    task["lastModified"] = now.to_string().into();
    let task_extensions = task["extension"].as_array().cloned().unwrap_or_default();
    let Some(members) = task.as_object_mut() else {
        return;
    };
    let mut keep = |name: &str, value: Option<Value>| {
        match value {
            Some(value) => members.insert(name.into(), value),
            None => members.remove(name),
        };
    };
    keep(
        "owner",
        alert.owner.as_ref().map(|owner| {
            json!({
                "type": "Practitioner",
                "identifier": {"system": PERSONS, "value": owner.key},
                "display": owner.name,
            })
        }),
    );
    // Whoever takes a step has it from then on.
    if alert.level == 0 {
        keep("performerType", None);
    }
    let restriction = |end: Instant| json!({"period": {"end": end.to_string()}});
    keep("restriction", alert.deadline.map(restriction));
    let lasting = |one: &Value| one["url"] == OFFERED || one["url"] == REPLACES;
    let held = task_extensions.into_iter();
    let mut extensions: Vec<Value> = held.filter(lasting).collect();
    if topic == Topic::Readings {
        let coding =
            json!({"system": ZONES, "code": alert.zone.code(), "display": zone_name(alert.zone)});
        extensions.push(json!({"url": ZONE, "valueCoding": coding}));
    }
    if let Some(at) = alert.escalated {
        extensions.push(json!({"url": ESCALATION, "extension": [
            {"url": "level", "valueUnsignedInt": alert.level},
            {"url": "at", "valueDateTime": at.to_string()},
        ]}));
    }
    if let Some(at) = alert.rose {
        extensions.push(json!({"url": ROSE, "valueDateTime": at.to_string()}));
    }
    if let Some(at) = alert.acknowledged {
        extensions.push(json!({"url": ACKNOWLEDGED, "valueDateTime": at.to_string()}));
    }
    let some = !extensions.is_empty();
    keep("extension", some.then_some(Value::Array(extensions)));
}

/// A Task of ours as it rests.
pub struct Task {
    /// Its id.
    pub id: LogicalId,
    /// Its version.
    pub version: u64,
    /// What it is about.
    pub topic: Topic,
    /// Where it stands.
    pub alert: Alert,
    /// What was found.
    pub issue: Option<LogicalId>,
    /// The offer by which it came here.
    pub came_by: Option<Uuid>,
    /// The last offer that was made of it.
    pub offered: Option<Uuid>,
    json: Value,
}

impl Task {
    /// Reads one; `None` for a Task that is no alert of ours.
    pub fn read(stored: &Stored) -> Option<Task> {
        let json = plain(stored)?;
        let coding = |concept: &Value, system: &str| {
            let codings = concept["coding"].as_array()?;
            let found = codings.iter().find(|one| one["system"] == system)?;
            found["code"].as_str().map(str::to_owned)
        };
        let topic = coding(&json["code"], ASSESSMENT)?;
        let topic = Topic::ALL.into_iter().find(|one| one.code() == topic)?;
        let state = State::parse(&coding(&json["businessStatus"], STATES)?)?;
        let time = |value: &Value| parse_instant(value.as_str()?).ok();
        let extension = |url: &str| {
            let all = json["extension"].as_array()?;
            all.iter().find(|one| one["url"] == url)
        };
        let escalation = extension(ESCALATION);
        let of_escalation = |url: &str| {
            let all = escalation?["extension"].as_array()?;
            all.iter().find(|one| one["url"] == url)
        };
        let level = of_escalation("level").and_then(|one| one["valueUnsignedInt"].as_u64());
        let owner = json.get("owner").and_then(|owner| {
            Some(Owner {
                key: owner["identifier"]["value"].as_str()?.to_owned(),
                name: owner["display"].as_str()?.to_owned(),
            })
        });
        let zone =
            extension(ZONE).and_then(|one| Zone::parse(one["valueCoding"]["code"].as_str()?));
        let offer = &json["basedOn"][0]["identifier"];
        let came_by = offer["value"]
            .as_str()
            .filter(|_| offer["system"] == OFFERS);
        let offered = extension(OFFERED).and_then(|one| {
            one["extension"][0]["valueUuid"]
                .as_str()?
                .strip_prefix("urn:uuid:")
        });
        let uuid = |text: &str| Uuid::parse_str(text).ok();
        let issue = json["focus"]["reference"].as_str();
        let issue = issue.and_then(|text| text.strip_prefix("DetectedIssue/"));
        Some(Task {
            id: stored.id,
            version: stored.version,
            topic,
            alert: Alert {
                state,
                zone: zone.unwrap_or(Zone::Yellow),
                owner,
                deadline: time(&json["restriction"]["period"]["end"]),
                level: u32::try_from(level.unwrap_or(0)).unwrap_or(u32::MAX),
                escalated: of_escalation("at").and_then(|one| time(&one["valueDateTime"])),
                rose: extension(ROSE).and_then(|one| time(&one["valueDateTime"])),
                acknowledged: extension(ACKNOWLEDGED).and_then(|one| time(&one["valueDateTime"])),
            },
            issue: issue.and_then(|id| LogicalId::parse(id).ok()),
            came_by: came_by.and_then(uuid),
            offered: offered.and_then(uuid),
            json,
        })
    }

    /// Whether it is about readings that did not come.
    pub fn is_about_missing(&self) -> bool {
        self.topic == Topic::Missing
    }

    /// Under which key it is waited for. What has been offered, to this organisation or by it, stands apart from the patient's open
    /// alert of its topic: nothing more joins it, since the other side would not hear of that. When another is joined to it, it is that
    /// alert, until it is offered anew.
    pub fn what(&self) -> What {
        let came_by = self.came_by.filter(|_| !self.has_gathered());
        let offer = self.offered.or(came_by);
        offer.map_or(What::Alert(self.topic), What::Offered)
    }

    /// Whether another was joined to it.
    pub fn has_gathered(&self) -> bool {
        let all = self.json["extension"].as_array().into_iter().flatten();
        all.into_iter().any(|one| one["url"] == REPLACES)
    }

    /// Notes that it stands for another too. What was offered of it before was less than it is now, and is not on offer any more.
    pub fn gather(&mut self, other: LogicalId) {
        let other = json!({"reference": format!("Task/{other}")});
        let other = json!({"url": REPLACES, "valueReference": other});
        let held = self.json["extension"].as_array().cloned();
        let held = held.into_iter().flatten();
        let held = held.filter(|one| one["url"] != OFFERED);
        self.json["extension"] = held.chain([other]).collect();
        self.offered = None;
    }

    /// Notes which other stands for it.
    pub fn joined_to(&mut self, other: LogicalId) {
        self.json["partOf"] = json!([{"reference": format!("Task/{other}")}]);
    }

    /// Notes that it is offered to another organisation.
    pub fn offer(&mut self, offer: Uuid, to: &Partner) {
        let made = json!({"url": OFFERED, "extension": [
            {"url": "offer", "valueUuid": format!("urn:uuid:{offer}")},
            {"url": "to", "valueReference": {
                "type": "Organization",
                "identifier": {"system": systems::ORGNR, "value": to.organisation.to_string()},
                "display": to.name,
            }},
        ]});
        let held = self.json["extension"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let held = held.into_iter().filter(|one| one["url"] != OFFERED);
        self.json["extension"] = held.chain([made]).collect();
        self.offered = Some(offer);
    }

    /// How long it waits, by its topic, for each gravity.
    pub fn wait(&self, deadlines: Deadlines) -> impl Fn(Zone) -> i64 + use<> {
        let topic = self.topic;
        move |zone| deadlines.wait(topic, zone)
    }

    /// Where it stands now.
    pub fn set(&mut self, alert: Alert, now: Instant) {
        set(&mut self.json, self.topic, &alert, now);
        self.alert = alert;
    }

    /// Says for whom it is, now that a deadline has passed: a role as the organisation calls it.
    pub fn escalate_to(&mut self, role: &str) {
        self.json["performerType"] = json!([{"text": role}]);
    }

    /// For whom it is since a deadline passed.
    pub fn escalated_to(&self) -> Option<&str> {
        self.json["performerType"][0]["text"].as_str()
    }

    /// Makes it about another DetectedIssue: the one it was about is not there any more.
    pub fn about(&mut self, issue: LogicalId) {
        self.json["focus"] = json!({"reference": format!("DetectedIssue/{issue}")});
        self.issue = Some(issue);
    }

    /// Whether there is room for a note that does nothing else.
    pub fn has_room(&self) -> bool {
        let notes = self.json["note"].as_array();
        notes.is_none_or(|notes| notes.len() < MOST_REMARKS)
    }

    /// What somebody says of it. `false`: there is no room for more.
    pub fn note(&mut self, by: &Owner, text: &str, now: Instant) -> bool {
        let Some(members) = self.json.as_object_mut() else {
            return false;
        };
        let notes = members.entry("note").or_insert(json!([]));
        let Some(notes) = notes.as_array_mut() else {
            return false;
        };
        if notes.len() >= MOST_NOTES {
            return false;
        }
        notes.push(json!({"authorString": by.name, "time": now.to_string(), "text": text}));
        true
    }

    /// Refers to a person's assessment of it that others may look up.
    pub fn attach(&mut self, assessment: LogicalId) {
        let output = json!({
            "type": {"text": "Vurdering"},
            "valueReference": {"reference": format!("Observation/{assessment}")},
        });
        let held = self.json["output"].as_array().cloned().unwrap_or_default();
        self.json["output"] = held.into_iter().chain([output]).collect();
    }

    /// Its name among alerts.
    pub fn name(&self) -> String {
        let name = self.json["identifier"][0]["value"].as_str();
        name.unwrap_or_default().to_owned()
    }

    /// The resource, without what the store adds.
    pub fn json(&self) -> &Value {
        &self.json
    }
}

/// The whole address of what an alert refers to. What another organisation holds has one already.
pub fn address(base: &str, reference: &str) -> String {
    if reference.contains(':') {
        return reference.to_owned();
    }
    format!("{base}/{reference}")
}

/// Refers to what rests here as one's own does, though it came by its whole address: an alert that comes back names the readings that
/// it was raised by.
pub fn brought_home(base: &str, reference: &mut Value) {
    let whole = reference["reference"].as_str();
    let own = whole.and_then(|text| text.strip_prefix(base)?.strip_prefix('/'));
    if let Some(own) = own.map(str::to_owned) {
        reference["reference"] = own.into();
    }
}

/// A resource as it was written: without what the store adds.
pub fn plain(stored: &Stored) -> Option<Value> {
    let mut json: Value = serde_json::from_slice(&stored.body).ok()?;
    let members = json.as_object_mut()?;
    members.remove("id");
    members.remove("meta");
    Some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rests_elsewhere_keeps_its_address_and_what_comes_home_loses_it() {
        let (here, there) = ("https://a.example/fhir", "https://a.example/fhirer");
        let own = "Observation/1/_history/2";
        let (whole, other) = (format!("{here}/{own}"), format!("{there}/{own}"));
        assert_eq!(address(here, own), whole);
        assert_eq!(address(here, &other), other);
        for (came, rests) in [(&whole, own), (&other, &other), (&own.to_owned(), own)] {
            let mut reference = json!({"reference": came});
            brought_home(here, &mut reference);
            assert_eq!(reference, json!({"reference": rests}));
        }
        let mut named = json!({"identifier": {"value": whole}});
        brought_home(here, &mut named);
        assert_eq!(named, json!({"identifier": {"value": whole}}));
    }

    #[test]
    fn what_is_gathered_is_all_there_once_or_there_is_no_room_for_it() {
        let named = |from: usize, until: usize| -> Vec<Value> {
            let one = |n| json!({"reference": format!("Observation/{n}/_history/1")});
            (from..until).map(one).collect()
        };
        let rests = |severity: &str, implicated: Vec<Value>| json!({"severity": severity, "implicated": implicated});
        let finding = |other: &Value, zone: Option<Zone>| Finding {
            topic: Topic::Readings,
            zone,
            code: "5.1",
            evidence: other["implicated"].as_array().unwrap().clone(),
        };
        let mut issue = rests("moderate", named(0, 3));
        let mut other = rests("high", named(2, 5));
        assert!(answered(&mut issue, "a"));
        assert!(
            ["a", "b"]
                .into_iter()
                .all(|came| answered(&mut other, came))
        );
        let red = finding(&other, Some(Zone::Red));
        assert!(gather(&mut issue, &other, &red));
        assert_eq!(issue["implicated"], json!(named(0, 5)));
        assert_eq!(issue["severity"], "high");
        assert!(has_come(&issue, "a") && has_come(&issue, "b"));
        assert_eq!(issue["evidence"].as_array().unwrap().len(), 2);
        // Twice is once, and what is graver stays so.
        let (before, yellow) = (issue.clone(), finding(&other, Some(Zone::Yellow)));
        assert!(gather(&mut issue, &other, &yellow));
        assert_eq!(issue, before);

        let mut full = rests("high", named(0, MOST_EVIDENCE - 2));
        assert!(!gather(
            &mut full,
            &rests("low", named(500, 503)),
            &finding(&rests("low", named(500, 503)), None)
        ));
        let mut full = rests("high", named(0, MOST_EVIDENCE - 2));
        assert!(gather(
            &mut full,
            &rests("low", named(500, 502)),
            &finding(&rests("low", named(500, 502)), None)
        ));
        let mut full = rests("low", Vec::new());
        for n in 0..MOST_EVIDENCE {
            assert!(answered(&mut full, &n.to_string()));
        }
        let nothing = finding(&rests("low", Vec::new()), None);
        assert!(!gather(&mut full, &other, &nothing));
    }
}
