//! NEWS2, the National Early Warning Score 2 (Royal College of Physicians, 2017): points of each part, their total, the band of
//! risk. No IO, no clock. The table is general clinical knowledge and is to be confirmed by a clinician.
//!
//! A part that was not measured has no points and there is then no total: nothing is assumed. A value between two bands
//! (91.5 %) counts as the more severe of them.

use fhir::measurement::Decimal;
pub use fhir::plan::Scale;

/// A part of the score, in the order of the chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Respirations a minute.
    Respiration,
    /// Oxygen saturation in %, by scale 1 or 2.
    Saturation,
    /// Breathes air, or oxygen.
    AirOrOxygen,
    /// Systolic blood pressure in mm\[Hg\].
    Systolic,
    /// Beats a minute.
    Pulse,
    /// ACVPU.
    Consciousness,
    /// Degrees Celsius.
    Temperature,
}

impl Part {
    /// Every part, in the order of the chart.
    pub const ALL: [Part; 7] = [
        Part::Respiration,
        Part::Saturation,
        Part::AirOrOxygen,
        Part::Systolic,
        Part::Pulse,
        Part::Consciousness,
        Part::Temperature,
    ];

    /// Id of the component of measurement kind `news2` that carries this part's points (`spec/measurements/news2.toml`).
    pub fn component(self, scale: Scale) -> &'static str {
        match (self, scale) {
            (Part::Respiration, _) => "respiration",
            (Part::Saturation, Scale::One) => "spo2-scale-1",
            (Part::Saturation, Scale::Two) => "spo2-scale-2",
            (Part::AirOrOxygen, _) => "air-or-oxygen",
            (Part::Systolic, _) => "systolic",
            (Part::Pulse, _) => "pulse",
            (Part::Consciousness, _) => "consciousness",
            (Part::Temperature, _) => "temperature",
        }
    }
}

/// What was measured, each in the unit of [`Part`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// Respirations a minute.
    pub respiration: Option<Decimal>,
    /// Oxygen saturation.
    pub saturation: Option<Decimal>,
    /// Whether oxygen is given.
    pub oxygen: Option<bool>,
    /// Systolic blood pressure.
    pub systolic: Option<Decimal>,
    /// Pulse.
    pub pulse: Option<Decimal>,
    /// Whether the patient is alert; everything else of ACVPU counts alike.
    pub alert: Option<bool>,
    /// Temperature.
    pub temperature: Option<Decimal>,
}

/// How great the risk is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// Total 0 to 4.
    Low,
    /// Total 0 to 4, and 3 in a single part.
    LowMedium,
    /// Total 5 or 6.
    Medium,
    /// Total 7 or more.
    High,
}

impl Band {
    /// Code of the band, of our own.
    pub fn code(self) -> &'static str {
        match self {
            Band::Low => "low",
            Band::LowMedium => "low-medium",
            Band::Medium => "medium",
            Band::High => "high",
        }
    }
}

/// Points of each part; `None`: not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    /// By which scale saturation was counted.
    pub scale: Scale,
    points: [Option<u8>; 7],
}

impl Score {
    /// Scores what was measured.
    pub fn of(measured: &Measured, scale: Scale) -> Score {
        let by = |value: Option<Decimal>, table: &Table| value.map(|value| table.points(value));
        let saturation = match scale {
            Scale::One => by(measured.saturation, &SATURATION_1),
            Scale::Two => measured.saturation.and_then(|value| {
                // From 93 % it matters whether oxygen is given; not knowing is not measuring.
                match (SATURATION_2.points(value), measured.oxygen) {
                    (0, Some(true)) => Some(SATURATION_2_ON_OXYGEN.points(value)),
                    (0, None) if SATURATION_2_ON_OXYGEN.points(value) > 0 => None,
                    (points, _) => Some(points),
                }
            }),
        };
        Score {
            scale,
            points: [
                by(measured.respiration, &RESPIRATION),
                saturation,
                measured.oxygen.map(|given| if given { 2 } else { 0 }),
                by(measured.systolic, &SYSTOLIC),
                by(measured.pulse, &PULSE),
                measured.alert.map(|alert| if alert { 0 } else { 3 }),
                by(measured.temperature, &TEMPERATURE),
            ],
        }
    }

    /// A score whose points somebody else states, to be compared.
    pub fn stated(scale: Scale, points: [Option<u8>; 7]) -> Score {
        Score { scale, points }
    }

    /// Points of a part; `None`: not measured.
    pub fn points(&self, part: Part) -> Option<u8> {
        self.points[part as usize]
    }

    /// The parts that were not measured, in the order of the chart.
    pub fn missing(&self) -> impl Iterator<Item = Part> {
        Part::ALL
            .into_iter()
            .filter(|part| self.points(*part).is_none())
    }

    /// The sum of what was measured: the least that the total can be.
    pub fn so_far(&self) -> u8 {
        self.points.iter().flatten().sum()
    }

    /// The total, 0 to 20; `None` while a part is missing.
    pub fn total(&self) -> Option<u8> {
        self.missing().next().is_none().then(|| self.so_far())
    }

    /// The band of the total, or of what was measured so far: it never falls when more is measured.
    pub fn band(&self) -> Band {
        match self.so_far() {
            7.. => Band::High,
            5 | 6 => Band::Medium,
            _ if self.points.contains(&Some(3)) => Band::LowMedium,
            _ => Band::Low,
        }
    }
}

/// Points of one part: the first row of `below` whose limit lies above the value, else the last row of `above` whose limit lies
/// below it, else none. Limits in tenths.
struct Table {
    below: &'static [(i64, u8)],
    above: &'static [(i64, u8)],
}

const RESPIRATION: Table = Table {
    below: &[(90, 3), (120, 1)],
    above: &[(200, 2), (240, 3)],
};
const SATURATION_1: Table = Table {
    below: &[(920, 3), (940, 2), (960, 1)],
    above: &[],
};
const SATURATION_2: Table = Table {
    below: &[(840, 3), (860, 2), (880, 1)],
    above: &[],
};
const SATURATION_2_ON_OXYGEN: Table = Table {
    below: &[],
    above: &[(920, 1), (940, 2), (960, 3)],
};
const SYSTOLIC: Table = Table {
    below: &[(910, 3), (1010, 2), (1110, 1)],
    above: &[(2190, 3)],
};
const PULSE: Table = Table {
    below: &[(410, 3), (510, 1)],
    above: &[(900, 1), (1100, 2), (1300, 3)],
};
const TEMPERATURE: Table = Table {
    below: &[(351, 3), (361, 1)],
    above: &[(380, 1), (390, 2)],
};

impl Table {
    fn points(&self, value: Decimal) -> u8 {
        let limit = |tenths: i64| Decimal::tenths(tenths);
        let below = self.below.iter().find(|row| value < limit(row.0));
        let above = self.above.iter().rfind(|row| value > limit(row.0));
        below.or(above).map_or(0, |row| row.1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    /// Every border of the chart with both neighbours: part, value, points.
    #[test]
    fn every_border_of_the_chart() {
        let tables: &[(&Table, &[(&str, u8)])] = &[
            (
                &RESPIRATION,
                &[
                    ("0", 3),
                    ("8", 3),
                    ("8.5", 3),
                    ("9", 1),
                    ("10", 1),
                    ("11", 1),
                    ("11.5", 1),
                    ("12", 0),
                    ("20", 0),
                    ("20.1", 2),
                    ("21", 2),
                    ("24", 2),
                    ("24.5", 3),
                    ("25", 3),
                    ("60", 3),
                ],
            ),
            (
                &SATURATION_1,
                &[
                    ("83", 3),
                    ("91", 3),
                    ("91.9", 3),
                    ("92", 2),
                    ("93", 2),
                    ("93.9", 2),
                    ("94", 1),
                    ("95", 1),
                    ("95.9", 1),
                    ("96", 0),
                    ("100", 0),
                ],
            ),
            (
                &SATURATION_2,
                &[
                    ("83", 3),
                    ("83.9", 3),
                    ("84", 2),
                    ("85", 2),
                    ("85.9", 2),
                    ("86", 1),
                    ("87", 1),
                    ("87.9", 1),
                    ("88", 0),
                    ("92", 0),
                    ("93", 0),
                    ("100", 0),
                ],
            ),
            (
                &SATURATION_2_ON_OXYGEN,
                &[
                    ("92", 0),
                    ("92.1", 1),
                    ("93", 1),
                    ("94", 1),
                    ("94.1", 2),
                    ("95", 2),
                    ("96", 2),
                    ("96.1", 3),
                    ("97", 3),
                ],
            ),
            (
                &SYSTOLIC,
                &[
                    ("90", 3),
                    ("90.9", 3),
                    ("91", 2),
                    ("100", 2),
                    ("100.9", 2),
                    ("101", 1),
                    ("110", 1),
                    ("110.9", 1),
                    ("111", 0),
                    ("219", 0),
                    ("219.1", 3),
                    ("220", 3),
                ],
            ),
            (
                &PULSE,
                &[
                    ("40", 3),
                    ("40.9", 3),
                    ("41", 1),
                    ("50", 1),
                    ("50.9", 1),
                    ("51", 0),
                    ("90", 0),
                    ("90.1", 1),
                    ("91", 1),
                    ("110", 1),
                    ("110.1", 2),
                    ("111", 2),
                    ("130", 2),
                    ("130.1", 3),
                    ("131", 3),
                ],
            ),
            (
                &TEMPERATURE,
                &[
                    ("35.0", 3),
                    ("35.05", 3),
                    ("35.1", 1),
                    ("36.0", 1),
                    ("36.05", 1),
                    ("36.1", 0),
                    ("38.0", 0),
                    ("38.05", 1),
                    ("38.1", 1),
                    ("39.0", 1),
                    ("39.05", 2),
                    ("39.1", 2),
                ],
            ),
        ];
        for (table, rows) in tables {
            for (value, points) in *rows {
                assert_eq!(table.points(decimal(value)), *points, "{value}");
            }
        }
    }

    /// The story's day 3 at 09:00: 6 by scale 2, and scale 1 would say 7.
    fn day_three() -> Measured {
        Measured {
            respiration: Some(decimal("24")),
            saturation: Some(decimal("84")),
            oxygen: Some(false),
            systolic: Some(decimal("138")),
            pulse: Some(decimal("118")),
            alert: Some(true),
            temperature: Some(decimal("37.8")),
        }
    }

    #[test]
    fn the_storys_scores() {
        let two = Score::of(&day_three(), Scale::Two);
        assert_eq!((two.total(), two.band()), (Some(6), Band::Medium));
        let one = Score::of(&day_three(), Scale::One);
        assert_eq!((one.total(), one.band()), (Some(7), Band::High));
        // Day 2: saturation, pulse, temperature, and air by the plan's standing value.
        let second = Measured {
            saturation: Some(decimal("86")),
            pulse: Some(decimal("104")),
            temperature: Some(decimal("37.6")),
            oxygen: Some(false),
            ..Measured::default()
        };
        let score = Score::of(&second, Scale::Two);
        assert_eq!((score.total(), score.so_far()), (None, 2));
        let missing: Vec<_> = score.missing().collect();
        assert_eq!(
            missing,
            [Part::Respiration, Part::Systolic, Part::Consciousness]
        );
        // Day 3 at the clinic.
        let clinic = Measured {
            respiration: Some(decimal("22")),
            saturation: Some(decimal("86")),
            pulse: Some(decimal("108")),
            systolic: Some(decimal("134")),
            temperature: Some(decimal("37.6")),
            ..day_three()
        };
        let score = Score::of(&clinic, Scale::Two);
        assert_eq!((score.total(), score.band()), (Some(4), Band::Low));
    }

    #[test]
    fn three_in_one_part_is_more_than_low() {
        let calm = Measured {
            respiration: Some(decimal("16")),
            saturation: Some(decimal("96")),
            pulse: Some(decimal("70")),
            temperature: Some(decimal("37.0")),
            ..day_three()
        };
        assert_eq!(Score::of(&calm, Scale::One).band(), Band::Low);
        let confused = Measured {
            alert: Some(false),
            ..calm
        };
        let score = Score::of(&confused, Scale::One);
        assert_eq!((score.total(), score.band()), (Some(3), Band::LowMedium));
        for (pulse, respiration, band) in [
            ("111", "21", Band::Low),
            ("131", "21", Band::Medium),
            ("131", "25", Band::Medium),
        ] {
            let one = Measured {
                pulse: Some(decimal(pulse)),
                respiration: Some(decimal(respiration)),
                ..calm
            };
            assert_eq!(
                Score::of(&one, Scale::One).band(),
                band,
                "{pulse} {respiration}"
            );
        }
    }

    #[test]
    fn scale_two_asks_whether_oxygen_is_given_only_where_it_matters() {
        let with = |saturation: &str, oxygen| {
            let measured = Measured {
                saturation: Some(decimal(saturation)),
                oxygen,
                ..Measured::default()
            };
            Score::of(&measured, Scale::Two).points(Part::Saturation)
        };
        assert_eq!(with("92", None), Some(0));
        assert_eq!(with("93", None), None);
        assert_eq!(with("93", Some(false)), Some(0));
        assert_eq!(with("93", Some(true)), Some(1));
        assert_eq!(with("97", Some(true)), Some(3));
        assert_eq!(with("84", None), Some(2));
        assert_eq!(with("84", Some(true)), Some(2));
    }

    fn measured() -> impl Strategy<Value = Measured> {
        let value = |low: i64, high: i64| {
            prop::option::of((low * 10..=high * 10).prop_map(Decimal::tenths))
        };
        (
            value(0, 60),
            value(50, 100),
            any::<Option<bool>>(),
            value(40, 260),
            value(20, 220),
            any::<Option<bool>>(),
            value(30, 43),
        )
            .prop_map(
                |(respiration, saturation, oxygen, systolic, pulse, alert, temperature)| Measured {
                    respiration,
                    saturation,
                    oxygen,
                    systolic,
                    pulse,
                    alert,
                    temperature,
                },
            )
    }

    proptest! {
        /// What is not measured has no points; more measured never lowers the sum or the band.
        #[test]
        fn nothing_is_assumed_and_more_is_never_less(all in measured(), second in any::<bool>()) {
            let scale = if second { Scale::Two } else { Scale::One };
            let score = Score::of(&all, scale);
            prop_assert!(score.so_far() <= 20);
            prop_assert_eq!(score.total().is_some(), score.missing().next().is_none());
            for less in [
                Measured { respiration: None, ..all },
                Measured { systolic: None, ..all },
                Measured { pulse: None, ..all },
                Measured { alert: None, ..all },
                Measured { temperature: None, ..all },
                Measured { saturation: None, ..all },
                Measured { oxygen: None, ..all },
            ] {
                let part = Score::of(&less, scale);
                prop_assert!(part.so_far() <= score.so_far());
                prop_assert!(part.band() <= score.band());
                if less != all {
                    prop_assert_eq!(part.total(), None);
                }
            }
        }
    }
}
