//! The measurement kinds that Delt knows: codes, units, components and how wide a value may technically be.
//!
//! The facts are data, one file a kind in `spec/measurements/` (VkpObservation 0.5.x and no-domain VitalSigns
//! 0.9.0, both drafts of HL7 Norway); this module reads them once. A new kind is one more file there and one
//! line in `FILES`.

mod decimal;
mod oxygen;
mod questionnaire;

pub use decimal::Decimal;
pub use oxygen::{Breathed, breathed};
pub use questionnaire::Questionnaire;

use crate::index::Coding;
use crate::systems;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Our own codes for kinds that nobody has published a code for.
pub const LOCAL: &str = "https://delt.example/fhir/CodeSystem/measurement-kind";

/// Embeds the kinds, in the order in which they are listed and preferred.
macro_rules! kinds {
    ($($name:literal),+ $(,)?) => {
        /// Name and text of every file of `spec/measurements/`.
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../spec/measurements/", $name, ".toml")))),+];
    };
}
kinds!(
    "heart-rate",
    "pulse",
    "blood-pressure",
    "oxygen-saturation",
    "body-temperature",
    "body-weight",
    "respiratory-rate",
    "oxygen-flow",
    "blood-glucose",
    "body-height",
    "body-mass-index",
    "consciousness",
    "news2",
    "cfs",
    "questionnaire-score",
    "cat-score",
);

/// How a kind's value is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueForm {
    /// A Quantity with value, unit, system and code (HL7 vital signs).
    Full,
    /// A Quantity with value, system and code.
    Coded,
    /// A Quantity with at least a value; a unit, if given, must be one of the kind's.
    Bare,
    /// No value on the Observation itself; the components carry it.
    None,
    /// A CodeableConcept.
    Concept,
}

/// A unit in which a kind may be sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// UCUM code.
    pub code: String,
    /// How it is shown to people in Norway.
    pub show: String,
    /// Smallest technically plausible value, inclusive. Nothing clinical.
    #[serde(deserialize_with = "decimal")]
    pub low: Decimal,
    /// Largest technically plausible value, inclusive. Nothing clinical.
    #[serde(deserialize_with = "decimal")]
    pub high: Decimal,
    /// Whether only whole numbers make sense (scores).
    #[serde(default)]
    pub whole: bool,
    /// How a value in this unit becomes one in the kind's first unit; every unit but the first has it.
    #[serde(default)]
    pub convert: Option<Conversion>,
}

/// `(value - minus) * times / over` is the value in the kind's first unit.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversion {
    /// Taken away first; 0 if it is not there.
    #[serde(default = "zero", deserialize_with = "decimal")]
    pub minus: Decimal,
    /// Then multiplied by; 1 if it is not there.
    #[serde(default = "one", deserialize_with = "decimal")]
    pub times: Decimal,
    /// Then divided by; 1 if it is not there.
    #[serde(default = "one", deserialize_with = "decimal")]
    pub over: Decimal,
}

const fn zero() -> Decimal {
    Decimal::ZERO
}

const fn one() -> Decimal {
    Decimal::ONE
}

impl Unit {
    /// Whether `value` may technically be a value of this kind in this unit.
    #[must_use]
    pub fn is_plausible(&self, value: Decimal) -> bool {
        self.low <= value && value <= self.high && (!self.whole || value.is_whole())
    }
}

fn decimal<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let text = String::deserialize(deserializer)?;
    Decimal::parse(&text).ok_or_else(|| serde::de::Error::custom("a decimal in quotes expected"))
}

/// A part of a kind, sent as `Observation.component`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Our name of the part, unique in its kind.
    pub id: String,
    /// Norwegian name.
    pub nb: String,
    /// English name.
    pub en: String,
    /// Whether the kind is incomplete without it.
    #[serde(default)]
    pub required: bool,
    /// LOINC codes.
    #[serde(default)]
    pub loinc: Vec<String>,
    /// SNOMED CT codes, of all Norwegian profile families.
    #[serde(default)]
    pub snomed: Vec<String>,
    /// Our own codes ([`LOCAL`]).
    #[serde(default)]
    pub local: Vec<String>,
    /// How its value is given.
    pub quantity: ValueForm,
    /// Accepted units; the first is the one shown.
    #[serde(default, rename = "unit")]
    pub units: Vec<Unit>,
}

/// A coded answer of a kind whose value is a CodeableConcept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Our name of the answer.
    pub id: String,
    /// Norwegian text.
    pub nb: String,
    /// SNOMED CT code.
    pub snomed: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusedExample {
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "says what the refused example shows; read by the test of the examples"
        )
    )]
    expression: String,
}

/// A measurement kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Our stable name, for example `oxygen-saturation`.
    pub id: String,
    /// Norwegian name.
    pub nb: String,
    /// English name.
    pub en: String,
    /// Code of `Observation.category` (system observation-category) that the kind belongs to.
    pub category: String,
    /// Whether HL7's vital-signs profile covers it.
    #[serde(default)]
    pub vital_sign: bool,
    /// LOINC codes; the first is the common key.
    #[serde(default)]
    pub loinc: Vec<String>,
    /// SNOMED CT codes, of all Norwegian profile families.
    #[serde(default)]
    pub snomed: Vec<String>,
    /// Norwegian laboratory codes (NLK, NPU).
    #[serde(default)]
    pub nlk: Vec<String>,
    /// Our own codes ([`LOCAL`]).
    #[serde(default)]
    pub local: Vec<String>,
    /// How its value is given.
    pub quantity: ValueForm,
    /// The kind whose curve and plan limits it shares; see [`Kind::curve`].
    #[serde(default)]
    like: Option<String>,
    /// Accepted units; the first is the one shown.
    #[serde(default, rename = "unit")]
    pub units: Vec<Unit>,
    /// Its parts.
    #[serde(default, rename = "component")]
    pub components: Vec<Component>,
    /// Known coded answers.
    #[serde(default, rename = "answer")]
    pub answers: Vec<Answer>,
    /// The questionnaire whose score it is.
    #[serde(default)]
    pub questionnaire: Option<Questionnaire>,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by the test of the examples")
    )]
    refused: RefusedExample,
}

/// The pairs (system, code) of a kind or component.
fn codings<'a>(
    loinc: &'a [String],
    snomed: &'a [String],
    nlk: &'a [String],
    local: &'a [String],
) -> impl Iterator<Item = (&'static str, &'a str)> {
    let of =
        |system: &'static str, codes: &'a [String]| codes.iter().map(move |c| (system, c.as_str()));
    of(systems::LOINC, loinc)
        .chain(of(systems::SNOMED, snomed))
        .chain(of(systems::NLK, nlk))
        .chain(of(LOCAL, local))
}

impl Kind {
    /// Every coding that names this kind, as (system, code), the most common first.
    pub fn codings(&self) -> impl Iterator<Item = (&'static str, &str)> {
        codings(&self.loinc, &self.snomed, &self.nlk, &self.local)
    }

    /// The id of the kind whose curve and limits are also this one's: pulse goes with heart rate.
    #[must_use]
    pub fn curve(&self) -> &str {
        self.like.as_deref().unwrap_or(&self.id)
    }

    /// The component that one of these codings names.
    pub fn component<'a>(
        &self,
        mut codes: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<&Component> {
        codes.find_map(|coding| {
            self.components
                .iter()
                .find(|c| c.codings().any(|own| own == coding))
        })
    }

    /// The unit with this UCUM code.
    #[must_use]
    pub fn unit(&self, code: &str) -> Option<&Unit> {
        self.units.iter().find(|u| u.code == code)
    }

    /// The part of this name.
    #[must_use]
    pub fn part(&self, id: &str) -> Option<&Component> {
        self.components.iter().find(|c| c.id == id)
    }
}

impl Component {
    /// Every coding that names this part, as (system, code).
    pub fn codings(&self) -> impl Iterator<Item = (&'static str, &str)> {
        codings(&self.loinc, &self.snomed, &[], &self.local)
    }

    /// The unit with this UCUM code.
    #[must_use]
    pub fn unit(&self, code: &str) -> Option<&Unit> {
        self.units.iter().find(|u| u.code == code)
    }
}

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let read = |(name, text): &(&str, &str)| {
        toml::from_str::<Kind>(text).unwrap_or_else(|e| {
            panic!("spec/measurements/{name}.toml, which a test reads, does not parse: {e}")
        })
    };
    FILES.iter().map(read).collect()
});

/// Code to (system, kind). Several kinds may share a code.
static BY_CODE: LazyLock<HashMap<&'static str, Vec<(&'static str, &'static Kind)>>> =
    LazyLock::new(|| {
        let mut map: HashMap<_, Vec<_>> = HashMap::new();
        for kind in KINDS.iter() {
            for (system, code) in kind.codings() {
                map.entry(code).or_default().push((system, kind));
            }
        }
        map
    });

/// Every kind, in the order of preference.
#[must_use]
pub fn all() -> &'static [Kind] {
    &KINDS
}

/// The kind with this id (`oxygen-saturation`).
#[must_use]
pub fn by_id(id: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.id == id)
}

/// The part that codings name, of a kind whose value is in its parts; `None` where they name none, or more than one thing.
pub fn part_of<'a>(
    codings: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Option<(&'static Kind, &'static Component)> {
    let mut kinds = KINDS.iter().filter(|k| k.quantity == ValueForm::None);
    let (kind, part) = kinds.find_map(|kind| Some((kind, kind.component(codings.clone())?)))?;
    let agrees = |coding| match kind.component(std::iter::once(coding)) {
        Some(named) => named.id == part.id,
        None => candidates(coding.0, coding.1).all(|named| named.id == kind.id),
    };
    codings.clone().all(agrees).then_some((kind, part))
}

/// The kind that is the score of the questionnaire with this canonical, whatever its version.
#[must_use]
pub fn of_questionnaire(canonical: &str) -> Option<&'static Kind> {
    let plain = canonical.split('|').next().unwrap_or_default();
    let is = |kind: &&Kind| {
        let form = kind.questionnaire.as_ref();
        form.is_some_and(|form| form.canonical == plain)
    };
    KINDS.iter().find(is)
}

/// The kinds that a coding names, the preferred first.
fn candidates(system: &str, code: &str) -> impl Iterator<Item = &'static Kind> {
    let system = system.to_owned();
    BY_CODE
        .get(code)
        .into_iter()
        .flatten()
        .filter(move |(s, _)| *s == system)
        .map(|(_, kind)| *kind)
}

/// The first kind that this one coding names: heart rate, not pulse, for the LOINC code that they share.
#[must_use]
pub fn by_coding(system: &str, code: &str) -> Option<&'static Kind> {
    candidates(system, code).next()
}

/// What a set of codings names.
#[derive(Debug, Clone, Copy)]
pub enum Identified {
    /// Exactly this kind: every coding that we know is one of its.
    Kind(&'static Kind),
    /// No coding is known.
    Unknown,
    /// Two codings name different kinds.
    Contradiction,
}

/// The kind that all known codings of a CodeableConcept, given as (system, code), agree on.
pub fn identify<'a>(codings: impl Iterator<Item = (&'a str, &'a str)>) -> Identified {
    let mut agreed: Option<Vec<&'static Kind>> = None;
    for (system, code) in codings {
        let mut named = candidates(system, code).peekable();
        if named.peek().is_none() {
            continue;
        }
        agreed = Some(match agreed {
            None => named.collect(),
            Some(before) => {
                let named: Vec<_> = named.collect();
                before
                    .into_iter()
                    .filter(|k| named.iter().any(|n| n.id == k.id))
                    .collect()
            }
        });
    }
    match agreed {
        None => Identified::Unknown,
        Some(kinds) => kinds
            .first()
            .map_or(Identified::Contradiction, |kind| Identified::Kind(kind)),
    }
}

/// The kind of an index entry's codings; `None` when unknown or contradictory.
#[must_use]
pub fn of(codings: &[Coding]) -> Option<&'static Kind> {
    let pairs = codings
        .iter()
        .filter_map(|c| Some((c.system.as_deref()?, c.code.as_str())));
    match identify(pairs) {
        Identified::Kind(kind) => Some(kind),
        Identified::Unknown | Identified::Contradiction => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::check::{Rules, check};
    use crate::json::{Json, Limits};

    #[test]
    fn every_file_parses_and_says_its_own_name() {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/measurements");
        let mut on_disk: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .filter_map(|e| {
                e.unwrap()
                    .file_name()
                    .to_str()?
                    .strip_suffix(".toml")
                    .map(str::to_owned)
            })
            .collect();
        let mut named: Vec<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        on_disk.sort();
        named.sort();
        assert_eq!(
            on_disk, named,
            "every file of spec/measurements/ is embedded"
        );
        for ((name, text), kind) in FILES.iter().zip(all()) {
            let parsed: Kind = toml::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!((parsed.id.as_str(), kind.id.as_str()), (*name, *name));
            let units = kind
                .units
                .iter()
                .chain(kind.components.iter().flat_map(|c| &c.units));
            assert!(
                units.clone().all(|u| u.low < u.high && !u.show.is_empty()),
                "{name}"
            );
            let lists =
                std::iter::once(&kind.units).chain(kind.components.iter().map(|c| &c.units));
            for list in lists {
                for (n, unit) in list.iter().enumerate() {
                    assert_eq!(unit.convert.is_some(), n > 0, "{name}: {}", unit.code);
                    let over = unit.convert.is_none_or(|c| c.over != Decimal::ZERO);
                    assert!(over, "{name}: {}", unit.code);
                }
            }
            assert!(
                kind.codings().count() > 0
                    && kind.components.iter().all(|c| c.codings().count() > 0),
                "{name}"
            );
            assert!(by_id(kind.curve()).is_some(), "{name}: like");
            let with_unit = |form, units: &[Unit]| {
                matches!(form, ValueForm::None | ValueForm::Concept) == units.is_empty()
            };
            assert!(with_unit(kind.quantity, &kind.units), "{name}");
            assert!(
                kind.components
                    .iter()
                    .all(|c| with_unit(c.quantity, &c.units)),
                "{name}"
            );
        }
    }

    #[test]
    fn every_kind_has_an_example_that_is_accepted_and_one_refused_where_it_says() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../spec/measurements/examples");
        for kind in all() {
            let run = |what: &str| {
                let path = folder.join(format!("{}.{what}.json", kind.id));
                let bytes =
                    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                let json = Json::parse(bytes, Limits::RESOURCE).unwrap();
                check(&json, json.root(), &Rules::default())
                    .map(|c| of(&c.index().codings).map(|k| k.id.clone()))
            };
            assert_eq!(run("accepted"), Ok(Some(kind.id.clone())), "{}", kind.id);
            let issues = run("refused").unwrap_err();
            let expressions: Vec<_> = issues.iter().flat_map(|i| &i.expression).collect();
            assert_eq!(
                expressions,
                [&kind.refused.expression],
                "{}: {issues:?}",
                kind.id
            );
        }
    }

    #[test]
    fn codes_of_both_norwegian_families_and_shared_codes() {
        let is = |codes: &[(&str, &str)], expected: &str| match identify(codes.iter().copied()) {
            Identified::Kind(kind) => assert_eq!(kind.id, expected),
            other => panic!("{codes:?}: {other:?}"),
        };
        is(&[(systems::LOINC, "8867-4")], "heart-rate");
        is(
            &[(systems::LOINC, "8867-4"), (systems::SNOMED, "78564009")],
            "pulse",
        );
        is(&[(systems::SNOMED, "271625008")], "respiratory-rate");
        is(
            &[(systems::SNOMED, "86290005"), ("urn:other", "x")],
            "respiratory-rate",
        );
        is(&[(systems::NLK, "NPU02187")], "blood-glucose");
        is(&[(systems::LOINC, "74465-6")], "questionnaire-score");
        is(
            &[(systems::LOINC, "74465-6"), (LOCAL, "cat-score")],
            "cat-score",
        );
        // The misprint of the guide's table is not a code of ours, nor is a code in another system.
        for (system, code) in [
            (systems::LOINC, "29563-7"),
            (systems::SNOMED, "8867-4"),
            ("", "8867-4"),
        ] {
            assert!(matches!(
                identify([(system, code)].into_iter()),
                Identified::Unknown
            ));
        }
        let both = [(systems::LOINC, "29463-7"), (systems::SNOMED, "364075005")];
        assert!(matches!(
            identify(both.into_iter()),
            Identified::Contradiction
        ));
    }

    #[test]
    fn plausibility_includes_its_borders() {
        let spo2 = by_id("oxygen-saturation").unwrap().unit("%").unwrap();
        for (value, plausible) in [
            ("-0.1", false),
            ("0", true),
            ("100", true),
            ("100.0", true),
            ("100.1", false),
        ] {
            assert_eq!(
                spo2.is_plausible(Decimal::parse(value).unwrap()),
                plausible,
                "{value}"
            );
        }
        let cfs = by_id("cfs").unwrap().unit("{score}").unwrap();
        for (value, plausible) in [
            ("0", false),
            ("1", true),
            ("4.5", false),
            ("9", true),
            ("10", false),
        ] {
            assert_eq!(
                cfs.is_plausible(Decimal::parse(value).unwrap()),
                plausible,
                "{value}"
            );
        }
    }
}
