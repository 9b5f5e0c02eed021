//! Where time, randomness and shutdown come from: the wall clock, the system's random numbers and the stop signal.

use crate::time::Time;
use std::sync::Arc;

/// The wall clock.
pub fn clock() -> store::Clock {
    Time::default().clock()
}

/// Random ids.
pub fn ids() -> store::Ids {
    Arc::new(uuid::Uuid::new_v4)
}

/// Today in Norway, `yyyy-mm-dd`: the day whose law counts.
pub fn today() -> String {
    let zone = jiff::tz::TimeZone::get("Europe/Oslo").unwrap_or(jiff::tz::TimeZone::UTC);
    jiff::Timestamp::now().to_zoned(zone).date().to_string()
}

/// Resolves when the process is asked to stop (SIGTERM or Ctrl-C).
pub async fn asked_to_stop() {
    let mut term = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(term) => term,
        Err(e) => {
            tracing::error!(error = %e, "cannot listen for the stop signal; only Ctrl-C stops");
            let _ = tokio::signal::ctrl_c().await;
            return;
        }
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
