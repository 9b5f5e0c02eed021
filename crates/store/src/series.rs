//! Which series a patient has: the sets of codings that their resources of one type carry. For choosing what to search
//! for; what is in a series is given by a search alone, under the permit and all that narrows it.

use fhir::ids::PersonIdentifier;
use fhir::index::Coding;
use fhir::resource::ResourceType;
use rusqlite::params;
use trust::{Permit, PermitScope};

use crate::backend::sqlite::reader::Reader;
use crate::errors::StoreError;
use crate::prepare::CODE;

/// The coding sets of `person`'s series of a type, each once, in a stable order; none where the permit opens nothing of it.
pub(crate) fn codings(
    reader: &mut Reader,
    permit: &Permit,
    resource_type: ResourceType,
    person: &PersonIdentifier,
) -> Result<Vec<Vec<Coding>>, StoreError> {
    let opened = match permit.patient() {
        PermitScope::OwnStore => true,
        PermitScope::Patient(permitted) => permitted == person,
        PermitScope::Nobody => false,
    };
    if !opened || !permit.opens(resource_type.information_service()) {
        return Ok(Vec::new());
    }
    let connection = &reader.connection;
    let Some(patient) = reader.number_of(person)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(
        "SELECT s.kind, c.system, c.code FROM series s JOIN kind k ON k.n = s.kind
         LEFT JOIN kind_coding c ON c.kind = s.kind AND c.role = ?3
         WHERE s.patient = ?1 AND k.type = ?2 ORDER BY s.kind, c.system, c.code",
    )?;
    let mut rows = statement.query(params![patient, resource_type.as_str(), CODE])?;
    let mut sets: Vec<Vec<Coding>> = Vec::new();
    let mut last = None;
    while let Some(row) = rows.next()? {
        let kind: i64 = row.get(0)?;
        if last != Some(kind) {
            sets.push(Vec::new());
            last = Some(kind);
        }
        let (system, code): (Option<String>, Option<String>) = (row.get(1)?, row.get(2)?);
        if let (Some(set), Some(code)) = (sets.last_mut(), code) {
            set.push(Coding {
                system: system.filter(|system| !system.is_empty()),
                code,
            });
        }
    }
    // Kinds that differ in their categories only have the same codings.
    sets.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    sets.dedup();
    Ok(sets)
}

fn key(set: &[Coding]) -> Vec<(Option<&str>, &str)> {
    set.iter()
        .map(|coding| (coding.system.as_deref(), coding.code.as_str()))
        .collect()
}
