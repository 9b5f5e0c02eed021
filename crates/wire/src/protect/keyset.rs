//! The issuer's key set as we hold it (threats-and-faults.md sections 2, 3 and 12): fetched from the configured address
//! only, renewed so that a removed key stops working within 60 s, the last good one kept for 24 h when the anchor is
//! down; garbage never replaces it; an unknown `kid` leads to at most one fetch per 30 s in all.

use std::sync::Arc;

use store::Clock;
use trust::keys::{KeyError, KeySet};

use crate::client::Http;
use crate::client::held::{Held, Rest};

const SECOND: i64 = 1_000_000;

/// How a key set rests.
const KEYS: Rest = Rest {
    fresh: 40 * SECOND,
    old: 55 * SECOND,
    last_good: 24 * 3600 * SECOND,
    between: 30 * SECOND,
    between_when_empty: SECOND,
};

/// The held set of one issuer.
pub(crate) type HeldKeys = Held<KeySet>;

impl HeldKeys {
    /// The set at `url`, read by `read`.
    pub(crate) fn new(
        url: String,
        read: fn(&[u8]) -> Result<KeySet, KeyError>,
        http: Http,
        clock: Clock,
    ) -> Self {
        let read = Arc::new(move |text: &[u8]| match read(text) {
            Ok(keys) if keys.keys().is_empty() => Err("an empty key set".to_owned()),
            read => read.map_err(|error| error.to_string()),
        });
        Held::of(url, KEYS, read, http, clock)
    }
}
