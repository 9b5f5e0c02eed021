//! A figure with its conditions, as one JSON line (CONTRACT section 9) or as a line of a table for people.

use super::drive::Driven;
use super::statistics::rounded;
use serde::Serialize;
use serde_json::{Map, Value};

/// One measured figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Name of CONTRACT section 9, `workload/what`.
    pub metric: &'static str,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The bare limit measured in the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// Value through limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Under which this was measured.
    pub conditions: Map<String, Value>,
}

impl Figure {
    /// A figure, rounded to four digits.
    pub fn new(metric: &'static str, value: f64, unit: &'static str) -> Figure {
        Figure {
            metric,
            value: rounded(value),
            unit,
            limit: None,
            ratio: None,
            conditions: Map::new(),
        }
    }

    /// Beside the bare limit of the same run.
    #[must_use]
    pub fn beside(mut self, limit: f64) -> Figure {
        self.limit = Some(rounded(limit));
        self.ratio = (limit > 0.0).then(|| rounded(self.value / limit));
        self
    }

    /// With one more condition.
    #[must_use]
    pub fn under(mut self, name: &str, value: impl Into<Value>) -> Figure {
        self.conditions.insert(name.to_owned(), value.into());
        self
    }

    /// With the processor time that a unit of work took, of everything and of the generator alone.
    #[must_use]
    pub fn using(self, driven: &Driven) -> Figure {
        let (all, generator) = driven.processor_us();
        self.under("processor_us_each_in_all", all)
            .under("processor_us_each_of_generator", generator)
    }

    /// For people: the figure on one line, its conditions on the next.
    pub fn for_people(&self) -> String {
        let limit = match (self.limit, self.ratio) {
            (Some(limit), Some(ratio)) => format!("   ({ratio} of the bare limit {limit})"),
            _ => String::new(),
        };
        let conditions: Vec<String> = self
            .conditions
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) => format!("{name}: {text}"),
                other => format!("{name}: {other}"),
            })
            .collect();
        format!(
            "{:<36} {:>12} {}{limit}\n    {}",
            self.metric,
            self.value,
            self.unit,
            conditions.join("; ")
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn the_json_line_is_the_contracts() {
        let figure = Figure::new("lookup/per_second", 3_000.4, "1/s")
            .beside(12_000.0)
            .under("clients", 64);
        assert_eq!(
            serde_json::to_string(&figure).unwrap(),
            r#"{"metric":"lookup/per_second","value":3000.0,"unit":"1/s","limit":12000.0,"ratio":0.25,"conditions":{"clients":64}}"#
        );
        let bare = Figure::new("start/seconds", 0.25, "s");
        assert_eq!(
            serde_json::to_string(&bare).unwrap(),
            r#"{"metric":"start/seconds","value":0.25,"unit":"s","conditions":{}}"#
        );
        assert!(figure.for_people().contains("0.25 of the bare limit 12000"));
    }

    #[test]
    fn without_a_limit_there_is_no_ratio() {
        assert_eq!(Figure::new("x/y", 1.0, "s").beside(0.0).ratio, None);
    }
}
