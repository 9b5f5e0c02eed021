//! From readings to series: the number of each, in the series' unit, taken from the bytes where they lie. A series is chosen by
//! its codes before one reading of it is opened.

use super::asked::{Wanted, What};
use super::{Factor, Fixed, Sample, Series};
use crate::index::Coding;
use crate::json::Glance;
use crate::measurement::{self, Component, Identified, Kind, Unit, ValueForm};
use crate::systems;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Status codes of readings that no number is taken from: what was entered in error "should not have existed" (FHIR R4
/// observation-status), and what was cancelled was never measured.
const INVALID: [&str; 2] = ["entered-in-error", "cancelled"];

/// The series of one wanted kind or code.
pub struct Counted {
    what: What,
    /// Its series: the kind's own, and one for each component.
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
    /// How it is called.
    pub name: Option<&'static str>,
    /// The component, where it is one's.
    pub component: Option<&'static Component>,
    /// The units of a kind, the first of them that of the series, and how values in the others become such.
    units: Vec<(&'static str, Option<Factor>)>,
    /// The unit it is counted in; of an unknown code, that of its newest reading, known when all are taken in.
    pub unit: Option<String>,
    /// Values of an unknown code, by their unit.
    open: BTreeMap<String, Vec<(Sample, u32)>>,
    /// Whether a number may come without a unit (scores).
    bare: bool,
    /// The numbers.
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

/// A Quantity as far as it is counted with.
#[derive(Default)]
struct Quantity<'a> {
    value: Option<&'a str>,
    comparator: bool,
    ucum: bool,
    code: Option<Cow<'a, str>>,
}

impl<'a> Quantity<'a> {
    fn read(glance: Glance<'a>) -> Quantity<'a> {
        let mut quantity = Quantity {
            ucum: true,
            ..Quantity::default()
        };
        for (name, value) in glance.members() {
            match name.as_ref() {
                "value" => quantity.value = value.number(),
                "comparator" => quantity.comparator = true,
                "system" => quantity.ucum = value.str().is_none_or(|s| s == systems::UCUM),
                "code" => quantity.code = value.str(),
                _ => {}
            }
        }
        quantity
    }
}

impl Line {
    fn new(
        coding: Coding,
        name: Option<&'static str>,
        component: Option<&'static Component>,
        units: &'static [Unit],
        form: ValueForm,
    ) -> Line {
        let factor = |unit: &Unit| unit.convert.as_ref().and_then(Factor::of);
        Line {
            coding,
            name,
            component,
            units: units
                .iter()
                .map(|unit| (unit.code.as_str(), factor(unit)))
                .collect(),
            unit: units.first().map(|unit| unit.code.clone()),
            open: BTreeMap::new(),
            bare: form == ValueForm::Bare,
            series: Series::default(),
            absent: 0,
            strange: BTreeMap::new(),
            bounds: 0,
            absurd: 0,
        }
    }

    /// Takes in the `valueQuantity` of an Observation or component. Whether there was a value to count with.
    fn take(&mut self, quantity: Option<Glance<'_>>, at: i64, id: u128) -> bool {
        let quantity = quantity.map(Quantity::read).unwrap_or_default();
        let Some(number) = quantity.value else {
            self.absent += 1;
            return false;
        };
        if quantity.comparator {
            self.bounds += 1;
            return false;
        }
        let Some((value, decimals)) = Fixed::read(number) else {
            self.absurd += 1;
            return false;
        };
        let code = quantity.code.filter(|_| quantity.ucum);
        let sample = Sample { at, id, value };
        if let (true, Some(code)) = (self.units.is_empty(), &code) {
            self.open
                .entry(code.to_string())
                .or_default()
                .push((sample, decimals));
            return true;
        }
        match self.in_unit(code.as_deref(), value, decimals) {
            Some(Some((value, decimals))) => {
                self.series.push(Sample { value, ..sample }, decimals);
                return true;
            }
            Some(None) => self.absurd += 1,
            None => {
                *self
                    .strange
                    .entry(code.unwrap_or_default().into_owned())
                    .or_default() += 1
            }
        }
        false
    }

    /// `None`: the unit is not one of the series'. `Some(None)`: the number does not fit.
    fn in_unit(
        &self,
        code: Option<&str>,
        value: Fixed,
        decimals: u32,
    ) -> Option<Option<(Fixed, u32)>> {
        let first = self.units.first().map(|(code, _)| *code);
        match code {
            None => self.bare.then_some(Some((value, decimals))),
            Some(_) if code == first => Some(Some((value, decimals))),
            Some(_) => {
                let (_, factor) = self.units.iter().find(|(unit, _)| Some(*unit) == code)?;
                Some(value.converted(decimals, (*factor)?))
            }
        }
    }

    /// Chooses the unit of an unknown code: its newest reading's. Values in others are left out.
    fn settle(&mut self) {
        let newest = |values: &[(Sample, u32)]| {
            let newest = values
                .iter()
                .map(|(sample, _)| (sample.at, std::cmp::Reverse(sample.id)));
            newest.max()
        };
        let open = std::mem::take(&mut self.open);
        if let Some((unit, _)) = open.iter().max_by_key(|(_, values)| newest(values)) {
            self.unit = Some(unit.clone());
        }
        for (unit, values) in open {
            if Some(&unit) == self.unit.as_ref() {
                values
                    .into_iter()
                    .for_each(|(sample, decimals)| self.series.push(sample, decimals));
            } else {
                self.strange.insert(unit, values.len());
            }
        }
    }
}

impl Counted {
    /// The lines of what was wanted, empty.
    #[must_use]
    pub fn of(wanted: Wanted) -> Counted {
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
            what: wanted.what,
            lines,
            invalid: 0,
            undated: 0,
        }
    }

    /// Orders the series, and lets go of parts that nobody asked for by name and no reading has.
    pub fn finished(mut self) -> Counted {
        let by_name = matches!(&self.what, What::Kind { components, .. } if !components.is_empty());
        for line in &mut self.lines {
            line.settle();
        }
        self.lines.retain(|line| {
            by_name
                || line.component.is_none_or(|part| part.required)
                || line.series.count() + line.left_out() > 0
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
            .filter(|line| line.series.count() > 0)
            .map(|line| {
                let coding = &line.coding;
                let system = coding.system.as_deref().unwrap_or_default();
                (
                    format!("{system}|{}", coding.code),
                    line.series.count() as u64,
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

impl Counted {
    /// Whether readings with these codings are of what is counted.
    #[must_use]
    pub fn enters(&self, codes: &[Coding]) -> bool {
        match &self.what {
            What::Kind { kind, .. } => belongs(kind, codes),
            What::Code(_) => true,
        }
    }

    /// Takes in a reading of what is counted: its status, when it started (UTC microseconds), a number that breaks ties, and
    /// its body. Whether a value was taken from it.
    pub fn take(&mut self, status: &str, start: Option<i64>, id: u128, body: Glance<'_>) -> bool {
        if INVALID.contains(&status) {
            self.invalid += 1;
            return false;
        }
        let Some(at) = start else {
            self.undated += 1;
            return false;
        };
        let (mut value, mut components) = (None, None);
        for (name, held) in body.members() {
            match name.as_ref() {
                "valueQuantity" => value = Some(held),
                "component" => components = Some(held),
                _ => {}
            }
        }
        let mut counts = false;
        for line in self
            .lines
            .iter_mut()
            .filter(|line| line.component.is_none())
        {
            counts |= line.take(value, at, id);
        }
        if let (What::Kind { kind, .. }, Some(components)) = (&self.what, components) {
            for component in components.items() {
                let part = part(kind, component).map(|part| &part.id);
                let mut lines = self.lines.iter_mut();
                // A line without a component is the Observation's own value.
                if let Some(line) =
                    lines.find(|l| part.is_some() && l.component.map(|c| &c.id) == part)
                {
                    counts |= line.take(component.get("valueQuantity"), at, id);
                }
            }
        }
        counts
    }
}

/// Whether an Observation's codings name this kind, or one that shares its curve.
fn belongs(kind: &Kind, set: &[Coding]) -> bool {
    let pairs = set
        .iter()
        .filter_map(|c| Some((c.system.as_deref()?, c.code.as_str())));
    match measurement::identify(pairs) {
        Identified::Kind(found) => found.id == kind.id || found.curve() == kind.id,
        _ => false,
    }
}

/// Which part of a kind a component is.
fn part<'k>(kind: &'k Kind, component: Glance<'_>) -> Option<&'k Component> {
    let codings = component.get("code")?.get("coding")?;
    codings.items().find_map(|coding| {
        let (system, code) = (coding.get("system")?.str()?, coding.get("code")?.str()?);
        kind.component(std::iter::once((system.as_ref(), code.as_ref())))
    })
}
