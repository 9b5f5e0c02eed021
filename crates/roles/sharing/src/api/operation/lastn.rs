//! `Observation/$lastn` (FHIR R4 observation-operation-lastn.html): the newest of each kind of observation.
//!
//! Readings are one group when they are of one measurement kind, whichever of its codes they carry (pulse goes with heart
//! rate, as on a curve); what is of no known kind is grouped by its LOINC code, else by its first. Ties are broken by id.
//! Unless `status` is asked for, readings that are entered in error or cancelled are not among the newest.

use super::question::Question;
use crate::State;
use crate::api::search::empty;
use crate::disclose::disclose;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::index::Coding;
use fhir::json::{Json, Limits};
use fhir::newest::{self, Group};
use fhir::operation::{self, Input, PATIENT};
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use fhir::search::{Query, TokenParam, TokenSystem};
use http::HeaderMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Stored;
use trust::{Ask, Interaction};
use wire::outcome::Problem;
use wire::paging;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Most of one kind.
const MOST: u32 = 100;
/// Most resources in an answer, and most bytes of them; more is refused, never cut off.
const MOST_RESOURCES: usize = 1000;
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// `POST {base}/Observation/$lastn`.
pub async fn lastn(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let nothing = || Ok(empty());
    let work = async |visit: &mut Visit<'_>| answer(&state, visit, &parts.headers, body).await;
    state
        .desk
        .serve_or(&parts, ids, Interaction::Search, nothing, work)
        .await
}

async fn answer(
    state: &State,
    visit: &mut Visit<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, End> {
    // The need first, then what was asked.
    visit.permit(&Ask::of(Interaction::Search, ResourceType::OBSERVATION))?;
    let mut form = wire::operation::read(headers, body).await?;
    visit.asked(&wire::form::write(
        form.iter().map(|(n, v)| (n.as_str(), v.as_str())),
    ));
    let mut known: Vec<(&str, bool)> = PATIENT.map(|name| (name, false)).to_vec();
    known.extend([
        ("code", false),
        ("category", false),
        ("date", true),
        ("status", false),
        ("max", false),
    ]);
    let mut issues = operation::unknown(&form, &known);
    let max = match form.iter().position(|(name, _)| name == "max") {
        None => 1,
        Some(at) => match form.remove(at).1.parse::<u32>() {
            Ok(max @ 1..=MOST) => max,
            _ => {
                let words = format!("expected a whole number from 1 to {MOST}");
                issues.push(fhir::outcome::Issue::error(IssueCode::Value, "max", words));
                1
            }
        },
    };
    if !issues.is_empty() {
        return Err(Problem::invalid_all(issues).into());
    }
    let asked = form.clone();
    let mut question = Question::read(state, visit, form).await?;
    if question.query.status.is_empty() {
        question.query.status = newest::VALID.map(str::to_owned).to_vec();
    }
    let found = newest(state, &question, max).await?;
    let own = own_link(state, &question, asked, max).await?;
    let total = found.len() as u64;
    let disclosed = disclose(visit, &question.permit, found).await?;
    Ok(disclosed.searchset(&state.base, Some(total), &[("self", &own)]))
}

/// The newest `max` of each group that the patient has here, group by group.
async fn newest(state: &State, question: &Question, max: u32) -> Result<Vec<Stored>, End> {
    let Some(person) = &question.person else {
        return Ok(Vec::new());
    };
    let store = &state.desk.store;
    let (permit, query) = (&question.permit, &question.query);
    let sets = store
        .codings(permit, ResourceType::OBSERVATION, person)
        .await?;
    let mut groups: BTreeMap<Group, Vec<TokenParam>> = BTreeMap::new();
    for set in sets.iter().filter(|set| asked_for(query, set)) {
        let tokens = groups.entry(Group::of(set)).or_default();
        for token in set.iter().map(token) {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
    }
    let (mut found, mut size): (Vec<Stored>, usize) = (Vec::new(), 0);
    for (group, tokens) in groups {
        // A reading without any code has no place among the newest of a code.
        if tokens.is_empty() {
            continue;
        }
        let mut search = query.clone();
        search.patient = Some(fhir::search::PatientParam::Identifier(person.clone()));
        search.codes = tokens;
        search.count = max;
        let (mut wanted, mut after) = (max as usize, None);
        while wanted > 0 {
            let page = store.search(permit, &search, after).await?;
            for stored in page.matches {
                // A code may be shared by two groups: then a search for it finds both.
                let set = codes_of(&stored)?;
                if wanted > 0 && Group::of(&set) == group && asked_for(query, &set) {
                    wanted -= 1;
                    size += stored.body.len();
                    found.push(stored);
                }
            }
            if found.len() > MOST_RESOURCES || size > MOST_BYTES {
                let words = format!(
                    "the answer would hold more than {MOST_RESOURCES} resources or 8 MiB; ask for fewer codes or a smaller max"
                );
                return Err(Problem::invalid(IssueCode::TooCostly, "max", words).into());
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(found)
}

/// Whether codings are among the codes asked for.
fn asked_for(query: &Query, set: &[Coding]) -> bool {
    query.codes.is_empty()
        || set
            .iter()
            .any(|coding| query.codes.iter().any(|token| token.matches(coding)))
}

fn token(coding: &Coding) -> TokenParam {
    TokenParam {
        system: match &coding.system {
            Some(system) => TokenSystem::Is(system.clone()),
            None => TokenSystem::Absent,
        },
        code: Some(coding.code.clone()),
    }
}

/// The codings of a stored Observation.
fn codes_of(stored: &Stored) -> Result<Vec<Coding>, Problem> {
    let json = Json::parse(stored.body.clone(), Limits::BUNDLE)
        .map_err(|_| Problem::bug("a stored resource cannot be read"))?;
    Ok(newest::codings(json.root()))
}

/// What was understood, with the patient by local id.
async fn own_link(
    state: &State,
    question: &Question,
    asked: Input,
    max: u32,
) -> Result<String, End> {
    let mut pairs: Input = Vec::new();
    if let Some(patient) = question.reference(state).await? {
        pairs.push(("patient".into(), patient));
    }
    pairs.extend(
        asked
            .into_iter()
            .filter(|(name, _)| !PATIENT.contains(&name.as_str())),
    );
    pairs.push(("max".into(), max.to_string()));
    Ok(paging::self_link(&state.base, "Observation/$lastn", &pairs))
}
