//! The hospital's lung physician in a region of `delt serve`. There is no test token outside the demo: the story, which owns the
//! anchor's folder, signs as the anchor would after a sign-in.

use std::path::Path;
use testkit::clients::{Caller, Reply, now};
use testkit::issuer::Issuer;
use testkit::people::Directory;
use wire::client::Request;

/// A physician with a token for the gateway, about the story's patient.
pub struct Physician {
    caller: Caller,
    token: String,
    gateway: String,
}

impl Physician {
    /// One at the organisation `at`, with a token that the key in this file has signed.
    pub async fn signed(key: &Path, issuer: &str, at: &str, gateway: String) -> Physician {
        let directory = Directory::demo();
        let caller = Caller::new().unwrap();
        let who = directory.practitioner("lung-physician").unwrap();
        let shape = Issuer::start().await.unwrap();
        let patient = directory.story_patient();
        let claims = shape.practitioner_claims(who, at, patient, &gateway, caller.jkt(), now());
        let mut claims = claims.unwrap();
        claims.iss = issuer.to_owned();
        let key = std::fs::read_to_string(key).unwrap();
        let key = trust::keys::SigningKey::from_jwk(key.trim()).unwrap();
        Physician {
            token: trust::token::issue(&claims, &key).unwrap(),
            caller,
            gateway,
        }
    }

    /// Searches for the story's patient at the organisations of these numbers; none: whom the locator names.
    pub async fn search_at(&self, chosen: &[&str], kind: &str, more: &[(&str, &str)]) -> Reply {
        let number = &Directory::demo().story_patient().number;
        let person = format!("{}|{number}", super::lookup::FNR);
        let organisations = chosen.join(",");
        let mut form = vec![("patient.identifier", person.as_str())];
        if !chosen.is_empty() {
            form.push(("organization", &organisations));
        }
        form.extend(more);
        let asked = self.caller.search(&self.token, &self.gateway, kind, &form);
        asked.await.expect("an answer")
    }

    /// Searches at all ten of [`super::wide::TEN`].
    pub async fn search(&self, kind: &str, more: &[(&str, &str)]) -> Reply {
        let all = super::wide::TEN.map(|(_, orgnr)| orgnr);
        self.search_at(&all, kind, more).await
    }

    /// Reads a receipt again.
    pub async fn receipt(&self, id: &str) -> Reply {
        let url = format!("{}/OperationOutcome/{id}", self.gateway);
        let asked = self.caller.send(&self.token, Request::get(url));
        asked.await.expect("an answer")
    }
}
