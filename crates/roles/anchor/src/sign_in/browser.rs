//! The browser's side of a sign-in: one cookie, headers that keep a page to itself, and the check that a form came from
//! our own pages. Rules: threats-and-faults section 10.

use crate::State;
use http::Response;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use trust::encoding::base64url;

/// The cookie's name: `__Host-` on https, another on loopback http.
fn cookie_name(state: &State) -> &'static str {
    if state.https {
        "__Host-delt-sign-in"
    } else {
        "delt-demo-sign-in"
    }
}

/// The cookie's value; nothing when it is there twice with different values.
pub(crate) fn secret<'a>(state: &State, headers: &'a HeaderMap) -> Option<&'a str> {
    let name = cookie_name(state);
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(own, _)| *own == name)
        .map(|(_, value)| value);
    let first = found.next()?;
    (found.all(|other| other == first) && (1..=128).contains(&first.len())).then_some(first)
}

/// A new value for the cookie.
pub(crate) fn new_secret(state: &State) -> String {
    base64url(&crate::kept::random(state))
}

/// Gives the browser a value, or with none takes it away. `Lax`, for the way to the sign-in page begins at the client.
pub(crate) fn set_secret<B>(state: &State, response: &mut Response<B>, secret: Option<&str>) {
    let secure = if state.https { "; Secure" } else { "" };
    let ended = if secret.is_none() { "; Max-Age=0" } else { "" };
    let text = format!(
        "{}={}; Path=/; HttpOnly; SameSite=Lax{secure}{ended}",
        cookie_name(state),
        secret.unwrap_or_default()
    );
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Headers of every answer to a browser. `client` is the origin that the form's answer leads to: browsers hold
/// `form-action` against redirects too.
pub(crate) fn seal<B>(state: &State, response: &mut Response<B>, client: Option<&str>) {
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'{}{}",
        if client.is_some() { " " } else { "" },
        client.unwrap_or_default()
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::CACHE_CONTROL, "no-store");
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    if state.https {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
}

/// Whether nothing says that a form came from another site. Browsers say so with every POST: by `Sec-Fetch-Site`, older
/// ones by `Origin` (`null` from our own pages, for they send no referrer, so that only another's name counts). What says
/// neither is no browser, and cannot be made to send what its owner did not want sent; it must bring the form's own value
/// and the cookie like everybody.
pub(crate) fn from_our_pages(state: &State, headers: &HeaderMap) -> bool {
    let one = |name: &str| {
        let mut all = headers.get_all(name).iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
            _ => Err(()),
        }
    };
    match (one("sec-fetch-site"), one("origin")) {
        (Ok(Some(site)), Ok(_)) => site == "same-origin",
        (Ok(None), Ok(origin)) => origin.is_none_or(|given| given == state.origin),
        _ => false,
    }
}
