//! A gateway, anchor and catalogue that answer from memory: the story's resources as `testkit` makes them, searchsets
//! with routes and receipts as the contract says. It checks what the real ones check of the portal: one proof for each
//! request, made with the key that the token is bound to.

use crate::anchor::{self, Launches};
use crate::own;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use fhir::resource::InformationService;
use fhir::time::Instant;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use testkit::calendar::Calendar;
use testkit::event::Action;
use testkit::people::Directory;
use testkit::story::Scenario;
use wire::contract::catalogue::{self, Endpoint, EndpointStatus};
use wire::contract::demo::TestTokenRequest;
use wire::contract::gateway::ROUTE_EXTENSION;
use wire::receipt::{Receipt, SourceReport, SourceState};

/// Day 3 of the story, 09:30 in Oslo.
pub const NOW: &str = "2026-03-05T08:30:00Z";
/// When the copy of an old source was whole.
const OLD: &str = "2026-03-01T06:15:00Z";
const ORGNR: &str = "urn:oid:2.16.578.1.12.4.1.4.101";

/// The portal's clock, which the fake lives by too.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// A search: resource type and form.
pub type Question = (String, Vec<(String, String)>);

/// What the fake holds and what it was asked.
pub struct Fake {
    /// Its origin.
    pub base: String,
    /// The portal's clock.
    pub clock: Clock,
    /// What its anchor gave those who were launched.
    pub launches: Launches,
    resources: Vec<(String, Value)>,
    /// Forms as they came, with the resource type first.
    pub asked: Mutex<Vec<Question>>,
    /// Test tokens asked for.
    pub tokens: Mutex<Vec<TestTokenRequest>>,
    used_proofs: Mutex<Vec<[u8; 32]>>,
    /// AuditEvents of the story's patient, newest first.
    pub events: Mutex<Vec<Value>>,
    /// Consents that are kept.
    pub wishes: Mutex<Vec<Value>>,
    /// What the holders tell of who may look.
    pub may_look: Mutex<Vec<wire::may_look::Told>>,
    /// What each party tells of the request that is asked about.
    pub explained: Mutex<Vec<wire::explained::Told>>,
    /// Who does not answer when a wish is made or ended.
    pub away: Mutex<Option<&'static str>>,
    /// What its catalogue lists besides the demo's endpoints; `None`: it gives no answer.
    pub listed: Mutex<Option<Vec<Value>>>,
    /// The municipality's own service.
    pub own: own::Service,
    /// How it behaves.
    pub mood: Mutex<Mood>,
}

/// The one request that can be asked about.
pub const REQUEST: &str = "0cba6c4c-b43d-480b-b40f-aa5257452d80";

/// How the fake behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Answers; Fjordregionen, when chosen, is late.
    Well,
    /// Answers; Fjellvik's copy is older than it promises.
    Old,
    /// 504: no source answered.
    NoSource,
    /// 403.
    Refusing,
    /// A next link that leads to another origin.
    Astray,
    /// HTML instead of a searchset.
    Babbling,
    /// Script in every text of a reading, and the reading by two routes whose copies disagree.
    Hostile,
}

/// The moment the fake lives in.
pub fn now() -> Instant {
    fhir::time::parse_instant(NOW).unwrap()
}

/// The story's resources, last version of each, with the service each rests at.
fn story() -> Vec<(String, Value)> {
    let calendar = Calendar::at_first_start(now());
    let events = Scenario::kols()
        .unwrap()
        .events(Directory::demo(), &calendar, now())
        .unwrap();
    let mut last: BTreeMap<String, Option<(String, Value)>> = BTreeMap::new();
    for event in events {
        let resource = serde_json::from_slice(&event.body).unwrap();
        let kept = (event.action != Action::Withdraw).then_some((event.owner, resource));
        last.insert(event.key, kept);
    }
    last.into_values().flatten().collect()
}

/// Starts it on a free port.
pub async fn start(clock: Clock) -> Arc<Fake> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let fake = Arc::new(Fake {
        base,
        clock,
        launches: Launches::default(),
        resources: story(),
        asked: Mutex::default(),
        tokens: Mutex::default(),
        used_proofs: Mutex::default(),
        events: Mutex::default(),
        wishes: Mutex::default(),
        may_look: Mutex::default(),
        explained: Mutex::default(),
        away: Mutex::default(),
        listed: Mutex::new(Some(Vec::new())),
        own: own::Service::default(),
        mood: Mutex::new(Mood::Well),
    });
    let router = Router::new()
        .route("/anchor/test-token", post(test_token))
        .route("/anchor/token", post(token))
        .route("/catalogue/fhir/{type}", get(listed))
        .route("/gateway/fhir/{type}/_search", post(search))
        .route("/gateway/fhir/$may-look", post(may_look))
        .route("/gateway/fhir/$explain-access", post(explain))
        .route("/gateway/fhir/Consent", post(wish))
        .route("/gateway/fhir/Consent/_search", post(wishes))
        .route("/gateway/fhir/Consent/{id}", delete(wish_ended))
        .route("/gateway/fhir/_page/{sealed}", get(page))
        .merge(anchor::routes())
        .merge(own::routes())
        .with_state(fake.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    fake
}

async fn test_token(
    State(fake): State<Arc<Fake>>,
    Json(request): Json<TestTokenRequest>,
) -> Json<Value> {
    let patient = request.patient.as_ref().map_or("", |one| one.expose());
    let token = format!("token.{}.{patient}", request.jkt);
    fake.tokens.lock().unwrap().push(request);
    Json(json!({"access_token": token, "token_type": "DPoP", "expires_in": 300}))
}

async fn token(State(fake): State<Arc<Fake>>, request: Request) -> Response {
    let (parts, body): (_, Body) = request.into_parts();
    let form = wire::form::read(&parts.headers, body).await.unwrap();
    match form.get("grant_type") {
        Some("client_credentials") => {
            Json(json!({"access_token": "catalogue", "token_type": "DPoP", "expires_in": 300}))
                .into_response()
        }
        grant => {
            let gate = fake.launches.gate.lock().unwrap().clone();
            if let (Some("refresh_token"), Some(gate)) = (grant, gate) {
                gate.came.notify_one();
                gate.open.notified().await;
            }
            anchor::give(&fake, &parts.headers, &form)
        }
    }
}

async fn listed(State(fake): State<Arc<Fake>>, Path(kind): Path<String>) -> Response {
    let Some(mut all) = fake.listed.lock().unwrap().clone() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    all.retain(|one| one["resourceType"] == kind.as_str());
    if kind == "Endpoint" {
        all.extend(endpoints(&fake));
    }
    Json(catalogue::searchset("https://catalogue.example", &all)).into_response()
}

fn endpoints(fake: &Fake) -> Vec<Value> {
    let services = Directory::demo().demo_services(|id| format!("{}/{id}/fhir", fake.base));
    let listed = services.into_iter();
    listed
        .map(|service| {
            let endpoint = Endpoint {
                id: service.id.clone(),
                service: service.id,
                status: EndpointStatus::Active,
                name: service.name.clone(),
                address: service.fhir,
                managing: service.orgnr,
                managing_name: Some(service.name),
                payload_kinds: vec!["IT17".to_owned()],
                concept: None,
                supplier: None,
            };
            endpoint.to_json()
        })
        .collect()
}

impl Fake {
    /// Checks token and proof; gives the patient that the token is bound to.
    pub fn admit(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<String, StatusCode> {
        let one = |name: &str| {
            let all: Vec<_> = headers.get_all(name).iter().collect();
            match all.as_slice() {
                [value] => value
                    .to_str()
                    .map(str::to_owned)
                    .map_err(|_| StatusCode::UNAUTHORIZED),
                _ => Err(StatusCode::UNAUTHORIZED),
            }
        };
        let token = one("authorization")?
            .strip_prefix("DPoP ")
            .map(str::to_owned)
            .ok_or(StatusCode::UNAUTHORIZED)?;
        let parts: Vec<&str> = token.split('.').collect();
        let [place, jkt, patient] = parts.as_slice() else {
            return Err(StatusCode::UNAUTHORIZED);
        };
        // Where a token was asked for one audience of several, it opens that one.
        if *place != "token" && !path.starts_with(&format!("/{place}/")) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let url = format!("{}{path}", self.base);
        let ath = trust::dpop::ath(&token);
        let now = (self.clock)();
        let proof = trust::dpop::verify(&one("dpop")?, method, &url, Some(&ath), Some(jkt), now)
            .map_err(|_| StatusCode::UNAUTHORIZED)?;
        let mut used = self.used_proofs.lock().unwrap();
        if used.contains(&proof.replay.hash) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        used.push(proof.replay.hash);
        Ok((*patient).to_owned())
    }

    /// The matches of a type for one patient, newest reading first.
    fn matches(&self, resource_type: &str, patient: &str, chosen: &[String]) -> Vec<Value> {
        let late = Directory::demo().orgnr("fjordregionen");
        let story = Directory::demo().story_patient();
        if resource_type == "Patient" && patient == story.number {
            let fjellvik = Directory::demo().orgnr("fjellvik");
            let identifier = json!([{"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": patient}]);
            let resource = json!({"resourceType": "Patient", "id": "p1", "identifier": identifier,
                "name": [{"given": ["Ragnhild"], "family": "Testmo"}], "birthDate": "1952-03-14"});
            return vec![entry(resource, &[fjellvik])];
        }
        let fjellvik = Directory::demo().orgnr("fjellvik");
        let own = match resource_type {
            "AuditEvent" => Some(&self.events),
            "Consent" => Some(&self.wishes),
            _ => None,
        };
        if let Some(own) = own {
            let own = own.lock().unwrap().clone().into_iter();
            return own.map(|one| entry(one, &[fjellvik])).collect();
        }
        let mut found: Vec<(String, Value)> = self
            .resources
            .iter()
            .filter(|(_, resource)| resource["resourceType"] == resource_type)
            .filter(|(_, resource)| resource.to_string().contains(patient))
            .filter(|(owner, _)| owner != late || chosen.contains(owner))
            .map(|(owner, resource)| {
                (
                    resource["effectiveDateTime"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                    (owner, resource),
                )
            })
            .map(|(when, (owner, resource))| (when, entry(resource.clone(), &[owner])))
            .collect();
        if *self.mood.lock().unwrap() == Mood::Hostile && resource_type == "Observation" {
            found.push((NOW.to_owned(), hostile()));
        }
        found.sort_by(|a, b| b.0.cmp(&a.0));
        found.into_iter().map(|(_, entry)| entry).collect()
    }

    fn receipt(&self, resource_type: &str, entries: &[Value], chosen: &[String]) -> Value {
        let locator = ["fjellvik", "proveheim", "provebakken"]
            .map(|id| Directory::demo().orgnr(id).to_owned());
        let sources = locator.iter().chain(chosen).map(|number| {
            let count = entries
                .iter()
                .filter(|entry| {
                    entry
                        .to_string()
                        .contains(&format!("\"value\":\"{number}\"}}"))
                })
                .count();
            let late = number == Directory::demo().orgnr("fjordregionen");
            let old = *self.mood.lock().unwrap() == Mood::Old
                && number == Directory::demo().orgnr("fjellvik");
            let state = match (late, count) {
                (true, _) => SourceState::Late,
                _ if old => SourceState::Stale,
                (false, 0) => SourceState::Empty,
                (false, _) => SourceState::Complete,
            };
            SourceReport {
                organisation: number.clone(),
                name: Directory::demo()
                    .demo_services(|_| String::new())
                    .into_iter()
                    .find(|s| s.orgnr == *number)
                    .map(|s| s.name),
                endpoint: Some(format!("{}/x/fhir", self.base)),
                state,
                count: count as u64,
                milliseconds: Some(if late { 3000 } else { 14 }),
                as_of: (!late).then(|| if old { OLD.to_owned() } else { NOW.to_owned() }),
                reason: None,
            }
        });
        let _ = resource_type;
        let outcome = Receipt::new(sources.collect()).to_json();
        json!({"resource": outcome, "search": {"mode": "outcome"}})
    }

    fn answer(
        &self,
        resource_type: &str,
        patient: &str,
        chosen: &[String],
        from: usize,
    ) -> Response {
        let entries = self.matches(resource_type, patient, chosen);
        let mut page: Vec<Value> = entries.iter().skip(from).take(200).cloned().collect();
        if from == 0 {
            page.push(self.receipt(resource_type, &entries, chosen));
        }
        let mut bundle =
            json!({"resourceType": "Bundle", "type": "searchset", "link": [], "entry": page});
        if entries.len() > from + 200 {
            let base = if *self.mood.lock().unwrap() == Mood::Astray {
                "http://127.0.0.1:1"
            } else {
                &self.base
            };
            let next = format!("{base}/gateway/fhir/_page/{resource_type}-{}", from + 200);
            bundle["link"] = json!([{"relation": "next", "url": next}]);
        }
        Json(bundle).into_response()
    }
}

/// What a source that means ill could send.
pub const EVIL: &str = "</script><img src=x onerror=alert(1)>";

fn hostile() -> Value {
    let resource = json!({"resourceType": "Observation", "status": "final", "effectiveDateTime": NOW,
        "code": {"coding": [{"system": "http://loinc.org", "code": "2708-6", "display": EVIL}], "text": EVIL},
        "interpretation": [{"text": EVIL}],
        "performer": [{"identifier": {"system": ORGNR, "value": "999999999"}, "display": EVIL}],
        "valueQuantity": {"value": 91.0, "unit": EVIL, "system": "http://unitsofmeasure.org", "code": "%"}});
    let mut found = entry(
        resource,
        &[
            Directory::demo().orgnr("fjellvik"),
            Directory::demo().orgnr("provebakken"),
        ],
    );
    let disagrees = json!({"url": "https://delt.example/fhir/StructureDefinition/disagrees", "valueBoolean": true});
    found["extension"].as_array_mut().unwrap().push(disagrees);
    found
}

/// A match that came by these services.
fn entry(resource: Value, routes: &[&str]) -> Value {
    let routes: Vec<Value> = routes
        .iter()
        .map(|number| json!({"url": ROUTE_EXTENSION, "valueIdentifier": {"system": ORGNR, "value": number}}))
        .collect();
    json!({"extension": routes, "resource": resource, "search": {"mode": "match"}})
}

async fn search(
    State(fake): State<Arc<Fake>>,
    Path(resource_type): Path<String>,
    request: Request,
) -> Response {
    let (parts, body): (_, Body) = request.into_parts();
    let patient = match fake.admit("POST", parts.uri.path(), &parts.headers) {
        Ok(patient) => patient,
        Err(status) => return status.into_response(),
    };
    let form = wire::form::read(&parts.headers, body).await.unwrap();
    fake.asked
        .lock()
        .unwrap()
        .push((resource_type.clone(), form.0.clone()));
    let mood = *fake.mood.lock().unwrap();
    match mood {
        Mood::NoSource => return StatusCode::GATEWAY_TIMEOUT.into_response(),
        Mood::Refusing => return StatusCode::FORBIDDEN.into_response(),
        Mood::Babbling => return "<html>".into_response(),
        Mood::Well | Mood::Old | Mood::Astray | Mood::Hostile => {}
    }
    let chosen: Vec<String> = form
        .get("organization")
        .into_iter()
        .flat_map(|list| list.split(','))
        .map(str::to_owned)
        .collect();
    fake.answer(&resource_type, &patient, &chosen, 0)
}

async fn page(
    State(fake): State<Arc<Fake>>,
    Path(sealed): Path<String>,
    request: Request,
) -> Response {
    let patient = match fake.admit("GET", request.uri().path(), request.headers()) {
        Ok(patient) => patient,
        Err(status) => return status.into_response(),
    };
    let (resource_type, from) = sealed.split_once('-').unwrap();
    fake.answer(resource_type, &patient, &[], from.parse().unwrap())
}

/// What each holder did with a wish.
fn account(fake: &Fake) -> Value {
    let away = *fake.away.lock().unwrap();
    let source = |id: &str| SourceReport {
        organisation: Directory::demo().orgnr(id).to_owned(),
        name: Directory::demo()
            .organisation(id)
            .map(|one| one.name.clone()),
        endpoint: None,
        state: if away == Some(id) {
            SourceState::Failed
        } else {
            SourceState::Complete
        },
        count: 1,
        milliseconds: None,
        as_of: None,
        reason: None,
    };
    Receipt::new(["fjellvik", "proveheim"].map(source).into()).to_json()
}

async fn wish(State(fake): State<Arc<Fake>>, request: Request) -> Response {
    let (parts, body): (_, Body) = request.into_parts();
    if let Err(status) = fake.admit("POST", parts.uri.path(), &parts.headers) {
        return status.into_response();
    }
    let body = axum::body::to_bytes(body, 100_000).await.unwrap();
    let mut wish: Value = serde_json::from_slice(&body).unwrap();
    let mut wishes = fake.wishes.lock().unwrap();
    if !wishes
        .iter()
        .any(|one| one["provision"] == wish["provision"])
    {
        wish["id"] = uuid::Uuid::new_v4().to_string().into();
        wish["dateTime"] = NOW.into();
        wishes.push(wish);
    }
    (StatusCode::CREATED, Json(account(&fake))).into_response()
}

async fn may_look(State(fake): State<Arc<Fake>>, request: Request) -> Response {
    if let Err(status) = fake.admit("POST", request.uri().path(), request.headers()) {
        return status.into_response();
    }
    match *fake.mood.lock().unwrap() {
        Mood::Babbling => return "<p>".into_response(),
        Mood::Refusing => return StatusCode::FORBIDDEN.into_response(),
        Mood::NoSource => return StatusCode::GATEWAY_TIMEOUT.into_response(),
        _ => {}
    }
    let all = wire::may_look::Everywhere {
        holders: fake.may_look.lock().unwrap().clone(),
        representatives: vec![wire::may_look::Representative {
            name: Some("Odd Testmo".to_owned()),
            services: vec![InformationService::PLANS],
            log: false,
            notes: false,
        }],
        receipt: account(&fake),
    };
    Json(all.to_json()).into_response()
}

async fn explain(State(fake): State<Arc<Fake>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(status) = fake.admit("POST", parts.uri.path(), &parts.headers) {
        return status.into_response();
    }
    if *fake.mood.lock().unwrap() == Mood::Babbling {
        return "<p>".into_response();
    }
    let body = axum::body::to_bytes(body, 10_000).await.unwrap();
    let known = format!("request={REQUEST}").into_bytes() == body;
    let all = wire::explained::Everywhere {
        holders: match known {
            true => fake.explained.lock().unwrap().clone(),
            false => Vec::new(),
        },
        receipt: account(&fake),
    };
    Json(all.to_json()).into_response()
}

async fn wishes(state: State<Arc<Fake>>, request: Request) -> Response {
    search(state, Path("Consent".to_owned()), request).await
}

async fn wish_ended(
    State(fake): State<Arc<Fake>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    if let Err(status) = fake.admit("DELETE", request.uri().path(), request.headers()) {
        return status.into_response();
    }
    fake.wishes
        .lock()
        .unwrap()
        .retain(|one| one["id"] != id.as_str());
    Json(account(&fake)).into_response()
}
