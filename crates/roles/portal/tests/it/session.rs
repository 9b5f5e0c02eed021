//! Sessions, forms and headers: threats-and-faults section 10, line by line.

use http::{Method, Request, StatusCode, header};
use portal::ROUTES;
use wire::route::Access;

use crate::{BASE, Portal};

#[tokio::test]
async fn every_route_behind_a_session_leads_a_stranger_to_the_start() {
    let mut portal = Portal::start().await;
    let behind: Vec<_> = ROUTES
        .iter()
        .filter(|row| row.access == Access::Session)
        .collect();
    assert_eq!(behind.len(), 15);
    for row in behind {
        let path = row.path.replace("{id}", "0123456789abcdef0123456789abcdef");
        let page = if row.method == "GET" {
            portal.get(&path).await
        } else {
            portal.post(&path, &[("form", "x")]).await
        };
        assert_eq!(
            (page.status, page.location()),
            (StatusCode::SEE_OTHER, "/"),
            "{} {}",
            row.method,
            row.path
        );
    }
    assert!(portal.fake.tokens.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_cookie_is_for_this_site_and_not_for_script_and_holds_no_token() {
    let mut portal = Portal::start().await;
    let start = portal.get("/").await;
    let answer = portal
        .post("/session", &[("form", &start.form()), ("person", "0")])
        .await;
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("delt-demo-session="), "{cookie}");
    for rule in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(rule), "{cookie} lacks {rule}");
    }
    let view = portal.open_first(&[]).await;
    let page = portal.get(&view).await;
    let token = format!("token.{}", portal.fake.tokens.lock().unwrap()[0].jkt);
    assert!(!page.body.contains(&token) && !format!("{:?}", page.headers).contains(&token));
}

#[tokio::test]
async fn a_new_sign_in_gives_a_new_secret_and_ends_the_old_session() {
    let mut portal = Portal::start().await;
    portal.sign_in("0").await;
    let old = portal.cookies.clone();
    let list = portal.get("/patients").await;
    portal
        .post("/session", &[("form", &list.form()), ("person", "1")])
        .await;
    assert_ne!(portal.cookies, old);
    portal.cookies = old;
    assert_eq!(portal.get("/patients").await.location(), "/");
}

#[tokio::test]
async fn signing_out_and_idleness_end_the_session_on_the_server() {
    let mut portal = Portal::start().await;
    portal.sign_in("0").await;
    let cookies = portal.cookies.clone();
    let list = portal.get("/patients").await;
    let left = portal.post("/session/end", &[("form", &list.form())]).await;
    assert_eq!(left.location(), "/");
    assert!(portal.cookies.is_empty());
    portal.cookies = cookies;
    assert_eq!(portal.get("/patients").await.location(), "/");

    portal.cookies.clear();
    portal.sign_in("0").await;
    portal.clock.advance(20 * 60 * 1_000_000);
    assert_eq!(portal.get("/patients").await.status, StatusCode::OK);
    portal.clock.advance(20 * 60 * 1_000_000 + 1_000_000);
    assert_eq!(portal.get("/patients").await.location(), "/");
}

#[tokio::test]
async fn a_form_from_elsewhere_or_without_the_session_value_changes_nothing() {
    let mut portal = Portal::start().await;
    portal.sign_in("0").await;
    let list = portal.get("/patients").await;
    let (form, patient) = (list.form(), list.value_of("patient"));
    let fields = [("form", form.as_str()), ("patient", patient.as_str())];
    let body = wire::form::write(fields);
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("x-none", ""),
    ] {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/views")
            .header(name, value)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        assert_eq!(
            portal.send(request, body.clone()).await.status,
            StatusCode::FORBIDDEN,
            "{name}: {value}"
        );
    }
    for wrong in ["", "x", &form[1..]] {
        let page = portal
            .post("/views", &[("form", wrong), ("patient", &patient)])
            .await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{wrong}");
    }
    let request = Request::builder()
        .method(Method::POST)
        .uri("/views")
        .header("origin", BASE)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    assert_eq!(
        portal.send(request, body).await.status,
        StatusCode::SEE_OTHER
    );
    assert!(
        portal.fake.tokens.lock().unwrap().is_empty(),
        "opening looks nothing up before the page is shown"
    );
}

#[tokio::test]
async fn one_sessions_patient_page_is_not_there_for_another_session() {
    let mut portal = Portal::start().await;
    portal.sign_in("0").await;
    let view = portal.open_first(&[]).await;
    assert_eq!(portal.get(&view).await.status, StatusCode::OK);
    portal.cookies.clear();
    portal.sign_in("1").await;
    assert_eq!(portal.get(&view).await.status, StatusCode::NOT_FOUND);
    let list = portal.get("/patients").await;
    let stranger = portal
        .post(
            "/views",
            &[("form", &list.form()), ("patient", "0123456789abcdef")],
        )
        .await;
    assert_eq!(stranger.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_answer_keeps_the_page_to_itself() {
    let mut portal = Portal::start().await;
    for path in [
        "/",
        "/patients",
        "/accessibility",
        "/no/such/page",
        "/assets/portal.css",
        "/assets/none.js",
    ] {
        let page = portal.get(path).await;
        let header = |name: &str| {
            page.headers
                .get(name)
                .map_or("", |value| value.to_str().unwrap())
                .to_owned()
        };
        let policy = header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        let cache = if path == "/assets/portal.css" {
            "no-cache"
        } else {
            "no-store"
        };
        assert_eq!(header("cache-control"), cache, "{path}");
    }
}

#[tokio::test]
async fn no_person_number_stands_in_a_form_an_address_or_a_title() {
    let mut portal = Portal::start().await;
    portal.sign_in("0").await;
    let view = portal.open_first(&[]).await;
    let number = testkit::people::Directory::demo()
        .story_patient()
        .number
        .clone();
    assert!(!view.contains(&number));
    for path in ["/", "/patients", view.as_str()] {
        let page = portal.get(path).await;
        assert!(
            !page.body.contains(&number),
            "{path}: shown only in groups, and never as a value"
        );
        let title = page
            .body
            .split_once("<title>")
            .map(|(_, rest)| rest.split_once("</title>").unwrap().0);
        assert!(
            title.is_none_or(|title| !title.contains("Ragnhild")),
            "{title:?}"
        );
    }
}

#[tokio::test]
async fn the_language_is_chosen_by_a_form_and_kept() {
    let mut portal = Portal::start().await;
    let start = portal.get("/").await;
    assert!(start.body.contains("<html lang=\"nb\"") && start.body.contains("Velg person"));
    let chosen = portal
        .post(
            "/language",
            &[
                ("form", &start.form()),
                ("language", "nn"),
                ("back", "/accessibility"),
            ],
        )
        .await;
    assert_eq!(chosen.location(), "/accessibility");
    assert!(portal.get("/").await.body.contains("Vel person"));
    let start = portal.get("/").await;
    let away = portal
        .post(
            "/language",
            &[
                ("form", &start.form()),
                ("language", "en"),
                ("back", "//evil.example"),
            ],
        )
        .await;
    assert_eq!(away.location(), "/");
    assert!(portal.get("/").await.body.contains("Choose a person"));
    let start = portal.get("/").await;
    let unknown = portal
        .post(
            "/language",
            &[("form", &start.form()), ("language", "xx"), ("back", "/")],
        )
        .await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
}
