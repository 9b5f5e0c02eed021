//! A member is suspended at the anchor in the middle of a day, by the operator's command line: its look-ups stop, everybody
//! else's go on, and after it is resumed all is as before (DESIGN section 4; docs/guide/operation.md).

use crate::kit::lookup::{Screen, person, receipt, source};
use crate::kit::process::{Said, delt};
use crate::kit::region::{self, Own};
use testkit::clients::{Caller, Reply};
use testkit::region::Region;
use wire::contract::demo::{ClientUse, DemoPractitioner, Purpose, TestTokenRequest};
use wire::receipt::SourceState;

const FJELLVIK: &str = "310001007";
const SORLIA: &str = "310001422";

fn emergency_physician(region: &Region) -> &DemoPractitioner {
    let mut people = region.ready.practitioners.iter();
    people.find(|p| p.orgnr == SORLIA).expect("a physician")
}

fn request(region: &Region, caller: &Caller) -> TestTokenRequest {
    let (patient, who) = (region.story_patient().unwrap(), emergency_physician(region));
    let mut request = caller.as_practitioner(who, patient, &region.gateway());
    request.purpose = Purpose::Etreat;
    request
}

async fn screen(region: &Region) -> Screen {
    let gateway = region.gateway();
    Screen::with(region, &gateway, |caller| request(region, caller)).await
}

/// Fjellvik's state in the receipt, and how many matches there are.
async fn ask(region: &Region, screen: &Screen) -> (SourceState, usize) {
    let person = person(region.story_patient().unwrap());
    let form = [("patient.identifier", &*person), ("organization", FJELLVIK)];
    let reply: Reply = screen.search("Observation", &form).await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    let account = receipt(&reply);
    (source(&account, FJELLVIK).state, reply.matches().len())
}

/// The operator's command line: all it needs is where the anchor is, and a client file.
async fn operate(own: &Own, verb: &str, rest: &[&str]) -> Said {
    let config = own.folder.path().join("operator.toml");
    let text = format!(
        "roles = []\ndata = \".\"\n[listen]\naddress = \"127.0.0.1:1\"\n[network]\nallow = [\"127.0.0.0/8\"]\n[anchor]\nbase = \"{}\"\n",
        own.region.ready.issuer
    );
    std::fs::write(&config, text).unwrap();
    let file = own.region.data().join("keys/delt-operator.json");
    let (config, file) = (config.to_str().unwrap(), file.to_str().unwrap());
    let access = ["anchor", verb, "--config", config, "--client-file", file];
    delt(&[&access, rest].concat()).await
}

async fn order(own: &Own, verb: &str) -> Said {
    let rest = ["--reason", "nøkkelen er på avveie", "participant", SORLIA];
    let said = operate(own, verb, &rest).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    said
}

#[tokio::test]
async fn its_look_ups_stop_everybody_elses_go_on_and_come_back_with_it() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let (state, before) = ask(region, &screen(region).await).await;
    assert_eq!(state, SourceState::Complete);
    assert!(before > 0);
    // Signed in before, not asked yet.
    let waiting = screen(region).await;
    let record_system = region.party(ClientUse::RecordSystem, Some(SORLIA)).unwrap();

    let said = order(&own, "suspend").await;
    assert!(
        said.out.contains("suspend participant 310001422"),
        "{said:?}"
    );
    assert!(said.err.contains("5 minutes"), "{said:?}");
    assert_eq!(ask(region, &waiting).await, (SourceState::Refused, 0));
    let caller = Caller::new().unwrap();
    let token = request(region, &caller);
    assert!(
        caller
            .test_token(&region.ready.issuer, &token)
            .await
            .is_err()
    );
    let kyst = &region.service("kystregionen").unwrap().fhir;
    assert!(record_system.token(kyst, "system/*.rs").await.is_err());
    // The hospital's physician sees what she saw.
    let patient = region.story_patient().unwrap();
    let hospital = Screen::physician(region, patient).await;
    let reply = hospital.search_for(patient, "Observation", &[]).await;
    assert!(receipt(&reply).is_whole(), "{}", reply.json);

    order(&own, "resume").await;
    let (state, after) = ask(region, &screen(region).await).await;
    assert_eq!((state, after), (SourceState::Complete, before));
    assert!(record_system.token(kyst, "system/*.rs").await.is_ok());

    let twice = operate(
        &own,
        "resume",
        &["--reason", "igjen", "participant", SORLIA],
    )
    .await;
    assert_eq!(twice.code, Some(1));
    assert!(twice.err.contains("not suspended"), "{twice:?}");
    let unknown = operate(&own, "suspend", &["--reason", "?", "client", "finnes-ikke"]).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("nothing was changed"), "{unknown:?}");
    let rotated = operate(&own, "rotate-key", &["--reason", "årlig"]).await;
    assert!(rotated.out.contains("publish signing-key"), "{rotated:?}");
    let said = operate(&own, "changes", &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 3, "{said:?}");
    assert!(lines.iter().all(|line| line.contains("by delt-operator")));
}
