//! How we call others: no redirects, no proxy, an address policy at every dial, a deadline for the whole call and a cap
//! on the answer that holds while it streams (threats-and-faults.md sections 6, 7 and 12).

pub(crate) mod held;
mod network;
mod party;
mod relying_party;

pub use network::{AddressFault, Names, Network, Policy, is_public, network_contains};
pub use party::{Party, PartyError, Token};
pub use relying_party::{Registration, RelyingError, RelyingParty, SignIn};

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

/// Largest answer taken unless the request says otherwise: one page of a searchset.
pub const ANSWER_BYTES: usize = 10 * 1024 * 1024;
/// How long a whole call may take unless the request says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(2);

/// The outgoing client; clones share connections.
#[derive(Clone)]
pub struct Http {
    policy: Arc<Policy>,
    plain: reqwest::Client,
    /// Not there when the platform has no usable trust store; then only plain http in allowed networks works.
    secure: Result<reqwest::Client, Arc<str>>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// What is asked of a peer. Build with [`Request::get`], [`Request::post`] and the methods after them.
#[derive(Clone)]
pub struct Request {
    /// HTTP method.
    pub method: Method,
    /// Absolute URL. A person's number never stands in it.
    pub url: String,
    /// Headers besides those of authentication.
    pub headers: HeaderMap,
    /// The body; kept so that one repeat after 401 is possible.
    pub body: Bytes,
    /// For the whole call, connection included.
    pub deadline: Duration,
    /// Largest answer in bytes.
    pub answer_bytes: usize,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} ({} bytes)",
            self.method,
            without_query(&self.url),
            self.body.len()
        )
    }
}

impl Request {
    /// A request of any method without a body.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            deadline: DEADLINE,
            answer_bytes: ANSWER_BYTES,
        }
    }

    /// GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// POST with a body of a media type.
    pub fn post(url: impl Into<String>, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut request = Self::new(Method::POST, url)
            .header(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        request.body = body.into();
        request
    }

    /// POST of FHIR JSON.
    pub fn post_fhir(url: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::post(url, crate::contract::FHIR_JSON, body)
    }

    /// POST of a form, as `_search` and token endpoints take it.
    pub fn post_form<'a>(
        url: impl Into<String>,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self::post(
            url,
            "application/x-www-form-urlencoded",
            crate::form::write(pairs),
        )
    }

    /// POST of a value as plain JSON.
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    pub fn post_json(
        url: impl Into<String>,
        value: &impl serde::Serialize,
    ) -> Result<Self, PeerError> {
        let body = serde_json::to_vec(value)
            .map_err(|_| PeerError::Unusable("the request cannot be written as JSON"))?;
        Ok(Self::post(url, "application/json", body))
    }

    /// Sets a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sends our request id along.
    #[must_use]
    pub fn request_id(self, id: uuid::Uuid) -> Self {
        match HeaderValue::try_from(id.to_string()) {
            Ok(value) => self.header(
                HeaderName::from_static(crate::contract::REQUEST_ID_HEADER),
                value,
            ),
            Err(_) => self,
        }
    }

    /// Sets the deadline of the whole call.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the cap on the answer.
    #[must_use]
    pub fn answer_bytes(mut self, bytes: usize) -> Self {
        self.answer_bytes = bytes;
        self
    }
}

/// What a peer answered, whole.
#[derive(Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, at most as long as asked for.
    pub body: Bytes,
    /// The peer's certificate (X.509, DER), where it was reached by TLS.
    pub certificate: Option<Bytes>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.status, self.body.len())
    }
}

impl Answer {
    /// Reads the body of a successful answer as JSON of a contract type.
    ///
    /// # Errors
    /// [`PeerError::Status`] for another status than 2xx, [`PeerError::Unusable`] for a body of another shape.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, PeerError> {
        if !self.status.is_success() {
            return Err(PeerError::Status(self.status.as_u16()));
        }
        serde_json::from_slice(&self.body)
            .map_err(|_| PeerError::Unusable("the answer is not what the contract says"))
    }

    /// When the peer says that it answered (`Date`, RFC 9110 section 6.6.1), to the second.
    pub fn date(&self) -> Option<fhir::time::Instant> {
        let text = self.headers.get(header::DATE)?.to_str().ok()?;
        let at = httpdate::parse_http_date(text).ok()?;
        let seconds = at.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
        Some(fhir::time::Instant::from_seconds(
            i64::try_from(seconds).ok()?,
        ))
    }

    /// How long the peer asks to be left alone: `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3), counted from
    /// `now`; at most one hour.
    pub fn retry_after(&self, now: fhir::time::Instant) -> Option<Duration> {
        let text = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        let seconds = match text.parse::<u64>() {
            Ok(seconds) => seconds,
            Err(_) => {
                let date = httpdate::parse_http_date(text).ok()?;
                let at = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
                at.saturating_sub(u64::try_from(now.seconds()).ok()?)
            }
        };
        Some(Duration::from_secs(seconds.min(3600)))
    }
}

/// Why a peer gave no usable answer. Holds no body, no token and no person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The address cannot be used: not http(s), user info in it, or not allowed by the network policy.
    #[error("the address is not allowed: {0}")]
    Address(&'static str),
    /// No connection: refused, name unknown, TLS not verified, or no permitted address.
    #[error("no connection to the peer")]
    Connect,
    /// The deadline passed.
    #[error("the peer did not answer in time")]
    Late,
    /// The answer is longer than allowed.
    #[error("the peer's answer is too long")]
    TooLong,
    /// The connection broke or the answer is not HTTP.
    #[error("the connection broke")]
    Broken,
    /// The answer arrived but is not what the contract says.
    #[error("unusable answer: {0}")]
    Unusable(&'static str),
    /// A status that the caller of this call cannot use.
    #[error("the peer answered {0}")]
    Status(u16),
    /// The token endpoint refused, with an OAuth error code from the closed list below, else `other`.
    #[error("no token: {0}")]
    Token(&'static str),
    /// Our own TLS cannot start, for example because the platform has no trust store.
    #[error("TLS cannot start: {0}")]
    Tls(Arc<str>),
}

impl From<AddressFault> for PeerError {
    fn from(fault: AddressFault) -> Self {
        Self::Address(fault.words())
    }
}

impl PeerError {
    /// Whether trying again later can help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connect | Self::Late | Self::Broken | Self::Tls(_) | Self::Token(_) => true,
            Self::Status(status) => matches!(status, 401 | 408 | 425 | 429 | 500..),
            Self::Address(_) | Self::TooLong | Self::Unusable(_) => false,
        }
    }
}

impl Http {
    /// A client under an address policy.
    ///
    /// # Errors
    /// When even the plain client cannot be built.
    pub fn new(policy: Policy) -> Result<Self, PeerError> {
        Self::with_names(policy, network::system_names())
    }

    /// The same with another way to resolve names, for tests of names that change where they lead.
    ///
    /// # Errors
    /// As [`Http::new`].
    pub fn with_names(policy: Policy, names: Names) -> Result<Self, PeerError> {
        let policy = Arc::new(policy);
        let builder = |tls: bool| {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .connect_timeout(CONNECT)
                .tcp_nodelay(true)
                .http1_only()
                .user_agent(concat!("delt/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(network::GuardedResolver {
                    policy: policy.clone(),
                    names: names.clone(),
                    tls,
                })
        };
        // The plain client never speaks TLS; an empty trust store lets it start where the platform has none.
        let plain = builder(false)
            .tls_certs_only([])
            .build()
            .map_err(|e| PeerError::Tls(e.to_string().into()))?;
        let secure = builder(true)
            .https_only(true)
            .tls_info(true)
            .build()
            .map_err(|e| Arc::from(e.to_string()));
        if let Err(reason) = &secure {
            tracing::warn!(%reason, "https is not available to this process");
        }
        Ok(Self {
            policy,
            plain,
            secure,
        })
    }

    /// What may be dialled.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// [`PeerError`] when there is no whole answer; an answer of any status is not an error.
    pub async fn send(&self, request: &Request) -> Result<Answer, PeerError> {
        let url = url::Url::parse(&request.url).map_err(|_| PeerError::Address("not a URL"))?;
        let client = self.client_for(&url)?;
        let call = async {
            let outgoing = client
                .request(request.method.clone(), url)
                .headers(request.headers.clone())
                .body(request.body.clone())
                .timeout(request.deadline);
            let mut answer = outgoing.send().await.map_err(|e| described(&e))?;
            let status = answer.status();
            let headers = std::mem::take(answer.headers_mut());
            let tls = answer.extensions().get::<reqwest::tls::TlsInfo>();
            let certificate = tls
                .and_then(|tls| tls.peer_certificate())
                .map(Bytes::copy_from_slice);
            let announced = headers
                .get(header::CONTENT_LENGTH)
                .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
            if announced.is_some_and(|length| length > request.answer_bytes) {
                return Err(PeerError::TooLong);
            }
            let mut body = BytesMut::with_capacity(announced.unwrap_or(4096));
            while let Some(chunk) = answer.chunk().await.map_err(|e| described(&e))? {
                if body.len() + chunk.len() > request.answer_bytes {
                    return Err(PeerError::TooLong);
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer {
                status,
                headers,
                body: body.freeze(),
                certificate,
            })
        };
        // reqwest's own timeout covers connection and body; this one also covers name resolution that hangs.
        tokio::time::timeout(request.deadline, call)
            .await
            .unwrap_or(Err(PeerError::Late))
    }

    fn client_for(&self, url: &url::Url) -> Result<&reqwest::Client, PeerError> {
        self.policy.judge(url).map_err(PeerError::from)?;
        if url.scheme() == "https" {
            self.secure
                .as_ref()
                .map_err(|reason| PeerError::Tls(reason.clone()))
        } else {
            Ok(&self.plain)
        }
    }
}

fn described(error: &reqwest::Error) -> PeerError {
    if error.is_timeout() {
        PeerError::Late
    } else if error.is_connect() {
        PeerError::Connect
    } else {
        PeerError::Broken
    }
}

/// A URL as it may be logged and as DPoP names it: without query and fragment.
pub(crate) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}
