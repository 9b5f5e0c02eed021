//! What comes with the matches of a search (`_include`, `_revinclude`), as of the same moment as all its pages.
//!
//! Standard: FHIR R4 search 3.1.1.5.7. References are followed as a store knows them: `Type/id`, or a person's number, which
//! means that person's Patient here; contained resources are in the resource already. What is included is read under a
//! permit of its own type, so nothing comes along that could not be read alone. Nothing is cut short: what would be more
//! than an answer may hold is refused.

use std::collections::HashSet;

use fhir::definitions::Definitions;
use fhir::definitions::search::{Kind, SearchParameter};
use fhir::ids::LogicalId;
use fhir::json::Json;
use fhir::resource::ResourceType;
use fhir::search::{
    Condition, Filter, Include, PatientParam, Pointer, Query, Target, Test, Whom, pointers,
};
use trust::Permit;

use crate::backend::sqlite::reader::Reader;
use crate::commit::Stored;
use crate::errors::StoreError;
use crate::prepare::LIMITS;
use crate::query::{self, Moment, Page, Start};
use crate::store::Store;

/// Most resources in an answer, matches counted.
const MOST: usize = 1_000;
/// Most bytes of bodies in an answer: readers of other organisations take answers of 10 MiB.
const MOST_BYTES: usize = 9 * 1024 * 1024;
/// Steps from a match: what it refers to, and, with `:iterate`, what that refers to.
const STEPS: usize = 2;

/// A page of matches, and what comes with them.
#[derive(Debug)]
pub struct Gathered {
    /// The matches.
    pub page: Page,
    /// What comes with them, each resource once and none of the page's own; or why not.
    pub included: Result<Vec<Stored>, Excess>,
}

/// Why what comes with a page cannot be given whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// More than 1,000 resources.
    #[error(
        "the answer would hold more than {MOST} resources; ask for fewer matches, or include less"
    )]
    Resources,
    /// More than 9 MiB.
    #[error("the answer would be larger than 9 MiB; ask for fewer matches, or include less")]
    Bytes,
    /// References of what two steps brought would bring more.
    #[error("there is more than {STEPS} steps from a match; :iterate goes no further here")]
    Steps,
}

impl Store {
    /// As [`Store::search`], with what comes with the page's matches, as of the same moment. `others` holds the permits of
    /// the types that may take part; what a type's own permit does not open takes none.
    ///
    /// # Errors
    /// As [`Store::search`].
    pub async fn gather(
        &self,
        permit: &Permit,
        others: Vec<(ResourceType, Permit)>,
        query: &Query,
        start: impl Into<Start>,
    ) -> Result<Gathered, StoreError> {
        let (permit, query, start) = (permit.clone(), query.clone(), start.into());
        self.readers()
            .ask(move |reader| search(reader, &permit, &others, &query, start))
            .await
    }
}

/// One page of a search with what its `includes` bring. `permits` opens the types that may come along, each by its own
/// rules; a type that is not in it does not come.
fn search(
    reader: &mut Reader,
    permit: &Permit,
    permits: &[(ResourceType, Permit)],
    query: &Query,
    start: Start,
) -> Result<Gathered, StoreError> {
    let page = query::search(reader, &[(permit, query)], permits, start)?;
    let included = gather(reader, permits, query, &page)?;
    Ok(Gathered { page, included })
}

fn gather(
    reader: &mut Reader,
    permits: &[(ResourceType, Permit)],
    query: &Query,
    page: &Page,
) -> Result<Result<Vec<Stored>, Excess>, StoreError> {
    let matches = page.matches.as_slice();
    let mut room = Room {
        permits,
        moment: page.moment,
        seen: matches.iter().map(|m| (m.resource_type, m.id)).collect(),
        bytes: matches.iter().map(|m| m.body.len()).sum(),
        excess: None,
    };
    let mut included: Vec<Stored> = Vec::new();
    let mut from = 0;
    for step in 0..=STEPS {
        let follow: Vec<&Include> = query
            .includes
            .iter()
            .filter(|include| step == 0 || include.iterate)
            .collect();
        let frontier = match step {
            0 => matches,
            _ => included.get(from..).unwrap_or_default(),
        };
        let mut found = Vec::new();
        for include in follow {
            if include.reverse {
                room.referrers(reader, include, frontier, &mut found)?;
            } else {
                room.referred(reader, include, frontier, &mut found)?;
            }
            if let Some(excess) = room.excess {
                return Ok(Err(excess));
            }
        }
        if found.is_empty() {
            break;
        }
        if step == STEPS {
            return Ok(Err(Excess::Steps));
        }
        from = included.len();
        included.extend(found);
    }
    Ok(Ok(included))
}

/// What is there already, and what may come.
struct Room<'a> {
    permits: &'a [(ResourceType, Permit)],
    /// As of when everything comes: that of the first page.
    moment: Moment,
    seen: HashSet<(ResourceType, LogicalId)>,
    bytes: usize,
    excess: Option<Excess>,
}

impl Room<'_> {
    fn permit(&self, resource: ResourceType) -> Option<&Permit> {
        let row = self.permits.iter().find(|(of, _)| *of == resource);
        row.map(|(_, permit)| permit)
    }

    /// Counts a resource in.
    fn take(&mut self, stored: Stored, found: &mut Vec<Stored>) {
        if !self.seen.insert((stored.resource_type, stored.id)) {
            return;
        }
        self.bytes += stored.body.len();
        if self.seen.len() > MOST {
            self.excess = Some(Excess::Resources);
        } else if self.bytes > MOST_BYTES {
            self.excess = Some(Excess::Bytes);
        }
        found.push(stored);
    }

    /// What resources refer to.
    fn referred(
        &mut self,
        reader: &mut Reader,
        include: &Include,
        from: &[Stored],
        found: &mut Vec<Stored>,
    ) -> Result<(), StoreError> {
        for stored in from.iter().filter(|s| s.resource_type == include.source) {
            let json = Json::parse(stored.body.clone(), LIMITS)
                .map_err(|_| StoreError::Damaged("a stored resource does not read again"))?;
            for parameter in parameters(include) {
                for pointer in pointers(json.root(), parameter) {
                    let (resource, id) = match pointer {
                        Pointer::Local(resource, id) => (resource, id),
                        Pointer::Person(person) => match query::patient_id(reader, &person)? {
                            Some(id) => (ResourceType::PATIENT, id),
                            None => continue,
                        },
                    };
                    if include.target.is_some_and(|target| target != resource)
                        || self.seen.contains(&(resource, id))
                    {
                        continue;
                    }
                    let Some(permit) = self.permit(resource) else {
                        continue;
                    };
                    let there = query::read_at(reader, permit, (resource, id), self.moment)?;
                    if let Some(stored) = there {
                        self.take(stored, found);
                    }
                    if self.excess.is_some() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// What refers to resources.
    fn referrers(
        &mut self,
        reader: &mut Reader,
        include: &Include,
        to: &[Stored],
        found: &mut Vec<Stored>,
    ) -> Result<(), StoreError> {
        let Some(permit) = self.permit(include.source).cloned() else {
            return Ok(());
        };
        for parameter in parameters(include) {
            let pointed = |resource: ResourceType| {
                let allowed = &parameter.targets;
                include.target.is_none_or(|target| target == resource)
                    && (allowed.is_empty() || allowed.contains(&resource.as_str()))
            };
            let targets: Vec<&Stored> = to.iter().filter(|s| pointed(s.resource_type)).collect();
            for query in questions(include.source, parameter, &targets) {
                let mut start = Some(Start::At(self.moment));
                while let Some(from) = start {
                    let page = query::search(reader, &[(&permit, &query)], &[], from)?;
                    for stored in page.matches {
                        self.take(stored, found);
                    }
                    start = page.next.map(Start::After);
                    if self.excess.is_some() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The references that an include follows.
fn parameters(include: &Include) -> Vec<&'static SearchParameter> {
    match include.parameter {
        Some(parameter) => vec![parameter],
        None => Definitions::get()
            .search_parameters(include.source)
            .filter(|parameter| parameter.kind == Kind::Reference)
            .collect(),
    }
}

/// The searches that together find whatever refers to `targets` by a parameter: for the reference that a type is about its
/// patient by, each patient's own range, else one search for all.
fn questions(
    source: ResourceType,
    parameter: &'static SearchParameter,
    targets: &[&Stored],
) -> Vec<Query> {
    let all = || {
        let mut query = Query::all(source);
        query.count = Query::MAX_COUNT;
        query
    };
    let (patients, others): (Vec<&Stored>, Vec<&Stored>) = targets.iter().partition(|target| {
        target.resource_type == ResourceType::PATIENT && fhir::index::is_about(source, parameter)
    });
    let mut questions: Vec<Query> = patients
        .into_iter()
        .map(|patient| Query {
            patient: Some(PatientParam::Local(patient.id)),
            ..all()
        })
        .collect();
    if !others.is_empty() {
        let tests = others.into_iter().map(reference_to).collect();
        questions.push(Query {
            filters: vec![Filter {
                name: parameter.name,
                condition: Condition::Any(tests),
            }],
            ..all()
        });
    }
    questions
}

fn reference_to(target: &Stored) -> Test {
    let patient = target.resource_type == ResourceType::PATIENT;
    Test::Reference(Target {
        resource: Some(target.resource_type.as_str().to_owned()),
        id: target.id.to_string(),
        whole: false,
        whom: Whom {
            local: patient.then_some(target.id),
            person: None,
        },
    })
}
