//! The account of every source: the completeness receipt (CONTRACT section 7) and the same in the audit record.

use crate::ask::{Gave, Timed, Told};
use crate::locate::Source;
use crate::merge::Merged;
use http::StatusCode;
use trust::audit::Peer;
use wire::receipt::{Receipt, SourceReport, SourceState};

/// Reports every source in the order listed. `shown` says how many resources of it are on this page.
pub fn receipt(sources: &[Source], answers: &[Timed], shown: &[Merged]) -> Receipt {
    let report = |(number, (source, timed)): (usize, (&Source, &Timed))| {
        let (state, reason, newest) = match &timed.told {
            Told::Gave(gave) => (state_of(gave), reason_of(gave), Some(gave.newest)),
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
            as_of: newest
                .and_then(|newest| newest.max(source.as_of))
                .map(|at| at.to_string()),
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

fn state_of(gave: &Gave) -> SourceState {
    if gave.cut_short.is_some() || gave.dropped.words().is_some() {
        SourceState::Partial
    } else if gave.given.is_empty() {
        SourceState::Empty
    } else {
        SourceState::Complete
    }
}

fn reason_of(gave: &Gave) -> Option<String> {
    let words: Vec<String> = gave
        .cut_short
        .map(str::to_owned)
        .into_iter()
        .chain(gave.dropped.words())
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
