//! Statistics of one series of measurements, as `$stats` gives them (FHIR R4 observation-operation-stats.html). No IO, no clock.
//!
//! **Exactness.** A value is a whole number of 10^-12 units; what a decimal says is kept exactly, and so are minimum, maximum,
//! first, last, sum and count. **Rounding.** Every number is given with at most two decimals more than the finest reading of the
//! series has, halves away from zero, without zeroes at the end. Standard deviation, variance and slope go through binary
//! floating point, from exact deviations.
//!
//! **Definitions.** Percentiles, quartiles, quintiles and median interpolate linearly between the two nearest ranks (Hyndman
//! and Fan's type 7). Standard deviation and variance are those of a sample (n - 1). Regression is the least-squares slope
//! per day.

pub mod asked;
pub mod counted;
pub mod written;

use crate::measurement::{Conversion, Decimal};
use crate::time::{Instant, Range, Zone, parse_date};
use std::fmt::Write as _;

/// Decimals kept.
const SCALE: u32 = 12;
/// One.
const ONE: i128 = 10_i128.pow(SCALE);
/// Larger values are no measurement.
const LARGEST: i128 = ONE * ONE;
const DAY: f64 = 86_400_000_000.0;

/// A value with 12 decimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fixed(i128);

/// How a value in some unit becomes one in a kind's first unit: `(value - minus) * times / over`.
#[derive(Clone, Copy)]
pub struct Factor {
    minus: i128,
    times: i128,
    over: i128,
}

impl Factor {
    /// The published conversion, ready to count with; `None` if it is beyond what is counted with.
    pub fn of(by: &Conversion) -> Option<Factor> {
        let whole = |decimal| Fixed::exact(decimal).map(|(value, _)| value.0);
        Some(Factor {
            minus: whole(by.minus)?,
            times: whole(by.times)?,
            over: whole(by.over)?,
        })
    }
}

impl Fixed {
    /// A JSON number's value, and how many decimals it has, zeroes at the end not counted; `None` when it has more than 12,
    /// or is larger than 10^12.
    pub fn read(text: &str) -> Option<(Fixed, u32)> {
        Fixed::plain(text).or_else(|| Fixed::exact(Decimal::parse(text)?))
    }

    /// The usual case without detours: at most 18 digits, no exponent.
    fn plain(text: &str) -> Option<(Fixed, u32)> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
        let odd =
            whole.is_empty() || fraction.is_empty() || whole.len() > 1 && whole.starts_with('0');
        if odd || whole.len() > 12 || fraction.len() > 6 {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let mut digits: i64 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            if !byte.is_ascii_digit() {
                return None;
            }
            digits = digits * 10 + i64::from(byte - b'0');
        }
        let decimals = fraction.len() as u32;
        let value = i128::from(digits) * 10_i128.pow(SCALE - decimals);
        Some((Fixed(if negative { -value } else { value }), decimals))
    }

    /// The same value, and how many decimals it has; `None` when it has more than 12, or is larger than 10^12.
    fn exact(decimal: Decimal) -> Option<(Fixed, u32)> {
        let text = decimal.to_string();
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
        let decimals = u32::try_from(fraction.len()).ok().filter(|n| *n <= SCALE)?;
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let value = digits.checked_mul(10_i128.pow(SCALE - decimals))?;
        (value <= LARGEST).then_some((Fixed(if negative { -value } else { value }), decimals))
    }

    /// The value in a kind's first unit, and how many decimals it counts as having: those of the result where that is
    /// exact, but at most three more than what was sent; else those of what was sent.
    pub fn converted(self, decimals: u32, by: Factor) -> Option<(Fixed, u32)> {
        let product = self.0.checked_sub(by.minus)?.checked_mul(by.times)?;
        let value = Fixed(divided(product, by.over)?);
        let exact = product.checked_rem(by.over)? == 0;
        let kept = if exact {
            value.decimals().min(decimals + 3)
        } else {
            decimals
        };
        Some((value, kept))
    }

    /// A number of hours in microseconds; `None` beyond all time.
    pub fn hours_in_micros(self) -> Option<i64> {
        i64::try_from(self.0.checked_mul(3600)? / 10_i128.pow(SCALE - 6)).ok()
    }

    /// Decimals that are not zero.
    fn decimals(self) -> u32 {
        let mut decimals = SCALE;
        let mut rest = self.0;
        while decimals > 0 && rest % 10 == 0 {
            rest /= 10;
            decimals -= 1;
        }
        decimals
    }

    /// As JSON writes it, with at most so many decimals.
    fn shown(self, decimals: u32) -> String {
        let step = 10_i128.pow(SCALE - decimals.min(SCALE));
        let rounded = divided(self.0, step).unwrap_or_default() * step;
        let (whole, fraction) = (rounded.abs() / ONE, rounded.abs() % ONE);
        let mut text = String::new();
        if rounded < 0 {
            text.push('-');
        }
        let _ = write!(text, "{whole}");
        if fraction != 0 {
            let digits = format!("{fraction:012}");
            text.push('.');
            text.push_str(digits.trim_end_matches('0'));
        }
        text
    }
}

/// Division that rounds halves away from zero.
fn divided(a: i128, b: i128) -> Option<i128> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    let up = rest.unsigned_abs() * 2 >= b.unsigned_abs();
    let sign = a.signum() * b.signum();
    Some(if up { quotient + sign } else { quotient })
}

/// One reading.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Its start, UTC microseconds.
    pub at: i64,
    /// Which it is; breaks ties.
    pub id: u128,
    /// Its value in the series' unit.
    pub value: Fixed,
}

/// What can be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// The mean.
    Average,
    /// The largest.
    Maximum,
    /// The smallest.
    Minimum,
    /// Readings with a value.
    Count,
    /// Readings with or without one.
    TotalCount,
    /// All added.
    Sum,
    /// Of a sample.
    StandardDeviation,
    /// Of a sample.
    Variance,
    /// Half the distance between the quartiles.
    QuartileDeviation,
    /// Least squares, per day.
    Slope,
    /// So many hundredths of the readings are below it.
    Percentile(u8),
}

/// FHIR's codes (R4 codesystem-observation-statistics).
pub const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/observation-statistics";
/// Our own, for what FHIR has no code for.
pub const OWN_SYSTEM: &str = "https://delt.example/fhir/CodeSystem/observation-statistics";

/// Statistic; its code; whether FHIR has it; what it is called.
pub const TABLE: &[(Statistic, &str, bool, &str)] = &[
    (Statistic::Average, "average", true, "Average"),
    (Statistic::Maximum, "maximum", true, "Maximum"),
    (Statistic::Minimum, "minimum", true, "Minimum"),
    (Statistic::Count, "count", true, "Count"),
    (Statistic::TotalCount, "total-count", true, "Total Count"),
    (Statistic::Percentile(50), "median", true, "Median"),
    (
        Statistic::StandardDeviation,
        "std-dev",
        true,
        "Standard Deviation",
    ),
    (Statistic::Sum, "sum", true, "Sum"),
    (Statistic::Variance, "variance", true, "Variance"),
    (
        Statistic::Percentile(20),
        "20-percent",
        true,
        "20th Percentile",
    ),
    (
        Statistic::Percentile(80),
        "80-percent",
        true,
        "80th Percentile",
    ),
    (Statistic::Percentile(25), "4-lower", true, "Lower Quartile"),
    (Statistic::Percentile(75), "4-upper", true, "Upper Quartile"),
    (
        Statistic::QuartileDeviation,
        "4-dev",
        true,
        "Quartile Deviation",
    ),
    (Statistic::Percentile(20), "5-1", true, "1st Quintile"),
    (Statistic::Percentile(40), "5-2", true, "2nd Quintile"),
    (Statistic::Percentile(60), "5-3", true, "3rd Quintile"),
    (Statistic::Percentile(80), "5-4", true, "4th Quintile"),
    (Statistic::Slope, "regression", true, "Regression"),
    (
        Statistic::Percentile(5),
        "5-percent",
        false,
        "5th Percentile",
    ),
    (
        Statistic::Percentile(95),
        "95-percent",
        false,
        "95th Percentile",
    ),
];

/// What came out.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// A number of readings.
    Count(usize),
    /// A number in the series' unit, as JSON writes it.
    InUnit(String),
    /// A difference of two such numbers.
    Difference(String),
    /// A number in the square of the unit.
    Squared(String),
    /// A number in the unit per day.
    PerDay(String),
    /// These readings do not tell.
    None,
}

/// A series on its way in; [`Series::finished`] makes it ready to be asked.
#[derive(Default)]
pub struct Series {
    samples: Vec<Sample>,
    /// The same values, smallest first.
    ranked: Vec<i128>,
    sum: i128,
    decimals: u32,
    /// Readings of the series that gave no value to count with.
    pub ignored: usize,
}

/// A slice of the curve.
pub struct Bucket {
    /// Where it begins.
    pub from: Instant,
    /// Readings in it.
    pub count: usize,
    /// The smallest.
    pub minimum: String,
    /// The mean.
    pub average: String,
    /// The largest.
    pub maximum: String,
    /// The first in time.
    pub first: String,
    /// The last in time.
    pub last: String,
}

/// How a curve is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// By the calendar of a zone; weeks start on Monday (ISO 8601).
    Day,
    /// Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
    /// So many parts of equal length.
    Parts(u32),
}

impl Series {
    /// Takes in a reading with so many decimals.
    pub fn push(&mut self, sample: Sample, decimals: u32) {
        self.samples.push(sample);
        self.decimals = self.decimals.max(decimals);
    }

    /// Orders what was taken in.
    pub fn finished(mut self) -> Series {
        self.samples
            .sort_unstable_by_key(|sample| (sample.at, sample.id));
        self.ranked = self.samples.iter().map(|sample| sample.value.0).collect();
        self.ranked.sort_unstable();
        self.sum = self.ranked.iter().sum();
        self
    }

    /// How many readings have a value.
    pub fn count(&self) -> usize {
        self.samples.len()
    }

    /// First and last time.
    pub fn span(&self) -> Option<(Instant, Instant)> {
        let (first, last) = (self.samples.first()?, self.samples.last()?);
        Some((Instant(first.at), Instant(last.at)))
    }

    fn shown(&self, value: i128) -> String {
        Fixed(value).shown(self.decimals + 2)
    }

    /// Answers one question.
    pub fn ask(&self, statistic: Statistic) -> Answer {
        let n = self.ranked.len();
        let found = match statistic {
            Statistic::Count => return Answer::Count(n),
            Statistic::TotalCount => return Answer::Count(n + self.ignored),
            Statistic::Minimum => self.ranked.first().copied(),
            Statistic::Maximum => self.ranked.last().copied(),
            Statistic::Sum => (n > 0).then_some(self.sum),
            Statistic::Average => divided(self.sum, n as i128),
            Statistic::Percentile(hundredths) => self.percentile(hundredths, 1),
            Statistic::QuartileDeviation => {
                let quartiles = self.percentile(75, 2).zip(self.percentile(25, 2));
                return quartiles
                    .and_then(|(upper, lower)| divided(upper - lower, 4))
                    .map_or(Answer::None, |half| Answer::Difference(self.shown(half)));
            }
            Statistic::StandardDeviation => {
                return self.variance().map_or(Answer::None, |variance| {
                    Answer::Difference(plain(variance.sqrt(), self.decimals + 2))
                });
            }
            Statistic::Variance => {
                return self.variance().map_or(Answer::None, |variance| {
                    Answer::Squared(plain(variance, self.decimals * 2 + 2))
                });
            }
            Statistic::Slope => {
                return self.slope().map_or(Answer::None, |slope| {
                    Answer::PerDay(plain(slope, significant(slope)))
                });
            }
        };
        found.map_or(Answer::None, |value| Answer::InUnit(self.shown(value)))
    }

    /// Between the two nearest ranks, times `times` so that halves of it stay exact.
    fn percentile(&self, hundredths: u8, times: i128) -> Option<i128> {
        let rank = self.ranked.len().checked_sub(1)? * usize::from(hundredths);
        let (low, rest) = (rank / 100, rank % 100);
        let lower = *self.ranked.get(low)?;
        let upper = *self.ranked.get(low + 1).unwrap_or(&lower);
        Some(lower * times + divided((upper - lower) * rest as i128 * times, 100)?)
    }

    /// Each value's deviation from the mean, in units.
    fn deviations(&self) -> impl Iterator<Item = (i64, f64)> {
        let n = self.samples.len() as i128;
        self.samples.iter().map(move |sample| {
            let times_n = sample.value.0 * n - self.sum;
            (sample.at, times_n as f64 / (n * ONE) as f64)
        })
    }

    fn variance(&self) -> Option<f64> {
        let n = self.samples.len();
        (n > 1).then(|| {
            let squares: f64 = self.deviations().map(|(_, d)| d * d).sum();
            squares / (n - 1) as f64
        })
    }

    /// Least squares, per day; `None` where all readings are of one time.
    fn slope(&self) -> Option<f64> {
        let (first, last) = self.span()?;
        if first == last {
            return None;
        }
        let n = self.samples.len() as f64;
        let day = |at: i64| (at - first.0) as f64 / DAY;
        let mean: f64 = self.samples.iter().map(|s| day(s.at)).sum::<f64>() / n;
        let (mut above, mut below) = (0.0, 0.0);
        for (at, deviation) in self.deviations() {
            let x = day(at) - mean;
            above += x * deviation;
            below += x * x;
        }
        Some(above / below)
    }

    /// The curve: one bucket for each part in which there is a reading. `within` is what [`Cut::Parts`] cuts; without it,
    /// the time from the first to the last reading.
    pub fn curve(&self, cut: Cut, within: Option<Range>, zone: &Zone) -> Vec<Bucket> {
        let mut buckets = Vec::new();
        let Some((first, last)) = self.span() else {
            return buckets;
        };
        let whole = within.unwrap_or(Range {
            lo: first.0,
            hi: last.0 + 1,
        });
        let mut rest = self.samples.as_slice();
        while let Some(next) = rest.first() {
            let part = cut.part(next.at, whole, zone);
            let end = rest.partition_point(|sample| sample.at < part.hi).max(1);
            let (now, later) = rest.split_at(end);
            buckets.push(self.bucket(part.lo, now));
            rest = later;
        }
        buckets
    }

    fn bucket(&self, from: i64, samples: &[Sample]) -> Bucket {
        let values = || samples.iter().map(|sample| sample.value.0);
        let shown = |value: Option<i128>| self.shown(value.unwrap_or_default());
        Bucket {
            from: Instant(from),
            count: samples.len(),
            minimum: shown(values().min()),
            average: shown(divided(values().sum(), samples.len() as i128)),
            maximum: shown(values().max()),
            first: shown(values().next()),
            last: shown(values().next_back()),
        }
    }
}

impl Cut {
    /// The part in which `at` lies.
    fn part(self, at: i64, whole: Range, zone: &Zone) -> Range {
        if let Cut::Parts(count) = self {
            let (count, width) = (
                i128::from(count.max(1)),
                i128::from(whole.hi - whole.lo).max(1),
            );
            let index = (i128::from(at - whole.lo) * count / width).clamp(0, count - 1);
            // The first moment of a part is the first whose index it is.
            let edge = |index: i128| whole.lo + ((index * width + count - 1) / count) as i64;
            return Range {
                lo: edge(index),
                hi: edge(index + 1),
            };
        }
        let alone = Range { lo: at, hi: at + 1 };
        self.calendar(at, zone).unwrap_or(alone)
    }

    fn calendar(self, at: i64, zone: &Zone) -> Option<Range> {
        let (year, month, day) = zone.day_of(Instant(at));
        let date = jiff::civil::Date::new(year, month, day).ok()?;
        let back = i32::from(date.weekday().to_monday_zero_offset());
        let days = |days: i32| jiff::Span::new().days(days);
        let (from, until) = match self {
            Cut::Day => (date, date.tomorrow().ok()?),
            Cut::Week => (
                date.checked_sub(days(back)).ok()?,
                date.checked_add(days(7 - back)).ok()?,
            ),
            Cut::Month => (date.first_of_month(), date.last_of_month().tomorrow().ok()?),
            _ => (date.first_of_year(), date.last_of_year().tomorrow().ok()?),
        };
        let start = |date: jiff::civil::Date| parse_date(&date.to_string(), zone).ok();
        Some(Range {
            lo: start(from)?.lo,
            hi: start(until)?.lo,
        })
    }
}

/// A number as JSON writes it, with at most so many decimals and no zeroes at the end.
fn plain(value: f64, decimals: u32) -> String {
    let text = format!("{value:.*}", decimals as usize);
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

/// Decimals that give six significant digits.
fn significant(value: f64) -> u32 {
    if value == 0.0 {
        return 0;
    }
    (5.0 - value.abs().log10().floor()).clamp(0.0, 18.0) as u32
}

#[cfg(test)]
mod tests;
