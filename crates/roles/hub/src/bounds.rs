//! How much the hub keeps and for how long. Every list has an end (threats-and-faults.md section 1, line 6).

/// What is kept for a sender, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Hours that the answer to a request with an `Idempotency-Key` is given again.
    pub idempotency_hours: u32,
    /// Bytes of such answers kept for one sender; beyond it a new key is refused with 429.
    pub idempotency_bytes: usize,
}

impl Default for Bounds {
    /// A day, 64 MiB.
    fn default() -> Self {
        Bounds {
            idempotency_hours: 24,
            idempotency_bytes: 64 << 20,
        }
    }
}
