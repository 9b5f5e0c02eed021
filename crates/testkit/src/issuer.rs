//! A stand-in for the anchor in tests of one party alone: a key, its key set and a token endpoint over HTTP, and tokens
//! signed as the test wants them. It keeps no rules: whoever asks gets what was asked for. The real anchor has the rules.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use fhir::ids::OrganisationNumber;
use fhir::time::Instant;
use http::{HeaderMap, Method, StatusCode};
use std::net::Ipv4Addr;
use tokio::net::TcpListener;
use trust::ClientUse;
use trust::dpop;
use trust::keys::{KeyError, KeySet, SigningKey};
use trust::token::{self, Claims};
use wire::contract::anchor::{self, TokenAnswer};
use wire::contract::demo::{ClientFile, PrivateJwk};

/// The issuer's key and address. Ends with the runtime that started it.
#[derive(Clone, Debug)]
pub struct Issuer {
    key: SigningKey,
    url: String,
}

/// A caller's own key, with which its tokens are bound and its proofs signed.
#[derive(Clone, Debug)]
pub struct ProofKey(SigningKey);

/// A client that acts for itself.
#[derive(Clone, Copy, Debug)]
pub struct SystemClient<'a> {
    /// OAuth client id.
    pub client_id: &'a str,
    /// What it is registered for.
    pub use_: ClientUse,
    /// Its organisation.
    pub orgnr: &'a str,
}

impl Issuer {
    /// Starts one on a free port of the loopback.
    ///
    /// # Errors
    /// When there is no port or no randomness.
    pub async fn start() -> std::io::Result<Self> {
        let key = SigningKey::generate().map_err(std::io::Error::other)?;
        let jwks = KeySet::of(vec![key.public().clone()])
            .map_err(std::io::Error::other)?
            .to_jwks()
            .to_string();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let keys = move || {
            std::future::ready((
                [(http::header::CONTENT_TYPE, "application/json")],
                jwks.clone(),
            ))
        };
        let shared = Self { key, url };
        let router = Router::new()
            .route(anchor::JWKS, get(keys))
            .route(anchor::TOKEN, post(give_token))
            .with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(shared)
    }

    /// The issuer's name, which is its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its keys are.
    pub fn jwks_url(&self) -> String {
        format!("{}{}", self.url, anchor::JWKS)
    }

    /// Claims of a client that acts for itself: five minutes from `now`, bound to the key with thumbprint `jkt`.
    ///
    /// # Errors
    /// When its organisation number is none.
    pub fn system_claims(
        &self,
        client: SystemClient<'_>,
        audience: &str,
        scope: &str,
        jkt: &str,
        now: Instant,
    ) -> Result<Claims, fhir::ids::IdError> {
        claims(&self.url, client, audience, scope, jkt, now)
    }

    /// A client file for a party of this issuer.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn client_file(
        &self,
        client: SystemClient<'_>,
        audience: &str,
    ) -> Result<ClientFile, KeyError> {
        let key = SigningKey::generate()?;
        let jwk = serde_json::from_str(&key.to_private_jwk()).map_err(|_| KeyError::Malformed)?;
        Ok(ClientFile {
            client_id: client.client_id.to_owned(),
            orgnr: client.orgnr.to_owned(),
            use_: client.use_,
            issuer: self.url.clone(),
            token_endpoint: format!("{}{}", self.url, anchor::TOKEN),
            jwk: PrivateJwk(jwk),
            scopes: Vec::new(),
            audiences: vec![audience.to_owned()],
        })
    }

    /// Signs claims as they are.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        token::issue(claims, &self.key)
    }
}

impl ProofKey {
    /// A new one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        SigningKey::generate().map(Self)
    }

    /// Its thumbprint (RFC 7638).
    pub fn jkt(&self) -> &str {
        self.0.thumbprint()
    }

    /// The `DPoP` header of one request with a token.
    ///
    /// # Errors
    /// When the URL is none or signing fails.
    pub fn proof(
        &self,
        method: &Method,
        url: &str,
        access_token: &str,
        now: Instant,
    ) -> Result<String, KeyError> {
        let jti = uuid::Uuid::new_v4().to_string();
        dpop::prove(
            &self.0,
            method.as_str(),
            url,
            Some(&dpop::ath(access_token)),
            now.seconds(),
            &jti,
        )
    }
}

fn claims(
    issuer: &str,
    client: SystemClient<'_>,
    audience: &str,
    scope: &str,
    jkt: &str,
    now: Instant,
) -> Result<Claims, fhir::ids::IdError> {
    let orgnr = OrganisationNumber::parse(client.orgnr)?;
    let seconds = now.seconds();
    let json = serde_json::json!({
        "iss": issuer, "aud": audience, "sub": client.client_id, "client_id": client.client_id,
        "iat": seconds, "nbf": seconds, "exp": seconds + 300, "jti": uuid::Uuid::new_v4(), "scope": scope,
        "cnf": { "jkt": jkt },
        "helseid://claims/client/claims/orgnr_parent": orgnr.as_str(),
        "https://delt.example/claims/use": client.use_,
        "https://delt.example/claims/kind": "system",
    });
    Ok(serde_json::from_value(json)
        .expect("the members above are those of Claims, which this crate's tests read"))
}

/// Gives a token for whatever resource and scope the form names, bound to the key of the proof.
async fn give_token(State(issuer): State<Issuer>, headers: HeaderMap, form: String) -> Response {
    let answer = || {
        let form = wire::form::Form::parse(form.as_bytes()).ok()?;
        let field = |name: &str| form.get(name);
        let proof = headers.get("dpop")?.to_str().ok()?;
        let url = format!("{}{}", issuer.url, anchor::TOKEN);
        let proof = dpop::verify(proof, "POST", &url, None, None, crate::clients::now()).ok()?;
        let client = SystemClient {
            client_id: "test-client",
            use_: ClientUse::Service,
            orgnr: "310001287",
        };
        let (resource, scope) = (field("resource")?, field("scope")?);
        let claims = claims(
            &issuer.url,
            client,
            resource,
            scope,
            &proof.jkt,
            crate::clients::now(),
        )
        .ok()?;
        let access_token = issuer.sign(&claims).ok()?.into();
        Some(TokenAnswer {
            access_token,
            token_type: "DPoP".into(),
            expires_in: 300,
            scope: None,
            issued_token_type: None,
        })
    };
    match answer() {
        Some(answer) => axum::Json(answer).into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}
