//! What subscriptions are about, for the thread that writes: in the commit of what was written it is asked which of them that may be
//! an event of, and puts it in their lists under the next number. From memory alone; whether it may be told, and whether a zone has
//! turned, is asked before anybody hears of the number (`number.rs`).

use super::book::Book;
use super::kept::{Kept, Status};
use super::topic::Topic;
use fhir::ids::LogicalId;
use fhir::json::Glance;
use fhir::resource::ResourceType;
use fhir::time::Instant;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use store::Lists;

/// By the patient that they are about; none: everybody.
#[derive(Default)]
pub struct Heard(RwLock<HashMap<Option<LogicalId>, Vec<Interest>>>);

#[derive(Clone, PartialEq, Eq)]
struct Interest {
    id: LogicalId,
    topic: Topic,
    of_type: Option<ResourceType>,
}

impl Interest {
    fn types(&self) -> impl Iterator<Item = ResourceType> {
        let all = self.topic.types().iter().copied();
        all.filter(|of| self.of_type.is_none_or(|one| one == *of))
    }
}

impl Heard {
    /// From now on what one is about is put in its list; nothing, where it is over.
    pub fn follow(&self, kept: &Kept) {
        let of_type = kept.wanted.of_type.as_deref();
        let interest = Interest {
            id: kept.id,
            topic: kept.wanted.topic,
            of_type: of_type.and_then(ResourceType::parse),
        };
        let whose = kept.wanted.patient;
        let over = kept.status == Status::Off;
        // Each telling comes by here, and hardly one changes anything.
        let same = |all: &Vec<Interest>| all.iter().find(|one| one.id == kept.id).cloned();
        let before = {
            let heard = self.0.read().unwrap_or_else(PoisonError::into_inner);
            heard.get(&whose).and_then(same)
        };
        if before.as_ref() == Some(&interest).filter(|_| !over) {
            return;
        }
        let mut heard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let all = heard.entry(whose).or_default();
        all.retain(|one| one.id != kept.id);
        if !over {
            all.push(interest);
        }
        if all.is_empty() {
            heard.remove(&whose);
        }
    }

    /// Nothing more is put in its list.
    pub fn leave(&self, id: LogicalId) {
        let mut heard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        heard.retain(|_, all| {
            all.retain(|one| one.id != id);
            !all.is_empty()
        });
    }

    fn those(&self, patient: LogicalId, holds: impl Fn(&Interest) -> bool) -> Vec<LogicalId> {
        let heard = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let all = [Some(patient), None]
            .into_iter()
            .filter_map(|whose| heard.get(&whose));
        let those = all.flatten().filter(|one| holds(one));
        those.map(|one| one.id).collect()
    }
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the book of subscriptions")
    }
}

impl Lists for Book {
    fn wants(&self, patient: LogicalId, resource: ResourceType) -> bool {
        let about = |one: &Interest| one.types().any(|of| of == resource);
        !self.heard.those(patient, about).is_empty()
    }

    fn of(
        &self,
        patient: LogicalId,
        resource: ResourceType,
        body: Option<&[u8]>,
    ) -> Vec<(LogicalId, u64)> {
        let topic = body.map(|body| Topic::of(resource, Glance::of(body)));
        // Of what was withdrawn and does not read any more nobody can say what it was about: whoever may have heard of it hears
        // that it is gone.
        let about = |one: &Interest| {
            topic.is_none_or(|topic| topic == Some(one.topic))
                && one.types().any(|of| of == resource)
        };
        let those = self.heard.those(patient, about).into_iter();
        those.map(|id| (id, self.told(id))).collect()
    }

    fn grown(&self, lists: &[LogicalId], now: Instant) {
        for id in lists {
            self.more(*id, now);
        }
    }
}
