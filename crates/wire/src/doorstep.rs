//! How often browsers that nobody knows yet may come, by the address that they come from. Launches and sign-ins take places in bounded
//! memory; without this an address could take them all (threats-and-faults section 1, line 6).
//!
//! The listener marks each request with a [`Knock`]; routes of [`Access::Arrival`](crate::route::Access::Arrival) count it. What a
//! proxy says of whom it speaks for counts from the proxies that the configuration names, and from nobody else (section 3).

use crate::client::Network;
use crate::pace::{Key, Pace, Rate};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fhir::time::Instant;
use http::{HeaderMap, StatusCode, header};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The header that a TLS terminator in front adds the peer's address to, at the right end.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// µs between two lines in the log about those who come too often.
const BETWEEN_WORDS: i64 = 60_000_000;

/// What a process counts by.
pub struct Doorstep {
    pace: Pace,
    clock: store::Clock,
    proxies: Vec<Network>,
    turned_away: AtomicU64,
    spoken: AtomicI64,
}

/// Who is connected, and by what it is counted.
#[derive(Clone)]
pub struct Knock {
    door: Arc<Doorstep>,
    peer: IpAddr,
}

impl Doorstep {
    /// One that holds each address to `rate`, and believes these proxies.
    pub fn new(rate: Rate, clock: store::Clock, proxies: Vec<Network>) -> Arc<Doorstep> {
        Arc::new(Doorstep {
            pace: Pace::new(rate),
            clock,
            proxies,
            turned_away: AtomicU64::new(0),
            spoken: AtomicI64::new(i64::MIN),
        })
    }

    /// Marks a connection's requests. Where each comes from is asked by routes that count alone.
    pub fn knock(self: &Arc<Self>, peer: IpAddr) -> Knock {
        Knock {
            door: self.clone(),
            peer,
        }
    }

    /// The peer; or, behind proxies of ours, the nearest address that is none of them.
    fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let ours = |address: IpAddr| self.proxies.iter().any(|one| one.contains(address));
        let mut nearest = peer;
        let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        let said = lines.into_iter().rev();
        let mut said = said.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        while ours(nearest) {
            // What is no address was not written by a proxy of ours: who wrote it is the last that is known.
            let Some(address) = said.next().and_then(|one| one.trim().parse().ok()) else {
                break;
            };
            nearest = address;
        }
        nearest
    }

    fn say(&self, from: IpAddr, now: Instant) {
        let count = self.turned_away.fetch_add(1, Ordering::Relaxed) + 1;
        if self.speaks(now) {
            tracing::warn!(%from, turned_away = count, "an address comes too often to launch or sign in; it is answered 429");
        }
    }

    /// Whether a line is due, which is this caller's to write then: one a minute, however many are turned away.
    fn speaks(&self, now: Instant) -> bool {
        let spoken = self.spoken.load(Ordering::Relaxed);
        // A clock that was set back says it once more.
        let due = spoken > now.0 || spoken.saturating_add(BETWEEN_WORDS) <= now.0;
        let take = || {
            self.spoken
                .compare_exchange(spoken, now.0, Ordering::Relaxed, Ordering::Relaxed)
        };
        due && take().is_ok()
    }
}

impl Knock {
    fn admit(&self, headers: &HeaderMap) -> Result<(), u32> {
        let now = (self.door.clock)();
        let from = self.door.origin(self.peer, headers);
        let counted = self.door.pace.take(key(from), 1, now);
        counted.inspect_err(|_| self.door.say(from, now))
    }
}

/// An IPv4 address, or the network of an IPv6 one: a home has a /64 of those.
fn key(address: IpAddr) -> Key {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => (v6.to_bits() >> 64 << 64).to_be_bytes(),
    }
}

/// Counts a request, where the listener marked it.
pub(crate) async fn count(request: Request, next: Next) -> Response {
    let knock = request.extensions().get::<Knock>();
    match knock.map_or(Ok(()), |knock| knock.admit(request.headers())) {
        Ok(()) => next.run(request).await,
        Err(seconds) => too_often(seconds),
    }
}

/// For a person, in both languages: nothing is known of her yet.
fn too_often(seconds: u32) -> Response {
    let words = format!(
        "Det kommer for mange forsøk fra nettet du sitter på. Vent {seconds} sekunder og prøv igjen.\n\n\
         Too many attempts come from your network. Wait {seconds} seconds and try again.\n"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::RETRY_AFTER, seconds.to_string()),
    ];
    (StatusCode::TOO_MANY_REQUESTS, headers, words).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn door(per_minute: u32, proxies: &[&str]) -> Arc<Doorstep> {
        let rate = Rate {
            per_minute,
            at_once: per_minute,
        };
        let proxies = proxies.iter().filter_map(|one| Network::parse(one));
        Doorstep::new(rate, Arc::new(|| Instant(1)), proxies.collect())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_said_of_an_address_counts_from_our_proxies_alone() {
        let ours = ["10.0.0.0/8", "::1"];
        for (peer, said, proxies, from) in [
            (
                "203.0.113.9",
                &["198.51.100.1"][..],
                &ours[..],
                "203.0.113.9",
            ),
            ("10.0.0.1", &["198.51.100.1"], &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], &ours, "198.51.100.1"),
            ("::1", &["2001:db9::7"], &ours, "2001:db9::7"),
            // What the peer wrote itself stands to the left of what our proxy added.
            (
                "10.0.0.1",
                &["192.0.2.1, 198.51.100.1"],
                &ours,
                "198.51.100.1",
            ),
            (
                "10.0.0.1",
                &["192.0.2.1", "198.51.100.1"],
                &ours,
                "198.51.100.1",
            ),
            (
                "10.0.0.1",
                &["198.51.100.1, 10.0.0.2"],
                &ours,
                "198.51.100.1",
            ),
            ("10.0.0.1", &["10.0.0.3,10.0.0.2"], &ours, "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.1, unknown"], &ours, "10.0.0.1"),
            ("10.0.0.1", &["", ","], &ours, "10.0.0.1"),
            ("10.0.0.1", &[], &ours, "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in said {
                headers.append(FORWARDED_FOR, line.parse().unwrap());
            }
            let origin = door(1, proxies).origin(ip(peer), &headers);
            assert_eq!(origin, ip(from), "{peer} {said:?}");
        }
    }

    #[test]
    fn the_log_has_a_line_a_minute_however_many_are_turned_away() {
        let door = door(1, &[]);
        let second = |n: i64| Instant(n * 1_000_000);
        let lines: Vec<i64> = (0..=180).filter(|n| door.speaks(second(*n))).collect();
        assert_eq!(lines, [0, 60, 120, 180]);
        assert!(door.speaks(second(30)), "the clock was set back");
        assert!(!door.speaks(second(31)));
    }

    #[test]
    fn an_address_that_comes_too_often_is_turned_away_alone() {
        let door = door(2, &[]);
        let come = |from: &str| door.knock(ip(from)).admit(&HeaderMap::new());
        assert_eq!(come("198.51.100.1"), Ok(()));
        assert_eq!(come("::ffff:198.51.100.1"), Ok(()), "the same address");
        assert_eq!(come("198.51.100.1"), Err(30));
        assert_eq!(come("198.51.100.2"), Ok(()));
        // A home's addresses count as one, the neighbour's do not.
        assert_eq!(come("2001:db9:0:1::1"), Ok(()));
        assert_eq!(come("2001:db9:0:1:ffff::1"), Ok(()));
        assert_eq!(come("2001:db9:0:1::2"), Err(30));
        assert_eq!(come("2001:db9:0:2::1"), Ok(()));
        assert_eq!(door.turned_away.load(Ordering::Relaxed), 2);
    }
}
