//! Delivers a region's past by every way at once: each home system to the hub, each record system to its service, each
//! in its own order.

use crate::event::{Event, Route};
use crate::feed::Feed;
use crate::home_system::{HomeSystem, Report, SendError};
use futures::future::{FutureExt, try_join_all};
use std::collections::HashSet;
use std::sync::Mutex;

/// Sends all events by these home systems and feeds. `progress` hears how many events have been answered, and of how
/// many there are to send.
///
/// # Errors
/// [`SendError::NoWay`] when an event has no home system or feed, before anything is sent; the first [`SendError`] of
/// any of them. Sending all again changes nothing.
pub async fn deliver(
    events: &[Event],
    homes: &[HomeSystem],
    feeds: &[Feed],
    mut progress: impl FnMut(usize, usize) + Send,
) -> Result<Report, SendError> {
    let ways: HashSet<Route> = homes
        .iter()
        .map(HomeSystem::route)
        .chain(feeds.iter().map(Feed::route))
        .collect();
    if let Some(event) = events.iter().find(|e| !ways.contains(&e.route)) {
        return Err(SendError::NoWay(event.route.clone()));
    }
    let heard = Mutex::new((vec![0; homes.len() + feeds.len()], &mut progress));
    let hear = |way: usize, done: usize| {
        if let Ok(mut heard) = heard.lock() {
            let (counts, progress) = &mut *heard;
            counts[way] = done;
            progress(counts.iter().sum(), events.len());
        }
    };
    let hear = &hear;
    let home = homes
        .iter()
        .enumerate()
        .map(|(n, home)| home.send(events, move |done, _| hear(n, done)).boxed());
    let first = homes.len();
    let feed = feeds.iter().enumerate().map(|(n, feed)| {
        feed.play(events, move |done, _| hear(first + n, done))
            .boxed()
    });
    let reports = try_join_all(home.chain(feed)).await?;
    let mut whole = Report::default();
    reports.into_iter().for_each(|report| whole.add(report));
    Ok(whole)
}
