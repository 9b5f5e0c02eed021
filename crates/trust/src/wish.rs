//! What a patient has said about who may see: blocks (sperring) and reservation (reservasjon).
//!
//! Source: pasient- og brukerrettighetsloven § 5-3 and pasientjournalloven § 17 (a patient may oppose that data is given);
//! threats-and-faults section 4 (which of them yields to break the glass). A wish is kept by the organisation that holds the
//! data, and asked of by the rules `reservation` and `block` at each request.

use crate::LEEWAY_SECONDS;
use crate::caller::{Caller, Person};
use fhir::ids::{HprNumber, OrganisationNumber, PersonIdentifier};
use fhir::resource::InformationService;
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

/// System of a practitioner's pseudonym where it stands as an identifier: beside the name in the patient's view of the log.
pub const PSEUDONYM: &str = "https://delt.example/fhir/NamingSystem/practitioner-pseudonym";

/// What is closed, and to whom.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "closes", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Closed {
    /// Sharing with all other organisations. Nothing overrides it: to them it is as if the data were not shared at all.
    Sharing,
    /// Everything, to all health personnel.
    Everything,
    /// These kinds of information, to all health personnel.
    Services {
        /// The kinds.
        services: Vec<InformationService>,
    },
    /// Everything, to one organisation.
    Organisation {
        /// Its number, or a sub-unit's.
        organisation: OrganisationNumber,
    },
    /// Everything, to one named practitioner, always.
    Practitioner {
        /// Who.
        who: Named,
    },
}

/// A practitioner as a patient can name one. At least one of the two is there.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The issuer's pseudonym for the person (`pid_pseudonym`), as it stands beside the name in the patient's view of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudonym: Option<String>,
    /// HPR number, which the public register gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hpr: Option<HprNumber>,
    /// Whose they are, where the holder knows it from the patient's own trail: by another issuer's token the same person comes
    /// under another pseudonym, or with neither. The patient is never told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<PersonIdentifier>,
}

impl Named {
    /// Is it this caller?
    pub fn is(&self, caller: &Caller) -> bool {
        let Person::Practitioner {
            identifier,
            hpr,
            pseudonym,
            ..
        } = &caller.person
        else {
            return false;
        };
        self.number.as_ref() == Some(identifier) || self.means(pseudonym.as_deref(), hpr.as_ref())
    }

    /// Did the patient name whoever has these?
    pub fn means(&self, pseudonym: Option<&str>, hpr: Option<&HprNumber>) -> bool {
        self.pseudonym.is_some() && self.pseudonym.as_deref() == pseudonym
            || self.hpr.is_some() && self.hpr.as_ref() == hpr
    }
}

impl Closed {
    /// Whether the patient said the same, whatever the holder knows besides.
    pub fn says(&self, other: &Closed) -> bool {
        match (self, other) {
            (Closed::Practitioner { who }, Closed::Practitioner { who: other }) => {
                (&who.pseudonym, &who.hpr) == (&other.pseudonym, &other.hpr)
            }
            _ => self == other,
        }
    }
}

/// Where a wish was made, and where alone it is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// At the holder of the data, by the patient.
    #[default]
    Here,
    /// At Helsenorge (Personvernkomponenten), and replicated.
    Personvernkomponenten,
}

impl Source {
    fn is_here(&self) -> bool {
        *self == Source::Here
    }
}

/// Whether what is held of settings made elsewhere is known to be up to date. The holder's replication says how far it got; the
/// rules ask. Without a source elsewhere everything is always known.
#[derive(Debug, Default)]
pub struct Known {
    /// How old the copy may be, in microseconds.
    most: i64,
    /// Whether a reservation may exist that an older copy does not tell of.
    reservations: bool,
    /// Whether a block may.
    blocks: bool,
    /// Up to when the copy is whole, in microseconds.
    as_of: AtomicI64,
}

impl Known {
    /// A copy that counts for so many seconds, of settings that may be reservations, blocks or both; not whole yet.
    pub fn within(seconds: i64, reservations: bool, blocks: bool) -> Known {
        Known {
            most: seconds.saturating_mul(1_000_000),
            reservations,
            blocks,
            as_of: AtomicI64::new(i64::MIN),
        }
    }

    /// The copy is whole as of this moment.
    pub fn renewed(&self, as_of: Instant) {
        self.as_of.store(as_of.0, Ordering::Relaxed);
    }

    /// As of when the copy is whole; `None`: never yet, or there is no source of such settings.
    pub fn as_of(&self) -> Option<Instant> {
        let as_of = self.as_of.load(Ordering::Relaxed);
        let kept = self.reservations || self.blocks;
        (kept && as_of != i64::MIN).then_some(Instant(as_of))
    }

    /// Are all reservations known?
    pub fn reservations(&self, now: Instant) -> bool {
        !self.reservations || self.counts(now)
    }

    /// Are all blocks known?
    pub fn blocks(&self, now: Instant) -> bool {
        !self.blocks || self.counts(now)
    }

    /// A clock that was set back makes no copy younger than it is.
    fn counts(&self, now: Instant) -> bool {
        let age = now.0.saturating_sub(self.as_of.load(Ordering::Relaxed));
        (-LEEWAY_SECONDS * 1_000_000..self.most).contains(&age)
    }
}

/// One wish of one patient. Debug shows its id alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Its id at the holder.
    pub id: String,
    /// What it closes.
    pub closed: Closed,
    /// When it was made.
    pub since: Instant,
    /// When it ends; `None`: when it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
    /// Where it was made.
    #[serde(default, skip_serializing_if = "Source::is_here")]
    pub source: Source,
}

impl Wish {
    /// Does it hold now? It was made at [`Wish::since`], and a clock that is set back opens nothing.
    pub fn holds(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wish({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir::ids::PersonNumbers;

    #[test]
    fn a_clock_that_is_set_back_opens_nothing() {
        let made = Instant::from_seconds(1_000);
        let mut wish = Wish {
            id: "w-1".into(),
            closed: Closed::Everything,
            since: made,
            until: None,
            source: Source::Here,
        };
        assert!(wish.holds(made) && wish.holds(made.plus_seconds(-5)));
        wish.until = Some(made.plus_seconds(60));
        assert!(wish.holds(made.plus_seconds(59)) && !wish.holds(made.plus_seconds(60)));
    }

    #[test]
    fn a_copy_counts_until_it_is_too_old_and_a_clock_that_is_set_back_makes_it_no_younger() {
        let at = |second: i64| Instant::from_seconds(1_000 + second);
        let known = Known::within(60, true, false);
        assert!(!known.reservations(at(0)), "never whole");
        assert_eq!(known.as_of(), None);
        known.renewed(at(0));
        assert_eq!(known.as_of(), Some(at(0)));
        for (second, counts) in [
            (0, true),
            (59, true),
            (60, false),
            (-10, true),
            (-11, false),
        ] {
            assert_eq!(known.reservations(at(second)), counts, "{second}");
            assert!(known.blocks(at(second)), "none can be set elsewhere");
        }
        known.renewed(at(60));
        assert!(known.reservations(at(60)));
        let known = Known::within(60, false, true);
        assert!(known.reservations(at(0)) && !known.blocks(at(0)));
        let always = Known::default();
        assert!(always.reservations(at(0)) && always.blocks(at(0)));
        always.renewed(at(7));
        assert_eq!(always.as_of(), None, "nobody sets anything elsewhere");
        let blocks = Known::within(60, false, true);
        blocks.renewed(at(7));
        assert_eq!(blocks.as_of(), Some(at(7)));
    }

    #[test]
    fn a_wish_that_was_kept_before_there_were_sources_was_made_here() {
        let made = Wish {
            id: "w-1".into(),
            closed: Closed::Everything,
            since: Instant::from_seconds(0),
            until: None,
            source: Source::Here,
        };
        let text = serde_json::to_string(&made).unwrap_or_default();
        assert!(text.contains("w-1") && !text.contains("source"), "{text}");
        let read: Result<Wish, _> = serde_json::from_str(&text);
        assert!(read.is_ok_and(|read| read == made));
        let there = Wish {
            source: Source::Personvernkomponenten,
            ..made
        };
        let text = serde_json::to_string(&there).unwrap_or_default();
        let read: Result<Wish, _> = serde_json::from_str(&text);
        assert!(read.is_ok_and(|read| read == there));
    }

    #[test]
    fn the_same_said_twice_is_the_same_whatever_the_holder_knows_besides() {
        let named = |pseudonym: &str, number: Option<&str>| Closed::Practitioner {
            who: Named {
                pseudonym: Some(pseudonym.into()),
                number: number
                    .and_then(|one| PersonIdentifier::guess(one, PersonNumbers::Lenient).ok()),
                ..Named::default()
            },
        };
        let known = named("p-1", Some(crate::rules::people::PHYSICIAN));
        assert!(known != named("p-1", None) && known.says(&named("p-1", None)));
        assert!(!named("p-1", None).says(&named("p-2", None)));
        assert!(Closed::Everything.says(&Closed::Everything));
        assert!(!Closed::Everything.says(&Closed::Sharing));
    }
}
