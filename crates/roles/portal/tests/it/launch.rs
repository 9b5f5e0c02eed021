//! A record system opens the portal, as a browser meets it: threats-and-faults section 10.

use std::sync::Arc;

use http::{StatusCode, header};
use testkit::people::Directory;

use crate::{Page, Portal};

impl Portal {
    /// The address by which a record system opens the portal for the patient with this index.
    fn address(&self, patient: usize) -> String {
        let iss = format!("{}/gateway/fhir", self.fake.base);
        let handle = format!("about-{patient}");
        let query = wire::form::write([("iss", iss.as_str()), ("launch", handle.as_str())]);
        format!("/launch?{query}")
    }

    /// The browser's way to the anchor; gives the state that it comes back with.
    async fn sent_away(&mut self, patient: usize) -> String {
        let page = self.get(&self.address(patient)).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.body);
        let to = format!("{}/anchor/authorize?client_id=portal&", self.fake.base);
        assert!(page.location().starts_with(&to), "{}", page.location());
        let pushed = self.fake.launches.pushed.lock().unwrap();
        let (form, _) = pushed.last().unwrap();
        form.get("state").unwrap().to_owned()
    }

    /// The browser comes back with the code of the pushed request with this number.
    pub async fn back(&mut self, code: usize, state: &str) -> Page {
        let iss = format!("{}/anchor", self.fake.base);
        self.back_with(&[
            ("code", &format!("code-{code}")),
            ("state", state),
            ("iss", &iss),
        ])
        .await
    }

    async fn back_with(&mut self, query: &[(&str, &str)]) -> Page {
        let query = wire::form::write(query.iter().copied());
        self.get(&format!("/callback?{query}")).await
    }

    /// A launch to the address of its page.
    async fn launched(&mut self, patient: usize) -> String {
        let state = self.sent_away(patient).await;
        let code = self.fake.launches.pushed.lock().unwrap().len() - 1;
        let page = self.back(code, &state).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        leads_to(&page)
    }
}

/// Where a page leads by itself.
pub fn leads_to(page: &Page) -> String {
    let rest = page.body.split_once("content=\"0;url=").expect("a refresh");
    rest.1.split('"').next().unwrap().to_owned()
}

fn number(patient: usize) -> String {
    let number = &Directory::demo().patients[patient].number;
    format!("{} {}", &number[..6], &number[6..])
}

#[tokio::test]
async fn the_page_shows_what_the_record_system_stated_and_the_browser_carried_none_of_it() {
    let mut portal = Portal::start().await;
    let view = portal.launched(0).await;
    {
        let pushed = portal.fake.launches.pushed.lock().unwrap();
        let (form, _) = &pushed[0];
        let server = format!("{}/gateway/fhir", portal.fake.base);
        for (name, value) in [
            ("scope", "launch offline_access user/*.rs"),
            ("aud", server.as_str()),
            ("launch", "about-0"),
            ("response_type", "code"),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(form.get(name), Some(value), "{name}");
        }
        assert!(form.get("authorization_details").is_none());
    }
    let page = portal.get(&view).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    for said in [
        "Ragnhild Testmo",
        &number(0),
        "Tone Prøvelege",
        "Prøvebakken legesenter",
        "Samordning (COC)",
        "d-0",
        // Text from the attest is text.
        "&#60;b&#62;Behandler&#60;/b&#62;",
    ] {
        assert!(page.body.contains(said), "{said} is not on the page");
    }
    assert!(!page.body.contains("<b>Behandler"));
    // One patient, opened by the record system: no list to choose others from, and no token in the browser.
    assert!(!page.body.contains("href=\"/patients\""));
    assert_eq!(portal.get("/patients").await.status, StatusCode::NOT_FOUND);
    assert_eq!(portal.get("/").await.location(), view);
    assert!(
        portal.fake.tokens.lock().unwrap().is_empty(),
        "no test token"
    );
    for (name, value) in &portal.cookies {
        assert!(
            !value.contains("token") && !value.contains("refresh"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_launch_cookie_is_lax_and_the_sessions_is_strict() {
    let mut portal = Portal::start().await;
    let away = portal.get(&portal.address(0)).await;
    let cookie = away.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("delt-demo-launch="), "{cookie}");
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let state = {
        let pushed = portal.fake.launches.pushed.lock().unwrap();
        pushed[0].0.get("state").unwrap().to_owned()
    };
    let back = portal.back(0, &state).await;
    let cookie = back.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.contains("delt-demo-session=") && cookie.contains("SameSite=Strict"));
    // The page on the way is about nobody.
    assert!(!back.body.contains("Ragnhild") && !back.body.contains(&number(0)));
}

#[tokio::test]
async fn two_launches_in_one_browser_never_show_one_patient_as_the_other() {
    let mut portal = Portal::start().await;
    // Both on their way at once, and back in the other order.
    let first = portal.sent_away(0).await;
    let second = portal.sent_away(1).await;
    let page = portal.back(1, &second).await;
    let about_second = leads_to(&page);
    let shown = portal.get(&about_second).await;
    assert!(shown.body.contains(&number(1)) && !shown.body.contains(&number(0)));
    assert!(!shown.body.contains("Ragnhild"));
    let page = portal.back(0, &first).await;
    let about_first = leads_to(&page);
    let shown = portal.get(&about_first).await;
    assert!(shown.body.contains(&number(0)) && !shown.body.contains(&number(1)));
    // The page of the one is gone, not turned into the other's.
    assert_eq!(
        portal.get(&about_second).await.status,
        StatusCode::NOT_FOUND
    );
    // And what the earlier page's form would send is not taken.
    let stale = portal.post("/session/end", &[("form", &page.form())]).await;
    assert_eq!(stale.status, StatusCode::FORBIDDEN);
    // The ended one ended at the anchor, too.
    let revoked = async {
        loop {
            if let Some(token) = portal.fake.launches.revoked.lock().unwrap().first() {
                break token.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let soon = std::time::Duration::from_secs(20);
    let revoked = tokio::time::timeout(soon, revoked).await.unwrap();
    assert_eq!(revoked, "refresh-1-0");
}

#[tokio::test]
async fn an_answer_that_belongs_to_no_launch_of_this_browser_opens_nothing() {
    let mut portal = Portal::start().await;
    let state = portal.sent_away(0).await;
    let iss = format!("{}/anchor", portal.fake.base);
    for query in [
        &[("code", "code-0"), ("iss", iss.as_str())][..],
        &[("code", "code-0"), ("state", "x"), ("iss", iss.as_str())],
        &[
            ("code", "code-0"),
            ("code", "code-0"),
            ("state", state.as_str()),
        ],
    ] {
        let page = portal.back_with(query).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{query:?}");
    }
    // Another browser, with and without a launch of its own.
    let own = std::mem::take(&mut portal.cookies);
    assert_eq!(portal.back(0, &state).await.status, StatusCode::BAD_REQUEST);
    portal.sent_away(1).await;
    assert_eq!(portal.back(0, &state).await.status, StatusCode::BAD_REQUEST);
    assert!(
        !portal
            .cookies
            .iter()
            .any(|(name, _)| name.contains("session"))
    );
    portal.cookies = own;
    // Another issuer's answer (RFC 9207) uses the launch up.
    let foreign = [
        ("code", "code-0"),
        ("state", state.as_str()),
        ("iss", "https://evil.example"),
    ];
    assert_eq!(
        portal.back_with(&foreign).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(portal.back(0, &state).await.status, StatusCode::BAD_REQUEST);
    // Once, and in time.
    let state = portal.sent_away(0).await;
    assert_eq!(portal.back(2, &state).await.status, StatusCode::OK);
    assert_eq!(portal.back(2, &state).await.status, StatusCode::BAD_REQUEST);
    let state = portal.sent_away(0).await;
    portal.clock.advance(15 * 60 * 1_000_000 + 1_000_000);
    assert_eq!(portal.back(3, &state).await.status, StatusCode::BAD_REQUEST);
    // The anchor's own error is told in words.
    let state = portal.sent_away(0).await;
    let refused = [
        ("error", "access_denied"),
        ("state", state.as_str()),
        ("iss", iss.as_str()),
    ];
    let page = portal.back_with(&refused).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.body.contains("må være den som åpnet pasienten"));
}

#[tokio::test]
async fn only_our_own_server_is_asked_and_only_our_own_issuer_spoken_to() {
    let mut portal = Portal::start().await;
    for iss in [
        "https://evil.example/fhir".to_owned(),
        format!("{}/gateway/fhir/", portal.fake.base),
        format!("{}/fjellvik/fhir", portal.fake.base),
        String::new(),
    ] {
        let query = wire::form::write([("iss", iss.as_str()), ("launch", "about-0")]);
        let page = portal.get(&format!("/launch?{query}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{iss}");
    }
    *portal.fake.launches.other_issuer.lock().unwrap() = Some("https://evil.example");
    let page = portal.get(&portal.address(0)).await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(portal.fake.launches.pushed.lock().unwrap().is_empty());
    *portal.fake.launches.other_issuer.lock().unwrap() = None;
    // What the anchor says of the handle is told in words, in each language.
    for (code, status, word) in [
        ("invalid_request", 400, "gjelder i ett minutt"),
        ("invalid_client", 403, "ble ikke godtatt"),
        ("temporarily_unavailable", 502, "svarer ikke som det skal"),
    ] {
        *portal.fake.launches.refusing.lock().unwrap() = Some(code);
        let page = portal.get(&portal.address(0)).await;
        assert_eq!(page.status.as_u16(), status, "{code}");
        assert!(page.body.contains(word), "{code}: {}", page.body);
    }
    portal
        .cookies
        .push(("delt-language".to_owned(), "en".to_owned()));
    let page = portal.get(&portal.address(0)).await;
    assert!(page.body.contains("The patient was not opened"));
}

#[tokio::test]
async fn a_page_that_is_open_for_long_is_renewed_once_and_ends_with_the_launch() {
    let mut portal = Portal::start().await;
    let view = portal.launched(0).await;
    let minute = 60 * 1_000_000;
    portal.clock.advance(4 * minute);
    assert_eq!(portal.get(&view).await.status, StatusCode::OK);
    assert!(portal.fake.launches.renewed.lock().unwrap().is_empty());
    portal.clock.advance(minute);
    assert_eq!(portal.get(&view).await.status, StatusCode::OK);
    assert_eq!(portal.get(&view).await.status, StatusCode::OK);
    let renewed = portal.fake.launches.renewed.lock().unwrap().clone();
    assert_eq!(renewed, ["refresh-0-0"], "one renewal serves both");
    portal.clock.advance(5 * minute);
    // The anchor silent: said, and tried again. The anchor refusing: over.
    *portal.fake.launches.refusing.lock().unwrap() = Some("temporarily_unavailable");
    assert_eq!(portal.get(&view).await.status, StatusCode::BAD_GATEWAY);
    *portal.fake.launches.refusing.lock().unwrap() = None;
    assert_eq!(portal.get(&view).await.status, StatusCode::OK);
    portal.clock.advance(5 * minute);
    *portal.fake.launches.refusing.lock().unwrap() = Some("invalid_grant");
    let page = portal.get(&view).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.body.contains("Åpningen fra journalsystemet er utløpt"));
    *portal.fake.launches.refusing.lock().unwrap() = None;
    assert_eq!(portal.get(&view).await.status, StatusCode::FORBIDDEN);
}

/// A page waits for a renewal while the same browser signs out.
#[tokio::test]
async fn what_a_renewal_brings_after_the_sign_out_is_ended_and_shown_to_nobody() {
    let mut portal = Portal::start().await;
    let view = portal.launched(0).await;
    let form = portal.get(&view).await.form();
    portal.clock.advance(5 * 60 * 1_000_000);
    let gate = Arc::new(crate::anchor::Gate::default());
    *portal.fake.launches.gate.lock().unwrap() = Some(gate.clone());
    let mut tab = portal.another_tab();
    let page = tokio::spawn(async move { tab.get(&view).await });
    gate.came.notified().await;
    let left = portal.post("/session/end", &[("form", &form)]).await;
    assert_eq!(left.status, StatusCode::SEE_OTHER, "{}", left.body);
    gate.open.notify_one();
    assert_eq!(page.await.unwrap().status, StatusCode::FORBIDDEN);
    let revoked = portal.fake.launches.revoked.lock().unwrap().clone();
    assert_eq!(revoked, ["refresh-0-1"], "the new one is given up");
}

#[tokio::test]
async fn who_comes_without_a_record_system_says_why_and_is_one_of_the_organisations_own() {
    let mut portal = Portal::start().await;
    let start = portal.get("/").await;
    assert!(start.body.contains("href=\"/sign-in\""));
    let page = portal.get("/sign-in").await;
    assert_eq!(page.status, StatusCode::OK);
    let form = page.form();
    let fields = [
        ("form", form.as_str()),
        ("purpose", "ETREAT"),
        ("reason", "pusten"),
        ("organization", "310001775"),
    ];
    for (spoiled, status) in [
        (&[("form", "x"), ("purpose", "TREAT")][..], 403),
        (&[("form", &form), ("purpose", "BTG")], 400),
        (&[("form", &form), ("organization", "1")], 400),
        (&[("form", &form), ("reason", &"x".repeat(501))], 422),
    ] {
        let page = portal.post("/sign-in", spoiled).await;
        assert_eq!(page.status.as_u16(), status, "{spoiled:?}");
    }
    // No redirect, for a form leads to our own pages only: a page that leads on.
    for (person, status) in [("gp", 403), ("lung-physician", 200)] {
        *portal.fake.launches.person.lock().unwrap() = crate::anchor::Person(person);
        let page = portal.post("/sign-in", &fields).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let to = format!("{}/anchor/authorize?", portal.fake.base);
        assert!(leads_to(&page).starts_with(&to));
        let (state, code) = {
            let pushed = portal.fake.launches.pushed.lock().unwrap();
            let (form, _) = pushed.last().unwrap();
            assert_eq!(
                form.get("scope"),
                Some("launch/patient openid offline_access user/*.rs")
            );
            let details: serde_json::Value =
                serde_json::from_str(form.get("authorization_details").unwrap()).unwrap();
            let care = &details[0]["care_relationship"];
            assert_eq!(care["purpose_of_use"]["code"], "ETREAT");
            assert_eq!(care["reason"], "pusten");
            assert!(care["decision_ref"]["id"].is_string());
            assert_eq!(details[0]["patients"], serde_json::json!([]));
            (form.get("state").unwrap().to_owned(), pushed.len() - 1)
        };
        let page = portal.back(code, &state).await;
        assert_eq!(page.status.as_u16(), status, "{person}: {}", page.body);
        if status == 200 {
            let shown = portal.get(&leads_to(&page)).await;
            assert!(shown.body.contains("Ragnhild Testmo"), "{}", shown.body);
            assert!(!shown.body.contains("Åpnet fra journalsystemet"));
            let chosen = ("organization".to_owned(), "310001775".to_owned());
            let asked = portal.fake.asked.lock().unwrap().last().unwrap().1.clone();
            assert!(asked.contains(&chosen));
            // Her own sign-in ends with the session.
            let left = portal
                .post("/session/end", &[("form", &shown.form())])
                .await;
            let on = leads_to(&left).replace("&#38;", "&");
            assert!(on.contains(&format!("logout_hint=sid-{code}")), "{on}");
        } else {
            assert!(
                page.body
                    .contains("ikke registrert som en av virksomhetens")
            );
            let session = portal
                .cookies
                .iter()
                .any(|(name, _)| name.contains("session"));
            assert!(!session);
        }
    }
}
