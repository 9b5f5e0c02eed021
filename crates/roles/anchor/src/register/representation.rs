//! Who may act for a patient, as it was registered by an operator's order (pasient- og brukerrettighetsloven §§ 3-3, 3-4 and 5-1):
//! by a fullmakt with what she chose, or as a parent until the child turns 12.
//!
//! It is the only document about people, so it does not stand in the list of changes: the list names its id, and the order, as its
//! operator signed it, lies sealed beside it in the anchor's store (decision 0057). Being next of kin is no document, and opens
//! nothing.

use super::{Book, Document, Held};
use crate::State;
use fhir::ids::{PersonIdentifier, PersonNumbers, PersonSystem};
use fhir::time::{Instant, LATEST, Range, Zone, parse_date};
use store::{Store, StoreError};
use wire::contract::operate::{Kind, RegisterOrder, Signed};
use wire::contract::register::{Representation, RepresentationGround};

/// The ledger of sealed orders, by the document's id.
pub(crate) const LEDGER: &str = "representation";
/// Orders read at a time.
const PAGE: usize = 200;
/// How old a child is when its parents' right to see for it ends.
const CHILDS_AGE: u16 = 12;

/// Who acts for whom, and when.
#[derive(Clone)]
pub(crate) struct Acting {
    pub(crate) citizen: PersonIdentifier,
    pub(crate) patient: PersonIdentifier,
    /// What she is called, for the choice at the sign-in.
    pub(crate) patient_name: Option<String>,
    pub(crate) by: trust::RepresentedBy,
    days: Range,
}

/// Reads a document whole.
///
/// # Errors
/// In words, what is wrong with it; no number stands in them.
pub(crate) fn read(one: &Representation, zone: &Zone) -> Result<Acting, String> {
    let person = |text: &str, who: &str| {
        PersonIdentifier::guess(text, PersonNumbers::Strict)
            .ok()
            .filter(|person| matches!(person.series(), PersonSystem::Fnr | PersonSystem::Dnr))
            .ok_or_else(|| format!("{who}: expected a fødselsnummer or D-nummer"))
    };
    let citizen = person(&one.representative, "representative")?;
    let patient = person(&one.patient, "patient")?;
    if citizen == patient {
        return Err("nobody represents themselves".to_owned());
    }
    if one.services.is_empty() && !one.log {
        return Err("services: a representation that covers nothing opens nothing".to_owned());
    }
    let day = |text: &str, name: &str| {
        let read = (text.len() == 10)
            .then(|| parse_date(text, zone).ok())
            .flatten();
        read.ok_or_else(|| format!("{name}: expected a day, yyyy-mm-dd"))
    };
    let lo = day(&one.from, "from")?.lo;
    let to = one.to.as_deref().map(|to| day(to, "to")).transpose()?;
    let mut hi = to.map_or(LATEST, |last| last.hi);
    match (one.ground, &one.born) {
        (RepresentationGround::Fullmakt, None) => {}
        (RepresentationGround::Parent, Some(born)) => {
            day(born, "born")?;
            hi = hi.min(day(&birthday(born, CHILDS_AGE), "born")?.lo);
        }
        (RepresentationGround::Fullmakt, Some(_)) => {
            return Err("born: a fullmakt ends by its own days".to_owned());
        }
        (RepresentationGround::Parent, None) => {
            return Err(
                "born: the day the child was born, by which a parent's right ends; a number does not tell it"
                    .to_owned(),
            );
        }
    }
    if lo >= hi {
        return Err("it would end before it begins".to_owned());
    }
    Ok(Acting {
        citizen,
        patient,
        patient_name: one.patient_name.clone(),
        by: trust::RepresentedBy {
            name: one.representative_name.clone(),
            by: trust::Representation {
                id: one.id.clone(),
                services: super::merge::services(&one.services)?,
                log: one.log,
                notes: one.notes,
            },
        },
        days: Range { lo, hi },
    })
}

/// The day somebody born on a day (`yyyy-mm-dd`) turns so many years. Who was born on 29 February turns on 1 March.
fn birthday(born: &str, years: u16) -> String {
    let year = born[..4].parse::<u16>().unwrap_or_default() + years;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match &born[4..] {
        "-02-29" if !leap => format!("{year:04}-03-01"),
        day => format!("{year:04}{day}"),
    }
}

impl State {
    /// What is in force now, of all that was registered.
    fn acting(&self) -> impl Iterator<Item = Acting> {
        let now = (self.house.clock)();
        let standings = self.registry.book.standings();
        let all = self.book.all().filter_map(|held| match &held.document {
            Document::Representation(one) => Some(one),
            _ => None,
        });
        all.filter(move |one| standings.counts(Kind::Representation, &one.id))
            .filter_map(|one| read(one, &self.config.zone).ok())
            .filter(move |one| in_force(&one.days, now))
    }

    /// For whom this citizen may act now.
    pub(crate) fn acts_for(&self, citizen: &PersonIdentifier) -> Vec<Acting> {
        self.acting()
            .filter(|one| one.citizen == *citizen)
            .collect()
    }

    /// Who may act for this patient now.
    pub(crate) fn acting_for(&self, patient: &PersonIdentifier) -> Vec<Acting> {
        self.acting()
            .filter(|one| one.patient == *patient)
            .collect()
    }
}

fn in_force(days: &Range, now: Instant) -> bool {
    days.lo <= now.0 && now.0 < days.hi
}

/// A signed order as it is kept.
///
/// # Errors
/// Of the machine's randomness.
pub(crate) fn sealed(store: &Store, order: &str) -> Result<Vec<u8>, StoreError> {
    Ok(store.seal(order.as_bytes())?.into_bytes())
}

/// Takes every kept order into the book.
///
/// # Errors
/// Input/output, and an entry that is none of ours.
pub(crate) async fn unseal(store: &Store, book: &mut Book) -> Result<(), StoreError> {
    let damaged = || StoreError::Damaged("a sealed order about a representation");
    let mut after: Option<Vec<u8>> = None;
    loop {
        let found = store
            .ledger_scan(LEDGER, &[], after.as_deref(), PAGE)
            .await?;
        let full = found.len() == PAGE;
        for entry in found {
            let text = std::str::from_utf8(&entry.value).map_err(|_| damaged())?;
            let order = store.unseal(text).ok_or_else(damaged)?;
            let order = String::from_utf8(order).map_err(|_| damaged())?;
            let held = held(&order).ok_or_else(damaged)?;
            book.put(held);
            after = Some(entry.key);
        }
        if !full {
            return Ok(());
        }
    }
}

/// What a kept order says; it was verified before it was kept.
fn held(order: &str) -> Option<Held> {
    let payload = trust::encoding::from_base64url(order.split('.').nth(1)?)?;
    let signed: Signed<RegisterOrder> = serde_json::from_slice(&payload).ok()?;
    let document = Document::parse(Kind::Representation, &signed.order.document).ok()?;
    Some(Held {
        kind: Kind::Representation,
        id: document.id().to_owned(),
        text: signed.order.document,
        signatures: Vec::new(),
        signed_by: Vec::new(),
        document,
    })
}

/// Is one of this id registered?
pub(crate) fn is_known(state: &State, id: &str) -> bool {
    state.book.get(Kind::Representation, id).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;

    fn document(change: impl FnOnce(&mut Representation)) -> Result<Acting, String> {
        let mut one = Representation {
            id: "r-1".into(),
            ground: RepresentationGround::Fullmakt,
            representative: "27905110115".into(),
            representative_name: None,
            patient: "14835210260".into(),
            patient_name: None,
            services: vec!["IT17".into()],
            log: false,
            notes: false,
            from: "2026-01-01".into(),
            to: None,
            born: None,
        };
        change(&mut one);
        read(&one, &Zone::default())
    }

    fn holds(acting: &Acting, moment: &str) -> bool {
        in_force(
            &acting.days,
            Instant(parse_date(moment, &Zone::default()).unwrap().lo),
        )
    }

    #[test]
    fn a_parents_ends_when_the_child_turns_twelve() {
        for (born, last, first_without) in [
            (
                "2015-01-16",
                "2027-01-15T23:59:59+01:00",
                "2027-01-16T00:00:00+01:00",
            ),
            // In a year without 29 February, on the day after the 28th.
            (
                "2016-02-29",
                "2028-02-28T23:59:59+01:00",
                "2028-02-29T00:00:00+01:00",
            ),
            (
                "2015-12-31",
                "2027-12-30T23:59:59+01:00",
                "2027-12-31T00:00:00+01:00",
            ),
        ] {
            let acting = document(|one| {
                one.ground = RepresentationGround::Parent;
                one.born = Some(born.into());
            })
            .unwrap();
            assert!(holds(&acting, "2026-01-01T00:00:00+01:00"), "{born}");
            assert!(holds(&acting, last), "{born}");
            assert!(!holds(&acting, first_without), "{born}");
        }
        assert_eq!(
            birthday("2088-02-29", 12),
            "2100-03-01",
            "2100 has no 29 February"
        );
        assert_eq!(birthday("1988-02-29", 12), "2000-02-29");
        assert_eq!(birthday("2013-02-28", 12), "2025-02-28");
        // It may end before that, by its own day.
        let earlier = document(|one| {
            one.ground = RepresentationGround::Parent;
            one.born = Some("2020-01-01".into());
            one.to = Some("2026-06-30".into());
        })
        .unwrap();
        assert!(holds(&earlier, "2026-06-30T23:59:59+02:00"));
        assert!(!holds(&earlier, "2026-07-01T00:00:00+02:00"));
    }

    #[test]
    fn a_fullmakt_holds_from_its_first_day_to_its_last() {
        let acting = document(|one| one.to = Some("2026-12-31".into())).unwrap();
        for (moment, expected) in [
            ("2025-12-31T23:59:59+01:00", false),
            ("2026-01-01T00:00:00+01:00", true),
            ("2026-12-31T23:59:59+01:00", true),
            ("2027-01-01T00:00:00+01:00", false),
        ] {
            assert_eq!(holds(&acting, moment), expected, "{moment}");
        }
        assert!(holds(
            &document(|_| {}).unwrap(),
            "2090-01-01T00:00:00+01:00"
        ));
    }

    #[test]
    fn what_is_no_whole_representation_is_refused_in_words_without_a_number() {
        type Change = fn(&mut Representation);
        let cases: [(Change, &str); 12] = [
            (|one| one.representative = "1".into(), "representative"),
            (|one| one.patient = "14835210261".into(), "patient"),
            (|one| one.patient = one.representative.clone(), "themselves"),
            (|one| one.services.clear(), "services"),
            (|one| one.services = vec!["IT99".into()], "service"),
            (|one| one.from = "2026".into(), "from"),
            (|one| one.to = Some("2026-02-30".into()), "to"),
            (|one| one.to = Some("2025-12-31".into()), "before it begins"),
            (|one| one.born = Some("2020-01-01".into()), "born"),
            (|one| one.ground = RepresentationGround::Parent, "born"),
            (
                |one| {
                    one.ground = RepresentationGround::Parent;
                    one.born = Some("yesterday".into());
                },
                "born",
            ),
            (
                |one| {
                    one.ground = RepresentationGround::Parent;
                    one.born = Some("2014-01-01".into());
                },
                "before it begins",
            ),
        ];
        for (change, word) in cases {
            let words = document(change).err().unwrap();
            assert!(words.contains(word), "{word}: {words}");
            assert!(
                !words.contains("1483") && !words.contains("2790"),
                "{words}"
            );
        }
        let log = document(|one| {
            one.services.clear();
            one.log = true;
        });
        assert!(log.is_ok());
    }
}
