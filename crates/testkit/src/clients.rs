//! Callers for stories: a person's program with a fresh DPoP key, which gets a test token (CONTRACT section 3) and
//! searches at any audience; what comes back is kept whole, for a story to look at.

use crate::issuer::ProofKey;
use fhir::time::Instant;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use std::sync::Arc;
use trust::keys::KeyError;
use wire::client::{Http, PeerError, Policy, Request};
use wire::contract::demo::{
    As, DemoPatient, DemoPractitioner, Purpose, TEST_TOKEN, TestTokenAnswer, TestTokenRequest,
};

/// What a caller got back.
#[derive(Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as sent.
    pub body: bytes::Bytes,
    /// Body as JSON; `null` if it is none.
    pub json: Value,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.status, self.body.len())
    }
}

impl Reply {
    /// Resources of the searchset whose `search.mode` is `match`.
    pub fn matches(&self) -> Vec<&Value> {
        self.with_mode("match")
    }

    /// The OperationOutcomes of the searchset: the completeness receipt among them.
    pub fn outcomes(&self) -> Vec<&Value> {
        self.with_mode("outcome")
    }

    fn with_mode(&self, mode: &str) -> Vec<&Value> {
        let entries = self.json["entry"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        entries
            .iter()
            .filter(|e| e["search"]["mode"] == mode)
            .map(|e| &e["resource"])
            .collect()
    }

    /// `source-state` codes of the receipt with the organisation's text, in order.
    pub fn source_states(&self) -> Vec<String> {
        let issues = self
            .outcomes()
            .into_iter()
            .filter_map(|o| o["issue"].as_array())
            .flatten();
        let state = |issue: &Value| {
            let coding = issue["details"]["coding"].as_array()?.iter();
            let coding = coding
                .clone()
                .find(|c| c["system"] == fhir::systems::SOURCE_STATE)?;
            coding["code"].as_str().map(str::to_owned)
        };
        issues.filter_map(state).collect()
    }
}

/// A caller: one DPoP key, one HTTP client, the wall clock unless it goes [by](Caller::by) another.
#[derive(Clone)]
pub struct Caller {
    http: Http,
    key: ProofKey,
    clock: store::Clock,
}

/// The present by the wall clock: the harness talks to real processes, which have no other.
#[expect(
    clippy::disallowed_methods,
    reason = "the harness meets real processes and their wall clock"
)]
pub fn now() -> Instant {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Instant(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

impl Caller {
    /// A caller with a fresh key that may reach the loopback.
    ///
    /// # Errors
    /// When there is no randomness or no HTTP client.
    pub fn new() -> Result<Self, PeerError> {
        let key = ProofKey::generate().map_err(|_| PeerError::Unusable("no randomness"))?;
        Ok(Self {
            http: Http::new(Policy::loopback())?,
            key,
            clock: Arc::new(now),
        })
    }

    /// The same, by this clock.
    #[must_use]
    pub fn by(self, clock: store::Clock) -> Self {
        Self { clock, ..self }
    }

    /// Thumbprint of its key.
    pub fn jkt(&self) -> &str {
        self.key.jkt()
    }

    /// What its holder says of a version of a Task, signed by her ([`wire::signed`]).
    ///
    /// # Errors
    /// When signing fails.
    pub fn says(&self, of: (&str, u64), words: &str) -> Result<String, KeyError> {
        self.key.says(of, words, (self.clock)())
    }

    /// A request for a practitioner's token about one patient at one audience; purpose TREAT, scope `user/*.rs`. Change
    /// what the story needs before [`Caller::test_token`].
    pub fn as_practitioner(
        &self,
        who: &DemoPractitioner,
        patient: &DemoPatient,
        audience: &str,
    ) -> TestTokenRequest {
        TestTokenRequest {
            hpr: Some(who.hpr.clone()),
            orgnr: Some(who.orgnr.clone()),
            ..self.request(
                As::Practitioner,
                who.fnr.expose(),
                patient.fnr.expose(),
                audience,
                "user/*.rs",
            )
        }
    }

    /// A request for a citizen's token about themselves; scope `patient/*.rs`.
    pub fn as_citizen(&self, patient: &DemoPatient, audience: &str) -> TestTokenRequest {
        let number = patient.fnr.expose();
        self.request(As::Citizen, number, number, audience, "patient/*.rs")
    }

    fn request(
        &self,
        as_: As,
        fnr: &str,
        patient: &str,
        audience: &str,
        scope: &str,
    ) -> TestTokenRequest {
        TestTokenRequest {
            as_,
            fnr: fnr.into(),
            hpr: None,
            orgnr: None,
            patient: Some(patient.into()),
            purpose: Purpose::Treat,
            reason: None,
            point_of_care: None,
            department: None,
            healthcare_service: None,
            purpose_details: None,
            decision_ref: None,
            audience: audience.to_owned(),
            scope: scope.to_owned(),
            jkt: self.jkt().to_owned(),
            expires_in: None,
            defect: None,
        }
    }

    /// Asks for a test token.
    ///
    /// # Errors
    /// [`PeerError::Status`] when it is refused, others when no usable answer came.
    pub async fn test_token(
        &self,
        issuer: &str,
        request: &TestTokenRequest,
    ) -> Result<String, PeerError> {
        let request = Request::post_json(format!("{issuer}{TEST_TOKEN}"), request)?;
        let answer: TestTokenAnswer = self.http.send(&request).await?.json()?;
        Ok(answer.access_token.expose().to_owned())
    }

    /// `POST {base}/{type}/_search` with a token and a fresh proof.
    ///
    /// # Errors
    /// [`PeerError`] when no whole answer came; an answer of any status is not an error.
    pub async fn search(
        &self,
        token: &str,
        base: &str,
        resource_type: &str,
        form: &[(&str, &str)],
    ) -> Result<Reply, PeerError> {
        let url = format!("{base}/{resource_type}/_search");
        self.send(token, Request::post_form(url, form.iter().copied()))
            .await
    }

    /// `GET` of an absolute URL with a token and a fresh proof, for example a `next` link.
    ///
    /// # Errors
    /// As [`Caller::search`].
    pub async fn get(&self, token: &str, url: &str) -> Result<Reply, PeerError> {
        self.send(token, Request::get(url)).await
    }

    /// Any request with a token and a fresh proof.
    ///
    /// # Errors
    /// As [`Caller::search`].
    pub async fn send(&self, token: &str, request: Request) -> Result<Reply, PeerError> {
        let proof = self.proof(&request.method, &request.url, token)?;
        self.send_with(token, &proof, request).await
    }

    /// Any request with a token and a given proof, for stories about proofs used twice or made for something else.
    ///
    /// # Errors
    /// As [`Caller::search`].
    pub async fn send_with(
        &self,
        token: &str,
        proof: &str,
        request: Request,
    ) -> Result<Reply, PeerError> {
        let value = |text: String| {
            HeaderValue::try_from(text).map_err(|_| PeerError::Unusable("not a header"))
        };
        let request = request
            .header(header::AUTHORIZATION, value(format!("DPoP {token}"))?)
            .header(HeaderName::from_static("dpop"), value(proof.to_owned())?);
        self.send_bare(request).await
    }

    /// Any request without credentials.
    ///
    /// # Errors
    /// As [`Caller::search`].
    pub async fn send_bare(&self, request: Request) -> Result<Reply, PeerError> {
        let answer = self.http.send(&request).await?;
        let json = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(Reply {
            status: answer.status,
            headers: answer.headers,
            body: answer.body,
            json,
        })
    }

    /// The proof of one request.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn proof(&self, method: &Method, url: &str, token: &str) -> Result<String, PeerError> {
        self.key
            .proof(method, url, token, (self.clock)())
            .map_err(|_| PeerError::Address("not a URL"))
    }
}
