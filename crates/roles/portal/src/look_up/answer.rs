//! Reads what the gateway answered: from the bytes of a searchset to the few things a page shows. Numbers keep their
//! digits. FHIR R4, with the Norwegian profiles as `fhir::measurement` knows them.

use fhir::json::{Glance, Json, Limits, Node};
use fhir::measurement::{self, Breathed, Identified, Kind, breathed};
use fhir::systems;
use wire::contract::gateway::ROUTE_EXTENSION;
use wire::signed::Worth;

use crate::calendar::{Calendar, Moment};

/// One page of a searchset, parsed.
pub struct Page {
    json: Json,
}

/// One match and the sources it came by.
pub struct Match<'a> {
    /// The resource.
    pub resource: Node<'a>,
    /// Organisation numbers of the services that gave it, as the gateway lists them.
    pub routes: Vec<String>,
    /// Whether the gateway says that another copy of it has other content.
    pub disagrees: bool,
}

/// Extension on a merged entry: true when copies of it disagree.
const DISAGREES_EXTENSION: &str = "https://delt.example/fhir/StructureDefinition/disagrees";

/// An organisation as a resource names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Organisation number or RESH id.
    pub number: String,
    /// Name in the resource, if any.
    pub name: Option<String>,
}

/// A quantity with its digits as sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    /// The digits.
    pub digits: String,
    /// The same as a number, for drawing and comparing.
    pub number: f64,
    /// UCUM code, or the unit in words.
    pub unit: String,
    /// `<`, `>` and the like.
    pub comparator: Option<String>,
}

/// What the patient breathed.
#[derive(Clone, Debug, PartialEq)]
pub enum Oxygen {
    /// Room air.
    Air,
    /// Litres a minute.
    Flow(Amount),
    /// Per cent of the air breathed in.
    Percent(Amount),
    /// Oxygen, and nobody says how much.
    Some,
    /// The reading contradicts itself, or cannot be read.
    Unclear,
}

/// One reading.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The kind, when its codes are known.
    pub kind: Option<&'static Kind>,
    /// What the resource calls it, for kinds we do not know.
    pub words: Option<String>,
    /// When it was taken.
    pub when: Option<Moment>,
    /// Its value; none for a panel or a coded value.
    pub value: Option<Amount>,
    /// Systolic and diastolic pressure, one of them at least.
    pub pressure: Option<[Option<Amount>; 2]>,
    /// A value in words (coded or string).
    pub said: Option<String>,
    /// What the patient breathed, when the reading says so.
    pub oxygen: Option<Oxygen>,
    /// `final`, `corrected`, …
    pub status: String,
    /// The organisation it belongs to.
    pub organisation: Option<Named>,
    /// By which services it came.
    pub routes: Vec<String>,
    /// Whether another copy of it has other content.
    pub disagrees: bool,
    /// What the source said it meant.
    pub interpretation: Option<String>,
    /// Of a person's assessment: what its author's signature is worth.
    pub signature: Option<Worth>,
}

const VITAL_SIGNS: &str =
    "http://hl7.no/fhir/no-domain/vitalsigns/StructureDefinition/NoDomainVitalSigns";

impl Page {
    /// Reads a body of the gateway.
    ///
    /// # Errors
    /// [`fhir::json::Fault`] for what is not strict JSON.
    pub fn read(body: bytes::Bytes) -> Result<Page, fhir::json::Fault> {
        Ok(Page {
            json: Json::parse(body, Limits::BUNDLE)?,
        })
    }

    /// The whole body.
    pub fn root(&self) -> Node<'_> {
        self.json.root()
    }

    /// Whether it is a searchset at all.
    pub fn is_searchset(&self) -> bool {
        self.root().text("resourceType").as_deref() == Some("Bundle")
            && self.root().text("type").as_deref() == Some("searchset")
    }

    fn entries(&self) -> impl Iterator<Item = Node<'_>> {
        self.root().get("entry").into_iter().flat_map(Node::items)
    }

    /// Matches of one resource type.
    pub fn matches(&self, resource_type: &str) -> Vec<Match<'_>> {
        self.entries()
            .filter(|entry| {
                entry
                    .path(&["search", "mode"])
                    .and_then(Node::str)
                    .as_deref()
                    != Some("outcome")
            })
            .filter_map(|entry| Some((entry, entry.get("resource")?)))
            .filter(|(_, resource)| resource.text("resourceType").as_deref() == Some(resource_type))
            .map(|(entry, resource)| Match {
                resource,
                routes: routes(entry, resource),
                disagrees: disagrees(entry),
            })
            .collect()
    }

    /// OperationOutcomes in the searchset: the receipt is one.
    pub fn outcomes(&self) -> Vec<Node<'_>> {
        self.entries()
            .filter_map(|entry| entry.get("resource"))
            .filter(|resource| resource.text("resourceType").as_deref() == Some("OperationOutcome"))
            .collect()
    }

    /// The address of the next page.
    pub fn next(&self) -> Option<String> {
        self.root()
            .get("link")?
            .items()
            .find(|link| link.text("relation").as_deref() == Some("next"))?
            .text("url")
            .map(|url| url.into_owned())
    }
}

/// Whether the gateway says that copies of this entry disagree.
fn disagrees(entry: Node<'_>) -> bool {
    entry
        .get("extension")
        .into_iter()
        .flat_map(Node::items)
        .filter(|extension| extension.text("url").as_deref() == Some(DISAGREES_EXTENSION))
        .any(|extension| extension.get("valueBoolean").and_then(Node::bool) == Some(true))
}

/// The organisation numbers in the gateway's route extension, which stands on the entry.
fn routes(entry: Node<'_>, resource: Node<'_>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for extension in [entry, resource]
        .into_iter()
        .filter_map(|node| node.get("extension"))
        .flat_map(Node::items)
    {
        if extension.text("url").as_deref() != Some(ROUTE_EXTENSION) {
            continue;
        }
        let inner = extension.get("extension").into_iter().flat_map(Node::items);
        for node in std::iter::once(extension).chain(inner) {
            let value = node
                .text("valueString")
                .or_else(|| node.text("valueCode"))
                .or_else(|| node.path(&["valueIdentifier", "value"])?.str())
                .or_else(|| node.path(&["valueReference", "identifier", "value"])?.str());
            for number in value.iter().flat_map(|text| text.split(',')).map(str::trim) {
                if number.len() == 9
                    && number.bytes().all(|b| b.is_ascii_digit())
                    && !found.iter().any(|own| own == number)
                {
                    found.push(number.to_owned());
                }
            }
        }
    }
    found
}

/// The codings of a CodeableConcept, as (system, code, display).
pub fn codings(concept: Node<'_>) -> Vec<(String, String, Option<String>)> {
    concept
        .get("coding")
        .into_iter()
        .flat_map(Node::items)
        .filter_map(|coding| {
            let display = coding.text("display").map(|text| text.into_owned());
            Some((
                coding.text("system").unwrap_or_default().into_owned(),
                coding.text("code")?.into_owned(),
                display,
            ))
        })
        .collect()
}

/// A CodeableConcept in words: its text, else the first display, else the first code.
pub fn words(concept: Node<'_>) -> Option<String> {
    if let Some(text) = concept.text("text") {
        return Some(text.into_owned());
    }
    let codings = codings(concept);
    codings
        .iter()
        .find_map(|(_, _, display)| display.clone())
        .or_else(|| codings.first().map(|(_, code, _)| code.clone()))
}

/// The kind that a CodeableConcept names.
pub fn kind_of(concept: Node<'_>) -> Option<&'static Kind> {
    let codings = codings(concept);
    match measurement::identify(
        codings
            .iter()
            .map(|(system, code, _)| (system.as_str(), code.as_str())),
    ) {
        Identified::Kind(kind) => Some(kind),
        Identified::Unknown | Identified::Contradiction => None,
    }
}

/// Reads a Quantity; none without a value that is a finite number.
pub fn amount(quantity: Node<'_>) -> Option<Amount> {
    let digits = quantity.get("value")?.number()?;
    let number: f64 = digits.parse().ok().filter(|n: &f64| n.is_finite())?;
    let unit = quantity
        .text("code")
        .or_else(|| quantity.text("unit"))
        .unwrap_or_default()
        .into_owned();
    let comparator = quantity.text("comparator").map(|text| text.into_owned());
    Some(Amount {
        digits: digits.to_owned(),
        number,
        unit,
        comparator,
    })
}

/// An organisation in a reference with a logical identifier of an organisation.
pub fn organisation(reference: Node<'_>) -> Option<Named> {
    let identifier = reference.get("identifier")?;
    let system = identifier.text("system")?;
    if system != systems::ORGNR && system != systems::RESH {
        return None;
    }
    Some(Named {
        number: identifier.text("value")?.into_owned(),
        name: reference.text("display").map(|text| text.into_owned()),
    })
}

fn component<'a>(observation: Node<'a>, loinc: &str, snomed: &[&str]) -> Option<Node<'a>> {
    observation.get("component")?.items().find(|part| {
        part.get("code")
            .map(codings)
            .unwrap_or_default()
            .iter()
            .any(|(system, code, _)| {
                (system == systems::LOINC && code == loinc)
                    || (system == systems::SNOMED && snomed.contains(&code.as_str()))
            })
    })
}

/// What the patient breathed, as the reading itself says; how much by the no-domain extension, else by a component (LOINC 3151-8 flow,
/// 3150-6 per cent).
fn oxygen(observation: Node<'_>) -> Option<Oxygen> {
    match breathed(Glance::of(observation.raw().as_bytes()))? {
        Breathed::Air => return Some(Oxygen::Air),
        Breathed::Unclear => return Some(Oxygen::Unclear),
        Breathed::Oxygen => {}
    }
    let inspired = format!("{VITAL_SIGNS}InspiredOxygenExtension");
    let flow = format!("{VITAL_SIGNS}FlowExtension");
    let is = |one: &Node<'_>, url: &str| one.text("url").as_deref() == Some(url);
    let given = members(observation)
        .filter(|one| is(one, &inspired))
        .flat_map(members)
        .find(|one| is(one, &flow));
    let part = |code| amount(component(observation, code, &[])?.get("valueQuantity")?);
    let flow = given
        .and_then(|flow| amount(flow.get("valueQuantity")?))
        .or_else(|| part("3151-8"));
    let flow = flow.map(Oxygen::Flow);
    flow.or_else(|| part("3150-6").map(Oxygen::Percent))
        .or(Some(Oxygen::Some))
}

fn members(of: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    of.get("extension").into_iter().flat_map(Node::items)
}

/// Whether it is a person's assessment of an alert.
pub fn is_assessment(o: Node<'_>) -> bool {
    let mut codings = o
        .path(&["code", "coding"])
        .into_iter()
        .flat_map(Node::items);
    codings.any(|one| {
        one.text("system").as_deref() == Some(systems::ASSESSMENT)
            && one.text("code").as_deref() == Some("person")
    })
}

/// A person's assessment of an alert has no value: it is what she says.
fn said_by_a_person(o: Node<'_>) -> Option<String> {
    let note = o.get("note")?.items().next().filter(|_| is_assessment(o))?;
    let by = note.text("authorString").unwrap_or_default();
    Some(format!("{} ({by})", note.text("text")?))
}

/// Reads an Observation.
pub fn reading(found: &Match<'_>, calendar: &Calendar) -> Reading {
    let o = found.resource;
    let when = ["effectiveDateTime", "effectiveInstant"]
        .iter()
        .find_map(|name| o.text(name))
        .or_else(|| o.path(&["effectivePeriod", "start"])?.str())
        .and_then(|text| calendar.moment(&text));
    let part = |loinc, snomed: &[&str]| amount(component(o, loinc, snomed)?.get("valueQuantity")?);
    let pressure = [
        part("8480-6", &["271649006", "4471000202106"]),
        part("8462-4", &["271650006", "4481000202108"]),
    ];
    let performers = o.get("performer").into_iter().flat_map(Node::items);
    Reading {
        kind: o.get("code").and_then(kind_of),
        words: o.get("code").and_then(words),
        when,
        value: o.get("valueQuantity").and_then(amount),
        pressure: Some(pressure).filter(|parts| parts.iter().any(Option::is_some)),
        said: o
            .get("valueCodeableConcept")
            .and_then(words)
            .or_else(|| o.text("valueString").map(|text| text.into_owned()))
            .or_else(|| said_by_a_person(o)),
        oxygen: oxygen(o),
        status: o.text("status").unwrap_or_default().into_owned(),
        organisation: performers.into_iter().find_map(organisation),
        routes: found.routes.clone(),
        disagrees: found.disagrees,
        interpretation: o
            .get("interpretation")
            .into_iter()
            .flat_map(Node::items)
            .find_map(words),
        signature: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use serde_json::{Value, json};

    fn said(parts: &[(&str, Value)]) -> Option<Oxygen> {
        let part = |(name, value): &(&str, Value)| {
            let mut part = value.clone();
            part["url"] = json!(format!("{VITAL_SIGNS}{name}Extension"));
            part
        };
        let parts: Vec<_> = parts.iter().map(part).collect();
        let body = json!({"extension": [{"url": format!("{VITAL_SIGNS}InspiredOxygenExtension"), "extension": parts}]});
        let json = Json::parse(body.to_string(), Limits::RESOURCE).unwrap();
        oxygen(json.root())
    }

    #[test]
    fn what_she_breathed_is_shown_as_it_was_said_and_a_contradiction_as_that() {
        let flow = (
            "Flow",
            json!({"valueQuantity": {"value": 6100, "unit": "ml/min"}}),
        );
        let air = |said: bool| ("OnAir", json!({ "valueBoolean": said }));
        let Some(Oxygen::Flow(amount)) = said(std::slice::from_ref(&flow)) else {
            panic!("a flow")
        };
        assert_eq!(
            (amount.digits.as_str(), amount.unit.as_str()),
            ("6100", "ml/min")
        );
        assert_eq!(said(&[air(true)]), Some(Oxygen::Air));
        assert_eq!(said(&[air(false)]), Some(Oxygen::Some));
        assert_eq!(said(&[flow, air(true)]), Some(Oxygen::Unclear));
    }
}
