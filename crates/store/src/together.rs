//! The puts of one change, one after the other; for a transaction each is tried although another cannot be carried out,
//! so that its sender hears of every fault at once.

use crate::backend::sqlite::writer::Writer;
use crate::commit::Committed;
use crate::errors::StoreError;
use crate::prepare::ReadyPut;

impl Writer {
    /// Carries out the puts in order; adds their outcomes to `committed`. Without `every_fault` the first that fails ends it.
    ///
    /// # Errors
    /// What the put said; with `every_fault` [`StoreError::Puts`] with all of them. The caller undoes the change.
    pub(crate) fn put_all(
        &mut self,
        puts: Vec<ReadyPut>,
        every_fault: bool,
        now: i64,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        let mut faults = Vec::new();
        for (n, put) in puts.into_iter().enumerate() {
            if !every_fault {
                let outcome = self.put(put, now, committed)?;
                committed.puts.push(outcome);
                continue;
            }
            // Half of a put that fails must not mislead the next.
            let before = self.counters;
            self.execute("SAVEPOINT put")?;
            match self.put(put, now, committed) {
                Ok(outcome) => committed.puts.push(outcome),
                Err(fatal @ (StoreError::Io | StoreError::Full | StoreError::Damaged(_))) => {
                    return Err(fatal);
                }
                Err(error) => {
                    self.execute("ROLLBACK TO put")?;
                    self.undone(before);
                    faults.push((n, error));
                }
            }
            self.execute("RELEASE put")?;
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(StoreError::Puts(faults))
        }
    }
}

/// That each put came out as the version that others of the change refer to.
///
/// # Errors
/// [`StoreError::Versions`] with what those versions are.
pub(crate) fn versions(expected: &[(usize, u64)], committed: &Committed) -> Result<(), StoreError> {
    let others: Vec<(usize, u64)> = expected
        .iter()
        .filter_map(|(n, version)| {
            let put = committed.puts.get(*n)?;
            (put.version != *version).then_some((*n, put.version))
        })
        .collect();
    if others.is_empty() {
        Ok(())
    } else {
        Err(StoreError::Versions(others))
    }
}
