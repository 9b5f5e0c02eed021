//! The index of what resources are taken hold of by (`fhir::search::handles`): keyed hashes, so that neither an identifier nor
//! whom something refers to can be read from it.
//!
//! A key is eight bytes: six of type, grip and value, so that a value without its system is a range of keys, and two that the
//! system stirs in. Two things may share a key: the index narrows down, and the resources themselves have the last word.
//!
//! A resource's first identifier needs no row here: `identity` begins with its key. Of other identifiers and of literal
//! references each resource has a row; of what recurs in a patient's series (a device by serial number, a performer by
//! organisation number, the subject) the series has one. Rows stay when a resource is corrected or withdrawn, so the index
//! tells of every version; a purge takes them.

use std::collections::HashSet;

use fhir::identity::Identity;
use fhir::ids::PersonNumbers;
use fhir::index::Subject;
use fhir::json::{Json, Node};
use fhir::resource::ResourceType;
use fhir::search::{Grip, Handle, TokenSystem, Wanted, handles};
use fhir::time::Zone;
use rusqlite::{Connection, params};

use crate::backend::sqlite::writer::Writer;
use crate::body::{self, Unpacker};
use crate::dictionary;
use crate::errors::StoreError;
use crate::keys::{Keys, Mac};
use crate::prepare::LIMITS;
use crate::record::NOBODY;

/// Bytes of a key that do not depend on the system.
const VALUE: usize = 6;
/// Rows remembered as written.
const REMEMBERED: usize = 16_384;

/// A handle under the store's own key.
pub(crate) type Key = [u8; 8];

/// The identifier that an identity begins with: system and value.
pub(crate) type Business = (String, String);

/// One handle of a resource that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Held {
    key: Key,
    /// Each resource has a row of its own, not its series one.
    each: bool,
}

/// The key of one handle.
pub(crate) fn key(
    keys: &Keys,
    resource_type: ResourceType,
    grip: Grip,
    system: Option<&str>,
    value: &str,
) -> Key {
    let grip: &[u8] = match grip {
        Grip::Own => b"own",
        Grip::Named => b"named",
        Grip::Literal => b"literal",
    };
    let parts = [resource_type.as_str().as_bytes(), grip, value.as_bytes()];
    let mac = keys.mac("delt handle", &parts);
    let mut key = [0; 8];
    key.copy_from_slice(&mac[..8]);
    let [high, low] = folded(system).to_be_bytes();
    key[VALUE] ^= high;
    key[VALUE + 1] ^= low;
    key
}

/// Sixteen bits of a system, zero for none: enough to tell the systems apart that use the same value. Systems are public, and
/// what these bits are mixed with is not.
fn folded(system: Option<&str>) -> u16 {
    let Some(system) = system else { return 0 };
    // FNV-1a (draft-eastlake-fnv), 32 bits, folded.
    let hash = system.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let [a, b, c, d] = hash.to_be_bytes();
    u16::from_be_bytes([a ^ c, b ^ d])
}

/// The lowest and the highest key of what is wanted.
pub(crate) fn range(keys: &Keys, resource_type: ResourceType, wanted: &Wanted) -> (Key, Key) {
    let of = |system| key(keys, resource_type, wanted.grip, system, &wanted.value);
    match &wanted.system {
        TokenSystem::Is(system) => (of(Some(system)), of(Some(system))),
        TokenSystem::Absent => (of(None), of(None)),
        TokenSystem::Any => {
            let (mut low, mut high) = (of(None), of(None));
            low[VALUE..].fill(0);
            high[VALUE..].fill(u8::MAX);
            (low, high)
        }
    }
}

/// What an identity rests as: the key of its business identifier and half a keyed hash of the whole, or, without one, a whole
/// keyed hash.
pub(crate) fn identity_mac(
    keys: &Keys,
    resource_type: ResourceType,
    business: Option<(&str, &str)>,
    whole: &[u8],
) -> Mac {
    let mac = keys.mac("delt identity", &[resource_type.as_str().as_bytes(), whole]);
    match business {
        None => mac,
        Some((system, value)) => {
            let key = key(keys, resource_type, Grip::Own, Some(system), value);
            beginning_with(key, mac)
        }
    }
}

/// An identity's hash, begun with the key of its business identifier.
pub(crate) fn beginning_with(key: Key, mac: Mac) -> Mac {
    let mut whole = [0; 16];
    whole[..8].copy_from_slice(&key);
    whole[8..].copy_from_slice(&mac[..8]);
    whole
}

/// The same of an identity.
pub(crate) fn mac_of(keys: &Keys, resource_type: ResourceType, identity: &Identity) -> Mac {
    let business = identity.business.as_ref();
    let business = business.map(|(system, value)| (system.as_str(), value.as_str()));
    identity_mac(keys, resource_type, business, &identity.key)
}

/// The rows of a resource: `business` is the identifier that its identity begins with.
pub(crate) fn held(
    keys: &Keys,
    (resource, resource_type): (Node<'_>, ResourceType),
    subject: Option<&Subject>,
    business: Option<&Business>,
) -> Vec<Held> {
    let subject = match subject {
        Some(Subject::Local(id)) => Some(id.to_string()),
        _ => None,
    };
    let row = |handle: Handle| {
        let Handle {
            grip,
            system,
            value,
        } = handle;
        let first = |(s, v): &Business| system.as_deref() == Some(s) && value == *v;
        if grip == Grip::Own && business.is_some_and(first) {
            return None;
        }
        Some(Held {
            key: key(keys, resource_type, grip, system.as_deref(), &value),
            each: match grip {
                Grip::Own => true,
                Grip::Named => false,
                Grip::Literal => subject.as_deref() != Some(&value),
            },
        })
    };
    let mut rows: Vec<Held> = handles(resource, resource_type)
        .into_iter()
        .filter_map(row)
        .collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// The rows that were written for whole series, as far as they are remembered: nothing is wrong if they are forgotten.
#[derive(Default)]
pub(crate) struct Remembered(HashSet<(Key, i64, i64)>);

impl Remembered {
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    /// Writes the rows of a resource that lies at (`patient`, `kind`).
    pub(crate) fn hold(
        &mut self,
        connection: &Connection,
        id: &[u8; 16],
        (patient, kind): (i64, i64),
        rows: &[Held],
    ) -> Result<(), StoreError> {
        for row in rows {
            // What is about nobody has no series worth the name: all of a kind is one.
            let each = row.each || patient == NOBODY;
            if !each && self.0.contains(&(row.key, patient, kind)) {
                continue;
            }
            let id: &[u8] = if each { id } else { &[] };
            connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO handle(key, patient, kind, id) VALUES (?, ?, ?, ?)",
                )?
                .execute(params![row.key, patient, kind, id])?;
            if !each {
                if self.0.len() >= REMEMBERED {
                    self.forget();
                }
                self.0.insert((row.key, patient, kind));
            }
        }
        Ok(())
    }
}

impl Writer {
    /// Writes the rows of a resource that lies at (`patient`, `kind`).
    pub(crate) fn hold(
        &mut self,
        id: &[u8; 16],
        place: (i64, i64),
        rows: &[Held],
    ) -> Result<(), StoreError> {
        self.remembered.hold(&self.connection, id, place, rows)
    }

    /// Takes out the rows of what was erased from these series: after it, every row tells of something that is left.
    pub(crate) fn release(&mut self, series: &HashSet<(i64, i64)>) -> Result<(), StoreError> {
        self.remembered.forget();
        // By resource there is no index; all of the erased go in one walk.
        self.connection.execute(
            "DELETE FROM handle WHERE id <> x'' AND NOT EXISTS (SELECT 1 FROM record_id i WHERE i.id = handle.id)",
            [],
        )?;
        self.connection.execute_batch(
            "CREATE TEMP TABLE IF NOT EXISTS released(patient INTEGER, kind INTEGER, PRIMARY KEY(patient, kind)) WITHOUT ROWID;
             DELETE FROM temp.released;",
        )?;
        for (patient, kind) in series {
            self.connection
                .prepare_cached("INSERT INTO temp.released(patient, kind) VALUES (?, ?)")?
                .execute([patient, kind])?;
        }
        self.connection.execute(
            "DELETE FROM handle WHERE (patient, kind) IN (SELECT patient, kind FROM temp.released)",
            [],
        )?;
        self.connection
            .execute_batch("DELETE FROM temp.released;")?;
        for (patient, kind) in series {
            self.hold_again(*patient, *kind)?;
        }
        Ok(())
    }

    /// Writes anew the rows of all versions of what is left of a series.
    fn hold_again(&mut self, patient: i64, kind: i64) -> Result<(), StoreError> {
        let resource_type = self.type_of(kind)?;
        let mut rows: Vec<([u8; 16], Vec<Held>)> = Vec::new();
        {
            let mut unpacker = Unpacker::default();
            let mut statement = self.connection.prepare(
                "SELECT id, body FROM record WHERE patient = ?1 AND kind = ?2
                 UNION ALL SELECT id, body FROM history WHERE patient = ?1 AND kind = ?2 AND gone = 0",
            )?;
            let mut found = statement.query([patient, kind])?;
            while let Some(row) = found.next()? {
                let packed: Vec<u8> = row.get(1)?;
                let cut = unpacker.unpack(&packed, |number| {
                    dictionary::bytes(&self.connection, number)
                })?;
                let (held, _) = of_stored(&self.set.keys, resource_type, &cut)?;
                rows.push((row.get(0)?, held));
            }
        }
        for (id, held) in rows {
            self.hold(&id, (patient, kind), &held)?;
        }
        Ok(())
    }
}

/// The rows of a body as it rests cut, and the identifier that its identity begins with.
pub(crate) fn of_stored(
    keys: &Keys,
    resource_type: ResourceType,
    cut: &[u8],
) -> Result<(Vec<Held>, Option<Business>), StoreError> {
    const DAMAGED: StoreError = StoreError::Damaged("a stored resource does not read again");
    let text = body::text(cut).ok_or(DAMAGED)?;
    let json = Json::parse(text.to_vec(), LIMITS).map_err(|_| DAMAGED)?;
    let root = json.root();
    let business = fhir::identity::business(root, resource_type);
    let subject = fhir::index::of(
        root,
        resource_type,
        &Zone::default(),
        PersonNumbers::Lenient,
    )
    .ok()
    .and_then(|index| index.subject);
    let held = held(
        keys,
        (root, resource_type),
        subject.as_ref(),
        business.as_ref(),
    );
    Ok((held, business))
}
