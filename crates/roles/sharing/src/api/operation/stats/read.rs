//! One series on its way through the store, and the readings behind it that are to be given out.

use fhir::index::Coding;
use fhir::statistics::asked::Wanted;
use fhir::statistics::counted::Counted;
use store::{Met, StoreError, Stored, Walker};

/// A series and the readings that it was taken from.
pub struct Reading {
    pub counted: Counted,
    pub sources: Sources,
}

impl Reading {
    /// An empty series; of the readings that count, `sources` are kept at most.
    pub fn of(wanted: Wanted, sources: usize) -> Reading {
        Reading {
            counted: Counted::of(wanted),
            sources: Sources {
                most: sources,
                kept: Vec::new(),
            },
        }
    }
}

impl Walker for Reading {
    fn enters(&mut self, codes: &[Coding]) -> bool {
        self.counted.enters(codes)
    }

    fn meets(&mut self, met: &Met<'_>) -> Result<(), StoreError> {
        let start = met.start.map(|start| start.0);
        let id = met.id.uuid().as_u128();
        match (self.counted.take(met.status, start, id, met.body()?), start) {
            (true, Some(at)) => self.sources.keep(at, met),
            _ => Ok(()),
        }
    }
}

/// Readings that a value was taken from, kept to be given out: the newest `most` of them.
#[derive(Default)]
pub struct Sources {
    pub most: usize,
    /// Minus the start, and the reading.
    kept: Vec<(i64, Stored)>,
}

impl Sources {
    /// Takes in a reading; each series comes newest first.
    fn keep(&mut self, at: i64, met: &Met<'_>) -> Result<(), StoreError> {
        if self.most > 0 {
            self.kept.push((-at, met.stored()?));
            if self.kept.len() > 2 * self.most {
                self.prune();
            }
        }
        Ok(())
    }

    fn prune(&mut self) {
        self.kept
            .sort_unstable_by_key(|(t, one)| (*t, one.id.uuid().as_u128()));
        // A reading that carries the codes of two wanted series is one source.
        self.kept.dedup_by_key(|(_, one)| one.id);
        self.kept.truncate(self.most);
    }

    /// The newest of all.
    pub fn merged(all: impl Iterator<Item = Sources>, most: usize) -> Vec<Stored> {
        let mut whole = Sources {
            most,
            kept: all.flat_map(|one| one.kept).collect(),
        };
        whole.prune();
        whole.kept.into_iter().map(|(_, one)| one).collect()
    }
}
