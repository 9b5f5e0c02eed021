//! A citizen signs in at the anchor, to her own pages, and out again: threats-and-faults section 10.

use http::StatusCode;
use serde_json::json;
use testkit::people::Directory;
use trust::keys::SigningKey;

use crate::launch::leads_to;
use crate::{Page, Portal};

impl Portal {
    /// From the start page to the anchor; gives the number of the pushed request and the state that the browser comes back with.
    async fn away_as_citizen(&mut self) -> (usize, String) {
        self.cookies.retain(|(name, _)| name != "delt-demo-session");
        let form = self.get("/").await.form();
        let page = self.post("/sign-in/citizen", &[("form", &form)]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let to = format!("{}/anchor/authorize?client_id=portal", self.fake.base);
        assert!(leads_to(&page).starts_with(&to));
        let pushed = self.fake.launches.pushed.lock().unwrap();
        let (form, _) = pushed.last().unwrap();
        (pushed.len() - 1, form.get("state").unwrap().to_owned())
    }

    async fn back_as_citizen(&mut self) -> Page {
        let (code, state) = self.away_as_citizen().await;
        self.back(code, &state).await
    }

    fn has_session(&self) -> bool {
        let session =
            |(name, value): &(String, String)| name.contains("session") && !value.is_empty();
        self.cookies.iter().any(session)
    }
}

#[tokio::test]
async fn a_citizen_signs_in_to_her_own_pages_and_out_everywhere() {
    let mut portal = Portal::start().await;
    let start = portal.get("/").await;
    assert!(start.body.contains("Logg på som innbygger"));
    let page = portal.back_as_citizen().await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert_eq!(leads_to(&page), "/log");
    {
        let pushed = portal.fake.launches.pushed.lock().unwrap();
        let (form, _) = pushed.last().unwrap();
        assert_eq!(
            form.get("scope"),
            Some(
                "openid profile helseid://scopes/identity/pid offline_access patient/*.rs patient/Consent.cds"
            )
        );
        for name in ["launch", "authorization_details"] {
            assert!(form.get(name).is_none(), "{name}");
        }
    }
    let log = portal.get("/log").await;
    assert_eq!(log.status, StatusCode::OK, "{}", log.body);
    assert!(log.body.contains("Ragnhild Testmo") && log.body.contains("Innbygger"));
    let patient = &Directory::demo().patients[0];
    assert!(!log.body.contains(&patient.number));
    // A wish is made with her own token, about herself.
    let form = portal.get("/blocks").await.form();
    let wish = [("form", form.as_str()), ("what", "kind"), ("kind", "IT03")];
    let sent = portal.post("/blocks", &wish).await;
    assert!(
        sent.body.contains("<h1>Sperren gjelder</h1>"),
        "{}",
        sent.body
    );
    let kept = portal.fake.wishes.lock().unwrap()[0].clone();
    assert_eq!(
        kept["patient"]["identifier"]["value"],
        json!(patient.number)
    );
    assert!(
        portal.fake.tokens.lock().unwrap().is_empty(),
        "no test token"
    );
    // She has no clinician's pages.
    for path in ["/patients", "/views/x"] {
        assert_eq!(
            portal.get(path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    // Out: here, at the anchor (the sign-in by its id, in an address that holds nobody's number), and the tokens.
    let left = portal.post("/session/end", &[("form", &sent.form())]).await;
    let on = leads_to(&left).replace("&#38;", "&");
    let query = wire::form::write([
        ("client_id", "portal"),
        ("logout_hint", "sid-0"),
        ("post_logout_redirect_uri", "http://127.0.0.1:7070/"),
    ]);
    assert_eq!(
        on,
        format!("{}/anchor/end-session?{query}", portal.fake.base)
    );
    assert!(!portal.has_session());
    let revoked = async {
        while portal.fake.launches.revoked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let soon = std::time::Duration::from_secs(20);
    tokio::time::timeout(soon, revoked).await.unwrap();
    assert_eq!(
        *portal.fake.launches.revoked.lock().unwrap(),
        ["refresh-0-0"]
    );
}

#[tokio::test]
async fn an_id_token_that_does_not_answer_this_sign_in_opens_nothing() {
    let mut portal = Portal::start().await;
    for (name, value, status) in [
        ("nonce", json!("another"), 502),
        ("aud", json!("another"), 502),
        ("iss", json!("https://evil.example"), 502),
        ("exp", json!(1), 502),
        ("helseid://claims/identity/pid", json!(7), 502),
        ("helseid://claims/identity/pid", json!("14835210261x"), 502),
        ("represents", json!(true), 403),
    ] {
        *portal.fake.launches.claims.lock().unwrap() = vec![(name, value.clone())];
        let page = portal.back_as_citizen().await;
        assert_eq!(
            page.status.as_u16(),
            status,
            "{name} {value}: {}",
            page.body
        );
        assert!(!portal.has_session(), "{name}");
        if name == "represents" {
            assert!(page.body.contains("på vegne av en annen"));
        }
    }
    portal.fake.launches.claims.lock().unwrap().clear();
    *portal.fake.launches.signer.lock().unwrap() = Some(SigningKey::generate().unwrap());
    let page = portal.back_as_citizen().await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(!portal.has_session());
    *portal.fake.launches.signer.lock().unwrap() = None;
    assert_eq!(portal.back_as_citizen().await.status, StatusCode::OK);
    // One who signs in at the same browser afterwards ends what was before.
    let before = portal.get("/log").await.form();
    assert_eq!(portal.back_as_citizen().await.status, StatusCode::OK);
    let stale = portal.post("/session/end", &[("form", &before)]).await;
    assert_eq!(stale.status, StatusCode::FORBIDDEN);
}

/// By a link on another site the browser brings no cookie, and is shown the start page although it has a session.
#[tokio::test]
async fn who_came_by_a_link_may_sign_in_again_from_the_start_page() {
    let mut portal = Portal::start().await;
    portal.back_as_citizen().await;
    let kept = std::mem::take(&mut portal.cookies);
    let form = portal.get("/").await.form();
    portal.cookies = kept;
    let page = portal.post("/sign-in/citizen", &[("form", &form)]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    // What changes something in a session still wants that session's own value.
    let wish = [("form", form.as_str()), ("what", "all")];
    let page = portal.post("/blocks", &wish).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let page = portal.post("/session/end", &[("form", &form)]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn another_sites_form_signs_nobody_in() {
    let mut portal = Portal::start().await;
    let page = portal.post("/sign-in/citizen", &[("form", "x")]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(portal.fake.launches.pushed.lock().unwrap().is_empty());
}
