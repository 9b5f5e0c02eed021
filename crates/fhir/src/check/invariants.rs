//! What must hold between the elements of one object (FHIR R4, ElementDefinition.constraint). Keys (`per-1`) are the
//! standard's own.
//!
//! Most rules are looked at by their published expression ([`crate::definitions::invariants`]). Those here are told by code,
//! because it can name the element at fault and what was expected there.

use super::findings::Findings;
use crate::definitions::elements::Table;
use crate::json::{Kind, Node};
use crate::measurement::Decimal;
use crate::outcome::IssueCode;
use crate::time::{self, Zone};

/// Checks the rules of an object of `table`, which stands in `resource`.
pub(super) fn check<'a>(
    findings: &mut Findings<'a>,
    node: Node<'a>,
    table: &'static Table,
    resource: (Node<'a>, &'static Table),
) {
    for rule in &table.invariants {
        for at in rule.path.broken((node, table), rule.member, resource) {
            findings.at(
                at,
                IssueCode::Invariant,
                format!("{} ({})", rule.words, rule.key),
            );
        }
    }
    let has = |member: &str| node.get(member).is_some();
    let any = |stem: &str| {
        node.members()
            .any(|(n, _)| n.strip_prefix('_').unwrap_or(&n).starts_with(stem))
    };
    let mut broken = |at: Node<'a>, words: &str| findings.at(at, IssueCode::Invariant, words);
    match table.name {
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
        "ContactPoint" if has("value") && !has("system") => {
            let words = "a value needs its system (cpt-2)";
            findings.below(node, "system", IssueCode::Required, words);
        }
        "Attachment" if has("data") && !has("contentType") => {
            let words = "data needs its content type (att-1)";
            findings.below(node, "contentType", IssueCode::Required, words);
        }
        "Goal.target" if any("detail") && !has("measure") => {
            let words = "a target's detail needs its measure (gol-1)";
            findings.below(node, "measure", IssueCode::Required, words);
        }
        _ => {}
    }
}

/// Contained resources that nothing refers to and that do not refer to what contains them (dom-3).
pub(super) fn stray<'a>(findings: &mut Findings<'a>, container: Node<'a>) {
    for one in container.get("contained").into_iter().flat_map(Node::items) {
        let Some(id) = one.text("id") else { continue };
        let named = format!("#{id}");
        let refers = |(_, value): (_, Node<'a>)| says(value, &named);
        if !container.members().any(refers) && !says(one, "#") {
            let words =
                "nothing refers to this contained resource, nor it to what contains it (dom-3)";
            findings.at(one, IssueCode::Invariant, words);
        }
    }
}

/// Whether a text anywhere in a value is just this.
fn says(node: Node<'_>, text: &str) -> bool {
    match node.kind() {
        Kind::Object => node.members().any(|(_, value)| says(value, text)),
        Kind::Array => node.items().any(|value| says(value, text)),
        Kind::String => node.str().is_some_and(|found| found == text),
        _ => false,
    }
}

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
