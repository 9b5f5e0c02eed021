//! The sign-in page and the session behind it (threats-and-faults section 10).

use crate::journey::{PHYSICIAN, Page, cookie_of, value};
use crate::region::{ISSUER, JOURNAL, Keys, Region};
use std::sync::atomic::Ordering;

/// Signs the physician in; gives the browser's cookie.
async fn signed_in(region: &Region) -> String {
    let page = region.page(&region.pushed(region.push()).await).await;
    let answer = region.choose(&page, PHYSICIAN).await;
    let cookie = cookie_of(&answer).unwrap();
    assert_ne!(cookie, page.cookie, "a new session id at sign-in");
    cookie
}

#[tokio::test]
async fn the_page_is_bokmal_and_keeps_to_itself() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let page = region.page(&region.pushed(region.push()).await).await;
    let headers = &page.answer.headers;
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("script-src") && !policy.contains("unsafe"));
    // Browsers hold form-action against the redirect that follows.
    assert!(policy.ends_with("form-action 'self' https://epj.example"));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("content-type", "text/html; charset=utf-8"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    let html = &page.answer.text;
    assert!(html.contains("<html lang=\"nb\"") && html.contains("<h1>Logg inn</h1>"));
    assert!(!html.contains("<script") && !html.contains("style="));
    assert!(
        html.contains("href=\"/anchor/sign-in.css\"")
            && html.contains("action=\"/anchor/sign-in\"")
    );
    // Nobody's number stands in the page.
    assert!(!html.contains(&crate::region::physician()));
    let style = region.get("/sign-in.css").await;
    assert_eq!(style.headers["content-type"], "text/css; charset=utf-8");
}

#[tokio::test]
async fn the_cookie_is_host_bound_on_https() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let uri = region.pushed(region.push()).await;
    let set =
        |answer: &crate::region::Answer| answer.headers["set-cookie"].to_str().unwrap().to_owned();
    let loopback = set(&region.visit(JOURNAL, &uri, None).await);
    assert!(loopback.starts_with("delt-demo-sign-in="));
    assert!(loopback.ends_with("; Path=/; HttpOnly; SameSite=Lax"));
    let folder = tempfile::tempdir().unwrap();
    let issuer = "https://anchor.example";
    let region = Region::open_as(folder.path(), Keys::new(), |config| {
        config.issuer = issuer.into()
    })
    .await;
    let assertion =
        trust::assertion::make(JOURNAL, issuer, &region.hospital, region.now(), "j").unwrap();
    let uri = region
        .pushed(region.push().set("client_assertion", &assertion))
        .await;
    let answer = region.visit(JOURNAL, &uri, None).await;
    let secure = set(&answer);
    assert!(secure.starts_with("__Host-delt-sign-in="));
    assert!(secure.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"));
    assert!(answer.headers.contains_key("strict-transport-security"));
}

#[tokio::test]
async fn a_form_from_another_site_or_browser_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let page = region.page(&region.pushed(region.push()).await).await;
    let form = wire::form::write([("ticket", page.ticket().as_str()), ("person", PHYSICIAN)]);
    let origin = ISSUER.strip_suffix("/anchor").unwrap();
    let other = signed_in(&region).await;
    let own = page.cookie.as_str();
    for (headers, expected) in [
        (
            &[("cookie", own), ("sec-fetch-site", "cross-site")][..],
            403,
        ),
        (
            &[
                ("cookie", own),
                ("sec-fetch-site", "same-site"),
                ("origin", origin),
            ],
            403,
        ),
        (&[("cookie", own), ("origin", "https://evil.example")], 403),
        (&[("cookie", own), ("origin", "null")], 403),
        (&[("sec-fetch-site", "same-origin")], 403),
        (
            &[
                ("cookie", other.as_str()),
                ("sec-fetch-site", "same-origin"),
            ],
            403,
        ),
        // A program that is no browser says nothing of sites; it brings the form's value and the cookie like everybody.
        (&[("cookie", own)], 303),
    ] {
        let answer = region.send_form("/sign-in", &form, headers).await;
        assert_eq!(answer.status.as_u16(), expected, "{headers:?}");
    }
    // Another page's value, a foreign one, and none.
    for ticket in ["x", "", &region.state.store().seal(b"{}").unwrap()] {
        let form = wire::form::write([("ticket", ticket), ("person", PHYSICIAN)]);
        let answer = region
            .send_form("/sign-in", &form, &[("cookie", own)])
            .await;
        assert_eq!(answer.status, 400);
    }
}

#[tokio::test]
async fn who_is_signed_in_gets_the_next_code_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let cookie = signed_in(&region).await;
    let visit = async |ask| {
        let uri = region.pushed(ask).await;
        region.visit(JOURNAL, &uri, Some(&cookie)).await
    };
    assert!(value(&visit(region.push()).await, "code").is_some());
    assert!(value(&visit(region.push().set("prompt", "none")).await, "code").is_some());
    // Unless another kind of person is needed, or the client asks for a new sign-in.
    assert_eq!(
        visit(region.push_bare().set("scope", "patient/*.rs"))
            .await
            .status,
        200
    );
    assert_eq!(
        visit(region.push().set("prompt", "login")).await.status,
        200
    );
    region.clock.fetch_add(60, Ordering::SeqCst);
    assert!(value(&visit(region.push().set("max_age", "60")).await, "code").is_some());
    assert_eq!(visit(region.push().set("max_age", "59")).await.status, 200);
    // What was signed in then is told by auth_time.
    let answer = visit(region.push()).await;
    let tokens = region
        .token(region.redeem(&value(&answer, "code").unwrap()))
        .await;
    assert_eq!(tokens.status, 200);
    // Idle for 20 minutes, or 8 hours in all: over.
    region.clock.fetch_add(20 * 60, Ordering::SeqCst);
    assert!(value(&visit(region.push()).await, "code").is_some());
    region.clock.fetch_add(20 * 60 + 1, Ordering::SeqCst);
    assert_eq!(visit(region.push()).await.status, 200);
    let cookie = signed_in(&region).await;
    let status = async || {
        let uri = region.pushed(region.push()).await;
        region
            .visit(JOURNAL, &uri, Some(&cookie))
            .await
            .status
            .as_u16()
    };
    for _ in 0..24 {
        region.clock.fetch_add(20 * 60, Ordering::SeqCst);
        assert_eq!(status().await, 303);
    }
    region.clock.fetch_add(1, Ordering::SeqCst);
    assert_eq!(status().await, 200);
}

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let cookie = signed_in(&region).await;
    let answer = region.visit_at("/sign-in", Some(&cookie)).await;
    assert!(answer.text.contains("Lege Syntetisk, Helsepersonell"));
    let page = Page {
        answer,
        cookie: cookie.clone(),
    };
    let form = wire::form::write([("ticket", page.ticket().as_str())]);
    let foreign = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "cross-site"),
    ];
    assert_eq!(
        region.send_form("/sign-out", &form, &foreign).await.status,
        403
    );
    let own = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    let answer = region.send_form("/sign-out", &form, &own).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("<h1>Du er logget ut</h1>"));
    assert!(
        answer.headers["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    let answer = region.visit_at("/sign-in", Some(&cookie)).await;
    assert!(answer.text.contains("Du er ikke logget inn"));
    let uri = region.pushed(region.push()).await;
    assert_eq!(region.visit(JOURNAL, &uri, Some(&cookie)).await.status, 200);
}
