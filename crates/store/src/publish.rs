//! What an organisation makes available to others (tilpasse datamengde): kinds, how far back, status codes.
//!
//! The policy is data, given when the store is opened. It is part of every statement that reads for somebody else than the
//! organisation itself (`trust::Permit::is_own`), and of what is announced to the locator. It takes nothing out of the
//! store: what is not published today is there again the day the policy says so.
//!
//! A resource is published if one share covers it: by kind, by time, and by status. No share at all: everything is.
//! Time is the time that the resource is about. With a share "so long back", a resource is published as long as its time
//! `[lo, hi)` has `hi > now - back`; one without time is not known to lie there, and is not. A Patient is published while
//! anything about that patient is.

use fhir::index::Coding;
use fhir::measurement;
use fhir::resource::{InformationService, ResourceType};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use trust::Permit;

use crate::Clock;
use crate::errors::StoreError;
use crate::prepare::CODE;
use crate::presence;

/// What is published. The default publishes everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publishing {
    /// What any of these covers is published; an empty list publishes everything.
    pub shares: Vec<Share>,
}

/// One part of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// Which kinds; empty: all.
    pub kinds: Vec<Published>,
    /// How far back, in microseconds before now; `None`: all time.
    pub back: Option<i64>,
    /// Which status codes; empty: all.
    pub status: Vec<String>,
}

/// A kind in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// Every resource of an information service.
    Service(InformationService),
    /// Every resource of a type.
    Type(ResourceType),
    /// Readings of one measurement kind, by its id in `spec/measurements/`. All known codings of a reading must agree on it.
    Measurement(String),
}

impl Published {
    /// Reads `IT17`, a resource type (`CarePlan`) or a measurement kind (`oxygen-saturation`).
    pub fn parse(text: &str) -> Option<Published> {
        InformationService::parse(text)
            .map(Published::Service)
            .or_else(|| ResourceType::parse(text).map(Published::Type))
            .or_else(|| {
                measurement::by_id(text).map(|kind| Published::Measurement(kind.id.clone()))
            })
    }

    fn covers(&self, kind: &KindOf) -> bool {
        match self {
            Published::Service(service) => kind.resource.information_service() == Some(*service),
            Published::Type(resource) => kind.resource == *resource,
            Published::Measurement(id) => {
                kind.resource == ResourceType::OBSERVATION
                    && measurement::of(&kind.codings).is_some_and(|one| one.id == *id)
            }
        }
    }
}

/// A kind as the tables have it.
struct KindOf {
    resource: ResourceType,
    codings: Vec<Coding>,
}

impl KindOf {
    fn read(connection: &Connection, kind: i64) -> Result<KindOf, StoreError> {
        let name: Option<String> = connection
            .prepare_cached("SELECT type FROM kind WHERE n = ?")?
            .query_row([kind], |row| row.get(0))
            .optional()?;
        let mut statement = connection
            .prepare_cached("SELECT system, code FROM kind_coding WHERE kind = ? AND role = ?")?;
        let codings = statement
            .query_map([kind, CODE], |row| {
                let system: String = row.get(0)?;
                Ok(Coding {
                    system: Some(system).filter(|system| !system.is_empty()),
                    code: row.get(1)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(KindOf {
            resource: name
                .and_then(|name| ResourceType::parse(&name))
                .ok_or(StoreError::Damaged("a kind has no known type"))?,
            codings,
        })
    }
}

impl Publishing {
    /// Is nothing held back?
    pub fn is_everything(&self) -> bool {
        self.shares.is_empty()
    }
}

/// A policy at a moment, as SQL asks for it.
pub(crate) struct View<'a> {
    policy: &'a Publishing,
    now: i64,
}

/// A condition on the columns `t`, `span`, `status` of `record` for one kind; each `{}` in it stands for the next value.
/// Values that stand in the text are our own numbers, never input.
pub(crate) struct Condition {
    pub(crate) sql: String,
    pub(crate) values: Vec<i64>,
}

impl<'a> View<'a> {
    pub(crate) fn at(policy: &'a Publishing, now: i64) -> View<'a> {
        View { policy, now }
    }

    /// What a permit sees through; `None`: everything in the store, as far as the permit itself goes.
    pub(crate) fn of(policy: &'a Publishing, clock: &Clock, permit: &Permit) -> Option<View<'a>> {
        (!permit.is_own() && !policy.is_everything()).then(|| View::at(policy, clock().0))
    }

    /// The condition for resources of one kind; `None`: all of them are published.
    pub(crate) fn condition(
        &self,
        connection: &Connection,
        kind: i64,
    ) -> Result<Option<Condition>, StoreError> {
        let of = KindOf::read(connection, kind)?;
        let mut alternatives = Vec::new();
        let mut values = Vec::new();
        for share in &self.policy.shares {
            if !share.kinds.is_empty() && !share.kinds.iter().any(|one| one.covers(&of)) {
                continue;
            }
            let mut parts = Vec::new();
            if let Some(back) = share.back {
                parts.push("(span IS NOT NULL AND -t + span > {})".to_owned());
                values.push(self.now.saturating_sub(back));
            }
            if !share.status.is_empty() {
                let mut numbers = Vec::new();
                for status in &share.status {
                    let number: Option<i64> = connection
                        .prepare_cached("SELECT n FROM word WHERE text = ?")?
                        .query_row([status], |row| row.get(0))
                        .optional()?;
                    numbers.extend(number.map(|number| number.to_string()));
                }
                parts.push(format!("status IN ({})", numbers.join(",")));
            }
            if parts.is_empty() {
                return Ok(None);
            }
            alternatives.push(format!("({})", parts.join(" AND ")));
        }
        Ok(Some(if alternatives.is_empty() {
            Condition {
                sql: "0".to_owned(),
                values: Vec::new(),
            }
        } else {
            Condition {
                sql: format!("({})", alternatives.join(" OR ")),
                values,
            }
        }))
    }

    /// Whether the current version at this place is published.
    pub(crate) fn shows(
        &self,
        connection: &Connection,
        (patient, kind, t, id): (i64, i64, i64, [u8; 16]),
    ) -> Result<bool, StoreError> {
        if KindOf::read(connection, kind)?.resource == ResourceType::PATIENT {
            return self.anything(connection, patient);
        }
        let fixed = vec![
            patient.into(),
            kind.into(),
            t.into(),
            Value::Blob(id.to_vec()),
        ];
        match self.condition(connection, kind)? {
            None => Ok(true),
            Some(condition) => condition.exists(
                connection,
                "SELECT 1 FROM record WHERE patient = ?1 AND kind = ?2 AND t = ?3 AND id = ?4",
                fixed,
            ),
        }
    }

    /// Whether anything about a patient is published, apart from the Patient itself.
    pub(crate) fn anything(
        &self,
        connection: &Connection,
        patient: i64,
    ) -> Result<bool, StoreError> {
        self.any(connection, patient, |resource| {
            resource != ResourceType::PATIENT
        })
    }

    /// Whether anything of an information service about a patient is published.
    pub(crate) fn any_of(
        &self,
        connection: &Connection,
        patient: i64,
        service: InformationService,
    ) -> Result<bool, StoreError> {
        self.any(connection, patient, |resource| {
            presence::announced(resource) == Some(service)
        })
    }

    fn any(
        &self,
        connection: &Connection,
        patient: i64,
        wanted: impl Fn(ResourceType) -> bool,
    ) -> Result<bool, StoreError> {
        let kinds: Vec<(i64, String)> = connection
            .prepare_cached(
                "SELECT s.kind, k.type FROM series s JOIN kind k ON k.n = s.kind WHERE s.patient = ?",
            )?
            .query_map([patient], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (kind, name) in kinds {
            if !ResourceType::parse(&name).is_some_and(&wanted) {
                continue;
            }
            let Some(condition) = self.condition(connection, kind)? else {
                return Ok(true);
            };
            let found = condition.exists(
                connection,
                "SELECT 1 FROM record WHERE patient = ?1 AND kind = ?2",
                vec![patient.into(), kind.into()],
            )?;
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Condition {
    /// The condition with its values numbered after `fixed` others, which it adds to `values`.
    pub(crate) fn placed(&self, values: &mut Vec<Value>) -> String {
        let mut sql = String::new();
        let mut own = self.values.iter();
        for (i, part) in self.sql.split("{}").enumerate() {
            if i > 0 {
                values.push(Value::Integer(own.next().copied().unwrap_or_default()));
                sql.push_str(&format!("?{}", values.len()));
            }
            sql.push_str(part);
        }
        sql
    }

    fn exists(
        &self,
        connection: &Connection,
        select: &str,
        mut values: Vec<Value>,
    ) -> Result<bool, StoreError> {
        let condition = self.placed(&mut values);
        Ok(connection
            .prepare_cached(&format!("{select} AND {condition} LIMIT 1"))?
            .exists(params_from_iter(values))?)
    }
}
