//! The account of every source: the completeness receipt (CONTRACT section 7) and the same in the audit record.

use crate::ask::{Gave, Timed, Told};
use crate::locate::Source;
use crate::merge::Merged;
use fhir::resource::ResourceType;
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

/// One account of rounds over the same sources, each for one type: of each source everything it gave, the oldest moment to which
/// it is known, and what is missing. One that answered for one type and not for another gave a part, and the reason says of which
/// it did not.
pub fn together(rounds: &[(ResourceType, Receipt)]) -> Receipt {
    let sources = rounds.first().map_or(0, |(_, one)| one.sources.len());
    let of = |at: usize| {
        let reports = rounds
            .iter()
            .filter_map(|(resource, one)| Some((*resource, one.sources.get(at)?)));
        joined(&reports.collect::<Vec<_>>())
    };
    Receipt::new((0..sources).filter_map(of).collect())
}

/// What the rounds say of one source.
fn joined(reports: &[(ResourceType, &SourceReport)]) -> Option<SourceReport> {
    let states = || reports.iter().map(|(_, one)| one.state);
    let worst = states().max_by_key(|state| rank(*state))?;
    let split = has_not_answered(worst) && states().any(has_answered);
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for (resource, report) in reports {
        let said = report.state != SourceState::NotAsked || worst == SourceState::NotAsked;
        let Some(reason) = report.reason.as_deref().filter(|_| said) else {
            continue;
        };
        match reasons.iter_mut().find(|(held, _)| *held == reason) {
            Some((_, of)) => of.push(resource.as_str()),
            None => reasons.push((reason, vec![resource.as_str()])),
        }
    }
    let words = |(reason, of): &(&str, Vec<&str>)| match split {
        true => format!("{reason}: {}", of.join(", ")),
        false => (*reason).to_owned(),
    };
    let words: Vec<String> = reasons.iter().map(words).collect();
    let (_, first) = reports.first()?;
    let all = || reports.iter().map(|(_, one)| one);
    let taken: Vec<u64> = all().filter_map(|one| one.milliseconds).collect();
    Some(SourceReport {
        organisation: first.organisation.clone(),
        name: first.name.clone(),
        endpoint: first.endpoint.clone(),
        state: if split { SourceState::Partial } else { worst },
        count: all().map(|one| one.count).sum(),
        milliseconds: (!taken.is_empty()).then(|| taken.iter().sum()),
        as_of: all().filter_map(|one| one.as_of.clone()).min(),
        reason: (!words.is_empty()).then(|| words.join("; ")),
    })
}

/// It gave an answer, be it a part or an old one.
fn has_answered(state: SourceState) -> bool {
    matches!(
        state,
        SourceState::Complete | SourceState::Empty | SourceState::Partial | SourceState::Stale
    )
}

/// It was asked, and gave nothing.
fn has_not_answered(state: SourceState) -> bool {
    matches!(
        state,
        SourceState::Refused | SourceState::Late | SourceState::Failed
    )
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
    let answered = |source: &SourceReport| has_answered(source.state);
    if receipt.sources.iter().any(answered) {
        return None;
    }
    if any(&[SourceState::Failed]) {
        return Some(StatusCode::BAD_GATEWAY);
    }
    any(&[SourceState::Late]).then_some(StatusCode::GATEWAY_TIMEOUT)
}
