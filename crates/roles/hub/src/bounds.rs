//! How much the hub keeps and takes, and for how long. Every list has an end (threats-and-faults.md section 1, line 6).

use wire::pace::Rate;

/// What is kept for a sender and taken of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Hours that the answer to a request with an `Idempotency-Key` is given again.
    pub idempotency_hours: u32,
    /// Bytes of such answers kept for one sender; beyond it a new key is refused with 429.
    pub idempotency_bytes: usize,
    /// Entries kept aside for one sender; beyond it an entry is refused without being kept.
    pub quarantine_entries: usize,
    /// Bytes of their bodies.
    pub quarantine_bytes: usize,
    /// Days that an entry is kept aside.
    pub quarantine_days: u32,
    /// Devices that one organisation may have assigned; beyond it a new one is refused.
    pub assigned_devices: usize,
    /// Days that a home system may hold a reading back. An assignment is kept so long after its end, and `quarantine_days` more.
    pub backlog_days: u32,
    /// Readings of one patient's one device, and what may come at once: a backlog of weeks.
    pub device: Rate,
    /// Readings of one sender, and what may come at once.
    pub sender: Rate,
}

impl Default for Bounds {
    /// A day and 64 MiB; 10,000 entries, 64 MiB, 90 days; 50,000 devices, 90 days; ten readings a second of a device and 10,000 of a sender, and an
    /// hour's or a minute's at once.
    fn default() -> Self {
        Bounds {
            idempotency_hours: 24,
            idempotency_bytes: 64 << 20,
            quarantine_entries: 10_000,
            quarantine_bytes: 64 << 20,
            quarantine_days: 90,
            assigned_devices: 50_000,
            backlog_days: 90,
            device: Rate {
                per_minute: 600,
                at_once: 36_000,
            },
            sender: Rate {
                per_minute: 600_000,
                at_once: 600_000,
            },
        }
    }
}
