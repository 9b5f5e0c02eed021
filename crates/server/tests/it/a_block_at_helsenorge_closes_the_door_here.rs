//! A patient closes her record at Helsenorge (Personvernkomponenten): from the next replication the hospital's own service is shut
//! to its own physician, who is told where it was closed; she sees it in her list with its source; and what she closes here
//! herself stands when the one at Helsenorge ends (issue 4, item 4).

use crate::kit::apart::{Apart, PROVEHEIM};
use crate::kit::lookup::{FNR, WEIGHT};
use crate::kit::reading::Weight;
use crate::kit::wait::until;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use testkit::clients::{Caller, Reply, now};
use testkit::feed::Feed;
use testkit::issuer::{Issuer, SystemClient};
use testkit::people::Directory;
use testkit::privacy_component::{AUDIENCE, PrivacyComponent, SCOPE};
use trust::ClientUse;
use trust::token::Claims;
use wire::client::Request;
use wire::contract::pvk::ACCESS_LIMITATION;

const PARTS: [(&str, &[&str]); 2] = [
    ("anchor", &["anchor"]),
    ("proveheim", &["sharing:proveheim"]),
];
const DEFINITION: &str = "2c11f0ca-7270-43f1-a473-000000000001";

/// Adds the replication to the hospital's service in its configuration file.
fn replicating(region: &Apart, component: &PrivacyComponent, helseid: &Issuer) {
    let client = SystemClient {
        client_id: "proveheim-pvk",
        use_: ClientUse::Service,
        orgnr: PROVEHEIM,
    };
    let file = helseid.client_file(client, AUDIENCE).unwrap();
    let path = region.folder().join("keys/pvk.json");
    std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let settings = format!(
        r#"
[service.pvk]
url = "{}"
client_file = "keys/pvk.json"
audience = "{AUDIENCE}"
scope = "{SCOPE}"
part = "proveheim"
every_seconds = 1
max_age_minutes = 5

[[service.pvk.definition]]
id = "{DEFINITION}"
kind = "access-limitation"

[[service]]
id = "fjellvik"
"#,
        component.base()
    );
    let place = "[[service]]\nid = \"fjellvik\"\n";
    let config = region.config("proveheim");
    let text = std::fs::read_to_string(&config).unwrap();
    assert_eq!(text.matches(place).count(), 1);
    std::fs::write(&config, text.replace(place, &settings)).unwrap();
}

/// Somebody with a token for the hospital's service, signed with the anchor's own key as after a sign-in.
struct Person {
    caller: Caller,
    token: String,
    base: String,
}

impl Person {
    async fn at(region: &Apart, claims: impl FnOnce(&Issuer, &str, &str) -> Claims) -> Person {
        let (caller, base) = (Caller::new().unwrap(), region.base("sharing:proveheim"));
        let shape = Issuer::start().await.unwrap();
        let mut claims = claims(&shape, &base, caller.jkt());
        claims.iss = region.base("anchor");
        let file = region.data("anchor").join("anchor/signing-key.json");
        let key = std::fs::read_to_string(file).unwrap();
        let key = trust::keys::SigningKey::from_jwk(key.trim()).unwrap();
        Person {
            token: trust::token::issue(&claims, &key).unwrap(),
            caller,
            base,
        }
    }

    async fn physician(region: &Apart) -> Person {
        let people = Directory::demo();
        let who = people.practitioner("lung-physician").unwrap();
        let patient = people.story_patient();
        Person::at(region, |shape, base, jkt| {
            let claims = shape.practitioner_claims(who, PROVEHEIM, patient, base, jkt, now());
            claims.unwrap()
        })
        .await
    }

    async fn patient(region: &Apart) -> Person {
        let people = Directory::demo();
        Person::at(region, |shape, base, jkt| {
            let mut claims = shape.citizen_claims(people.story_patient(), base, jkt, now());
            claims.scope = "patient/*.rs patient/Consent.cruds".to_owned();
            claims
        })
        .await
    }

    async fn search(&self, resource: &str, form: &[(&str, &str)]) -> Reply {
        let found = self.caller.search(&self.token, &self.base, resource, form);
        found.await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        let request = Request::post_fhir(format!("{}/{path}", self.base), body.to_string());
        self.caller.send(&self.token, request).await.unwrap()
    }

    async fn looks(&self) -> Reply {
        let person = format!("{FNR}|{}", Directory::demo().story_patient().number);
        let form = [("patient.identifier", person.as_str()), ("code", WEIGHT)];
        self.search("Observation", &form).await
    }
}

/// The word that a refusal gives to programs.
fn word(reply: &Reply) -> &str {
    let details = &reply.json["issue"][0]["details"];
    details["coding"][0]["code"].as_str().unwrap_or_default()
}

fn everything(number: &str) -> Value {
    let code = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    json!({
        "resourceType": "Consent", "status": "active",
        "scope": code("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [code("http://loinc.org", "59284-0")],
        "patient": {"identifier": {"system": FNR, "value": number}},
        "policyRule": code("http://hl7.no/fhir/CodeSystem/no-basis-legal-formality-or-basis", "PBRL5-3"),
        "provision": {"type": "deny"},
    })
}

#[tokio::test]
async fn from_the_next_replication_it_is_closed_and_everybody_concerned_is_told_where() {
    let helseid = Issuer::start().await.unwrap();
    let component = PrivacyComponent::start(helseid.clone()).await.unwrap();
    component.define(DEFINITION, ACCESS_LIMITATION);
    let region = Apart::new(&PARTS, "").await;
    replicating(&region, &component, &helseid);
    let anchor = region.start("anchor").await;
    let service = region.start("proveheim").await;
    let number = Directory::demo().story_patient().number.clone();
    let base = region.base("sharing:proveheim");
    let feed = Feed::new(region.party("epj-proveheim"), "proveheim", &base);
    feed.create("Observation", Weight::of(&number).json())
        .await
        .unwrap();
    let physician = Person::physician(&region).await;
    let ragnhild = Person::patient(&region).await;
    let seen = until("the physician sees the reading", async || {
        let reply = physician.looks().await;
        (reply.status == 200).then_some(reply)
    })
    .await;
    assert_eq!(seen.matches().len(), 1);

    // She closes it at Helsenorge.
    component.set(DEFINITION, &number, true);
    let refused = until("the door is shut", async || {
        let reply = physician.looks().await;
        (reply.status == 403).then_some(reply)
    })
    .await;
    assert_eq!(word(&refused), "blocked_at_helsenorge");

    // Why, in plain words: to the physician's organisation and to her.
    let id = refused.headers["x-request-id"].to_str().unwrap();
    let ask = json!({"resourceType": "Parameters", "parameter": [{"name": "request", "valueString": id}]});
    for who in [&physician, &ragnhild] {
        let told = who.post("$explain-access", &ask).await;
        assert_eq!(told.status, 200, "{}", told.json);
        let words = told.json.to_string();
        assert!(
            words.contains("sperret opplysningene på Helsenorge")
                && words.contains("at Helsenorge")
        );
    }

    // Her list says where it was made, and here it is not taken back.
    let list = ragnhild.search("Consent", &[]).await;
    let [theirs] = &list.matches()[..] else {
        panic!("{}", list.json);
    };
    assert!(
        theirs["meta"]["source"]
            .as_str()
            .unwrap()
            .ends_with("/personvernkomponenten")
    );
    let place = format!("{base}/Consent/{}", theirs["id"].as_str().unwrap());
    let request = Request::new(http::Method::DELETE, place);
    let reply = ragnhild
        .caller
        .send(&ragnhild.token, request)
        .await
        .unwrap();
    assert_eq!(reply.status, 409, "{}", reply.json);

    // Her own, made here, stands when the other ends there.
    let made = ragnhild.post("Consent", &everything(&number)).await;
    assert_eq!(made.status, 201, "{}", made.json);
    component.set(DEFINITION, &number, false);
    let list = until("the one at Helsenorge has ended here", async || {
        let list = ragnhild.search("Consent", &[]).await;
        (list.matches().len() == 1).then_some(list)
    })
    .await;
    assert_eq!(list.matches()[0]["id"], made.json["id"]);
    let reply = physician.looks().await;
    assert_eq!((reply.status.as_u16(), word(&reply)), (403, "blocked"));

    for (part, serving) in [("anchor", anchor), ("proveheim", service)] {
        assert!(
            !serving.said().contains("panic"),
            "{part}: {}",
            serving.said()
        );
        assert!(!serving.said().contains(&number), "{part} names nobody");
        assert!(serving.stop().await.success(), "{part}");
    }
}
