//! What a registered client sends the anchor on behalf of somebody at a browser: pushed requests, codes, renewals, and the
//! launches of a record system (RFC 9126, RFC 6749, RFC 9449; SMART App Launch 2.2). Each goes with a client assertion and a proof by
//! the key of that somebody's session.

use super::{Party, TOKEN_BYTES, TOKEN_DEADLINE, refusal};
use crate::client::{Answer, PeerError, Request};
use crate::contract::anchor::CLIENT_ASSERTION_TYPE;
use crate::oauth_error::OAuthCode;
use http::{HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use trust::keys::SigningKey;
use trust::{assertion, dpop};

impl Party {
    /// The issuer's token endpoint.
    pub fn token_endpoint(&self) -> &str {
        &self.inner.token_endpoint
    }

    /// Posts a form to an endpoint of the anchor as this client, with a proof by `key`; once more with the anchor's nonce, where it
    /// asks for one.
    ///
    /// # Errors
    /// [`PeerError::Token`] with the OAuth code of a refusal (`other` for one that is none), others where no usable answer came.
    pub async fn post_as_client<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        form: &[(&str, &str)],
        key: &SigningKey,
    ) -> Result<T, PeerError> {
        self.send_as_client(endpoint, form, key).await?.json()
    }

    /// The same for an answer that says nothing more than that it was done.
    ///
    /// # Errors
    /// As [`Party::post_as_client`].
    pub async fn send_as_client(
        &self,
        endpoint: &str,
        form: &[(&str, &str)],
        key: &SigningKey,
    ) -> Result<Answer, PeerError> {
        let mut answer = self.post_once(endpoint, form, key, None).await?;
        if !answer.status.is_success() && refusal(&answer) == OAuthCode::UseDpopNonce.as_str() {
            let nonce = answer.headers.get("dpop-nonce");
            let nonce = nonce.and_then(|value| value.to_str().ok().map(str::to_owned));
            answer = self
                .post_once(endpoint, form, key, nonce.as_deref())
                .await?;
        }
        match answer.status.is_success() {
            true => Ok(answer),
            false => Err(PeerError::Token(refusal(&answer))),
        }
    }

    async fn post_once(
        &self,
        endpoint: &str,
        form: &[(&str, &str)],
        key: &SigningKey,
        nonce: Option<&str>,
    ) -> Result<Answer, PeerError> {
        let inner = &self.inner;
        let now = (inner.clock)().seconds();
        let asserted = assertion::make(
            &inner.client_id,
            &inner.issuer,
            &inner.key,
            now,
            &inner.jti(),
        )
        .map_err(|_| PeerError::Unusable("no client assertion can be made"))?;
        let own = [
            ("client_assertion_type", CLIENT_ASSERTION_TYPE),
            ("client_assertion", asserted.as_str()),
        ];
        let request = Request::post_form(endpoint, own.into_iter().chain(form.iter().copied()));
        let proof = dpop::prove_with_nonce(
            key,
            request.method.as_str(),
            &request.url,
            None,
            now,
            &inner.jti(),
            nonce,
        )
        .map_err(|_| PeerError::Address("no proof can be made for it"))?;
        let proof = HeaderValue::try_from(proof)
            .map_err(|_| PeerError::Unusable("the proof is not a header value"))?;
        let request = request
            .header(HeaderName::from_static("dpop"), proof)
            .deadline(TOKEN_DEADLINE)
            .answer_bytes(TOKEN_BYTES);
        inner.http.send(&request).await
    }
}
