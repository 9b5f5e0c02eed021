//! Writing a plan as a CarePlan; the form is described in the parent module.

use super::{
    BASELINE, BASELINE_DELTA, CATEGORY, Criterion, MISSING, Measure, NEWS2_SCALE, PAUSE,
    PlanLimits, REPEATED, VERSION, ZONE, ZONES, Zone,
};
use crate::measurement::{self, Decimal};
use crate::systems;
use serde_json::{Map, Value, json};

/// The plan as a FHIR R4 CarePlan that [`PlanLimits::read`] reads back as it was. Without a patient the CarePlan
/// lacks its subject, which the check will say.
#[must_use]
pub fn plan_to_json(plan: &PlanLimits) -> Vec<u8> {
    let subject = plan.patient.as_ref().map(|patient| {
        json!({"identifier": {"system": patient.system(), "value": patient.value().expose()}})
    });
    let mut out = Map::new();
    out.insert("resourceType".into(), json!("CarePlan"));
    let goals = kinds(plan);
    let mut contained: Vec<Value> = goals
        .iter()
        .map(|kind| goal(plan, kind, subject.as_ref()))
        .collect();
    contained.extend(plan.standing.iter().map(|standing| {
        let mut code = concept(&standing.kind, None);
        if let Some(text) = &standing.text {
            code["text"] = json!(text);
        }
        json!({
            "resourceType": "Observation", "id": format!("standing-{}", standing.kind), "status": "final", "code": code,
            "valueQuantity": quantity(standing.value, Measure::whole(&standing.kind, &standing.unit)),
        })
    }));
    insert_list(&mut out, "contained", contained);
    insert_list(&mut out, "extension", extensions(plan));
    insert_list(
        &mut out,
        "identifier",
        plan.identifier.iter().map(identifier).collect(),
    );
    insert_list(
        &mut out,
        "replaces",
        plan.replaces
            .iter()
            .map(|i| json!({"identifier": identifier(i)}))
            .collect(),
    );
    out.insert("status".into(), json!(plan.status));
    out.insert("intent".into(), json!("plan"));
    out.insert(
        "category".into(),
        json!([{"coding": [{"system": CATEGORY, "code": "2"}]}]),
    );
    if !plan.title.is_empty() {
        out.insert("title".into(), json!(plan.title));
    }
    insert(
        &mut out,
        "description",
        plan.description.as_ref().map(|text| json!(text)),
    );
    insert(&mut out, "subject", subject);
    let period = period(plan.start.as_ref(), plan.end.as_ref());
    insert(
        &mut out,
        "period",
        (!period.is_empty()).then_some(Value::Object(period)),
    );
    insert(&mut out, "author", plan.author.as_ref().map(|author| {
        let mut reference = json!({"type": "Organization", "identifier": {"system": author.system, "value": author.value}});
        if let Some(name) = &author.name {
            reference["display"] = json!(name);
        }
        reference
    }));
    let references = |prefix: &str, ids: Vec<&str>| -> Vec<Value> {
        ids.into_iter()
            .map(|id| json!({"reference": format!("#{prefix}-{id}")}))
            .collect()
    };
    let standing = plan.standing.iter().map(|s| s.kind.as_str()).collect();
    insert_list(&mut out, "supportingInfo", references("standing", standing));
    insert_list(&mut out, "goal", references("goal", goals));
    insert_list(&mut out, "activity", activities(plan));
    Value::Object(out).to_string().into_bytes()
}

/// The kinds that have limits, each once, in the plan's order.
fn kinds(plan: &PlanLimits) -> Vec<&str> {
    let mut kinds: Vec<&str> = Vec::new();
    for criterion in &plan.criteria {
        if !kinds.contains(&criterion.kind.as_str()) {
            kinds.push(&criterion.kind);
        }
    }
    kinds
}

fn insert(out: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        out.insert(name.to_owned(), value);
    }
}

fn insert_list(out: &mut Map<String, Value>, name: &str, list: Vec<Value>) {
    insert(out, name, (!list.is_empty()).then_some(Value::Array(list)));
}

fn identifier((system, value): &(String, String)) -> Value {
    json!({"system": system, "value": value})
}

fn goal(plan: &PlanLimits, kind: &str, subject: Option<&Value>) -> Value {
    let name = measurement::by_id(kind).map_or(kind, |k| k.nb.as_str());
    let targets: Vec<_> = plan
        .criteria
        .iter()
        .filter(|c| c.kind == kind)
        .map(target)
        .collect();
    let mut goal = json!({
        "resourceType": "Goal", "id": format!("goal-{kind}"), "lifecycleStatus": "active",
        "description": {"text": format!("{name}: grenser")},
    });
    if let Some(subject) = subject {
        goal["subject"] = subject.clone();
    }
    goal["target"] = json!(targets);
    goal
}

fn target(criterion: &Criterion) -> Value {
    let mut extensions = vec![zone(criterion.zone)];
    if let Some(rule) = criterion.repeated {
        let within = json!({"value": rule.within_minutes, "unit": "min", "system": systems::UCUM, "code": "min"});
        extensions.push(json!({"url": REPEATED, "extension": [
            {"url": "count", "valuePositiveInt": rule.count}, {"url": "within", "valueDuration": within},
        ]}));
    }
    let quantity = |value: Decimal| quantity(value, criterion.measure());
    if let Some(baseline) = criterion.baseline {
        extensions.push(json!({"url": BASELINE, "valueQuantity": quantity(baseline.value)}));
        if let Some(delta) = baseline.delta {
            extensions.push(json!({"url": BASELINE_DELTA, "valueQuantity": quantity(delta)}));
        }
    }
    let mut range = Map::new();
    insert(&mut range, "low", criterion.low.map(quantity));
    insert(&mut range, "high", criterion.high.map(quantity));
    json!({"extension": extensions, "measure": concept(&criterion.kind, criterion.part.as_deref()), "detailRange": range})
}

fn zone(zone: Zone) -> Value {
    json!({"url": ZONE, "valueCoding": {"system": ZONES, "code": zone.code()}})
}

/// The first code of each system of a kind, or of a part of it.
fn concept(kind: &str, part: Option<&str>) -> Value {
    let kind = measurement::by_id(kind);
    let all: Vec<_> = match part {
        None => kind.into_iter().flat_map(|k| k.codings()).collect(),
        Some(part) => {
            let part = kind.and_then(|kind| kind.part(part));
            part.into_iter().flat_map(|p| p.codings()).collect()
        }
    };
    let mut codings: Vec<(&str, &str)> = Vec::new();
    for (system, code) in all {
        if codings.iter().all(|(known, _)| *known != system) {
            codings.push((system, code));
        }
    }
    json!({"coding": codings.iter().map(|(s, c)| json!({"system": s, "code": c})).collect::<Vec<_>>()})
}

/// A Quantity of a measure: value, the unit as it is shown, its UCUM code.
#[must_use]
pub fn quantity(value: Decimal, of: Measure<'_>) -> Value {
    // Limits have few digits; binary floating point prints those back as they were.
    let text = value.to_string();
    let number = text.parse::<i64>().map_or_else(
        |_| json!(text.parse::<f64>().unwrap_or_default()),
        |n| json!(n),
    );
    json!({"value": number, "unit": of.unit_shown(), "system": systems::UCUM, "code": of.unit})
}

fn extensions(plan: &PlanLimits) -> Vec<Value> {
    let version = plan
        .version
        .iter()
        .map(|v| json!({"url": VERSION, "valueString": v}));
    let missing = plan.missing.iter().map(|missing| {
        json!({"url": MISSING, "extension": [
            {"url": "in-a-row", "valuePositiveInt": missing.in_a_row}, {"url": "by", "valueTime": missing.by},
            {"url": "text", "valueString": missing.text},
        ]})
    });
    let news2 = plan
        .news2
        .iter()
        .map(|scale| json!({"url": NEWS2_SCALE, "valuePositiveInt": scale.number()}));
    let pauses = plan.pauses.iter().map(|pause| {
        let period = period(pause.from.as_ref(), pause.until.as_ref());
        json!({"url": PAUSE, "extension": [
            {"url": "period", "valuePeriod": period}, {"url": "text", "valueString": pause.text},
        ]})
    });
    version.chain(missing).chain(news2).chain(pauses).collect()
}

fn period(start: Option<&String>, end: Option<&String>) -> Map<String, Value> {
    let mut period = Map::new();
    insert(&mut period, "start", start.map(|t| json!(t)));
    insert(&mut period, "end", end.map(|t| json!(t)));
    period
}

fn activities(plan: &PlanLimits) -> Vec<Value> {
    let schedule = plan.schedule.iter().map(|scheduled| {
        let mut repeat = Map::new();
        let bounds = period(scheduled.from.as_ref(), scheduled.through.as_ref());
        insert(
            &mut repeat,
            "boundsPeriod",
            (!bounds.is_empty()).then_some(Value::Object(bounds)),
        );
        insert_list(&mut repeat, "dayOfWeek", scheduled.days.iter().map(|d| json!(d)).collect());
        insert_list(&mut repeat, "timeOfDay", scheduled.times.iter().map(|t| json!(t)).collect());
        if scheduled.days.is_empty() {
            for (name, value) in [("frequency", json!(1)), ("period", json!(1)), ("periodUnit", json!("d"))] {
                repeat.insert(name.to_owned(), value);
            }
        }
        json!({"detail": {
            "code": concept(&scheduled.kind, None), "status": "in-progress", "scheduledTiming": {"repeat": repeat},
        }})
    });
    let actions = plan.actions.iter().map(|action| {
        json!({"detail": {"extension": [zone(action.zone)], "status": "not-started", "description": action.text}})
    });
    schedule.chain(actions).collect()
}
