//! `Observation/$lastn` over the region (FHIR R4 observation-operation-lastn.html): the newest of each kind among what all
//! holders have. Each holder gives its own newest; the newest of all are among them, each reading counted once.

use super::lookup::taken;
use super::opened::{Opened, needed};
use super::operated;
use crate::State;
use crate::account;
use crate::answer::{self, Page};
use crate::ask::Errand;
use crate::merge::{Merged, Tie, merge};
use crate::place::Place;
use crate::question::Question;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::json::{Json, Limits};
use fhir::newest::{Group, codings};
use fhir::operation::{Input, unknown};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trust::Interaction;
use wire::contract::gateway::ORGANIZATION;
use wire::outcome::Problem;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Most of one kind, as at a sharing service.
const MOST: usize = 100;
/// The operation's path.
const PATH: &str = "Observation/$lastn";

/// `POST {gateway}/fhir/Observation/$lastn`.
pub async fn lastn(
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

async fn answer(state: &State, visit: &Visit<'_>, mut form: Input) -> Result<Response, End> {
    needed(visit, Interaction::Lookup, [ResourceType::OBSERVATION])?;
    let max = max(&mut form)?;
    let question = Question::read("Observation", form, &state.config)?;
    let asked = (Interaction::Lookup, &question);
    let form =
        |patient: &_| question.for_operation(patient, vec![("max".to_owned(), max.to_string())]);
    let errand = (Place::Start, Errand::Once(PATH));
    let opened = Opened::open((state, visit), asked, errand, form).await?;
    let (answers, sources) = (opened.ask().await, &opened.sources);
    let copies = answers.iter().flat_map(taken).collect();
    let shown = newest(merge(copies, question.rule(), question.sort()), max);
    let receipt = account::receipt(sources, &answers, &shown, visit.now);
    let mut parameters = question.own_link();
    parameters.push(("max".to_owned(), max.to_string()));
    let page = Page {
        path: PATH,
        parameters: &parameters,
        total: receipt.is_whole().then_some(shown.len() as u64),
        shown,
        withdrawn: Vec::new(),
        next: None,
        changes: None,
    };
    answer::give(state, visit, &opened.permit, sources, receipt, page).await
}

/// Takes `max` out of the parameters, and refuses those that the operation does not have.
fn max(form: &mut Input) -> Result<usize, Problem> {
    let known = [
        ("patient.identifier", false),
        ("subject:identifier", false),
        ("code", false),
        ("category", false),
        ("date", true),
        ("status", false),
        ("max", false),
        (ORGANIZATION, true),
    ];
    let mut issues = unknown(form, &known);
    let max = match form.iter().position(|(name, _)| name == "max") {
        None => 1,
        Some(at) => match form.remove(at).1.parse::<usize>() {
            Ok(max @ 1..=MOST) => max,
            _ => {
                let words = format!("expected a whole number from 1 to {MOST}");
                issues.push(Issue::error(IssueCode::Value, "max", words));
                1
            }
        },
    };
    match issues.is_empty() {
        true => Ok(max),
        false => Err(Problem::invalid_all(issues)),
    }
}

/// The newest `max` of each group, group by group; `merged` comes newest first. Copies that disagree about a reading are one of them,
/// and all there: which of them is right, people find out.
fn newest(merged: Vec<Merged>, max: usize) -> Vec<Merged> {
    let mut groups: BTreeMap<Group, (BTreeSet<Tie>, Vec<Merged>)> = BTreeMap::new();
    for entry in merged {
        let Ok(json) = Json::parse(entry.body.clone(), Limits::BUNDLE) else {
            continue;
        };
        let group = Group::of(&codings(json.root()));
        let (things, shown) = groups.entry(group).or_default();
        if things.len() < max || things.contains(&entry.thing) {
            things.insert(entry.thing);
            shown.push(entry);
        }
    }
    groups.into_values().flat_map(|(_, shown)| shown).collect()
}
