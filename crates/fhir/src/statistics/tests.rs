//! The statistics at their borders, and against an evaluator that is slow and obviously right.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;
use proptest::prelude::*;

/// A series of values, one an hour.
fn series(values: &[&str]) -> Series {
    let mut series = Series::default();
    for (n, text) in values.iter().enumerate() {
        let (value, decimals) = Fixed::read(text).unwrap();
        let sample = Sample {
            at: n as i64 * 3_600_000_000,
            id: n as u128,
            value,
        };
        series.push(sample, decimals);
    }
    series.finished()
}

fn asked(values: &[&str], statistic: Statistic) -> String {
    match series(values).ask(statistic) {
        Answer::InUnit(text)
        | Answer::Difference(text)
        | Answer::Squared(text)
        | Answer::PerDay(text) => text,
        Answer::Count(n) => n.to_string(),
        Answer::None => "-".into(),
    }
}

#[test]
fn medians_and_percentiles_at_their_borders() {
    for (values, hundredths, expected) in [
        (&["7"][..], 50, "7"),
        (&["7"], 5, "7"),
        (&["7"], 95, "7"),
        (&["1", "2"], 50, "1.5"),
        (&["3", "1", "2"], 50, "2"),
        (&["4", "1", "3", "2"], 50, "2.5"),
        (&["5", "5", "5", "5"], 75, "5"),
        (&["1", "1", "9", "9"], 50, "5"),
        (&["1", "2", "3", "4", "5"], 25, "2"),
        (&["1", "2", "3", "4", "5"], 75, "4"),
        (&["1", "2", "3", "4", "5"], 20, "1.8"),
        (&["1", "2", "3", "4", "5"], 80, "4.2"),
        (&["10", "20"], 95, "19.5"),
        (&["-1", "-2"], 50, "-1.5"),
        (&[], 50, "-"),
    ] {
        assert_eq!(
            asked(values, Statistic::Percentile(hundredths)),
            expected,
            "{values:?} {hundredths}"
        );
    }
    assert_eq!(
        asked(&["1", "2", "3", "4", "5"], Statistic::QuartileDeviation),
        "1"
    );
    assert_eq!(asked(&["1", "2"], Statistic::QuartileDeviation), "0.25");
}

#[test]
fn one_value_or_none_has_no_spread_and_no_slope() {
    for (values, expected) in [(&[][..], ["-"; 4]), (&["37.5"], ["37.5", "-", "-", "-"])] {
        let found = [
            Statistic::Average,
            Statistic::StandardDeviation,
            Statistic::Variance,
            Statistic::Slope,
        ]
        .map(|statistic| asked(values, statistic));
        assert_eq!(found, expected);
    }
    assert_eq!(asked(&[], Statistic::Sum), "-");
    assert_eq!(asked(&[], Statistic::Count), "0");
    // Two readings of one moment have a spread, but no slope.
    let mut twice = Series::default();
    for (id, text) in ["1", "2"].into_iter().enumerate() {
        let (value, _) = Fixed::read(text).unwrap();
        twice.push(
            Sample {
                at: 5,
                id: id as u128,
                value,
            },
            0,
        );
    }
    twice.ignored = 3;
    let twice = twice.finished();
    assert_eq!(twice.ask(Statistic::Slope), Answer::None);
    assert_eq!(
        twice.ask(Statistic::Variance),
        Answer::Squared("0.5".into())
    );
    assert_eq!(twice.ask(Statistic::TotalCount), Answer::Count(5));
}

#[test]
fn decimals_are_exact_and_rounding_is_as_the_page_says() {
    // In binary floating point 0.1 + 0.2 is not 0.3.
    assert_eq!(asked(&["0.1", "0.2"], Statistic::Sum), "0.3");
    assert_eq!(asked(&["0.1", "0.2"], Statistic::Average), "0.15");
    assert_eq!(asked(&["1", "1", "2"], Statistic::Average), "1.33");
    assert_eq!(asked(&["1", "2", "2"], Statistic::Average), "1.67");
    assert_eq!(asked(&["-1", "-2", "-2"], Statistic::Average), "-1.67");
    // 0.125 with one decimal in, three out; a half goes away from zero.
    assert_eq!(
        asked(&["0.1", "0.1", "0.1", "0.2"], Statistic::Average),
        "0.125"
    );
    assert_eq!(Fixed(ONE / 8).shown(2), "0.13");
    assert_eq!(Fixed(-ONE / 8).shown(2), "-0.13");
    assert_eq!(Fixed(ONE - 1).shown(2), "1");
    assert_eq!(Fixed(-1).shown(2), "0");
    assert_eq!(asked(&["1200", "1300.0"], Statistic::Maximum), "1300");
    assert_eq!(
        asked(&["1", "2", "3", "4"], Statistic::StandardDeviation),
        "1.29"
    );
    assert_eq!(
        asked(
            &["2", "4", "4", "4", "5", "5", "7", "9"],
            Statistic::Variance
        ),
        "4.57"
    );
    // An hour apart: one a reading is 24 a day.
    assert_eq!(asked(&["1", "2", "3"], Statistic::Slope), "24");
    assert_eq!(asked(&["3", "2", "1"], Statistic::Slope), "-24");
    assert_eq!(asked(&["5", "5", "5"], Statistic::Slope), "0");
    for absurd in ["1e13", "0.0000000000001", "-1e13"] {
        assert!(Fixed::read(absurd).is_none(), "{absurd}");
    }
}

#[test]
fn units_are_converted_exactly_where_that_can_be() {
    let kind = |id: &str| crate::measurement::by_id(id).unwrap();
    for (id, unit, value, expected, decimals) in [
        ("body-temperature", "[degF]", "98.6", "37", 0),
        ("body-temperature", "[degF]", "32", "0", 0),
        ("body-temperature", "[degF]", "14", "-10", 0),
        ("body-temperature", "[degF]", "98.7", "37.055555555556", 1),
        ("body-weight", "g", "81253", "81.253", 3),
        ("body-weight", "[lb_av]", "100", "45.359237", 3),
        ("body-height", "[in_i]", "70", "177.8", 1),
        ("blood-glucose", "mmol/l", "5.60", "5.6", 1),
        ("cfs", "1", "4", "4", 0),
    ] {
        let by = kind(id).unit(unit).unwrap().convert.as_ref().unwrap();
        let by = Factor::of(by).unwrap();
        let (value, sent) = Fixed::read(value).unwrap();
        let (converted, kept) = value.converted(sent, by).unwrap();
        assert_eq!(
            (converted.shown(12).as_str(), kept),
            (expected, decimals),
            "{id} {unit}"
        );
    }
}

fn at(text: &str) -> i64 {
    crate::time::parse_instant(text).unwrap().0
}

#[test]
fn a_curve_follows_the_calendar_of_its_zone() {
    let zone = Zone::default();
    let mut series = Series::default();
    for (n, when) in [
        "2026-03-28T23:30:00Z", // the 29th in Norway, the night of 23 hours
        "2026-03-29T21:59:59Z", // still the 29th
        "2026-03-29T22:00:00Z", // the 30th, a Monday
        "2026-03-31T22:00:00Z", // April
        "2026-12-31T23:00:00Z", // the new year
    ]
    .into_iter()
    .enumerate()
    {
        let value = Fixed(ONE * n as i128);
        series.push(
            Sample {
                at: at(when),
                id: n as u128,
                value,
            },
            0,
        );
    }
    let series = series.finished();
    let cut = |cut: Cut| -> Vec<(String, usize)> {
        series
            .curve(cut, None, &zone)
            .iter()
            .map(|b| (b.from.to_string()[..16].to_owned(), b.count))
            .collect()
    };
    let row = |from: &str, count| (from.to_owned(), count);
    assert_eq!(
        cut(Cut::Day),
        [
            row("2026-03-28T23:00", 2),
            row("2026-03-29T22:00", 1),
            row("2026-03-31T22:00", 1),
            row("2026-12-31T23:00", 1)
        ]
    );
    assert_eq!(
        cut(Cut::Week),
        [
            row("2026-03-22T23:00", 2),
            row("2026-03-29T22:00", 2),
            row("2026-12-27T23:00", 1)
        ]
    );
    assert_eq!(
        cut(Cut::Month),
        [
            row("2026-02-28T23:00", 3),
            row("2026-03-31T22:00", 1),
            row("2026-12-31T23:00", 1)
        ]
    );
    assert_eq!(
        cut(Cut::Year),
        [row("2025-12-31T23:00", 4), row("2026-12-31T23:00", 1)]
    );
    let first = &series.curve(Cut::Month, None, &zone)[0];
    let shown = [
        &first.minimum,
        &first.average,
        &first.maximum,
        &first.first,
        &first.last,
    ];
    assert_eq!(shown, ["0", "1", "2", "0", "2"]);
}

#[test]
fn equal_parts_hold_their_first_moment_and_not_their_last() {
    let zone = Zone::default();
    let mut series = Series::default();
    for n in 0..10 {
        series.push(
            Sample {
                at: n * 10,
                id: 0,
                value: Fixed(0),
            },
            0,
        );
    }
    let series = series.finished();
    let within = Some(Range { lo: 0, hi: 100 });
    let cut = |parts| -> Vec<(i64, usize)> {
        let buckets = series.curve(Cut::Parts(parts), within, &zone);
        buckets.iter().map(|b| (b.from.0, b.count)).collect()
    };
    assert_eq!(cut(1), [(0, 10)]);
    assert_eq!(cut(2), [(0, 5), (50, 5)]);
    assert_eq!(cut(3), [(0, 4), (34, 3), (67, 3)]);
    assert_eq!(cut(1000).len(), 10);
    assert!(
        Series::default()
            .finished()
            .curve(Cut::Day, None, &zone)
            .is_empty()
    );
}

/// Slow and obviously right, on whole numbers.
mod naive {
    pub fn percentile(values: &[i64], hundredths: f64) -> f64 {
        let mut sorted: Vec<f64> = values.iter().map(|v| *v as f64).collect();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() - 1) as f64 * hundredths / 100.0;
        let (low, high) = (rank.floor() as usize, rank.ceil() as usize);
        sorted[low] + (sorted[high] - sorted[low]) * (rank - rank.floor())
    }

    pub fn mean(values: &[i64]) -> f64 {
        values.iter().map(|v| *v as f64).sum::<f64>() / values.len() as f64
    }

    pub fn variance(values: &[i64]) -> f64 {
        let mean = mean(values);
        let squares: f64 = values.iter().map(|v| (*v as f64 - mean).powi(2)).sum();
        squares / (values.len() - 1) as f64
    }

    pub fn slope(points: &[(i64, i64)]) -> f64 {
        let n = points.len() as f64;
        let day = |at: i64| at as f64 / 86_400_000_000.0;
        let (sx, sy): (f64, f64) = points
            .iter()
            .fold((0.0, 0.0), |(x, y), (a, v)| (x + day(*a), y + *v as f64));
        let sxy: f64 = points.iter().map(|(a, v)| day(*a) * *v as f64).sum();
        let sxx: f64 = points.iter().map(|(a, _)| day(*a) * day(*a)).sum();
        (n * sxy - sx * sy) / (n * sxx - sx * sx)
    }
}

proptest! {
    #[test]
    fn agrees_with_the_naive_evaluator(points in prop::collection::vec((0_i64..365, -5000_i64..5000), 1..60), parts in 1_u32..40) {
        let mut series = Series::default();
        let mut exact = Vec::new();
        for (n, (day, value)) in points.iter().enumerate() {
            let at = day * 86_400_000_000;
            exact.push((at, *value));
            series.push(Sample { at, id: n as u128, value: Fixed(i128::from(*value) * ONE) }, 0);
        }
        let series = series.finished();
        let values: Vec<i64> = points.iter().map(|p| p.1).collect();
        let near = |statistic, expected: f64, allowed: f64| {
            let (Answer::InUnit(text) | Answer::Difference(text) | Answer::Squared(text) | Answer::PerDay(text)) = series.ask(statistic) else { return false };
            (text.parse::<f64>().unwrap() - expected).abs() <= allowed
        };
        prop_assert!(near(Statistic::Minimum, *values.iter().min().unwrap() as f64, 0.0));
        prop_assert!(near(Statistic::Maximum, *values.iter().max().unwrap() as f64, 0.0));
        prop_assert!(near(Statistic::Sum, values.iter().sum::<i64>() as f64, 0.0));
        prop_assert!(near(Statistic::Average, naive::mean(&values), 0.0051));
        for hundredths in [5, 20, 25, 40, 50, 60, 75, 80, 95] {
            prop_assert!(near(Statistic::Percentile(hundredths), naive::percentile(&values, f64::from(hundredths)), 0.0051), "{}", hundredths);
        }
        let quartiles = naive::percentile(&values, 75.0) - naive::percentile(&values, 25.0);
        prop_assert!(near(Statistic::QuartileDeviation, quartiles / 2.0, 0.0051));
        if values.len() > 1 {
            prop_assert!(near(Statistic::Variance, naive::variance(&values), 0.0051));
            prop_assert!(near(Statistic::StandardDeviation, naive::variance(&values).sqrt(), 0.0051));
        }
        if exact.iter().any(|p| p.0 != exact[0].0) {
            let slope = naive::slope(&exact);
            prop_assert!(near(Statistic::Slope, slope, slope.abs() * 1e-5 + 1e-6));
        }
        // A curve holds every reading once, in order, whatever it is cut into.
        for cut in [Cut::Day, Cut::Week, Cut::Month, Cut::Year, Cut::Parts(parts)] {
            let curve = series.curve(cut, None, &Zone::default());
            prop_assert_eq!(curve.iter().map(|b| b.count).sum::<usize>(), values.len());
            prop_assert!(curve.windows(2).all(|w| w[0].from < w[1].from));
            prop_assert!(!matches!(cut, Cut::Parts(n) if curve.len() > n as usize));
            let lowest = curve.iter().map(|b| b.minimum.parse::<f64>().unwrap()).fold(f64::MAX, f64::min);
            prop_assert_eq!(lowest as i64, *values.iter().min().unwrap());
        }
    }

    #[test]
    fn the_short_way_of_reading_a_number_gives_what_the_long_one_gives(
        text in "-?(0|[1-9][0-9]{0,13})(\\.[0-9]{1,8})?([eE][+-]?[0-9])?|[-.0-9x]{0,6}",
    ) {
        let long = Decimal::parse(&text).and_then(Fixed::exact).map(|(value, decimals)| (value.0, decimals));
        prop_assert_eq!(Fixed::read(&text).map(|(value, decimals)| (value.0, decimals)), long);
    }

    #[test]
    fn order_of_arrival_does_not_matter(values in prop::collection::vec(-500_i128..500, 1..30)) {
        let of = |order: &mut dyn Iterator<Item = (usize, &i128)>| {
            let mut series = Series::default();
            for (n, value) in order {
                series.push(Sample { at: (n / 3) as i64, id: n as u128, value: Fixed(*value * ONE) }, 0);
            }
            let series = series.finished();
            let row = series.curve(Cut::Parts(3), None, &Zone::default());
            let ends: Vec<String> = row.iter().map(|b| format!("{} {}", b.first, b.last)).collect();
            (TABLE.iter().map(|r| series.ask(r.0)).collect::<Vec<_>>(), ends)
        };
        let there = of(&mut values.iter().enumerate());
        let back = of(&mut values.iter().enumerate().rev());
        prop_assert_eq!(there, back);
    }
}
