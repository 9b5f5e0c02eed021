//! Reading a request's body: media type, size cap and time limit, before anything is parsed
//! (threats-and-faults.md sections 3 and 4).

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use fhir::outcome::IssueCode;
use http::{HeaderMap, Uri, header};
use http_body_util::BodyExt;

use crate::form::Form;
use crate::outcome::Problem;

/// A body must arrive within this time.
pub const BODY_TIME: Duration = Duration::from_secs(30);
/// Media types of a FHIR JSON body.
pub const FHIR_TYPES: [&str; 3] = [
    "application/fhir+json",
    "application/json",
    "application/json+fhir",
];

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Longer than the limit, announced or not.
    #[error("the body is too long")]
    TooLong,
    /// It did not arrive in time.
    #[error("the body did not arrive in time")]
    Slow,
    /// The connection broke or the framing is wrong.
    #[error("the body broke off")]
    Broken,
}

/// Whether the `Content-Type` is one of these (parameters ignored; a charset other than UTF-8 is refused).
pub fn media_type_is(headers: &HeaderMap, accepted: &[&str]) -> bool {
    let Some(text) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    let named = parts
        .next()
        .is_some_and(|named| accepted.iter().any(|one| named.eq_ignore_ascii_case(one)));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    });
    named && utf8
}

/// Whether an `Accept` header takes JSON; no header takes everything (RFC 9110 section 12.5.1).
pub fn accepts_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    ranges.peek().is_none()
        || ranges.any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next().unwrap_or_default();
            let wanted = ["*/*", "application/*"].iter().chain(&FHIR_TYPES);
            let excluded = parts.any(|p| {
                p.split_once('=').is_some_and(|(name, value)| {
                    name.trim().eq_ignore_ascii_case("q")
                        && value.trim().parse::<f32>().is_ok_and(|q| q == 0.0)
                })
            });
            !excluded
                && wanted
                    .into_iter()
                    .any(|one| named.eq_ignore_ascii_case(one))
        })
}

/// For a role's routes: 406 where the caller takes no JSON (threats-and-faults.md section 4). `_format` in a URL says more
/// than `Accept` does (FHIR R4 http.html 3.1.0.1.7), and is read and taken away here.
pub async fn negotiated(
    mut request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    use axum::response::IntoResponse;
    let accepted = match format(request.uri()) {
        Some((json, rest)) => {
            *request.uri_mut() = rest;
            json
        }
        None => accepts_json(request.headers()),
    };
    if accepted {
        next.run(request).await
    } else {
        Problem::not_acceptable().into_response()
    }
}

/// Whether the `_format` of a URL is JSON, and the URL without it; `None` where it names none.
fn format(uri: &Uri) -> Option<(bool, Uri)> {
    let (named, rest): (Vec<&str>, Vec<&str>) = uri
        .query()?
        .split('&')
        .partition(|pair| pair.split('=').next() == Some("_format"));
    if named.is_empty() {
        return None;
    }
    let json = named.iter().all(|pair| {
        let form = Form::parse(pair.as_bytes()).unwrap_or_default();
        // A plus sign that was not escaped reads as a space.
        let named = form.get("_format").unwrap_or_default().replace(' ', "+");
        let types = ["json", "text/json"].iter().chain(&FHIR_TYPES);
        types.into_iter().any(|one| *one == named)
    });
    let mut place = uri.path().to_owned();
    if !rest.is_empty() {
        place.push('?');
        place.push_str(&rest.join("&"));
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = place.parse().ok();
    Uri::from_parts(parts).ok().map(|uri| (json, uri))
}

/// Reads at most `limit` bytes within [`BODY_TIME`].
///
/// # Errors
/// [`BodyFault`].
pub async fn limited(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, BodyFault> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(BodyFault::TooLong);
    }
    tokio::time::timeout(BODY_TIME, collect(body, announced.unwrap_or(0), limit))
        .await
        .unwrap_or(Err(BodyFault::Slow))
}

async fn collect(mut body: Body, announced: usize, limit: usize) -> Result<Bytes, BodyFault> {
    let mut whole = BytesMut::with_capacity(announced.min(64 * 1024));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyFault::Broken)?.into_data() else {
            continue;
        };
        if whole.len() + data.len() > limit {
            return Err(BodyFault::TooLong);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Reads a FHIR JSON body: 415 for another media type or an encoded body, 413 over the limit, 408 when slow.
///
/// # Errors
/// The [`Problem`] to answer with.
pub async fn fhir_json(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    typed(headers, body, limit, &FHIR_TYPES).await
}

/// Reads a plain JSON body of a contract type; unknown members are refused where the type says so.
///
/// # Errors
/// The [`Problem`] to answer with: 415, 413, 408, or 400 for another shape.
pub async fn json<T: serde::de::DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<T, Problem> {
    let bytes = typed(headers, body, limit, &["application/json"]).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        // serde's own message may quote the value at fault; line and column say enough.
        Problem::invalid(
            IssueCode::Structure,
            "",
            format!(
                "the body is not what the contract says, at line {} column {}",
                error.line(),
                error.column()
            ),
        )
    })
}

/// As [`fhir_json`], for other media types.
///
/// # Errors
/// The [`Problem`] to answer with.
pub async fn typed(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    accepted: &[&'static str],
) -> Result<Bytes, Problem> {
    if !media_type_is(headers, accepted) {
        return Err(Problem::unsupported_media_type(accepted[0]));
    }
    let plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !plain(value))
    {
        return Err(Problem::unsupported_media_type(
            "a body without Content-Encoding",
        ));
    }
    limited(headers, body, limit)
        .await
        .map_err(|fault| match fault {
            BodyFault::TooLong => Problem::too_large(limit),
            BodyFault::Slow => Problem::slow_body(),
            BodyFault::Broken => Problem::invalid(IssueCode::Invalid, "", "the body broke off"),
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use futures::stream;
    use http::HeaderValue;

    fn headers(media_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))])
    }

    #[test]
    fn media_types_count_without_parameters_but_only_in_utf8() {
        for good in [
            "application/fhir+json",
            "Application/FHIR+json; fhirVersion=4.0",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(media_type_is(&headers(good), &FHIR_TYPES), "{good}");
        }
        for bad in [
            "application/fhir+xml",
            "text/plain",
            "application/json; charset=latin1",
            "application/jsonx",
            "",
        ] {
            assert!(!media_type_is(&headers(bad), &FHIR_TYPES), "{bad}");
        }
        assert!(!media_type_is(&HeaderMap::new(), &FHIR_TYPES));
    }

    #[test]
    fn whoever_takes_no_json_is_told() {
        let accept = |text: &'static str| {
            HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(text))])
        };
        for good in [
            "*/*",
            "application/fhir+json",
            "text/html, application/json;q=0.5",
            "application/*;q=0.1",
            "application/fhir+json; fhirVersion=4.0",
            "",
        ] {
            assert!(accepts_json(&accept(good)), "{good}");
        }
        for bad in [
            "application/fhir+xml",
            "text/html, image/png",
            "application/json;q=0",
            "*/*; q=0.0",
        ] {
            assert!(!accepts_json(&accept(bad)), "{bad}");
        }
        assert!(accepts_json(&HeaderMap::new()));
    }

    #[test]
    fn a_format_in_the_url_is_read_and_taken_away() {
        for (url, json, rest) in [
            ("/a?_format=json", true, "/a"),
            (
                "http://h/a?x=1&_format=application/fhir+json&y=%20",
                true,
                "http://h/a?x=1&y=%20",
            ),
            ("/a?_format=application%2Ffhir%2Bjson", true, "/a"),
            ("/a?_format=xml&x", false, "/a?x"),
            ("/a?_format=json&_format=xml", false, "/a"),
            ("/a?_format", false, "/a"),
            ("/a?_format=%zz", false, "/a"),
        ] {
            let read = format(&url.parse().unwrap());
            assert_eq!(read, Some((json, rest.parse().unwrap())), "{url}");
        }
        for none in ["/a", "/a?x=_format", "/a?_formats=xml"] {
            assert_eq!(format(&none.parse().unwrap()), None, "{none}");
        }
    }

    #[tokio::test]
    async fn the_limit_holds_whether_the_length_was_announced_or_not() {
        let chunks = |n: usize| {
            Body::from_stream(stream::iter(
                (0..n).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"12345"))),
            ))
        };
        assert_eq!(
            limited(&HeaderMap::new(), chunks(2), 10).await.unwrap(),
            "1234512345"
        );
        assert_eq!(
            limited(&HeaderMap::new(), chunks(3), 10).await,
            Err(BodyFault::TooLong)
        );
        let announced =
            HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from_static("11"))]);
        assert_eq!(
            limited(&announced, Body::empty(), 10).await,
            Err(BodyFault::TooLong)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        use futures::StreamExt as _;
        let none = HeaderMap::new();
        let read = || {
            let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
            limited(&none, Body::from_stream(first.chain(stream::pending())), 10)
        };
        let second = Duration::from_secs(1);
        let early = tokio::time::timeout(BODY_TIME - second, read()).await;
        assert!(early.is_err(), "not given up yet");
        let late = tokio::time::timeout(BODY_TIME + second, read()).await;
        assert_eq!(late.unwrap(), Err(BodyFault::Slow));
        assert_eq!(Problem::slow_body().status().as_u16(), 408);
    }

    #[tokio::test]
    async fn an_encoded_body_is_refused_unread() {
        let mut encoded = headers("application/fhir+json");
        encoded.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let problem = fhir_json(&encoded, Body::from("{}"), 10).await.unwrap_err();
        assert_eq!(problem.status().as_u16(), 415);
    }
}
