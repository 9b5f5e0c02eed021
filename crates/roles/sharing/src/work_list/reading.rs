//! How a patient's row is read: as far as it reads, and as long as there is time. She stands on the list all the same, with what could be
//! read, and keeps nobody else from it.

use fhir::time::Instant;
use store::{Clock, StoreError};

/// One row under way.
pub struct Reading<'a> {
    clock: &'a Clock,
    until: Instant,
    /// Whether something of her was not read.
    pub less: bool,
}

impl<'a> Reading<'a> {
    /// A row that may be read until then.
    pub fn until(clock: &'a Clock, until: Instant) -> Reading<'a> {
        Reading {
            clock,
            until,
            less: false,
        }
    }

    /// What is read of her; `None` where it is damaged, would cost too much, or there is no time left: then nothing is begun.
    ///
    /// # Errors
    /// What ails the whole store.
    pub async fn of<T>(
        &mut self,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<Option<T>, StoreError> {
        if (self.clock)() > self.until {
            self.less = true;
            return Ok(None);
        }
        match read.await {
            Ok(read) => Ok(Some(read)),
            Err(error) if is_hers(&error) => {
                tracing::warn!(%error, "a row of the work list is not whole");
                self.less = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// As [`Reading::of`], with nothing in the place of what is not read.
    ///
    /// # Errors
    /// As [`Reading::of`].
    pub async fn or_less<T: Default>(
        &mut self,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        Ok(self.of(read).await?.unwrap_or_default())
    }
}

/// Whether an error is of one patient's data, and says nothing of others'.
pub fn is_hers(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::TooCostly | StoreError::Timeout | StoreError::Damaged(_)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::cell::Cell;
    use std::sync::Arc;

    #[tokio::test]
    async fn what_is_hers_alone_is_left_out_and_said_and_what_ails_the_store_is_an_error() {
        let clock: Clock = Arc::new(|| Instant(10));
        for (error, hers) in [
            (StoreError::TooCostly, true),
            (StoreError::Timeout, true),
            (StoreError::Damaged("a reading"), true),
            (StoreError::Io, false),
            (StoreError::Stopped, false),
            (StoreError::Busy, false),
            (StoreError::Bug, false),
        ] {
            let mut reading = Reading::until(&clock, Instant(10));
            let read = reading.of(async { Ok(1) }).await;
            assert_eq!((read, reading.less), (Ok(Some(1)), false));
            let read = reading.or_less(async { Err::<u8, _>(error.clone()) }).await;
            match hers {
                true => assert_eq!(read, Ok(0), "{error}"),
                false => assert_eq!(read, Err(error)),
            }
            assert_eq!(reading.less, hers);
            // What was left out stays said, and the rest is read.
            let read = reading.of(async { Ok(2) }).await;
            assert_eq!((read, reading.less), (Ok(Some(2)), hers));
        }
    }

    #[tokio::test]
    async fn nothing_is_begun_when_there_is_no_time_left() {
        let clock: Clock = Arc::new(|| Instant(11));
        let mut reading = Reading::until(&clock, Instant(10));
        let begun = Cell::new(false);
        let read = reading.of(async {
            begun.set(true);
            Ok(1)
        });
        assert_eq!(read.await, Ok(None));
        assert!(reading.less && !begun.get());
    }
}
