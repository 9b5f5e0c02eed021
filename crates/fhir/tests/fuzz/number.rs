//! Numbers and quantities in a search, against arithmetic of a few lines.
//!
//! An input is the parameter's value, a line end, and the value of a resource.

use crate::spell::{RANDOM, spell};
use fhir::definitions::Types;
use fhir::ids::PersonNumbers;
use fhir::json::{Json, Limits};
use fhir::measurement::Decimal;
use fhir::resource::ResourceType;
use fhir::search::{
    Condition, Grammar, NumberParam, Prefix, Query, Test, Via, filters_match, parse,
};
use fhir::time::Zone;
use std::cmp::Ordering;
use std::sync::LazyLock;

/// The types served unless a deployment says otherwise.
static TYPES: LazyLock<Types> = LazyLock::new(Types::default);

const UCUM: &str = "http://unitsofmeasure.org";

/// Some units and how many of the kind's smallest they are (UCUM 2.1), whole numbers all.
const UNITS: &[(&str, &str, i128)] = &[
    ("mg", "mass", 1),
    ("g", "mass", 1_000),
    ("kg", "mass", 1_000_000),
    ("mm", "length", 1),
    ("cm", "length", 10),
    ("m", "length", 1_000),
    ("s", "time", 1),
    ("min", "time", 60),
    ("h", "time", 3_600),
    ("d", "time", 86_400),
    ("mmol/L", "amount", 1),
    ("mol/L", "amount", 1_000),
];

const WORDS: &[&str] = &[
    "eq",
    "ne",
    "gt",
    "lt",
    "ge",
    "le",
    "sa",
    "eb",
    "ap",
    "|http://unitsofmeasure.org|",
    "||",
    "|",
    "kg",
    "g",
    "mg",
    "m",
    "cm",
    "min",
    "h",
    "s",
    "mmol/L",
    "\n",
    "5.40",
    "0.00",
    "-",
    "100",
    "1e3",
    "99999999999999999999999999999999999",
    "{beats}",
    "%",
];

#[test]
fn quantity() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let text = spell(input, WORDS);
            let (asked, stored) = text.split_once('\n').unwrap_or((&text, "5"));
            let Some((query, numbers)) = parsed(asked) else {
                return;
            };
            for number in &numbers {
                around(number);
            }
            if let [number] = numbers.as_slice() {
                compare(&query, number, asked, stored);
            }
        });
}

fn parsed(asked: &str) -> Option<(Query, Vec<NumberParam>)> {
    let query = parse(
        ResourceType::OBSERVATION,
        &[("value-quantity".to_owned(), asked.to_owned())],
        Via::Post,
        &Zone::default(),
        PersonNumbers::Lenient,
        Grammar::Whole(&TYPES),
    )
    .ok()?;
    let Some(Condition::Any(tests)) = query.filters.first().map(|one| one.condition.clone()) else {
        panic!("a quantity that was understood is one filter");
    };
    let numbers = tests
        .into_iter()
        .map(|test| match test {
            Test::Number(number) => number,
            _ => panic!("a quantity is compared as a number"),
        })
        .collect();
    Some((query, numbers))
}

/// The range that the digits leave open holds the value, and both ends print and read back.
fn around(number: &NumberParam) {
    // A tenth of nothing is nothing.
    let room = number.prefix != Prefix::Ap || number.value != Decimal::ZERO;
    assert_eq!(number.from < number.value, room);
    assert_eq!(number.value < number.until, room);
    for one in [number.value, number.from, number.until] {
        if let Some(back) = Decimal::parse(&one.to_string()) {
            assert!(back == one, "printed and read");
        }
    }
    assert!(
        Decimal::parse(&number.value.to_string()).is_some(),
        "what was read can be written"
    );
}

/// A decimal of at most 12 digits in billionths.
fn exact(digits: &str) -> Option<i128> {
    let short = digits.len() <= 13 && !digits.contains(['e', 'E', '+']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !short || fraction.len() > 9 {
        return None;
    }
    format!("{whole}{fraction:0<9}").parse().ok()
}

fn compare(query: &Query, number: &NumberParam, asked: &str, stored: &str) {
    let (value, code) = stored.split_once(' ').unwrap_or((stored, "kg"));
    if Decimal::parse(value).is_none()
        || code.contains(['"', '\\'])
        || code.contains(char::is_control)
    {
        return;
    }
    let found = |query: &Query| {
        let body = format!(
            r#"{{"resourceType":"Observation","valueQuantity":{{"value":{value},"system":"{UCUM}","code":"{code}"}}}}"#
        );
        let json = Json::parse(body, Limits::RESOURCE).unwrap();
        filters_match(json.root(), query)
    };
    let bare = asked.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let with = |prefix: &str| {
        let again = parsed(&format!("{prefix}{bare}"));
        again.is_some_and(|(query, _)| found(&query))
    };
    let [eq, ne, gt, lt, ge, le, sa, eb] =
        ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"].map(with);
    assert_eq!(found(query), with(number.prefix.code()));
    assert!(!(eq && ne), "never both");
    assert!(!(gt && lt), "never both");
    assert_eq!((sa, eb), (gt, lt), "a point lies wholly above or below");
    assert!(!gt || ge, "above is at least");
    assert!(!lt || le, "below is at most");
    let factor = match &number.unit {
        None => Some((1, 1)),
        Some(unit) if unit.system.as_deref() == Some(UCUM) => {
            let of = |code: &str| UNITS.iter().find(|row| row.0 == code);
            match (of(&unit.code), of(code)) {
                (Some(ours), Some(its)) if ours.1 == its.1 => Some((ours.2, its.2)),
                (Some(_), Some(_)) => {
                    assert!(
                        !(eq || ne || gt || lt || ge || le),
                        "other kinds of unit never meet"
                    );
                    None
                }
                _ => None,
            }
        }
        Some(_) => None,
    };
    let digits = bare.split('|').next().unwrap_or_default();
    let (Some((ours, its)), Some(asked), Some(stored)) = (factor, exact(digits), exact(value))
    else {
        return;
    };
    let places = digits
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len() as u32);
    if places > 8 {
        return;
    }
    let half = 10_i128.pow(9 - places) / 2;
    let (at, stored) = (asked * ours, stored * its);
    let inside = (asked - half) * ours <= stored && stored < (asked + half) * ours;
    assert_eq!((eq, ne), (inside, !inside), "{bare} and {value} {code}");
    let near = (stored - at).abs() * 10 <= at.abs();
    assert_eq!(with("ap"), near, "{bare} and {value} {code}");
    let order = stored.cmp(&at);
    assert_eq!(
        (gt, lt),
        (order == Ordering::Greater, order == Ordering::Less)
    );
    assert_eq!(
        (ge, le),
        (order != Ordering::Less, order != Ordering::Greater)
    );
}
