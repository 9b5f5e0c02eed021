//! From stored readings to series: the number of each, in the series' unit. One reading is read at a time and let go.

use super::ask::{Wanted, What};
use crate::api::operation::lastn::codings;
use crate::statistics::{Fixed, Sample, Series};
use fhir::index::Coding;
use fhir::json::{Json, Limits, Node};
use fhir::measurement::{self, Component, Decimal, Identified, Kind, Unit, ValueForm};
use fhir::systems;
use fhir::time::{Zone, parse_date};
use std::collections::BTreeMap;
use store::Stored;
use wire::outcome::Problem;

/// The series of one wanted kind or code.
pub struct Counted<'a> {
    wanted: &'a Wanted,
    pub lines: Vec<Line>,
    /// Readings left out for their status.
    pub invalid: usize,
    /// Readings without a time that they started at.
    pub undated: usize,
}

/// One series of numbers.
pub struct Line {
    /// What it is a series of.
    pub coding: Coding,
    pub name: Option<&'static str>,
    pub component: Option<&'static Component>,
    units: &'static [Unit],
    /// The unit it is counted in; of an unknown code, that of its newest reading.
    pub unit: Option<String>,
    /// Whether a number may come without a unit (scores).
    bare: bool,
    pub series: Series,
    /// Readings without a value.
    pub absent: usize,
    /// Values that could not be brought to the unit: unit and how many. Empty text: no unit.
    pub strange: BTreeMap<String, usize>,
    /// Values that are only a bound.
    pub bounds: usize,
    /// Values too large or too fine.
    pub absurd: usize,
}

impl Line {
    fn new(
        coding: Coding,
        name: Option<&'static str>,
        component: Option<&'static Component>,
        units: &'static [Unit],
        form: ValueForm,
    ) -> Line {
        Line {
            coding,
            name,
            component,
            units,
            unit: units.first().map(|unit| unit.code.clone()),
            bare: form == ValueForm::Bare,
            series: Series::default(),
            absent: 0,
            strange: BTreeMap::new(),
            bounds: 0,
            absurd: 0,
        }
    }

    /// Takes in the value of an Observation or component. A line says how many it took as `used`.
    fn take(&mut self, holder: Node<'_>, at: i64, id: u128) {
        let quantity = holder.get("valueQuantity");
        let number = quantity.and_then(|q| q.get("value")?.number());
        let (Some(quantity), Some(number)) = (quantity, number) else {
            self.absent += 1;
            return;
        };
        if quantity.get("comparator").is_some() {
            self.bounds += 1;
            return;
        }
        let Some((value, decimals)) = Decimal::parse(number).and_then(Fixed::exact) else {
            self.absurd += 1;
            return;
        };
        let ucum = quantity
            .text("system")
            .is_none_or(|system| system == systems::UCUM);
        let code = quantity
            .text("code")
            .filter(|_| ucum)
            .map(|code| code.into_owned());
        match self.in_unit(code.as_deref(), value, decimals) {
            Some(Some((value, decimals))) => {
                self.series.push(Sample { at, id, value }, decimals);
            }
            Some(None) => self.absurd += 1,
            None => *self.strange.entry(code.unwrap_or_default()).or_default() += 1,
        }
    }

    /// `None`: the unit is not one of the series'. `Some(None)`: the number does not fit.
    fn in_unit(
        &mut self,
        code: Option<&str>,
        value: Fixed,
        decimals: u32,
    ) -> Option<Option<(Fixed, u32)>> {
        if self.unit.is_none() {
            self.unit = code.map(str::to_owned);
        }
        if code.is_none() && !self.bare {
            return None;
        }
        if code.is_none() || code == self.unit.as_deref() {
            return Some(Some((value, decimals)));
        }
        let unit = self
            .units
            .iter()
            .find(|unit| Some(unit.code.as_str()) == code)?;
        Some(value.converted(decimals, unit.convert.as_ref()?))
    }
}

impl<'a> Counted<'a> {
    /// The lines of what was wanted, empty.
    pub fn of(wanted: &'a Wanted) -> Counted<'a> {
        let first = |(system, code): (&str, &str)| Coding {
            system: Some(system.to_owned()),
            code: code.to_owned(),
        };
        let mut lines = Vec::new();
        match &wanted.what {
            What::Code(coding) => {
                lines.push(Line::new(coding.clone(), None, None, &[], ValueForm::Coded));
            }
            What::Kind { kind, components } => {
                if components.is_empty() && !kind.units.is_empty() {
                    lines.extend(kind.codings().next().map(|coding| {
                        Line::new(
                            first(coding),
                            Some(&kind.en),
                            None,
                            &kind.units,
                            kind.quantity,
                        )
                    }));
                }
                for part in &kind.components {
                    let asked = components.is_empty() || components.iter().any(|c| c.id == part.id);
                    if asked && !part.units.is_empty() {
                        lines.extend(part.codings().next().map(|coding| {
                            Line::new(
                                first(coding),
                                Some(&part.en),
                                Some(part),
                                &part.units,
                                part.quantity,
                            )
                        }));
                    }
                }
            }
        }
        Counted {
            wanted,
            lines,
            invalid: 0,
            undated: 0,
        }
    }

    /// Takes in one reading.
    pub fn take(&mut self, stored: &Stored, zone: &Zone) -> Result<(), Problem> {
        let json = Json::parse(stored.body.clone(), Limits::BUNDLE)
            .map_err(|_| Problem::bug("a stored resource cannot be read"))?;
        let root = json.root();
        let set = codings(root);
        if let What::Kind { kind, .. } = &self.wanted.what
            && !belongs(kind, &set)
        {
            return Ok(());
        }
        if matches!(
            root.text("status").as_deref(),
            Some("entered-in-error" | "cancelled")
        ) {
            self.invalid += 1;
            return Ok(());
        }
        let Some(at) = start(root, zone) else {
            self.undated += 1;
            return Ok(());
        };
        let id = stored.id.uuid().as_u128();
        let own = match &self.wanted.what {
            What::Kind { kind, .. } => Some(*kind),
            What::Code(_) => None,
        };
        for line in &mut self.lines {
            match (line.component, own) {
                (Some(part), Some(kind)) => {
                    let list = root.get("component").into_iter().flat_map(Node::items);
                    for component in list.filter(|c| is_part(kind, part, *c)) {
                        line.take(component, at, id);
                    }
                }
                _ => line.take(root, at, id),
            }
        }
        Ok(())
    }

    /// Orders the series, and lets go of parts that nobody asked for by name and no reading has.
    pub fn finished(mut self) -> Counted<'a> {
        let by_name =
            matches!(&self.wanted.what, What::Kind { components, .. } if !components.is_empty());
        self.lines.retain(|line| {
            by_name
                || line.component.is_none_or(|part| part.required)
                || line.series.len() + line.left_out() > 0
        });
        for line in &mut self.lines {
            line.series.ignored = line.left_out();
            line.series = std::mem::take(&mut line.series).finished();
        }
        self
    }

    /// What was used and how often, for the audit trail.
    pub fn used(&self) -> impl Iterator<Item = (String, u64)> {
        self.lines
            .iter()
            .filter(|line| line.series.len() > 0)
            .map(|line| {
                let coding = &line.coding;
                let system = coding.system.as_deref().unwrap_or_default();
                (
                    format!("{system}|{}", coding.code),
                    line.series.len() as u64,
                )
            })
    }
}

impl Line {
    /// Values that were there and are in no statistic.
    pub fn left_out(&self) -> usize {
        self.absent + self.bounds + self.absurd + self.strange.values().sum::<usize>()
    }
}

/// Whether an Observation's codings name this kind, or one that shares its curve.
fn belongs(kind: &Kind, set: &[Coding]) -> bool {
    let pairs = set
        .iter()
        .filter_map(|coding| Some((coding.system.as_deref()?, coding.code.as_str())));
    match measurement::identify(pairs) {
        Identified::Kind(found) => found.id == kind.id || found.curve() == kind.id,
        _ => false,
    }
}

fn is_part(kind: &Kind, part: &Component, node: Node<'_>) -> bool {
    let set = codings(node);
    let pairs = set
        .iter()
        .filter_map(|coding| Some((coding.system.as_deref()?, coding.code.as_str())));
    kind.component(pairs)
        .is_some_and(|found| found.id == part.id)
}

/// When a reading started.
fn start(root: Node<'_>, zone: &Zone) -> Option<i64> {
    let text = root
        .text("effectiveDateTime")
        .or_else(|| root.text("effectiveInstant"))
        .or_else(|| root.get("effectivePeriod")?.text("start"))?;
    parse_date(&text, zone).ok().map(|range| range.lo)
}
