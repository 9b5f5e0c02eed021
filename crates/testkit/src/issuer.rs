//! A stand-in for the anchor in tests of one party alone: a key, its key set over HTTP, and tokens signed as the test
//! wants them. It keeps no rules; the real anchor has them.

use axum::Router;
use axum::routing::get;
use fhir::ids::OrganisationNumber;
use fhir::time::Instant;
use http::Method;
use std::net::Ipv4Addr;
use tokio::net::TcpListener;
use trust::ClientUse;
use trust::dpop;
use trust::keys::{KeyError, KeySet, SigningKey};
use trust::token::{self, Claims};

/// The issuer's key and address. Ends with the runtime that started it.
#[derive(Clone, Debug)]
pub struct Issuer {
    key: SigningKey,
    url: String,
}

/// A caller's own key, with which its tokens are bound and its proofs signed.
#[derive(Clone, Debug)]
pub struct ProofKey(SigningKey);

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
        let answer = move || {
            std::future::ready((
                [(http::header::CONTENT_TYPE, "application/json")],
                jwks.clone(),
            ))
        };
        let router = Router::new().route(wire::contract::anchor::JWKS, get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { key, url })
    }

    /// The issuer's name, which is its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its keys are.
    pub fn jwks_url(&self) -> String {
        format!("{}{}", self.url, wire::contract::anchor::JWKS)
    }

    /// Claims of a client that acts for itself: five minutes from `now`, bound to `proof`'s key.
    ///
    /// # Errors
    /// When `orgnr` is no organisation number.
    pub fn system_claims(
        &self,
        client_id: &str,
        use_: ClientUse,
        orgnr: &str,
        audience: &str,
        scope: &str,
        proof: &ProofKey,
        now: Instant,
    ) -> Result<Claims, fhir::ids::IdError> {
        let orgnr = OrganisationNumber::parse(orgnr)?;
        let seconds = now.seconds();
        let json = serde_json::json!({
            "iss": self.url, "aud": audience, "sub": client_id, "client_id": client_id,
            "iat": seconds, "nbf": seconds, "exp": seconds + 300, "jti": uuid::Uuid::new_v4(), "scope": scope,
            "cnf": { "jkt": proof.0.thumbprint() },
            "helseid://claims/client/claims/orgnr_parent": orgnr.as_str(),
            "https://delt.example/claims/use": use_,
            "https://delt.example/claims/kind": "system",
        });
        Ok(serde_json::from_value(json)
            .expect("the members above are those of Claims, which this crate's tests read"))
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
