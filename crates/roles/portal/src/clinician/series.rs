//! The five curves as rows: each reading once, with its source, its oxygen and its flags; days without readings as rows
//! of their own. Everything that has no curve stands in a table at the end.

use super::plan::{Band, bands, zone_of, zone_word};
use super::sources::{Source, Sources};
use crate::calendar::{Calendar, DAY, decimal, rounded};
use crate::look_up::LookUp;
use crate::look_up::answer::{Amount, Named, Oxygen, Reading};
use crate::look_up::plan::Plan;
use crate::text::Text;
use fhir::plan::{Measure, PlanLimits, Zone};
use wire::signed::Worth;

/// What a curve shows.
pub struct SeriesKind {
    /// Short name, in ids and data.
    pub id: &'static str,
    /// Measurement kinds of `spec/measurements/` that it takes.
    pub kinds: &'static [&'static str],
    /// The parts that it draws beside each other, [`fhir::measurement::Component::id`]; none: the kind's own value.
    pub parts: &'static [&'static str],
    /// Key of its name.
    pub name: &'static str,
    /// Unit shown.
    pub unit: &'static str,
    /// UCUM code of the unit that the curve and the plan's limits are in.
    pub ucum: &'static str,
    /// Longest time that a line may bridge, and after which an expected reading is missing.
    pub bridge: i64,
    /// Smallest span of the axis.
    pub span: f64,
}

impl SeriesKind {
    /// What of it a plan may limit, in the order in which it is drawn.
    pub fn measures(&self) -> impl Iterator<Item = Measure<'static>> {
        let own = Measure::whole(self.kinds[0], self.ucum);
        let whole = self.parts.is_empty().then_some(own);
        let parts = self.parts.iter().map(move |part| Measure {
            part: Some(part),
            ..own
        });
        whole.into_iter().chain(parts)
    }

    /// Whether a plan limits it.
    pub fn is_limited(&self, says: &PlanLimits) -> bool {
        self.measures().any(|of| says.bands(of).next().is_some())
    }
}

const DAILY: i64 = DAY + DAY / 2;
const THRICE_WEEKLY: i64 = 3 * DAY + DAY / 2;

/// The curves, in the order of the page.
pub const SERIES: [SeriesKind; 5] = [
    SeriesKind {
        id: "spo2",
        kinds: &["oxygen-saturation"],
        parts: &[],
        name: "series.spo2",
        unit: "%",
        ucum: "%",
        bridge: DAILY,
        span: 8.0,
    },
    SeriesKind {
        id: "pulse",
        kinds: &["heart-rate", "pulse"],
        parts: &[],
        name: "series.pulse",
        unit: "slag/min",
        ucum: "/min",
        bridge: DAILY,
        span: 40.0,
    },
    SeriesKind {
        id: "pressure",
        kinds: &["blood-pressure"],
        parts: &["systolic", "diastolic"],
        name: "series.pressure",
        unit: "mmHg",
        ucum: "mm[Hg]",
        bridge: THRICE_WEEKLY,
        span: 80.0,
    },
    SeriesKind {
        id: "temperature",
        kinds: &["body-temperature"],
        parts: &[],
        name: "series.temperature",
        unit: "°C",
        ucum: "Cel",
        bridge: DAILY,
        span: 2.0,
    },
    SeriesKind {
        id: "weight",
        kinds: &["body-weight"],
        parts: &[],
        name: "series.weight",
        unit: "kg",
        ucum: "kg",
        bridge: THRICE_WEEKLY,
        span: 4.0,
    },
];

/// Oxygen flow belongs to a saturation taken within so many milliseconds.
const SAME_OCCASION: i64 = 5 * 60_000;

/// One curve and its table.
pub struct SeriesView {
    /// Which.
    pub kind: &'static SeriesKind,
    /// Its name in words.
    pub name: String,
    /// Whether its table has an oxygen column.
    pub has_oxygen: bool,
    /// The newest reading.
    pub latest: Option<Latest>,
    /// Newest first, with gaps between.
    pub rows: Vec<Row>,
    /// Readings alone, oldest first, for drawing.
    pub points: Vec<Point>,
    /// Spans without an expected reading.
    pub gaps: Vec<(i64, i64)>,
    /// The plan's limits.
    pub bands: Vec<Band>,
    /// The curve in words, for those who do not see it.
    pub summary: String,
    /// How many readings.
    pub count: usize,
}

/// The newest reading, large.
pub struct Latest {
    /// With comma.
    pub value: String,
    /// When.
    pub when: String,
    /// The plan's zone, in class names.
    pub zone: Option<(&'static str, &'static str)>,
    /// Whose.
    pub source: Option<Source>,
    /// Oxygen in words.
    pub oxygen: Option<String>,
}

/// One row of a table.
pub struct Row {
    /// Milliseconds since 1970: where it begins.
    pub t: i64,
    /// For a gap, where it ends.
    pub end: Option<i64>,
    /// In words.
    pub when: String,
    /// With comma, unit left to the heading.
    pub value: String,
    /// Oxygen in words.
    pub oxygen: String,
    /// (class, word)
    pub zone: Option<(&'static str, &'static str)>,
    /// Whose.
    pub source: Option<Source>,
    /// What else must be said: corrected, converted, several routes.
    pub flags: Vec<String>,
    /// The words of a gap; such a row has no value.
    pub gap: Option<String>,
}

impl Row {
    /// Where it ends: for a reading, where it began.
    pub fn until(&self) -> i64 {
        self.end.unwrap_or(self.t)
    }
}

/// One point of a curve.
pub struct Point {
    /// Milliseconds since 1970.
    pub t: i64,
    /// The value drawn.
    pub v: f64,
    /// The diastolic pressure.
    pub w: Option<f64>,
    /// Index of the source's mark.
    pub mark: usize,
    /// With unit.
    pub words: String,
    /// Oxygen in words, when it was more than air.
    pub oxygen: Option<String>,
}

/// A reading that has no curve.
pub struct OtherRow {
    /// What was measured.
    pub what: String,
    /// When.
    pub when: String,
    /// Value and unit, or words.
    pub value: String,
    /// Whose.
    pub source: Option<Source>,
    /// What else must be said.
    pub flags: Vec<String>,
}

/// The name of a measurement kind: the curve's name, else the Norwegian or English one of `spec/measurements/`.
pub fn kind_name(id: &str, text: &Text) -> String {
    if let Some(series) = SERIES.iter().find(|series| series.kinds.contains(&id)) {
        return text.of(series.name).to_owned();
    }
    let kind = fhir::measurement::by_id(id);
    kind.map_or(id, |kind| text.among(&kind.nb, &kind.nb, &kind.en))
        .to_owned()
}

/// The name of a part of a kind.
pub fn part_word<'a>(kind: &str, part: &'a str, text: &Text) -> &'a str {
    let known = fhir::measurement::by_id(kind).and_then(|kind| kind.part(part));
    known.map_or(part, |part| text.among(&part.nb, &part.nb, &part.en))
}

/// The organisation a reading belongs to, else the service it came by.
pub fn source_of(reading: &Reading) -> Option<Named> {
    reading.organisation.clone().or_else(|| {
        reading.routes.first().map(|number| Named {
            number: number.clone(),
            name: None,
        })
    })
}

/// A value in the curve's unit: number, words, and the words for a conversion.
struct Shown {
    v: f64,
    w: Option<f64>,
    words: String,
    converted: Option<String>,
}

fn shown(reading: &Reading) -> Option<Shown> {
    if let Some(parts) = &reading.pressure {
        let [systolic, diastolic] = parts;
        return Some(Shown {
            v: systolic.as_ref()?.number,
            w: diastolic.as_ref().map(|amount| amount.number),
            words: pressure_words(parts),
            converted: None,
        });
    }
    let amount = reading.value.as_ref()?;
    let sign = amount
        .comparator
        .as_ref()
        .map_or(String::new(), |sign| format!("{sign} "));
    let factor: Option<fn(f64) -> f64> = match amount.unit.as_str() {
        "g" => Some(|v| v / 1000.0),
        "[lb_av]" => Some(|v| v * 0.453_592_37),
        "[degF]" => Some(|v| (v - 32.0) / 1.8),
        _ => None,
    };
    Some(match factor {
        None => Shown {
            v: amount.number,
            w: None,
            words: format!("{sign}{}", decimal(&amount.digits)),
            converted: None,
        },
        Some(convert) => {
            let v = convert(amount.number);
            Shown {
                v,
                w: None,
                words: format!("{sign}{}", rounded(v)),
                converted: Some(with_unit(amount)),
            }
        }
    })
}

/// `138/82`; a part that is not there is a dash.
fn pressure_words(parts: &[Option<Amount>; 2]) -> String {
    let part = |amount: &Option<Amount>| {
        let amount = amount.as_ref();
        amount.map_or_else(|| "–".to_owned(), |amount| decimal(&amount.digits))
    };
    parts.each_ref().map(part).join("/")
}

/// `61,4 kg`
fn with_unit(amount: &Amount) -> String {
    let unit = match amount.unit.as_str() {
        "Cel" => "°C",
        "[degF]" => "°F",
        "[lb_av]" => "lb",
        "mm[Hg]" => "mmHg",
        "/min" => "/min",
        "{score}" => "",
        other => other,
    };
    format!("{} {unit}", decimal(&amount.digits))
        .trim_end()
        .to_owned()
}

fn oxygen_words(oxygen: &Oxygen, text: &Text) -> String {
    match oxygen {
        Oxygen::Air => text.of("oxygen.air").to_owned(),
        Oxygen::Flow(amount) if amount.unit.eq_ignore_ascii_case("l/min") => {
            format!("{} l/min", decimal(&amount.digits))
        }
        Oxygen::Flow(amount) | Oxygen::Percent(amount) => with_unit(amount),
        Oxygen::Some => text.of("oxygen.some").to_owned(),
        Oxygen::Unclear => text.of("oxygen.unclear").to_owned(),
    }
}

/// What must be said beside a value.
fn flags(
    reading: &Reading,
    source: Option<&Source>,
    sources: &Sources,
    text: &Text,
) -> Vec<String> {
    let mut flags = Vec::new();
    match reading.status.as_str() {
        "corrected" | "amended" => flags.push(text.of("flag.corrected").to_owned()),
        "entered-in-error" => flags.push(text.of("flag.error").to_owned()),
        "preliminary" | "registered" => flags.push(text.of("flag.preliminary").to_owned()),
        "cancelled" => flags.push(text.of("flag.cancelled").to_owned()),
        _ => {}
    }
    if reading.disagrees {
        flags.push(text.of("flag.disagrees").to_owned());
    }
    if let Some(worth) = reading.signature {
        flags.push(text.of(signed(worth)).to_owned());
    }
    if let Some(words) = &reading.interpretation {
        flags.push(text.fill("flag.interpretation", &[("words", words)]));
    }
    let others: Vec<&str> = reading
        .routes
        .iter()
        .map(|number| sources.name(number))
        .filter(|name| reading.routes.len() > 1 || source.is_some_and(|own| own.name != *name))
        .collect();
    if !others.is_empty() {
        flags.push(text.fill("flag.routes", &[("names", &others.join(", "))]));
    }
    flags
}

fn signed(worth: Worth) -> &'static str {
    match worth {
        Worth::Stands => "signed.stands",
        Worth::Shortened => "signed.shortened",
        Worth::Fails => "signed.fails",
        Worth::Missing => "signed.missing",
    }
}

/// Splits the readings into the five curves and the rest.
pub fn view(
    found: &LookUp,
    sources: &Sources,
    calendar: &Calendar,
    text: &Text,
) -> (Vec<SeriesView>, Vec<OtherRow>) {
    let of_kinds = |kinds: &[&str]| -> Vec<&Reading> {
        let own = |reading: &&Reading| {
            reading
                .kind
                .is_some_and(|kind| kinds.contains(&kind.id.as_str()))
        };
        found.readings.iter().filter(own).collect()
    };
    let flows = of_kinds(&["oxygen-flow"]);
    let mut used_flows: Vec<*const Reading> = Vec::new();
    let series: Vec<SeriesView> = SERIES
        .iter()
        .map(|kind| {
            let readings = of_kinds(kind.kinds);
            let context = Context {
                found,
                sources,
                calendar,
                text,
                flows: &flows,
            };
            let (view, used) = one(kind, &readings, &context);
            used_flows.extend(used);
            view
        })
        .collect();
    let drawn: Vec<*const Reading> = series_members(found);
    let mut rest: Vec<&Reading> = found
        .readings
        .iter()
        .filter(|reading| {
            let address: *const Reading = *reading;
            !drawn.contains(&address) && !used_flows.contains(&address)
        })
        .collect();
    rest.sort_by_key(|reading| std::cmp::Reverse(reading.when));
    (
        series,
        rest.into_iter()
            .map(|reading| other(reading, sources, calendar, text))
            .collect(),
    )
}

/// Readings that some curve's table shows.
fn series_members(found: &LookUp) -> Vec<*const Reading> {
    let known = |reading: &&Reading| {
        let kind = reading.kind.is_some_and(|kind| {
            SERIES
                .iter()
                .any(|series| series.kinds.contains(&kind.id.as_str()))
        });
        kind && reading.when.is_some() && shown(reading).is_some()
    };
    found
        .readings
        .iter()
        .filter(known)
        .map(std::ptr::from_ref)
        .collect()
}

struct Context<'a> {
    found: &'a LookUp,
    sources: &'a Sources,
    calendar: &'a Calendar,
    text: &'a Text,
    flows: &'a [&'a Reading],
}

fn one(
    kind: &'static SeriesKind,
    readings: &[&Reading],
    context: &Context<'_>,
) -> (SeriesView, Vec<*const Reading>) {
    let Context {
        found,
        sources,
        calendar,
        text,
        ..
    } = context;
    let name = text.of(kind.name).to_owned();
    let has_oxygen = kind.id == "spo2";
    let mut used = Vec::new();
    let mut rows = Vec::new();
    let mut points = Vec::new();
    for reading in readings {
        let (Some(when), Some(value)) = (reading.when, shown(reading)) else {
            continue;
        };
        let source = source_of(reading).map(|named| sources.of(&named));
        let mut oxygen = reading.oxygen.clone();
        if has_oxygen && oxygen.is_none() {
            let near = |flow: &&&Reading| {
                flow.when
                    .is_some_and(|at| (at.millis - when.millis).abs() <= SAME_OCCASION)
            };
            let own = |flow: &&&Reading| {
                source_of(flow).map(|named| named.number)
                    == source_of(reading).map(|named| named.number)
            };
            if let Some(flow) = context.flows.iter().filter(near).find(own) {
                used.push(std::ptr::from_ref(*flow));
                oxygen = flow.value.clone().map(|amount| {
                    if amount.number == 0.0 {
                        Oxygen::Air
                    } else {
                        Oxygen::Flow(amount)
                    }
                });
            }
        }
        let by_plan = oxygen.is_none()
            && found
                .plans
                .iter()
                .any(|plan| plan.air() && plan.in_force(when.millis));
        let on_oxygen = oxygen.as_ref().is_some_and(|oxygen| *oxygen != Oxygen::Air);
        let oxygen_text = match &oxygen {
            Some(oxygen) => oxygen_words(oxygen, text),
            None if by_plan => text.of("oxygen.air_by_plan").to_owned(),
            None => text.of("oxygen.unknown").to_owned(),
        };
        let counts = !matches!(reading.status.as_str(), "entered-in-error" | "cancelled");
        // The plan's saturation limits are for room air: on oxygen nothing is well by them, and what is red is that all the more.
        let by_limits = !(has_oxygen && on_oxygen);
        let zone = zone_of(&found.plans, kind, reading, when.millis)
            .filter(|zone| counts && (by_limits || *zone > Zone::Green));
        let mut flags = flags(reading, source.as_ref(), sources, text);
        if let Some(original) = &value.converted {
            flags.push(text.fill("flag.converted", &[("original", original)]));
        }
        if counts {
            points.push(Point {
                t: when.millis,
                v: value.v,
                w: value.w,
                mark: source.as_ref().and_then(|source| source.mark).unwrap_or(5),
                words: format!("{} {}", value.words, kind.unit),
                oxygen: on_oxygen.then(|| text.fill("oxygen.on", &[("amount", &oxygen_text)])),
            });
        }
        rows.push(Row {
            t: when.millis,
            end: None,
            when: calendar.moment_text(when),
            value: value.words,
            oxygen: oxygen_text,
            zone: zone.map(|zone| (zone.code(), zone_word(zone, text))),
            source,
            flags,
            gap: None,
        });
    }
    points.sort_by_key(|point| point.t);
    rows.sort_by_key(|row| std::cmp::Reverse(row.t));
    let count = rows.len();
    let latest = latest(&rows, points.last(), has_oxygen);
    let gaps = gaps(&points, &found.plans, kind.bridge, found.at);
    for (from, to) in &gaps {
        let span = [
            ("from", calendar.date_time(*from)),
            ("to", calendar.date_time(*to)),
        ];
        let words = text.fill("series.gap", &[("from", &span[0].1), ("to", &span[1].1)]);
        rows.push(Row {
            t: *from,
            end: Some(*to),
            when: words.clone(),
            value: String::new(),
            oxygen: String::new(),
            zone: None,
            source: None,
            flags: Vec::new(),
            gap: Some(words),
        });
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.t));
    let summary = match &latest {
        None => text.fill("series.summary_none", &[("name", &name)]),
        Some(latest) => text.fill(
            "series.summary",
            &[
                ("name", &name),
                ("n", &count.to_string()),
                ("latest", &format!("{} {}", latest.value, kind.unit)),
                ("when", &latest.when),
                ("gaps", &gaps.len().to_string()),
            ],
        ),
    };
    let bands = bands(&found.plans, kind, text);
    (
        SeriesView {
            kind,
            name,
            has_oxygen,
            latest,
            rows,
            points,
            gaps,
            bands,
            summary,
            count,
        },
        used,
    )
}

fn latest(rows: &[Row], newest: Option<&Point>, has_oxygen: bool) -> Option<Latest> {
    let at = newest?.t;
    let row = rows.iter().find(|row| row.t == at)?;
    Some(Latest {
        value: row.value.clone(),
        when: row.when.clone(),
        zone: row.zone,
        source: row.source.clone(),
        oxygen: has_oxygen.then(|| row.oxygen.clone()),
    })
}

/// Days without a reading where one was expected: while a plan is in force, for what is measured often. What is
/// measured seldom (a weight at visits) has no gaps, only a broken line.
fn gaps(points: &[Point], plans: &[Plan], bridge: i64, now: i64) -> Vec<(i64, i64)> {
    let Some(begin) = plans
        .iter()
        .filter_map(|plan| plan.from)
        .map(|from| from.millis)
        .min()
    else {
        return Vec::new();
    };
    let mut times: Vec<i64> = points
        .iter()
        .map(|point| point.t)
        .filter(|t| *t >= begin)
        .collect();
    times.dedup();
    let mut intervals: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    intervals.sort_unstable();
    let often = intervals
        .get(intervals.len() / 2)
        .is_some_and(|median| times.len() >= 4 && *median <= bridge);
    if !often {
        return Vec::new();
    }
    times.push(now);
    times
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > bridge)
        .map(|pair| (pair[0], pair[1]))
        .collect()
}

fn other(reading: &Reading, sources: &Sources, calendar: &Calendar, text: &Text) -> OtherRow {
    let what = match (reading.kind, &reading.words) {
        (Some(kind), _) => kind_name(&kind.id, text),
        (None, Some(words)) => words.clone(),
        (None, None) => text.of("other.unnamed").to_owned(),
    };
    let source = source_of(reading).map(|named| sources.of(&named));
    let value = match (&reading.pressure, &reading.value, &reading.said) {
        (Some(parts), _, _) => format!("{} mmHg", pressure_words(parts)),
        (None, Some(amount), _) => with_unit(amount),
        (None, None, Some(words)) => words.clone(),
        (None, None, None) => text.of("other.no_value").to_owned(),
    };
    OtherRow {
        what,
        when: reading.when.map_or_else(
            || text.of("other.no_time").to_owned(),
            |when| calendar.moment_text(when),
        ),
        value,
        flags: flags(reading, source.as_ref(), sources, text),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir::plan::PlanLimits;

    fn points(days: &[i64]) -> Vec<Point> {
        let point = |day: &i64| Point {
            t: day * DAY,
            v: 90.0,
            w: None,
            mark: 0,
            words: String::new(),
            oxygen: None,
        };
        days.iter().map(point).collect()
    }

    fn plan_from(day: i64) -> Plan {
        Plan {
            says: PlanLimits {
                status: "active".to_owned(),
                ..PlanLimits::default()
            },
            unreadable: false,
            from: Some(crate::calendar::Moment {
                millis: day * DAY,
                exact: true,
            }),
            to: None,
            organisation: None,
            routes: Vec::new(),
        }
    }

    #[test]
    fn days_without_an_expected_reading_are_gaps_also_the_last_ones() {
        let daily = points(&[0, 1, 2, 3, 6, 7, 8]);
        assert_eq!(
            gaps(&daily, &[plan_from(0)], DAILY, 9 * DAY),
            [(3 * DAY, 6 * DAY)]
        );
        assert_eq!(
            gaps(&daily, &[plan_from(0)], DAILY, 11 * DAY),
            [(3 * DAY, 6 * DAY), (8 * DAY, 11 * DAY)]
        );
    }

    #[test]
    fn what_is_measured_seldom_or_before_any_plan_has_no_gaps() {
        assert!(
            gaps(
                &points(&[0, 30, 61, 90, 122]),
                &[plan_from(0)],
                DAILY,
                130 * DAY
            )
            .is_empty()
        );
        assert!(gaps(&points(&[0, 1, 2, 3, 9, 10]), &[], DAILY, 11 * DAY).is_empty());
        assert!(
            gaps(
                &points(&[0, 1, 2, 3, 9, 10]),
                &[plan_from(8)],
                DAILY,
                11 * DAY
            )
            .is_empty()
        );
    }
}
