//! One resource by id, as it is now or as it was.

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::search::Query;
use rusqlite::{OptionalExtension, params};
use trust::Permit;

use super::rows::Row;
use super::{Moment, Start, Whose, period, scope};
use crate::backend::sqlite::reader::Reader;
use crate::commit::Stored;
use crate::errors::StoreError;
use crate::publish::View;

/// One resource by id, if the permit opens it. Withdrawn is [`StoreError::Gone`], but only for who might have seen it.
pub(crate) fn read(
    reader: &mut Reader,
    permit: &Permit,
    resource_type: ResourceType,
    id: LogicalId,
) -> Result<Option<Stored>, StoreError> {
    if !permit.opens(resource_type.information_service()) {
        return Ok(None);
    }
    let Some(whose) = scope(reader, permit, None)?.whose else {
        return Ok(None);
    };
    let found = reader
        .connection
        .prepare_cached(
            "SELECT i.patient, i.kind, i.t, i.gone FROM record_id i JOIN kind k ON k.n = i.kind WHERE i.id = ? AND k.type = ?",
        )?
        .query_row(params![id.uuid().as_bytes(), resource_type.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, bool>(3)?))
        })
        .optional()?;
    let Some((patient, kind, t, gone)) = found else {
        return Ok(None);
    };
    if matches!(whose, Whose::One(one) if one != patient) {
        return Ok(None);
    }
    let period = period(permit, resource_type);
    let view = View::of(&reader.publishing, &reader.clock, permit);
    if gone {
        // The span of what was withdrawn is not at hand, so a permit for some time only is not told; nor
        // is who sees only what is published.
        return if period.is_none() && view.is_none() {
            Err(StoreError::Gone)
        } else {
            Ok(None)
        };
    }
    let row = reader
        .connection
        .prepare_cached("SELECT version, updated, span, body FROM record WHERE patient = ? AND kind = ? AND t = ? AND id = ?")?
        .query_row(params![patient, kind, t, id.uuid().as_bytes()], |row| {
            Row::read((t, *id.uuid().as_bytes()), row)
        })
        .optional()?
        .ok_or(StoreError::Damaged("a record is not where its id says"))?;
    if period.is_some_and(|period| !row.when().is_some_and(|when| when.overlaps(&period))) {
        return Ok(None);
    }
    if let Some(view) = view
        && !view.shows(
            &reader.connection,
            (patient, kind, t, *id.uuid().as_bytes()),
        )?
    {
        return Ok(None);
    }
    row.stored(reader, resource_type).map(Some)
}

/// One resource by id as it was at a moment, if the permit opens it and it was there then. What has been purged since is not.
pub(crate) fn read_at(
    reader: &mut Reader,
    permit: &Permit,
    (resource_type, id): (ResourceType, LogicalId),
    moment: Moment,
) -> Result<Option<Stored>, StoreError> {
    let mut query = Query::all(resource_type);
    query.ids = vec![id];
    let page = super::search(reader, &[(permit, &query)], &[], Start::At(moment))?;
    Ok(page.matches.into_iter().next())
}
