//! What a `next` link carries, before the store seals it: usable only by the same client, patient and service, and for a
//! while only (threats-and-faults.md section 4). Links are built from configuration, never stored (CONTRACT section 2).

use fhir::ids::PersonIdentifier;
use fhir::time::Instant;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use trust::Caller;

use crate::outcome::Problem;

/// How long a link works, in seconds.
pub const LIFE_SECONDS: i64 = 15 * 60;

/// The content of a `next` link: who may use it, what was asked, and how far it came (`C`: a store's cursor or a
/// gateway's own).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket<C> {
    audience: String,
    client: String,
    patient: Option<PersonIdentifier>,
    person: Option<PersonIdentifier>,
    expires: i64,
    /// The question's parameters as received.
    pub query: Vec<(String, String)>,
    /// How far it came.
    pub cursor: C,
}

impl<C> std::fmt::Debug for Ticket<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket(for {})", self.client)
    }
}

impl<C: Serialize + DeserializeOwned> Ticket<C> {
    /// A ticket for this caller.
    pub fn new(caller: &Caller, query: Vec<(String, String)>, cursor: C, now: Instant) -> Self {
        Self {
            audience: caller.audience.clone(),
            client: caller.client_id.clone(),
            patient: caller.patient.clone(),
            person: caller.person.identifier().cloned(),
            expires: now.seconds().saturating_add(LIFE_SECONDS),
            query,
            cursor,
        }
    }

    /// The same, usable until then.
    #[must_use]
    pub fn until(self, expires: Instant) -> Self {
        Self {
            expires: expires.seconds(),
            ..self
        }
    }

    /// The bytes to seal (`Store::seal`).
    ///
    /// # Errors
    /// A bug, if the cursor cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Problem> {
        serde_json::to_vec(self).map_err(|_| Problem::bug("a paging ticket cannot be written"))
    }

    /// Reads unsealed bytes for this caller. `unsealed` is what `Store::unseal` gave.
    ///
    /// # Errors
    /// 404 in every case: forged, foreign, ended and unknown look the same.
    pub fn open(unsealed: Option<Vec<u8>>, caller: &Caller, now: Instant) -> Result<Self, Problem> {
        let ticket: Self = unsealed
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(Problem::not_found)?;
        let theirs = ticket.audience == caller.audience
            && ticket.client == caller.client_id
            && ticket.patient == caller.patient
            && ticket.person.as_ref() == caller.person.identifier()
            && ticket.expires > now.seconds();
        if theirs {
            Ok(ticket)
        } else {
            Err(Problem::not_found())
        }
    }
}

/// A `next` link under a FHIR base.
pub fn next_link(base: &str, sealed: &str) -> String {
    format!("{base}/_page/{sealed}")
}

/// A `self` link of a search under a FHIR base; `parameters` must name the patient by logical id or not at all.
pub fn self_link(base: &str, resource_type: &str, parameters: &[(String, String)]) -> String {
    if parameters.is_empty() {
        return format!("{base}/{resource_type}");
    }
    let pairs = parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    format!("{base}/{resource_type}?{}", crate::form::write(pairs))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use fhir::ids::PersonNumbers;
    use trust::{ClientUse, Person};

    fn person(number: &str) -> PersonIdentifier {
        PersonIdentifier::guess(number, PersonNumbers::Lenient).unwrap()
    }

    fn caller() -> Caller {
        Caller {
            client_id: "gateway".into(),
            use_: ClientUse::Gateway,
            organisation: None,
            scopes: trust::scope::Scopes::parse("user/*.rs").unwrap(),
            person: Person::Citizen {
                identifier: person("14835210260"),
                name: None,
                security_level: 4,
                represents: None,
            },
            patient: Some(person("14835210260")),
            patient_id: None,
            represented_by: Vec::new(),
            gateway: None,
            agreement: None,
            delegation: None,
            audience: "https://h.example/x/fhir".into(),
            token_id: "t".into(),
            jkt: "k".into(),
            token_hash: [0; 32],
            issued: Instant::from_seconds(0),
            expires: Instant::from_seconds(300),
        }
    }

    #[test]
    fn a_ticket_opens_for_the_same_client_patient_person_and_service_and_for_a_while() {
        let now = Instant::from_seconds(1000);
        let query = vec![("code".to_owned(), "2708-6".to_owned())];
        let bytes = Ticket::new(&caller(), query, 7_u32, now)
            .to_bytes()
            .unwrap();
        let open = |caller: &Caller, now| Ticket::<u32>::open(Some(bytes.clone()), caller, now);
        let ticket = open(&caller(), now.plus_seconds(LIFE_SECONDS - 1)).unwrap();
        assert_eq!((ticket.cursor, ticket.query[0].1.as_str()), (7, "2708-6"));
        assert!(open(&caller(), now.plus_seconds(LIFE_SECONDS)).is_err());
        assert!(
            open(
                &Caller {
                    client_id: "other".into(),
                    ..caller()
                },
                now
            )
            .is_err()
        );
        assert!(
            open(
                &Caller {
                    patient: None,
                    ..caller()
                },
                now
            )
            .is_err()
        );
        assert!(
            open(
                &Caller {
                    patient: Some(person("13717404089")),
                    ..caller()
                },
                now
            )
            .is_err()
        );
        assert!(
            open(
                &Caller {
                    audience: "https://h.example/y/fhir".into(),
                    ..caller()
                },
                now
            )
            .is_err()
        );
        let someone = Person::Citizen {
            identifier: person("13717404089"),
            name: None,
            security_level: 4,
            represents: Some(trust::Representation {
                id: "r-1".into(),
                services: Vec::new(),
                log: false,
                notes: false,
            }),
        };
        assert!(
            open(
                &Caller {
                    person: someone,
                    ..caller()
                },
                now
            )
            .is_err()
        );
        assert_eq!(
            Ticket::<u32>::open(None, &caller(), now)
                .unwrap_err()
                .status()
                .as_u16(),
            404
        );
    }

    #[test]
    fn links_are_built_under_the_base() {
        assert_eq!(
            next_link("https://h/fhir", "abc"),
            "https://h/fhir/_page/abc"
        );
        let parameters = [("patient".to_owned(), "Patient/1".to_owned())];
        assert_eq!(
            self_link("https://h/fhir", "Observation", &parameters),
            "https://h/fhir/Observation?patient=Patient%2F1"
        );
    }
}
