//! Erasure for good: every version, index row and identity of what a controller has ordered to be erased, and what waits to
//! be sent about it. What stays is the audit trail, which holds no content.
//!
//! Rows go in the commit that writes the audit record. A dictionary that was trained on what is erased holds pieces of it:
//! if it has any that nothing left has, it is trained anew and what was packed with it is packed again. Then the files are
//! rewritten (`VACUUM`) and the write-ahead log is emptied, before the answer; a mark in the store makes sure that this is
//! done after a power cut too.

use std::collections::HashSet;

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::search::Grip;
use fhir::systems;
use rusqlite::{Connection, OptionalExtension, params};

use crate::backend::sqlite::writer::Writer;
use crate::body::{self, Unpacker};
use crate::commit::{Committed, Purge, Purged};
use crate::dictionary;
use crate::errors::StoreError;
use crate::follow::{self, FOLLOW};
use crate::handle;
use crate::outbox;
use crate::prepare::{CODE, person_mac};
use crate::presence;

/// The ledger that holds the mark of files to be rewritten.
const MARK: &str = "delt scrub";
/// Bytes of text that two bodies share without one telling of the other.
const PIECE: usize = 6;

/// Whether a purge was committed whose bytes may still lie in the files.
pub(crate) fn is_unscrubbed(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection
        .prepare("SELECT 1 FROM ledger WHERE ledger = ?")?
        .exists([MARK])?)
}

/// One resource about to be erased.
struct Doomed {
    id: [u8; 16],
    patient: i64,
    kind: i64,
    t: i64,
    gone: bool,
}

fn doomed(row: &rusqlite::Row<'_>) -> rusqlite::Result<Doomed> {
    Ok(Doomed {
        id: row.get(0)?,
        patient: row.get(1)?,
        kind: row.get(2)?,
        t: row.get(3)?,
        gone: row.get(4)?,
    })
}

impl Writer {
    /// Erases. [`StoreError::NotFound`] if there is nothing of the kind.
    pub(crate) fn purge(
        &mut self,
        purge: &Purge,
        now: i64,
        committed: &mut Committed,
    ) -> Result<Purged, StoreError> {
        let (doomed, patients) = self.doomed(purge)?;
        let bodies = self.bodies(&doomed)?;
        let mut purged = Purged {
            resources: doomed.len() as u64,
            patients: patients.len() as u64,
            ..Purged::default()
        };
        // Whole patients first lose their presence, so that the locator hears of it while it is known who they are.
        for patient in &patients {
            self.depart(*patient, committed)?;
        }
        let series = self.series_of_doomed(&doomed)?;
        for one in &doomed {
            purged.versions += self.erase(one)?;
            if !patients.contains(&one.patient) && !one.gone {
                let resource_type = self.type_of(one.kind)?;
                self.ended(one.patient, one.kind, resource_type, committed)?;
                if !self.set.publishing.is_everything() {
                    self.turn(one.patient, resource_type, false, committed)?;
                }
                self.follow_erased(one.patient, resource_type, one.t);
            }
        }
        let numbers = self.people(&patients)?;
        for patient in &patients {
            for sql in [
                "DELETE FROM series WHERE patient = ?",
                "DELETE FROM presence WHERE patient = ?",
                "DELETE FROM patient WHERE n = ?",
            ] {
                self.connection.prepare_cached(sql)?.execute([patient])?;
            }
        }
        let everything = matches!(purge, Purge::Store);
        purged.parcels = self.erase_parcels(&doomed, &numbers, everything)?;
        self.release(&series)?;
        self.set.trainer.forget();
        self.clean_dictionaries(&bodies, now)?;
        self.drop_unused()?;
        self.connection.execute(
            "INSERT OR REPLACE INTO ledger(ledger, key, version, updated, value) VALUES (?, x'00', 1, ?, x'')",
            params![MARK, now],
        )?;
        self.unscrubbed = true;
        Ok(purged)
    }

    /// The resources that go, and the patients that go with all they have.
    fn doomed(&self, purge: &Purge) -> Result<(Vec<Doomed>, HashSet<i64>), StoreError> {
        const COLUMNS: &str = "SELECT i.id, i.patient, i.kind, i.t, i.gone FROM record_id i";
        let all = |condition: &str, value: Option<i64>| -> Result<Vec<Doomed>, StoreError> {
            let mut statement = self
                .connection
                .prepare(&format!("{COLUMNS} WHERE {condition}"))?;
            Ok(statement
                .query_map([value], doomed)?
                .collect::<Result<_, _>>()?)
        };
        match purge {
            Purge::Resource { resource_type, id } => {
                let found = self
                    .connection
                    .prepare(&format!(
                        "{COLUMNS} JOIN kind k ON k.n = i.kind WHERE i.id = ? AND k.type = ?"
                    ))?
                    .query_row(
                        params![id.uuid().as_bytes(), resource_type.as_str()],
                        doomed,
                    )
                    .optional()?
                    .filter(|_| *resource_type != ResourceType::PATIENT);
                let mut found = vec![found.ok_or(StoreError::NotFound)?];
                found.extend(self.made_of(*id, COLUMNS)?);
                Ok((found, HashSet::new()))
            }
            Purge::Patient(person) => {
                let number: Option<i64> = self
                    .connection
                    .prepare("SELECT n FROM patient WHERE mac = ?")?
                    .query_row([person_mac(&self.set.keys, person)], |row| row.get(0))
                    .optional()?;
                let number = number.ok_or(StoreError::NotFound)?;
                Ok((
                    all("i.patient = ?1", Some(number))?,
                    HashSet::from([number]),
                ))
            }
            Purge::Store => {
                let mut statement = self.connection.prepare("SELECT n FROM patient")?;
                let patients = statement
                    .query_map([], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                Ok((all("?1 IS NULL", None)?, patients))
            }
        }
    }

    /// Results of the service's own assessment that any version was made of this resource, and what an alert found by it: they
    /// tell of it.
    fn made_of(&self, id: LogicalId, columns: &str) -> Result<Vec<Doomed>, StoreError> {
        let named = id.to_string();
        let key = |of| handle::key(&self.set.keys, of, Grip::Literal, None, &named);
        let (result, found) = (
            key(ResourceType::OBSERVATION),
            key(ResourceType::DETECTED_ISSUE),
        );
        let mut statement = self.connection.prepare(&format!(
            "{columns} WHERE i.id IN (SELECT id FROM handle WHERE key IN (?1, ?5)) AND i.id <> ?2
               AND EXISTS (SELECT 1 FROM kind_coding c WHERE c.kind = i.kind AND c.role = ?3 AND c.system = ?4)"
        ))?;
        let uuid = id.uuid();
        let values = params![result, uuid.as_bytes(), CODE, systems::ASSESSMENT, found];
        Ok(statement
            .query_map(values, doomed)?
            .collect::<Result<_, _>>()?)
    }

    /// The plain bodies of all versions, by which dictionaries are judged; of many, some.
    fn bodies(&self, doomed: &[Doomed]) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut unpacker = Unpacker::default();
        let mut bodies = Vec::new();
        for one in doomed {
            let mut statement = self.connection.prepare_cached(
                "SELECT body FROM history WHERE id = ?1 AND gone = 0
                 UNION ALL SELECT body FROM record WHERE patient = ?2 AND kind = ?3 AND t = ?4 AND id = ?1",
            )?;
            let mut rows = statement.query(params![one.id, one.patient, one.kind, one.t])?;
            while let Some(row) = rows.next()? {
                let packed: Vec<u8> = row.get(0)?;
                bodies.push(unpacker.unpack(&packed, |number| {
                    dictionary::bytes(&self.connection, number)
                })?);
            }
        }
        Ok(bodies)
    }

    /// Announces that nothing about a patient is here any more.
    fn depart(&mut self, patient: i64, committed: &mut Committed) -> Result<(), StoreError> {
        let services: Vec<u8> = self
            .connection
            .prepare("SELECT service FROM presence WHERE patient = ? AND present = 1")?
            .query_map([patient], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for number in services {
            let service = presence::service_of(number)?;
            self.presence_is(patient, service, false, committed)?;
        }
        Ok(())
    }

    /// The series in which any version of these lay.
    fn series_of_doomed(&self, doomed: &[Doomed]) -> Result<HashSet<(i64, i64)>, StoreError> {
        let mut series = HashSet::new();
        for one in doomed {
            series.insert((one.patient, one.kind));
            let mut statement = self
                .connection
                .prepare_cached("SELECT patient, kind FROM history WHERE id = ?")?;
            let mut rows = statement.query([one.id])?;
            while let Some(row) = rows.next()? {
                series.insert((row.get(0)?, row.get(1)?));
            }
        }
        Ok(series)
    }

    /// Removes one resource from every table; gives how many versions it had.
    fn erase(&self, one: &Doomed) -> Result<u64, StoreError> {
        let mut versions = self
            .connection
            .prepare_cached("DELETE FROM history WHERE id = ?")?
            .execute([one.id])?;
        versions += self
            .connection
            .prepare_cached(
                "DELETE FROM record WHERE patient = ? AND kind = ? AND t = ? AND id = ?",
            )?
            .execute(params![one.patient, one.kind, one.t, one.id])?;
        self.connection
            .prepare_cached("DELETE FROM record_id WHERE id = ?")?
            .execute([one.id])?;
        Ok(versions as u64)
    }

    /// The numbers of people, to look for in what waits to be sent.
    fn people(&self, patients: &HashSet<i64>) -> Result<Vec<String>, StoreError> {
        let mut numbers = Vec::with_capacity(patients.len());
        for patient in patients {
            numbers.push(
                self.connection
                    .prepare_cached("SELECT value FROM patient WHERE n = ?")?
                    .query_row([patient], |row| row.get(0))?,
            );
        }
        Ok(numbers)
    }

    /// Removes from the outbox what names an erased resource or person; announcements to the locator stay, since they tell
    /// it what to forget.
    fn erase_parcels(
        &mut self,
        doomed: &[Doomed],
        numbers: &[String],
        everything: bool,
    ) -> Result<u64, StoreError> {
        let mut names: HashSet<Vec<u8>> = numbers.iter().map(|n| n.as_bytes().to_vec()).collect();
        let mut ids = HashSet::new();
        for one in doomed {
            let id = LogicalId(uuid::Uuid::from_bytes(one.id));
            names.insert(id.to_string().into_bytes());
            ids.insert(id);
        }
        let mut unpacker = Unpacker::default();
        let mut gone: Vec<i64> = Vec::new();
        let mut left: Vec<(i64, Vec<u8>)> = Vec::new();
        {
            let mut statement = self.connection.prepare(
                "SELECT n, body, topic FROM parcel WHERE body IS NOT NULL AND topic <> ?",
            )?;
            let mut rows = statement.query([crate::ANNOUNCE])?;
            while let Some(row) = rows.next()? {
                let packed: Vec<u8> = row.get(1)?;
                let plain = unpacker.unpack(&packed, |number| {
                    dictionary::bytes(&self.connection, number)
                })?;
                if !everything && !names.iter().any(|name| holds(&plain, name)) {
                    continue;
                }
                let topic: String = row.get(2)?;
                // What changed besides is still to be heard of.
                match follow::without(&plain, &ids) {
                    Some(rest) if topic == FOLLOW && !everything => left.push((row.get(0)?, rest)),
                    _ => gone.push(row.get(0)?),
                }
            }
        }
        for (parcel, rest) in &left {
            let packed = self.packer.pack(rest, None)?;
            self.connection
                .prepare_cached("UPDATE parcel SET body = ? WHERE n = ?")?
                .execute(params![packed, parcel])?;
        }
        for parcel in &gone {
            outbox::erase(&self.connection, *parcel)?;
        }
        // Identities have no index by resource; all of the erased go in one walk.
        self.connection.execute(
            "DELETE FROM identity WHERE NOT EXISTS (SELECT 1 FROM record_id i WHERE i.id = identity.id)",
            [],
        )?;
        Ok((gone.len() + left.len()) as u64)
    }

    /// Trains anew each dictionary that holds something of the erased that nothing left has.
    fn clean_dictionaries(&mut self, erased: &[Vec<u8>], now: i64) -> Result<(), StoreError> {
        let dictionaries: Vec<(i64, i64, Vec<u8>)> = self
            .connection
            .prepare("SELECT n, kind, bytes FROM dictionary WHERE kind > 0")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        for (number, kind, bytes) in dictionaries {
            let left = dictionary::sample(&self.connection, kind)?;
            if !tells(&bytes, erased, &left) {
                continue;
            }
            let trained = (left.len() >= dictionary::ENOUGH)
                .then(|| body::train(&left))
                .flatten();
            let fresh = match trained {
                Some(trained) => {
                    self.connection.execute(
                        "INSERT INTO dictionary(kind, made, bytes) VALUES (?, ?, ?)",
                        params![kind, now, trained],
                    )?;
                    Some((self.connection.last_insert_rowid(), trained))
                }
                None => None,
            };
            self.repack("record", "patient, kind, t, id", number, fresh.as_ref())?;
            self.repack("history", "id, version", number, fresh.as_ref())?;
            // The row stays, empty: no later dictionary may get its number, by which readers remember it.
            self.connection.execute(
                "UPDATE dictionary SET kind = -1, bytes = x'' WHERE n = ?",
                [number],
            )?;
        }
        self.dictionaries.clear();
        self.untrained.clear();
        Ok(())
    }

    /// Packs again what names dictionary `old`. `table` and `key` are words of ours.
    fn repack(
        &mut self,
        table: &str,
        key: &str,
        old: i64,
        fresh: Option<&(i64, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let mut unpacker = Unpacker::default();
        let width = key.split(',').count();
        let places: Vec<String> = key
            .split(',')
            .enumerate()
            .map(|(i, name)| format!("{} = ?{}", name.trim(), i + 2))
            .collect();
        let update = format!(
            "UPDATE {table} SET body = ?1 WHERE {}",
            places.join(" AND ")
        );
        // Keys first, so that no row is met again after it was written.
        let mut keys: Vec<Vec<rusqlite::types::Value>> = Vec::new();
        {
            let mut statement = self
                .connection
                .prepare(&format!("SELECT {key}, body FROM {table}"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let packed = row.get_ref(width)?.as_blob().map_err(|_| StoreError::Bug)?;
                if body::dictionary_of(packed) == Some(old) {
                    keys.push((0..width).map(|i| row.get(i)).collect::<Result<_, _>>()?);
                }
            }
        }
        let read = format!(
            "SELECT body FROM {table} WHERE {}",
            key.split(',')
                .enumerate()
                .map(|(i, name)| format!("{} = ?{}", name.trim(), i + 1))
                .collect::<Vec<_>>()
                .join(" AND ")
        );
        for key in keys {
            let packed: Vec<u8> = self
                .connection
                .prepare_cached(&read)?
                .query_row(rusqlite::params_from_iter(&key), |row| row.get(0))?;
            let plain = unpacker.unpack(&packed, |number| {
                dictionary::bytes(&self.connection, number)
            })?;
            let with = fresh.map(|(number, bytes)| (*number, bytes.as_slice()));
            let packed = self.packer.pack(&plain, with)?;
            let values = std::iter::once(rusqlite::types::Value::Blob(packed)).chain(key);
            self.connection
                .prepare_cached(&update)?
                .execute(rusqlite::params_from_iter(values))?;
        }
        Ok(())
    }

    /// Codings and status words that only the erased had tell of it too.
    fn drop_unused(&mut self) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM kind WHERE n NOT IN (SELECT kind FROM record_id)
               AND n NOT IN (SELECT kind FROM history) AND n NOT IN (SELECT kind FROM series) AND n NOT IN (SELECT kind FROM dictionary)",
            "DELETE FROM kind_coding WHERE kind NOT IN (SELECT n FROM kind)",
            "DELETE FROM word WHERE n NOT IN (SELECT status FROM record) AND n NOT IN (SELECT status FROM history)",
        ] {
            self.connection.execute(sql, [])?;
        }
        self.kinds.clear();
        self.words.clear();
        Ok(())
    }

    /// Rewrites the files, so that nothing erased is left in free pages or in the write-ahead log.
    pub(crate) fn scrub(&mut self) {
        let result = self.rewrite();
        match result {
            Ok(true) => self.unscrubbed = false,
            Ok(false) | Err(_) => {
                tracing::warn!(
                    "what was erased may still lie in the files; they are rewritten with the next change"
                );
            }
        }
    }

    /// `false`: a reader was in the way.
    fn rewrite(&self) -> Result<bool, StoreError> {
        let empty = || -> Result<bool, StoreError> {
            Ok(self
                .connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                    row.get::<_, i64>(0)
                })?
                == 0)
        };
        self.connection.execute_batch("VACUUM")?;
        if !empty()? {
            return Ok(false);
        }
        self.connection
            .execute("DELETE FROM ledger WHERE ledger = ?", [MARK])?;
        Ok(true)
    }
}

fn holds(text: &[u8], piece: &[u8]) -> bool {
    text.windows(piece.len()).any(|window| window == piece)
}

/// Whether a dictionary holds a piece of the erased that is in nothing left.
fn tells(dictionary: &[u8], erased: &[Vec<u8>], left: &[Vec<u8>]) -> bool {
    let mut pieces: HashSet<&[u8]> = dictionary.windows(PIECE).collect();
    for one in left {
        for piece in one.windows(PIECE) {
            pieces.remove(piece);
        }
    }
    erased
        .iter()
        .any(|one| one.windows(PIECE).any(|piece| pieces.contains(piece)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_tells_of_what_only_the_erased_had() {
        let body = |value: &str| format!("{{\"unit\":\"/min\",\"value\":{value}}}").into_bytes();
        let dictionary = [body("72.125"), body("80.5")].concat();
        let left = vec![body("80.5"), body("61")];
        assert!(tells(&dictionary, &[body("72.125")], &left));
        assert!(!tells(&dictionary, &[body("80.5")], &left));
        assert!(!tells(&dictionary, &[body("99.875")], &left));
        assert!(tells(&dictionary, &[body("80.5")], &[]));
    }
}
