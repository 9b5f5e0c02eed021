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
