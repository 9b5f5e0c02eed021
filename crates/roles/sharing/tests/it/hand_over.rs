//! An alert changes hands between two services that speak over HTTP: whose it is at each moment, and what stands when one falls.

mod back;
mod crossing;
mod joined;
mod receiver;
mod reserved;

use http::StatusCode;
use serde_json::Value;
use sharing::{Config, Partner};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use testkit::clients::Reply;
use testkit::door::Held;
use testkit::issuer::{Issuer, SystemClient};
use testkit::people::Practitioner;
use testkit::surroundings::FixedClock;
use trust::{ClientUse, Interaction};
use wire::client::Party;
use wire::contract::alert::{MESSAGE_TYP, Message, Told, Word};
use wire::contract::anchor::Participant;
use wire::contract::operate::Standing;

use crate::alert::{kari, ola, personnel};
use crate::assess::plan;
use crate::house::*;

const MINUTE: i64 = 60_000_000;
const SCOPE: &str = "user/*.rs user/Task.u";

/// A service that listens.
struct Side {
    service: Service,
    config: Config,
    orgnr: &'static str,
    address: SocketAddr,
    party: Party,
    listening: tokio::task::JoinHandle<()>,
}

impl Side {
    fn partner(&self) -> Partner {
        Partner {
            organisation: org(self.orgnr),
            name: register().name(&org(self.orgnr)).unwrap().to_owned(),
            base: self.service.base.parse().unwrap(),
        }
    }

    /// Nobody answers there any more; what the service holds stands.
    async fn falls(&mut self) {
        self.listening.abort();
        let _ = (&mut self.listening).await;
    }

    async fn returns(&mut self) {
        let listener = tokio::net::TcpListener::bind(self.address).await.unwrap();
        self.listening = serve(listener, &self.service);
    }

    /// Its process, which has fallen, is gone with all that it remembered; another opens what rests.
    async fn restarted(self) -> Side {
        let config = self.config.clone();
        let mut side = Side {
            service: self.service.reopened(config).await,
            ..self
        };
        side.returns().await;
        side
    }

    /// It answers again, the next request with this status alone, and hears nothing of that one.
    async fn answers_once(&mut self, status: StatusCode) {
        self.answers_first(status, false).await;
    }

    /// It answers again, and hears the next request, but the answer is lost on the way.
    async fn loses_one_answer(&mut self) {
        self.answers_first(StatusCode::BAD_GATEWAY, true).await;
    }

    async fn answers_first(&mut self, status: StatusCode, hears: bool) {
        use std::sync::atomic::{AtomicBool, Ordering};
        self.falls().await;
        let listener = tokio::net::TcpListener::bind(self.address).await.unwrap();
        let first = Arc::new(AtomicBool::new(true));
        let layer = axum::middleware::from_fn(
            move |request: axum::extract::Request, next: axum::middleware::Next| {
                let first = first.clone();
                async move {
                    if first.swap(false, Ordering::SeqCst) {
                        if hears {
                            next.run(request).await;
                        }
                        return axum::response::IntoResponse::into_response(status);
                    }
                    next.run(request).await
                }
            },
        );
        let router = router(&self.service).layer(layer);
        self.listening = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
    }

    fn who(&self, who: &Practitioner) -> Held {
        personnel(&self.service, who, self.orgnr, SCOPE)
    }

    /// The newest alert as this side has it.
    async fn task(&self) -> Value {
        let owner = self.service.record_system(self.orgnr);
        let number = number(ragnhild());
        let form = [
            ("patient.identifier", number.as_str()),
            ("_sort", "-authored-on"),
        ];
        let reply = self.service.search(&owner, "Task", &form).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        let first = reply.matches().first().map(|one| (*one).clone());
        first.unwrap_or(Value::Null)
    }

    /// A step from the version that is there.
    async fn step(&self, who: &Practitioner, step: &str, form: &[(&str, &str)]) -> Reply {
        let task = self.task().await;
        let path = format!("/Task/{}/${step}", task["id"].as_str().unwrap());
        let version = task["meta"]["versionId"].as_str().unwrap();
        let knock = self.service.door.knock(http::Method::POST, &path);
        let knock = knock.header("if-match", &format!("W/\"{version}\""));
        let knock = knock
            .header("content-type", "application/x-www-form-urlencoded")
            .body(wire::form::write(form.iter().copied()));
        knock
            .by(&self.who(who), self.service.clock.now())
            .send()
            .await
    }

    async fn state(&self) -> String {
        let task = self.task().await;
        let code = &task["businessStatus"]["coding"][0]["code"];
        code.as_str().unwrap_or("none").to_owned()
    }

    /// Where each alert stands, in the order of their codes.
    async fn states(&self) -> Vec<String> {
        let owner = self.service.record_system(self.orgnr);
        let form = [("patient.identifier", number(ragnhild()))];
        let form: Vec<(&str, &str)> = form.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let reply = self.service.search(&owner, "Task", &form).await;
        let code = |one: &&Value| one["businessStatus"]["coding"][0]["code"].to_string();
        let mut states: Vec<String> = reply.matches().iter().map(code).collect();
        states.sort();
        states
    }

    /// The last that was said of it, and by whom.
    async fn last_note(&self) -> (String, String) {
        let task = self.task().await;
        let last = task["note"].as_array().unwrap().last().unwrap();
        let text = |name: &str| last[name].as_str().unwrap().to_owned();
        (text("authorString"), text("text"))
    }

    /// Keys and reasons of what was given up for another.
    async fn given_up(&self, other: &Side) -> Vec<(String, String)> {
        let name = format!("alert:{}", other.orgnr);
        let letters = self
            .service
            .state
            .store()
            .outbox_dead_letters(&name, None, 10);
        let letters = letters.await.unwrap().into_iter();
        letters.map(|one| (one.key, one.reason.unwrap())).collect()
    }

    async fn tells(&self, other: &Side) -> usize {
        let partner = other.partner();
        self.service.state.tell_waiting(&partner).await.unwrap()
    }
}

fn router(service: &Service) -> axum::Router {
    axum::Router::new().nest("/fhir", sharing::routes(service.state.clone()))
}

fn serve(listener: tokio::net::TcpListener, service: &Service) -> tokio::task::JoinHandle<()> {
    let router = router(service);
    tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    })
}

async fn both(enrols: bool) -> (Side, Side) {
    let (clock, issuer) = morning().await;
    both_by(&clock, &issuer, enrols, |_, _| {}).await
}

/// Day 3 at 09:10, and who vouches for everybody.
async fn morning() -> (FixedClock, Issuer) {
    let clock = FixedClock::at("2026-11-19T09:10:00+01:00".parse().unwrap());
    let issuer = Issuer::start_at(clock.clock()).await.unwrap();
    (clock, issuer)
}

/// Both sides, with something different about how the municipality's is configured.
async fn both_by(
    clock: &FixedClock,
    issuer: &Issuer,
    enrols: bool,
    change: impl Fn(&mut Config, &Path),
) -> (Side, Side) {
    let listen = || tokio::net::TcpListener::bind("127.0.0.1:0");
    let (first, second) = (listen().await.unwrap(), listen().await.unwrap());
    let base = |listener: &tokio::net::TcpListener| {
        format!("http://{}/fhir", listener.local_addr().unwrap())
    };
    let (one, other) = (base(&first), base(&second));
    let mut vouched = Vec::new();
    let mut sides = Vec::new();
    for (listener, id, orgnr, with, there) in [
        (first, "fjellvik", FJELLVIK, PROVEHEIM, &other),
        (second, "proveheim", PROVEHEIM, FJELLVIK, &one),
    ] {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let client = SystemClient {
            client_id: &format!("deling-{orgnr}"),
            use_: ClientUse::Service,
            orgnr,
        };
        let file = issuer.client_file(client, there).unwrap();
        let path = folder.path().join("client.json");
        std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let http = wire::client::Http::new(wire::client::Policy::loopback()).unwrap();
        let ids = testkit::surroundings::ids(1);
        let party = Party::from_file(&path, http, clock.clock(), ids).unwrap();
        vouched.push(Participant {
            iss: issuer.url().to_owned(),
            sub: orgnr.to_owned(),
            iat: 1,
            name: orgnr.to_owned(),
            version: 1,
            state: Standing::Active,
            units: Vec::new(),
            keys: party.public_keys()["keys"].as_array().unwrap().clone(),
            contacts: Vec::new(),
        });
        let mut config = config(folder.path(), issuer, id, orgnr, &[]);
        config.base = base(&listener).parse().unwrap();
        config.enrol = enrols || orgnr == FJELLVIK;
        config.client_file = Some(path);
        crate::assess::assesses(&mut config);
        config.hand_over = vec![Partner {
            organisation: org(with),
            name: register().name(&org(with)).unwrap().to_owned(),
            base: there.parse().unwrap(),
        }];
        if orgnr == FJELLVIK {
            change(&mut config, folder.path());
        }
        let address = listener.local_addr().unwrap();
        let kept = config.clone();
        let service = Service::open(folder, clock.clone(), issuer.clone(), config).await;
        sides.push(Side {
            config: kept,
            listening: serve(listener, &service),
            service,
            orgnr,
            address,
            party,
        });
    }
    issuer.vouch(&vouched, &[]).unwrap();
    let proveheim = sides.pop().unwrap();
    (sides.pop().unwrap(), proveheim)
}

/// Red, and the nurse has it.
async fn owned(fjellvik: &Side) {
    let plan = plan(ragnhild(), "1", ("2026-11-01", None), "84");
    fjellvik.service.created(&plan).await;
    let red = reading(ragnhild(), "red", "2026-11-19T08:26:00+01:00", "84");
    fjellvik.service.created(&red).await;
    fjellvik.service.state.assess_waiting().await.unwrap();
    let note = [("note", "Video 09:00")];
    let owned = fjellvik.step(&kari(), "own", &note).await;
    assert_eq!(owned.status, StatusCode::OK, "{}", owned.json);
}

/// The story's day 3 until 09:15: red, owned by the nurse, who hands it over.
async fn offered() -> (Side, Side) {
    offered_to(true).await
}

/// The same to a clinic that takes in whom it does not know yet, or only its own patients.
async fn offered_to(enrols: bool) -> (Side, Side) {
    let (fjellvik, proveheim) = both(enrols).await;
    owned(&fjellvik).await;
    let form = [("to", PROVEHEIM), ("note", "Respirasjon 24, våken")];
    let handed = fjellvik.step(&kari(), "hand-over", &form).await;
    assert_eq!(handed.status, StatusCode::OK, "{}", handed.json);
    assert_eq!(fjellvik.state().await, "handing-over");
    (fjellvik, proveheim)
}

#[tokio::test]
async fn day_3_it_is_the_nurses_until_the_clinic_accepts_and_the_clinics_though_the_municipality_falls()
 {
    let (mut fjellvik, proveheim) = offered().await;
    assert_eq!(proveheim.state().await, "none");
    assert_eq!(fjellvik.tells(&proveheim).await, 1);
    // Both have a Task of their own; it is still the nurse's.
    assert_eq!(
        (
            fjellvik.state().await.as_str(),
            proveheim.state().await.as_str()
        ),
        ("handing-over", "offered")
    );
    let came = proveheim.task().await;
    assert_eq!(came["requester"]["display"], "Fjellvik kommune");
    assert!(came.get("owner").is_none());
    let said: Vec<_> = came["note"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["text"])
        .collect();
    assert_eq!(said, ["Video 09:00", "Respirasjon 24, våken"]);
    let owner = proveheim.service.record_system(PROVEHEIM);
    let path = format!("/{}", came["focus"]["reference"].as_str().unwrap());
    let found = proveheim.service.get(&owner, &path).await.json;
    assert_eq!(
        (found["severity"].as_str(), found["detail"].as_str()),
        (Some("high"), Some("rød"))
    );
    // Readings are named where they are, with their version; nothing of them came along.
    let named = found["implicated"][0]["reference"].as_str().unwrap();
    assert!(
        named.starts_with(&fjellvik.service.base) && named.ends_with("/_history/1"),
        "{named}"
    );
    assert!(!found.to_string().contains("valueQuantity"));

    // It must be accepted before anything else is done; then the municipality's servers fall.
    let early = proveheim.step(&ola(), "own", &[]).await;
    assert_eq!(early.status, StatusCode::CONFLICT, "{}", early.json);
    fjellvik.falls().await;
    let accepted = proveheim.step(&ola(), "accept", &[]).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
    let mine = &accepted.json["owner"]["display"];
    assert_eq!(mine, "Ola Prøve, Prøveheim Diakonale Sykehus");
    assert_eq!(proveheim.tells(&fjellvik).await, 0);
    assert_eq!(proveheim.state().await, "owned");
    // They return, and hear of it once.
    fjellvik.returns().await;
    fjellvik.service.clock.advance(2 * MINUTE);
    assert_eq!(proveheim.tells(&fjellvik).await, 1);
    assert_eq!(fjellvik.state().await, "handed-over");
    let (author, text) = fjellvik.last_note().await;
    assert_eq!(author, "Ola Prøve, Prøveheim Diakonale Sykehus");
    assert_eq!(text, "Tatt imot");
    // Both sides have it on record.
    for (side, said) in [(&proveheim, "offer"), (&fjellvik, "accept")] {
        let record = side.service.last_record_of(Interaction::AlertTold).await;
        assert!(record.asked.contains(said), "{}", record.asked);
        assert_eq!(record.patient, Some(identifier(ragnhild())));
    }
    // What is found after that at the municipality is an alert of its own.
    let worse = reading(ragnhild(), "worse", "2026-11-19T09:11:00+01:00", "80");
    fjellvik.service.created(&worse).await;
    fjellvik.service.state.assess_waiting().await.unwrap();
    assert_eq!(fjellvik.state().await, "raised");
    let closed = proveheim
        .step(&ola(), "resolve", &[("note", "Behandlet her")])
        .await;
    assert_eq!(closed.status, StatusCode::OK, "{}", closed.json);
}

#[tokio::test]
async fn what_is_found_while_it_is_offered_is_an_alert_of_its_own() {
    let (fjellvik, proveheim) = offered().await;
    fjellvik.tells(&proveheim).await;
    fjellvik.service.clock.advance(MINUTE);
    let worse = reading(ragnhild(), "worse", "2026-11-19T09:10:30+01:00", "80");
    fjellvik.service.created(&worse).await;
    fjellvik.service.state.assess_waiting().await.unwrap();
    assert_eq!(fjellvik.state().await, "raised");
    let accepted = proveheim.step(&ola(), "accept", &[]).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
    assert_eq!(proveheim.tells(&fjellvik).await, 1);
    let all = crate::alert::alerts(&fjellvik.service).await;
    let states: Vec<_> = all
        .iter()
        .map(|one| one["businessStatus"]["coding"][0]["code"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["handed-over", "raised"]);
}

#[tokio::test]
async fn what_is_declined_or_taken_back_stays_where_it_was_and_an_acceptance_that_crosses_counts() {
    let (fjellvik, proveheim) = offered().await;
    fjellvik.tells(&proveheim).await;
    let silent = proveheim.step(&ola(), "decline", &[]).await;
    assert_eq!(issues(&silent.json), ["required @ note"]);
    let declined = proveheim
        .step(&ola(), "decline", &[("note", "Ingen plass")])
        .await;
    assert_eq!(declined.status, StatusCode::OK, "{}", declined.json);
    assert_eq!(proveheim.tells(&fjellvik).await, 1);
    assert_eq!(
        (
            fjellvik.state().await.as_str(),
            proveheim.state().await.as_str()
        ),
        ("owned", "declined")
    );
    assert_eq!(
        fjellvik.task().await["owner"]["display"],
        "Kari Prøve, Fjellvik kommune"
    );

    // Offered again, and taken back before anybody has answered.
    fjellvik.service.clock.advance(MINUTE);
    let form = [("to", PROVEHEIM), ("note", "Igjen")];
    assert_eq!(
        fjellvik.step(&kari(), "hand-over", &form).await.status,
        StatusCode::OK
    );
    fjellvik.tells(&proveheim).await;
    assert_eq!(proveheim.state().await, "offered");
    let held = fjellvik.step(&kari(), "resolve", &[("note", "x")]).await;
    assert_eq!(held.status, StatusCode::CONFLICT, "{}", held.json);
    let back = fjellvik
        .step(&kari(), "own", &[("note", "Venter ikke")])
        .await;
    assert_eq!(back.status, StatusCode::OK, "{}", back.json);
    fjellvik.tells(&proveheim).await;
    assert_eq!(
        (
            fjellvik.state().await.as_str(),
            proveheim.state().await.as_str()
        ),
        ("owned", "declined")
    );

    // Once more: recall and acceptance cross.
    fjellvik.service.clock.advance(MINUTE);
    assert_eq!(
        fjellvik.step(&kari(), "hand-over", &form).await.status,
        StatusCode::OK
    );
    fjellvik.tells(&proveheim).await;
    let accepted = proveheim.step(&ola(), "accept", &[]).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
    fjellvik
        .step(&kari(), "own", &[("note", "Venter ikke")])
        .await;
    fjellvik.tells(&proveheim).await;
    proveheim.tells(&fjellvik).await;
    assert_eq!(
        (
            fjellvik.state().await.as_str(),
            proveheim.state().await.as_str()
        ),
        ("handed-over", "owned")
    );
}

#[tokio::test]
async fn an_offer_that_nobody_answers_rises_at_both_sides_and_is_made_to_nobody_it_is_closed_to() {
    let (fjellvik, proveheim) = offered().await;
    fjellvik.tells(&proveheim).await;
    fjellvik.service.clock.advance(16 * MINUTE);
    for side in [&fjellvik, &proveheim] {
        assert_eq!(
            side.service.state.watch_due().await.unwrap(),
            1,
            "{}",
            side.orgnr
        );
        let text = side.task().await.to_string();
        assert!(text.contains("alert-escalation"), "{text}");
    }
    let back = fjellvik
        .step(&kari(), "own", &[("note", "Ingen svarer")])
        .await;
    assert_eq!(back.status, StatusCode::OK, "{}", back.json);
    // Only to whom the service hands over, and with a word.
    for (form, expected) in [
        (vec![("to", SORLIA), ("note", "x")], "value @ to"),
        (vec![("note", "x")], "value @ to"),
        (vec![("to", PROVEHEIM)], "required @ note"),
    ] {
        let reply = fjellvik.step(&kari(), "hand-over", &form).await;
        assert_eq!(issues(&reply.json), [expected]);
    }
    // And not where the patient has closed it.
    let consent = crate::wishes::consent(crate::wishes::actor(fhir::systems::ORGNR, PROVEHEIM));
    let service = &fjellvik.service;
    let patient = crate::wishes::patient(service);
    let closed = service.post(&patient, "/Consent", &consent).await;
    assert_eq!(closed.status, StatusCode::CREATED, "{}", closed.json);
    let form = [("to", PROVEHEIM), ("note", "x")];
    let reply = fjellvik.step(&kari(), "hand-over", &form).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.json);
    assert_eq!(fjellvik.state().await, "owned");
}

#[tokio::test]
async fn an_offer_that_is_refused_is_the_nurses_again_and_says_so() {
    let (fjellvik, mut proveheim) = offered().await;
    proveheim
        .answers_once(StatusCode::UNPROCESSABLE_ENTITY)
        .await;
    assert_eq!(fjellvik.tells(&proveheim).await, 0);
    let task = fjellvik.task().await;
    assert_eq!(fjellvik.state().await, "owned");
    assert_eq!(task["owner"]["display"], "Kari Prøve, Fjellvik kommune");
    assert!(task["restriction"]["period"]["end"].is_string());
    let (author, text) = fjellvik.last_note().await;
    assert_eq!(author, fjellvik.partner().name);
    assert_eq!(text, "Kunne ikke leveres: mottakeren avslo");
    let record = fjellvik.service.last_record_of(Interaction::Assess).await;
    assert!(record.asked.contains("could not be delivered"));
    assert_eq!(record.patient, Some(identifier(ragnhild())));
    assert_eq!(fjellvik.given_up(&proveheim).await.len(), 1);
    assert_eq!(proveheim.state().await, "none");
    // Its deadline runs again, and she may offer it anew.
    fjellvik.service.clock.advance(16 * MINUTE);
    assert_eq!(fjellvik.service.state.watch_due().await.unwrap(), 1);
    let form = [("to", PROVEHEIM), ("note", "Igjen")];
    let anew = fjellvik.step(&kari(), "hand-over", &form).await;
    assert_eq!(anew.status, StatusCode::OK, "{}", anew.json);
    assert_eq!(fjellvik.tells(&proveheim).await, 1);
    assert_eq!(proveheim.state().await, "offered");
}

#[tokio::test]
async fn an_offer_that_waits_goes_nowhere_once_the_patient_has_closed_it() {
    let (fjellvik, mut proveheim) = offered().await;
    // Down at first: the offer waits, and while it does she closes it to that organisation.
    proveheim.falls().await;
    assert_eq!(fjellvik.tells(&proveheim).await, 0);
    assert_eq!(fjellvik.state().await, "handing-over");
    let actor = crate::wishes::actor(fhir::systems::ORGNR, PROVEHEIM);
    crate::wishes::closed(&fjellvik.service, actor).await;
    proveheim.returns().await;
    fjellvik.service.clock.advance(2 * MINUTE);
    assert_eq!(fjellvik.tells(&proveheim).await, 0);
    assert_eq!(proveheim.state().await, "none");
    assert_eq!(fjellvik.state().await, "owned");
    let (author, text) = fjellvik.last_note().await;
    assert_eq!(author, fjellvik.partner().name);
    assert_eq!(text, "Kunne ikke leveres: ikke åpent for mottakeren");
    // Given up for good, in words that name nobody.
    let given_up = fjellvik.given_up(&proveheim).await;
    let reasons: Vec<_> = given_up.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(reasons, ["not open to the receiver any more"]);
    assert_eq!(
        fjellvik.tells(&proveheim).await,
        1,
        "taken back: it may have been heard"
    );
    assert_eq!(proveheim.state().await, "none");
}

#[tokio::test]
async fn an_offer_that_cannot_be_taken_does_not_tell_who_is_a_patient() {
    // Only its own patients at the one, and she is none; at the other she is one from the offer before.
    let mut said = Vec::new();
    for known in [false, true] {
        let (fjellvik, proveheim) = offered_to(known).await;
        let store = fjellvik.service.state.store();
        let (name, now) = (format!("alert:{PROVEHEIM}"), fjellvik.service.clock.now());
        let waiting = store.outbox_due(&name, now, 10).await.unwrap();
        let mut message: Message = serde_json::from_slice(&waiting[0].body).unwrap();
        message.iat = now.seconds();
        assert_eq!(fjellvik.tells(&proveheim).await, usize::from(known));
        let partner = proveheim
            .service
            .system(ClientUse::Service, FJELLVIK, "system/Task.c");
        let sound = message.clone();
        message.bundle.as_mut().unwrap()["entry"][1]["resource"]["implicated"] =
            serde_json::json!(["not a reference"]);
        for (id, mut message) in [(1, message), (2, sound)] {
            if known && id == 2 {
                continue;
            }
            message.offer = uuid::Uuid::from_u128(id);
            let claims = serde_json::to_value(&message).unwrap();
            let message = fjellvik.party.sign(MESSAGE_TYP, &claims).unwrap();
            let body = serde_json::to_string(&Told { message }).unwrap();
            let knock = proveheim
                .service
                .door
                .knock(http::Method::POST, "/Task/$tell");
            let knock = knock.header("content-type", "application/json").body(body);
            let reply = knock.by(&partner, now).send().await;
            assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
            said.push(reply.json["issue"].clone());
            // Whoever is a patient there can see that somebody tried.
            let told = Interaction::AlertTold;
            let record = proveheim.service.last_record_of(told).await;
            assert_eq!(record.patient, known.then(|| identifier(ragnhild())));
            assert!(
                matches!(record.outcome, trust::audit::Outcome::Failed { .. }),
                "{:?}",
                record.outcome
            );
        }
    }
    assert_eq!(said.len(), 3);
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
}

#[tokio::test]
async fn only_a_partners_own_signed_message_is_heard_and_nothing_twice() {
    let (fjellvik, proveheim) = offered().await;
    let stranger = proveheim
        .service
        .system(ClientUse::Service, ASDAL, "system/Task.c");
    let partner = proveheim
        .service
        .system(ClientUse::Service, FJELLVIK, "system/Task.c");
    let post = async |who: &Held, body: &str| {
        let knock = proveheim
            .service
            .door
            .knock(http::Method::POST, "/Task/$tell");
        let knock = knock
            .header("content-type", "application/json")
            .body(body.to_owned());
        knock.by(who, proveheim.service.clock.now()).send().await
    };
    let unsigned = r#"{"message":"eyJhbGciOiJFUzI1NiJ9.e30.AA"}"#;
    assert_eq!(
        post(&stranger, unsigned).await.status,
        StatusCode::FORBIDDEN
    );
    for body in [unsigned, "{}", "[]", "", r#"{"message":1}"#] {
        let reply = post(&partner, body).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    assert_eq!(proveheim.state().await, "none");
    // Delivered, and delivered again: one Task, no second version.
    let store = fjellvik.service.state.store();
    let (name, now) = (format!("alert:{PROVEHEIM}"), fjellvik.service.clock.now());
    let waiting = store.outbox_due(&name, now, 10).await.unwrap();
    assert!(!waiting[0].key.contains(&ragnhild().number));
    let message: Message = serde_json::from_slice(&waiting[0].body).unwrap();
    let message = Message {
        iat: now.seconds(),
        ..message
    };
    let signed = |side: &Side, message: &Message| {
        let claims = serde_json::to_value(message).unwrap();
        let message = side.party.sign(MESSAGE_TYP, &claims).unwrap();
        serde_json::to_string(&Told { message }).unwrap()
    };
    assert_eq!(fjellvik.tells(&proveheim).await, 1);
    let first = proveheim.task().await;
    let again = post(&partner, &signed(&fjellvik, &message)).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.json);
    // Another's key, another's name, another service, another time, another's offer: none of them is heard.
    let change = |change: &dyn Fn(&mut Message)| {
        let mut changed = message.clone();
        change(&mut changed);
        changed
    };
    let accept = |message: &mut Message| {
        (message.said, message.bundle) = (Word::Accept, None);
    };
    for (what, again, body) in [
        ("key", true, signed(&proveheim, &message)),
        (
            "name",
            true,
            signed(&fjellvik, &change(&|one| one.iss = ASDAL.into())),
        ),
        (
            "service",
            false,
            signed(
                &fjellvik,
                &change(&|one| one.aud = fjellvik.service.base.clone()),
            ),
        ),
        (
            "old",
            true,
            signed(&fjellvik, &change(&|one| one.iat -= 301)),
        ),
        (
            "ahead",
            true,
            signed(&fjellvik, &change(&|one| one.iat += 11)),
        ),
        ("its own", false, signed(&fjellvik, &change(&accept))),
        // Text that no Task can hold is refused, and not tried for ever.
        (
            "nobody",
            false,
            signed(&fjellvik, &change(&|one| one.by = " ".into())),
        ),
        (
            "strange",
            false,
            signed(
                &fjellvik,
                &change(&|one| {
                    (one.said, one.bundle) = (Word::Recall, None);
                    one.note = Some("a\u{b}b".into());
                }),
            ),
        ),
        (
            "empty",
            false,
            signed(
                &fjellvik,
                &change(&|one| {
                    (one.offer, one.bundle) = (uuid::Uuid::from_u128(1), None);
                }),
            ),
        ),
    ] {
        let reply = post(&partner, &body).await;
        // Whose signer or time is not right may be right soon: it is said again, and not lost.
        let expected = match again {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::UNPROCESSABLE_ENTITY,
        };
        assert_eq!(reply.status, expected, "{what}");
    }
    assert_eq!(proveheim.task().await, first);
}
