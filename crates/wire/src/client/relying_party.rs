//! We as the relying party of an OpenID provider at which people sign in: discovery kept, pushed requests where the provider
//! takes them (RFC 9126), PKCE S256, `private_key_jwt`, a DPoP-bound answer where that is agreed (RFC 9449), and the ID token
//! verified (OpenID Connect Core 1.0 section 3.1, FAPI 2.0 Security Profile section 5.3.3).
//!
//! Only what the signed ID token says is believed; the access token that comes along is dropped. Everything goes through the
//! outgoing client with its address rules, to the addresses of the discovery document alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use store::{Clock, Ids};
use trust::encoding::sha256_base64url;
use trust::id_token::{self, Expected, IdToken, IdTokenError};
use trust::keys::{Algorithm, KeyError, KeySet, SigningKey};
use trust::{assertion, dpop};
use url::Url;

use super::held::{Held, Rest};
use super::{Answer, Http, PeerError, Request};
use crate::contract::Hidden;
use crate::contract::anchor::{AUTHORIZATION_CODE, CLIENT_ASSERTION_TYPE, DISCOVERY};
use crate::oauth_error::OAuthCode;
use crate::protect::keyset::HeldKeys;

const SECOND: i64 = 1_000_000;

/// How a provider's discovery document rests: HelseID asks for about a day; an hour notices a move sooner.
const METADATA: Rest = Rest {
    fresh: 1800 * SECOND,
    old: 3600 * SECOND,
    last_good: 24 * 3600 * SECOND,
    between: 30 * SECOND,
    between_when_empty: SECOND,
};

/// How long the provider may take for one answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Largest answer of its endpoints.
const BYTES: usize = 64 * 1024;
/// Longest `request_uri` that is taken.
const REQUEST_URI: usize = 2048;

/// What was agreed with a provider.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The provider, exactly as its discovery document and its tokens name it.
    pub issuer: String,
    /// We at the provider.
    pub client_id: String,
    /// Signs our assertions; its public half is registered there.
    pub key: SigningKey,
    /// How its ID tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// Its token endpoint wants DPoP proofs.
    pub dpop: bool,
}

/// One sign-in, as we ask for it.
#[derive(Clone, Copy)]
pub struct SignIn<'a> {
    /// Where the answer is to come, as registered.
    pub redirect_uri: &'a str,
    /// Scopes, divided by spaces.
    pub scope: &'a str,
    /// Levels of sign-in to choose among, where the provider takes them.
    pub acr_values: Option<&'a str>,
    /// What comes back with the answer.
    pub state: &'a str,
    /// What comes back in the ID token.
    pub nonce: &'a str,
    /// The PKCE verifier.
    pub verifier: &'a str,
    /// When it began, Unix seconds.
    pub began: i64,
    /// How long ago the person may have proved who it is, in seconds.
    pub max_age: i64,
    /// The person must prove it anew.
    pub anew: bool,
}

/// Why a sign-in came to nothing. Holds no code, no token and no person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelyingError {
    /// It gave no discovery document that can be used, now or lately.
    #[error("the provider's discovery document is not there")]
    Undiscovered,
    /// No answer.
    #[error("the provider gave no answer: {0}")]
    Peer(#[from] PeerError),
    /// It refused, with an OAuth error code of the closed list, else `other`.
    #[error("the provider refused: {0}")]
    Refused(&'static str),
    /// Its answer is not what the standard says.
    #[error("the provider's answer cannot be used: {0}")]
    Unusable(&'static str),
    /// Its ID token.
    #[error(transparent)]
    IdToken(#[from] IdTokenError),
    /// We could sign nothing.
    #[error("signing failed: {0}")]
    Key(#[from] KeyError),
}

impl RelyingError {
    /// Whether the same may go well a little later: the provider is down or busy.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Undiscovered => true,
            Self::Peer(error) => error.is_passing(),
            Self::Refused(code) => *code == OAuthCode::TemporarilyUnavailable.as_str(),
            Self::Unusable(_) | Self::IdToken(_) | Self::Key(_) => false,
        }
    }
}

/// What we look at of a provider's discovery document (OpenID Connect Discovery 1.0, RFC 8414).
#[derive(Debug, PartialEq, Eq)]
struct Metadata {
    authorization_endpoint: Url,
    token_endpoint: String,
    jwks_uri: String,
    /// Where requests are pushed.
    par: Option<String>,
    /// Every answer names the provider (RFC 9207).
    iss: bool,
    /// Where a browser is sent to sign out (RP-Initiated Logout 1.0).
    end_session: Option<Url>,
}

impl Metadata {
    /// Reads the document of `issuer`.
    fn read(text: &[u8], issuer: &str) -> Result<Metadata, String> {
        let members = trust::json::object(text).map_err(|error| error.to_string())?;
        let said = |name: &str| members.get(name).and_then(Value::as_str);
        if said("issuer") != Some(issuer) {
            return Err("it is another issuer's".to_owned());
        }
        // Plain http only where the provider itself is reached so: in a test on this machine.
        let plain = issuer.starts_with("http://");
        let endpoint = |name: &str| {
            let url = Url::parse(said(name).ok_or_else(|| format!("{name} is missing"))?);
            let url = url.map_err(|_| format!("{name} is no URL"))?;
            let right = url.scheme() == "https" || plain && url.scheme() == "http";
            if right
                && url.username().is_empty()
                && url.password().is_none()
                && url.fragment().is_none()
            {
                Ok(url)
            } else {
                Err(format!("{name} is not an address that may be used"))
            }
        };
        for (name, needed) in [
            ("code_challenge_methods_supported", "S256"),
            ("token_endpoint_auth_methods_supported", "private_key_jwt"),
            ("response_types_supported", "code"),
        ] {
            let offered = members.get(name).and_then(Value::as_array);
            if offered.is_some_and(|list| !list.iter().any(|one| one == needed)) {
                return Err(format!("{name} lacks {needed}"));
            }
        }
        let pushed = "pushed_authorization_request_endpoint";
        Ok(Metadata {
            authorization_endpoint: endpoint("authorization_endpoint")?,
            token_endpoint: endpoint("token_endpoint")?.into(),
            jwks_uri: endpoint("jwks_uri")?.into(),
            par: match members.contains_key(pushed) {
                true => Some(endpoint(pushed)?.into()),
                false => None,
            },
            iss: flag(&members, "authorization_response_iss_parameter_supported"),
            end_session: match members.contains_key("end_session_endpoint") {
                // Nobody's sign-in fails for it.
                true => endpoint("end_session_endpoint").ok(),
                false => None,
            },
        })
    }
}

fn flag(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name) == Some(&Value::Bool(true))
}

/// We at one provider. Clones share what is kept.
#[derive(Clone)]
pub struct RelyingParty {
    inner: Arc<Inner>,
}

struct Inner {
    registration: Registration,
    /// Signs DPoP proofs; made at start and never written down.
    proof_key: SigningKey,
    http: Http,
    clock: Clock,
    ids: Ids,
    metadata: Held<Metadata>,
    /// The provider's last nonce, where it gives any.
    nonce: Mutex<Option<String>>,
    /// The key set of the address that the discovery document names.
    keys: Mutex<Option<(String, HeldKeys)>>,
}

impl std::fmt::Debug for RelyingParty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RelyingParty({})", self.inner.registration.issuer)
    }
}

impl RelyingParty {
    /// Nothing is fetched before somebody signs in.
    ///
    /// # Errors
    /// No randomness.
    pub fn new(
        registration: Registration,
        http: Http,
        clock: Clock,
        ids: Ids,
    ) -> Result<Self, KeyError> {
        let issuer = registration.issuer.clone();
        let url = format!("{}{DISCOVERY}", issuer.trim_end_matches('/'));
        let read = Arc::new(move |text: &[u8]| Metadata::read(text, &issuer));
        let metadata = Held::of(url, METADATA, read, http.clone(), clock.clone());
        Ok(Self {
            inner: Arc::new(Inner {
                registration,
                proof_key: SigningKey::generate()?,
                http,
                clock,
                ids,
                metadata,
                nonce: Mutex::default(),
                keys: Mutex::default(),
            }),
        })
    }

    /// The provider.
    pub fn issuer(&self) -> &str {
        &self.inner.registration.issuer
    }

    /// Where the browser goes to sign in. The request is pushed first, where the provider takes that.
    ///
    /// # Errors
    /// [`RelyingError`].
    pub async fn begin(&self, ask: SignIn<'_>) -> Result<String, RelyingError> {
        let metadata = self.metadata().await?;
        let client_id = self.inner.registration.client_id.as_str();
        let (challenge, max_age) = (
            sha256_base64url(ask.verifier.as_bytes()),
            ask.max_age.to_string(),
        );
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", ask.redirect_uri),
            ("scope", ask.scope),
            ("state", ask.state),
            ("nonce", ask.nonce),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("max_age", max_age.as_str()),
        ];
        pairs.extend(ask.acr_values.map(|values| ("acr_values", values)));
        if ask.anew {
            pairs.push(("prompt", "login"));
        }
        if self.inner.registration.dpop {
            pairs.push(("dpop_jkt", self.inner.proof_key.thumbprint()));
        }
        let request_uri = match &metadata.par {
            Some(par) => Some(self.push(par, &pairs).await?),
            None => None,
        };
        let mut url = metadata.authorization_endpoint.clone();
        let brought = match &request_uri {
            Some(uri) => vec![("client_id", client_id), ("request_uri", uri.expose())],
            None => pairs,
        };
        url.query_pairs_mut().extend_pairs(brought);
        Ok(url.into())
    }

    /// Where the browser goes to sign out there, to be sent back to `back` with `state`; `None` where the provider has no such address.
    /// No ID token goes along as a hint: it holds a person's number, and this is an address. The provider asks the person instead.
    ///
    /// # Errors
    /// The provider cannot be discovered.
    pub async fn sign_out(&self, back: &str, state: &str) -> Result<Option<String>, RelyingError> {
        let metadata = self.metadata().await?;
        let client_id = self.inner.registration.client_id.as_str();
        Ok(metadata.end_session.clone().map(|mut url| {
            url.query_pairs_mut().extend_pairs([
                ("client_id", client_id),
                ("post_logout_redirect_uri", back),
                ("state", state),
            ]);
            url.into()
        }))
    }

    /// Whether an answer that names `iss` can be this provider's (RFC 9207 section 2.4).
    ///
    /// # Errors
    /// The provider cannot be discovered.
    pub async fn answers_as(&self, iss: Option<&str>) -> Result<bool, RelyingError> {
        match iss {
            Some(iss) => Ok(iss == self.issuer()),
            None => Ok(!self.metadata().await?.iss),
        }
    }

    /// Takes a code to the token endpoint and verifies the ID token that comes of it.
    ///
    /// # Errors
    /// [`RelyingError`].
    pub async fn redeem(&self, code: &str, ask: SignIn<'_>) -> Result<IdToken, RelyingError> {
        let metadata = self.metadata().await?;
        let pairs = [
            ("grant_type", AUTHORIZATION_CODE),
            ("client_id", self.inner.registration.client_id.as_str()),
            ("code", code),
            ("redirect_uri", ask.redirect_uri),
            ("code_verifier", ask.verifier),
        ];
        let members = read(&self.ask(&metadata.token_endpoint, &pairs).await?)?;
        let jwt = members.get("id_token").and_then(Value::as_str);
        let jwt = jwt.ok_or(RelyingError::Unusable("no ID token"))?;
        self.verify(jwt, &metadata.jwks_uri, ask).await
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, RelyingError> {
        let held = self.inner.metadata.current().await;
        held.ok_or(RelyingError::Undiscovered)
    }

    async fn push(&self, par: &str, pairs: &[(&str, &str)]) -> Result<Hidden, RelyingError> {
        let members = read(&self.ask(par, pairs).await?)?;
        let uri = members.get("request_uri").and_then(Value::as_str);
        uri.filter(|uri| (1..=REQUEST_URI).contains(&uri.len()))
            .map(Hidden::from)
            .ok_or(RelyingError::Unusable("no request_uri"))
    }

    fn nonce(&self) -> MutexGuard<'_, Option<String>> {
        self.inner
            .nonce
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One authenticated form; once more with the provider's nonce, if it asks for that (RFC 9449 section 8).
    async fn ask(&self, url: &str, pairs: &[(&str, &str)]) -> Result<Answer, RelyingError> {
        let known = self.nonce().clone();
        let answer = self.send(url, pairs, known.as_deref()).await?;
        let given = answer.headers.get("dpop-nonce");
        let Some(given) = given.and_then(|nonce| nonce.to_str().ok()) else {
            return Ok(answer);
        };
        *self.nonce() = Some(given.to_owned());
        match refusal(&answer) == Some(OAuthCode::UseDpopNonce.as_str()) {
            true => self.send(url, pairs, Some(given)).await,
            false => Ok(answer),
        }
    }

    async fn send(
        &self,
        url: &str,
        pairs: &[(&str, &str)],
        nonce: Option<&str>,
    ) -> Result<Answer, RelyingError> {
        let Registration {
            issuer,
            client_id,
            key,
            dpop,
            ..
        } = &self.inner.registration;
        let now = (self.inner.clock)().seconds();
        let jti = || (self.inner.ids)().to_string();
        let assertion = assertion::make(client_id, issuer, key, now, &jti())?;
        let proved = [
            ("client_assertion_type", CLIENT_ASSERTION_TYPE),
            ("client_assertion", assertion.as_str()),
        ];
        let mut request = Request::post_form(url, pairs.iter().copied().chain(proved))
            .deadline(DEADLINE)
            .answer_bytes(BYTES);
        if *dpop {
            let proof = dpop::prove_with_nonce(
                &self.inner.proof_key,
                "POST",
                url,
                None,
                now,
                &jti(),
                nonce,
            )?;
            let proof = HeaderValue::try_from(proof)
                .map_err(|_| RelyingError::Unusable("its nonce is no header value"))?;
            request = request.header(HeaderName::from_static("dpop"), proof);
        }
        Ok(self.inner.http.send(&request).await?)
    }

    async fn verify(
        &self,
        jwt: &str,
        jwks_uri: &str,
        ask: SignIn<'_>,
    ) -> Result<IdToken, RelyingError> {
        let registration = &self.inner.registration;
        let held = self.keys_at(jwks_uri);
        let expected = Expected {
            issuer: &registration.issuer,
            client_id: &registration.client_id,
            algorithms: &registration.algorithms,
            nonce: ask.nonce,
            began: ask.began,
            max_age: ask.max_age,
            anew: ask.anew,
        };
        let now = (self.inner.clock)();
        let keys = held.current().await.ok_or(RelyingError::Undiscovered)?;
        match id_token::verify(jwt, &keys, expected, now) {
            Err(error) if error.unknown_key() => {
                let keys = held.after_unknown_key().await.ok_or(error)?;
                Ok(id_token::verify(jwt, &keys, expected, now)?)
            }
            verified => Ok(verified?),
        }
    }

    fn keys_at(&self, jwks_uri: &str) -> HeldKeys {
        let mut kept = self
            .inner
            .keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((url, keys)) if url == jwks_uri => keys.clone(),
            _ => {
                let keys = HeldKeys::new(
                    jwks_uri.to_owned(),
                    KeySet::parse_foreign,
                    self.inner.http.clone(),
                    self.inner.clock.clone(),
                );
                *kept = Some((jwks_uri.to_owned(), keys.clone()));
                keys
            }
        }
    }
}

/// The members of a successful answer.
fn read(answer: &Answer) -> Result<Map<String, Value>, RelyingError> {
    match refusal(answer) {
        Some(code) => Err(RelyingError::Refused(code)),
        None => trust::json::object(&answer.body)
            .map_err(|_| RelyingError::Unusable("not strict JSON, or no object")),
    }
}

/// The OAuth error code of a refusal, of the closed list.
fn refusal(answer: &Answer) -> Option<&'static str> {
    if answer.status.is_success() {
        return None;
    }
    let said = trust::json::object(&answer.body).ok();
    let said = said
        .as_ref()
        .and_then(|members| members.get("error")?.as_str());
    match said.and_then(OAuthCode::parse) {
        Some(code) => Some(code.as_str()),
        None if answer.status.is_server_error() || answer.status.as_u16() == 429 => {
            Some(OAuthCode::TemporarilyUnavailable.as_str())
        }
        None => Some("other"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use serde_json::json;

    const ISSUER: &str = "https://helseid-sts.test.nhn.no";

    fn document() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": format!("{ISSUER}/connect/authorize"),
            "token_endpoint": format!("{ISSUER}/connect/token"),
            "jwks_uri": format!("{ISSUER}/.well-known/openid-configuration/jwks"),
            "pushed_authorization_request_endpoint": format!("{ISSUER}/connect/par"),
            "authorization_response_iss_parameter_supported": true,
            "code_challenge_methods_supported": ["plain", "S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        })
    }

    #[test]
    fn a_discovery_document_is_the_issuers_own_or_nothing() {
        let read = |document: &Value| Metadata::read(document.to_string().as_bytes(), ISSUER);
        let metadata = read(&document()).unwrap();
        assert_eq!(metadata.token_endpoint, format!("{ISSUER}/connect/token"));
        assert!(metadata.iss && metadata.par.is_some());
        for (name, value) in [
            // fapi2-security-profile-final-client-test-discovery-issuer-mismatch
            ("issuer", json!("https://evil.example")),
            ("issuer", json!("https://helseid-sts.test.nhn.no/")),
            ("issuer", Value::Null),
            (
                "authorization_endpoint",
                json!("http://helseid-sts.test.nhn.no/a"),
            ),
            ("authorization_endpoint", json!("javascript:alert(1)")),
            (
                "token_endpoint",
                json!("https://user@helseid-sts.test.nhn.no/t"),
            ),
            ("token_endpoint", json!("/connect/token")),
            ("token_endpoint", Value::Null),
            ("jwks_uri", json!("https://helseid-sts.test.nhn.no/#k")),
            ("pushed_authorization_request_endpoint", json!("ftp://x/")),
            ("code_challenge_methods_supported", json!(["plain"])),
            (
                "token_endpoint_auth_methods_supported",
                json!(["client_secret_basic"]),
            ),
            ("response_types_supported", json!(["id_token"])),
        ] {
            let mut wrong = document();
            wrong[name] = value.clone();
            assert!(read(&wrong).is_err(), "{name} {value}");
        }
        let twice = document()
            .to_string()
            .replacen('{', "{\"issuer\":\"x\",", 1);
        assert!(Metadata::read(twice.as_bytes(), ISSUER).is_err());
    }
}
