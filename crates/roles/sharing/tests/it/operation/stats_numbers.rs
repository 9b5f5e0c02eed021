//! Every number of `$stats` beside a naive computation: mixed units and codes, all statuses, repeats, and a curve.

use super::stats::{asked, measured, named, said, with};
use crate::house::*;
use serde_json::Value;

const LOINC: &str = "http://loinc.org";
const SNOMED: &str = "http://snomed.info/sct";

/// The numbers of a series, computed the slow and obvious way from what was sent.
mod naive {
    /// (value, its decimals) in the series' unit, by what was sent.
    pub fn kilograms(value: f64, unit: &str) -> f64 {
        match unit {
            "g" => value / 1000.0,
            "[lb_av]" => value * 0.453_592_37,
            _ => value,
        }
    }

    pub fn statistics(points: &[(f64, f64)]) -> Vec<(&'static str, f64)> {
        let mut sorted: Vec<f64> = points.iter().map(|p| p.1).collect();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len() as f64;
        let sum: f64 = sorted.iter().sum();
        let mean = sum / n;
        let variance = sorted.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let percentile = |hundredths: f64| {
            let rank = (n - 1.0) * hundredths / 100.0;
            let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
            low + (high - low) * rank.fract()
        };
        let days = points.iter().map(|p| p.0).sum::<f64>() / n;
        let above: f64 = points.iter().map(|(d, v)| (d - days) * (v - mean)).sum();
        let below: f64 = points.iter().map(|(d, _)| (d - days).powi(2)).sum();
        vec![
            ("count", n),
            ("minimum", sorted[0]),
            ("maximum", sorted[sorted.len() - 1]),
            ("average", mean),
            ("sum", sum),
            ("variance", variance),
            ("std-dev", variance.sqrt()),
            ("median", percentile(50.0)),
            ("5-percent", percentile(5.0)),
            ("95-percent", percentile(95.0)),
            ("4-lower", percentile(25.0)),
            ("4-upper", percentile(75.0)),
            ("5-1", percentile(20.0)),
            ("5-3", percentile(60.0)),
            ("4-dev", (percentile(75.0) - percentile(25.0)) / 2.0),
            ("regression", above / below),
        ]
    }
}

/// A number of the answer.
fn number_of(component: &Value) -> f64 {
    component["valueInteger"]
        .as_f64()
        .or(component["valueQuantity"]["value"].as_f64())
        .unwrap()
}

#[tokio::test]
async fn every_number_is_what_a_naive_computation_gives() {
    const UNITS: [&str; 4] = ["kg", "g", "[lb_av]", "kg"];
    const STATUS: [&str; 7] = [
        "final",
        "preliminary",
        "amended",
        "corrected",
        "unknown",
        "entered-in-error",
        "cancelled",
    ];
    let (mut list, mut points, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for n in 0..300_i64 {
        let at = NOW.0 - (n + 1) * 5_000_000_000 * 7;
        let (unit, status) = (UNITS[random(4) as usize], STATUS[random(7) as usize]);
        let tenths = 600 + random(300);
        let text = match unit {
            "g" => format!("{}", tenths * 100),
            _ => format!("{}.{}", tenths / 10, tenths % 10),
        };
        let key = format!("n-{n}");
        let code = if random(3) == 0 {
            (SNOMED, "27113001")
        } else {
            (LOINC, "29463-7")
        };
        let mut body = measured(
            ragnhild(),
            &key,
            &fhir::time::Instant(at).to_string(),
            code,
            &text,
            unit,
        );
        body["status"] = status.into();
        // Some are sent twice; they count once.
        if random(10) == 0 {
            ids.push(body.clone());
        }
        list.push(body);
        if !matches!(status, "entered-in-error" | "cancelled") {
            points.push((
                at as f64 / 86_400e6,
                naive::kilograms(text.parse().unwrap(), unit),
            ));
        }
    }
    let service = with(&list).await;
    assert!(!ids.is_empty());
    let again = service
        .post(
            &service.record_system(FJELLVIK),
            "/",
            &bundle("batch", &ids),
        )
        .await;
    for entry in again.json["entry"].as_array().unwrap() {
        assert!(
            entry["response"]["status"]
                .as_str()
                .unwrap()
                .starts_with("200"),
            "{entry}"
        );
    }
    let expected = naive::statistics(&points);
    let names: Vec<&str> = expected.iter().map(|one| one.0).collect();
    let form = [
        ("code", "29463-7"),
        ("statistic", &names.join(",")),
        ("bucket", "week"),
    ];
    let reply = asked(&service, &form).await;
    let components = named(&reply, "statistics")[0]["resource"]["component"]
        .as_array()
        .unwrap()
        .clone();
    for ((name, expected), component) in expected.iter().zip(&components) {
        let found = number_of(component);
        let allowed = if *name == "regression" {
            expected.abs() * 1e-5
        } else {
            0.000_06
        };
        assert!(
            (found - expected).abs() <= allowed,
            "{name}: {found}, naive {expected}"
        );
    }
    let left_out = list.len() - points.len();
    assert_eq!(
        said(&reply),
        [format!(
            "Body weight: {left_out} entered in error or cancelled are left out"
        )]
    );
    // The curve holds each of them once, between its own ends.
    let curve = named(&reply, "curve")[0]["part"]
        .as_array()
        .unwrap()
        .clone();
    let buckets: Vec<&Value> = curve.iter().filter(|p| p["name"] == "bucket").collect();
    let part = |bucket: &Value, name: &str| {
        let parts = bucket["part"].as_array().unwrap();
        let one = parts.iter().find(|p| p["name"] == name).unwrap().clone();
        one["valueInteger"]
            .as_f64()
            .or(one["valueDecimal"].as_f64())
            .unwrap()
    };
    assert_eq!(
        buckets.iter().map(|b| part(b, "count")).sum::<f64>() as usize,
        points.len()
    );
    for (n, bucket) in buckets.iter().enumerate() {
        let edge = |bucket: &Value| {
            let start = bucket["part"][0]["valueInstant"].as_str().unwrap();
            fhir::time::parse_instant(start).unwrap().0 as f64 / 86_400e6
        };
        let (lo, hi) = (
            edge(bucket),
            buckets.get(n + 1).map_or(f64::MAX, |next| edge(next)),
        );
        let within: Vec<f64> = points
            .iter()
            .filter(|p| p.0 >= lo && p.0 < hi)
            .map(|p| p.1)
            .collect();
        let near = |name: &str, expected: f64| {
            assert!(
                (part(bucket, name) - expected).abs() < 0.000_06,
                "{name} of week {n}"
            );
        };
        near("count", within.len() as f64);
        near("minimum", within.iter().copied().fold(f64::MAX, f64::min));
        near("maximum", within.iter().copied().fold(f64::MIN, f64::max));
        near("average", within.iter().sum::<f64>() / within.len() as f64);
        // Newest first as they were made.
        near("first", within[within.len() - 1]);
        near("last", within[0]);
    }
}
