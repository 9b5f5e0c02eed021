//! Whether a patient's data of an information service is here: turns of it are counted and told to the locator.
//!
//! Source: CONTRACT section 8 (what an organisation announces is state, not readings).

use fhir::ids::PersonIdentifier;
use fhir::resource::{InformationService, ResourceType};
use rusqlite::{OptionalExtension, params};

use crate::backend::sqlite::reader::Reader;
use crate::backend::sqlite::writer::Writer;
use crate::commit::{Committed, Presence};
use crate::errors::StoreError;
use crate::patient::person_of;
use crate::prepare::person_mac;
use crate::publish::View;
use crate::record::NOBODY;

impl Writer {
    /// Ends a series if its last record is gone, and the patient's presence if that was the last of its service.
    pub(crate) fn ended(
        &mut self,
        patient: i64,
        kind: i64,
        resource_type: ResourceType,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        let left = self
            .connection
            .prepare_cached("SELECT 1 FROM record WHERE patient = ? AND kind = ? LIMIT 1")?
            .exists([patient, kind])?;
        if left {
            return Ok(());
        }
        self.connection
            .prepare_cached("DELETE FROM series WHERE patient = ? AND kind = ?")?
            .execute([patient, kind])?;
        let service = announced(resource_type);
        let mut statement = self.connection.prepare_cached(
            "SELECT DISTINCT k.type FROM series s JOIN kind k ON k.n = s.kind WHERE s.patient = ?",
        )?;
        let types: Vec<String> = statement
            .query_map([patient], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        drop(statement);
        let others = types.iter().filter_map(|name| ResourceType::parse(name));
        if others.map(announced).any(|other| other == service) {
            return Ok(());
        }
        self.turn(patient, resource_type, false, committed)
    }

    /// Notes that a patient's data of one information service begins or ends, if that is news. Under a policy what is
    /// published decides, not `present`.
    pub(crate) fn turn(
        &mut self,
        patient: i64,
        resource_type: ResourceType,
        present: bool,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        let Some(service) = announced(resource_type).filter(|_| patient != NOBODY) else {
            return Ok(());
        };
        let publishing = self.set.publishing.clone();
        let present = if publishing.is_everything() {
            present
        } else {
            // The reader's clock, not the commit's: both ask the same question of the same moment.
            let view = View::at(&publishing, (self.set.clock)().0);
            view.any_of(&self.connection, patient, service)?
        };
        self.presence_is(patient, service, present, committed)
    }

    /// Notes whether a patient's data of an information service is here, if that is news.
    pub(crate) fn presence_is(
        &mut self,
        patient: i64,
        service: InformationService,
        present: bool,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        let held: Option<bool> = self
            .connection
            .prepare_cached("SELECT present FROM presence WHERE patient = ? AND service = ?")?
            .query_row(params![patient, service.number()], |row| row.get(0))
            .optional()?;
        if held.unwrap_or(false) == present {
            return Ok(());
        }
        self.turned(patient, service, present, committed)
    }

    /// Makes a turn of its own of each service that is here of a patient, whoever is told of turns.
    pub(crate) fn retell(
        &mut self,
        patient: &PersonIdentifier,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        if self.set.announce.is_none() {
            return Ok(());
        }
        let mac = person_mac(&self.set.keys, patient);
        let mut statement = self.connection.prepare_cached(
            "SELECT p.patient, p.service FROM presence p JOIN patient t ON t.n = p.patient
             WHERE t.mac = ? AND p.present = 1 ORDER BY p.service",
        )?;
        let held: Vec<(i64, u8)> = statement
            .query_map([mac], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        drop(statement);
        for (patient, service) in held {
            self.turned(patient, service_of(service)?, true, committed)?;
        }
        Ok(())
    }

    fn turned(
        &mut self,
        patient: i64,
        service: InformationService,
        present: bool,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        self.counters.sequence += 1;
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO presence(patient, service, present, sequence) VALUES (?, ?, ?, ?)")?
            .execute(params![patient, service.number(), present, self.counters.sequence])?;
        let person = self
            .connection
            .prepare_cached("SELECT system, value FROM patient WHERE n = ?")?
            .query_row([patient], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        let patient = person_of(person)?;
        committed.presence.push(Presence {
            patient,
            service,
            present,
            sequence: self.counters.sequence,
        });
        Ok(())
    }

    /// Looks at up to `limit` patients after number `from`: has anything turned by time alone, or by another policy than
    /// the one their presence was last settled by? Gives where to go on, 0 after the last.
    pub(crate) fn settle(
        &mut self,
        from: i64,
        limit: usize,
        committed: &mut Committed,
    ) -> Result<i64, StoreError> {
        let patients: Vec<i64> = self
            .connection
            .prepare_cached("SELECT n FROM patient WHERE n > ? ORDER BY n LIMIT ?")?
            .query_map(params![from, limit as i64], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for patient in &patients {
            let types: Vec<String> = self
                .connection
                .prepare_cached(
                    "SELECT DISTINCT k.type FROM series s JOIN kind k ON k.n = s.kind WHERE s.patient = ?",
                )?
                .query_map([patient], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for resource_type in types.iter().filter_map(|name| ResourceType::parse(name)) {
                self.turn(*patient, resource_type, true, committed)?;
            }
        }
        Ok(if patients.len() < limit {
            0
        } else {
            patients.last().copied().unwrap_or(0)
        })
    }
}

/// The service whose presence a resource gives. A Patient is what the others are about, made with the first of them,
/// and no data in itself.
pub(crate) fn announced(resource_type: ResourceType) -> Option<InformationService> {
    if resource_type == ResourceType::PATIENT {
        None
    } else {
        resource_type.information_service()
    }
}

/// Which kinds of information are held about a person, and which of them somebody else than the organisation itself may find.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Held.
    pub held: Vec<InformationService>,
    /// Published now.
    pub published: Vec<InformationService>,
}

/// The kinds of a person's data, in order.
pub(crate) fn kinds(reader: &Reader, person: &PersonIdentifier) -> Result<Kinds, StoreError> {
    let Some(patient) = reader.number_of(person)? else {
        return Ok(Kinds::default());
    };
    let connection = &reader.connection;
    let types: Vec<String> = connection
        .prepare_cached(
            "SELECT DISTINCT k.type FROM series s JOIN kind k ON k.n = s.kind WHERE s.patient = ?",
        )?
        .query_map([patient], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let view = View::at(&reader.publishing, (reader.clock)().0);
    let mut kinds = Kinds::default();
    for resource in types.iter().filter_map(|name| ResourceType::parse(name)) {
        let Some(service) = resource.information_service() else {
            continue;
        };
        let published = reader.publishing.is_everything()
            || match announced(resource) {
                Some(service) => view.any_of(connection, patient, service)?,
                // A Patient is published while anything about that patient is.
                None => view.anything(connection, patient)?,
            };
        kinds.held.push(service);
        kinds.published.extend(published.then_some(service));
    }
    for list in [&mut kinds.held, &mut kinds.published] {
        list.sort_unstable();
        list.dedup();
    }
    Ok(kinds)
}

/// An information service from its number.
pub(crate) fn service_of(number: u8) -> Result<InformationService, StoreError> {
    InformationService::ALL
        .into_iter()
        .find(|service| service.number() == number)
        .ok_or(StoreError::Damaged("an unknown information service"))
}

/// Turns of presence after a sequence number, in order.
pub(crate) fn presence_since(
    connection: &rusqlite::Connection,
    sequence: u64,
    limit: usize,
) -> Result<Vec<Presence>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT t.system, t.value, p.service, p.present, p.sequence FROM presence p JOIN patient t ON t.n = p.patient
         WHERE p.sequence > ? ORDER BY p.sequence LIMIT ?",
    )?;
    let mut rows = statement.query(params![sequence, limit as i64])?;
    let mut turns = Vec::new();
    while let Some(row) = rows.next()? {
        turns.push(Presence {
            patient: person_of(Some((row.get(0)?, row.get(1)?)))?,
            service: service_of(row.get(2)?)?,
            present: row.get(3)?,
            sequence: row.get(4)?,
        });
    }
    Ok(turns)
}
