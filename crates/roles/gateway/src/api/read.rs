//! `$read`: one resource by its full address, as an earlier answer gave it, from the holder that is named with it (ours: a
//! gateway has no ids of its own). The address must lie under a base that the catalogue has for that organisation; nobody else
//! is asked, and no other address is ever called. The answer is a searchset of at most one, with the receipt.

use super::opened::{close, needed, patient_of};
use super::operated;
use crate::State;
use crate::account;
use crate::answer::{self, Page};
use crate::ask::{Copied, Gave, Timed, Told};
use crate::deadline::Deadline;
use crate::examine::{self, Expected};
use crate::line::Line;
use crate::locate::{Source, locate_address};
use crate::merge::{Rule, merge};
use crate::question::chosen;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::ids::{LogicalId, OrganisationNumber, PersonIdentifier};
use fhir::operation::{Input, unknown};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::Sort;
use fhir::subset::Withheld;
use http::StatusCode;
use std::sync::Arc;
use trust::{Ask, Interaction, Permit};
use wire::contract::gateway::{ORGANIZATION, TYPES};
use wire::outcome::Problem;
use wire::receipt::SourceState;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Largest answer taken.
const BYTES: usize = 4 * 1024 * 1024;

/// `POST {gateway}/fhir/$read`.
pub async fn read(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    operated(
        state,
        request,
        ids,
        Interaction::Read,
        |_| true,
        |state, visit, form| Box::pin(answer(state, visit, form)),
    )
    .await
}

/// What was asked: an address, what is at it, and whose it is.
struct Asked {
    url: String,
    organisation: OrganisationNumber,
    resource: ResourceType,
}

async fn answer(state: &State, visit: &Visit<'_>, form: Input) -> Result<Response, End> {
    let types = TYPES.iter().filter_map(|name| ResourceType::parse(name));
    needed(visit, Interaction::Read, types)?;
    let asked = understood(state, &form)?;
    let permit = visit.permit(&Ask::of(Interaction::Read, asked.resource))?;
    let patient = patient_of(&permit)?;
    let deadline = Deadline::after(state.config.total_deadline);
    let place = (asked.organisation, asked.url.as_str(), asked.resource);
    let read = fetch(state, visit, &permit, patient, place, 0, &deadline).await;
    // An address that is nobody's here is as one that nobody has.
    let (source, timed) = read.ok_or_else(Problem::not_found)?;
    let (sources, answers) = ([source], [timed]);
    let copies = answers.iter().flat_map(super::lookup::taken).collect();
    let shown = merge(copies, Rule::of(asked.resource), Sort::DateDesc);
    let receipt = account::receipt(&sources, &answers, &shown, visit.now);
    let page = Page {
        path: "$read",
        parameters: &form,
        total: receipt.is_whole().then_some(shown.len() as u64),
        shown,
        withdrawn: Vec::new(),
        next: None,
        changes: None,
    };
    answer::give(state, visit, &permit, &sources, receipt, page).await
}

fn understood(state: &State, form: &Input) -> Result<Asked, Problem> {
    let mut issues = unknown(form, &[("url", false), (ORGANIZATION, false)]);
    let one = |wanted: &str| {
        let found = form.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let url = one("url");
    let resource = kind_at(&url);
    if resource.is_none() {
        let words = "expected the full address of a resource of a type that is looked up here";
        issues.push(Issue::error(IssueCode::Value, "url", words));
    }
    let organisation = one(ORGANIZATION);
    let named = match organisation.is_empty() {
        true => Vec::new(),
        false => chosen(&[organisation], &state.config.register, &mut issues),
    };
    if issues.is_empty() && named.len() != 1 {
        let words = "expected the one organisation whose address it is";
        issues.push(Issue::error(IssueCode::Required, ORGANIZATION, words));
    }
    match (issues.is_empty(), resource, named.first()) {
        (true, Some(resource), Some(organisation)) => Ok(Asked {
            organisation: *organisation,
            resource,
            url,
        }),
        _ => Err(Problem::invalid_all(issues)),
    }
}

/// What lies at `{base}/{type}/{id}`, or at a version of it, where that is a type that is read here.
pub(super) fn kind_at(url: &str) -> Option<ResourceType> {
    let mut parts = url.rsplit('/');
    let mut id = parts.next()?;
    let mut kind = parts.next()?;
    if kind == "_history" {
        id.parse::<u64>().ok()?;
        (id, kind) = (parts.next()?, parts.next()?);
    }
    LogicalId::parse(id).ok()?;
    ResourceType::parse(kind)
        .filter(|kind| TYPES.contains(&kind.as_str()) && *kind != ResourceType::AUDIT_EVENT)
}

/// Reads one resource by its address, of the named organisation alone; `None` when the address lies under no base of it.
pub(super) async fn fetch(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    patient: &PersonIdentifier,
    (organisation, url, resource): (OrganisationNumber, &str, ResourceType),
    number: usize,
    deadline: &Deadline,
) -> Option<(Source, Timed)> {
    let ours = visit.ids().ours;
    let mut source = locate_address(state, ours, organisation, url, deadline).await?;
    let kind = resource.information_service();
    let covered = visit.permit(&Ask::of(Interaction::Read, resource)).ok();
    let covered = covered.filter(|covered| covered.opens(kind) && permit.opens(kind));
    if covered.is_none() {
        close(&mut source);
    }
    let asked = Reading {
        url,
        resource,
        patient,
        number,
        // What is not covered is not asked, so nothing is left to withhold.
        withheld: covered.as_ref().map_or(&[][..], Permit::withheld),
    };
    let timed = ask(state, visit, &source, &asked, deadline).await;
    Some((source, timed))
}

/// One resource that is to be read.
struct Reading<'a> {
    url: &'a str,
    resource: ResourceType,
    patient: &'a PersonIdentifier,
    /// Which of the sources it is asked of.
    number: usize,
    /// What its reader is not given.
    withheld: &'a [Withheld],
}

async fn ask(
    state: &State,
    visit: &Visit<'_>,
    source: &Source,
    asked: &Reading<'_>,
    deadline: &Deadline,
) -> Timed {
    let began = (state.house.clock)();
    let told = match (&source.unasked, &source.base) {
        (None, Some(base)) => told(state, visit, source, base, asked, deadline).await,
        (unasked, _) => {
            let unknown = || (SourceState::NotAsked, "no address is known".to_owned());
            Err(unasked.clone().unwrap_or_else(unknown))
        }
    };
    let micros = (state.house.clock)().0.saturating_sub(began.0).max(0);
    Timed {
        told: match told {
            Ok(gave) => Told::Gave(gave),
            Err((state, reason)) => Told::Nothing { state, reason },
        },
        milliseconds: source
            .unasked
            .is_none()
            .then(|| u64::try_from(micros / 1000).unwrap_or_default()),
    }
}

async fn told(
    state: &State,
    visit: &Visit<'_>,
    source: &Source,
    base: &str,
    asked: &Reading<'_>,
    deadline: &Deadline,
) -> Result<Gave, (SourceState, String)> {
    let scope = format!("user/{}.rs", asked.resource);
    let mut line = Line::open(state, visit, (base, &scope), deadline, BYTES)?;
    let request = wire::client::Request::get(asked.url);
    let answer = line.ask_for_one(request).await?;
    let copy = Copied::of(&answer, asked.resource);
    if answer.status != StatusCode::OK {
        return Ok(Gave {
            copy,
            ..Gave::default()
        });
    }
    let expected = Expected {
        resource: asked.resource,
        patient: asked.patient,
        base,
        orgnr: &source.organisation,
        source: asked.number,
        zone: &state.config.zone,
        numbers: state.config.person_numbers,
        withheld: asked.withheld,
    };
    let given = examine::single(answer.body, &expected).map_err(|words| line.unusable(words))?;
    line.good();
    Ok(Gave {
        given: vec![given],
        copy,
        ..Gave::default()
    })
}
