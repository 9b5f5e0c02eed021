//! One id for one request across every party (CONTRACT section 7). A front door (gateway, hub, portal) makes a new one
//! and keeps the caller's in another field; a party behind it joins the one it was sent, so that the audit records on
//! both sides can be joined.

use axum::Router;
use axum::extract::Request;
use axum::middleware::Next;
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::contract::REQUEST_ID_HEADER;

/// Longest caller's id that is kept.
const CALLERS_LENGTH: usize = 64;

/// The ids of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestIds {
    /// The id in our audit record, in our answer and in what we ask of others.
    pub ours: Uuid,
    /// What the caller called it, when that is another id: at most 64 letters, digits and `-_.:`; anything else is not
    /// kept, since it would reach logs.
    pub callers: Option<String>,
}

/// Which id counts at this party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// A front door: always a new id.
    Front,
    /// Behind a front door: the UUID that was sent, else a new one.
    Behind,
}

impl RequestIds {
    /// Reads the header and makes an id where one is needed.
    pub fn read(headers: &HeaderMap, join: Join, ids: &store::Ids) -> Self {
        let sent = headers
            .get(REQUEST_ID_HEADER)
            .and_then(|value| value.to_str().ok())
            .map(str::trim);
        let parsed = sent.and_then(|text| Uuid::try_parse(text).ok());
        if let (Join::Behind, Some(ours)) = (join, parsed) {
            return Self {
                ours,
                callers: None,
            };
        }
        let harmless = |text: &&str| {
            !text.is_empty()
                && text.len() <= CALLERS_LENGTH
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
                // A caller that puts a person's number here gets it neither logged nor stored.
                && !holds_eleven_digits(text)
        };
        Self {
            ours: ids(),
            callers: sent.filter(harmless).map(str::to_owned),
        }
    }
}

/// Eleven digits in a row, no more and no fewer, could be a person's number.
fn holds_eleven_digits(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit())
        .any(|run| run.len() == 11)
}

/// Gives every request of a router its [`RequestIds`] (as an extension) and every answer the header.
pub fn layer(router: Router, join: Join, ids: store::Ids) -> Router {
    router.layer(axum::middleware::from_fn(
        move |mut request: Request, next: Next| {
            let read = RequestIds::read(request.headers(), join, &ids);
            let ours = read.ours;
            request.extensions_mut().insert(read);
            async move {
                let mut response = next.run(request).await;
                if let Ok(value) = HeaderValue::try_from(ours.to_string()) {
                    response
                        .headers_mut()
                        .insert(HeaderName::from_static(REQUEST_ID_HEADER), value);
                }
                response
            }
        },
    ))
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for RequestIds {
    type Rejection = crate::outcome::Problem;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        _: &S,
    ) -> Result<Self, Self::Rejection> {
        parts
            .extensions
            .get::<RequestIds>()
            .cloned()
            .ok_or_else(|| {
                crate::outcome::Problem::bug("a route was built without wire::request_id::layer")
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use std::sync::Arc;

    const SENT: &str = "3f0a8c1e-9d5b-4c52-8a40-0c7c8b1f2d11";

    fn read(value: &str, join: Join) -> RequestIds {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID_HEADER, HeaderValue::from_str(value).unwrap());
        let ids: store::Ids = Arc::new(|| Uuid::from_u128(7));
        RequestIds::read(&headers, join, &ids)
    }

    #[test]
    fn a_front_door_makes_its_own_and_keeps_the_callers() {
        let ids = read(SENT, Join::Front);
        assert_eq!(
            (ids.ours, ids.callers.as_deref()),
            (Uuid::from_u128(7), Some(SENT))
        );
    }

    #[test]
    fn a_party_behind_joins_a_uuid_and_keeps_anything_else_apart() {
        assert_eq!(
            read(SENT, Join::Behind),
            RequestIds {
                ours: SENT.parse().unwrap(),
                callers: None
            }
        );
        let ids = read("batch-7.1", Join::Behind);
        assert_eq!(
            (ids.ours, ids.callers.as_deref()),
            (Uuid::from_u128(7), Some("batch-7.1"))
        );
    }

    #[test]
    fn strange_ids_and_person_numbers_are_not_kept() {
        for strange in [
            "",
            "a b",
            "a\"b",
            "14835210260",
            "x-14835210260-y",
            &"a".repeat(65),
        ] {
            assert_eq!(read(strange, Join::Front).callers, None, "{strange}");
        }
        assert!(read("20260101123000", Join::Front).callers.is_some());
    }
}
