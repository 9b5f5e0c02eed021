//! The configuration and what was registered by orders, as one.

use super::document::{Document, Held, organisation};
use super::{Book, Law};
use crate::config::{
    Agreement, Client, Config, Consumer, Delegation, Paper, Participant, Unit, gateway_of,
};
use crate::operate::Standings;
use fhir::ids::OrganisationNumber;
use fhir::resource::InformationService;
use trust::keys::KeySet;
use wire::contract::anchor::AgreementKind;
use wire::contract::operate::{Kind, Standing};
use wire::contract::register::Registered;

/// The configuration with every registered document in the place of its older self. One that lacks a signature is
/// published and opens nothing.
///
/// # Errors
/// What is wrong with a document, or what the law says against the whole, in words.
pub(crate) fn merged(
    base: &Config,
    book: &Book,
    standings: &Standings,
) -> Result<Config, Vec<String>> {
    let mut config = base.clone();
    let mut counts = Registered::default();
    for held in book.all() {
        let wrong = |text: String| vec![format!("{}: {text}", held.id)];
        put(&mut config, held).map_err(wrong)?;
        let stands = standings.of(held.kind, &held.id, None).state != Standing::Ended;
        if held.is_signed() && stands {
            count(&mut counts, &held.document);
        }
    }
    match &base.law {
        Some(Law(law)) => Some(law(&counts))
            .filter(|said| !said.is_empty())
            .map_or(Ok(config), Err),
        None => Ok(config),
    }
}

fn count(counts: &mut Registered, document: &Document) {
    match document.clone() {
        Document::Participant(one) => counts.participants.push(one),
        Document::Client(one) => counts.clients.push(one),
        Document::Agreement(one) => counts.agreements.push(one),
        Document::Delegation(one) => counts.delegations.push(one),
        Document::ProcessingAgreement(one) => counts.processing_agreements.push(one),
        Document::Collaboration(one) => counts.collaborations.push(one),
        // The law that is asked is about organisations.
        Document::Representation(_) => {}
    }
}

/// Puts one thing in the place of the one with its id, or behind the others.
fn place<T>(list: &mut Vec<T>, one: T, same: impl Fn(&T) -> bool) {
    match list.iter_mut().find(|held| same(held)) {
        Some(held) => *held = one,
        None => list.push(one),
    }
}

fn put(config: &mut Config, held: &Held) -> Result<(), String> {
    let signed = held.is_signed();
    match &held.document {
        Document::Participant(one) => {
            let orgnr = organisation(&one.orgnr)?;
            let version = config
                .participants
                .iter()
                .find(|had| had.orgnr == orgnr)
                .map_or(0, |had| had.version);
            let unit = |unit: &wire::contract::register::Unit| {
                if unit.orgnr.is_none() && unit.resh.is_none() {
                    return Err("a unit has an organisation number or a RESH id".to_owned());
                }
                Ok(Unit {
                    orgnr: unit.orgnr.as_deref().map(organisation).transpose()?,
                    resh: unit.resh.clone(),
                    name: unit.name.clone(),
                })
            };
            let participant = Participant {
                orgnr,
                name: one.name.clone(),
                version,
                units: one.units.iter().map(unit).collect::<Result<_, _>>()?,
                keys: key_set(&one.keys)?,
                contacts: one.contacts.clone(),
            };
            place(&mut config.participants, participant, |had| {
                had.orgnr == orgnr
            });
        }
        Document::Client(one) => {
            // Registered by its main unit.
            let own_audience = gateway_of(&config.audiences, organisation(&one.orgnr)?);
            let client = Client::read(one, own_audience)?;
            place(&mut config.clients, client, |had| {
                had.client_id == one.client_id
            });
        }
        Document::Agreement(one) => {
            let version = config
                .agreements
                .iter()
                .find(|had| had.id == one.id)
                .map_or(0, |had| had.version);
            let agreement = Agreement {
                id: one.id.clone(),
                version,
                consumer: Consumer::Organisation(organisation(&one.consumer)?),
                provider: organisation(&one.provider)?,
                services: services(&one.services)?,
                from: one.from.clone(),
                to: one.to.clone(),
                signed,
            };
            place(&mut config.agreements, agreement, |had| had.id == one.id);
        }
        Document::Delegation(one) => {
            let version = config
                .delegations
                .iter()
                .find(|had| had.id == one.id)
                .map_or(0, |had| had.version);
            let delegation = Delegation {
                id: one.id.clone(),
                version,
                from: organisation(&one.from)?,
                to: organisation(&one.to)?,
                from_day: one.from_day.clone(),
                to_day: one.to_day.clone(),
                signed,
            };
            place(&mut config.delegations, delegation, |had| had.id == one.id);
        }
        Document::ProcessingAgreement(one) => {
            let paper = Paper {
                kind: AgreementKind::DataProcessing,
                parties: vec![organisation(&one.controller)?],
                processor: Some(organisation(&one.processor)?),
                until: one.until.clone(),
                ..paper(config, held, &one.date)
            };
            place(&mut config.papers, paper, |had| had.id == one.id);
        }
        Document::Collaboration(one) => {
            let members: Result<Vec<_>, _> =
                one.members.iter().map(|text| organisation(text)).collect();
            let paper = Paper {
                kind: one.kind(),
                parties: members?,
                until: one.until.clone(),
                ..paper(config, held, &one.date)
            };
            place(&mut config.papers, paper, |had| had.id == one.id);
        }
        // Read when somebody signs in, by the day; here it is only seen to that it can be.
        Document::Representation(one) => {
            super::representation::read(one, &config.zone)?;
        }
    }
    Ok(())
}

/// A paper with what every kind has.
fn paper(config: &Config, held: &Held, date: &str) -> Paper {
    let had = config.papers.iter().find(|had| had.id == held.id);
    Paper {
        id: held.id.clone(),
        version: had.map_or(0, |had| had.version),
        kind: AgreementKind::DataProcessing,
        parties: Vec::new(),
        processor: None,
        services: had.map(|had| had.services.clone()).unwrap_or_default(),
        from: date.to_owned(),
        until: None,
        signed: held.is_signed(),
    }
}

fn key_set(keys: &[serde_json::Value]) -> Result<KeySet, String> {
    KeySet::from_value(&serde_json::json!({ "keys": keys }))
        .map_err(|error| format!("keys: {error}"))
}

pub(super) fn services(names: &[String]) -> Result<Vec<InformationService>, String> {
    let read = |name: &String| {
        InformationService::parse(name)
            .ok_or_else(|| "a service is no information service".to_owned())
    };
    names.iter().map(read).collect()
}

/// The version that the next order about a thing must expect; 0 when there is none.
pub(crate) fn version(base: &Config, standings: &Standings, kind: Kind, id: &str) -> u64 {
    let orgnr = OrganisationNumber::parse(id).ok();
    let configured = match kind {
        Kind::Participant => base
            .participants
            .iter()
            .find(|one| Some(one.orgnr) == orgnr)
            .map(|one| one.version),
        Kind::Client => base
            .clients
            .iter()
            .find(|one| one.client_id == id)
            .map(|_| 1),
        Kind::Agreement => base
            .agreements
            .iter()
            .find(|one| one.id == id)
            .map(|one| u64::from(one.version)),
        Kind::Delegation => base
            .delegations
            .iter()
            .find(|one| one.id == id)
            .map(|one| u64::from(one.version)),
        Kind::ProcessingAgreement | Kind::Collaboration => base
            .papers
            .iter()
            .find(|one| one.id == id)
            .map(|one| one.version),
        Kind::Representation | Kind::ClientKey | Kind::SigningKey => None,
    };
    configured.unwrap_or(0) + u64::from(standings.of(kind, id, None).changes)
}
