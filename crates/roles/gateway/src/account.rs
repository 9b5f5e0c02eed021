//! The account of every source: the completeness receipt (CONTRACT section 7) and the same in the audit record.

use crate::ask::{Gave, Timed, Told};
use crate::locate::Source;
use crate::merge::Merged;
use fhir::time::Instant;
use http::StatusCode;
use trust::audit::Peer;
use wire::receipt::{Receipt, SourceReport, SourceState};

/// How long ago the locator may have heard a holder out: ten of its heartbeats. Beyond that, newer data may be announced.
const UNHEARD: i64 = 300_000_000;

/// Reports every source in the order listed, as it stands at `now`. `shown` says how many resources of it are on this page.
pub fn receipt(sources: &[Source], answers: &[Timed], shown: &[Merged], now: Instant) -> Receipt {
    let report = |(number, (source, timed)): (usize, (&Source, &Timed))| {
        let (state, reason, as_of) = match &timed.told {
            Told::Gave(gave) => {
                let unheard = source
                    .as_of
                    .is_some_and(|heard| now.0.saturating_sub(heard.0) > UNHEARD);
                let known = match gave.copy.as_of {
                    // Nobody knows what is everything at a time to come.
                    Some(said) => Some(said.min(now)),
                    None => gave.newest.max(source.as_of),
                };
                (state_of(gave, unheard), reason_of(gave, unheard), known)
            }
            Told::Nothing { state, reason } => (*state, Some(reason.clone()), None),
        };
        let count = shown
            .iter()
            .flat_map(|entry| &entry.routes)
            .filter(|route| route.source == number)
            .count();
        SourceReport {
            organisation: source.organisation.clone(),
            name: source.name.clone(),
            endpoint: source.base.clone(),
            state,
            count: count as u64,
            milliseconds: timed.milliseconds,
            as_of: as_of.map(|at| at.to_string()),
            reason,
        }
    };
    Receipt::new(
        sources
            .iter()
            .zip(answers)
            .enumerate()
            .map(report)
            .collect(),
    )
}

/// One account of two rounds over the same sources: of each the state that says most is missing, everything it gave, and the
/// oldest moment to which it is known.
pub fn together(before: Receipt, after: Receipt) -> Receipt {
    let both = before.sources.into_iter().zip(after.sources);
    let one = |(a, b): (SourceReport, SourceReport)| {
        let (worse, other) = match rank(a.state) >= rank(b.state) {
            true => (a, b),
            false => (b, a),
        };
        let mut reasons: Vec<String> = worse.reason.into_iter().collect();
        let more = other.reason.filter(|more| !reasons.contains(more));
        reasons.extend(more.filter(|_| other.state != SourceState::NotAsked));
        SourceReport {
            count: worse.count + other.count,
            milliseconds: match (worse.milliseconds, other.milliseconds) {
                (Some(a), Some(b)) => Some(a + b),
                (a, b) => a.or(b),
            },
            as_of: match (worse.as_of, other.as_of) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
            organisation: worse.organisation,
            name: worse.name,
            endpoint: worse.endpoint,
            state: worse.state,
        }
    };
    Receipt::new(both.map(one).collect())
}

/// How much a state says is missing. What was not asked for one type may well have been for another.
fn rank(state: SourceState) -> u8 {
    match state {
        SourceState::NotAsked => 0,
        SourceState::Empty => 1,
        SourceState::Complete => 2,
        SourceState::Stale => 3,
        SourceState::Partial => 4,
        SourceState::Refused => 5,
        SourceState::Late => 6,
        SourceState::Failed => 7,
    }
}

fn state_of(gave: &Gave, unheard: bool) -> SourceState {
    if gave.cut_short.is_some() || gave.dropped.words().is_some() {
        SourceState::Partial
    } else if gave.copy.late || unheard {
        SourceState::Stale
    } else if gave.given.is_empty() {
        SourceState::Empty
    } else {
        SourceState::Complete
    }
}

fn reason_of(gave: &Gave, unheard: bool) -> Option<String> {
    let late = gave
        .copy
        .late
        .then(|| "its copy is older than it promises".to_owned());
    let unheard = unheard
        .then(|| "the locator has not heard it out lately; it may have announced more".to_owned());
    let words: Vec<String> = gave
        .cut_short
        .map(str::to_owned)
        .into_iter()
        .chain(gave.dropped.words())
        .chain(late)
        .chain(unheard)
        .collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// The same for the audit record.
pub fn peers(sources: &[Source], receipt: &Receipt) -> Vec<Peer> {
    let peer = |(source, report): (&Source, &SourceReport)| Peer {
        organisation: source.organisation.clone(),
        service: source.service.clone(),
        state: report.state.as_str().to_owned(),
        count: report.count,
    };
    sources.iter().zip(&receipt.sources).map(peer).collect()
}

/// The status when nobody answered although somebody should have: 504 when all that is missing is late, else 502.
/// `None` when there is an answer, be it that everyone refused.
pub fn failure(receipt: &Receipt) -> Option<StatusCode> {
    let any = |states: &[SourceState]| {
        receipt
            .sources
            .iter()
            .any(|source| states.contains(&source.state))
    };
    let answered = [
        SourceState::Complete,
        SourceState::Empty,
        SourceState::Partial,
        SourceState::Stale,
    ];
    if any(&answered) {
        return None;
    }
    if any(&[SourceState::Failed]) {
        return Some(StatusCode::BAD_GATEWAY);
    }
    any(&[SourceState::Late]).then_some(StatusCode::GATEWAY_TIMEOUT)
}
