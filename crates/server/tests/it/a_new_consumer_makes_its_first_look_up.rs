//! What docs/guide/first-look-up.md tells a developer to send, sent step by step: the guide's table is read and followed, so that a
//! step that is wrong, missing or new there fails here.

use crate::kit::lookup::{person, receipt};
use crate::kit::region;
use serde_json::Value;
use testkit::clients::{Caller, Reply};
use testkit::region::Region;
use wire::client::Request;
use wire::contract::gateway::CHANGES_RELATION;

const GUIDE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/guide/first-look-up.md"
);

/// Method and address of each step of the guide's table, in order.
fn steps() -> Vec<(String, String)> {
    let guide = std::fs::read_to_string(GUIDE).unwrap();
    let rows = guide.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        cells.next()?.parse::<u32>().ok()?;
        let request = cells.next()?.trim_matches('`');
        let (method, address) = request.split_once(' ')?;
        Some((method.to_owned(), address.to_owned()))
    });
    rows.collect()
}

/// A developer's program: a key, and what it has learnt so far.
struct Program<'a> {
    region: &'a Region,
    caller: Caller,
    token: Option<String>,
    searched: Option<Reply>,
    keys: Option<Value>,
}

#[tokio::test]
async fn every_step_of_the_guide_works_in_its_order() {
    let region = region::shared().await;
    let mut program = Program {
        region,
        caller: Caller::new().unwrap(),
        token: None,
        searched: None,
        keys: None,
    };
    let steps = steps();
    assert_eq!(steps.len(), 8, "{steps:?}");
    for (method, address) in steps {
        program.follow(&method, &address).await;
    }
}

impl Program<'_> {
    async fn follow(&mut self, method: &str, address: &str) {
        let ready = &self.region.ready;
        let gateway = self.region.gateway();
        let url = address
            .replace("{issuer}", &ready.issuer)
            .replace("{gateway}", gateway.trim_end_matches("/fhir"));
        let patient = self.region.story_patient().unwrap();
        let person = person(patient);
        match (method, address) {
            ("GET", "{issuer}/.well-known/openid-configuration") => {
                let reply = self.caller.send_bare(Request::get(url)).await.unwrap();
                assert_eq!(reply.json["issuer"], ready.issuer.as_str());
            }
            ("POST", "{issuer}/test-token") => {
                let who = self.region.physician().unwrap();
                let request = self.caller.as_practitioner(who, patient, &gateway);
                let token = self.caller.test_token(&ready.issuer, &request).await;
                self.token = Some(token.unwrap());
            }
            ("GET", "{gateway}/fhir/metadata") => {
                let reply = self.caller.send_bare(Request::get(url)).await.unwrap();
                assert_eq!(reply.json["resourceType"], "CapabilityStatement");
            }
            ("POST", "{gateway}/fhir/Observation/_search") => {
                let form = [("patient.identifier", person.as_str()), ("_count", "20")];
                let reply = self.send(Request::post_form(url, form)).await;
                assert!(!reply.matches().is_empty());
                assert!(receipt(&reply).sources.len() >= 3);
                self.searched = Some(reply);
            }
            ("GET", "{gateway}/jwks") => {
                let reply = self.caller.send_bare(Request::get(url)).await.unwrap();
                self.keys = Some(reply.json);
            }
            ("GET", "{gateway}/fhir/OperationOutcome/{receipt}") => {
                let id = receipt(self.searched()).id.unwrap();
                let reply = self.send(Request::get(url.replace("{receipt}", &id))).await;
                let keys = self.keys.as_ref().expect("step 5 came before");
                let keys = trust::keys::KeySet::from_value(keys).unwrap();
                wire::receipt::verify(&reply.json, &keys).unwrap();
            }
            ("POST", "{gateway}/fhir/Observation/$lastn") => {
                let form = [("patient.identifier", person.as_str()), ("max", "1")];
                let reply = self.send(Request::post_form(url, form)).await;
                assert!(reply.matches().len() > 3, "one of each kind");
            }
            ("GET", "{changes}") => {
                let links = self.searched().json["link"].as_array().unwrap();
                let link = links.iter().find(|one| one["relation"] == CHANGES_RELATION);
                let url = link.expect("a link to changes")["url"].as_str().unwrap();
                let reply = self.send(Request::get(url)).await;
                assert!(receipt(&reply).sources.len() >= 3);
            }
            other => panic!("the guide has a step that nobody follows: {other:?}"),
        }
    }

    fn searched(&self) -> &Reply {
        self.searched.as_ref().expect("step 4 came before")
    }

    async fn send(&self, request: Request) -> Reply {
        let token = self.token.as_deref().expect("step 2 came before");
        let reply = self.caller.send(token, request).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.json);
        reply
    }
}
