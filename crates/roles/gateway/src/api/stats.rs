//! `Observation/$stats` over the region (FHIR R4 observation-operation-stats.html): one patient's series in numbers, counted
//! from the readings of all holders after they were merged, never by adding up what holders counted: a reading that two of
//! them hold is one. Readings of which copies disagree are left out and said. The receipt stands in the answer as a parameter.

use super::lookup::taken;
use super::opened::{Opened, needed};
use super::operated;
use crate::State;
use crate::account;
use crate::answer::{self, Gives};
use crate::ask::Errand;
use crate::merge::{Merged, merge};
use crate::place::{Place, exact};
use crate::question::Question;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::json::{Glance, Json, Limits};
use fhir::newest::codings;
use fhir::operation::{Input, PATIENT};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::{Query, TokenParam, TokenSystem};
use fhir::statistics::asked::{Asked, MOST_SOURCES};
use fhir::statistics::counted::Counted;
use fhir::statistics::written::{self, Beside};
use http::StatusCode;
use std::sync::Arc;
use trust::{Interaction, audit};
use wire::contract::gateway::ORGANIZATION;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// `POST {gateway}/fhir/Observation/$stats`.
pub async fn stats(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    operated(
        state,
        request,
        ids,
        Interaction::Lookup,
        |_| true,
        |state, visit, form| Box::pin(answer(state, visit, form)),
    )
    .await
}

async fn answer(state: &State, visit: &Visit<'_>, form: Input) -> Result<Response, End> {
    needed(visit, Interaction::Lookup, [ResourceType::OBSERVATION])?;
    let (whom, form): (Input, Input) = form
        .into_iter()
        .partition(|(name, _)| name == ORGANIZATION || PATIENT.contains(&name.as_str()));
    let zone = &state.config.zone;
    let mut asked = Asked::read(&form, zone, visit.now).map_err(Problem::invalid_all)?;
    let wanted = std::mem::take(&mut asked.wanted);
    let tokens: Vec<Vec<TokenParam>> = wanted.iter().map(|one| one.tokens.clone()).collect();
    let mut search = whom;
    search.extend(searched(&asked, &tokens));
    let question = Question::read("Observation", search, &state.config)?;
    let searched = (Interaction::Lookup, &question);
    let form = |patient: &_| {
        let mut form = question.for_sources(patient, Place::Start)?;
        // Whole answers are read: the largest pages make the fewest of them.
        form.retain(|(name, _)| name != "_count");
        form.push(("_count".to_owned(), Query::MAX_COUNT.to_string()));
        Ok(form)
    };
    let errand = (Place::Start, Errand::Whole);
    let opened = Opened::open((state, visit), searched, errand, form).await?;
    let (answers, sources) = (opened.ask().await, &opened.sources);
    let copies = answers.iter().flat_map(taken).collect();
    let merged = merge(copies, question.rule(), question.sort());
    let mut counted: Vec<Counted> = wanted.into_iter().map(Counted::of).collect();
    let (used, disagreeing) = count(&merged, &mut counted, &tokens, &asked);
    let counted: Vec<Counted> = counted.into_iter().map(Counted::finished).collect();
    let shown = given_out(used, &asked)?;
    let receipt = account::receipt(sources, &answers, &merged, visit.now);
    let gives = Gives {
        counted: counted
            .iter()
            .flat_map(Counted::used)
            .map(on_record)
            .collect(),
        ..Gives::of(&shown)
    };
    let signed = answer::record(state, visit, &opened.permit, sources, receipt, gives).await?;
    if let Some(status) = signed.failure {
        return Ok(fhir_response(status, signed.outcome));
    }
    let beside = Beside {
        sources: shown.iter().map(|one| &one.body[..]).collect(),
        issues: disagreement(disagreeing),
        receipt: Some(signed.outcome.as_bytes()),
    };
    let text = written::parameters(&asked, &counted, beside, None, zone);
    Ok(fhir_response(StatusCode::OK, text))
}

/// The search that finds what is to be counted, and perhaps more: by time, and by code where that makes no list too long.
fn searched(asked: &Asked, tokens: &[Vec<TokenParam>]) -> Input {
    let mut form = Input::new();
    let named: Vec<String> = tokens.iter().flatten().filter_map(named).collect();
    if !named.is_empty() && named.len() <= Query::MAX_ALTERNATIVES {
        form.push(("code".to_owned(), named.join(",")));
    }
    let mut date = |prefix: &str, at: i64| {
        form.push(("date".to_owned(), format!("{prefix}{}", exact(at))));
    };
    if let Some(from) = asked.period.from {
        date("ge", from);
    }
    if let Some(until) = asked.period.until {
        date("lt", until);
    }
    form
}

/// A token as a search takes it.
fn named(token: &TokenParam) -> Option<String> {
    let escaped = |text: &str| {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if matches!(c, ',' | '|' | '$' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out
    };
    let code = escaped(token.code.as_deref()?);
    Some(match &token.system {
        TokenSystem::Any => code,
        TokenSystem::Absent => format!("|{code}"),
        TokenSystem::Is(system) => format!("{}|{code}", escaped(system)),
    })
}

/// Takes in every reading of which there is one version; gives those that a value was taken from, and how many were left out
/// because their copies disagree.
fn count(
    merged: &[Merged],
    counted: &mut [Counted],
    tokens: &[Vec<TokenParam>],
    asked: &Asked,
) -> (Vec<Merged>, usize) {
    let (mut used, mut disagreeing) = (Vec::new(), 0);
    for entry in merged {
        let Ok(json) = Json::parse(entry.body.clone(), Limits::BUNDLE) else {
            continue;
        };
        let codes = codings(json.root());
        let in_time = entry.at.is_none_or(|at| {
            asked.period.from.is_none_or(|from| at >= from)
                && asked.period.until.is_none_or(|until| at < until)
        });
        let mut takes = counted.iter_mut().zip(tokens).filter(|(one, tokens)| {
            let named = |token: &TokenParam| codes.iter().any(|coding| token.matches(coding));
            in_time && tokens.iter().any(named) && one.enters(&codes)
        });
        if entry.disagrees {
            disagreeing += usize::from(takes.next().is_some());
            continue;
        }
        let status = json.root().text("status").unwrap_or_default();
        let body = Glance::of(&entry.body);
        let id = u128::from_be_bytes(entry.tie);
        let mut counts = false;
        for (one, _) in takes {
            counts |= one.take(&status, entry.at, id, body);
        }
        if counts {
            used.push(entry.clone());
        }
    }
    (used, disagreeing)
}

/// The readings that are given out beside the numbers, newest first.
fn given_out(mut used: Vec<Merged>, asked: &Asked) -> Result<Vec<Merged>, Problem> {
    used.truncate(match asked.sources {
        None => 0,
        Some(Some(limit)) => limit,
        Some(None) => MOST_SOURCES + 1,
    });
    if used.len() > MOST_SOURCES {
        let words = format!(
            "the readings behind the numbers are more than {MOST_SOURCES}; give a limit, or ask for a shorter time"
        );
        return Err(Problem::invalid(IssueCode::TooCostly, "include", words));
    }
    Ok(used)
}

fn disagreement(count: usize) -> Vec<Issue> {
    let words = format!("{count} copies of readings that disagree with another copy are left out");
    let issue = || {
        Issue::new(
            fhir::outcome::Severity::Warning,
            IssueCode::Conflict,
            "",
            words,
        )
    };
    (count > 0).then(issue).into_iter().collect()
}

fn on_record((what, count): (String, u64)) -> audit::Counted {
    audit::Counted {
        resource: "Observation".to_owned(),
        what,
        count,
    }
}
