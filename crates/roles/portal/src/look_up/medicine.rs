//! Reads a MedicationStatement (no-basis-MedicationStatement 2.2, read side of spec/plans-medication-other.md section 3):
//! name, ATC code, dosage in words, status and dates, and whose list it stands on.

use fhir::json::Node;

use super::answer::{Match, Named, codings, organisation, words};
use crate::calendar::{Calendar, Moment};

const ATC: &str = "http://www.whocc.no/atc";

/// One line of one organisation's medication list.
#[derive(Clone, Debug)]
pub struct Medicine {
    /// Name as the list writes it.
    pub name: String,
    /// ATC code.
    pub atc: Option<String>,
    /// Dosage in words.
    pub dosage: Option<String>,
    /// `active`, `completed`, …
    pub status: String,
    /// First day.
    pub from: Option<Moment>,
    /// Last day, when it has one.
    pub to: Option<Moment>,
    /// Why it is taken.
    pub reason: Option<String>,
    /// Whose list it is.
    pub organisation: Option<Named>,
    /// By which services it came.
    pub routes: Vec<String>,
}

/// Reads one statement.
pub fn medicine(found: &Match<'_>, calendar: &Calendar) -> Medicine {
    let m = found.resource;
    let concept = m
        .get("medicationCodeableConcept")
        .or_else(|| contained(m)?.get("code"));
    let codings = concept.map(codings).unwrap_or_default();
    let named = concept.and_then(|concept| {
        let fest = codings
            .iter()
            .find(|(system, _, display)| system.ends_with("/FEST") && display.is_some());
        concept
            .text("text")
            .map(|text| text.into_owned())
            .or_else(|| fest.and_then(|(_, _, display)| display.clone()))
            .or_else(|| words(concept))
    });
    let date = |paths: &[&[&str]]| {
        paths
            .iter()
            .find_map(|path| m.path(path)?.str())
            .and_then(|text| calendar.moment(&text))
    };
    let author = ["informationSource", "derivedFrom"]
        .iter()
        .filter_map(|name| m.get(name));
    Medicine {
        name: named
            .or_else(|| {
                m.path(&["medicationReference", "display"])?
                    .str()
                    .map(|text| text.into_owned())
            })
            .unwrap_or_default(),
        atc: codings
            .iter()
            .find(|(system, _, _)| system == ATC)
            .map(|(_, code, _)| code.clone()),
        dosage: m.get("dosage").and_then(|dosage| {
            dosage
                .items()
                .find_map(|one| one.text("text").map(|text| text.into_owned()))
        }),
        status: m.text("status").unwrap_or_default().into_owned(),
        from: date(&[&["effectivePeriod", "start"], &["effectiveDateTime"]]),
        to: date(&[&["effectivePeriod", "end"]]),
        reason: m
            .get("reasonCode")
            .and_then(|reasons| reasons.items().find_map(words)),
        organisation: author.into_iter().find_map(organisation),
        routes: found.routes.clone(),
    }
}

/// The contained Medication that `medicationReference` points to.
fn contained(statement: Node<'_>) -> Option<Node<'_>> {
    let reference = statement
        .path(&["medicationReference", "reference"])?
        .str()?;
    let id = reference.strip_prefix('#')?;
    statement
        .get("contained")?
        .items()
        .find(|resource| resource.text("id").as_deref() == Some(id))
}
