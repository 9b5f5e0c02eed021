//! The questions of this room, as the store's callers ask them.

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::search::Query;
use trust::Permit;

use super::{Page, Start, Walker};
use crate::commit::Stored;
use crate::errors::StoreError;
use crate::query;
use crate::store::Store;

impl Store {
    /// One resource, if the permit opens it. `None` alike for what is not there and what is not opened.
    ///
    /// # Errors
    /// [`StoreError::Gone`] if it was withdrawn and the permit would have opened it.
    pub async fn read(
        &self,
        permit: &Permit,
        resource_type: ResourceType,
        id: LogicalId,
    ) -> Result<Option<Stored>, StoreError> {
        let permit = permit.clone();
        self.readers()
            .ask(move |reader| query::read(reader, &permit, resource_type, id))
            .await
    }

    /// One page of a search, narrowed to what the permit opens: its patient, services and period. `start` says which: the
    /// first, or (a cursor) the page after another; the question must be the same then.
    ///
    /// In the order that the query asks for, ties by id. All pages answer as of the commit that the first saw, whatever is
    /// changed or withdrawn meanwhile; only what is purged is gone from the next page on. Types that the query joins
    /// ([`Query::others`]) are not seen: see [`Store::gather`].
    ///
    /// # Errors
    /// [`StoreError::TooCostly`] for a search over more than 5,000 series (only without a patient), or one that must look at
    /// more resources than [`Options::candidates`](crate::Options::candidates); [`StoreError::Timeout`] after two seconds; [`StoreError::NotFound`] for
    /// the cursor of another question.
    pub async fn search(
        &self,
        permit: &Permit,
        query: &Query,
        start: impl Into<Start>,
    ) -> Result<Page, StoreError> {
        let (permit, query, start) = (permit.clone(), query.clone(), start.into());
        self.readers()
            .ask(move |reader| query::search(reader, &[(&permit, &query)], &[], start))
            .await
    }

    /// As [`Store::search`], of several types in one order, each under its own permit; the queries differ in nothing but the
    /// type. `others` holds the permits of the types that they join.
    ///
    /// # Errors
    /// As [`Store::search`]; what may be looked at is for all types together.
    pub async fn search_types(
        &self,
        asks: Vec<(Permit, Query)>,
        others: Vec<(ResourceType, Permit)>,
        start: impl Into<Start>,
    ) -> Result<Page, StoreError> {
        let start = start.into();
        self.readers()
            .ask(move |reader| {
                let asks: Vec<_> = asks.iter().map(|(permit, query)| (permit, query)).collect();
                query::search(reader, &asks, &others, start)
            })
            .await
    }

    /// Takes each walker through the resources that its question means, in one snapshot for all of them, and gives the
    /// walkers back. What the permit or the publishing policy does not open is not met. A question is of one patient and
    /// of what the tables alone answer (no filters, no ids).
    ///
    /// # Errors
    /// [`StoreError::TooCostly`] for more than `most` resources in all, or two seconds; what a walker ends with.
    pub async fn walk<W: Walker>(
        &self,
        permit: &Permit,
        steps: Vec<(Query, W)>,
        most: usize,
    ) -> Result<Vec<W>, StoreError> {
        let permit = permit.clone();
        self.readers()
            .ask(move |reader| query::walk(reader, &permit, steps, most))
            .await
    }
}
