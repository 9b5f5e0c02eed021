//! What is here, told so that a source can compare: counts and digests of a patient's series, and of each resource in it.
//!
//! A resource's digest is the first half of `fhir::identity::content`, which a source can compute from the resource alone
//! (docs/guide/record-system.md, "Digests"). A set's digest is SHA-256 over its resources' digests in ascending order, one
//! after the other: it depends on no order, and who could choose contents freely gains nothing over SHA-256 itself, as one
//! would with a sum or an exclusive or. What is live counts, `entered-in-error` too; what was withdrawn does not.

use aws_lc_rs::digest::{SHA256, digest};
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::resource::ResourceType;
use fhir::search::TokenParam;
use fhir::time::Instant;
use rusqlite::{Connection, OptionalExtension};
use trust::{Permit, PermitScope};
use uuid::Uuid;

use crate::backend::sqlite::reader::Reader;
use crate::errors::StoreError;
use crate::handle;
use crate::patient::person_of;
use crate::prepare::{CODE, UNDATED};
use crate::store::Store;
use crate::{identified, query};

/// Resources that one question may look at; beyond it, [`StoreError::TooCostly`].
const MOST: usize = 200_000;

/// The digest of one resource's content: the first 16 bytes of `fhir::identity::content`.
pub type ContentDigest = [u8; 16];

/// How many resources a set has, and their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// SHA-256 of their digests in ascending order.
    pub digest: [u8; 32],
}

impl Tally {
    /// The tally of these; their order does not matter.
    #[must_use]
    pub fn of(mut digests: Vec<ContentDigest>) -> Tally {
        digests.sort_unstable();
        let whole = digest(&SHA256, digests.as_flattened());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(whole.as_ref());
        Tally {
            count: digests.len() as u64,
            digest: bytes,
        }
    }
}

/// Whose series are counted.
#[derive(Clone)]
pub enum Patients {
    /// These, in this order; one that is not known here has nothing.
    These(Vec<PersonIdentifier>),
    /// All whose number ends with these digits.
    Ending(String),
}

/// One live resource, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Its logical id.
    pub id: LogicalId,
    /// Its version.
    pub version: u64,
    /// When its time begins; `None` without one.
    pub start: Option<Instant>,
    /// Of its content.
    pub digest: ContentDigest,
}

/// What is known here by a business identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The resource.
    pub id: LogicalId,
    /// Its newest version; the withdrawal is one.
    pub version: u64,
    /// Whether it was withdrawn.
    pub withdrawn: bool,
    /// Of its newest content.
    pub digest: ContentDigest,
}

impl Store {
    /// How many resources each patient has of a type (with one of `codes`, where there are any), and their digest, for a
    /// source to compare with; patients who have none are left out. Only under a permit for the whole store.
    ///
    /// # Errors
    /// [`StoreError::TooCostly`] for more than 200,000 resources.
    pub async fn tallies(
        &self,
        permit: &Permit,
        resource_type: ResourceType,
        codes: Vec<TokenParam>,
        patients: Patients,
    ) -> Result<Vec<(PersonIdentifier, Tally)>, StoreError> {
        let permit = permit.clone();
        self.readers()
            .ask(move |reader| tallies(reader, &permit, (resource_type, &codes), &patients))
            .await
    }

    /// Every live resource of one patient's series, by time and id, without its content.
    ///
    /// # Errors
    /// As [`Store::tallies`].
    pub async fn holdings(
        &self,
        permit: &Permit,
        resource_type: ResourceType,
        codes: Vec<TokenParam>,
        person: &PersonIdentifier,
    ) -> Result<Vec<Holding>, StoreError> {
        let (permit, person) = (permit.clone(), person.clone());
        self.readers()
            .ask(move |reader| holdings(reader, &permit, (resource_type, &codes), &person))
            .await
    }

    /// What is known about a person by each of these business identifiers (system, value), in order, withdrawn or not.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn named(
        &self,
        permit: &Permit,
        resource_type: ResourceType,
        person: &PersonIdentifier,
        identifiers: Vec<(String, String)>,
    ) -> Result<Vec<Option<Named>>, StoreError> {
        let (permit, person) = (permit.clone(), person.clone());
        self.readers()
            .ask(move |reader| named(reader, &permit, resource_type, &person, &identifiers))
            .await
    }
}

/// The tallies of patients' series of a type (with one of the codes, where there are any); patients who have nothing of
/// it are left out.
fn tallies(
    reader: &Reader,
    permit: &Permit,
    (resource_type, codes): (ResourceType, &[TokenParam]),
    patients: &Patients,
) -> Result<Vec<(PersonIdentifier, Tally)>, StoreError> {
    if !opens(permit, resource_type) {
        return Ok(Vec::new());
    }
    let connection = &reader.connection;
    let mut tallies = Vec::new();
    let mut seen = 0;
    let mut add = |patient: i64, person: PersonIdentifier| {
        let mut digests = Vec::new();
        each(connection, patient, (resource_type, codes), |holding| {
            digests.push(holding.digest);
        })?;
        seen += digests.len();
        if seen > MOST {
            return Err(StoreError::TooCostly);
        }
        if !digests.is_empty() {
            tallies.push((person, Tally::of(digests)));
        }
        Ok(())
    };
    match patients {
        Patients::These(people) => {
            for person in people {
                if let Some(number) = reader.number_of(person)? {
                    add(number, person.clone())?;
                }
            }
        }
        Patients::Ending(digits) => {
            let mut statement = connection.prepare_cached(
                "SELECT n, system, value FROM patient WHERE substr(value, -length(?1)) = ?1 ORDER BY n",
            )?;
            let mut rows = statement.query([digits])?;
            while let Some(row) = rows.next()? {
                let person = person_of(Some((row.get(1)?, row.get(2)?)))?;
                add(row.get(0)?, person)?;
            }
        }
    }
    Ok(tallies)
}

/// Every live resource of one patient's series, by time and id.
fn holdings(
    reader: &Reader,
    permit: &Permit,
    what: (ResourceType, &[TokenParam]),
    person: &PersonIdentifier,
) -> Result<Vec<Holding>, StoreError> {
    let mut holdings = Vec::new();
    if opens(permit, what.0)
        && let Some(patient) = reader.number_of(person)?
    {
        each(&reader.connection, patient, what, |one| holdings.push(one))?;
    }
    holdings.sort_unstable_by_key(|one| (one.start.is_none(), one.start, one.id));
    Ok(holdings)
}

/// What is known about `person` by each of these business identifiers (system, value), withdrawn or not.
fn named(
    reader: &Reader,
    permit: &Permit,
    resource_type: ResourceType,
    person: &PersonIdentifier,
    identifiers: &[(String, String)],
) -> Result<Vec<Option<Named>>, StoreError> {
    if !opens(permit, resource_type) {
        return Ok(vec![None; identifiers.len()]);
    }
    let subjects = identified::subjects(reader, person)?;
    let mut statement = reader
        .connection
        .prepare_cached("SELECT version, gone, digest FROM record_id WHERE id = ?")?;
    identifiers
        .iter()
        .map(|(system, value)| {
            for subject in &subjects {
                let key =
                    fhir::identity::business_key(resource_type, subject.as_ref(), system, value);
                let business = Some((system.as_str(), value.as_str()));
                let mac = handle::identity_mac(&reader.keys, resource_type, business, &key);
                let Some(id) = identified::known_as(reader, mac)? else {
                    continue;
                };
                let row = |row: &rusqlite::Row<'_>| {
                    Ok(Named {
                        id,
                        version: row.get(0)?,
                        withdrawn: row.get(1)?,
                        digest: row.get(2)?,
                    })
                };
                return Ok(statement
                    .query_row([id.uuid().as_bytes()], row)
                    .optional()?);
            }
            Ok(None)
        })
        .collect()
}

/// Only the store's own system compares.
fn opens(permit: &Permit, resource_type: ResourceType) -> bool {
    *permit.patient() == PermitScope::OwnStore && permit.opens(resource_type.information_service())
}

/// Calls `one` with each live resource of a patient's series.
fn each(
    connection: &Connection,
    patient: i64,
    (resource_type, codes): (ResourceType, &[TokenParam]),
    mut one: impl FnMut(Holding),
) -> Result<(), StoreError> {
    let kinds = query::sourced(connection, patient, resource_type)?;
    let mut seen = 0;
    for kind in kinds {
        if !query::carries(connection, kind, CODE, codes)? {
            continue;
        }
        let mut statement = connection.prepare_cached(
            "SELECT r.id, r.version, r.t, i.digest FROM record r JOIN record_id i ON i.id = r.id
             WHERE r.patient = ? AND r.kind = ?",
        )?;
        let mut rows = statement.query([patient, kind])?;
        while let Some(row) = rows.next()? {
            seen += 1;
            if seen > MOST {
                return Err(StoreError::TooCostly);
            }
            let t: i64 = row.get(2)?;
            one(Holding {
                id: LogicalId(Uuid::from_bytes(row.get(0)?)),
                version: row.get(1)?,
                start: (t != UNDATED).then(|| Instant(-t)),
                digest: row.get(3)?,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_knows_no_order_and_no_set_stands_for_another() {
        let (a, b, c) = ([1; 16], [2; 16], [3; 16]);
        assert_eq!(Tally::of(vec![a, b, c]), Tally::of(vec![c, a, b]));
        // 1 xor 2 xor 3 is 0: no other set hides behind an exclusive or, and none behind a repeat.
        assert_ne!(Tally::of(vec![a, b, c]), Tally::of(vec![]));
        assert_ne!(Tally::of(vec![a, a]).digest, Tally::of(vec![]).digest);
        assert_ne!(Tally::of(vec![a, b]).digest, Tally::of(vec![a]).digest);
    }
}
