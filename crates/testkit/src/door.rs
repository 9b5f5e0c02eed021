//! The door of one role in process: its router is asked directly, with real tokens and proofs, for the API tests of
//! roles. No socket, no port; what a stranger would get over HTTP comes back whole.

use crate::clients::Reply;
use crate::issuer::{Issuer, ProofKey};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use fhir::time::Instant;
use http::{HeaderName, HeaderValue, Method, Request, header};
use tower::ServiceExt;
use trust::keys::KeyError;
use trust::token::Claims;

/// Largest answer read, in bytes.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// A token with the key that it is bound to.
#[derive(Clone, Debug)]
pub struct Held {
    /// The token as it travels.
    pub jwt: String,
    key: ProofKey,
}

impl Held {
    /// Signs claims; `key` must be the one their `cnf` names.
    ///
    /// # Errors
    /// When signing fails.
    pub fn of(issuer: &Issuer, key: &ProofKey, claims: &Claims) -> Result<Self, KeyError> {
        Ok(Self::from_jwt(key, issuer.sign(claims)?))
    }

    /// A token made elsewhere, for example a defective one.
    pub fn from_jwt(key: &ProofKey, jwt: String) -> Self {
        Self {
            jwt,
            key: key.clone(),
        }
    }
}

impl Held {
    /// What its holder says of a version of a Task, signed by her.
    ///
    /// # Errors
    /// When signing fails.
    pub fn says(&self, of: (&str, u64), words: &str, now: Instant) -> Result<String, KeyError> {
        self.key.says(of, words, now)
    }
}

/// A role's router and the base that its paths are relative to.
#[derive(Clone, Debug)]
pub struct Door {
    router: Router,
    base: String,
}

/// One request on its way.
#[derive(Debug)]
pub struct Knock<'a> {
    door: &'a Door,
    method: Method,
    path: String,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
}

impl Door {
    /// `base` as in the role's configuration, without a slash at its end.
    pub fn new(router: Router, base: &str) -> Self {
        Self {
            router,
            base: base.to_owned(),
        }
    }

    /// A request for a path relative to the base; an absolute URL under the base (a link) is taken too.
    pub fn knock(&self, method: Method, path: &str) -> Knock<'_> {
        let path = path.strip_prefix(&self.base).unwrap_or(path);
        Knock {
            door: self,
            method,
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Knock<'_> {
        self.knock(Method::GET, path)
    }

    /// `POST` of FHIR JSON.
    pub fn post(&self, path: &str, body: impl Into<Bytes>) -> Knock<'_> {
        self.knock(Method::POST, path)
            .header("content-type", "application/fhir+json")
            .body(body)
    }

    /// `PUT` of FHIR JSON.
    pub fn put(&self, path: &str, body: impl Into<Bytes>) -> Knock<'_> {
        self.knock(Method::PUT, path)
            .header("content-type", "application/fhir+json")
            .body(body)
    }

    /// `POST {type}/_search` of a form.
    pub fn search(&self, resource_type: &str, form: &[(&str, &str)]) -> Knock<'_> {
        self.knock(Method::POST, &format!("/{resource_type}/_search"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(wire::form::write(form.iter().copied()))
    }
}

impl Knock<'_> {
    /// With a header. A value that is none panics: it stands in the test itself.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers
            .push((HeaderName::from_static(name), value.to_owned()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With a token and a fresh proof made at `now`.
    #[must_use]
    pub fn by(self, token: &Held, now: Instant) -> Self {
        let proof = self.proof(token, now);
        self.with(token, &proof)
    }

    /// The proof that fits this request.
    pub fn proof(&self, token: &Held, now: Instant) -> String {
        // As the guard compares: the base, and the path below it without the query.
        let path = self.path.split('?').next().unwrap_or_default();
        let url = format!("{}{}", self.door.base, if path == "/" { "" } else { path });
        token
            .key
            .proof(&self.method, &url, &token.jwt, now)
            .expect("the door's base is a URL, given by the test")
    }

    /// With a token and any proof.
    #[must_use]
    pub fn with(self, token: &Held, proof: &str) -> Self {
        self.header("authorization", &format!("DPoP {}", token.jwt))
            .header("dpop", proof)
    }

    /// Asks, and reads the whole answer.
    pub async fn send(self) -> Reply {
        let mut request = Request::new(Body::from(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self
            .path
            .parse()
            .expect("a path that the test itself wrote");
        for (name, value) in self.headers {
            let value =
                HeaderValue::try_from(value).expect("a header value that the test itself wrote");
            request.headers_mut().append(name, value);
        }
        let answer = self
            .door
            .router
            .clone()
            .oneshot(request)
            .await
            .unwrap_or_else(|never| match never {});
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, ANSWER_BYTES)
            .await
            .expect("the role's answer is in memory and not endless");
        let json = serde_json::from_slice(&body).unwrap_or_default();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body,
            json,
        }
    }
}

impl Reply {
    /// A header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The `next` link of a searchset.
    pub fn next(&self) -> Option<&str> {
        self.link("next")
    }

    /// A link of a searchset.
    pub fn link(&self, relation: &str) -> Option<&str> {
        let links = self.json["link"].as_array()?;
        links.iter().find(|l| l["relation"] == relation)?["url"].as_str()
    }

    /// Status, the headers that a caller can see a difference by (all but ids and dates of this one request), and body:
    /// for comparing two answers that must not differ.
    pub fn visible(&self) -> String {
        let hidden = [wire::contract::REQUEST_ID_HEADER, header::DATE.as_str()];
        let mut headers: Vec<String> = self
            .headers
            .iter()
            .filter(|(name, _)| !hidden.contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
            .collect();
        headers.sort();
        format!(
            "{}\n{}\n\n{}",
            self.status,
            headers.join("\n"),
            String::from_utf8_lossy(&self.body)
        )
    }
}
