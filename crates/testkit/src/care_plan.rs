//! Builds the self-management plan (egenbehandlingsplan) as a CarePlan with computable limits
//! (plans-medication-other.md section 2.2, our proposal: HL7 Norway's planer-hacking v2 main plan; the limits as
//! targets of contained Goals, each with its zone).

use crate::calendar::{Calendar, fhir_time};
use crate::kinds::Kind;
use crate::observation::{self, Responsible};
use crate::people::{Patient, ScenarioError};
use crate::rows;
use fhir::plan::{
    BASELINE, BASELINE_DELTA, CATEGORY, MISSING, NEWS2_SCALE, REPEATED, VERSION, ZONE, ZONES,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Canonical of the plan's profile.
pub const PROFILE: &str =
    "http://hl7.no/fhir/ig/planer-hacking/StructureDefinition/planer-hacking-v2-careplan";
/// One version of the plan, as data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Short id.
    pub id: String,
    /// Version as people name it.
    pub version: String,
    /// Id of the version that this one replaces.
    #[serde(default)]
    pub replaces: Option<String>,
    /// Id of the organisation whose original it is.
    pub source: String,
    /// `DAY HH:MM` when it enters.
    pub enters: String,
    /// `DAY HH:MM` when it is replaced.
    #[serde(default)]
    pub ends: Option<String>,
    /// What kind of plan it is, in words; none: a self-management plan.
    #[serde(default)]
    pub category: Option<String>,
    /// Title.
    pub title: String,
    /// The patient's own aim.
    pub aim: String,
    /// A note.
    pub note: String,
    /// By which scale NEWS2 counts oxygen saturation, 1 or 2.
    pub news2_scale: u8,
    /// A standing value, for example that she breathes room air.
    pub standing: Standing,
    /// When readings count as missing.
    #[serde(default)]
    pub missing: Option<Missing>,
    /// When to measure.
    #[serde(default)]
    pub schedule: Vec<Schedule>,
    /// Limits, inclusive.
    #[serde(default)]
    pub limit: Vec<Limit>,
    /// What to do in each zone.
    #[serde(default)]
    pub action: Vec<ZoneAction>,
}

/// A value that holds until changed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    kind: String,
    value: String,
    text: String,
}

/// When readings count as missing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    consecutive: u32,
    by: String,
    text: String,
}

/// When to measure what.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    kinds: Vec<String>,
    at: Vec<String>,
    /// Days of the plan's week: 0 is its Monday.
    #[serde(default)]
    weekdays: Vec<i32>,
    #[serde(default)]
    days: Option<Days>,
    text: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Days {
    from: i32,
    /// The last of them; none: as long as the plan holds.
    through: Option<i32>,
}

/// One limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Kind word of [`Kind::parse`].
    pub kind: String,
    /// `green`, `yellow` or `red`.
    pub zone: String,
    /// Lowest value of the zone; open if missing.
    #[serde(default)]
    pub low: Option<String>,
    /// Highest value of the zone; open if missing.
    #[serde(default)]
    pub high: Option<String>,
    #[serde(default)]
    repeated: Option<Repeated>,
    #[serde(default)]
    baseline: Option<String>,
    /// How far above the baseline the zone begins.
    #[serde(default)]
    delta: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Repeated {
    count: u32,
    minutes: u32,
}

/// What to do in a zone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneAction {
    zone: String,
    text: String,
}

/// What a plan is written for.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The shift of days.
    pub calendar: &'a Calendar,
    /// Whose plan.
    pub patient: &'a Patient,
    /// Who keeps the original.
    pub responsible: Responsible<'a>,
    /// Names of those who made it together, with their FHIR type.
    pub contributors: &'a [(&'static str, String)],
}

/// The business identifier's key of a plan version.
pub fn key(scenario: &str, plan: &str) -> String {
    format!("{scenario}/plan/{plan}")
}

/// The plan as a CarePlan; `ended` once a later version has replaced it.
///
/// # Errors
/// A time, kind or number in the data that cannot be read.
pub fn care_plan(
    plan: &Plan,
    scenario: &str,
    setting: &Setting<'_>,
    ended: bool,
) -> Result<Value, ScenarioError> {
    let wrong = |what: &str| ScenarioError::Value(format!("plan {}: {what}", plan.id));
    let moment = |text: &str| {
        let (day, time) = rows::day_time(text).ok_or_else(|| wrong("not DAY HH:MM"))?;
        Ok::<_, ScenarioError>(fhir_time(&setting.calendar.at(day, time)))
    };
    let mut period = Map::from_iter([("start".to_owned(), json!(moment(&plan.enters)?))]);
    if let (true, Some(ends)) = (ended, &plan.ends) {
        period.insert("end".to_owned(), json!(moment(ends)?));
    }
    let (system, value) = observation::identifier(&key(scenario, &plan.id));
    let mut c = Map::new();
    let mut put = |name: &str, value: Value| c.insert(name.to_owned(), value);
    put("resourceType", json!("CarePlan"));
    put("meta", json!({ "profile": [PROFILE] }));
    let goals = goals(plan, setting)?;
    let goal_references: Vec<Value> = goals
        .iter()
        .map(|g| json!({ "reference": format!("#{}", g["id"].as_str().unwrap_or_default()) }))
        .collect();
    let mut contained = goals;
    contained.push(standing(plan, setting, &moment(&plan.enters)?)?);
    put("contained", Value::Array(contained));
    let mut extensions = vec![json!({ "url": VERSION, "valueString": plan.version })];
    if let Some(missing) = &plan.missing {
        extensions.push(json!({ "url": MISSING, "extension": [
            { "url": "in-a-row", "valuePositiveInt": missing.consecutive },
            { "url": "by", "valueTime": format!("{}:00", missing.by) },
            { "url": "text", "valueString": missing.text },
        ] }));
    }
    extensions.push(json!({ "url": NEWS2_SCALE, "valuePositiveInt": plan.news2_scale }));
    put("extension", Value::Array(extensions));
    put("identifier", json!([{ "system": system, "value": value }]));
    if let Some(replaced) = &plan.replaces {
        let (system, value) = observation::identifier(&key(scenario, replaced));
        put(
            "replaces",
            json!([{ "type": "CarePlan", "identifier": { "system": system, "value": value } }]),
        );
    }
    put("status", json!(if ended { "completed" } else { "active" }));
    put("intent", json!("plan"));
    let category = match &plan.category {
        Some(words) => json!([{ "text": words }]),
        None => json!([{
            "coding": [{ "system": CATEGORY, "code": "2" }],
            "text": "Egenbehandlingsplan",
        }]),
    };
    put("category", category);
    put("title", json!(plan.title));
    put("description", json!(plan.aim));
    put("subject", observation::subject(setting.patient));
    put("period", Value::Object(period));
    put("author", observation::organisation(setting.responsible));
    let contributor = |(kind, name): &(&str, String)| json!({ "type": kind, "display": name });
    let contributors: Vec<Value> = setting.contributors.iter().map(contributor).collect();
    put("supportingInfo", json!([{ "reference": "#standing" }]));
    for (name, all) in [
        ("contributor", contributors),
        ("goal", goal_references),
        ("activity", activities(plan, setting)?),
    ] {
        if !all.is_empty() {
            put(name, Value::Array(all));
        }
    }
    put("note", json!([{ "text": plan.note }]));
    Ok(Value::Object(c))
}

/// One Goal a kind, one target a zone.
fn goals(plan: &Plan, setting: &Setting<'_>) -> Result<Vec<Value>, ScenarioError> {
    let mut kinds: Vec<&str> = Vec::new();
    for limit in &plan.limit {
        if !kinds.contains(&limit.kind.as_str()) {
            kinds.push(&limit.kind);
        }
    }
    let goal = |word: &&str| {
        let kind = kind(word)?;
        let targets: Result<Vec<Value>, _> = plan
            .limit
            .iter()
            .filter(|l| l.kind == **word)
            .map(|l| target(kind, l))
            .collect();
        Ok(json!({
            "resourceType": "Goal",
            "id": format!("goal-{word}"),
            "lifecycleStatus": "active",
            "description": { "text": format!("{}: soner med grenseverdier", kind.codes().text) },
            "subject": observation::subject(setting.patient),
            "target": targets?,
        }))
    };
    kinds.iter().map(goal).collect()
}

fn target(kind: Kind, limit: &Limit) -> Result<Value, ScenarioError> {
    if !matches!(limit.zone.as_str(), "green" | "yellow" | "red")
        || (limit.low.is_none() && limit.high.is_none())
    {
        return Err(ScenarioError::Value(format!(
            "a limit of {} says no zone or no value",
            limit.kind
        )));
    }
    let mut extensions = vec![zone(&limit.zone)];
    if let Some(repeated) = &limit.repeated {
        extensions.push(json!({ "url": REPEATED, "extension": [
            { "url": "count", "valuePositiveInt": repeated.count },
            { "url": "within", "valueDuration": {
                "value": repeated.minutes, "unit": "min", "system": fhir::systems::UCUM, "code": "min",
            } },
        ] }));
    }
    for (url, value) in [(BASELINE, &limit.baseline), (BASELINE_DELTA, &limit.delta)] {
        if let Some(value) = value {
            let value = observation::quantity(value, kind);
            extensions.push(json!({ "url": url, "valueQuantity": value }));
        }
    }
    let ends = [("low", &limit.low), ("high", &limit.high)];
    let range: Map<String, Value> = ends
        .into_iter()
        .filter_map(|(end, value)| {
            Some((
                end.to_owned(),
                observation::quantity(value.as_deref()?, kind),
            ))
        })
        .collect();
    Ok(json!({ "extension": extensions, "measure": observation::code(kind), "detailRange": range }))
}

fn zone(zone: &str) -> Value {
    json!({ "url": ZONE, "valueCoding": { "system": ZONES, "code": zone } })
}

fn standing(plan: &Plan, setting: &Setting<'_>, since: &str) -> Result<Value, ScenarioError> {
    let kind = kind(&plan.standing.kind)?;
    let mut code = observation::code(kind);
    code["text"] = json!(plan.standing.text);
    Ok(json!({
        "resourceType": "Observation",
        "id": "standing",
        "status": "final",
        "code": code,
        "subject": observation::subject(setting.patient),
        "effectiveDateTime": since,
        "valueQuantity": observation::quantity(&plan.standing.value, kind),
    }))
}

fn activities(plan: &Plan, setting: &Setting<'_>) -> Result<Vec<Value>, ScenarioError> {
    let mut activities = Vec::new();
    for schedule in &plan.schedule {
        let times: Vec<String> = schedule
            .at
            .iter()
            .map(|time| format!("{time}:00"))
            .collect();
        let mut repeat = Map::new();
        if let Some(days) = &schedule.days {
            let start = setting.calendar.date(days.from).to_string();
            let mut bounds = json!({ "start": start });
            if let Some(day) = days.through {
                bounds["end"] = setting.calendar.date(day).to_string().into();
            }
            repeat.insert("boundsPeriod".to_owned(), bounds);
        }
        if !schedule.weekdays.is_empty() {
            let named: Vec<&str> = schedule
                .weekdays
                .iter()
                .map(|day| fhir::day::code(setting.calendar.weekday(*day)))
                .collect();
            repeat.insert("dayOfWeek".to_owned(), json!(named));
        }
        repeat.insert("timeOfDay".to_owned(), json!(times));
        for word in &schedule.kinds {
            activities.push(json!({ "detail": {
                "code": observation::code(kind(word)?),
                "status": "in-progress",
                "scheduledTiming": { "repeat": repeat },
                "description": schedule.text,
            } }));
        }
    }
    for action in &plan.action {
        let status = if action.zone == "green" {
            "in-progress"
        } else {
            "not-started"
        };
        activities.push(json!({ "detail": {
            "extension": [zone(&action.zone)],
            "status": status,
            "description": action.text,
        } }));
    }
    Ok(activities)
}

fn kind(word: &str) -> Result<Kind, ScenarioError> {
    Kind::parse(word).ok_or_else(|| ScenarioError::Value(format!("no such kind: {word}")))
}
