//! Looking up as people do: a token for this patient at this address, one question, an answer kept whole.

use serde_json::Value;
use serde_json::value::RawValue;
use testkit::clients::{Caller, Reply};
use testkit::region::Region;
use wire::client::{PeerError, Request};
use wire::contract::demo::{DemoPatient, DemoPractitioner, TestTokenRequest};
use wire::contract::gateway::ROUTE_EXTENSION;
use wire::receipt::{Receipt, SourceReport, SourceState};

/// System of fødselsnummer.
pub const FNR: &str = "urn:oid:2.16.578.1.12.4.1.4.1";
/// Body weight.
pub const WEIGHT: &str = "http://loinc.org|29463-7";

/// A person at a screen: a key and a token for one audience.
pub struct Screen {
    caller: Caller,
    token: String,
    /// Where it asks.
    pub base: String,
}

impl Screen {
    /// The hospital physician of the story, about `patient`, at the gateway.
    pub async fn physician(region: &Region, patient: &DemoPatient) -> Screen {
        Screen::of(
            region,
            region.physician().unwrap(),
            patient,
            &region.gateway(),
        )
        .await
    }

    /// A practitioner, about `patient`, at `audience`.
    pub async fn of(
        region: &Region,
        who: &DemoPractitioner,
        patient: &DemoPatient,
        audience: &str,
    ) -> Screen {
        Screen::with(region, audience, |caller| {
            caller.as_practitioner(who, patient, audience)
        })
        .await
    }

    /// The patient herself.
    pub async fn citizen(region: &Region, patient: &DemoPatient, audience: &str) -> Screen {
        Screen::with(region, audience, |caller| {
            caller.as_citizen(patient, audience)
        })
        .await
    }

    /// Whatever test token the story asks for.
    pub async fn with(
        region: &Region,
        audience: &str,
        request: impl FnOnce(&Caller) -> TestTokenRequest,
    ) -> Screen {
        let caller = region.caller().unwrap();
        let token = caller
            .test_token(&region.ready.issuer, &request(&caller))
            .await
            .expect("a test token");
        Screen {
            caller,
            token,
            base: audience.to_owned(),
        }
    }

    /// What its holder says of a version of a Task, signed by her.
    pub fn says(&self, of: (&str, u64), words: &str) -> String {
        self.caller.says(of, words).unwrap()
    }

    /// `POST {base}/{type}/_search`.
    pub async fn search(&self, resource_type: &str, form: &[(&str, &str)]) -> Reply {
        self.caller
            .search(&self.token, &self.base, resource_type, form)
            .await
            .expect("an answer")
    }

    /// The same with the patient named.
    pub async fn search_for(
        &self,
        patient: &DemoPatient,
        resource_type: &str,
        form: &[(&str, &str)],
    ) -> Reply {
        let person = person(patient);
        self.search(
            resource_type,
            &[&[("patient.identifier", person.as_str())], form].concat(),
        )
        .await
    }

    /// A search that names the patient, where no answer may come.
    pub async fn asks(
        &self,
        patient: &DemoPatient,
        resource_type: &str,
    ) -> Result<Reply, PeerError> {
        let person = person(patient);
        let form = [("patient.identifier", person.as_str())];
        let asked = self
            .caller
            .search(&self.token, &self.base, resource_type, &form);
        asked.await
    }

    /// GET of an absolute URL.
    pub async fn get(&self, url: &str) -> Reply {
        self.caller.get(&self.token, url).await.expect("an answer")
    }

    /// Any request.
    pub async fn send(&self, request: Request) -> Reply {
        self.caller
            .send(&self.token, request)
            .await
            .expect("an answer")
    }

    /// Every match of a search, page by page to the last.
    pub async fn all(
        &self,
        patient: &DemoPatient,
        resource_type: &str,
        form: &[(&str, &str)],
    ) -> Vec<Value> {
        let mut reply = self
            .search_for(
                patient,
                resource_type,
                &[&[("_count", "200")], form].concat(),
            )
            .await;
        let mut found = Vec::new();
        loop {
            assert_eq!(reply.status, 200, "{}", reply.json);
            found.extend(reply.matches().into_iter().cloned());
            match next(&reply.json) {
                Some(url) => reply = self.get(&url).await,
                None => return found,
            }
        }
    }
}

/// `system|number` of a patient.
pub fn person(patient: &DemoPatient) -> String {
    format!("{FNR}|{}", patient.fnr.expose())
}

/// The next page's address.
fn next(bundle: &Value) -> Option<String> {
    let links = bundle["link"].as_array()?;
    links
        .iter()
        .find(|link| link["relation"] == "next")
        .map(|link| link["url"].as_str().unwrap().to_owned())
}

/// The first business identifier's value.
pub fn identifier(resource: &Value) -> &str {
    resource["identifier"][0]["value"]
        .as_str()
        .unwrap_or_default()
}

/// A match of a gateway's searchset: the resource's own bytes, and the organisations it came by.
pub struct Found {
    /// Business identifier.
    pub identifier: String,
    /// The resource as text.
    pub text: String,
    /// Organisation numbers of its routes.
    pub routes: Vec<String>,
}

/// The matches of a page.
pub fn found(reply: &Reply) -> Vec<Found> {
    #[derive(serde::Deserialize)]
    struct Bundle {
        #[serde(default)]
        entry: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        #[serde(default)]
        extension: Vec<Value>,
        resource: Box<RawValue>,
        search: Value,
    }
    let bundle: Bundle = serde_json::from_slice(&reply.body).unwrap();
    let matches = bundle
        .entry
        .into_iter()
        .filter(|entry| entry.search["mode"] == "match");
    let read = |entry: Entry| {
        let text = entry.resource.get().to_owned();
        let resource: Value = serde_json::from_str(&text).unwrap();
        Found {
            identifier: identifier(&resource).to_owned(),
            text,
            routes: routes(&entry.extension),
        }
    };
    matches.map(read).collect()
}

/// Finds a match by its business identifier.
pub fn find(reply: &Reply, wanted: &str) -> Option<Found> {
    found(reply)
        .into_iter()
        .find(|one| one.identifier == wanted)
}

fn routes(extensions: &[Value]) -> Vec<String> {
    let roads = extensions.iter().filter(|e| e["url"] == ROUTE_EXTENSION);
    let parts = roads.flat_map(|road| road["extension"].as_array().unwrap());
    parts
        .filter(|part| part["url"] == "organisation")
        .map(|part| {
            part["valueIdentifier"]["value"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// The completeness receipt of an answer; where nobody answered, the whole answer is one.
pub fn receipt(reply: &Reply) -> Receipt {
    Receipt::find(&reply.json)
        .or_else(|| Receipt::read(&reply.json).ok())
        .unwrap_or_else(|| panic!("no receipt in an answer {}: {}", reply.status, reply.json))
}

/// What became of one organisation's service.
pub fn source<'a>(receipt: &'a Receipt, organisation: &str) -> &'a SourceReport {
    let found = receipt
        .sources
        .iter()
        .find(|source| source.organisation == organisation);
    found.unwrap_or_else(|| panic!("{organisation} is not in the receipt {:?}", receipt.sources))
}

/// The state of every source, by organisation number.
pub fn states(receipt: &Receipt) -> Vec<(&str, SourceState)> {
    receipt
        .sources
        .iter()
        .map(|source| (source.organisation.as_str(), source.state))
        .collect()
}

/// Request id of an answer.
pub fn request_id(reply: &Reply) -> String {
    reply
        .headers
        .get(wire::contract::REQUEST_ID_HEADER)
        .expect("a request id")
        .to_str()
        .unwrap()
        .to_owned()
}
