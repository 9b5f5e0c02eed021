//! One of our parts speaking as itself or for a user: client assertion, DPoP-bound tokens kept until shortly before they
//! end, one request to the anchor however many callers wait, one repeat after a 401 or with the anchor's nonce
//! (RFC 7523, RFC 8693, RFC 9449; CONTRACT sections 2 and 4).

mod front;

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fhir::time::Instant;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use http::{HeaderName, HeaderValue, StatusCode, header};
use store::{Clock, Ids};
use trust::keys::{KeySet, SigningKey};
use trust::{assertion, dpop};

use super::{Answer, Http, PeerError, Request};
use crate::contract::Hidden;
use crate::contract::anchor::{ClientCredentialsForm, TokenAnswer, TokenExchangeForm};
use crate::contract::demo::{ClientFile, is_sample};
use crate::oauth_error::OAuthCode;
use crate::receipt::Receipt;

/// A token is not used in its last seconds.
const MARGIN_SECONDS: i64 = 30;
/// How long the anchor may take.
const TOKEN_DEADLINE: std::time::Duration = std::time::Duration::from_secs(3);
/// Largest token answer.
const TOKEN_BYTES: usize = 64 * 1024;
/// Tokens kept at most; with more, those that ended go first, then all.
const KEPT: usize = 20_000;

/// Why a client file was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartyError {
    /// It cannot be read.
    #[error("the client file cannot be read: {0}")]
    Io(std::io::ErrorKind),
    /// Group or others may read it.
    #[error("the client file may be read by others than its owner; make its mode 0600")]
    NotPrivate,
    /// Not the JSON of CONTRACT section 2.
    #[error("the client file is not what the contract says, at line {line} column {column}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column.
        column: usize,
    },
    /// The key is not a private P-256 key.
    #[error("the client file's key: {0}")]
    Key(#[from] trust::keys::KeyError),
    /// The key is the demo's or is printed in a standard, and the issuer is not on this machine.
    #[error(
        "the client file's key is a sample that others have too; make one with `delt client-key`"
    )]
    Sample,
}

/// Is this issuer on this machine, as a demo's is?
fn is_here(issuer: &str) -> bool {
    let Ok(url) = url::Url::parse(issuer) else {
        return false;
    };
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// An access token bound to this party's key.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    access: Hidden,
    ath: Arc<str>,
    good_until: Instant,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token(until {})", self.good_until)
    }
}

impl Token {
    /// Until when it is used, a little before it ends.
    pub fn good_until(&self) -> Instant {
        self.good_until
    }
}

/// For whom and what a token is: the subject token's hash for an exchange, audience, scope.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Purpose {
    subject: Option<[u8; 32]>,
    audience: String,
    scope: String,
}

type Flight = Shared<BoxFuture<'static, Result<Token, PeerError>>>;

enum Slot {
    Kept(Token),
    Coming(Flight),
}

/// A registered client. Clones share key and tokens.
#[derive(Clone)]
pub struct Party {
    inner: Arc<Inner>,
}

struct Inner {
    client_id: String,
    organisation: String,
    audiences: Vec<String>,
    issuer: String,
    token_endpoint: String,
    /// Signs client assertions; registered at the anchor.
    key: SigningKey,
    /// Signs DPoP proofs; made at start and never written down.
    proof_key: SigningKey,
    http: Http,
    clock: Clock,
    ids: Ids,
    tokens: Mutex<HashMap<Purpose, Slot>>,
    /// The token endpoint's last nonce, where it gives any (RFC 9449 section 8).
    nonce: Mutex<Option<String>>,
}

impl std::fmt::Debug for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Party({})", self.inner.client_id)
    }
}

impl Party {
    /// Reads a client file of CONTRACT section 2. Refuses a file that group or others may read.
    ///
    /// # Errors
    /// [`PartyError`].
    pub fn from_file(path: &Path, http: Http, clock: Clock, ids: Ids) -> Result<Self, PartyError> {
        Self::new(Self::read(path)?, http, clock, ids)
    }

    /// The content of a client file. Refuses a file that group or others may read.
    ///
    /// # Errors
    /// [`PartyError`], but not [`PartyError::Key`].
    pub fn read(path: &Path) -> Result<ClientFile, PartyError> {
        let io = |error: std::io::Error| PartyError::Io(error.kind());
        let mode = std::fs::metadata(path).map_err(io)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(PartyError::NotPrivate);
        }
        let text = std::fs::read(path).map_err(io)?;
        serde_json::from_slice(&text).map_err(|error| PartyError::Malformed {
            line: error.line(),
            column: error.column(),
        })
    }

    /// The same from a file's content.
    ///
    /// # Errors
    /// [`PartyError::Key`], and [`PartyError::Sample`] for a key that others have too: the demo's are for a demo on this machine.
    pub fn new(file: ClientFile, http: Http, clock: Clock, ids: Ids) -> Result<Self, PartyError> {
        let key = SigningKey::from_jwk(&file.jwk.0.to_string())?;
        if is_sample(key.public()) && !is_here(&file.issuer) {
            return Err(PartyError::Sample);
        }
        let proof_key = SigningKey::generate()?;
        let inner = Inner {
            client_id: file.client_id,
            organisation: file.orgnr,
            audiences: file.audiences,
            issuer: file.issuer,
            token_endpoint: file.token_endpoint,
            key,
            proof_key,
            http,
            clock,
            ids,
            tokens: Mutex::default(),
            nonce: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The client id.
    pub fn client_id(&self) -> &str {
        &self.inner.client_id
    }

    /// The organisation number it is registered for.
    pub fn organisation(&self) -> &str {
        &self.inner.organisation
    }

    /// Whether its file says that it is registered to ask for tokens of this audience.
    pub fn may_ask(&self, audience: &str) -> bool {
        self.inner.audiences.iter().any(|one| one == audience)
    }

    /// Thumbprint of the key its tokens are bound to.
    pub fn jkt(&self) -> &str {
        self.inner.proof_key.thumbprint()
    }

    /// Signs a completeness receipt with this client's registered key.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign_receipt(&self, receipt: Receipt) -> Result<Receipt, trust::keys::KeyError> {
        receipt.sign(&self.inner.key)
    }

    /// Signs a statement of its own with this client's registered key, as a compact JWS.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign(
        &self,
        typ: &str,
        claims: &serde_json::Value,
    ) -> Result<String, trust::keys::KeyError> {
        trust::jws::sign(typ, claims, &self.inner.key)
    }

    /// Signs bytes that stand elsewhere with this client's registered key (`header..signature`).
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign_detached(
        &self,
        typ: &str,
        payload: &[u8],
    ) -> Result<String, trust::keys::KeyError> {
        trust::jws::sign_detached(typ, payload, &self.inner.key)
    }

    /// Whether a detached signature over these bytes is this client's own.
    pub(crate) fn has_signed_detached(&self, signature: &str, typ: &str, payload: &[u8]) -> bool {
        let own = KeySet::of(vec![self.inner.key.public().clone()]);
        own.is_ok_and(|own| trust::jws::verify_detached(signature, typ, payload, &own).is_ok())
    }

    /// Who gives it its tokens: the anchor's URL.
    pub fn issuer(&self) -> &str {
        &self.inner.issuer
    }

    /// The public half of its registered key, as a key set: what its receipts are verified with.
    pub fn public_keys(&self) -> serde_json::Value {
        serde_json::json!({"keys": [self.inner.key.public_jwk()]})
    }

    /// Sends a request as this client: a token for `audience` and `scope` (kept or new), a proof, and one repeat with a
    /// new token after a 401.
    ///
    /// # Errors
    /// [`PeerError`]; an answer of any status is not an error.
    pub async fn send(
        &self,
        audience: &str,
        scope: &str,
        request: Request,
    ) -> Result<Answer, PeerError> {
        self.sent(None, audience, scope, &request).await
    }

    /// The same in a user's name: exchanges the user's token for one of `audience` (kept until it ends).
    ///
    /// # Errors
    /// [`PeerError`]; an answer of any status is not an error.
    pub async fn send_for(
        &self,
        subject_token: &str,
        audience: &str,
        scope: &str,
        request: Request,
    ) -> Result<Answer, PeerError> {
        self.sent(Some(subject_token), audience, scope, &request)
            .await
    }

    /// A token of this client for itself.
    ///
    /// # Errors
    /// [`PeerError::Token`] when the anchor refuses, others when it cannot be reached.
    pub async fn token(&self, audience: &str, scope: &str) -> Result<Token, PeerError> {
        self.token_for(None, audience, scope).await
    }

    /// Token exchange (CONTRACT section 4): a token for one provider in the user's name. Kept in memory by the subject
    /// token's hash, audience and scope until it ends.
    ///
    /// # Errors
    /// As [`Party::token`].
    pub async fn exchange(
        &self,
        subject_token: &str,
        audience: &str,
        scope: &str,
    ) -> Result<Token, PeerError> {
        self.token_for(Some(subject_token), audience, scope).await
    }

    /// The same when `used` was not taken: it is forgotten, and one is asked for anew.
    ///
    /// # Errors
    /// As [`Party::token`].
    pub async fn exchange_again(
        &self,
        subject_token: &str,
        audience: &str,
        scope: &str,
        used: &Token,
    ) -> Result<Token, PeerError> {
        let purpose = Purpose::of(Some(subject_token), audience, scope);
        self.inner.forget(&purpose, used);
        self.token_for(Some(subject_token), audience, scope).await
    }

    /// Sends one request with a token that is at hand. No repeat.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn send_as(&self, token: &Token, request: Request) -> Result<Answer, PeerError> {
        self.inner.send_as(token, &request).await
    }

    async fn sent(
        &self,
        subject: Option<&str>,
        audience: &str,
        scope: &str,
        request: &Request,
    ) -> Result<Answer, PeerError> {
        let token = self.token_for(subject, audience, scope).await?;
        let answer = self.inner.send_as(&token, request).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.inner
            .forget(&Purpose::of(subject, audience, scope), &token);
        let token = self.token_for(subject, audience, scope).await?;
        self.inner.send_as(&token, request).await
    }

    async fn token_for(
        &self,
        subject: Option<&str>,
        audience: &str,
        scope: &str,
    ) -> Result<Token, PeerError> {
        let purpose = Purpose::of(subject, audience, scope);
        let flight = {
            let mut tokens = self.inner.tokens();
            match tokens.get(&purpose) {
                Some(Slot::Kept(token)) if token.good_until > (self.inner.clock)() => {
                    return Ok(token.clone());
                }
                // One that has ended without clearing its place ended in a panic; the next starts anew.
                Some(Slot::Coming(flight)) if flight.peek().is_none() => flight.clone(),
                _ => {
                    make_room(&mut tokens, (self.inner.clock)());
                    let flight = self.depart(purpose.clone(), subject.map(str::to_owned));
                    tokens.insert(purpose, Slot::Coming(flight.clone()));
                    flight
                }
            }
        };
        flight.await
    }

    /// Starts the one request to the anchor that every waiting caller shares. It runs on even if they all leave.
    fn depart(&self, purpose: Purpose, subject: Option<String>) -> Flight {
        let inner = self.inner.clone();
        let task = tokio::spawn(async move {
            let result = inner.ask_anchor(&purpose, subject.as_deref()).await;
            let mut tokens = inner.tokens();
            match &result {
                Ok(token) => tokens.insert(purpose, Slot::Kept(token.clone())),
                Err(_) => tokens.remove(&purpose),
            };
            result
        });
        task.map(|joined| joined.unwrap_or(Err(PeerError::Broken)))
            .boxed()
            .shared()
    }
}

impl Purpose {
    fn of(subject: Option<&str>, audience: &str, scope: &str) -> Self {
        Self {
            subject: subject.map(|token| trust::encoding::sha256(token.as_bytes())),
            audience: audience.to_owned(),
            scope: scope.to_owned(),
        }
    }
}

fn make_room(tokens: &mut HashMap<Purpose, Slot>, now: Instant) {
    if tokens.len() < KEPT {
        return;
    }
    tokens.retain(|_, slot| {
        matches!(slot, Slot::Kept(token) if token.good_until > now)
            || matches!(slot, Slot::Coming(_))
    });
    if tokens.len() >= KEPT {
        tokens.retain(|_, slot| matches!(slot, Slot::Coming(_)));
    }
}

impl Inner {
    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<Purpose, Slot>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, purpose: &Purpose, used: &Token) {
        let mut tokens = self.tokens();
        if matches!(tokens.get(purpose), Some(Slot::Kept(kept)) if kept == used) {
            tokens.remove(purpose);
        }
    }

    fn jti(&self) -> String {
        (self.ids)().to_string()
    }

    fn proof(
        &self,
        request: &Request,
        ath: Option<&str>,
        nonce: Option<&str>,
    ) -> Result<HeaderValue, PeerError> {
        let now = (self.clock)().seconds();
        let proof = dpop::prove_with_nonce(
            &self.proof_key,
            request.method.as_str(),
            &request.url,
            ath,
            now,
            &self.jti(),
            nonce,
        )
        .map_err(|_| PeerError::Address("no proof can be made for it"))?;
        HeaderValue::try_from(proof)
            .map_err(|_| PeerError::Unusable("the proof is not a header value"))
    }

    async fn send_as(&self, token: &Token, request: &Request) -> Result<Answer, PeerError> {
        let mut authorization = HeaderValue::try_from(format!("DPoP {}", token.access.expose()))
            .map_err(|_| PeerError::Unusable("the token is not a header value"))?;
        authorization.set_sensitive(true);
        let proof = self.proof(request, Some(&token.ath), None)?;
        let request = request
            .clone()
            .header(header::AUTHORIZATION, authorization)
            .header(HeaderName::from_static("dpop"), proof);
        self.http.send(&request).await
    }

    /// Asks, and asks again once with a nonce that the anchor gave.
    async fn ask_anchor(
        &self,
        purpose: &Purpose,
        subject: Option<&str>,
    ) -> Result<Token, PeerError> {
        let wants_nonce = PeerError::Token(OAuthCode::UseDpopNonce.as_str());
        match self.ask_anchor_once(purpose, subject).await {
            Err(error) if error == wants_nonce => self.ask_anchor_once(purpose, subject).await,
            answer => answer,
        }
    }

    fn nonce(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.nonce.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_anchor_once(
        &self,
        purpose: &Purpose,
        subject: Option<&str>,
    ) -> Result<Token, PeerError> {
        let now = (self.clock)();
        let assertion = assertion::make(
            &self.client_id,
            &self.issuer,
            &self.key,
            now.seconds(),
            &self.jti(),
        )
        .map_err(|_| PeerError::Unusable("no client assertion can be made"))?;
        let (audience, scope) = (purpose.audience.clone(), purpose.scope.clone());
        let request = match subject {
            None => {
                let form = ClientCredentialsForm {
                    client_assertion: assertion.into(),
                    resource: audience,
                    scope,
                };
                Request::post_form(&self.token_endpoint, form.pairs())
            }
            Some(subject) => {
                let form = TokenExchangeForm {
                    client_assertion: assertion.into(),
                    subject_token: subject.into(),
                    resource: audience,
                    scope,
                };
                Request::post_form(&self.token_endpoint, form.pairs())
            }
        };
        let nonce = self.nonce().clone();
        let proof = self.proof(&request, None, nonce.as_deref())?;
        let request = request
            .header(HeaderName::from_static("dpop"), proof)
            .deadline(TOKEN_DEADLINE)
            .answer_bytes(TOKEN_BYTES);
        let answer = self.http.send(&request).await?;
        let given = answer.headers.get("dpop-nonce");
        if let Some(given) = given.and_then(|value| value.to_str().ok()) {
            *self.nonce() = Some(given.to_owned());
        }
        if !answer.status.is_success() {
            return Err(PeerError::Token(refusal(&answer)));
        }
        let token: TokenAnswer = answer.json()?;
        if !token.token_type.eq_ignore_ascii_case("DPoP") {
            return Err(PeerError::Unusable("the token is not bound to our key"));
        }
        let life = i64::from(token.expires_in);
        let used_for = (life - MARGIN_SECONDS).max(life / 2);
        Ok(Token {
            ath: dpop::ath(token.access_token.expose()).into(),
            access: token.access_token,
            good_until: Instant::from_seconds(now.seconds().saturating_add(used_for)),
        })
    }
}

/// The OAuth error code of a refusal, from the closed list.
fn refusal(answer: &Answer) -> &'static str {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: String,
    }
    let said = serde_json::from_slice::<Refusal>(&answer.body).ok();
    match said.and_then(|refusal| OAuthCode::parse(&refusal.error)) {
        Some(code) => code.as_str(),
        None if answer.status.is_server_error() => OAuthCode::TemporarilyUnavailable.as_str(),
        None => "other",
    }
}
