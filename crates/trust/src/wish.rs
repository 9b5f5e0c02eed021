//! What a patient has said about who may see: blocks (sperring) and reservation (reservasjon).
//!
//! Source: pasient- og brukerrettighetsloven § 5-3 and pasientjournalloven § 17 (a patient may oppose that data is given);
//! threats-and-faults section 4 (which of them yields to break the glass). A wish is kept by the organisation that holds the
//! data, and asked of by the rules `reservation` and `block` at each request.

use crate::caller::{Caller, Person};
use fhir::ids::{HprNumber, OrganisationNumber, PersonIdentifier};
use fhir::resource::InformationService;
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use std::fmt;

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
        };
        assert!(wish.holds(made) && wish.holds(made.plus_seconds(-5)));
        wish.until = Some(made.plus_seconds(60));
        assert!(wish.holds(made.plus_seconds(59)) && !wish.holds(made.plus_seconds(60)));
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
