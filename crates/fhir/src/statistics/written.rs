//! The answer of `$stats`: Parameters with one Observation for each series, its curve where one was asked for, the readings
//! behind them if they were asked for, and an OperationOutcome that says what was left out. Numbers are written as text, so that no digit is lost.

use super::Answer;
use super::asked::{Asked, Row, system_of};
use super::counted::{Counted, Line};
use crate::index::Coding;
use crate::json::quote;
use crate::outcome::{Issue, IssueCode, OperationOutcome, Severity};
use crate::systems;
use crate::time::{Instant, Zone};
use std::fmt::Write as _;

/// Writing to a String does not fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { let _ = write!($out, $($text)*); };
}

/// What stands in the answer besides the numbers.
#[derive(Default)]
pub struct Beside<'a> {
    /// The readings that values were taken from.
    pub sources: Vec<&'a [u8]>,
    /// What else was left out, and why.
    pub issues: Vec<Issue>,
    /// A receipt that says what became of each holder.
    pub receipt: Option<&'a [u8]>,
}

/// The Parameters resource.
#[must_use]
pub fn parameters(
    asked: &Asked,
    counted: &[Counted],
    beside: Beside<'_>,
    subject: Option<&str>,
    zone: &Zone,
) -> Vec<u8> {
    let mut out = String::from(r#"{"resourceType":"Parameters","parameter":["#);
    let mut issues = beside.issues;
    let mut first = true;
    let mut comma = |out: &mut String| {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
    };
    for one in counted {
        for line in &one.lines {
            if !asked.statistics.is_empty() {
                comma(&mut out);
                observation(&mut out, asked, line, subject);
            }
            if asked.cut.is_some() {
                comma(&mut out);
                curve(&mut out, asked, line, zone);
            }
        }
        said(&mut issues, one);
    }
    let mut resource = |out: &mut String, name: &str, body: &[u8]| {
        comma(out);
        put!(out, r#"{{"name":"{name}","resource":"#);
        out.push_str(&String::from_utf8_lossy(body));
        out.push('}');
    };
    for source in beside.sources {
        resource(&mut out, "source", source);
    }
    if let Some(receipt) = beside.receipt {
        resource(&mut out, "receipt", receipt);
    }
    if !issues.is_empty() {
        let outcome = OperationOutcome::new(issues).to_json();
        resource(&mut out, "outcome", &outcome);
    }
    out.push_str("]}");
    out.into_bytes()
}

fn coding(out: &mut String, coding: &Coding, display: Option<&str>) {
    out.push('{');
    if let Some(system) = &coding.system {
        put!(out, r#""system":{},"#, quote(system));
    }
    put!(out, r#""code":{}"#, quote(&coding.code));
    if let Some(display) = display {
        put!(out, r#","display":{}"#, quote(display));
    }
    out.push('}');
}

/// FHIR: one Observation for each code, one component for each statistic.
fn observation(out: &mut String, asked: &Asked, line: &Line, subject: Option<&str>) {
    out.push_str(r#"{"name":"statistics","resource":{"resourceType":"Observation","status":"final","code":{"coding":["#);
    coding(out, &line.coding, line.name);
    out.push_str("]}");
    if let Some(subject) = subject {
        put!(out, r#","subject":{{"reference":{}}}"#, quote(subject));
    }
    let span = line.series.span();
    let from = asked.period.from.map(Instant).or(span.map(|s| s.0));
    // The last microsecond that is in it.
    let until = asked.period.until.map(|hi| Instant(hi - 1));
    if let (Some(from), Some(until)) = (from, until.or(span.map(|s| s.1))) {
        put!(
            out,
            r#","effectivePeriod":{{"start":"{from}","end":"{until}"}}"#
        );
    }
    out.push_str(r#","component":["#);
    for (n, row) in asked.statistics.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        component(out, line, row);
    }
    out.push_str("]}}");
}

fn component(out: &mut String, line: &Line, row: &Row) {
    let own = Coding {
        system: Some(system_of(row).to_owned()),
        code: row.1.to_owned(),
    };
    out.push_str(r#"{"code":{"coding":["#);
    coding(out, &own, Some(row.3));
    out.push_str("]},");
    let unit = line.unit.as_deref();
    match line.series.ask(row.0) {
        Answer::Count(count) => {
            put!(out, r#""valueInteger":{count}"#);
        }
        Answer::InUnit(number) => quantity(out, &number, unit.map(str::to_owned)),
        Answer::Difference(number) => quantity(out, &number, unit.map(|u| difference(u).to_owned())),
        Answer::Squared(number) => quantity(out, &number, unit.map(|u| squared(difference(u)))),
        Answer::PerDay(number) => {
            quantity(out, &number, unit.map(|u| format!("{}/d", difference(u))));
        }
        Answer::None => out.push_str(r#""dataAbsentReason":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"not-applicable"}]}"#),
    }
    out.push('}');
}

/// The unit of a difference: degrees Celsius are counted from a zero of their own, so that 1 Cel is another temperature than
/// a difference of one degree, which is 1 K (UCUM section 21, special units).
fn difference(unit: &str) -> &str {
    if unit == "Cel" { "K" } else { unit }
}

/// The square of a UCUM unit: each of its parts with twice its exponent (`kg/m2` gives `kg2/m4`). What is counted without a
/// unit (`1`, `{score}`) stays as it is; a unit with brackets or powers of ten is written twice.
fn squared(unit: &str) -> String {
    if unit.contains(['(', '*', '^']) {
        return format!("({unit}).({unit})");
    }
    let mut out = String::with_capacity(unit.len() + 4);
    let mut part = String::new();
    let mut closing = None;
    for c in unit.chars() {
        match (closing, c) {
            (None, '/' | '.') => {
                doubled(&mut out, &part);
                out.push(c);
                part.clear();
                continue;
            }
            (None, '{') => closing = Some('}'),
            (None, '[') => closing = Some(']'),
            (Some(end), _) if c == end => closing = None,
            _ => {}
        }
        part.push(c);
    }
    doubled(&mut out, &part);
    out
}

/// One part of a unit with twice its exponent.
fn doubled(out: &mut String, part: &str) {
    let bare = part.trim_end_matches(|c: char| c.is_ascii_digit());
    let exponent: i32 = part[bare.len()..].parse().unwrap_or(1);
    let (bare, exponent) = match bare.strip_suffix('-') {
        Some(bare) => (bare, -exponent),
        None => (bare, exponent),
    };
    // Nothing before a leading `/`, a bare number, an annotation alone.
    if bare.is_empty() || part.starts_with('{') {
        out.push_str(part);
    } else {
        put!(out, "{bare}{}", exponent * 2);
    }
}

fn quantity(out: &mut String, number: &str, unit: Option<String>) {
    put!(out, r#""valueQuantity":{{"value":{number}"#);
    if let Some(unit) = unit {
        let unit = quote(&unit);
        put!(
            out,
            r#","unit":{unit},"system":"{}","code":{unit}"#,
            systems::UCUM
        );
    }
    out.push('}');
}

/// Each part of the curve in which there is a reading; empty ones are not there.
fn curve(out: &mut String, asked: &Asked, line: &Line, zone: &Zone) {
    let Some(cut) = asked.cut else { return };
    out.push_str(r#"{"name":"curve","part":[{"name":"code","valueCoding":"#);
    coding(out, &line.coding, line.name);
    out.push('}');
    if let Some(unit) = &line.unit {
        put!(out, r#",{{"name":"unit","valueCode":{}}}"#, quote(unit));
    }
    for one in line.series.curve(cut, asked.period.whole(), zone) {
        put!(
            out,
            r#",{{"name":"bucket","part":[{{"name":"start","valueInstant":"{}"}},{{"name":"count","valueInteger":{}}}"#,
            one.from,
            one.count
        );
        for (name, number) in [
            ("minimum", &one.minimum),
            ("average", &one.average),
            ("maximum", &one.maximum),
            ("first", &one.first),
            ("last", &one.last),
        ] {
            put!(out, r#",{{"name":"{name}","valueDecimal":{number}}}"#);
        }
        out.push_str("]}");
    }
    out.push_str("]}");
}

/// What was left out.
fn said(issues: &mut Vec<Issue>, counted: &Counted) {
    let mut say = |severity, count: usize, what: &str, words: &str| {
        if count > 0 {
            let text = format!("{what}: {count} {words}");
            issues.push(Issue::new(severity, IssueCode::Incomplete, "", text));
        }
    };
    let whole = counted.lines.first().map_or("", |line| line.shown());
    let (note, warning) = (Severity::Information, Severity::Warning);
    say(
        note,
        counted.invalid,
        whole,
        "entered in error or cancelled are left out",
    );
    say(
        warning,
        counted.undated,
        whole,
        "without a time of their own are left out",
    );
    for line in &counted.lines {
        let what = line.shown();
        say(
            note,
            line.absent,
            what,
            "without a value are in total-count only",
        );
        say(
            warning,
            line.bounds,
            what,
            "with a comparator (only a bound is known) are left out",
        );
        say(
            warning,
            line.absurd,
            what,
            "too large or too fine to be a measurement are left out",
        );
        for (unit, count) in &line.strange {
            let to = line.unit.as_deref().unwrap_or("a unit");
            let words = if unit.is_empty() {
                format!("without a UCUM unit are left out; counted in {to}")
            } else {
                format!("in {unit} are left out; this unit cannot be brought to {to}")
            };
            say(warning, *count, what, &words);
        }
    }
}

impl Line {
    /// How it is called among people.
    fn shown(&self) -> &str {
        self.name.unwrap_or(&self.coding.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_squared_part_by_part() {
        for (unit, square) in [
            ("kg", "kg2"),
            ("mm[Hg]", "mm[Hg]2"),
            ("/min", "/min2"),
            ("kg/m2", "kg2/m4"),
            ("m-1.s", "m-2.s2"),
            ("mmol/L", "mmol2/L2"),
            ("%", "%2"),
            ("[in_i'H2O]", "[in_i'H2O]2"),
            ("{score}", "{score}"),
            ("{a/b}", "{a/b}"),
            ("1", "1"),
            ("10*9/L", "(10*9/L).(10*9/L)"),
        ] {
            assert_eq!(squared(unit), square, "{unit}");
        }
        assert_eq!((difference("Cel"), difference("kg")), ("K", "kg"));
    }
}
