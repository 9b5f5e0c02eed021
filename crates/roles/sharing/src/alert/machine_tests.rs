//! Every state and every step, and the deadlines.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;
use std::fmt::Write as _;

const STATES: [State; 9] = [
    State::Raised,
    State::Owned,
    State::Acknowledged,
    State::HandingOver,
    State::HandedOver,
    State::Offered,
    State::Declined,
    State::Resolved,
    State::Joined,
];
const STEPS: [Step; 16] = [
    Step::Own,
    Step::Acknowledge,
    Step::Resolve,
    Step::Gather,
    Step::JoinTo,
    Step::Note,
    Step::HandOver,
    Step::Accept,
    Step::Decline,
    Step::Join(None),
    Step::Join(Some(Zone::Yellow)),
    Step::Join(Some(Zone::Red)),
    Step::Escalate,
    Step::Taken,
    Step::SentBack,
    Step::CalledBack,
];
const NOW: Instant = Instant(1_795_251_600_000_000);

fn person(key: &str) -> Owner {
    Owner {
        key: key.into(),
        name: format!("{key}, Fjellvik kommune"),
    }
}

fn minutes(zone: Zone) -> i64 {
    match zone {
        Zone::Red => 15 * MINUTE,
        _ => 120 * MINUTE,
    }
}

fn by(person: Option<&Owner>, note: bool) -> By<'_> {
    By {
        person,
        note,
        now: NOW,
        wait: &minutes,
    }
}

/// A yellow one in a state, owned by `kari` where states have owners, its deadline a minute ago.
fn alert(state: State) -> Alert {
    let owned = !matches!(state, State::Raised | State::Offered | State::Declined);
    Alert {
        state,
        owner: owned.then(|| person("kari")),
        deadline: state.is_open().then(|| NOW.plus_micros(-MINUTE)),
        ..Alert::raised(state, Zone::Yellow, NOW, 0)
    }
}

#[test]
fn every_state_has_one_row_and_reads_again() {
    for state in STATES {
        assert_eq!(TABLE.iter().filter(|row| row.0 == state).count(), 1);
        assert_eq!(State::parse(state.code()), Some(state));
    }
    assert_eq!(TABLE.len(), STATES.len());
    assert_eq!(State::parse("closed"), None);
}

/// The whole machine, for review: what each step comes to from each state, for the owner and for a colleague, with a note and
/// without.
#[test]
fn every_state_by_every_step() {
    let (kari, ola) = (person("kari"), person("ola"));
    let mut table = String::new();
    for state in STATES {
        let _ = writeln!(table, "{}", state.code());
        for step in STEPS {
            let told =
                |who: &Owner, note: bool| match alert(state).after(step, &by(Some(who), note)) {
                    Ok(after) if after == alert(state) => "same".to_owned(),
                    Ok(after) => {
                        let owner = after.owner.map_or("nobody".into(), |owner| owner.key);
                        let colour = after.zone.code();
                        let wait = after.deadline.map_or("no deadline".into(), |end| {
                            format!("{} min", (end.0 - NOW.0) / MINUTE)
                        });
                        format!(
                            "{} {owner} {colour} {wait} level {}",
                            after.state.code(),
                            after.level
                        )
                    }
                    Err(no) => format!("{no:?}"),
                };
            let all = [
                ("owner", told(&kari, false)),
                ("owner, why", told(&kari, true)),
                ("other", told(&ola, false)),
                ("other, why", told(&ola, true)),
            ];
            if all.iter().all(|(_, what)| *what == all[0].1) {
                let _ = writeln!(table, "  {step:?}: {}", all[0].1);
            } else {
                for (who, what) in all {
                    let _ = writeln!(table, "  {step:?} by {who}: {what}");
                }
            }
        }
    }
    insta::assert_snapshot!("machine", table);
}

#[test]
fn a_rise_is_marked_renews_the_deadline_and_is_to_be_looked_into_anew() {
    let seen = alert(State::Acknowledged);
    let risen = seen
        .after(Step::Join(Some(Zone::Red)), &by(None, false))
        .unwrap();
    assert_eq!(
        (risen.state, risen.zone, risen.rose, risen.deadline),
        (
            State::Owned,
            Zone::Red,
            Some(NOW),
            Some(NOW.plus_micros(15 * MINUTE))
        )
    );
    assert_eq!(risen.owner, seen.owner);
    // It does not fall again, and is not marked twice.
    for zone in [Zone::Green, Zone::Yellow, Zone::Red] {
        assert_eq!(
            risen.after(Step::Join(Some(zone)), &by(None, false)),
            Ok(risen.clone())
        );
    }
}

/// A further red, or a further missing reading, wakes the owner again, and at most once for each time that she looks into it.
#[test]
fn what_was_looked_into_answers_four_hours_and_then_what_is_new_waits_for_its_owner_again() {
    let kari = person("kari");
    let (red, missing) = (Some(Zone::Red), None);
    for (what, zone, since, found, wakes) in [
        ("at once", Zone::Red, Some(0), red, false),
        ("just within", Zone::Red, Some(239), red, false),
        ("four hours", Zone::Red, Some(240), red, true),
        ("the next day", Zone::Red, Some(24 * 60), red, true),
        ("before it was written when", Zone::Red, None, red, true),
        (
            "yellow to a red one",
            Zone::Red,
            Some(600),
            Some(Zone::Yellow),
            false,
        ),
        (
            "yellow to a yellow one",
            Zone::Yellow,
            Some(600),
            Some(Zone::Yellow),
            false,
        ),
        ("missing, within", Zone::Yellow, Some(239), missing, false),
        (
            "missing, the next day",
            Zone::Yellow,
            Some(24 * 60),
            missing,
            true,
        ),
    ] {
        let seen = Alert {
            zone,
            acknowledged: since.map(|minutes: i64| NOW.plus_micros(-minutes * MINUTE)),
            deadline: None,
            level: 3,
            ..alert(State::Acknowledged)
        };
        let after = seen.after(Step::Join(found), &by(None, false)).unwrap();
        if !wakes {
            assert_eq!(after, seen, "{what}");
            continue;
        }
        let until = NOW.plus_micros(minutes(zone));
        assert_eq!(
            (after.state, after.deadline, after.level, &after.owner),
            (State::Owned, Some(until), 0, &seen.owner),
            "{what}"
        );
        // It waits now, and a second does not renew the deadline; when she has looked, she has looked.
        assert_eq!(
            after.after(Step::Join(found), &by(None, false)),
            Ok(after.clone())
        );
        let looked = after.after(Step::Acknowledge, &by(Some(&kari), false));
        let looked = looked.unwrap();
        assert_eq!(looked.acknowledged, Some(NOW), "{what}");
        let again = looked.after(Step::Join(found), &by(None, false));
        assert_eq!(again, Ok(looked), "{what}");
    }
}

#[test]
fn a_deadline_passes_once_and_each_wait_is_twice_the_one_before_up_to_a_day() {
    let mut alert = Alert::raised(State::Raised, Zone::Red, NOW, 15 * MINUTE);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let end = alert.deadline.unwrap();
        let at = |now| By {
            now,
            ..by(None, false)
        };
        let early = alert.after(Step::Escalate, &at(end.plus_micros(-1)));
        assert_eq!(early, Ok(alert.clone()));
        let next = alert.after(Step::Escalate, &at(end)).unwrap();
        assert_eq!((next.level, next.escalated), (alert.level + 1, Some(end)));
        waits.push((next.deadline.unwrap().0 - end.0) / MINUTE);
        alert = next;
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1440, 1440, 1440]);
}

#[test]
fn two_at_once_one_owns_and_the_other_is_told_who() {
    let (kari, ola) = (person("kari"), person("ola"));
    let raised = Alert::raised(State::Raised, Zone::Red, NOW, 0);
    let owned = raised.after(Step::Own, &by(Some(&kari), false)).unwrap();
    assert_eq!(
        owned.after(Step::Own, &by(Some(&ola), false)),
        Err(No::Owned("kari, Fjellvik kommune".into()))
    );
    let taken = owned.after(Step::Own, &by(Some(&ola), true)).unwrap();
    assert_eq!(taken.owner, Some(ola));
}

/// Nothing is waited for less: neither the graver one's colour nor the nearer deadline nor what passed is lost, whichever stays.
#[test]
fn two_that_are_joined_wait_as_the_more_urgent_of_them() {
    let at = |minutes: i64| Some(NOW.plus_micros(minutes * MINUTE));
    let owned = Alert {
        deadline: at(100),
        ..alert(State::Owned)
    };
    let red = Alert {
        zone: Zone::Red,
        deadline: at(10),
        level: 2,
        escalated: at(-5),
        rose: at(-40),
        ..alert(State::Owned)
    };
    let looked = |since: i64| Alert {
        deadline: None,
        acknowledged: at(-since),
        ..alert(State::Acknowledged)
    };
    for (one, other, expected) in [
        (&owned, &red, red.clone()),
        (&owned, &looked(30), owned.clone()),
        (
            &red,
            &looked(30),
            Alert {
                acknowledged: None,
                ..red.clone()
            },
        ),
        // Both were looked into; the one longer ago is the sooner to be looked into anew.
        (&looked(30), &looked(200), looked(200)),
        // When it was written when, it counts as long ago.
        (
            &looked(30),
            &Alert {
                acknowledged: None,
                ..looked(0)
            },
            Alert {
                acknowledged: None,
                ..looked(0)
            },
        ),
    ] {
        assert_eq!(one.with(other), expected);
        assert_eq!(other.with(one), expected, "whichever stays");
    }
}
