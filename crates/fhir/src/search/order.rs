//! What resources are sorted by.
//!
//! Standard: FHIR R4 search 3.1.1.5.1 (`_sort`): of several values the one that comes first in the order asked counts; a
//! resource without a value comes last either way.

use super::matching::{identifier_coding, strings, tokens};
use super::number::canonical_size;
use super::{Query, SortKey, text};
use crate::definitions::extract::{Found, Value, extract};
use crate::definitions::search::Kind;
use crate::index;
use crate::json::Node;
use crate::measurement::Decimal;
use crate::time::Zone;
use std::cmp::Ordering;

/// Characters of a text that count for order.
const COUNTED: usize = 200;

/// A value that a resource is sorted by. Values of one parameter are of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortValue {
    /// Where a date or period begins (ascending) or ends (descending), µs.
    Time(i64),
    /// A number; of a quantity, by size in the base unit where UCUM knows it.
    Number(Decimal),
    /// A text without case and accents; a code before its system; a reference as written. At most 200 characters count.
    Text(String),
}

/// What the query sorts `resource` by: one place for each of its keys, `None` without a value.
#[must_use]
pub fn sort_values(resource: Node<'_>, query: &Query) -> Vec<Option<SortValue>> {
    let one = |key: &SortKey| {
        let values: Vec<SortValue> = match extract(resource, key.parameter) {
            Found::Values(values) => values
                .iter()
                .flat_map(|value| value_of(value, key, &query.zone))
                .collect(),
            Found::Present(present) => vec![SortValue::Text(present.to_string())],
            Found::Composites(_) => Vec::new(),
        };
        if key.descending {
            values.into_iter().max()
        } else {
            values.into_iter().min()
        }
    };
    query.keys.iter().map(one).collect()
}

/// The order of two resources by their values for the same keys; `Equal` leaves it to their ids.
#[must_use]
pub fn compare(keys: &[SortKey], a: &[Option<SortValue>], b: &[Option<SortValue>]) -> Ordering {
    for (key, (a, b)) in keys.iter().zip(a.iter().zip(b)) {
        let order = match (a, b) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) if key.descending => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn value_of(value: &Value<'_>, key: &SortKey, zone: &Zone) -> Vec<SortValue> {
    let node = value.node;
    let text = |text: &str| SortValue::Text(text.chars().take(COUNTED).collect());
    match key.parameter.kind {
        Kind::Date => index::time_of(node, zone)
            .map(|when| SortValue::Time(if key.descending { when.hi } else { when.lo }))
            .into_iter()
            .collect(),
        Kind::Number | Kind::Quantity => canonical_size(node)
            .map(SortValue::Number)
            .into_iter()
            .collect(),
        Kind::String => strings(value)
            .iter()
            .map(|one| text(&text::fold(one)))
            .collect(),
        Kind::Token => {
            let codings = match value.used {
                "Identifier" => identifier_coding(node).into_iter().collect(),
                _ => tokens(value),
            };
            codings
                .iter()
                .map(|one| {
                    text(&format!(
                        "{}|{}",
                        one.code,
                        one.system.as_deref().unwrap_or_default()
                    ))
                })
                .collect()
        }
        Kind::Reference | Kind::Uri => node
            .str()
            .or_else(|| node.text("reference"))
            .or_else(|| node.get("identifier").and_then(|one| one.text("value")))
            .map(|one| text(&one))
            .into_iter()
            .collect(),
        Kind::Composite | Kind::Special => Vec::new(),
    }
}
