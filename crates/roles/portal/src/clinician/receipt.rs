//! The completeness receipt on the page: every source that the look-up named, and what became of it, for each kind of
//! thing that was asked for. What is missing is said first.

use wire::receipt::{SourceReport, SourceState};

use super::sources::{Source, Sources};
use crate::calendar::Calendar;
use crate::look_up::{LookUp, LookUpError, Part};
use crate::text::Text;

/// The receipt in words.
pub struct ReceiptView {
    /// Whether nothing is missing.
    pub whole: bool,
    /// `4 av 5 kilder svarte`
    pub headline: String,
    /// What is missing, sentence by sentence.
    pub missing: Vec<String>,
    /// One an organisation.
    pub sources: Vec<SourceLine>,
    /// Names of the parts, for the table's heading.
    pub parts: Vec<&'static str>,
}

/// One organisation.
pub struct SourceLine {
    /// Who.
    pub source: Source,
    /// The worst that became of it, in words.
    pub state: &'static str,
    /// Whether something of it is missing.
    pub bad: bool,
    /// One an asked part, in the order of [`ReceiptView::parts`].
    pub cells: Vec<String>,
    /// To when its data is known to be current.
    pub as_of: Option<String>,
}

fn worse(a: SourceState, b: SourceState) -> SourceState {
    let weight = |state: SourceState| match state {
        SourceState::Empty => 0,
        SourceState::Complete => 1,
        SourceState::NotAsked => 2,
        SourceState::Stale => 3,
        SourceState::Partial => 4,
        SourceState::Refused => 5,
        SourceState::Late => 6,
        SourceState::Failed => 7,
    };
    if weight(b) > weight(a) { b } else { a }
}

fn answered(state: SourceState) -> bool {
    matches!(
        state,
        SourceState::Complete | SourceState::Empty | SourceState::Partial | SourceState::Stale
    )
}

fn word(state: SourceState, text: &Text) -> &'static str {
    text.of(match state {
        SourceState::Complete => "state.complete",
        SourceState::Empty => "state.empty",
        SourceState::Partial => "state.partial",
        SourceState::Refused => "state.refused",
        SourceState::Late => "state.late",
        SourceState::Failed => "state.failed",
        SourceState::Stale => "state.stale",
        SourceState::NotAsked => "state.not_asked",
    })
}

/// The name of a part.
pub fn part_word(part: Part, text: &Text) -> &'static str {
    text.of(match part {
        Part::Readings => "part.readings",
        Part::Plan => "part.plan",
        Part::Medicines => "part.medicines",
        Part::Patient => "part.patient",
    })
}

/// Why a part failed, in words.
pub fn fault_word(error: &LookUpError, text: &Text) -> &'static str {
    text.of(match error {
        LookUpError::NoSignIn => "fault.no_sign_in",
        LookUpError::NoService => "fault.no_service",
        LookUpError::Ended => "fault.ended",
        LookUpError::Anchor => "fault.anchor",
        LookUpError::NotAllowed => "fault.not_allowed",
        LookUpError::Silent => "fault.silent",
        LookUpError::NoSource => "fault.no_source",
        LookUpError::Unusable(_) => "fault.unusable",
    })
}

/// The receipts of all parts as one.
pub fn view(found: &LookUp, sources: &Sources, calendar: &Calendar, text: &Text) -> ReceiptView {
    let mut order: Vec<&str> = Vec::new();
    for report in found.receipts.iter().flat_map(|(_, reports)| reports) {
        if !order.contains(&report.organisation.as_str()) {
            order.push(&report.organisation);
        }
    }
    let parts: Vec<Part> = Part::ALL
        .into_iter()
        .filter(|part| found.receipts.iter().any(|(own, _)| own == part))
        .collect();
    let mut lines: Vec<(SourceLine, SourceState)> = order
        .into_iter()
        .map(|number| {
            let of_part = |part: &Part| -> Vec<&SourceReport> {
                let own = found
                    .receipts
                    .iter()
                    .filter(|(own, _)| own == part)
                    .flat_map(|(_, reports)| reports);
                own.filter(|report| report.organisation == number).collect()
            };
            let all: Vec<&SourceReport> = parts.iter().flat_map(of_part).collect();
            let state = all
                .iter()
                .map(|report| report.state)
                .reduce(worse)
                .unwrap_or(SourceState::NotAsked);
            let mut source = sources.get(number);
            if source.name == source.number
                && let Some(name) = all.iter().find_map(|report| report.name.clone())
            {
                source.name = name;
            }
            let cells = parts
                .iter()
                .map(|part| cell(&of_part(part), text))
                .collect();
            let as_of = all
                .iter()
                .filter_map(|report| report.as_of.as_deref())
                .min();
            let as_of = as_of
                .and_then(|at| calendar.moment(at))
                .map(|at| calendar.moment_text(at));
            (
                SourceLine {
                    source,
                    state: word(state, text),
                    bad: !state.is_whole(),
                    cells,
                    as_of,
                },
                state,
            )
        })
        .collect();
    lines.sort_by_key(|(line, _)| {
        (
            line.source.mark.unwrap_or(usize::MAX),
            line.source.name.to_lowercase(),
        )
    });

    let total = lines.len();
    let heard = lines.iter().filter(|(_, state)| answered(*state)).count();
    let mut missing: Vec<String> = found
        .failed
        .iter()
        .map(|(part, error)| {
            text.fill(
                "receipt.part_failed",
                &[
                    ("part", part_word(*part, text)),
                    ("why", fault_word(error, text)),
                ],
            )
        })
        .collect();
    for (line, _) in lines.iter().filter(|(line, _)| line.bad) {
        missing.push(text.fill(
            "receipt.source_missing",
            &[("name", &line.source.name), ("state", line.state)],
        ));
    }
    if found.capped {
        missing.push(text.count("receipt.capped", found.readings.len()));
    }
    ReceiptView {
        whole: missing.is_empty() && total > 0,
        headline: if total == 0 {
            text.of("receipt.nobody").to_owned()
        } else {
            text.fill(
                "receipt.headline",
                &[("heard", &heard.to_string()), ("total", &total.to_string())],
            )
        },
        missing,
        sources: lines.into_iter().map(|(line, _)| line).collect(),
        parts: parts
            .into_iter()
            .map(|part| part_word(part, text))
            .collect(),
    }
}

/// `31 · 12 ms`, or what became of it.
fn cell(reports: &[&SourceReport], text: &Text) -> String {
    let Some(state) = reports.iter().map(|report| report.state).reduce(worse) else {
        return text.of("state.not_named").to_owned();
    };
    let Some(first) = reports.first() else {
        return String::new();
    };
    let mut words = match state {
        SourceState::Complete => first.count.to_string(),
        other => word(other, text).to_owned(),
    };
    if let Some(ms) = first.milliseconds {
        words.push_str(&format!(" · {ms} ms"));
    }
    if let Some(reason) = reports
        .iter()
        .find_map(|report| report.reason.as_deref())
        .filter(|_| !state.is_whole())
    {
        words.push_str(&format!(" · {reason}"));
    }
    words
}
