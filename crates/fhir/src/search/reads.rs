//! What an answer depends on: every search parameter by which a query finds, orders, joins and brings along.

use super::served::{hot, known};
use super::{Feeds, Query};
use crate::definitions::Definitions;
use crate::definitions::search::{Kind, SearchParameter};
use crate::resource::ResourceType;

impl Query {
    /// Every search parameter that the answer depends on, with the type it is of. Where none is named, the order is that of
    /// time, and whose a resource is always matters.
    #[must_use]
    pub fn reads(&self) -> Vec<(ResourceType, &'static SearchParameter)> {
        let mut found = Vec::new();
        self.read(&mut found);
        found
    }

    fn read(&self, found: &mut Vec<(ResourceType, &'static SearchParameter)>) {
        let own = |name| Definitions::get().search_parameter(self.resource, name);
        let fed = hot(self.resource)
            .filter(|row| self.is_fed(row.feeds))
            .map(|row| row.name.split([':', '.']).next().unwrap_or_default());
        let filters = self.filters.iter().map(|filter| filter.name);
        let keys = self.keys.iter().map(|key| key.parameter);
        let named = fed.chain(filters).filter_map(own).chain(keys);
        found.extend(named.map(|parameter| (self.resource, parameter)));
        for include in &self.includes {
            match include.parameter {
                Some(parameter) => found.push((include.source, parameter)),
                None => {
                    let all = known(include.source).filter(|one| one.kind == Kind::Reference);
                    found.extend(all.map(|parameter| (include.source, parameter)));
                }
            }
        }
        for link in &self.links {
            let holder = if link.reverse {
                link.query.resource
            } else {
                self.resource
            };
            found.push((holder, link.reference));
            link.query.read(found);
        }
    }

    fn is_fed(&self, feeds: Feeds) -> bool {
        match feeds {
            Feeds::Patient | Feeds::Person | Feeds::Date => true,
            Feeds::Code => !self.codes.is_empty(),
            Feeds::Category => !self.categories.is_empty(),
            Feeds::Status(_) => !self.status.is_empty(),
            Feeds::Id => !self.ids.is_empty(),
            Feeds::Count | Feeds::Sort => false,
        }
    }
}
