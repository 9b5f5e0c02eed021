//! What `$stats` was asked: codes, time, statistics, curve.

use crate::index::Coding;
use crate::measurement::{self, Component, Kind};
use crate::operation::{self, Input, PATIENT};
use crate::outcome::{Issue, IssueCode};
use crate::search::{DateParam, Prefix, TokenParam, TokenSystem};
use crate::statistics::{Cut, Fixed, OWN_SYSTEM, SYSTEM, Statistic, TABLE};
use crate::time::{Instant, Range, Zone, parse_search_date};

/// Most codes and most statistics in one call.
const MOST: usize = 50;
/// Most equal parts of a curve.
const MOST_PARTS: u32 = 1000;
/// Most readings given out beside the numbers.
pub const MOST_SOURCES: usize = 1000;

/// One row of [`TABLE`].
pub type Row = (Statistic, &'static str, bool, &'static str);

/// What was understood.
pub struct Asked {
    /// Kinds and codes to count.
    pub wanted: Vec<Wanted>,
    /// In the order asked for.
    pub statistics: Vec<Row>,
    /// The time asked for.
    pub period: Period,
    /// The same for a search.
    pub dates: Vec<DateParam>,
    /// How a curve is cut, where one is wanted.
    pub cut: Option<Cut>,
    /// The readings behind the numbers are wanted too, the newest of them alone if there is a limit.
    pub sources: Option<Option<usize>>,
}

/// A time with or without ends; readings count that start in it.
#[derive(Clone, Copy, Default)]
pub struct Period {
    /// Inclusive, UTC microseconds.
    pub from: Option<i64>,
    /// Exclusive.
    pub until: Option<i64>,
}

impl Period {
    /// Both ends, if there are both.
    pub fn whole(self) -> Option<Range> {
        let (lo, hi) = (self.from?, self.until?);
        Some(Range { lo, hi })
    }
}

/// A kind to count, or a code that no kind has.
pub struct Wanted {
    /// Codes that find its readings.
    pub tokens: Vec<TokenParam>,
    /// Which it is.
    pub what: What,
}

/// What is counted.
pub enum What {
    /// A kind, and which of its components were asked for by a code of their own; none: the whole kind.
    Kind {
        /// The kind.
        kind: &'static Kind,
        /// The components.
        components: Vec<&'static Component>,
    },
    /// A code of no known kind.
    Code(Coding),
}

impl Asked {
    /// Reads everything but the patient.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read(form: &Input, zone: &Zone, now: Instant) -> Result<Asked, Vec<Issue>> {
        let mut known: Vec<(&str, bool)> = PATIENT.map(|name| (name, false)).to_vec();
        known.extend([
            ("code", true),
            ("system", false),
            ("coding", true),
            ("duration", false),
            ("start", false),
            ("end", false),
            ("statistic", true),
            ("include", false),
            ("limit", false),
            ("bucket", false),
        ]);
        let mut issues = operation::unknown(form, &known);
        let one = |name: &str| {
            form.iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.as_str())
        };
        let list = |name: &str| -> Vec<&str> {
            form.iter()
                .filter(|(n, _)| n == name)
                .flat_map(|(_, value)| value.split(','))
                .collect()
        };
        let mut keep = |name: &str, fault: Result<(), (IssueCode, String)>| {
            if let Err((code, words)) = fault {
                issues.push(Issue::error(code, name, words));
            }
        };
        let sources = sources(one("include"), one("limit"));
        let sources = sources.unwrap_or_else(|(name, words)| {
            keep(name, Err((IssueCode::Value, words)));
            None
        });
        let mut wanted = Vec::new();
        let codes = list("code").into_iter().map(|code| ("code", code));
        let codings = list("coding").into_iter().map(|code| ("coding", code));
        for (n, (name, code)) in codes.chain(codings).enumerate() {
            keep(
                name,
                if n < MOST {
                    add(&mut wanted, one("system"), code)
                } else {
                    Err((IssueCode::TooCostly, format!("more than {MOST} codes")))
                },
            );
        }
        if list("code").is_empty() && list("coding").is_empty() {
            let words = "at least one code is expected";
            keep("code", Err((IssueCode::Required, words.into())));
        }
        let mut statistics: Vec<Row> = Vec::new();
        for code in list("statistic") {
            match statistic(code) {
                Ok(row) if statistics.contains(&row) => {}
                Ok(row) => statistics.push(row),
                Err(fault) => keep("statistic", Err(fault)),
            }
        }
        if list("statistic").is_empty() && one("bucket").is_none() {
            let words = "at least one statistic is expected, or a bucket for a curve";
            keep("statistic", Err((IssueCode::Required, words.into())));
        }
        let cut = one("bucket").map(cut).transpose();
        let cut = cut.unwrap_or_else(|fault| {
            keep("bucket", Err(fault));
            None
        });
        let mut period = Period::default();
        for (name, fault) in period.fill(one("duration"), one("start"), one("end"), zone, now) {
            keep(name, Err(fault));
        }
        if issues.is_empty() {
            Ok(Asked {
                wanted,
                statistics,
                period,
                dates: period.dates(),
                cut,
                sources,
            })
        } else {
            Err(issues)
        }
    }
}

type Fault = (IssueCode, String);

/// `include` and `limit` (observation-operation-stats.html): without the first, the second says nothing.
fn sources(
    include: Option<&str>,
    limit: Option<&str>,
) -> Result<Option<Option<usize>>, (&'static str, String)> {
    let include = match include {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(("include", "expected true or false".into())),
    };
    let limit = match limit.map(str::parse) {
        None => None,
        Some(Ok(count @ 1..=MOST_SOURCES)) => Some(count),
        Some(_) => {
            let words = format!("expected a whole number from 1 to {MOST_SOURCES}");
            return Err(("limit", words));
        }
    };
    Ok(include.then_some(limit))
}

fn value(words: impl Into<String>) -> Fault {
    (IssueCode::Value, words.into())
}

/// `day`, `week`, `month`, `year`, or a number of equal parts.
fn cut(text: &str) -> Result<Cut, Fault> {
    match (text, text.parse()) {
        ("day", _) => Ok(Cut::Day),
        ("week", _) => Ok(Cut::Week),
        ("month", _) => Ok(Cut::Month),
        ("year", _) => Ok(Cut::Year),
        (_, Ok(count @ 1..=MOST_PARTS)) => Ok(Cut::Parts(count)),
        _ => Err(value(format!(
            "expected day, week, month, year or a number from 1 to {MOST_PARTS}"
        ))),
    }
}

/// A statistic by its code, alone or as `system|code`.
fn statistic(text: &str) -> Result<Row, Fault> {
    let (system, code) = match text.split_once('|') {
        Some((system, code)) => (Some(system), code),
        None => (None, text),
    };
    let row = TABLE
        .iter()
        .find(|row| row.1 == code && system.is_none_or(|s| s == system_of(row)));
    row.copied().ok_or_else(|| {
        let codes: Vec<&str> = TABLE.iter().map(|row| row.1).collect();
        (
            IssueCode::NotSupported,
            format!("supported: {}", codes.join(", ")),
        )
    })
}

/// The code system of a statistic's code.
pub fn system_of(row: &Row) -> &'static str {
    if row.2 { SYSTEM } else { OWN_SYSTEM }
}

/// Adds what a code names. Two codes of one kind are one series.
fn add(wanted: &mut Vec<Wanted>, system: Option<&str>, text: &str) -> Result<(), Fault> {
    let (system, code) = match (text.split_once('|'), system) {
        (Some((system, code)), None) => (Some(system), code),
        (None, system) => (system, text),
        (Some(_), Some(_)) => return Err(value("the system is named twice")),
    };
    if code.is_empty() || system == Some("") {
        return Err(value("expected code or system|code"));
    }
    let means = |(s, c): (&str, &str)| c == code && system.is_none_or(|system| system == s);
    let named = measurement::all()
        .iter()
        .find(|kind| kind.codings().any(means))
        .map(|kind| (kind, None))
        .or_else(|| {
            measurement::all().iter().find_map(|kind| {
                let component = kind.components.iter().find(|c| c.codings().any(means))?;
                Some((kind, Some(component)))
            })
        });
    let Some((kind, component)) = named else {
        let coding = Coding {
            system: system.map(str::to_owned),
            code: code.to_owned(),
        };
        if !wanted
            .iter()
            .any(|one| matches!(&one.what, What::Code(c) if *c == coding))
        {
            wanted.push(Wanted {
                tokens: vec![TokenParam {
                    system: match system {
                        Some(system) => TokenSystem::Is(system.to_owned()),
                        None => TokenSystem::Any,
                    },
                    code: Some(code.to_owned()),
                }],
                what: What::Code(coding),
            });
        }
        return Ok(());
    };
    if kind.units.is_empty() && kind.components.iter().all(|c| c.units.is_empty()) {
        return Err(value("this kind of observation has no numbers"));
    }
    for one in wanted.iter_mut() {
        match &mut one.what {
            What::Kind {
                kind: held,
                components,
            } if held.id == kind.id => {
                match component {
                    // The whole kind holds the part.
                    None => components.clear(),
                    Some(part) if !components.is_empty() => {
                        if !components.iter().any(|c| c.id == part.id) {
                            components.push(part);
                        }
                    }
                    Some(_) => {}
                }
                return Ok(());
            }
            _ => {}
        }
    }
    let tokens = kind
        .codings()
        .map(|(system, code)| TokenParam {
            system: TokenSystem::Is(system.to_owned()),
            code: Some(code.to_owned()),
        })
        .collect();
    wanted.push(Wanted {
        tokens,
        what: What::Kind {
            kind,
            components: component.into_iter().collect(),
        },
    });
    Ok(())
}

impl Period {
    fn fill(
        &mut self,
        duration: Option<&str>,
        start: Option<&str>,
        end: Option<&str>,
        zone: &Zone,
        now: Instant,
    ) -> Vec<(&'static str, Fault)> {
        let mut faults = Vec::new();
        if let Some(hours) = duration {
            if start.is_some() || end.is_some() {
                faults.push(("duration", value("give a duration or a period, not both")));
            }
            match micros(hours) {
                Some(micros) => {
                    self.until = Some(now.0.saturating_add(1));
                    self.from = Some(now.0.saturating_sub(micros));
                }
                None => faults.push(("duration", value("expected a number of hours above 0"))),
            }
            return faults;
        }
        let mut bound = |name, text: Option<&str>| match text.map(|t| parse_search_date(t, zone)) {
            None => None,
            Some(Ok(range)) => Some(range),
            Some(Err(error)) => {
                faults.push((name, value(error.to_string())));
                None
            }
        };
        self.from = bound("start", start).map(|range| range.lo);
        self.until = bound("end", end).map(|range| range.hi);
        if self.from.zip(self.until).is_some_and(|(lo, hi)| lo >= hi) {
            faults.push(("end", value("the end is before the start")));
        }
        faults
    }

    /// The period for a search: what starts in it.
    fn dates(self) -> Vec<DateParam> {
        let param = |prefix, lo: i64| DateParam {
            prefix,
            range: Range { lo, hi: lo + 1 },
        };
        let from = self.from.map(|lo| param(Prefix::Sa, lo - 1));
        let until = self.until.map(|hi| param(Prefix::Lt, hi));
        from.into_iter().chain(until).collect()
    }
}

/// Hours as microseconds.
fn micros(hours: &str) -> Option<i64> {
    let (hours, _) = Fixed::read(hours)?;
    let longest = 1 << 60;
    hours
        .hours_in_micros()
        .filter(|micros| (1..=longest).contains(micros))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Asked, Vec<String>> {
        let form: Input = pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Asked::read(&form, &Zone::default(), Instant::from_seconds(1_000_000)).map_err(|issues| {
            issues
                .iter()
                .map(|i| format!("{} @ {}", i.code.code(), i.expression[0]))
                .collect()
        })
    }

    fn refused(pairs: &[(&str, &str)]) -> Vec<String> {
        read(pairs).err().unwrap_or_default()
    }

    #[test]
    fn a_duration_is_no_longer_than_time_can_be_counted() {
        for (hours, fits) in [
            ("24", true),
            ("320255973.5", true),
            ("320255974", false),
            // To the microsecond the last that has a number.
            ("2562047788.015215501944", false),
            ("0", false),
        ] {
            assert_eq!(micros(hours).is_some(), fits, "{hours}");
        }
    }

    const COUNT: (&str, &str) = ("statistic", "count");

    #[test]
    fn codes_name_kinds_and_parts_of_kinds_each_once() {
        let named = |pairs: &[(&str, &str)]| -> Vec<String> {
            let mut pairs = pairs.to_vec();
            pairs.push(COUNT);
            let shown = |one: &Wanted| match &one.what {
                What::Kind { kind, components } => {
                    let parts: Vec<&str> = components.iter().map(|c| c.id.as_str()).collect();
                    format!("{} {}", kind.id, parts.join("+"))
                        .trim_end()
                        .to_owned()
                }
                What::Code(coding) => coding.code.clone(),
            };
            read(&pairs)
                .ok()
                .unwrap()
                .wanted
                .iter()
                .map(shown)
                .collect()
        };
        let loinc = ("system", "http://loinc.org");
        assert_eq!(named(&[("code", "29463-7"), loinc]), ["body-weight"]);
        assert_eq!(
            named(&[
                ("code", "2708-6,431314004"),
                ("coding", "http://loinc.org|59408-5")
            ]),
            ["oxygen-saturation"]
        );
        assert_eq!(named(&[("code", "8480-6")]), ["blood-pressure systolic"]);
        assert_eq!(
            named(&[("code", "8480-6"), ("code", "8462-4")]),
            ["blood-pressure systolic+diastolic"]
        );
        assert_eq!(
            named(&[("code", "8480-6"), ("code", "85354-9")]),
            ["blood-pressure"]
        );
        assert_eq!(named(&[("code", "85354-9,8480-6")]), ["blood-pressure"]);
        assert_eq!(
            named(&[("code", "x"), ("code", "x"), ("code", "y")]),
            ["x", "y"]
        );
        assert_eq!(named(&[("coding", "urn:house|29463-7")]), ["29463-7"]);
    }

    #[test]
    fn what_is_missing_unknown_or_contradictory_is_refused_at_once() {
        assert_eq!(refused(&[]), ["required @ code", "required @ statistic"]);
        for (more, expected) in [
            (("statistic", "skew"), "not-supported @ statistic"),
            (("statistic", "urn:x|count"), "not-supported @ statistic"),
            (("bucket", "0"), "value @ bucket"),
            (("bucket", "1001"), "value @ bucket"),
            (("bucket", "hour"), "value @ bucket"),
            (("duration", "0"), "value @ duration"),
            (("duration", "-1"), "value @ duration"),
            (("duration", "1e30"), "value @ duration"),
            (("start", "soon"), "value @ start"),
            (("include", "yes"), "value @ include"),
            (("limit", "0"), "value @ limit"),
            (("limit", "1001"), "value @ limit"),
            (("limit", "few"), "value @ limit"),
            (("code", "1104441000000107"), "value @ code"),
            (("code", ""), "value @ code"),
            (("coding", "|x"), "value @ coding"),
            (("coding", "x|"), "value @ coding"),
        ] {
            let found = refused(&[("code", "8867-4"), COUNT, more]);
            assert!(found.contains(&expected.to_owned()), "{more:?}: {found:?}");
        }
        let both = [
            ("code", "8867-4"),
            COUNT,
            ("duration", "1"),
            ("start", "2026"),
        ];
        assert_eq!(refused(&both), ["value @ duration"]);
        let turned = [
            ("code", "8867-4"),
            COUNT,
            ("start", "2026"),
            ("end", "2025"),
        ];
        assert_eq!(refused(&turned), ["value @ end"]);
        let twice = [("code", "a|b"), ("system", "c"), COUNT];
        assert_eq!(refused(&twice), ["value @ code"]);
    }

    #[test]
    fn a_limit_says_something_only_where_readings_are_included() {
        let sources = |more: &[(&str, &str)]| {
            let pairs: Vec<_> = [("code", "8867-4"), COUNT]
                .iter()
                .chain(more)
                .copied()
                .collect();
            read(&pairs).ok().unwrap().sources
        };
        assert_eq!(sources(&[]), None);
        assert_eq!(sources(&[("limit", "3")]), None);
        assert_eq!(sources(&[("include", "false"), ("limit", "3")]), None);
        assert_eq!(sources(&[("include", "true")]), Some(None));
        assert_eq!(
            sources(&[("include", "true"), ("limit", "3")]),
            Some(Some(3))
        );
    }

    #[test]
    fn a_period_holds_its_last_day_and_a_duration_ends_now() {
        let base = [("code", "8867-4"), ("bucket", "day")];
        let period = |more: &[(&str, &str)]| {
            let pairs: Vec<_> = base.iter().chain(more).copied().collect();
            read(&pairs).ok().unwrap().period
        };
        let days = period(&[("start", "2026-01-01"), ("end", "2026-01-01")]);
        let whole = days.whole().unwrap();
        assert_eq!(whole.hi - whole.lo, 24 * 3_600_000_000);
        let hour = period(&[("duration", "1.5")]).whole().unwrap();
        assert_eq!(
            (hour.hi - hour.lo, hour.hi),
            (5_400_000_001, 1_000_000_000_001)
        );
        assert!(period(&[("start", "2026")]).whole().is_none());
        assert!(period(&[]).dates().is_empty());
    }
}
