//! One registered document: read strictly from its text, which is kept as it was signed.

use fhir::ids::OrganisationNumber;
use serde::de::DeserializeOwned;
use wire::contract::operate::Kind;
use wire::contract::register::{
    Agreement, Client, Collaboration, Delegation, Participant, ProcessingAgreement, Representation,
};

/// What a document says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Document {
    Participant(Participant),
    Client(Client),
    Agreement(Agreement),
    Delegation(Delegation),
    ProcessingAgreement(ProcessingAgreement),
    Collaboration(Collaboration),
    Representation(Representation),
}

/// A document in the register.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// Byte for byte as it was signed.
    pub(crate) text: String,
    /// Detached signatures over the text.
    pub(crate) signatures: Vec<String>,
    /// Organisations whose signature stood when it was let in.
    pub(crate) signed_by: Vec<String>,
    pub(crate) document: Document,
}

impl Held {
    /// Whose signature is missing; in force only when nobody's is.
    pub(crate) fn unsigned_by(&self) -> Vec<String> {
        let binds = self.document.binds();
        let missing = binds
            .into_iter()
            .filter(|orgnr| !self.signed_by.contains(orgnr));
        missing.collect()
    }

    pub(crate) fn is_signed(&self) -> bool {
        self.unsigned_by().is_empty()
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    // Duplicate members are one reader's trap for another: the strict parser refuses them.
    trust::json::object(text.as_bytes())
        .map_err(|_| "the document is not one strict JSON object".to_owned())?;
    serde_json::from_str(text).map_err(|error| {
        format!(
            "the document is not what the contract says, at line {} column {}",
            error.line(),
            error.column()
        )
    })
}

impl Document {
    /// Reads a document of a kind.
    pub(crate) fn parse(kind: Kind, text: &str) -> Result<Document, String> {
        match kind {
            Kind::Participant => read(text).map(Document::Participant),
            Kind::Client => read(text).map(Document::Client),
            Kind::Agreement => read(text).map(Document::Agreement),
            Kind::Delegation => read(text).map(Document::Delegation),
            Kind::ProcessingAgreement => read(text).map(Document::ProcessingAgreement),
            Kind::Collaboration => read(text).map(Document::Collaboration),
            Kind::Representation => read(text).map(Document::Representation),
            Kind::ClientKey => Err("a key is registered with its client".into()),
            Kind::SigningKey => Err("signing keys have addresses of their own".into()),
        }
    }

    /// Its own name.
    pub(crate) fn id(&self) -> &str {
        match self {
            Document::Participant(one) => &one.orgnr,
            Document::Client(one) => &one.client_id,
            Document::Agreement(one) => &one.id,
            Document::Delegation(one) => &one.id,
            Document::ProcessingAgreement(one) => &one.id,
            Document::Collaboration(one) => &one.id,
            Document::Representation(one) => &one.id,
        }
    }

    /// Organisations that must sign it before it is in force. Participants, clients and representations are the
    /// operator's own word.
    pub(crate) fn binds(&self) -> Vec<String> {
        let mut binds = match self {
            Document::Participant(_) | Document::Client(_) | Document::Representation(_) => {
                Vec::new()
            }
            Document::Agreement(one) => vec![one.consumer.clone(), one.provider.clone()],
            Document::Delegation(one) => vec![one.from.clone()],
            Document::ProcessingAgreement(one) => {
                vec![one.controller.clone(), one.processor.clone()]
            }
            Document::Collaboration(one) => one.members.clone(),
        };
        binds.sort();
        binds.dedup();
        binds
    }

    /// Every organisation that it names must take part; a participant's own number need only be one.
    pub(crate) fn names(&self) -> Result<Vec<OrganisationNumber>, String> {
        let mut names = self.binds();
        match self {
            Document::Client(one) => names.push(one.orgnr.clone()),
            Document::Delegation(one) => names.push(one.to.clone()),
            Document::Participant(one) => {
                organisation(&one.orgnr)?;
            }
            _ => {}
        }
        names.iter().map(|text| organisation(text)).collect()
    }
}

pub(crate) fn organisation(text: &str) -> Result<OrganisationNumber, String> {
    OrganisationNumber::parse(text)
        .map_err(|_| format!("`{}` is no organisation number", short(text)))
}

/// As much of foreign text as an answer repeats.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(20).collect()
}
