//! Results as resources: an Observation for each judged reading and each score, with its rule, its inputs and the plan's version,
//! so that history stays right when limits change.
//!
//! | What | Where |
//! |---|---|
//! | which result it is | `identifier`, system [`NAMES`]: `zone/{reading}`, `news2/{organisation}/{instant}`, `submitted/{reading}`, `unexpected/{reading}` |
//! | that it is ours | a coding of [`systems::ASSESSMENT`] in `code` |
//! | zone | `code` `zone` of that system, `valueCodeableConcept` in the zone system of the plan |
//! | zone of a part (systolic pressure) | `component` with the part's codes, its zone and the limits; one that is limited and was not measured has `dataAbsentReason`, and so has the whole where nothing else is worse than green |
//! | that the limits are for room air, and she breathed something else | `component` `room-air` with `dataAbsentReason`: not applicable, or unknown where what was said contradicts itself |
//! | a worse zone that one more such reading would mean | `component` `waiting` |
//! | that the plan expects nothing at that time | `component` `paused`: why. A zone does not pause: what is red is red |
//! | the limits used | `referenceRange`, its `type` the zone |
//! | early warning score | `code` 1104051000000101, total in `valueQuantity`; a partial one has `dataAbsentReason` and says in `component` what is missing |
//! | by the other scale | `note` |
//! | that the plan did not ask for a reading | `code` `unexpected`, and why in `valueCodeableConcept` |
//! | inputs | `derivedFrom`, each with its version |
//! | rule and its version | `method` |
//! | plan | extensions [`PLAN`] (with version) and `plan-version` |
//! | who says so | `performer` (the organisation), `device.display` (the statement of the medical device) |

use super::judge::{Scored, Standing, Zoned};
use super::news2::{Part, Scale, Score};
use super::reading::{Reading, Value};
use super::submitted::Inconsistency;
use super::unexpected::Unexpected;
use super::{Device, Owner};
use bytes::Bytes;
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::measurement::{self, Breathed, Decimal};
use fhir::plan::{self, Criterion, Measure, Pause};
use fhir::systems::{self, ASSESSMENT as CODES};
use fhir::time::Instant;
use serde_json::{Map, Value as Json, json};

/// Names of results.
pub const NAMES: &str = "https://delt.example/fhir/assessment";
/// Rules that results come from.
const RULES: &str = "https://delt.example/fhir/CodeSystem/assessment-rule";
/// Extension: the CarePlan that was judged by, with its version.
pub const PLAN: &str = "https://delt.example/fhir/StructureDefinition/assessed-by-plan";
const ABSENT: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";

/// A result that is there already.
#[derive(Clone)]
pub struct Held {
    /// The Observation.
    pub id: LogicalId,
    /// Its version.
    pub version: u64,
    /// Its name.
    pub name: String,
    /// The moment it is about.
    pub at: Instant,
    /// As it rests.
    pub body: Bytes,
}

/// A result to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// Its name, unique for the patient.
    pub name: String,
    /// The moment it is about.
    pub at: Instant,
    /// The Observation, its status `final`.
    pub resource: Json,
}

/// Who says so, about whom.
pub struct Frame<'a> {
    /// The patient; named as readings name theirs, so that a result means the same person wherever it is read.
    pub patient: &'a PersonIdentifier,
    /// The organisation.
    pub owner: &'a Owner,
    /// The medical device's own statement.
    pub device: &'a Device,
}

impl Frame<'_> {
    /// What every result has.
    fn observation(&self, name: &str, at: Instant, code: Json, rule: &str) -> Map<String, Json> {
        let base = json!({
            "resourceType": "Observation",
            "identifier": [{"system": NAMES, "value": name}],
            "status": "final",
            "category": [{"coding": [{"system": systems::OBSERVATION_CATEGORY, "code": "survey"}]}],
            "code": code,
            "subject": {"identifier": {"system": self.patient.system(), "value": self.patient.value().expose()}},
            "effectiveDateTime": at.to_string(),
            "performer": [{
                "type": "Organization",
                "identifier": {"system": systems::ORGNR, "value": self.owner.orgnr.to_string()},
                "display": self.owner.name,
            }],
            "method": {"coding": [{"system": RULES, "version": "1", "code": rule}]},
            "device": {"display": self.device.statement()},
        });
        match base {
            Json::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// What the plan says of one reading, and why the plan expected none then.
    pub fn zone(&self, zoned: &Zoned<'_>, pause: Option<&Pause>) -> Made {
        let name = format!("zone/{}", zoned.reading.id);
        let at = zoned.reading.at;
        let code = json!({"coding": [{"system": CODES, "code": "zone"}], "text": "Sone etter egenbehandlingsplanen"});
        let mut made = self.observation(&name, at, code, "plan-zone");
        made.insert("extension".into(), by_plan(zoned.plan));
        match zoned.zone() {
            Some(zone) => made.insert("valueCodeableConcept".into(), concept(zone)),
            None => made.insert("dataAbsentReason".into(), not_known()),
        };
        made.insert("derivedFrom".into(), derived(&zoned.inputs));
        let parts = zoned.parts.iter().filter_map(|one| Some((one, one.part?)));
        let mut components: Vec<_> = parts
            .map(|(one, part)| {
                let code = code_of(zoned.reading.kind, Some(part));
                match one.said {
                    None => json!({"code": code, "dataAbsentReason": not_measured()}),
                    Some((of, judgement)) => json!({
                        "code": code,
                        "valueCodeableConcept": concept(judgement.zone),
                        "referenceRange": ranges(zoned.plan, of),
                    }),
                }
            })
            .collect();
        if let Some(breathed) = zoned.not_on_air {
            let (code, text) = match breathed {
                Breathed::Unclear => (
                    "unknown",
                    "Målingene sier imot seg selv om hva pasienten pustet i",
                ),
                Breathed::Oxygen | Breathed::Air => ("not-applicable", "Målt med oksygentilførsel"),
            };
            components.push(json!({
                "code": {"coding": [{"system": CODES, "code": "room-air"}], "text": "Romluft, som planens grenser gjelder"},
                "dataAbsentReason": {"coding": [{"system": ABSENT, "code": code}], "text": text},
            }));
        }
        if let Some(waiting) = zoned.waiting() {
            components.push(json!({
                "code": {"coding": [{"system": CODES, "code": "waiting"}], "text": "Sone hvis en slik måling kommer til i tide"},
                "valueCodeableConcept": concept(waiting),
            }));
        }
        if let Some(pause) = pause {
            components.push(json!({
                "code": {"coding": [{"system": CODES, "code": "paused"}], "text": "Planen har pause"},
                "valueString": pause.text,
            }));
        }
        if !components.is_empty() {
            made.insert("component".into(), Json::Array(components));
        }
        let mut whole = zoned.parts.iter().filter(|one| one.part.is_none());
        if let Some((of, _)) = whole.find_map(|one| one.said) {
            made.insert("referenceRange".into(), ranges(zoned.plan, of));
        }
        Made {
            name,
            at,
            resource: Json::Object(made),
        }
    }

    /// The early warning score of one moment.
    pub fn score(&self, scored: &Scored<'_>) -> Made {
        // Another organisation scores by its own readings: the two are not one result.
        let name = format!("news2/{}/{}", self.owner.orgnr, scored.at);
        let (score, at) = (&scored.score, scored.at);
        let mut code = code_of("news2", None);
        if let Some(codings) = code["coding"].as_array_mut() {
            // Tells ours from a total that a source sends.
            codings.push(json!({"system": CODES, "code": "news2"}));
        }
        let mut made = self.observation(&name, at, code, "news2");
        made.insert("extension".into(), by_plan(scored.plan));
        made.insert("derivedFrom".into(), derived(&scored.inputs));
        match score.total() {
            Some(total) => {
                made.insert("valueQuantity".into(), points(total));
            }
            None => {
                let text = format!("Ufullstendig: {} poeng så langt", score.so_far());
                made.insert(
                    "dataAbsentReason".into(),
                    json!({"coding": [{"system": ABSENT, "code": "unknown"}], "text": text}),
                );
            }
        }
        made.insert(
            "interpretation".into(),
            json!([{"coding": [{"system": CODES, "code": score.band().code()}]}]),
        );
        let components = Part::ALL.map(|part| component(score, part));
        made.insert("component".into(), Json::Array(components.into()));
        let notes = notes(scored);
        if !notes.is_empty() {
            made.insert("note".into(), Json::Array(notes));
        }
        Made {
            name,
            at,
            resource: Json::Object(made),
        }
    }

    /// That the plan did not ask for a reading.
    pub fn unexpected(&self, one: &Unexpected<'_>) -> Made {
        let (name, at) = (format!("unexpected/{}", one.reading.id), one.reading.at);
        let code = json!({"coding": [{"system": CODES, "code": "unexpected"}], "text": "Planen ba ikke om denne målingen"});
        let mut made = self.observation(&name, at, code, "plan-schedule");
        made.insert("extension".into(), by_plan(one.plan));
        let why =
            json!({"coding": [{"system": CODES, "code": one.why.code()}], "text": one.why.text()});
        made.insert("valueCodeableConcept".into(), why);
        made.insert("derivedFrom".into(), derived(&[one.reading]));
        Made {
            name,
            at,
            resource: Json::Object(made),
        }
    }

    /// What was found of a total that somebody else submitted.
    pub fn submitted(
        &self,
        (reading, version): (LogicalId, u64),
        at: Instant,
        faults: &[Inconsistency],
    ) -> Made {
        let name = format!("submitted/{reading}");
        let code = json!({"coding": [{"system": CODES, "code": "submitted-news2"}], "text": "Innsendt NEWS2 holdt mot sine deler"});
        let mut made = self.observation(&name, at, code, "news2-parts");
        made.insert("valueBoolean".into(), json!(faults.is_empty()));
        let input = format!("Observation/{reading}/_history/{version}");
        made.insert("derivedFrom".into(), json!([{"reference": input}]));
        let notes: Vec<_> = faults
            .iter()
            .map(|fault| json!({"text": in_words(fault)}))
            .collect();
        if !notes.is_empty() {
            made.insert("note".into(), Json::Array(notes));
        }
        Made {
            name,
            at,
            resource: Json::Object(made),
        }
    }
}

fn in_words(fault: &Inconsistency) -> String {
    match fault {
        Inconsistency::Total(total, sum) => {
            format!("Totalen er {total}, men delene gir til sammen {sum}.")
        }
        Inconsistency::Beyond(total, least, most) => format!(
            "Totalen er {total}, men delene som er oppgitt gir minst {least} og høyst {most}."
        ),
        Inconsistency::Points(part) => {
            format!("{}: poengene finnes ikke i skjemaet.", part_name(*part))
        }
        Inconsistency::Interval(part, stated, chart) => format!(
            "{}: {stated} poeng er oppgitt, men intervallet ved siden av gir {chart}.",
            part_name(*part)
        ),
    }
}

/// The Norwegian name of a part.
pub fn part_name(part: Part) -> &'static str {
    let id = part.component(Scale::One);
    let kind = measurement::by_id("news2");
    let component = kind.and_then(|kind| kind.part(id));
    match part {
        Part::Saturation => "Oksygenmetning",
        _ => component.map_or(id, |one| one.nb.as_str()),
    }
}

fn notes(scored: &Scored<'_>) -> Vec<Json> {
    let score = &scored.score;
    let mut notes = Vec::new();
    let standing = match scored.standing {
        Standing::No => None,
        Standing::Taken => Some("Luft eller oksygen er planens faste opplysning, ikke en måling."),
        Standing::Contradicted => Some(
            "Luft eller oksygen er ikke regnet med: siste målte oksygentilførsel det siste døgnet er en annen enn planens faste opplysning.",
        ),
        Standing::Unclear => Some(
            "Luft eller oksygen er ikke regnet med: målingen sier imot seg selv om hva pasienten pustet i.",
        ),
    };
    notes.extend(standing.map(|text| json!({"text": text})));
    // What she is treated towards, so that a reading is seen against it.
    let standing = scored.plan.limits.standing.iter();
    for target in standing.filter(|one| one.kind == "oxygen-saturation") {
        let (value, unit) = (target.value, &target.unit);
        let text = format!("Planens mål for oksygenmetning er {value} {unit}.");
        notes.push(json!({"text": text}));
    }
    // The other scale is shown beside it: the choice of scale is a clinician's, and it is seen what it means.
    let saturation = scored
        .inputs
        .iter()
        .find(|one| one.kind == "oxygen-saturation");
    if let (Some(reading), Some(total)) = (saturation, score.total())
        && let Value::Number(value, _) = &reading.value
        && let Some(other) = other_scale(score, *value)
    {
        let text = format!(
            "Oksygenmetning er regnet etter skala {}: {total}. Skala {} ville gitt {other}.",
            score.scale.number(),
            3 - score.scale.number(),
        );
        notes.push(json!({"text": text}));
    }
    notes
}

/// The total by the other scale.
fn other_scale(score: &Score, saturation: Decimal) -> Option<u8> {
    let other = match score.scale {
        Scale::One => Scale::Two,
        Scale::Two => Scale::One,
    };
    let measured = super::news2::Measured {
        saturation: Some(saturation),
        oxygen: score.points(Part::AirOrOxygen).map(|points| points > 0),
        ..super::news2::Measured::default()
    };
    let there = Score::of(&measured, other).points(Part::Saturation)?;
    Some(score.total()? - score.points(Part::Saturation)? + there)
}

fn component(score: &Score, part: Part) -> Json {
    let code = code_of("news2", Some(part.component(score.scale)));
    match score.points(part) {
        Some(value) => json!({"code": code, "valueQuantity": points(value)}),
        None => json!({
            "code": code,
            "dataAbsentReason": not_measured(),
        }),
    }
}

fn not_known() -> Json {
    json!({"coding": [{"system": ABSENT, "code": "unknown"}], "text": "Ikke alt som planen har grenser for, er kjent"})
}

fn not_measured() -> Json {
    json!({"coding": [{"system": ABSENT, "code": "not-performed"}], "text": "Ikke målt"})
}

fn points(value: u8) -> Json {
    json!({"value": value, "system": systems::UCUM, "code": "{score}"})
}

/// The codes of a kind, or of one of its components, with its Norwegian name.
fn code_of(kind: &str, component: Option<&str>) -> Json {
    let Some(kind) = measurement::by_id(kind) else {
        return json!({});
    };
    let part = component.and_then(|id| kind.part(id));
    let (codings, text): (Vec<_>, _) = match part {
        Some(part) => (part.codings().collect(), &part.nb),
        None => (kind.codings().collect(), &kind.nb),
    };
    let codings: Vec<_> = codings
        .iter()
        .map(|(system, code)| json!({"system": system, "code": code}))
        .collect();
    json!({"coding": codings, "text": text})
}

fn concept(zone: plan::Zone) -> Json {
    json!({"coding": [{"system": plan::ZONES, "code": zone.code()}], "text": zone_name(zone)})
}

/// The zone's Norwegian name.
pub fn zone_name(zone: plan::Zone) -> &'static str {
    match zone {
        plan::Zone::Green => "Grønn",
        plan::Zone::Yellow => "Gul",
        plan::Zone::Red => "Rød",
    }
}

fn by_plan(plan: &super::judge::Plan) -> Json {
    let reference = format!("CarePlan/{}/_history/{}", plan.id, plan.version);
    let mut extensions = vec![json!({"url": PLAN, "valueReference": {"reference": reference}})];
    if let Some(version) = &plan.limits.version {
        extensions.push(json!({"url": plan::VERSION, "valueString": version}));
    }
    Json::Array(extensions)
}

fn derived(inputs: &[&Reading]) -> Json {
    let reference = |one: &&Reading| json!({"reference": one.reference()});
    Json::Array(inputs.iter().map(reference).collect())
}

/// The limits of a measure.
fn ranges(plan: &super::judge::Plan, of: Measure<'_>) -> Json {
    plan.limits.bands(of).map(range).collect()
}

fn range(band: &Criterion) -> Json {
    let mut range = Map::new();
    let sides = [("low", band.low), ("high", band.high)];
    for (name, value) in sides.into_iter().filter_map(|(n, v)| Some((n, v?))) {
        range.insert(name.into(), plan::quantity(value, band.measure()));
    }
    range.insert("type".into(), concept(band.zone));
    if let Some(rule) = band.repeated {
        let text = format!(
            "{} ganger innen {} minutter",
            rule.count, rule.within_minutes
        );
        range.insert("text".into(), json!(text));
    }
    Json::Object(range)
}
