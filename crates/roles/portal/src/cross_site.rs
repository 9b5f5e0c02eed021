//! What stands around every page: headers that keep the page to itself, and the check that a form was sent from our own
//! pages. Rules: threats-and-faults section 10.

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response};

/// Scripts, styles and fonts come from us alone; nothing inline, nothing framed, forms go home.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Headers of every answer of the portal, pages and files alike.
pub fn seal<B>(response: &mut Response<B>, https: bool) {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    set(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    set(
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    );
    if https {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// Whether the browser says that the form came from our own pages. `Sec-Fetch-Site` decides where the browser sends
/// it (under `no-referrer`, `Origin` is `null` even from our own pages); else `Origin` must be ours. A request with
/// neither is refused: every browser that can run these pages sends one of them with a POST.
pub fn from_our_pages(headers: &HeaderMap, origin: &str) -> bool {
    let one = |name: &str| {
        let mut all = headers.get_all(name).iter();
        match (all.next(), all.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    };
    match one("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => one("origin").is_some_and(|given| given.eq_ignore_ascii_case(origin)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that fails is a test that panics"
    )]
    use super::*;

    #[test]
    fn only_our_own_pages_may_send_forms() {
        let ours = "http://127.0.0.1:7070";
        for (headers, expected) in [
            (&[][..], false),
            (&[("origin", ours)], true),
            (&[("origin", "http://127.0.0.1:7071")], false),
            (&[("origin", "null")], false),
            (
                &[("origin", "null"), ("sec-fetch-site", "same-origin")],
                true,
            ),
            (&[("origin", ours), ("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", ours), ("origin", ours)], false),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    value.parse().unwrap(),
                );
            }
            assert_eq!(from_our_pages(&map, ours), expected, "{headers:?}");
        }
    }
}
