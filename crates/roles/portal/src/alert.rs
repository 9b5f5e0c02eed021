//! One patient's alerts at the organisation's own service in words, and which steps a page offers for each. Whether a step may be
//! taken is the service's to say; a page offers what the state allows at all.

use fhir::plan::{ZONE, Zone};
use fhir::time::{Instant, parse_instant};
use serde_json::Value;

use crate::State;
use crate::list::zone;
use crate::look_up::own::Step;
use crate::text::Text;

/// One alert.
pub struct AlertPage {
    /// The Task.
    pub task: String,
    /// Its version.
    pub version: u64,
    /// What it is about.
    pub title: String,
    /// State.
    pub state: String,
    /// Zone: code and word.
    pub zone: Option<(&'static str, &'static str)>,
    /// When it was raised.
    pub raised: String,
    /// Who has it.
    pub owner: Option<String>,
    /// By when the next step is to be taken, and whether that has passed.
    pub deadline: Option<(String, bool)>,
    /// Deadlines that have passed.
    pub level: u64,
    /// For whom it is since then: a role as the organisation calls it.
    pub escalated_to: Option<String>,
    /// What people said, the oldest first.
    pub notes: Vec<Note>,
    /// Steps that a form offers, the first the nearest: word and label.
    pub steps: Vec<(&'static str, &'static str)>,
    /// Whether it may be handed over.
    pub hands_over: bool,
    /// Others that it may be joined with: each as it was seen, and in words.
    pub joins: Vec<(String, String)>,
}

/// What somebody said.
pub struct Note {
    /// Name and organisation.
    pub by: String,
    /// When.
    pub at: String,
    /// Words.
    pub text: String,
}

/// Steps that a state allows at all, for somebody.
fn steps(state: &str) -> &'static [Step] {
    match state {
        "raised" => &[Step::Own, Step::Note],
        "owned" => &[Step::Acknowledge, Step::Resolve, Step::Note, Step::Own],
        "acknowledged" => &[Step::Resolve, Step::Note, Step::Own],
        "handing-over" => &[Step::Note, Step::Own],
        "offered" => &[Step::Accept, Step::Decline, Step::Note],
        _ => &[Step::Note],
    }
}

fn label(step: Step, state: &str, t: &Text) -> &'static str {
    match (step, state) {
        (Step::Own, "raised") => t.of("alert.own"),
        (Step::Own, _) => t.of("alert.take_over"),
        (Step::Acknowledge, _) => t.of("alert.acknowledge"),
        (Step::Note, _) => t.of("alert.note_only"),
        (Step::Resolve, _) => t.of("alert.resolve"),
        (Step::Join, _) => t.of("alert.join"),
        (Step::HandOver, _) => t.of("alert.hand_over"),
        (Step::Accept, _) => t.of("alert.accept"),
        (Step::Decline, _) => t.of("alert.decline"),
    }
}

fn extension<'a>(task: &'a Value, url: &str) -> Option<&'a Value> {
    let all = task["extension"].as_array()?;
    all.iter().find(|one| one["url"] == url)
}

fn zone_of(task: &Value) -> Option<Zone> {
    Zone::parse(extension(task, ZONE)?["valueCoding"]["code"].as_str()?)
}

fn state_of(task: &Value) -> &str {
    task["businessStatus"]["coding"][0]["code"]
        .as_str()
        .unwrap_or_default()
}

/// Who has an alert that is open; `None`: nobody, or it is closed.
pub fn owner(task: &Value) -> Option<&str> {
    task["owner"]["display"]
        .as_str()
        .filter(|_| !is_closed(task))
}

/// Whether nothing is left to be done with it here.
pub fn is_closed(task: &Value) -> bool {
    matches!(
        state_of(task),
        "resolved" | "declined" | "handed-over" | "joined"
    )
}

/// Whether somebody has it, and nobody else is asked to take it.
fn is_had(task: &Value) -> bool {
    matches!(state_of(task), "owned" | "acknowledged")
}

/// Whether two alerts are one person's, about the same.
fn may_be_joined(one: &Value, other: &Value) -> bool {
    let owner = |task: &Value| task["owner"]["identifier"]["value"].clone();
    one["id"] != other["id"]
        && is_had(one)
        && is_had(other)
        && owner(one).is_string()
        && owner(one) == owner(other)
        && is_about_missing(one) == is_about_missing(other)
}

fn is_about_missing(task: &Value) -> bool {
    let codings = task["code"]["coding"].as_array();
    codings.is_some_and(|all| all.iter().any(|one| one["code"] == "alert-missing"))
}

/// A Task in words, among `all` of the patient's; `None` for one that does not read.
pub fn page(task: &Value, all: &[Value], state: &State, t: &Text) -> Option<AlertPage> {
    let calendar = &state.calendar;
    let now: Instant = (state.house.clock)();
    let time = |value: &Value| parse_instant(value.as_str()?).ok();
    let shown = |at: Instant| calendar.date_time(at.0 / 1000);
    let code = state_of(task);
    let word = t.find(&format!("alert.state_{}", code.replace('-', "_")))?;
    let title = match is_about_missing(task) {
        true => t.of("alert.about_missing"),
        false => t.of("alert.about_readings"),
    };
    let escalation = extension(
        task,
        "https://delt.example/fhir/StructureDefinition/alert-escalation",
    );
    let level = escalation.and_then(|one| one["extension"][0]["valueUnsignedInt"].as_u64());
    let zoned = zone_of(task);
    let joins = all.iter().filter(|other| may_be_joined(task, other));
    let joins = joins.filter_map(|other| {
        let (id, version) = (other["id"].as_str()?, other["meta"]["versionId"].as_str()?);
        let raised = time(&other["authoredOn"]).map(shown).unwrap_or_default();
        let words = match zone_of(other) {
            Some(of) => format!("{} ({}), {raised}", title, zone(of, t).1),
            None => format!("{title}, {raised}"),
        };
        Some((format!("Task/{id}/_history/{version}"), words))
    });
    let notes = task["note"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(AlertPage {
        task: task["id"].as_str()?.to_owned(),
        version: task["meta"]["versionId"].as_str()?.parse().ok()?,
        title: title.to_owned(),
        state: word.to_owned(),
        zone: zoned.map(|one| zone(one, t)),
        raised: time(&task["authoredOn"]).map(shown).unwrap_or_default(),
        owner: task["owner"]["display"].as_str().map(str::to_owned),
        deadline: time(&task["restriction"]["period"]["end"]).map(|end| (shown(end), end <= now)),
        level: level.unwrap_or(0),
        escalated_to: task["performerType"][0]["text"].as_str().map(str::to_owned),
        notes: notes
            .map(|note| Note {
                by: text(&note["authorString"]),
                at: time(&note["time"]).map(shown).unwrap_or_default(),
                text: text(&note["text"]),
            })
            .collect(),
        steps: steps(code)
            .iter()
            .map(|step| (step.word(), label(*step, code, t)))
            .collect(),
        hands_over: is_had(task),
        joins: joins.collect(),
    })
}
