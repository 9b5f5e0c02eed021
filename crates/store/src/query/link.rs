//! Conditions on other resources: chains and `_has`.
//!
//! Standard: FHIR R4 search 3.1.1.4.13 and 3.1.1.4.14. The other end is searched like anything else: within the permit of its
//! own type, what is published, and as of the same commit. What the caller cannot see joins nothing.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use fhir::ids::LogicalId;
use fhir::json::Node;
use fhir::resource::ResourceType;
use fhir::search::{Link, Pointer, Query, pointers};

use super::{Asking, patient_id, scope, sift, sought};
use crate::backend::sqlite::reader::Reader;
use crate::errors::StoreError;

/// Most ids of one end by which the search itself is narrowed.
const NARROW: usize = 500;

/// The links of one query, made ready.
pub(super) struct Links<'q> {
    ends: Vec<End<'q>>,
}

enum End<'q> {
    /// A chain: what is known of the resources pointed to.
    Forward {
        link: &'q Link,
        links: Links<'q>,
        known: HashMap<LogicalId, bool>,
    },
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
        for link in &query.links {
            ends.push(if link.reverse {
                End::Reverse(pointed(reader, asking, link, query.resource)?)
            } else {
                End::Forward {
                    link,
                    links: Links::of(reader, asking, &link.query)?,
                    known: HashMap::new(),
                }
            });
        }
        Ok(Links { ends })
    }

    /// The only ids that can hold, where `_has` has told and they are few.
    pub(super) fn ids(&self) -> Option<HashSet<[u8; 16]>> {
        let sets = self.ends.iter().filter_map(|end| match end {
            End::Reverse(found) if found.len() <= NARROW => Some(found),
            _ => None,
        });
        let fewest = sets.min_by_key(|found| found.len())?;
        Some(fewest.iter().map(|id| *id.uuid().as_bytes()).collect())
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
    each(reader, asking, (&query, links), |_, _| {
        found = true;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// The resources of a type that what matches the other end of `_has` points to.
fn pointed(
    reader: &mut Reader,
    asking: &mut Asking<'_>,
    link: &Link,
    wanted: ResourceType,
) -> Result<HashSet<LogicalId>, StoreError> {
    let mut links = Links::of(reader, asking, &link.query)?;
    let mut found = HashSet::new();
    each(reader, asking, (&link.query, &mut links), |reader, root| {
        found.extend(targets(reader, root, link, wanted)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Everything that matches the other end of a link, as far as the permit of its type goes.
fn each(
    reader: &mut Reader,
    asking: &mut Asking<'_>,
    (query, links): (&Query, &mut Links<'_>),
    mut take: impl FnMut(&Reader, Node<'_>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let Some(permit) = asking.permit(query.resource) else {
        return Ok(());
    };
    let Some(whose) = scope(reader, permit, query.patient.as_ref())?.whose else {
        return Ok(());
    };
    let Some(sought) = sought(reader, asking, (permit, &whose), query, links.ids())? else {
        return Ok(());
    };
    let query = &sift::completed(reader, permit, query)?;
    sift::through(
        reader,
        asking,
        &sought,
        (query, links),
        None,
        |reader, found| take(reader, found.root),
    )
}
