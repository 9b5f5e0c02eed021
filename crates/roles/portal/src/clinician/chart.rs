//! The data element that the curves are drawn from: the same readings as the tables, in the shape of `web/src/data.ts`.

use serde::Serialize;

use super::series::SeriesView;
use super::sources::Sources;
use crate::calendar::{Calendar, DAY};
use crate::look_up::LookUp;
use crate::text::Text;

#[derive(Serialize)]
struct Data<'a> {
    now: i64,
    zone: &'a str,
    language: &'static str,
    sources: Vec<String>,
    series: Vec<Series<'a>>,
    happenings: Vec<Happening>,
    text: Words,
}

#[derive(Serialize)]
struct Words {
    shown: &'static str,
    none: &'static str,
}

#[derive(Serialize)]
struct Series<'a> {
    id: &'static str,
    readings: Vec<Reading<'a>>,
    bands: Vec<Band<'a>>,
    gaps: &'a [(i64, i64)],
    bridge: i64,
    span: f64,
    unit: &'static str,
}

#[derive(Serialize)]
struct Reading<'a> {
    t: i64,
    v: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    w: Option<f64>,
    s: usize,
    d: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    o: Option<&'a str>,
}

#[derive(Serialize)]
struct Band<'a> {
    zone: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
    from: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<i64>,
    label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<f64>,
}

#[derive(Serialize)]
struct Happening {
    t: i64,
    label: String,
}

/// The data as JSON that may stand in a script element: `<` never appears in it.
pub fn data(
    found: &LookUp,
    series: &[SeriesView],
    sources: &Sources,
    calendar: &Calendar,
    text: &Text,
) -> String {
    let data = Data {
        now: found.at,
        zone: calendar.name(),
        language: text.language.tag(),
        sources: sources
            .marked()
            .into_iter()
            .map(|source| source.name)
            .collect(),
        series: series.iter().map(one).collect(),
        happenings: happenings(found, calendar),
        text: Words {
            shown: text.of("series.shown"),
            none: text.of("series.none_in_range"),
        },
    };
    serde_json::to_string(&data)
        .unwrap_or_default()
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

fn one(series: &SeriesView) -> Series<'_> {
    let reading = |point: &'_ super::series::Point| (point.t, point.v, point.w, point.mark);
    Series {
        id: series.kind.id,
        readings: series
            .points
            .iter()
            .map(|point| {
                let (t, v, w, s) = reading(point);
                Reading {
                    t,
                    v,
                    w,
                    s,
                    d: &point.words,
                    o: point.oxygen.as_deref(),
                }
            })
            .collect(),
        bands: series
            .bands
            .iter()
            .map(|band| Band {
                zone: band.zone.code(),
                low: band.low,
                high: band.high,
                from: band.from,
                to: band.to,
                label: band.label.as_deref().unwrap_or(""),
                line: band.line,
            })
            .collect(),
        gaps: &series.gaps,
        bridge: series.kind.bridge,
        span: series.kind.span,
        unit: series.kind.unit,
    }
}

/// Medicines started in the last three months, those of one day together.
fn happenings(found: &LookUp, calendar: &Calendar) -> Vec<Happening> {
    let mut started: Vec<(i64, String)> = found
        .medicines
        .iter()
        .filter(|medicine| medicine.status != "entered-in-error" && !medicine.name.is_empty())
        .filter_map(|medicine| Some((medicine.from?.millis, short(&medicine.name))))
        .filter(|(at, _)| (found.at - 92 * DAY..=found.at).contains(at))
        .collect();
    started.sort();
    let mut happenings: Vec<Happening> = Vec::new();
    for (t, label) in started {
        match happenings.last_mut() {
            Some(last) if calendar.date(last.t) == calendar.date(t) => {
                if !last.label.contains(&label) {
                    last.label = format!("{}, {label}", last.label);
                }
            }
            _ => happenings.push(Happening { t, label }),
        }
    }
    happenings
}

/// The first word of a medicine's name: what fits on a curve.
fn short(name: &str) -> String {
    name.split_whitespace()
        .next()
        .unwrap_or(name)
        .trim_end_matches(',')
        .to_owned()
}
