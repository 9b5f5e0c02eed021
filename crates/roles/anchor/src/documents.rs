//! Participants and agreements as signed, versioned documents, so that a member can verify another from the anchor's key
//! alone (the step towards OpenID Federation 1.0 is then small).

use crate::config::{Agreement, Config, Consumer, Paper, Participant};
use fhir::ids::OrganisationNumber;
use fhir::resource::InformationService;
use serde::Serialize;
use trust::jws;
use trust::keys::{KeyError, SigningKey};
use wire::contract::anchor::{
    AGREEMENT_TYP, AgreementDocument, AgreementKind, PARTICIPANT_TYP,
    Participant as ParticipantDocument, SignedDocuments,
};

/// An agreement's claims with its direction, which `parties` alone does not tell.
#[derive(Serialize)]
struct Directed {
    #[serde(flatten)]
    document: AgreementDocument,
    /// Organisation number, or `*members`.
    consumer: String,
    /// Organisation number.
    provider: String,
}

fn sign<T: Serialize>(typ: &str, claims: &T, key: &SigningKey) -> Result<String, KeyError> {
    // The documents are plain text and numbers; they always have a JSON form.
    let claims = serde_json::to_value(claims).map_err(|_| KeyError::Malformed)?;
    jws::sign(typ, &claims, key)
}

fn text<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// One document a participant. `iat` is Unix seconds.
pub(crate) fn participants(
    config: &Config,
    iat: i64,
    key: &SigningKey,
) -> Result<SignedDocuments, KeyError> {
    let document = |one: &Participant| ParticipantDocument {
        iss: config.issuer.clone(),
        sub: one.orgnr.to_string(),
        iat,
        name: one.name.clone(),
        version: one.version,
        units: one
            .units
            .iter()
            .filter_map(|unit| unit.orgnr.map(|orgnr| orgnr.to_string()))
            .collect(),
    };
    let signed = config
        .participants
        .iter()
        .map(|one| sign(PARTICIPANT_TYP, &document(one), key));
    signed.collect::<Result<_, _>>().map(SignedDocuments)
}

/// One document an agreement or paper.
pub(crate) fn agreements(
    config: &Config,
    iat: i64,
    key: &SigningKey,
) -> Result<SignedDocuments, KeyError> {
    let mut signed = Vec::new();
    for one in &config.agreements {
        signed.push(sign(AGREEMENT_TYP, &sharing(one, config, iat), key)?);
    }
    for one in &config.papers {
        signed.push(sign(AGREEMENT_TYP, &paper(one, config, iat), key)?);
    }
    Ok(SignedDocuments(signed))
}

fn sharing(one: &Agreement, config: &Config, iat: i64) -> Directed {
    let (consumer, mut parties) = match one.consumer {
        Consumer::Organisation(consumer) => (consumer.to_string(), vec![consumer]),
        Consumer::Members => (
            "*members".to_owned(),
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
    let document = AgreementDocument {
        iss: config.issuer.clone(),
        sub: one.id.clone(),
        iat,
        version: u64::from(one.version),
        kind: AgreementKind::DataSharing,
        parties: text::<OrganisationNumber>(&parties),
        processor: None,
        services: text::<InformationService>(&one.services),
        from: one.from.clone(),
        until: one.to.clone(),
    };
    Directed {
        document,
        consumer,
        provider: one.provider.to_string(),
    }
}

fn paper(one: &Paper, config: &Config, iat: i64) -> AgreementDocument {
    AgreementDocument {
        iss: config.issuer.clone(),
        sub: one.id.clone(),
        iat,
        version: one.version,
        kind: one.kind,
        parties: text(&one.parties),
        processor: one.processor.map(|orgnr| orgnr.to_string()),
        services: text(&one.services),
        from: one.from.clone(),
        until: one.until.clone(),
    }
}
