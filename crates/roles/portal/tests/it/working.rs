//! Who signs in for the list of her organisation's own patients (decision 0053), as a browser meets it.

use http::{Request, StatusCode};
use serde_json::{Value, json};
use testkit::people::Directory;

use crate::anchor::Person;
use crate::launch::leads_to;
use crate::list::{first, list};
use crate::own::task;
use crate::{Page, Portal};

const MINUTE: i64 = 60 * 1_000_000;

/// A hospital's portal whose physician is on her way to the list.
async fn hospital() -> Portal {
    let portal = Portal::start().await;
    *portal.fake.own.list.lock().unwrap() = Some(list());
    *portal.fake.own.task.lock().unwrap() = Some(task(1, "raised", None));
    *portal.fake.launches.person.lock().unwrap() = Person("lung-physician");
    portal
}

impl Portal {
    /// Away to the anchor for the list, and back.
    async fn back_for_list(&mut self) -> Page {
        let form = self.get("/sign-in").await.form();
        let page = self.post("/sign-in/list", &[("form", &form)]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let to = format!("{}/anchor/authorize?client_id=portal&", self.fake.base);
        assert!(leads_to(&page).starts_with(&to));
        let (code, state) = self.pushed();
        self.back(code, &state).await
    }

    /// The list of somebody who signed in.
    async fn at_work(&mut self) -> Page {
        let page = self.back_for_list().await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert_eq!(leads_to(&page), "/list");
        let page = self.get("/list").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        page
    }

    /// Number and state of the last pushed request.
    fn pushed(&self) -> (usize, String) {
        let pushed = self.fake.launches.pushed.lock().unwrap();
        let (form, _) = pushed.last().unwrap();
        (pushed.len() - 1, form.get("state").unwrap().to_owned())
    }

    /// Audiences and attest of the last pushed request.
    fn stated(&self) -> (String, Vec<String>, Value) {
        let pushed = self.fake.launches.pushed.lock().unwrap();
        let (form, _) = pushed.last().unwrap();
        assert!(form.get("aud").is_none() && form.get("launch").is_none());
        let urls = form.0.iter().filter(|(name, _)| name == "resource");
        let urls = urls.map(|(_, url)| url.replace(&self.fake.base, ""));
        let details: Value =
            serde_json::from_str(form.get("authorization_details").unwrap()).unwrap();
        let scope = form.get("scope").unwrap().to_owned();
        (scope, urls.collect(), details[0].clone())
    }

    /// From an address of ours to the anchor; gives code and state of the way back.
    async fn sent_on(&mut self, address: &str) -> (usize, String) {
        let page = self.get(address).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.body);
        let to = format!("{}/anchor/authorize?client_id=portal&", self.fake.base);
        assert!(page.location().starts_with(&to), "{}", page.location());
        self.pushed()
    }

    /// Back from the anchor's site, to which the browser brings the lax cookie alone.
    async fn back_from_afar(&mut self, code: usize, state: &str) -> Page {
        let kept = self.cookies.clone();
        self.cookies.retain(|(name, _)| name.contains("launch"));
        let page = self.back(code, state).await;
        assert!(
            !page.headers.contains_key("set-cookie"),
            "the session goes on"
        );
        self.cookies = kept;
        page
    }

    async fn revoked(&self, count: usize) -> Vec<String> {
        let all = async {
            while self.fake.launches.revoked.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        };
        let soon = std::time::Duration::from_secs(20);
        tokio::time::timeout(soon, all).await.unwrap();
        let mut revoked = self.fake.launches.revoked.lock().unwrap().clone();
        revoked.sort();
        revoked
    }

    fn given(&self) -> Vec<(String, String)> {
        let given = self.fake.launches.given.lock().unwrap().clone();
        let given = given.into_iter();
        given
            .map(|(url, scope)| (url.replace(&self.fake.base, ""), scope))
            .collect()
    }
}

fn grouped(number: &str) -> String {
    format!("{} {}", &number[..6], &number[6..])
}

#[tokio::test]
async fn she_has_her_list_and_opens_patients_from_it_by_tokens_that_the_browser_never_has() {
    let mut portal = hospital().await;
    assert!(
        portal
            .get("/sign-in")
            .await
            .body
            .contains("Mine pasienter i dag")
    );
    let page = portal.at_work().await;
    let (scope, audiences, attest) = portal.stated();
    assert_eq!(scope, "openid offline_access user/Task.s");
    assert_eq!(audiences, ["/proveheim/fhir"]);
    assert_eq!(attest["patients"], json!([]));
    let care = &attest["care_relationship"];
    assert_eq!(care["purpose_of_use"]["code"], "TREAT");
    assert!(care["decision_ref"]["id"].is_string());
    for said in [
        "Ragnhild &#60;Testmo&#62;",
        "Prøvebakken legesenter",
        "href=\"/list\"",
    ] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
    // She chooses among no others, and what is hers is not for citizens.
    assert!(!page.body.contains("href=\"/patients\""));
    for path in ["/patients", "/log", "/views/x", "/views/x/alerts"] {
        assert_eq!(
            portal.get(path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    assert_eq!(portal.get("/").await.location(), "/list");

    // The patient is named in a further request, at the gateway and the own service.
    let address = first(&page);
    let (code, state) = portal.sent_on(&address).await;
    let (scope, audiences, attest) = portal.stated();
    assert_eq!(scope, "openid offline_access user/*.rs user/Task.u");
    assert_eq!(audiences, ["/gateway/fhir", "/proveheim/fhir"]);
    let number = &Directory::demo().story_patient().number;
    assert_eq!(attest["patients"][0]["identifier"]["id"], json!(number));
    let page = portal.back_from_afar(code, &state).await;
    assert_eq!(leads_to(&page), address, "{}", page.body);
    assert!(!page.body.contains("Ragnhild") && !page.body.contains(&grouped(number)));
    let shown = portal.get(&address).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.body);
    assert!(shown.body.contains(&grouped(number)) && shown.body.contains("href=\"/list\""));

    // Steps are hers at the own service, by a token for that.
    let alerts = format!("{address}/alerts");
    let page = portal.get(&alerts).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let form = page.form();
    let own = [
        ("form", form.as_str()),
        ("task", "a-1"),
        ("version", "1"),
        ("step", "own"),
    ];
    let taken = portal.post(&alerts, &own).await;
    assert_eq!(taken.location(), alerts, "{}", taken.body);
    assert_eq!(portal.fake.own.steps.lock().unwrap().len(), 1);
    assert_eq!(portal.get(&address).await.status, StatusCode::OK);
    let given = portal.given();
    let given: Vec<(&str, &str)> = given
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    assert_eq!(
        given,
        [
            ("/proveheim/fhir", "openid offline_access user/Task.s"),
            ("/gateway/fhir", "user/*.rs"),
            ("/proveheim/fhir", "user/*.rs user/Task.u"),
        ]
    );
    // Each is renewed for what it was for, and the list with its own.
    portal.clock.advance(5 * MINUTE);
    assert_eq!(portal.get("/list").await.status, StatusCode::OK);
    assert_eq!(portal.get(&address).await.status, StatusCode::OK);
    assert_eq!(portal.get(&alerts).await.status, StatusCode::OK);
    assert_eq!(portal.given()[4..], portal.given()[1..3]);
    let renewed = portal.fake.launches.renewed.lock().unwrap().clone();
    assert_eq!(
        renewed,
        ["refresh-1-0", "refresh-0-0", "refresh-1-1", "refresh-1-2"]
    );

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
    // Out: here, at the anchor, and all that was given.
    let form = portal.get("/list").await.form();
    let left = portal.post("/session/end", &[("form", &form)]).await;
    assert!(
        leads_to(&left).contains("logout_hint=sid-1"),
        "{}",
        left.body
    );
    assert_eq!(portal.revoked(2).await, ["refresh-0-1", "refresh-1-3"]);
    assert_eq!(portal.get("/list").await.location(), "/");
}

#[tokio::test]
async fn only_the_organisations_own_have_it_and_an_answer_about_a_patient_is_no_list() {
    let mut portal = hospital().await;
    let bare = portal.post("/sign-in/list", &[("form", "x")]).await;
    assert_eq!(bare.status, StatusCode::FORBIDDEN);
    *portal.fake.launches.person.lock().unwrap() = Person("gp");
    let page = portal.back_for_list().await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(
        page.body
            .contains("ikke registrert som en av virksomhetens")
    );
    *portal.fake.launches.person.lock().unwrap() = Person("lung-physician");
    let number = Directory::demo().story_patient().number.clone();
    *portal.fake.launches.about.lock().unwrap() = Some(number);
    let page = portal.back_for_list().await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    *portal.fake.launches.about.lock().unwrap() = None;
    portal
        .fake
        .launches
        .claims
        .lock()
        .unwrap()
        .push(("nonce", json!("another")));
    assert_eq!(portal.back_for_list().await.status, StatusCode::BAD_GATEWAY);
    let session = |(name, _): &(String, String)| name.contains("session");
    assert!(!portal.cookies.iter().any(session));
    assert_eq!(
        portal.revoked(3).await.len(),
        3,
        "what was given is given back"
    );
}

#[tokio::test]
async fn what_comes_back_for_a_row_is_that_patient_to_the_same_person_or_nothing() {
    let mut portal = hospital().await;
    let address = first(&portal.at_work().await);
    // In a frame or as an image nothing begins.
    let framed = Request::builder()
        .uri(&address)
        .header("sec-fetch-dest", "iframe");
    let framed = portal.send(framed, String::new()).await;
    assert_eq!(framed.status, StatusCode::FORBIDDEN);
    assert_eq!(portal.pushed().0, 0);

    let (code, state) = portal.sent_on(&address).await;
    portal
        .fake
        .launches
        .claims
        .lock()
        .unwrap()
        .push(("sub", json!("somebody else")));
    let page = portal.back_from_afar(code, &state).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.body);
    portal.fake.launches.claims.lock().unwrap().clear();

    let (code, state) = portal.sent_on(&address).await;
    let other = Directory::demo().patients[1].number.clone();
    *portal.fake.launches.about.lock().unwrap() = Some(other);
    let page = portal.back_from_afar(code, &state).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.body);
    *portal.fake.launches.about.lock().unwrap() = None;

    let (code, state) = portal.sent_on(&address).await;
    *portal.fake.launches.person.lock().unwrap() = Person("gp");
    let page = portal.back_from_afar(code, &state).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.body);
    *portal.fake.launches.person.lock().unwrap() = Person("lung-physician");
    assert_eq!(
        portal.revoked(3).await,
        ["refresh-1-0", "refresh-2-0", "refresh-3-0"]
    );

    // Another browser's, and one that came back twice, open nothing; and hers does.
    let (code, state) = portal.sent_on(&address).await;
    let kept = std::mem::take(&mut portal.cookies);
    assert_eq!(
        portal.back(code, &state).await.status,
        StatusCode::BAD_REQUEST
    );
    portal.cookies = kept;
    let page = portal.back_from_afar(code, &state).await;
    assert_eq!(leads_to(&page), address);
    let again = portal.back_from_afar(code, &state).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert_eq!(portal.get(&address).await.status, StatusCode::OK);
}

#[tokio::test]
async fn two_rows_on_their_way_at_once_are_each_their_own_and_end_with_the_session() {
    let mut portal = hospital().await;
    let page = portal.at_work().await;
    let rows: Vec<String> = page
        .body
        .split("<tr id=\"row-")
        .skip(1)
        .collect::<Vec<_>>()
        .iter()
        .map(|row| format!("/views/{}", row.split('"').next().unwrap()))
        .collect();
    let numbers = [
        Directory::demo().story_patient().number.clone(),
        Directory::demo().patients[1].number.clone(),
    ];
    let one = portal.sent_on(&rows[0]).await;
    // Straight to the alerts, and back to them.
    let two = portal.sent_on(&format!("{}/alerts", rows[1])).await;
    let page = portal.back_from_afar(two.0, &two.1).await;
    assert_eq!(leads_to(&page), format!("{}/alerts", rows[1]));
    let page = portal.back_from_afar(one.0, &one.1).await;
    assert_eq!(leads_to(&page), rows[0]);
    for (row, (own, other)) in [(0, (0, 1)), (1, (1, 0))] {
        let shown = portal.get(&rows[row]).await.body;
        assert!(shown.contains(&grouped(&numbers[own])), "{shown}");
        assert!(!shown.contains(&grouped(&numbers[other])));
    }
    // A patient on her way when the session ends comes back to nobody.
    let (third, state) = {
        let mut tab = portal.another_tab();
        let page = tab.at_work().await;
        let address = first(&page);
        let way = tab.sent_on(&address).await;
        let form = tab.get("/list").await.form();
        tab.post("/session/end", &[("form", &form)]).await;
        way
    };
    // The second sign-in at this browser ended the first, with what it had opened.
    let revoked = portal.revoked(4).await;
    assert_eq!(
        revoked,
        ["refresh-0-0", "refresh-1-0", "refresh-2-0", "refresh-3-0"]
    );
    let lost = portal.back(third, &state).await;
    assert_eq!(lost.status, StatusCode::BAD_REQUEST, "{}", lost.body);
    assert_eq!(portal.revoked(5).await[4], format!("refresh-{third}-0"));
    assert_eq!(portal.get(&rows[0]).await.location(), "/");
}

#[tokio::test]
async fn when_the_need_is_too_old_she_signs_in_again_and_a_patient_is_asked_for_again() {
    let mut portal = hospital().await;
    let address = first(&portal.at_work().await);
    let (code, state) = portal.sent_on(&address).await;
    portal.back_from_afar(code, &state).await;
    let alerts = format!("{address}/alerts");
    let form = portal.get(&alerts).await.form();
    portal.clock.advance(5 * MINUTE);
    *portal.fake.launches.refusing.lock().unwrap() = Some("invalid_authorization_details");
    let step = [
        ("form", form.as_str()),
        ("task", "a-1"),
        ("version", "1"),
        ("step", "own"),
    ];
    let late = portal.post(&alerts, &step).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN);
    assert!(late.body.contains("Påloggingen er utløpt"), "{}", late.body);
    assert!(portal.fake.own.steps.lock().unwrap().is_empty());
    let over = portal.get("/list").await;
    assert_eq!(over.status, StatusCode::FORBIDDEN);
    assert!(over.body.contains("href=\"/sign-in\""), "{}", over.body);
    let rows = portal.get("/list/rows").await;
    assert_eq!(rows.status, StatusCode::FORBIDDEN);
    *portal.fake.launches.refusing.lock().unwrap() = None;
    for page in [&address, &alerts] {
        let (code, state) = portal.sent_on(page).await;
        let back = portal.back_from_afar(code, &state).await;
        assert_eq!(leads_to(&back), **page);
        assert_eq!(portal.get(page).await.status, StatusCode::OK);
        portal.clock.advance(5 * MINUTE);
        *portal.fake.launches.refusing.lock().unwrap() = Some("invalid_authorization_details");
        assert_eq!(portal.get(&alerts).await.status, StatusCode::FORBIDDEN);
        *portal.fake.launches.refusing.lock().unwrap() = None;
    }
    // What was given just now and does not hold sends nobody round and round.
    let (code, state) = portal.sent_on(&alerts).await;
    portal.back_from_afar(code, &state).await;
    *portal.fake.launches.refusing.lock().unwrap() = Some("invalid_grant");
    let page = portal.get(&alerts).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.body.contains("Påloggingen er utløpt"), "{}", page.body);
    assert_eq!(portal.pushed().0, code);
    *portal.fake.launches.refusing.lock().unwrap() = None;
    // She signs in again where she is; a page that asks by itself keeps nobody signed in.
    portal.at_work().await;
    for _ in 0..5 {
        portal.clock.advance(5 * MINUTE);
        portal.get("/list/rows?known=tag-1").await;
    }
    assert_eq!(portal.get("/list").await.location(), "/");
}

/// Two pages of one patient wait for the anchor at once, each for another audience; a refresh token works once.
#[tokio::test]
async fn tokens_for_two_audiences_are_renewed_one_after_the_other() {
    let mut portal = hospital().await;
    let address = first(&portal.at_work().await);
    let (code, state) = portal.sent_on(&address).await;
    portal.back_from_afar(code, &state).await;
    let alerts = format!("{address}/alerts");
    assert_eq!(portal.get(&alerts).await.status, StatusCode::OK);
    portal.clock.advance(5 * MINUTE);
    let gate = std::sync::Arc::new(crate::anchor::Gate::default());
    *portal.fake.launches.gate.lock().unwrap() = Some(gate.clone());
    let mut tab = portal.another_tab();
    let one = tokio::spawn(async move { tab.get(&address).await });
    gate.came.notified().await;
    *portal.fake.launches.gate.lock().unwrap() = None;
    let mut tab = portal.another_tab();
    let other = tokio::spawn(async move { tab.get(&alerts).await });
    gate.open.notify_one();
    assert_eq!(one.await.unwrap().status, StatusCode::OK);
    assert_eq!(other.await.unwrap().status, StatusCode::OK);
    let renewed = portal.fake.launches.renewed.lock().unwrap().clone();
    assert_eq!(renewed, ["refresh-1-0", "refresh-1-1", "refresh-1-2"]);
    let given = portal.given();
    assert_eq!(given[3..], given[1..3]);
}
