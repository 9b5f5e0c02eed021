//! A service's list of its own patients under follow-up, worst first (decision 0053): one row a patient, with what a list needs
//! and no more. As FHIR it is Parameters, one parameter `patient` a row.

use super::{CANONICAL, ContractError};
use fhir::ids::{PersonIdentifier, PersonNumbers};
use fhir::plan::{ZONES, Zone};
use fhir::time::{Instant, parse_instant};
use serde_json::{Value, json};

/// Where a service gives it; relative to its FHIR base. Parameters in: [`COUNT`], [`OFFSET`], [`KNOWN`].
pub const WORK_LIST: &str = "/Task/$work-list";
/// Scope of a token that opens it, bound to no patient, with the service as audience.
pub const WORK_LIST_SCOPE: &str = "user/Task.s";
/// Parameter: rows at most, 1 to [`MOST_ROWS`].
pub const COUNT: &str = "_count";
/// Parameter: rows to leave out at the beginning.
pub const OFFSET: &str = "_offset";
/// Parameter: tags of the list and of the rows that the caller has, joined by commas; neither the same list nor the same row is given again.
/// Tags are made for this caller and this day: another's say nothing.
pub const KNOWN: &str = "known";
/// Most rows of one answer.
pub const MOST_ROWS: usize = 200;
/// Longest tag.
pub const TAG: usize = 32;

/// How a patient is compared with the days before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trend {
    /// Less grave.
    Better,
    /// Neither.
    Same,
    /// Nothing to compare with.
    Unknown,
    /// Graver.
    Worse,
}

impl Trend {
    /// All of them, the best first.
    pub const ALL: [Trend; 4] = [Trend::Better, Trend::Same, Trend::Unknown, Trend::Worse];

    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Trend::Better => "better",
            Trend::Same => "same",
            Trend::Unknown => "unknown",
            Trend::Worse => "worse",
        }
    }

    /// From the code.
    pub fn parse(code: &str) -> Option<Trend> {
        Trend::ALL.into_iter().find(|one| one.code() == code)
    }
}

/// The newest early warning score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// Points so far: the total where nothing is missing.
    pub points: u8,
    /// Ids of the parts that were not measured (components of measurement kind `news2`).
    pub missing: Vec<String>,
    /// The moment it is about.
    pub at: Instant,
}

/// An open alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Logical id of the Task.
    pub task: String,
    /// Its version, for the next step's `If-Match`.
    pub version: u64,
    /// `alert-readings` or `alert-missing`.
    pub topic: String,
    /// Code of its state, as `raised`.
    pub state: String,
    /// How grave; one about missing readings has no colour.
    pub zone: Option<Zone>,
    /// Who has it.
    pub owner: Option<String>,
    /// By when the next step is to be taken.
    pub deadline: Option<Instant>,
    /// Deadlines that have passed.
    pub level: u32,
    /// For whom it is since then: a role as the organisation calls it.
    pub escalated_to: Option<String>,
}

/// One patient.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// What the row says, in short, to this caller.
    pub tag: String,
    /// By number.
    pub patient: PersonIdentifier,
    /// Name, as far as the service knows it.
    pub name: Option<String>,
    /// The gravest zone among the newest reading of each kind; `None`: nothing is judged.
    pub zone: Option<Zone>,
    /// The newest score.
    pub news2: Option<Score>,
    /// Compared with the three days before.
    pub trend: Trend,
    /// Ids of measurement kinds that the plan expected and that have not come.
    pub missing: Vec<String>,
    /// When the newest reading of the last week was measured; `None`: there is none.
    pub newest: Option<Instant>,
    /// Whether the patient is admitted now.
    pub admitted: bool,
    /// Why the plan expects nothing now.
    pub pause: Option<String>,
    /// Whether something of her could not be read, or would have taken too long: what is said is not all.
    pub unread: bool,
    /// Open alerts.
    pub alerts: Vec<Alert>,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Row")
    }
}

/// Who has not been heard for longer than expected: what it would have brought is not on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// What people call it.
    pub name: String,
    /// Whether it is a home system that the hub has not heard, and not one that writes here.
    pub home_system: bool,
    /// When it was last heard; `None`: never.
    pub since: Option<Instant>,
}

/// The list, or a page of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkList {
    /// What it says, in short: another list has another.
    pub tag: String,
    /// As of when.
    pub at: Instant,
    /// What the medical device says of itself.
    pub device: String,
    /// Patients in all.
    pub total: usize,
    /// Patients besides of whom it could not be decided whether the caller may see them. They are on no page.
    pub undecided: usize,
    /// Who is silent: a list without news may be one that nothing reaches.
    pub quiet: Vec<Quiet>,
    /// Rows left out before the first.
    pub offset: usize,
    /// Whether the caller has it already: then nothing of it is said.
    pub same: bool,
    /// Tags of its rows, worst first.
    pub order: Vec<String>,
    /// Those of its rows that the caller does not have, in that order.
    pub rows: Vec<Row>,
    /// Tags of what the caller has and this is without: the row says something else now, or is not here any more.
    pub gone: Vec<String>,
}

fn fault(fault: &'static str) -> ContractError {
    ContractError {
        document: "work list",
        fault,
    }
}

fn part(name: &str, value: &str, held: impl Into<Value>) -> Value {
    json!({"name": name, value: held.into()})
}

fn zone_part(zone: Zone) -> Value {
    part(
        "zone",
        "valueCoding",
        json!({"system": ZONES, "code": zone.code()}),
    )
}

impl Row {
    /// As a parameter `patient`.
    pub fn to_json(&self) -> Value {
        let (system, value) = (self.patient.system(), self.patient.value().expose());
        let identifier = json!({"system": system, "value": value});
        let mut parts = vec![
            part("tag", "valueString", self.tag.as_str()),
            part("identifier", "valueIdentifier", identifier),
        ];
        parts.extend(
            self.name
                .as_deref()
                .map(|name| part("name", "valueString", name)),
        );
        parts.extend(self.zone.map(zone_part));
        if let Some(score) = &self.news2 {
            let mut of_score = vec![
                part("points", "valueUnsignedInt", score.points),
                part("at", "valueInstant", score.at.to_string()),
            ];
            let missing = score.missing.iter();
            of_score.extend(missing.map(|one| part("missing", "valueCode", one.as_str())));
            parts.push(json!({"name": "news2", "part": of_score}));
        }
        parts.push(part("trend", "valueCode", self.trend.code()));
        let missing = self.missing.iter();
        parts.extend(missing.map(|one| part("missing", "valueCode", one.as_str())));
        parts.extend(
            self.newest
                .map(|at| part("newest", "valueInstant", at.to_string())),
        );
        parts.push(part("admitted", "valueBoolean", self.admitted));
        parts.extend(
            self.pause
                .as_deref()
                .map(|text| part("pause", "valueString", text)),
        );
        if self.unread {
            parts.push(part("unread", "valueBoolean", true));
        }
        parts.extend(self.alerts.iter().map(Alert::to_json));
        json!({"name": "patient", "part": parts})
    }

    fn from_json(json: &Value) -> Result<Row, ContractError> {
        let parts = Parts::of(json)?;
        let identifier = parts.first("identifier", "valueIdentifier")?;
        let text = |name: &str| identifier[name].as_str().unwrap_or_default();
        let patient =
            PersonIdentifier::parse(text("system"), text("value"), PersonNumbers::Lenient)
                .map_err(|_| fault("patient.identifier"))?;
        let news2 = match parts.inner("news2") {
            None => None,
            Some(inner) => Some(Score {
                points: inner.number("points")?,
                missing: inner.texts("missing", "valueCode"),
                at: inner.instant("at")?.ok_or(fault("news2.at"))?,
            }),
        };
        let trend = parts.text("trend", "valueCode");
        let admitted = parts.first("admitted", "valueBoolean")?;
        let alerts = parts.all("alert").map(Alert::from_json);
        Ok(Row {
            tag: parts.text("tag", "valueString").ok_or(fault("tag"))?,
            patient,
            name: parts.text("name", "valueString"),
            zone: parts.zone()?,
            news2,
            trend: trend
                .and_then(|code| Trend::parse(&code))
                .ok_or(fault("trend"))?,
            missing: parts.texts("missing", "valueCode"),
            newest: parts.instant("newest")?,
            admitted: admitted.as_bool().ok_or(fault("admitted"))?,
            pause: parts.text("pause", "valueString"),
            unread: parts
                .first("unread", "valueBoolean")
                .is_ok_and(|one| *one == true),
            alerts: alerts.collect::<Result<_, _>>()?,
        })
    }
}

impl Alert {
    fn to_json(&self) -> Value {
        let mut parts = vec![
            part("task", "valueId", self.task.as_str()),
            part("version", "valueUnsignedInt", self.version),
            part("topic", "valueCode", self.topic.as_str()),
            part("state", "valueCode", self.state.as_str()),
            part("level", "valueUnsignedInt", self.level),
        ];
        parts.extend(self.zone.map(zone_part));
        parts.extend(
            self.owner
                .as_deref()
                .map(|owner| part("owner", "valueString", owner)),
        );
        parts.extend(
            self.escalated_to
                .as_deref()
                .map(|role| part("escalated_to", "valueString", role)),
        );
        parts.extend(
            self.deadline
                .map(|end| part("deadline", "valueInstant", end.to_string())),
        );
        json!({"name": "alert", "part": parts})
    }

    fn from_json(json: &Value) -> Result<Alert, ContractError> {
        let parts = Parts::of(json)?;
        let needed = |name: &'static str, value: &str| parts.text(name, value).ok_or(fault(name));
        Ok(Alert {
            task: needed("task", "valueId")?,
            version: parts.number("version")?,
            topic: needed("topic", "valueCode")?,
            state: needed("state", "valueCode")?,
            zone: parts.zone()?,
            owner: parts.text("owner", "valueString"),
            deadline: parts.instant("deadline")?,
            level: parts.number("level")?,
            escalated_to: parts.text("escalated_to", "valueString"),
        })
    }
}

impl Quiet {
    fn to_json(&self) -> Value {
        let mut parts = vec![
            part("name", "valueString", self.name.as_str()),
            part("home_system", "valueBoolean", self.home_system),
        ];
        let since = self.since;
        parts.extend(since.map(|at| part("since", "valueInstant", at.to_string())));
        json!({"name": "quiet", "part": parts})
    }

    fn from_json(json: &Value) -> Result<Quiet, ContractError> {
        let parts = Parts::of(json)?;
        let home_system = parts.first("home_system", "valueBoolean")?.as_bool();
        Ok(Quiet {
            name: parts
                .text("name", "valueString")
                .ok_or(fault("quiet.name"))?,
            home_system: home_system.ok_or(fault("quiet.home_system"))?,
            since: parts.instant("since")?,
        })
    }
}

impl WorkList {
    /// As Parameters.
    pub fn to_json(&self) -> Value {
        let mut all = vec![
            part("tag", "valueString", self.tag.as_str()),
            part("at", "valueInstant", self.at.to_string()),
            part("device", "valueString", self.device.as_str()),
            part("total", "valueUnsignedInt", self.total),
            part("undecided", "valueUnsignedInt", self.undecided),
            part("offset", "valueUnsignedInt", self.offset),
            part("same", "valueBoolean", self.same),
        ];
        let tags = |name, tags: &[String]| {
            let each = tags.iter();
            each.map(|tag| part(name, "valueString", tag.as_str()))
                .collect::<Vec<_>>()
        };
        all.extend(tags("order", &self.order));
        all.extend(tags("gone", &self.gone));
        all.extend(self.rows.iter().map(Row::to_json));
        all.extend(self.quiet.iter().map(Quiet::to_json));
        json!({
            "resourceType": "Parameters",
            "meta": {"profile": [format!("{CANONICAL}/StructureDefinition/work-list")]},
            "parameter": all,
        })
    }

    /// Reads Parameters.
    ///
    /// # Errors
    /// [`ContractError`] where something is missing or strange.
    pub fn from_json(json: &Value) -> Result<WorkList, ContractError> {
        let parameters = json["parameter"].as_array();
        let parts = Parts(parameters.ok_or(fault("parameter"))?);
        let needed = |name: &'static str| {
            let text = parts.text(name, "valueString");
            text.ok_or(fault(name))
        };
        let rows = parts.all("patient").map(Row::from_json);
        let quiet = parts.all("quiet").map(Quiet::from_json);
        Ok(WorkList {
            tag: needed("tag")?,
            at: parts.instant("at")?.ok_or(fault("at"))?,
            device: needed("device")?,
            total: parts.number("total")?,
            undecided: parts.number("undecided")?,
            quiet: quiet.collect::<Result<_, _>>()?,
            offset: parts.number("offset")?,
            same: parts.first("same", "valueBoolean")? == true,
            order: parts.texts("order", "valueString"),
            rows: rows.collect::<Result<_, _>>()?,
            gone: parts.texts("gone", "valueString"),
        })
    }
}

/// Parameters of one level.
struct Parts<'a>(&'a [Value]);

impl<'a> Parts<'a> {
    fn of(json: &'a Value) -> Result<Parts<'a>, ContractError> {
        let parts = json["part"].as_array();
        Ok(Parts(parts.ok_or(fault("part"))?))
    }

    fn all(&self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |one| one["name"] == name)
    }

    fn first(&self, name: &'static str, value: &str) -> Result<&'a Value, ContractError> {
        let found = self.0.iter().find(|one| one["name"] == name);
        found.and_then(|one| one.get(value)).ok_or(fault(name))
    }

    fn inner(&self, name: &str) -> Option<Parts<'a>> {
        let found = self.0.iter().find(|one| one["name"] == name)?;
        Parts::of(found).ok()
    }

    fn text(&self, name: &str, value: &str) -> Option<String> {
        let found = self.0.iter().find(|one| one["name"] == name)?;
        found[value].as_str().map(str::to_owned)
    }

    fn texts(&self, name: &str, value: &str) -> Vec<String> {
        let all = self.0.iter().filter(|one| one["name"] == name);
        all.filter_map(|one| one[value].as_str().map(str::to_owned))
            .collect()
    }

    fn number<N: TryFrom<u64>>(&self, name: &'static str) -> Result<N, ContractError> {
        let value = self.first(name, "valueUnsignedInt")?.as_u64();
        let number = value.and_then(|number| N::try_from(number).ok());
        number.ok_or(fault(name))
    }

    fn instant(&self, name: &'static str) -> Result<Option<Instant>, ContractError> {
        let text = self.text(name, "valueInstant");
        let read = |text: String| parse_instant(&text).map_err(|_| fault(name));
        text.map(read).transpose()
    }

    fn zone(&self) -> Result<Option<Zone>, ContractError> {
        let Some(coding) = self.0.iter().find(|one| one["name"] == "zone") else {
            return Ok(None);
        };
        let code = coding["valueCoding"]["code"].as_str();
        let zone = code.and_then(Zone::parse);
        zone.map(Some).ok_or(fault("zone"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    fn list() -> WorkList {
        let at = parse_instant("2026-11-21T09:00:00Z").unwrap();
        let row = Row {
            tag: "a".into(),
            patient: PersonIdentifier::guess("14835210260", PersonNumbers::Strict).unwrap(),
            name: Some("Ragnhild Testmo".into()),
            zone: Some(Zone::Red),
            news2: Some(Score {
                points: 4,
                missing: vec!["respiration".into(), "consciousness".into()],
                at,
            }),
            trend: Trend::Worse,
            missing: vec!["body-weight".into()],
            newest: Some(at),
            admitted: true,
            pause: Some("Innlagt".into()),
            unread: true,
            alerts: vec![Alert {
                task: "t".into(),
                version: 3,
                topic: "alert-readings".into(),
                state: "owned".into(),
                zone: Some(Zone::Red),
                owner: Some("Mari Syntetisk, Fjellvik kommune".into()),
                deadline: Some(at),
                level: 2,
                escalated_to: Some("Vakthavende lege".into()),
            }],
        };
        let bare = Row {
            tag: "b".into(),
            name: None,
            zone: None,
            news2: None,
            trend: Trend::Unknown,
            missing: Vec::new(),
            newest: None,
            admitted: false,
            pause: None,
            unread: false,
            alerts: Vec::new(),
            ..row.clone()
        };
        WorkList {
            tag: "x".into(),
            at,
            device: "Ikke CE-merket".into(),
            total: 2,
            undecided: 1,
            quiet: vec![
                Quiet {
                    name: "Knutepunktet".into(),
                    home_system: false,
                    since: Some(at),
                },
                Quiet {
                    name: "Hjemmesystemet".into(),
                    home_system: true,
                    since: None,
                },
            ],
            offset: 0,
            same: false,
            order: vec!["a".into(), "c".into(), "b".into()],
            rows: vec![row, bare],
            gone: vec!["d".into()],
        }
    }

    #[test]
    fn what_is_written_reads_again() {
        let list = list();
        assert_eq!(WorkList::from_json(&list.to_json()).unwrap(), list);
    }

    #[test]
    fn what_is_strange_is_no_list() {
        for (at, value) in [
            ("/parameter/1/valueInstant", json!("now")),
            ("/parameter/3/valueUnsignedInt", json!(-1)),
            (
                "/parameter/11/part/1/valueIdentifier/system",
                json!("urn:x"),
            ),
            ("/parameter/11/part/3/valueCoding/code", json!("blue")),
            ("/parameter/11/part/0/valueString", json!(1)),
            ("/parameter/13/part/0/valueString", json!(1)),
            ("/parameter/13/part/1/valueBoolean", json!("no")),
            ("/parameter/13/part/2/valueInstant", json!("at night")),
            ("/parameter", json!("none")),
        ] {
            let mut json = list().to_json();
            *json.pointer_mut(at).unwrap() = value;
            assert!(WorkList::from_json(&json).is_err(), "{at}");
        }
    }

    #[test]
    fn debug_shows_nobody() {
        let shown = format!("{:?}", list());
        assert!(
            !shown.contains("Ragnhild") && !shown.contains("148352"),
            "{shown}"
        );
    }
}
