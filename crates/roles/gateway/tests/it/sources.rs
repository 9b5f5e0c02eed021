//! Sharing services as the gateway meets them. A healthy one searches what it holds by date, sorts and pages; others do
//! what their behaviour says.

use crate::anchor::claims_of;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use fhir::bundle::{SearchMode, SearchsetWriter};
use fhir::ids::PersonNumbers;
use fhir::json::{Json, Limits};
use fhir::resource::{InformationService, ResourceType};
use fhir::search::{PatientParam, Query, Sort, Via};
use fhir::time::Zone;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use trust::token::Claims;
use wire::may_look::{Ground, Reader, Told, Who};
use wire::outcome::fhir_response;

/// What a source does when it is asked.
#[derive(Clone)]
pub enum Behaviour {
    /// Answers truly; who else it holds something about, nobody asks.
    Healthy,
    /// Answers truly about the one who is asked about, of several whom it holds something about.
    Exact,
    /// Takes the question and never answers.
    Silent,
    /// Answers the first page and then never again.
    FallingSilent,
    /// Answers truly, after so long.
    Slow(Duration),
    /// Answers this status.
    Status(u16),
    /// Answers 500 to searches of this type, and truly to others.
    Breaking(&'static str),
    /// Answers this status with `Retry-After`.
    Busy(u16, &'static str),
    /// Answers 401 to so many questions, pages included, and truly after that.
    Forgetful(usize),
    /// Answers this status to so many questions, and truly after that.
    Stumbling(u16, usize),
    /// Answers 200 and these bytes.
    Says(String),
    /// Answers truly, with a next link to elsewhere.
    Linking(String),
    /// Answers `$lastn` with a link to more.
    More,
    /// Answers in the wrong order.
    Backwards,
}

/// One question as it came.
#[derive(Clone)]
pub struct Asked {
    pub form: Vec<(String, String)>,
    pub request_id: String,
    pub claims: Claims,
}

impl Asked {
    pub fn get(&self, name: &str) -> Vec<&str> {
        self.form
            .iter()
            .filter(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

pub struct Source {
    pub service: String,
    pub orgnr: String,
    pub base: String,
    pub behaviour: Mutex<Behaviour>,
    pub holds: Mutex<Vec<Value>>,
    /// Smaller pages than asked for.
    pub page: Mutex<usize>,
    pub asked: Mutex<Vec<Asked>>,
    /// Its history: newest first, a resource or the id of one that was withdrawn.
    pub past: Mutex<Vec<Result<Value, String>>>,
    /// Headers on its answers.
    pub says: Mutex<Vec<(&'static str, String)>>,
}

impl Source {
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/fhir/{type}/_search", post(search))
            .route("/fhir/Observation/$lastn", post(lastn))
            .route("/fhir/{type}/_history", get(history))
            .route("/fhir/{type}/{id}", get(read))
            .route("/fhir/_page/{sealed}", get(page))
            .route("/fhir/$may-look", post(may_look))
            .route("/fhir/$explain-access", post(explain))
            .route("/fhir/Consent", post(wish))
            .route("/fhir/Consent/_search", post(wishes))
            .route("/fhir/Consent/{id}", delete(wish_ended))
            .with_state(self.clone())
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What it puts on its answers.
    fn says(&self, response: &mut Response) {
        for (name, value) in self.says.lock().unwrap().iter() {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
    }

    /// The wishes that it keeps.
    pub fn kept(&self) -> Vec<Value> {
        let holds = self.holds.lock().unwrap();
        let wishes = holds.iter().filter(|one| one["resourceType"] == "Consent");
        wishes.cloned().collect()
    }

    /// What it answers instead, while it has still to stumble.
    fn stumbles(&self) -> Option<Response> {
        let mut behaviour = self.behaviour.lock().unwrap();
        let (status, left) = match &mut *behaviour {
            Behaviour::Forgetful(left) => (401, left),
            Behaviour::Stumbling(status, left) => (*status, left),
            _ => return None,
        };
        *left = left.checked_sub(1)?;
        Some(StatusCode::from_u16(status).unwrap().into_response())
    }

    fn admit(&self, headers: &HeaderMap, form: Vec<(String, String)>) -> Asked {
        let text = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
        let claims = claims_of(text("authorization").strip_prefix("DPoP ").unwrap());
        assert_eq!(claims.aud, self.base, "a token for another provider");
        let asked = Asked {
            form,
            request_id: text("x-request-id"),
            claims,
        };
        self.asked.lock().unwrap().push(asked.clone());
        asked
    }

    fn answer(&self, resource: ResourceType, form: &[(String, String)], from: usize) -> Response {
        let query = match fhir::search::supported(resource) {
            Some(_) => fhir::search::parse(
                resource,
                form,
                Via::Post,
                &Zone::default(),
                PersonNumbers::Strict,
                fhir::search::Grammar::Shared,
            )
            .unwrap(),
            // By patient alone.
            None => Query::all(resource),
        };
        let mut sort = query.sort;
        let mut link = None;
        match self.behaviour.lock().unwrap().clone() {
            Behaviour::Backwards => {
                sort = if sort == Sort::DateDesc {
                    Sort::DateAsc
                } else {
                    Sort::DateDesc
                }
            }
            Behaviour::Linking(elsewhere) => link = Some(elsewhere),
            _ => {}
        }
        let found = self.found(&query, sort);
        let size = (query.count as usize).min(*self.page.lock().unwrap());
        let until = (from + size).min(found.len());
        let sealed = serde_json::to_vec(&(resource.as_str(), form, until)).unwrap();
        let next = format!(
            "{}/_page/{}",
            self.base,
            trust::encoding::base64url(&sealed)
        );
        let next = link.unwrap_or(next);
        let links: Vec<(&str, &str)> = if until < found.len() {
            vec![("next", &next)]
        } else {
            vec![]
        };
        let mut writer = SearchsetWriter::new(None, &links);
        for resource in &found[from..until] {
            writer.entry(None, resource.to_string().as_bytes(), SearchMode::Match);
        }
        let mut response = fhir_response(StatusCode::OK, writer.finish());
        self.says(&mut response);
        response
    }

    fn found(&self, query: &Query, sort: Sort) -> Vec<Value> {
        let exact = matches!(*self.behaviour.lock().unwrap(), Behaviour::Exact);
        let mut found: Vec<(Option<i64>, String, Value)> = Vec::new();
        for held in self.holds.lock().unwrap().iter() {
            let json = Json::parse(held.to_string(), Limits::RESOURCE).unwrap();
            let node = json.root();
            if ResourceType::of(node).unwrap() != query.resource {
                continue;
            }
            if let Some(PatientParam::Identifier(asked)) = query.patient.as_ref().filter(|_| exact)
                && held["subject"]["identifier"]["value"] != asked.value().expose()
            {
                continue;
            }
            let when = fhir::index::of(
                node,
                query.resource,
                &Zone::default(),
                PersonNumbers::Lenient,
            )
            .unwrap()
            .when;
            if query
                .dates
                .iter()
                .all(|date| when.is_some_and(|when| date.matches(&when)))
            {
                found.push((
                    when.map(|when| when.lo),
                    held["id"].to_string(),
                    held.clone(),
                ));
            }
        }
        found.sort_by(|(a, a_id, _), (b, b_id, _)| match (a, b) {
            (Some(a), Some(b)) if sort == Sort::DateDesc => b.cmp(a).then_with(|| a_id.cmp(b_id)),
            (Some(a), Some(b)) => a.cmp(b).then_with(|| a_id.cmp(b_id)),
            // Undated last when newest comes first, and first when oldest does, as our own store has it.
            (a, b) if sort == Sort::DateDesc => {
                a.is_none().cmp(&b.is_none()).then_with(|| a_id.cmp(b_id))
            }
            (a, b) => b.is_none().cmp(&a.is_none()).then_with(|| a_id.cmp(b_id)),
        });
        found.into_iter().map(|(_, _, resource)| resource).collect()
    }
}

async fn search(
    State(source): State<Arc<Source>>,
    Path(type_name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let form = wire::form::read(&headers, body).await.unwrap().0;
    let asked = source.admit(&headers, form);
    let resource = ResourceType::parse(&type_name).unwrap();
    let behaviour = source.behaviour.lock().unwrap().clone();
    match behaviour {
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Breaking(broken) if broken == type_name => {
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Behaviour::Slow(time) => {
            wire::stop::real_pause()(time).await;
            source.answer(resource, &asked.form, 0)
        }
        Behaviour::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Behaviour::Busy(status, wait) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [(http::header::RETRY_AFTER, wait)]).into_response()
        }
        Behaviour::Says(text) => fhir_response(StatusCode::OK, text),
        _ => match source.stumbles() {
            Some(response) => response,
            None => source.answer(resource, &asked.form, 0),
        },
    }
}

/// The newest `max` of each group of its own.
async fn lastn(State(source): State<Arc<Source>>, headers: HeaderMap, body: Body) -> Response {
    let mut form = wire::form::read(&headers, body).await.unwrap().0;
    source.admit(&headers, form.clone());
    let at = form.iter().position(|(name, _)| name == "max").unwrap();
    let max: usize = form.remove(at).1.parse().unwrap();
    let query = fhir::search::parse(
        ResourceType::OBSERVATION,
        &form,
        Via::Post,
        &Zone::default(),
        PersonNumbers::Strict,
        fhir::search::Grammar::Shared,
    );
    let mut given = std::collections::BTreeMap::<String, usize>::new();
    // More than one answer holds: this one says that there is another.
    let next = format!("{}/_page/x", source.base);
    let more = matches!(*source.behaviour.lock().unwrap(), Behaviour::More);
    let links: &[(&str, &str)] = if more { &[("next", &next)] } else { &[] };
    let mut writer = SearchsetWriter::new(None, links);
    for reading in source.found(&query.unwrap(), Sort::DateDesc) {
        let taken = given.entry(reading["code"].to_string()).or_default();
        if *taken < max {
            *taken += 1;
            writer.entry(None, reading.to_string().as_bytes(), SearchMode::Match);
        }
    }
    fhir_response(StatusCode::OK, writer.finish())
}

async fn history(
    State(source): State<Arc<Source>>,
    Path(type_name): Path<String>,
    request: Request,
) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let form = wire::form::Form::parse(query.as_bytes()).unwrap().0;
    let asked = source.admit(request.headers(), form);
    let exact = matches!(*source.behaviour.lock().unwrap(), Behaviour::Exact);
    let whose = asked
        .claims
        .patient
        .as_ref()
        .map(|one| one.value().expose());
    if let Some(trouble) = trouble(&source).await {
        return trouble;
    }
    let mut writer = fhir::bundle::HistoryWriter::new(None, &[]);
    for one in source.past.lock().unwrap().iter() {
        let (id, version, body) = match one {
            Ok(resource) => (
                resource["id"].as_str().unwrap().to_owned(),
                resource["meta"]["versionId"]
                    .as_str()
                    .unwrap()
                    .parse()
                    .unwrap(),
                Some(resource.to_string()),
            ),
            Err(id) => (id.clone(), 9, None),
        };
        let theirs = |one: &Value| {
            whose.is_some_and(|whose| one["subject"]["identifier"]["value"] == *whose)
        };
        if exact && !one.as_ref().is_ok_and(theirs) {
            continue;
        }
        writer.entry(&fhir::bundle::VersionEntry {
            full_url: &format!("{}/{type_name}/{id}", source.base),
            resource_type: &type_name,
            id: &id,
            version,
            last_updated: fhir::time::Instant(0),
            resource: body.as_deref().map(str::as_bytes),
        });
    }
    let mut response = fhir_response(StatusCode::OK, writer.finish());
    source.says(&mut response);
    response
}

async fn read(
    State(source): State<Arc<Source>>,
    Path((type_name, id)): Path<(String, String)>,
    request: Request,
) -> Response {
    source.admit(request.headers(), Vec::new());
    if let Some(trouble) = trouble(&source).await {
        return trouble;
    }
    let holds = source.holds.lock().unwrap();
    let found = holds.iter().find(|one| one["id"] == id.as_str());
    let mut response = match found.filter(|one| one["resourceType"] == type_name.as_str()) {
        Some(found) => fhir_response(StatusCode::OK, found.to_string()),
        None => StatusCode::NOT_FOUND.into_response(),
    };
    source.says(&mut response);
    response
}

async fn page(
    State(source): State<Arc<Source>>,
    Path(sealed): Path<String>,
    request: Request,
) -> Response {
    source.admit(request.headers(), Vec::new());
    let behaviour = source.behaviour.lock().unwrap().clone();
    if let Behaviour::FallingSilent = behaviour {
        std::future::pending::<()>().await;
    }
    if let Some(response) = source.stumbles() {
        return response;
    }
    let opened = trust::encoding::from_base64url(&sealed).unwrap();
    let (resource, form, from): (String, Vec<(String, String)>, usize) =
        serde_json::from_slice(&opened).unwrap();
    source.answer(ResourceType::parse(&resource).unwrap(), &form, from)
}

/// What a troubled source says instead; `None` from a healthy one.
async fn trouble(source: &Source) -> Option<Response> {
    let behaviour = source.behaviour.lock().unwrap().clone();
    match behaviour {
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Status(status) => Some(StatusCode::from_u16(status).unwrap().into_response()),
        Behaviour::Says(text) => Some(fhir_response(StatusCode::OK, text)),
        _ => None,
    }
}

/// Keeps a wish under an id of its own; the same again is the one that is kept.
async fn wish(State(source): State<Arc<Source>>, headers: HeaderMap, body: Body) -> Response {
    let body = wire::body::fhir_json(&headers, body, Limits::RESOURCE.bytes)
        .await
        .unwrap();
    source.admit(&headers, Vec::new());
    if let Some(trouble) = trouble(&source).await {
        return trouble;
    }
    let mut wish: Value = serde_json::from_slice(&body).unwrap();
    let mut holds = source.holds.lock().unwrap();
    let same = |one: &&Value| one["provision"] == wish["provision"];
    if let Some(kept) = holds.iter().find(same) {
        return fhir_response(StatusCode::OK, kept.to_string());
    }
    wish["id"] = uuid::Uuid::new_v4().to_string().into();
    holds.push(wish.clone());
    fhir_response(StatusCode::CREATED, wish.to_string())
}

async fn wishes(State(source): State<Arc<Source>>, headers: HeaderMap) -> Response {
    source.admit(&headers, Vec::new());
    if let Some(trouble) = trouble(&source).await {
        return trouble;
    }
    let mut writer = SearchsetWriter::new(None, &[]);
    for wish in source.kept() {
        writer.entry(None, wish.to_string().as_bytes(), SearchMode::Match);
    }
    fhir_response(StatusCode::OK, writer.finish())
}

async fn wish_ended(
    State(source): State<Arc<Source>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    source.admit(&headers, Vec::new());
    source
        .holds
        .lock()
        .unwrap()
        .retain(|one| one["id"] != id.as_str());
    fhir_response(StatusCode::NO_CONTENT, "")
}

/// Its own people may look at her measurements; it holds them where it holds anything.
async fn may_look(State(source): State<Arc<Source>>, headers: HeaderMap, body: Body) -> Response {
    let form = wire::form::read(&headers, body).await.unwrap().0;
    source.admit(&headers, form);
    if let Some(trouble) = trouble(&source).await {
        return trouble;
    }
    let holds = !source.holds.lock().unwrap().is_empty();
    let told = may_look_at(&source.orgnr, holds).to_json();
    fhir_response(StatusCode::OK, told.to_string())
}

/// It knows of a request where it holds anything; of another than that there is none.
async fn explain(State(source): State<Arc<Source>>, headers: HeaderMap, body: Body) -> Response {
    let form = wire::form::read(&headers, body).await.unwrap().0;
    source.admit(&headers, form);
    if let Some(trouble) = trouble(&source).await {
        return trouble;
    }
    if source.holds.lock().unwrap().is_empty() {
        return wire::outcome::Problem::not_found().into_response();
    }
    let told = wire::explained::answer(&[explained()]).to_string();
    fhir_response(StatusCode::OK, told)
}

/// What a holder decided.
pub fn explained() -> wire::explained::Decision {
    wire::explained::Decision {
        when: "2027-01-15T08:00:00Z".to_owned(),
        outcome: "refused".to_owned(),
        rules: "audience/1 block/5".to_owned(),
        reasons: vec![wire::explained::Reason {
            rule: "block".to_owned(),
            words: trust::explain::of("blocked").into(),
            withheld: Vec::new(),
            left_out: Vec::new(),
        }],
        inputs: Vec::new(),
    }
}

/// What a holder tells.
pub fn may_look_at(orgnr: &str, holds: bool) -> Told {
    let who = Who {
        organisation: orgnr.parse().unwrap(),
        name: None,
    };
    Told {
        holder: who.clone(),
        as_of: "2027-01-15T08:00:00Z".to_owned(),
        held: Vec::from_iter(holds.then_some(InformationService::MEASUREMENTS)),
        shut_out: Some(0),
        readers: vec![Reader {
            who,
            ground: Ground::Own,
            opens: Vec::new(),
            shut: Vec::new(),
        }],
        processors: Vec::new(),
    }
}
