//! The portal as a browser meets it, with a gateway, an anchor and a catalogue that answer from memory.
#![allow(
    clippy::unwrap_used,
    reason = "a test that fails is a test that panics"
)]

mod anchor;
mod citizen;
mod fake;
mod launch;
mod list;
mod may_look;
mod offers;
mod own;
mod patient_page;
mod session;
mod sign_in;
mod working;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use fake::Fake;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use portal::{Asset, Assets, Config, DemoPeople, Organisation};
use testkit::people::Directory;
use testkit::surroundings::{FixedClock, ids};
use tower::ServiceExt;
use wire::client::{Http, Policy};
use wire::{House, Stop};

const BASE: &str = "http://127.0.0.1:7070";

/// A portal, the fake behind it, and a browser's cookies.
pub struct Portal {
    router: Router,
    fake: Arc<Fake>,
    clock: FixedClock,
    cookies: Vec<(String, String)>,
    data: Arc<tempfile::TempDir>,
}

/// An answer with its body as text.
pub struct Page {
    status: StatusCode,
    headers: http::HeaderMap,
    body: String,
}

impl Portal {
    async fn start() -> Portal {
        let clock = FixedClock::at(fake::now());
        let fake = fake::start(clock.clock()).await;
        let data = tempfile::tempdir().unwrap();
        let directory = Directory::demo();
        let services = directory.demo_services(|_| String::new());
        let config = Config {
            base: BASE.to_owned(),
            gateway: format!("{}/gateway", fake.base),
            catalogue: format!("{}/catalogue", fake.base),
            client_file: Some(client_file(data.path(), &fake.base)),
            staff: vec!["999900017".to_owned()],
            citizens: true,
            zone: "Europe/Oslo".to_owned(),
            language: "nb".to_owned(),
            organisations: services
                .into_iter()
                .map(|service| Organisation {
                    orgnr: service.orgnr,
                    name: service.name,
                    part_of: None,
                })
                .collect(),
            demo: Some(DemoPeople {
                issuer: format!("{}/anchor", fake.base),
                practitioners: directory.demo_practitioners(),
                patients: directory.demo_patients(),
            }),
        };
        let house = House {
            clock: clock.clock(),
            pause: wire::stop::real_pause(),
            ids: ids(7),
            http: Http::new(Policy::loopback()).unwrap(),
            data: data.path().to_owned(),
            stop: Stop::new(),
            other_issuer: None,
        };
        let assets: Assets = Arc::new(|name| {
            (name == "portal.css").then(|| Asset {
                bytes: "body{}".into(),
                content_type: "text/css".to_owned(),
            })
        });
        let state = portal::open(config, house).unwrap();
        Portal {
            router: portal::routes(state, assets),
            fake,
            clock,
            cookies: Vec::new(),
            data: Arc::new(data),
        }
    }

    /// Sends a request as a browser on our own pages would, cookies included; follows nothing.
    async fn send(&mut self, request: http::request::Builder, body: String) -> Page {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = if cookies.is_empty() {
            request
        } else {
            request.header(header::COOKIE, cookies.join("; "))
        };
        let answer = self
            .router
            .clone()
            .oneshot(request.body(Body::from(body)).unwrap())
            .await
            .unwrap();
        self.remember(&answer);
        let (parts, body) = answer.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Page {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    fn remember(&mut self, answer: &Response<Body>) {
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let (pair, rules) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.retain(|(own, _)| own != name);
            if !rules.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// The same browser once more, as it is now.
    fn another_tab(&self) -> Portal {
        Portal {
            router: self.router.clone(),
            fake: self.fake.clone(),
            clock: self.clock.clone(),
            cookies: self.cookies.clone(),
            data: self.data.clone(),
        }
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send(Request::builder().uri(path), String::new()).await
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("sec-fetch-site", "same-origin")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, wire::form::write(form.iter().copied()))
            .await
    }

    /// Signs in as the practitioner with this index.
    async fn sign_in(&mut self, person: &str) {
        let start = self.get("/").await;
        let chosen = self
            .post("/session", &[("form", &start.form()), ("person", person)])
            .await;
        assert_eq!(
            (chosen.status, chosen.location()),
            (StatusCode::SEE_OTHER, "/patients")
        );
    }

    /// Signs in as the story's patient herself.
    async fn sign_in_as_citizen(&mut self) {
        let start = self.get("/").await;
        let chosen = self
            .post("/session", &[("form", &start.form()), ("person", "c0")])
            .await;
        assert_eq!(
            (chosen.status, chosen.location()),
            (StatusCode::SEE_OTHER, "/log")
        );
    }

    /// Opens the first patient, with more form fields; gives the address of the page.
    async fn open_first(&mut self, more: &[(&str, &str)]) -> String {
        let list = self.get("/patients").await;
        let (form, patient) = (list.form(), list.value_of("patient"));
        let mut fields = vec![("form", form.as_str()), ("patient", patient.as_str())];
        fields.extend(more);
        let opened = self.post("/views", &fields).await;
        assert_eq!(opened.status, StatusCode::SEE_OTHER, "{}", opened.body);
        opened.location().to_owned()
    }
}

impl Page {
    fn location(&self) -> &str {
        self.headers
            .get(header::LOCATION)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The value of the first input with this name.
    fn value_of(&self, name: &str) -> String {
        let rest = self
            .body
            .split_once(&format!("name=\"{name}\" value=\""))
            .unwrap()
            .1;
        rest.split('"').next().unwrap().to_owned()
    }

    fn form(&self) -> String {
        self.value_of("form")
    }

    /// The data element of the curves.
    fn chart(&self) -> serde_json::Value {
        let rest = self.body.split_once("id=\"chart-data\">").unwrap().1;
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
    }
}

/// A client file as the server would make for the portal.
fn client_file(folder: &std::path::Path, base: &str) -> std::path::PathBuf {
    use std::os::unix::fs::OpenOptionsExt;
    let key = trust::keys::SigningKey::generate().unwrap();
    let jwk: serde_json::Value = serde_json::from_str(&key.to_private_jwk()).unwrap();
    let file = serde_json::json!({
        "client_id": "portal", "orgnr": "310001074", "use": "service", "issuer": format!("{base}/anchor"),
        "token_endpoint": format!("{base}/anchor/token"), "jwk": jwk,
        "scopes": wire::contract::catalogue::READ_SCOPE.split(' ').collect::<Vec<_>>(),
        "audiences": [format!("{base}/catalogue/fhir")],
    });
    let path = folder.join("portal.json");
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .unwrap();
    std::io::Write::write_all(&mut out, file.to_string().as_bytes()).unwrap();
    path
}
