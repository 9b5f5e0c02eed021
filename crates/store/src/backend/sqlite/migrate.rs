//! From an older format to the one of today, when a store is opened: all of it in one commit, so that a store is of the old
//! format or of the new, also after a power cut in the middle.
//!
//! 1 to 2: the index of handles, and identities that begin with the key of their identifier (`store/src/handle.rs`).

use std::collections::{HashMap, HashSet};

use fhir::ids::PersonNumbers;
use fhir::json::Json;
use fhir::resource::ResourceType;
use fhir::search::Grip;
use fhir::time::Zone;
use rusqlite::{Connection, params};

use super::dialect;
use crate::body::{self, Unpacker};
use crate::dictionary;
use crate::errors::StoreError;
use crate::handle::{self, Business, Remembered};
use crate::keys::Keys;
use crate::prepare::LIMITS;

/// Resources taken at a time.
const CHUNK: i64 = 1_000;

/// Where a version lies, and its body as it rests.
struct Version {
    patient: i64,
    kind: i64,
    cut: Vec<u8>,
}

/// Makes a store of format 1 one of format 2.
pub(super) fn from_1(connection: &Connection, keys: &Keys) -> Result<(), StoreError> {
    tracing::info!("the store has format 1: its index is being built");
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let result = index_all(connection, keys);
    if result.is_err() {
        connection.execute_batch("ROLLBACK")?;
        return result.map(|_| ());
    }
    connection.execute_batch("COMMIT")?;
    tracing::info!(resources = result?, "the store has format 2");
    Ok(())
}

fn index_all(connection: &Connection, keys: &Keys) -> Result<u64, StoreError> {
    connection.execute_batch(dialect::HANDLE)?;
    connection.execute_batch("CREATE INDEX identity_id ON identity(id)")?;
    let kinds = kinds(connection)?;
    let mut remembered = Remembered::default();
    let mut unpacker = Unpacker::default();
    let (mut last, mut count): (Vec<u8>, u64) = (Vec::new(), 0);
    loop {
        let ids: Vec<[u8; 16]> = connection
            .prepare_cached("SELECT id FROM record_id WHERE id > ? ORDER BY id LIMIT ?")?
            .query_map(params![last, CHUNK], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let Some(end) = ids.last() else { break };
        last = end.to_vec();
        for id in ids {
            let versions = versions(connection, &mut unpacker, &id)?;
            let mut first = Vec::with_capacity(versions.len());
            for version in &versions {
                let resource_type = *kinds
                    .get(&version.kind)
                    .ok_or(StoreError::Damaged("a kind has no known type"))?;
                let (rows, business) = handle::of_stored(keys, resource_type, &version.cut)?;
                remembered.hold(connection, &id, (version.patient, version.kind), &rows)?;
                first.push((resource_type, business));
            }
            identities(connection, keys, &id, &versions, &first)?;
            count += 1;
        }
    }
    connection.execute_batch("DROP INDEX identity_id")?;
    connection.pragma_update(None, "user_version", 2)?;
    Ok(count)
}

fn kinds(connection: &Connection) -> Result<HashMap<i64, ResourceType>, StoreError> {
    let mut statement = connection.prepare("SELECT n, type FROM kind")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let mut kinds = HashMap::new();
    for row in rows {
        let (number, name) = row?;
        if let Some(resource_type) = ResourceType::parse(&name) {
            kinds.insert(number, resource_type);
        }
    }
    Ok(kinds)
}

/// All versions of a resource that have a body.
fn versions(
    connection: &Connection,
    unpacker: &mut Unpacker,
    id: &[u8; 16],
) -> Result<Vec<Version>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT r.patient, r.kind, r.body FROM record_id i
           JOIN record r ON r.patient = i.patient AND r.kind = i.kind AND r.t = i.t AND r.id = i.id WHERE i.id = ?1
         UNION ALL SELECT patient, kind, body FROM history WHERE id = ?1 AND gone = 0",
    )?;
    let mut rows = statement.query([id])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let packed: Vec<u8> = row.get(2)?;
        found.push(Version {
            patient: row.get(0)?,
            kind: row.get(1)?,
            cut: unpacker.unpack(&packed, |number| dictionary::bytes(connection, number))?,
        });
    }
    Ok(found)
}

/// Lets the identities of a resource begin with the keys of the identifiers that they were made of.
fn identities(
    connection: &Connection,
    keys: &Keys,
    id: &[u8; 16],
    versions: &[Version],
    first: &[(ResourceType, Option<Business>)],
) -> Result<(), StoreError> {
    let mut named: Vec<(ResourceType, &str, &str)> = Vec::new();
    for (resource_type, business) in first {
        if let Some((system, value)) = business {
            named.push((*resource_type, system, value));
        }
    }
    let several = named.len() < first.len() || named.windows(2).any(|two| two[0] != two[1]);
    let macs: Vec<[u8; 16]> = connection
        .prepare_cached("SELECT mac FROM identity WHERE id = ?")?
        .query_map([id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    named.dedup();
    for (resource_type, system, value) in named {
        let key = handle::key(keys, resource_type, Grip::Own, Some(system), value);
        let of_this = if several {
            made_of(keys, (resource_type, system, value), versions)
        } else {
            HashSet::new()
        };
        for mac in &macs {
            if !several || of_this.contains(mac) {
                connection
                    .prepare_cached("UPDATE identity SET mac = ?2 WHERE mac = ?1")?
                    .execute(params![mac, handle::beginning_with(key, *mac)])?;
            }
        }
    }
    Ok(())
}

/// The hashes that an identifier gave in format 1, with whomever a version says it is about.
fn made_of(
    keys: &Keys,
    (resource_type, system, value): (ResourceType, &str, &str),
    versions: &[Version],
) -> HashSet<[u8; 16]> {
    let mut macs = HashSet::new();
    for version in versions {
        let json =
            body::text(&version.cut).and_then(|text| Json::parse(text.to_vec(), LIMITS).ok());
        let Some(json) = json else { continue };
        for numbers in [PersonNumbers::Strict, PersonNumbers::Lenient] {
            let index = fhir::index::of(json.root(), resource_type, &Zone::default(), numbers);
            let Ok(index) = index else { continue };
            let subject = index.subject.as_ref();
            let whole = fhir::identity::business_key(resource_type, subject, system, value);
            macs.insert(handle::identity_mac(keys, resource_type, None, &whole));
        }
    }
    macs
}
