//! In a register that several organisations share, each resource stays its writer's: only who wrote a version writes the
//! next (threats-and-faults.md section 4, "Another organisation's data cannot be changed").
//!
//! The writer stands in `meta.tag`, as an organisation number. A put names its writer only in a shared register.

use fhir::json::Json;
use fhir::systems;
use rusqlite::{OptionalExtension, params};

use crate::backend::sqlite::writer::Writer;
use crate::body::{self, Unpacker};
use crate::dictionary;
use crate::errors::{Conflict, StoreError};
use crate::prepare::{self, Resource};
use crate::record::Known;

impl Writer {
    /// That `resource` may follow `known`. What carries no writer's tag (a Patient made for an unknown subject) is free.
    ///
    /// # Errors
    /// [`Conflict::Writer`].
    pub(crate) fn same_writer(&self, known: &Known, resource: &Resource) -> Result<(), StoreError> {
        let Some(writer) = &resource.written_by else {
            return Ok(());
        };
        let id = known.id.uuid();
        let packed: Option<Vec<u8>> = self
            .connection
            .prepare_cached(
                "SELECT body FROM record WHERE patient = ?1 AND kind = ?2 AND t = ?3 AND id = ?4
                 UNION ALL
                 SELECT body FROM (SELECT body FROM history WHERE id = ?4 AND gone = 0 ORDER BY version DESC LIMIT 1)
                 LIMIT 1",
            )?
            .query_row(
                params![known.patient, known.kind, known.t, id.as_bytes()],
                |row| row.get(0),
            )
            .optional()?;
        let packed = packed.ok_or(StoreError::Damaged("a record is not where its id says"))?;
        let cut = Unpacker::default().unpack(&packed, |number| {
            dictionary::bytes(&self.connection, number)
        })?;
        let held = body::join(&cut, "", "", "")
            .and_then(|text| Json::parse(text, prepare::LIMITS).ok())
            .ok_or(StoreError::Damaged("a stored body does not read"))?;
        let mut writers = held
            .root()
            .all(&["meta", "tag"])
            .into_iter()
            .filter(|tag| {
                tag.text("system")
                    .is_some_and(|system| systems::canonical(&system) == systems::ORGNR)
            })
            .filter_map(|tag| tag.text("code"))
            .peekable();
        if writers.peek().is_none() || writers.any(|code| code == writer.as_str()) {
            Ok(())
        } else {
            Err(Conflict::Writer { existing: known.id }.into())
        }
    }
}
