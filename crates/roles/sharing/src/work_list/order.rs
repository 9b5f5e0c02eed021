//! The order of the list: worst first. Pure, total, and the same for the same rows in whatever order they come.
//!
//! What decides, in turn: the gravest of zone and open alerts about readings; whether an alert waits for somebody (its deadline has passed,
//! and most of all where nobody has it), and how many deadlines have passed; points of the score that counts, if it is of the last day; whether
//! she is getting worse; how much is missing; the age of the newest reading, the oldest first; who is admitted, and so looked after
//! elsewhere, comes after who is at home; her number. What is not known is graver than green, and so is what could not be read: nobody has said that it is well. To
//! be confirmed by a clinician.

use super::facts::orders;
use fhir::plan::Zone;
use fhir::time::Instant;
use std::cmp::{Ordering, Reverse};
use wire::contract::work_list::Row;

/// The gravest of zone and open alerts about readings.
fn gravest(row: &Row) -> Option<Zone> {
    let alerts = row.alerts.iter().filter_map(|alert| alert.zone);
    alerts.chain(row.zone).max()
}

fn gravity(zone: Option<Zone>) -> u8 {
    match zone {
        Some(Zone::Red) => 3,
        Some(Zone::Yellow) => 2,
        None => 1,
        Some(Zone::Green) => 0,
    }
}

/// How much an open alert of hers waits for somebody, and the most deadlines that one has let pass.
fn waits(row: &Row, now: Instant) -> (u8, u32) {
    let alerts = || row.alerts.iter();
    let wait = alerts().map(|one| {
        let overdue = one.deadline.is_some_and(|end| end <= now);
        2 * u8::from(overdue) + u8::from(one.owner.is_none())
    });
    let level = alerts().map(|one| one.level).max();
    (wait.max().unwrap_or(0), level.unwrap_or(0))
}

/// Whether `a` stands before `b` at `now`.
pub fn worst_first(a: &Row, b: &Row, now: Instant) -> Ordering {
    let key = |row: &Row| {
        let score = row.news2.as_ref().filter(|score| orders(score.at, now));
        (
            Reverse(gravity(gravest(row)).max(u8::from(row.unread))),
            Reverse(waits(row, now)),
            Reverse(row.unread),
            Reverse(score.map(|score| score.points)),
            Reverse(row.trend),
            Reverse(row.missing.len()),
            row.newest,
            row.admitted,
        )
    };
    key(a).cmp(&key(b)).then_with(|| a.patient.cmp(&b.patient))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use fhir::ids::{PersonIdentifier, PersonNumbers};
    use proptest::prelude::*;
    use wire::contract::work_list::{Alert, Score, Trend};

    const NOW: Instant = Instant(1_795_251_600_000_000);
    const NUMBERS: [&str; 3] = ["13717404089", "14835210260", "21887610042"];

    fn row(number: usize) -> Row {
        Row {
            tag: String::new(),
            patient: PersonIdentifier::guess(NUMBERS[number % 3], PersonNumbers::Lenient).unwrap(),
            name: None,
            zone: Some(Zone::Green),
            news2: None,
            trend: Trend::Same,
            missing: Vec::new(),
            newest: Some(NOW),
            admitted: false,
            pause: None,
            unread: false,
            alerts: Vec::new(),
        }
    }

    fn scored(points: u8) -> Option<Score> {
        Some(Score {
            points,
            missing: Vec::new(),
            at: NOW,
        })
    }

    fn alert(zone: Option<Zone>) -> Alert {
        Alert {
            task: "t".into(),
            version: 1,
            topic: "alert-readings".into(),
            state: "raised".into(),
            zone,
            owner: None,
            deadline: None,
            level: 0,
            escalated_to: None,
        }
    }

    /// A yellow one, whose deadline is in so many minutes.
    fn waiting(owned: bool, minutes: i64, level: u32) -> Alert {
        Alert {
            owner: owned.then(|| "Kari".into()),
            deadline: Some(NOW.plus_seconds(60 * minutes)),
            level,
            ..alert(Some(Zone::Yellow))
        }
    }

    /// Each stands before every one after it, and differs from the next in one thing.
    fn ladder() -> Vec<(&'static str, Row)> {
        let with = |change: fn(&mut Row)| {
            let mut one = row(1);
            change(&mut one);
            one
        };
        vec![
            ("red", with(|one| one.zone = Some(Zone::Red))),
            (
                "green, but an alert of hers is yellow, nobody has it, and it is overdue",
                with(|one| one.alerts = vec![waiting(false, -1, 1)]),
            ),
            (
                "it is overdue with somebody, for the second time",
                with(|one| one.alerts = vec![waiting(true, 0, 2)]),
            ),
            (
                "it is overdue with somebody",
                with(|one| one.alerts = vec![waiting(true, 0, 1)]),
            ),
            (
                "nobody has it yet",
                with(|one| one.alerts = vec![waiting(false, 1, 0)]),
            ),
            (
                "yellow, score 7",
                with(|one| (one.zone, one.news2) = (Some(Zone::Yellow), scored(7))),
            ),
            (
                "yellow, score 2",
                with(|one| (one.zone, one.news2) = (Some(Zone::Yellow), scored(2))),
            ),
            (
                "yellow, a score of 7 a week ago",
                with(|one| {
                    (one.zone, one.news2) = (Some(Zone::Yellow), scored(7));
                    if let Some(score) = &mut one.news2 {
                        score.at = NOW.plus_seconds(-6 * 86_400);
                    }
                }),
            ),
            (
                "green, but an alert of hers is yellow, and somebody has it",
                with(|one| {
                    one.alerts = vec![waiting(true, 1, 0)];
                    one.trend = Trend::Better;
                }),
            ),
            (
                "green, as far as could be read",
                with(|one| one.unread = true),
            ),
            ("nothing is judged", with(|one| one.zone = None)),
            (
                "green, and nobody has the alert about missing readings",
                with(|one| one.alerts = vec![alert(None)]),
            ),
            ("green, score 1", with(|one| one.news2 = scored(1))),
            ("green, score 0", with(|one| one.news2 = scored(0))),
            ("getting worse", with(|one| one.trend = Trend::Worse)),
            (
                "nothing to compare with",
                with(|one| one.trend = Trend::Unknown),
            ),
            (
                "two kinds missing",
                with(|one| one.missing = vec!["pulse".into(), "body-weight".into()]),
            ),
            (
                "one missing",
                with(|one| one.missing = vec!["pulse".into()]),
            ),
            (
                "an alert about missing readings has no colour; nothing read for a week",
                with(|one| {
                    let owned = Alert {
                        zone: None,
                        ..waiting(true, 1, 0)
                    };
                    (one.newest, one.alerts) = (None, vec![owned]);
                }),
            ),
            (
                "read yesterday",
                with(|one| one.newest = Some(NOW.plus_seconds(-86_400))),
            ),
            ("read now, a lower number", row(0)),
            ("read now", row(1)),
            ("admitted", with(|one| one.admitted = true)),
            ("getting better", with(|one| one.trend = Trend::Better)),
        ]
    }

    #[test]
    fn every_pair_of_neighbours_and_all_others() {
        let ladder = ladder();
        for (at, (above, a)) in ladder.iter().enumerate() {
            let worst_first = |a: &Row, b: &Row| worst_first(a, b, NOW);
            assert_eq!(worst_first(a, a), Ordering::Equal);
            for (below, b) in &ladder[at + 1..] {
                assert_eq!(worst_first(a, b), Ordering::Less, "{above} before {below}");
                assert_eq!(
                    worst_first(b, a),
                    Ordering::Greater,
                    "{below} after {above}"
                );
            }
        }
    }

    fn any_row() -> impl Strategy<Value = Row> {
        let zone = || prop::option::of(prop::sample::select(Zone::ALL.to_vec()));
        let trend = prop::sample::select(Trend::ALL.to_vec());
        let parts = (
            0..3_usize,
            zone(),
            prop::option::of(0..4_u8),
            trend,
            0..3_usize,
            prop::option::of(0..3_i64),
            any::<bool>(),
            prop::option::of(zone()),
        );
        parts.prop_map(
            |(number, zone, points, trend, missing, newest, admitted, open)| Row {
                zone,
                news2: points.and_then(scored),
                trend,
                missing: vec!["pulse".into(); missing],
                newest: newest.map(|days| NOW.plus_seconds(-86_400 * days)),
                admitted,
                alerts: open.map(alert).into_iter().collect(),
                ..row(number)
            },
        )
    }

    proptest! {
        #[test]
        fn the_same_rows_come_out_alike_in_whatever_order_they_come(
            (rows, shuffled) in prop::collection::vec(any_row(), 0..24)
                .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle()))
        ) {
            let sorted = |mut rows: Vec<Row>| {
                rows.sort_by(|a, b| worst_first(a, b, NOW));
                rows.iter().map(|one| (gravity(gravest(one)), one.news2.as_ref().map(|s| s.points), one.trend, one.missing.len(), one.newest, one.admitted, one.patient.clone())).collect::<Vec<_>>()
            };
            prop_assert_eq!(sorted(rows.clone()), sorted(shuffled));
            for (a, b) in rows.iter().zip(rows.iter().rev()) {
                prop_assert_eq!(worst_first(a, b, NOW), worst_first(b, a, NOW).reverse());
            }
        }
    }
}
