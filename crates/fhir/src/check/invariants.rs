//! Rules of FHIR R4 between the elements of one object, by type. Keys (`per-1`) are the standard's own.
//!
//! Only rules that can be told from the object itself stand here; what an Observation must be for Delt stands
//! in `observation`.

use super::findings::Findings;
use crate::json::Node;
use crate::measurement::Decimal;
use crate::outcome::IssueCode;
use crate::time::{self, Zone};

/// Checks the rules of the type or backbone element `name`.
pub(super) fn check<'a>(findings: &mut Findings<'a>, node: Node<'a>, name: &str) {
    let has = |member: &str| node.get(member).is_some();
    let any = |stem: &str| {
        node.members()
            .any(|(n, _)| n.strip_prefix('_').unwrap_or(&n).starts_with(stem))
    };
    let mut broken = |at: Node<'a>, words: &str| findings.at(at, IssueCode::Invariant, words);
    match name {
        "Extension" if has("extension") == any("value") => {
            broken(
                node,
                "an extension has either a value or extensions of its own (ext-1)",
            );
        }
        "Quantity" | "SimpleQuantity" | "Age" | "Count" | "Distance" | "Duration"
            if has("code") && !has("system") =>
        {
            let words = "a unit's code needs its system (qty-3)";
            findings.below(node, "system", IssueCode::Required, words);
        }
        "Period" => {
            if let Some(end) = node.get("end").filter(|_| ends_before_start(node)) {
                broken(end, "the period ends before it starts (per-1)");
            }
        }
        "Range" if is_upside_down(node) => broken(node, "low is above high (rng-2)"),
        "Ratio" if has("numerator") != has("denominator") => {
            broken(node, "a ratio has both numerator and denominator (rat-1)");
        }
        "ContactPoint" if has("value") && !has("system") => {
            let words = "a value needs its system (cpt-2)";
            findings.below(node, "system", IssueCode::Required, words);
        }
        "Attachment" if has("data") && !has("contentType") => {
            let words = "data needs its content type (att-1)";
            findings.below(node, "contentType", IssueCode::Required, words);
        }
        "Observation.referenceRange" if !["low", "high", "text"].into_iter().any(has) => {
            broken(node, "a reference range has low, high or text (obs-3)");
        }
        "Observation" if has("dataAbsentReason") && any("value") => {
            let words = "a value and a reason for its absence exclude each other (obs-6)";
            broken(node, words);
        }
        "Patient.contact" if !CONTACT.into_iter().any(has) => {
            let words = "a contact has at least name, telecom, address or organization (pat-1)";
            broken(node, words);
        }
        "Goal.target" if any("detail") && !has("measure") => {
            let words = "a target's detail needs its measure (gol-1)";
            findings.below(node, "measure", IssueCode::Required, words);
        }
        "CarePlan.activity" if has("detail") && has("reference") => {
            broken(node, "an activity has either detail or reference (cpl-3)");
        }
        _ => {}
    }
}

/// What makes a Patient's contact reachable.
const CONTACT: [&str; 4] = ["name", "telecom", "address", "organization"];

/// Whether low is above high, where both are given in one unit.
fn is_upside_down(range: Node<'_>) -> bool {
    let side = |side: &str| {
        let quantity = range.get(side)?;
        let unit = quantity.text("code").or_else(|| quantity.text("unit"));
        Some((Decimal::parse(quantity.get("value")?.number()?)?, unit))
    };
    matches!((side("low"), side("high")), (Some((low, a)), Some((high, b))) if a == b && low > high)
}

/// False also where a date cannot be read: that is another finding.
fn ends_before_start(period: Node<'_>) -> bool {
    // Both ends are read in one zone; which one does not change the order of whole days enough to matter here.
    let zone = Zone::default();
    let read = |name: &str| time::parse_date(&period.text(name)?, &zone).ok();
    matches!((read("start"), read("end")), (Some(start), Some(end)) if end.hi <= start.lo)
}
