//! `Patient/$everything` over the region (FHIR R4 patient-operation-everything.html, on the type, for the token's patient): the
//! Patient first, then type by type, each merged by its own rule and newest first. A type that the purpose does not open is left
//! out, as FHIR has it, unless it was asked for by name: then the receipt says so. A source is asked for the types that the catalogue says it offers. One receipt accounts for all that was
//! asked on the page. Pages go on by sealed links, for the same caller and patient.
//!
//! A type is begun only while a source's whole time is left; the rest comes on the next page. Who was late for one type is not
//! waited for again on the same page; who failed for one is asked for the others, for a failure may be that type's alone.

use super::lookup::paged;
use super::opened::{close, needed, patient_of};
use super::{operated, received};
use crate::State;
use crate::account;
use crate::answer::{self, Page};
use crate::ask::{Asking, Timed, Told};
use crate::deadline::Deadline;
use crate::examine::Hers;
use crate::locate::{Source, locate};
use crate::merge::Merged;
use crate::place::Place;
use crate::question::{Question, Whom, chosen};
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::definitions::{Definitions, Types};
use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::operation::{Input, unknown};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::Query;
use std::collections::BTreeMap;
use std::sync::Arc;
use trust::{Ask, Interaction, Permit};
use wire::contract::gateway::{ORGANIZATION, TYPES};
use wire::outcome::Problem;
use wire::paging::Ticket;
use wire::receipt::{Receipt, SourceState};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// The operation's path.
const PATH: &str = "Patient/$everything";
/// A token for whatever the user's own token opens.
const SCOPE: &str = "user/*.rs";
/// Types asked for on one page at most, so that a page of somebody with little stays quick.
const MOST_TYPES: usize = 12;

/// Where a page begins: the type, and how far it came in it.
pub type Start = (String, Place);

/// `POST {gateway}/fhir/Patient/$everything`.
pub async fn everything(
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
        |state, visit, form| {
            Box::pin(async move {
                needed(visit, Interaction::Lookup, [ResourceType::PATIENT])?;
                let asked = Asked::read(state, form)?;
                page(state, visit, &asked, None).await
            })
        },
    )
    .await
}

/// `GET {gateway}/fhir/_everything/{sealed}`: the next page.
pub async fn next(
    extract::State(state): extract::State<Arc<State>>,
    Path(sealed): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    received(state, parts, ids, Interaction::Lookup, |state, visit, _| {
        Box::pin(async move {
            let unsealed = visit.store().unseal(&sealed);
            let ticket: Ticket<Start> = Ticket::open(unsealed, visit.caller(), visit.now)?;
            visit.asked(&wire::form::write(
                ticket.query.iter().map(|(n, v)| (n.as_str(), v.as_str())),
            ));
            let asked = Asked::read(state, ticket.query)?;
            page(state, visit, &asked, Some(ticket.cursor)).await
        })
    })
    .await
}

/// What was understood.
struct Asked {
    types: Vec<ResourceType>,
    /// Whether the caller named them; then what is closed is said, and else left out.
    named: bool,
    chosen: Vec<OrganisationNumber>,
    count: u32,
    form: Input,
}

impl Asked {
    fn read(state: &State, form: Input) -> Result<Asked, Problem> {
        let known = [("_type", true), ("_count", false), (ORGANIZATION, true)];
        let mut issues = unknown(&form, &known);
        let values = |wanted: &str| -> Vec<String> {
            let found = form.iter().filter(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone()).collect()
        };
        let all = types();
        let mut named = Vec::new();
        for name in values("_type").iter().flat_map(|value| value.split(',')) {
            match all.iter().find(|one| one.as_str() == name) {
                Some(found) => named.push(*found),
                None => {
                    let names: Vec<&str> = all.iter().map(|one| one.as_str()).collect();
                    let words = format!("types here: {}", names.join(", "));
                    issues.push(Issue::error(IssueCode::NotSupported, "_type", words));
                }
            }
        }
        let count = match values("_count").first().map(|text| text.parse::<u32>()) {
            None => Query::DEFAULT_COUNT,
            Some(Ok(count)) if (1..=Query::MAX_COUNT).contains(&count) => count,
            Some(_) => {
                let words = format!("expected a whole number from 1 to {}", Query::MAX_COUNT);
                issues.push(Issue::error(IssueCode::Value, "_count", words));
                1
            }
        };
        let chosen = chosen(&values(ORGANIZATION), &state.config.register, &mut issues);
        if !issues.is_empty() {
            return Err(Problem::invalid_all(issues));
        }
        let wanted = |one: &ResourceType| named.is_empty() || named.contains(one);
        Ok(Asked {
            types: all.into_iter().filter(wanted).collect(),
            named: !named.is_empty(),
            chosen,
            count,
            form,
        })
    }
}

/// The Patient, the types that are looked up here, then all others that a service answers for by default and that are about a
/// patient; never the trail of accesses.
fn types() -> Vec<ResourceType> {
    let mut all = vec![ResourceType::PATIENT];
    let looked_up = TYPES.iter().filter_map(|name| ResourceType::parse(name));
    let served = Types::default();
    let others = served
        .iter()
        .filter(|one| one.information_service().is_some())
        // What no patient can be named for (Medication) comes with what it belongs to.
        .filter(|one| {
            Definitions::get()
                .search_parameter(*one, "patient")
                .is_some()
        });
    for one in looked_up.chain(others) {
        if one != ResourceType::AUDIT_EVENT && !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

async fn page(
    state: &State,
    visit: &Visit<'_>,
    asked: &Asked,
    start: Option<Start>,
) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Lookup, ResourceType::PATIENT))?;
    let patient = patient_of(&permit)?;
    let (mut place, from) = match start {
        None => (Place::Start, 0),
        Some((name, place)) => {
            let at = asked.types.iter().position(|one| one.as_str() == name);
            (place, at.ok_or_else(Problem::not_found)?)
        }
    };
    let whole = state.config.total_deadline;
    let deadline = Deadline::after(whole);
    let enough = Deadline::after(whole.saturating_sub(state.config.source_deadline));
    let whom = Whom {
        resource: None,
        chosen: &asked.chosen,
    };
    let sources = locate(state, visit, whom, &deadline).await;
    let mut round = Round {
        state,
        visit,
        permit: &permit,
        patient,
        sources: &sources,
        late: BTreeMap::new(),
        deadline: &deadline,
        hers: Hers::new(),
        shown: Vec::new(),
        rounds: Vec::new(),
    };
    let mut on = None;
    for (turn, resource) in asked.types.iter().enumerate().skip(from) {
        let left = (asked.count as usize).saturating_sub(round.shown.len());
        let late = enough.has_passed() && !round.rounds.is_empty();
        if left == 0 || turn - from == MOST_TYPES || late {
            on = Some((resource.as_str().to_owned(), Place::Start));
            break;
        }
        let from = std::mem::replace(&mut place, Place::Start);
        if let Some(place) = round.ask(*resource, asked, from, left).await? {
            on = Some((resource.as_str().to_owned(), place));
            break;
        }
    }
    let next = on
        .map(|cursor| {
            let ticket = Ticket::new(visit.caller(), asked.form.clone(), cursor, visit.now);
            let sealed = visit.store().seal(&ticket.to_bytes()?)?;
            Ok::<_, End>(format!("{}/_everything/{sealed}", state.fhir))
        })
        .transpose()?;
    let Round { shown, rounds, .. } = round;
    let receipt = account::together(&rounds);
    let page = Page {
        path: PATH,
        parameters: &asked.form,
        shown,
        withdrawn: Vec::new(),
        total: None,
        next,
        changes: None,
    };
    answer::give(state, visit, &permit, &sources, receipt, page).await
}

/// A page on its way, type after type.
struct Round<'a> {
    state: &'a State,
    visit: &'a Visit<'a>,
    permit: &'a Permit,
    patient: &'a PersonIdentifier,
    sources: &'a [Source],
    /// Who was late already on this page, and in which words.
    late: BTreeMap<usize, String>,
    deadline: &'a Deadline,
    /// Who the patient is at each source that gave its Patient on this page.
    hers: Hers,
    shown: Vec<Merged>,
    /// What each type's round came to.
    rounds: Vec<(ResourceType, Receipt)>,
}

impl Round<'_> {
    /// Asks every source that offers it for one type; gives where to go on, if there is more of it.
    async fn ask(
        &mut self,
        resource: ResourceType,
        asked: &Asked,
        place: Place,
        left: usize,
    ) -> Result<Option<Place>, End> {
        let kind = resource.information_service();
        let covered = self.visit.permit(&Ask::of(Interaction::Lookup, resource));
        let covered = match covered {
            Ok(covered) => covered,
            Err(_) if !asked.named => return Ok(None),
            Err(refused) => return Err(refused),
        };
        let mut sources = self.sources.to_vec();
        if !(self.permit.opens(kind) && covered.opens(kind)) {
            if !asked.named {
                return Ok(None);
            }
            sources.iter_mut().for_each(close);
        }
        let unoffered = |source: &&mut Source| !source.offers(resource);
        for source in sources.iter_mut().filter(unoffered) {
            let words = "it does not offer this kind of information";
            source
                .unasked
                .get_or_insert((SourceState::NotAsked, words.to_owned()));
        }
        for (number, reason) in &self.late {
            if let Some(source) = sources.get_mut(*number) {
                let late = (SourceState::Late, reason.clone());
                source.unasked.get_or_insert(late);
            }
        }
        let count = u32::try_from(left).unwrap_or(Query::MAX_COUNT);
        let whose = Some(self.patient.clone());
        let question = Question::everything(resource, whose, asked.chosen.clone(), count);
        let form = question.for_sources(self.patient, place)?;
        let asking = Asking {
            state: self.state,
            visit: self.visit,
            permit: &covered,
            question: &question,
            patient: self.patient,
            place,
            errand: question.errand(),
            scope: SCOPE,
            form: &form,
            deadline: self.deadline,
            hers: &self.hers,
        };
        let answers: Vec<Timed> = asking.all(&sources).await;
        let (cut, _) = paged(&question, place, &answers, left);
        let receipt = account::receipt(&sources, &answers, &cut.shown, self.visit.now);
        self.rounds.push((resource, receipt));
        for (number, timed) in answers.into_iter().enumerate() {
            match timed.told {
                Told::Nothing {
                    state: SourceState::Late,
                    reason,
                } => {
                    self.late.entry(number).or_insert(reason);
                }
                Told::Gave(gave) if resource == ResourceType::PATIENT && !gave.given.is_empty() => {
                    let ids = gave.given.into_iter().map(|one| one.route.id);
                    self.hers.entry(number).or_default().extend(ids);
                }
                _ => {}
            }
        }
        self.shown.extend(cut.shown);
        Ok(cut.next)
    }
}
