//! How token endpoints refuse: OAuth 2.0 error JSON (RFC 6749 sections 4.1.2.1 and 5.2, RFC 7009, RFC 8693, RFC 9396,
//! RFC 9449, OpenID Connect Core section 3.1.2.6), with nothing that tells
//! whether a client exists (threats-and-faults.md section 2).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::form::FormFault;

/// The closed list of error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standards' own")]
pub enum OAuthCode {
    InvalidClient,
    InvalidRequest,
    InvalidGrant,
    InvalidScope,
    InvalidTarget,
    InvalidDpopProof,
    UseDpopNonce,
    InvalidAuthorizationDetails,
    UnsupportedGrantType,
    UnauthorizedClient,
    UnsupportedResponseType,
    UnsupportedTokenType,
    AccessDenied,
    LoginRequired,
    TemporarilyUnavailable,
    ServerError,
}

impl OAuthCode {
    const ALL: [Self; 16] = [
        Self::InvalidClient,
        Self::InvalidRequest,
        Self::InvalidGrant,
        Self::InvalidScope,
        Self::InvalidTarget,
        Self::InvalidDpopProof,
        Self::UseDpopNonce,
        Self::InvalidAuthorizationDetails,
        Self::UnsupportedGrantType,
        Self::UnauthorizedClient,
        Self::UnsupportedResponseType,
        Self::UnsupportedTokenType,
        Self::AccessDenied,
        Self::LoginRequired,
        Self::TemporarilyUnavailable,
        Self::ServerError,
    ];

    /// The word as it travels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidClient => "invalid_client",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::InvalidAuthorizationDetails => "invalid_authorization_details",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// The code that a peer's word means; `None` for words outside the list.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }

    /// The status it is answered with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// A refusal of a token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthError {
    /// Which.
    pub code: OAuthCode,
    /// In words for the client's developer; no value that was sent, no person.
    pub description: String,
    /// The method that should have been used, for 405.
    allow: Option<&'static str>,
}

impl OAuthError {
    /// A refusal with words.
    pub fn new(code: OAuthCode, description: impl Into<String>) -> Self {
        Self {
            code,
            description: description.into(),
            allow: None,
        }
    }

    /// 405: only this method is offered.
    pub fn method(allow: &'static str) -> Self {
        Self {
            code: OAuthCode::InvalidRequest,
            description: format!("use {allow}"),
            allow: Some(allow),
        }
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        if self.allow.is_some() {
            StatusCode::METHOD_NOT_ALLOWED
        } else {
            self.code.status()
        }
    }
}

impl From<FormFault> for OAuthError {
    fn from(fault: FormFault) -> Self {
        Self::new(OAuthCode::InvalidRequest, fault.to_string())
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body =
            serde_json::json!({"error": self.code.as_str(), "error_description": self.description})
                .to_string();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.code == OAuthCode::TemporarilyUnavailable {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_only_a_client_fault_is_401() {
        for code in OAuthCode::ALL {
            assert_eq!(OAuthCode::parse(code.as_str()), Some(code));
        }
        assert_eq!(OAuthCode::parse("invalid"), None);
        assert_eq!(
            OAuthError::new(OAuthCode::InvalidClient, "").status(),
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(
            OAuthError::new(OAuthCode::InvalidScope, "").status(),
            StatusCode::BAD_REQUEST
        );
        assert_eq!(
            OAuthError::method("POST").status(),
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
}
