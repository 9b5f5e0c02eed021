//! Conditions on other resources: chains and `_has`.
//!
//! Standard: FHIR R4 search 3.1.1.4.13 and 3.1.1.4.14. The other end is searched like anything else: within the permit of its
//! own type, what is published, and as of the same commit. What the caller cannot see joins nothing.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use fhir::ids::LogicalId;
use fhir::json::Node;
use fhir::resource::ResourceType;
use fhir::search::{Link, PatientParam, Pointer, Query, pointers};
use uuid::Uuid;

use super::narrow::{self, Narrow};
use super::{Asking, Whose, patient_id, scope, sift, sought};
use crate::backend::sqlite::reader::Reader;
use crate::errors::StoreError;

/// Most resources of one end by which the other is narrowed.
const NARROW: usize = 500;
/// What part of what may be looked at is spent on finding that one end has few.
const SPENT: usize = 4;

/// The links of one query, made ready.
pub(super) struct Links<'q> {
    ends: Vec<End<'q>>,
    narrow: Option<Narrow>,
}

enum End<'q> {
    /// A chain: what is known of the resources pointed to.
    Forward {
        link: &'q Link,
        links: Links<'q>,
        known: HashMap<LogicalId, bool>,
    },
    /// A chain of which all resources are known that may be pointed to.
    Few(&'q Link, HashSet<LogicalId>),
    /// `_has`: the resources that what matches at the other end points to.
    Reverse(HashSet<LogicalId>),
}

impl<'q> Links<'q> {
    /// Finds what can be found before the first resource is looked at.
    pub(super) fn of(
        reader: &mut Reader,
        asking: &mut Asking<'_>,
        query: &'q Query,
    ) -> Result<Links<'q>, StoreError> {
        let mut ends = Vec::with_capacity(query.links.len());
        let mut narrow = None;
        for link in &query.links {
            let of = query.resource;
            if link.reverse {
                let few = few(reader, asking, query)?;
                let found = pointed(reader, asking, link, (of, few.as_ref()))?;
                if found.len() <= NARROW {
                    let ids = found.iter().map(|id| *id.uuid().as_bytes()).collect();
                    narrow = narrow::both(narrow, Some(Narrow::Ids(ids)));
                }
                ends.push(End::Reverse(found));
                continue;
            }
            if let Some(found) = targeted(reader, asking, query, link)? {
                let to = (link.query.resource, &found);
                narrow = narrow::both(narrow, narrow::by_targets(reader, of, to)?);
                ends.push(End::Few(link, found));
                continue;
            }
            ends.push(End::Forward {
                link,
                links: Links::of(reader, asking, &link.query)?,
                known: HashMap::new(),
            });
        }
        Ok(Links { ends, narrow })
    }

    /// Where alone the links can hold, as far as that is known.
    pub(super) fn narrow(&self) -> Option<&Narrow> {
        self.narrow.as_ref()
    }

    /// Whether all links of a resource hold.
    pub(super) fn hold(
        &mut self,
        reader: &mut Reader,
        asking: &mut Asking<'_>,
        resource: Node<'_>,
        id: LogicalId,
    ) -> Result<bool, StoreError> {
        for end in &mut self.ends {
            let holds = match end {
                End::Reverse(found) => found.contains(&id),
                End::Few(link, found) => targets(reader, resource, link, link.query.resource)?
                    .iter()
                    .any(|target| found.contains(target)),
                End::Forward { link, links, known } => {
                    let mut any = false;
                    for target in targets(reader, resource, link, link.query.resource)? {
                        let holds = match known.get(&target) {
                            Some(holds) => *holds,
                            None => {
                                let holds = exists(reader, asking, link, links, target)?;
                                known.insert(target, holds);
                                holds
                            }
                        };
                        if holds {
                            any = true;
                            break;
                        }
                    }
                    any
                }
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The resources of a type that a link's reference points to.
fn targets(
    reader: &Reader,
    resource: Node<'_>,
    link: &Link,
    wanted: ResourceType,
) -> Result<Vec<LogicalId>, StoreError> {
    let mut found = Vec::new();
    for pointer in pointers(resource, link.reference) {
        match pointer {
            Pointer::Local(kind, id) if kind == wanted => found.push(id),
            Pointer::Person(person) if wanted == ResourceType::PATIENT => {
                found.extend(patient_id(reader, &person)?);
            }
            Pointer::Local(..) | Pointer::Person(_) => {}
        }
    }
    Ok(found)
}

/// The resources that a query's own conditions leave, where they are few.
fn few(
    reader: &Reader,
    asking: &Asking<'_>,
    query: &Query,
) -> Result<Option<HashSet<LogicalId>>, StoreError> {
    let Some(permit) = asking.permit(query.resource) else {
        return Ok(None);
    };
    if query.resource == ResourceType::PATIENT
        && let Some(patient) = &query.patient
    {
        let id = match patient {
            PatientParam::Local(id) => Some(*id),
            PatientParam::Identifier(person) => patient_id(reader, person)?,
        };
        return Ok(Some(id.into_iter().collect()));
    }
    let query = sift::completed(reader, permit, query)?;
    Ok(match narrow::by_query(reader, &query)? {
        Some(Narrow::Ids(ids)) if ids.len() <= NARROW => Some(
            ids.into_iter()
                .map(|id| LogicalId(Uuid::from_bytes(id)))
                .collect(),
        ),
        _ => None,
    })
}

/// All resources that a chain may lead to, where they are few, soon found, and fewer to look at than what leads to them: that
/// is, where the query is not about one patient.
fn targeted(
    reader: &mut Reader,
    asking: &mut Asking<'_>,
    query: &Query,
    link: &Link,
) -> Result<Option<HashSet<LogicalId>>, StoreError> {
    let Some(permit) = asking.permit(query.resource) else {
        return Ok(None);
    };
    let whose = scope(reader, permit, query.patient.as_ref())?.whose;
    if !matches!(whose, Some(Whose::Everyone)) {
        return Ok(None);
    }
    let spare = asking.left - asking.left / SPENT;
    asking.left -= spare;
    let mut found = HashSet::new();
    let result = Links::of(reader, asking, &link.query).and_then(|mut links| {
        each(
            reader,
            asking,
            (&link.query, &mut links),
            None,
            |_, root| {
                found.extend(root.text("id").and_then(|id| LogicalId::parse(&id).ok()));
                Ok(if found.len() > NARROW {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            },
        )
    });
    asking.left += spare;
    match result {
        Ok(()) if found.len() <= NARROW => Ok(Some(found)),
        Ok(()) | Err(StoreError::TooCostly) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the resource with this id is seen and matches a chain's end.
fn exists(
    reader: &mut Reader,
    asking: &mut Asking<'_>,
    link: &Link,
    links: &mut Links<'_>,
    target: LogicalId,
) -> Result<bool, StoreError> {
    if !link.query.ids.is_empty() && !link.query.ids.contains(&target) {
        return Ok(false);
    }
    let mut query = link.query.clone();
    query.ids = vec![target];
    let mut found = false;
    each(reader, asking, (&query, links), None, |_, _| {
        found = true;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// The resources of a type (only these, if they are known) that what matches the other end of `_has` points to.
fn pointed(
    reader: &mut Reader,
    asking: &mut Asking<'_>,
    link: &Link,
    (wanted, only): (ResourceType, Option<&HashSet<LogicalId>>),
) -> Result<HashSet<LogicalId>, StoreError> {
    let towards = match only {
        Some(only) => narrow::by_targets(reader, link.query.resource, (wanted, only))?,
        None => None,
    };
    let mut links = Links::of(reader, asking, &link.query)?;
    let mut found = HashSet::new();
    let joined = (&link.query, &mut links);
    each(reader, asking, joined, towards, |reader, root| {
        found.extend(targets(reader, root, link, wanted)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Everything that matches the other end of a link, as far as the permit of its type goes; `towards`: only there.
fn each(
    reader: &mut Reader,
    asking: &mut Asking<'_>,
    (query, links): (&Query, &mut Links<'_>),
    towards: Option<Narrow>,
    mut take: impl FnMut(&Reader, Node<'_>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let Some(permit) = asking.permit(query.resource) else {
        return Ok(());
    };
    let Some(whose) = scope(reader, permit, query.patient.as_ref())?.whose else {
        return Ok(());
    };
    let query = &sift::completed(reader, permit, query)?;
    let joined = narrow::both(links.narrow().cloned(), towards);
    let sought = sought(reader, asking, (permit, &whose), query, joined.as_ref())?;
    let Some(sought) = sought else {
        return Ok(());
    };
    sift::through(
        reader,
        asking,
        &sought,
        (query, links),
        None,
        |reader, found| take(reader, found.root),
    )
}
