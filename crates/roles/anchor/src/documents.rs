//! Participants and agreements as signed, versioned documents, so that a member can verify another from the anchor's key
//! alone (the step towards OpenID Federation 1.0 is then small).

use crate::config::{Agreement, Config, Consumer, Paper, Participant};
use crate::operate::Standings;
use fhir::ids::OrganisationNumber;
use fhir::resource::InformationService;
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};
use trust::ClientUse;
use trust::jws;
use trust::keys::{KeyError, SigningKey};
use wire::contract::anchor::{
    AGREEMENT_TYP, AgreementDocument, AgreementKind, EVERY_MEMBER, PARTICIPANT_TYP,
    Participant as ParticipantDocument, SignedDocuments,
};
use wire::contract::operate::{Kind, Standing};

fn sign<T: Serialize>(typ: &str, claims: &T, key: &SigningKey) -> Result<String, KeyError> {
    // The documents are plain text and numbers; they always have a JSON form.
    let claims = serde_json::to_value(claims).map_err(|_| KeyError::Malformed)?;
    jws::sign(typ, &claims, key)
}

fn text<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// One document a participant. `iat` is Unix seconds.
fn participants(
    config: &Config,
    standings: &Standings,
    iat: i64,
    key: &SigningKey,
) -> Result<SignedDocuments, KeyError> {
    let entry = |one: &Participant| standings.of(Kind::Participant, &one.orgnr.to_string(), None);
    let document = |one: &Participant| ParticipantDocument {
        iss: config.issuer.clone(),
        sub: one.orgnr.to_string(),
        iat,
        name: one.name.clone(),
        version: one.version + u64::from(entry(one).changes),
        state: entry(one).state,
        units: one
            .units
            .iter()
            .filter_map(|unit| unit.orgnr.map(|orgnr| orgnr.to_string()))
            .collect(),
        keys: signing_keys(config, standings, one),
        contacts: one.contacts.clone(),
    };
    let signed = config
        .participants
        .iter()
        .map(|one| sign(PARTICIPANT_TYP, &document(one), key));
    signed.collect::<Result<_, _>>().map(SignedDocuments)
}

/// The keys with which a participant, its services and its gateways sign what others verify; those that are suspended are left out.
/// No client is named: whether one exists is not told.
fn signing_keys(
    config: &Config,
    standings: &Standings,
    of: &Participant,
) -> Vec<serde_json::Value> {
    let own = |orgnr: OrganisationNumber| {
        orgnr == of.orgnr || of.units.iter().any(|unit| unit.orgnr == Some(orgnr))
    };
    let mut seen = std::collections::HashSet::new();
    let clients = config.clients.iter().filter(|client| {
        own(client.orgnr)
            && matches!(client.use_, ClientUse::Service | ClientUse::Gateway)
            && standings.counts(Kind::Client, &client.client_id)
    });
    let keys = clients.flat_map(|client| {
        let keys = client.keys.keys().iter();
        keys.filter(|key| {
            let id = &client.client_id;
            let entry = standings.of(Kind::ClientKey, id, Some(key.thumbprint()));
            entry.state == Standing::Active
        })
    });
    let keys = of.keys.keys().iter().chain(keys);
    keys.filter(|key| seen.insert(key.thumbprint().to_owned()))
        .map(trust::keys::PublicKey::to_jwk)
        .collect()
}

/// One document an agreement or paper.
fn agreements(
    config: &Config,
    standings: &Standings,
    iat: i64,
    key: &SigningKey,
) -> Result<SignedDocuments, KeyError> {
    let mut signed = Vec::new();
    for one in &config.agreements {
        signed.push(sign(
            AGREEMENT_TYP,
            &sharing(one, config, standings, iat),
            key,
        )?);
    }
    for one in &config.papers {
        signed.push(sign(
            AGREEMENT_TYP,
            &paper(one, config, standings, iat),
            key,
        )?);
    }
    Ok(SignedDocuments(signed))
}

fn sharing(one: &Agreement, config: &Config, standings: &Standings, iat: i64) -> AgreementDocument {
    let (consumer, mut parties) = match one.consumer {
        Consumer::Organisation(consumer) => (consumer.to_string(), vec![consumer]),
        Consumer::Members => (
            EVERY_MEMBER.to_owned(),
            config
                .participants
                .iter()
                .map(|member| member.orgnr)
                .collect(),
        ),
    };
    if !parties.contains(&one.provider) {
        parties.push(one.provider);
    }
    let entry = standings.of(Kind::Agreement, &one.id, None);
    AgreementDocument {
        iss: config.issuer.clone(),
        sub: one.id.clone(),
        iat,
        version: u64::from(one.version) + u64::from(entry.changes),
        state: entry.state,
        signed: one.signed,
        kind: AgreementKind::DataSharing,
        parties: text::<OrganisationNumber>(&parties),
        consumer: Some(consumer),
        provider: Some(one.provider.to_string()),
        processor: None,
        services: text::<InformationService>(&one.services),
        from: one.from.clone(),
        until: one.to.clone(),
    }
}

fn paper(one: &Paper, config: &Config, standings: &Standings, iat: i64) -> AgreementDocument {
    let entry = standings.of(one.operated_as(), &one.id, None);
    AgreementDocument {
        iss: config.issuer.clone(),
        sub: one.id.clone(),
        iat,
        version: one.version + u64::from(entry.changes),
        state: entry.state,
        signed: one.signed,
        kind: one.kind,
        parties: text(&one.parties),
        consumer: None,
        provider: None,
        processor: one.processor.map(|orgnr| orgnr.to_string()),
        services: text(&one.services),
        from: one.from.clone(),
        until: one.until.clone(),
    }
}

/// Both lists as they stood after so many changes, under the key that signed then.
#[derive(Clone)]
pub(crate) struct Published {
    kid: String,
    /// How many registrations and changes there were.
    after: (u64, u64),
    pub(crate) participants: SignedDocuments,
    pub(crate) agreements: SignedDocuments,
}

/// The documents of now: signed anew only when something changed or another key signs.
#[derive(Default)]
pub(crate) struct Documents(Mutex<Option<Arc<Published>>>);

impl Documents {
    /// # Errors
    /// No randomness from the system.
    pub(crate) fn current(
        &self,
        config: &Config,
        edition: u64,
        standings: &Standings,
        iat: i64,
        key: &SigningKey,
    ) -> Result<Arc<Published>, KeyError> {
        let after = (edition, standings.count());
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = |one: &&Arc<Published>| one.kid == key.kid() && one.after == after;
        if let Some(published) = held.as_ref().filter(stands) {
            return Ok(published.clone());
        }
        let published = Arc::new(Published {
            kid: key.kid().to_owned(),
            after,
            participants: participants(config, standings, iat, key)?,
            agreements: agreements(config, standings, iat, key)?,
        });
        *held = Some(published.clone());
        Ok(published)
    }
}
