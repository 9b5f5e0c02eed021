//! How many refused strangers (callers without a token that stands, or with one and without a proof that counts) are on record in a
//! minute. More are refused all the same and only counted, so that nobody without a key can fill the disk
//! (threats-and-faults.md section 1, rule 4).

use std::num::NonZeroU32;

use fhir::time::Instant;

/// So many in a minute.
const A_MINUTE: u32 = 600;
/// µs in a minute.
const MINUTE: i64 = 60_000_000;

/// Those of the minute that began at `since`.
pub(super) struct Strangers {
    since: Instant,
    refused: u32,
}

/// What is to be done about one more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// Whether there is room for it on record.
    pub(super) has_room: bool,
    /// How many had none in the minute that ended before it.
    pub(super) left_out: Option<NonZeroU32>,
}

impl Strangers {
    /// Nobody yet.
    pub(super) fn none() -> Self {
        Self {
            since: Instant(i64::MIN),
            refused: 0,
        }
    }

    /// Counts one more. A clock that was set back begins a minute, too.
    pub(super) fn count(&mut self, now: Instant) -> Counted {
        let mut left_out = 0;
        if !(0..MINUTE).contains(&now.0.saturating_sub(self.since.0)) {
            left_out = self.refused.saturating_sub(A_MINUTE);
            self.since = now;
            self.refused = 0;
        }
        self.refused = self.refused.saturating_add(1);
        Counted {
            has_room: self.refused <= A_MINUTE,
            left_out: NonZeroU32::new(left_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000_000_000;

    #[test]
    fn so_many_have_room_and_the_next_minute_tells_how_many_had_none() {
        let mut strangers = Strangers::none();
        let mut count = |more: i64| strangers.count(Instant(START + more));
        let counted = |has_room, left_out| Counted {
            has_room,
            left_out: NonZeroU32::new(left_out),
        };
        for _ in 0..A_MINUTE {
            assert_eq!(count(0), counted(true, 0));
        }
        for _ in 0..3 {
            assert_eq!(count(MINUTE - 1), counted(false, 0));
        }
        assert_eq!(count(MINUTE), counted(true, 3));
        assert_eq!(count(MINUTE + 1), counted(true, 0));
        // Nobody was left out of that one.
        assert_eq!(count(2 * MINUTE), counted(true, 0));
        assert_eq!(count(2 * MINUTE - 1), counted(true, 0), "set back");
        for _ in 1..A_MINUTE {
            count(2 * MINUTE);
        }
        assert_eq!(count(2 * MINUTE), counted(false, 0));
    }
}
