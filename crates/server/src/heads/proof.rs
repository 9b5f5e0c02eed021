//! What kept heads prove of a trail: those that are to be believed, what the witness knows besides, and where the two contradict
//! each other before the trail is even looked at.

use super::believed::{head, own};
use super::key;
use crate::config::Config;
use crate::{roles, surroundings};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use store::AuditHead;
use trust::jws::{self, Embedded};
use trust::keys::KeySet;
use wire::client::{Http, Party, Request};
use wire::contract::anchor::JWKS;
use wire::contract::witness::{
    HEADS_LIST, HEADS_QUESTION_TYP, HeadsQuestion, JOSE, PAGE, WITNESSED_TYP, WitnessedHead,
    WitnessedHeads,
};

/// What is asked for.
pub struct Wanted<'a> {
    /// The region's configuration: registered keys, the anchor, where heads are kept.
    pub config: &'a Config,
    /// Whose trail.
    pub owner: &'a str,
    /// Another folder of kept heads than the configured one: a copy that was brought from elsewhere.
    pub kept: Option<PathBuf>,
    /// Further public keys (a JWK set): of a client whose key was changed since.
    pub keys: Option<PathBuf>,
    /// The witness is not asked.
    pub offline: bool,
}

/// What was found.
pub struct Proof {
    /// Heads that the trail must agree with.
    pub heads: Vec<AuditHead>,
    /// What is wrong with the heads themselves, in words.
    pub faults: Vec<String>,
    /// How many of the heads the witness vouches for; none when it was not asked.
    pub witnessed: Option<usize>,
}

/// Gathers and verifies.
///
/// # Errors
/// Files that cannot be read; a witness that cannot be asked.
pub async fn prove(wanted: &Wanted<'_>) -> anyhow::Result<Proof> {
    let config = wanted.config;
    let folder = wanted.kept.clone().unwrap_or_else(|| config.heads_folder());
    let kept = super::read(&folder, wanted.owner)?;
    let speaks = config.client_file_of(wanted.owner);
    let party = speaks.map(|file| party(config, file)).transpose()?;
    let more = wanted.keys.as_deref().map(key_set).transpose()?;
    let registered = match &party {
        Some(party) => registered(config, party.client_id())?,
        None => key::public(&folder)?,
    };
    let client = party.as_ref().map(Party::client_id);
    let mut proof = own(&kept, wanted.owner, client, &registered, more.as_ref());
    if let Some(party) = party.filter(|_| !wanted.offline) {
        let told = witness(config, &party, wanted.owner).await.context(
            "the anchor could not be asked what it witnessed; --offline compares with the kept heads alone",
        )?;
        // What the witness once said it knew, it must still know.
        for said in kept.witnessed() {
            let still = told
                .iter()
                .any(|one| (one.sequence, &one.hash) == (said.sequence, &said.hash));
            if !still {
                let text = format!(
                    "the anchor once witnessed record {} and knows it no more: the witness was rolled back",
                    said.sequence
                );
                proof.faults.push(text);
            }
        }
        let heads: Vec<_> = told
            .iter()
            .filter_map(|one| head(one.sequence, &one.hash))
            .collect();
        proof.witnessed = Some(heads.len());
        proof.heads.extend(heads);
    }
    Ok(proof)
}

fn key_set(path: &Path) -> anyhow::Result<KeySet> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    KeySet::parse(&text).with_context(|| path.display().to_string())
}

/// The registered public keys of a client.
fn registered(config: &Config, client_id: &str) -> anyhow::Result<KeySet> {
    let mut clients = config.client.iter();
    let client = clients
        .find(|one| one.client_id == client_id)
        .with_context(|| format!("client {client_id} is not registered in this configuration"))?;
    let set = format!("{{\"keys\":[{}]}}", client.jwk);
    KeySet::parse(set.as_bytes()).with_context(|| format!("client {client_id}: jwk"))
}

fn party(config: &Config, file: &Path) -> anyhow::Result<Party> {
    let http = roles::outgoing(config)?;
    Party::from_file(file, http, surroundings::clock(), surroundings::ids())
        .with_context(|| file.display().to_string())
}

/// Everything the anchor witnessed of the trail, verified with its keys of now.
async fn witness(
    config: &Config,
    party: &Party,
    owner: &str,
) -> anyhow::Result<Vec<WitnessedHead>> {
    let (issuer, http) = (config.issuer(), roles::outgoing(config)?);
    let keys = anchor_keys(&issuer, &http).await?;
    let mut found: Vec<WitnessedHead> = Vec::new();
    loop {
        let question = HeadsQuestion {
            iss: party.client_id().to_owned(),
            aud: issuer.clone(),
            iat: surroundings::clock()().seconds(),
            owner: owner.to_owned(),
            after: found.last().map_or(0, |one| one.sequence),
        };
        let text = party.sign(HEADS_QUESTION_TYP, &serde_json::to_value(question)?)?;
        let request = Request::post(format!("{issuer}{HEADS_LIST}"), JOSE, text);
        let answer = http.send(&request).await?;
        if answer.status.as_u16() != 200 {
            bail!("it answered {}", answer.status);
        }
        let page = answer.json::<WitnessedHeads>()?.0;
        for text in &page {
            let compact = jws::parse(text, Embedded::Refused)?;
            compact.require_typ(WITNESSED_TYP)?;
            let said: WitnessedHead = serde_json::from_slice(compact.verify_with(&keys)?)?;
            let ours = said.owner == owner && said.sub == party.client_id();
            let onward = found
                .last()
                .is_none_or(|last| last.sequence < said.sequence);
            if !ours || !onward {
                bail!("its list is not of this trail, or not in order");
            }
            found.push(said);
        }
        if page.len() < PAGE {
            return Ok(found);
        }
    }
}

async fn anchor_keys(issuer: &str, http: &Http) -> anyhow::Result<KeySet> {
    let answer = http.send(&Request::get(format!("{issuer}{JWKS}"))).await?;
    KeySet::parse(&answer.body).context("the anchor's keys")
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
