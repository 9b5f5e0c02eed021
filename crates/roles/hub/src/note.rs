//! A patient's readings of a day as one text note for a record system: a document in VKP's form (vkp-Composition-v090; category, event and
//! section as words), as notes about alerts have. A line a reading: time, kind, value with unit, and whether its source marked it. In Norwegian,
//! for it stands in a Norwegian record. Nothing is interpreted; what the source wrote is words here, and no tag.

use crate::State;
use crate::amount;
use crate::held::Whose;
use fhir::ids::OrganisationNumber;
use fhir::index::Coding;
use fhir::json::Node;
use fhir::measurement::{self, Kind, Unit};
use fhir::time::{Instant, Zone};
use fhir::{narrative, systems};
use serde_json::{Value, json};

/// Names of notes.
const NOTES: &str = "https://delt.example/fhir/readings-note";
/// Most characters of what a source wrote in one place.
const MOST: usize = 120;

/// The document of this name about `readings`, in their order, each with the moment it was measured; `first` is the day's first note, to
/// which this one is an addition.
pub fn document<'a>(
    state: &State,
    whose: &Whose,
    name: &str,
    first: Option<&str>,
    readings: impl Iterator<Item = (Instant, Node<'a>)>,
) -> Value {
    let zone = &state.config.zone;
    let lines: Vec<String> = readings.map(|(at, node)| line(zone, at, node)).collect();
    let now = (state.house.clock)();
    let organisation = |orgnr: &OrganisationNumber| {
        let mut one = json!({
            "type": "Organization",
            "identifier": {"system": systems::ORGNR, "value": orgnr.as_str()},
        });
        if let Some(name) = state.config.register.name(orgnr) {
            one["display"] = json!(name);
        }
        one
    };
    let shown = match whose.day.split('-').collect::<Vec<_>>()[..] {
        [year, month, day] => format!("{day}.{month}.{year}"),
        _ => whose.day.clone(),
    };
    let title = match first {
        None => format!("Målinger {shown}"),
        Some(_) => format!("Målinger {shown}, tillegg"),
    };
    let identifier = json!({"system": NOTES, "value": name});
    let mut composition = json!({
        "resourceType": "Composition",
        "identifier": identifier,
        "status": "final",
        "type": {"text": "Målinger"},
        "category": [{"text": "Digital hjemmeoppfølging"}],
        "subject": {"identifier": {"system": whose.system, "value": whose.value}},
        "date": now,
        "author": [organisation(&state.config.operator)],
        "event": [{"code": [{"text": "Rapportert"}], "period": {"start": whose.day, "end": whose.day}}],
        "title": title,
        "section": [{
            "title": "Målinger",
            "code": {"text": "Notat"},
            "text": {"status": "generated", "div": narrative::paragraphs(&lines.join("\n"))},
        }],
    });
    let receivers = &state.destinations;
    if let Some(to) = receivers.iter().find(|one| one.name == whose.receiver) {
        composition["custodian"] = organisation(&to.orgnr);
    }
    if let Some(first) = first {
        let target = json!({"system": NOTES, "value": first});
        composition["relatesTo"] = json!([{"code": "appends", "targetIdentifier": target}]);
    }
    json!({
        "resourceType": "Bundle",
        "type": "document",
        "identifier": identifier,
        "timestamp": now,
        "entry": [{"fullUrl": format!("urn:uuid:{name}"), "resource": composition}],
    })
}

/// One reading in words.
fn line(zone: &Zone, at: Instant, node: Node<'_>) -> String {
    let kind = kind(node);
    let name = kind.map(|kind| kind.nb.clone());
    let name = name.or_else(|| node.get("code").and_then(concept));
    let mut text = format!(
        "{} {}",
        time(zone, at, node),
        name.as_deref().unwrap_or("Måling")
    );
    let mut values: Vec<String> = Vec::new();
    values.extend(value(node, kind.map_or(&[], |kind| kind.units.as_slice())));
    for part in node.get("component").into_iter().flat_map(Node::items) {
        let codings = codings(part);
        let pairs = codings
            .iter()
            .filter_map(|one| Some((one.system.as_deref()?, one.code.as_str())));
        let known = kind.and_then(|kind| kind.component(pairs));
        let name = known.map(|one| one.nb.to_lowercase());
        let name = name.or_else(|| part.get("code").and_then(concept));
        let units = known.map_or(&[][..], |one| one.units.as_slice());
        let value = value(part, units).unwrap_or_else(|| "uten verdi".into());
        values.push(match name {
            Some(name) => format!("{name} {value}"),
            None => value,
        });
    }
    text.push(' ');
    text.push_str(&if values.is_empty() {
        "uten verdi".to_owned()
    } else {
        values.join(", ")
    });
    let mut said = Vec::new();
    match node.text("status").as_deref() {
        Some("corrected" | "amended") => said.push("rettet".to_owned()),
        Some("entered-in-error") => said.push("feilført, tatt tilbake".to_owned()),
        Some("preliminary" | "registered") => said.push("foreløpig".to_owned()),
        Some("cancelled") => said.push("avbrutt".to_owned()),
        _ => {}
    }
    let parts = node.get("component").into_iter().flat_map(Node::items);
    let marks = std::iter::once(node)
        .chain(parts)
        .flat_map(|one| one.get("interpretation").into_iter().flat_map(Node::items));
    let mut marked: Vec<String> = marks
        .filter(|mark| amount::is_other_than_normal(*mark))
        .map(|mark| concept(mark).unwrap_or_else(|| "uten ord".into()))
        .collect();
    marked.dedup();
    if !marked.is_empty() {
        said.push(format!("merket av kilden: {}", marked.join(", ")));
    }
    if !said.is_empty() {
        text.push_str(&format!(" ({})", said.join("; ")));
    }
    text
}

/// When: `08:05`; of one that says only the day, nothing is made up.
fn time(zone: &Zone, at: Instant, node: Node<'_>) -> String {
    let written = ["effectiveDateTime", "effectiveInstant"]
        .into_iter()
        .find_map(|name| node.text(name))
        .or_else(|| node.path(&["effectivePeriod", "start"])?.str());
    if written.is_some_and(|text| text.contains('T')) {
        let (hour, minute) = zone.clock_of(at);
        format!("{hour:02}:{minute:02}")
    } else {
        "Uten klokkeslett:".to_owned()
    }
}

fn kind(node: Node<'_>) -> Option<&'static Kind> {
    measurement::of(&codings(node))
}

fn codings(node: Node<'_>) -> Vec<Coding> {
    let coding = node.path(&["code", "coding"]);
    let all = coding.into_iter().flat_map(Node::items);
    all.filter_map(Coding::read).collect()
}

/// A value in words, with its unit as it is shown in Norway.
fn value(node: Node<'_>, units: &[Unit]) -> Option<String> {
    if let Some(quantity) = node.get("valueQuantity") {
        let number = quantity.get("value")?.number()?.replace('.', ",");
        let bound = quantity.text("comparator");
        let bound = bound.map_or_else(String::new, |bound| format!("{} ", words(&bound)));
        let code = quantity.text("code");
        let known = units
            .iter()
            .find(|unit| code.as_deref() == Some(unit.code.as_str()));
        let unit = known.map(|unit| unit.show.clone());
        let unit = unit.or_else(|| Some(words(&quantity.text("unit").or(code)?)));
        let unit = unit.filter(|unit| !unit.is_empty());
        let unit = unit.map_or_else(String::new, |unit| format!(" {unit}"));
        return Some(format!("{bound}{number}{unit}"));
    }
    if let Some(coded) = node.get("valueCodeableConcept") {
        return concept(coded);
    }
    if let Some(number) = node.get("valueInteger").and_then(Node::number) {
        return Some(number.to_owned());
    }
    if let Some(yes) = node.get("valueBoolean").and_then(Node::bool) {
        return Some(if yes { "ja" } else { "nei" }.to_owned());
    }
    node.text("valueString").map(|text| words(&text))
}

/// A concept in words: its text, else a coding's, else a code.
fn concept(node: Node<'_>) -> Option<String> {
    let codings = || node.get("coding").into_iter().flat_map(Node::items);
    let text = node.text("text");
    let text = text.or_else(|| codings().find_map(|one| one.text("display")));
    let text = text.or_else(|| codings().find_map(|one| one.text("code")));
    text.map(|text| words(&text))
        .filter(|text| !text.is_empty())
}

/// What a source wrote, on one line and no longer than a line may be.
fn words(text: &str) -> String {
    let plain = |one: char| if one.is_control() { ' ' } else { one };
    let mut short: String = text.chars().take(MOST).map(plain).collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short.trim().to_owned()
}
