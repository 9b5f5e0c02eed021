//! `$may-look`: whose people may look at what is held here about the patient, as the rules stand now: the organisation's own, the
//! members of a register that it shares, and others by agreement, each with what they would be given by work and purpose.
//!
//! Told to the patient, and to whoever represents her where that covers the log (`representation`). The rules themselves are asked
//! ([`trust::may_look`]), with the agreements that the anchor publishes signed, and with her wishes as they hold. Of what is
//! opened the kinds that are held about her are told; to others than the organisation's own, those that it publishes. Whoever
//! represents her is told what is open of the kinds that she chose, and nothing of what she closed: not what breaking the glass
//! would open either.

use crate::State;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::ids::OrganisationNumber;
use fhir::outcome::IssueCode;
use fhir::resource::{InformationService, ResourceType};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use store::Kinds;
use trust::may_look::{MayLook, may_look};
use trust::wish::{Closed, Wish};
use trust::{Agreement, Ask, Facts, Interaction, PermitScope, Person};
use wire::contract::anchor::AgreementDocument;
use wire::may_look::{Ground, Opens, Paper, Processor, Reader, Shut, Told, Who};
use wire::members::Members;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Seconds until the anchor may be asked again.
const AGAIN: u32 = 5;

/// `POST {base}/$may-look`; it takes no parameters, for the token says about whom.
pub async fn of_the_patient(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| told(&state, visit, &parts.headers, body).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::MayLook, work).await
}

async fn told(
    state: &State,
    visit: &mut Visit<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::MayLook, ResourceType::AUDIT_EVENT))?;
    let PermitScope::Patient(patient) = permit.patient() else {
        return Err(Problem::bug("who may look was permitted without a patient").into());
    };
    if let Some((name, _)) = wire::operation::read(headers, body).await?.first() {
        let words = "no parameter is expected: the token says about whom";
        return Err(Problem::invalid(IssueCode::NotSupported, name, words).into());
    }
    let Some(members) = state.members.current().await else {
        let words = "the anchor's documents cannot be had: by which agreements others may look is not known";
        return Err(Problem::unavailable(AGAIN, words).into());
    };
    let wishes = visit.store().wishes(patient).await?;
    let mut kinds = visit.store().kinds(patient).await?;
    // Whoever represents her hears of the kinds that she chose.
    for list in [&mut kinds.held, &mut kinds.published] {
        list.retain(|kind| permit.opens(Some(*kind)));
    }
    let herself = matches!(
        &visit.caller().person,
        Person::Citizen {
            represents: None,
            ..
        }
    );
    let named =
        |one: &&Wish| one.holds(visit.now) && matches!(one.closed, Closed::Practitioner { .. });
    let shut_out = wishes.iter().filter(named).count() as u64;
    let facts = state.desk.facts.at(visit.now).with(wishes.clone());
    let asked = |organisation, agreement: Option<&Agreement>| {
        may_look(patient, organisation, agreement, &facts)
    };
    let list = List {
        state,
        members: &members,
        facts: &facts,
        kinds: &kinds,
        herself,
    };
    let answer = Told {
        holder: list.who(state.config.owner),
        as_of: visit.now.to_string(),
        held: kinds.held.clone(),
        shut_out: herself.then_some(shut_out),
        readers: list.readers(asked),
        processors: list.processors(),
    };
    visit.write(visit.record().permitted(&permit)).await?;
    Ok(fhir_response(StatusCode::OK, answer.to_json().to_string()))
}

/// What the list is made of.
struct List<'a> {
    state: &'a State,
    members: &'a Members,
    facts: &'a Facts,
    kinds: &'a Kinds,
    herself: bool,
}

impl List<'_> {
    /// The organisation's own people, members' in the order of their numbers, and others'.
    fn readers(
        &self,
        asked: impl Fn(OrganisationNumber, Option<&Agreement>) -> MayLook,
    ) -> Vec<Reader> {
        let owner = self.state.config.owner;
        let mut found: Vec<(u8, Reader)> = Vec::new();
        // Whoever is suspended at the anchor is not among them, and is given no token.
        for (participant, agreement) in self.members.readers(owner.as_str(), self.facts.now) {
            let Ok(organisation) = OrganisationNumber::parse(&participant.sub) else {
                continue;
            };
            let (place, ground, claim) = match agreement {
                _ if organisation == owner => (0, Ground::Own, None),
                _ if self.facts.is_own(&organisation) => (1, Ground::Register, None),
                Some(paper) => (2, Ground::Agreement(paper_of(paper)), Some(claim(paper))),
                None => continue,
            };
            let mut found_open = asked(organisation, claim.as_ref());
            if !self.herself {
                // What a block must be broken for would tell that she closed it.
                found_open.openings.retain(|one| !one.broken);
            }
            if self.herself || found_open.is_open() {
                found.push((place, self.reader(organisation, ground, found_open)));
            }
        }
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, reader)| reader).collect()
    }

    fn reader(&self, organisation: OrganisationNumber, ground: Ground, found: MayLook) -> Reader {
        let there = match found.own {
            true => &self.kinds.held,
            false => &self.kinds.published,
        };
        let opens = found.openings.into_iter().map(|one| Opens {
            ways: one.ways,
            services: one
                .services
                .into_iter()
                .filter(|kind| there.contains(kind))
                .collect(),
            since: one.since.map(|since| since.to_string()),
            without: one.without,
            broken: one.broken,
        });
        let shut = found.shut.into_iter().map(|one| Shut {
            ways: one.ways,
            code: one.refusal.code.to_owned(),
        });
        Reader {
            who: self.who(organisation),
            ground,
            opens: opens.collect(),
            shut: shut.filter(|_| self.herself).collect(),
        }
    }

    /// Suppliers that process for the organisation by an agreement in force.
    fn processors(&self) -> Vec<Processor> {
        let owner = self.state.config.owner;
        let papers = self.members.processing_for(owner.as_str(), self.facts.now);
        let processor = |paper: &&AgreementDocument| {
            let number = OrganisationNumber::parse(paper.processor.as_deref()?).ok()?;
            Some(Processor {
                who: self.who(number),
                paper: paper_of(paper),
            })
        };
        papers.iter().filter_map(processor).collect()
    }

    /// By the name that the anchor vouches for, else the one that is configured.
    fn who(&self, organisation: OrganisationNumber) -> Who {
        let vouched = self.members.participant(organisation.as_str());
        let vouched = vouched.map(|one| one.name.as_str());
        let name = vouched.or_else(|| self.state.config.register.name(&organisation));
        Who {
            organisation,
            name: name.map(str::to_owned),
        }
    }
}

fn paper_of(paper: &AgreementDocument) -> Paper {
    Paper {
        id: paper.sub.clone(),
        from: paper.from.clone(),
        until: paper.until.clone(),
    }
}

/// The agreement as the anchor puts it into tokens. A kind that is not known here opens nothing here.
fn claim(paper: &AgreementDocument) -> Agreement {
    let services = paper.services.iter();
    Agreement {
        id: paper.sub.clone(),
        version: u32::try_from(paper.version).unwrap_or(u32::MAX),
        services: services
            .filter_map(|code| InformationService::parse(code))
            .collect(),
    }
}
