//! Pushed requests and the authorization endpoint: what is taken, and everything that is wrong with what is not. Names in
//! brackets are modules of the OpenID Foundation's conformance suite for FAPI 2.0.

use crate::journey::{
    CITIZEN, HUSBAND_FOR_HIS_WIFE, PHYSICIAN, Page, attest, cookie_of, sent_to, value,
};
use crate::region::{
    Ask, CALLBACK, FJELLVIK, GATEWAY, ISSUER, JOURNAL, Keys, NOW, OTHER_CALLBACK, OTHER_JOURNAL,
    Region,
};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use trust::assertion;
use trust::audit::Outcome;
use trust::keys::SigningKey;

#[tokio::test]
async fn a_request_is_pushed_and_answered_at_the_clients_place_with_iss() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let answer = region.post("/par", region.push()).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.body["expires_in"], 60);
    let uri = answer.body["request_uri"].as_str().unwrap();
    assert!(uri.starts_with("urn:ietf:params:oauth:request_uri:") && uri.len() > 80);
    let page = region.page(uri).await;
    let answer = region.choose(&page, PHYSICIAN).await;
    let (place, pairs) = sent_to(&answer);
    assert_eq!(place, CALLBACK);
    let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["code", "state", "iss"]);
    assert_eq!(value(&answer, "state").unwrap(), "st-1");
    assert_eq!(value(&answer, "iss").unwrap(), ISSUER);
    // A redirect URI with a query keeps it.
    let uri = region
        .pushed(
            region
                .push()
                .set("redirect_uri", OTHER_CALLBACK)
                .without("state"),
        )
        .await;
    let answer = region.choose(&region.page(&uri).await, PHYSICIAN).await;
    let (place, pairs) = sent_to(&answer);
    assert_eq!(place, "http://127.0.0.1:8400/callback");
    assert_eq!(pairs[0], ("tenant".to_owned(), "1".to_owned()));
    assert_eq!(value(&answer, "state"), None);
}

#[tokio::test]
async fn what_is_wrong_with_a_pushed_request() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let detail = |change: &dyn Fn(&mut Value)| {
        let mut one = attest();
        change(&mut one);
        json!([one]).to_string()
    };
    type Change<'a> = Box<dyn Fn(Ask) -> Ask + 'a>;
    let set = |name: &'static str, value: &str| -> Change<'static> {
        let value = value.to_owned();
        Box::new(move |ask| ask.set(name, &value))
    };
    let without =
        |name: &'static str| -> Change<'static> { Box::new(move |ask| ask.without(name)) };
    let twice = |name: &'static str, value: &'static str| -> Change<'static> {
        Box::new(move |mut ask| {
            ask.form.push((name, value.to_owned()));
            ask
        })
    };
    let long = "x".repeat(513);
    let cases: Vec<(&str, Change<'_>, u16, &str)> = vec![
        (
            "no response_type",
            without("response_type"),
            400,
            "invalid_request",
        ),
        (
            "implicit",
            set("response_type", "token"),
            400,
            "unsupported_response_type",
        ),
        (
            "hybrid",
            set("response_type", "code id_token"),
            400,
            "unsupported_response_type",
        ),
        (
            "response_mode",
            set("response_mode", "fragment"),
            400,
            "invalid_request",
        ),
        (
            "redirect_uri missing",
            without("redirect_uri"),
            400,
            "invalid_request",
        ),
        (
            "redirect_uri elsewhere",
            set("redirect_uri", "https://evil.example/"),
            400,
            "invalid_request",
        ),
        (
            "redirect_uri longer",
            set("redirect_uri", &format!("{CALLBACK}/more")),
            400,
            "invalid_request",
        ),
        (
            "redirect_uri with query",
            set("redirect_uri", &format!("{CALLBACK}?a=b")),
            400,
            "invalid_request",
        ),
        (
            "redirect_uri other case",
            set("redirect_uri", "https://EPJ.example/callback"),
            400,
            "invalid_request",
        ),
        (
            "redirect_uri other port",
            set("redirect_uri", "http://127.0.0.1:8401/callback?tenant=1"),
            400,
            "invalid_request",
        ),
        (
            "no PKCE [fapi2-par-ensure-pkce-required]",
            without("code_challenge"),
            400,
            "invalid_request",
        ),
        (
            "no PKCE method",
            without("code_challenge_method"),
            400,
            "invalid_request",
        ),
        (
            "plain PKCE [fapi2-par-plain-pkce-rejected]",
            set("code_challenge_method", "plain"),
            400,
            "invalid_request",
        ),
        (
            "short challenge",
            set("code_challenge", "abc"),
            400,
            "invalid_request",
        ),
        (
            "request object",
            set("request", "e30.e30."),
            400,
            "invalid_request",
        ),
        (
            "request_uri [fapi2-par-with-invalid-request-uri]",
            set("request_uri", "urn:x"),
            400,
            "invalid_request",
        ),
        ("claims", set("claims", "{}"), 400, "invalid_request"),
        ("prompt", set("prompt", "consent"), 400, "invalid_request"),
        ("max_age", set("max_age", "soon"), 400, "invalid_request"),
        (
            "state too long",
            set("state", &long),
            400,
            "invalid_request",
        ),
        (
            "nonce too long",
            set("nonce", &long),
            400,
            "invalid_request",
        ),
        ("nonce empty", set("nonce", ""), 400, "invalid_request"),
        (
            "scope twice",
            twice("scope", "user/*.rs"),
            400,
            "invalid_request",
        ),
        (
            "redirect_uri twice",
            twice("redirect_uri", CALLBACK),
            400,
            "invalid_request",
        ),
        (
            "same resource twice",
            twice("resource", GATEWAY),
            400,
            "invalid_request",
        ),
        ("no scope", without("scope"), 400, "invalid_scope"),
        (
            "system scope",
            set("scope", "system/*.cruds"),
            400,
            "invalid_scope",
        ),
        (
            "mixed scopes",
            set("scope", "user/*.rs patient/*.rs"),
            400,
            "invalid_scope",
        ),
        (
            "wider scope",
            set("scope", "user/*.cruds"),
            400,
            "invalid_scope",
        ),
        ("unknown scope", set("scope", "email"), 400, "invalid_scope"),
        ("no resource", without("resource"), 400, "invalid_target"),
        (
            "unknown resource",
            set("resource", "https://evil.example/fhir"),
            400,
            "invalid_target",
        ),
        (
            "resource not registered",
            set("resource", crate::region::KYST),
            400,
            "invalid_target",
        ),
        (
            "resource for identity only",
            set("scope", "openid"),
            400,
            "invalid_target",
        ),
        (
            "details no JSON",
            set("authorization_details", "x"),
            400,
            "invalid_authorization_details",
        ),
        (
            "details no list",
            set("authorization_details", "{}"),
            400,
            "invalid_authorization_details",
        ),
        (
            "details empty",
            set("authorization_details", "[]"),
            400,
            "invalid_authorization_details",
        ),
        (
            "details of another type",
            set("authorization_details", r#"[{"type":"payment"}]"#),
            400,
            "invalid_authorization_details",
        ),
        (
            "details with a member twice",
            set(
                "authorization_details",
                r#"[{"type":"payment","type":"payment"}]"#,
            ),
            400,
            "invalid_authorization_details",
        ),
        (
            "two attests",
            set(
                "authorization_details",
                &json!([attest(), attest()]).to_string(),
            ),
            400,
            "invalid_authorization_details",
        ),
        (
            "stale attest",
            set(
                "authorization_details",
                &detail(&|d| d["toa"] = (NOW - 3601).into()),
            ),
            400,
            "invalid_authorization_details",
        ),
        (
            "attest from the future",
            set(
                "authorization_details",
                &detail(&|d| d["toa"] = (NOW + 11).into()),
            ),
            400,
            "invalid_authorization_details",
        ),
        (
            "unknown member",
            set(
                "authorization_details",
                &detail(&|d| d["practitioner"]["x"] = 1.into()),
            ),
            400,
            "invalid_authorization_details",
        ),
        (
            "attest without user/ scopes",
            set("scope", "patient/*.rs"),
            400,
            "invalid_authorization_details",
        ),
        (
            "dpop_jkt malformed",
            set("dpop_jkt", "abc"),
            400,
            "invalid_request",
        ),
        (
            "wrong client_id",
            set("client_id", OTHER_JOURNAL),
            400,
            "invalid_request",
        ),
        (
            "client_secret",
            set("client_secret", "x"),
            400,
            "invalid_request",
        ),
        (
            "no assertion",
            without("client_assertion"),
            401,
            "invalid_client",
        ),
        (
            "wrong assertion",
            set("client_assertion", "x"),
            401,
            "invalid_client",
        ),
    ];
    for (what, change, status, error) in cases {
        let answer = region.post("/par", change(region.push())).await;
        assert_eq!(answer.error(), (status, error), "{what}: {}", answer.text);
        assert!(answer.body["request_uri"].is_null(), "{what}");
    }
    // An identity scope that this client is not registered for is no scope at all.
    let other = region
        .post(
            "/par",
            other_clients(&region).set("scope", "openid profile user/Observation.rs"),
        )
        .await;
    assert_eq!(other.error(), (400, "invalid_scope"));
    assert_eq!(
        region.post("/par", other_clients(&region)).await.status,
        201
    );
    // assertion_details belong to the token endpoint.
    let details =
        assertion::make_with_details(JOURNAL, ISSUER, &region.hospital, NOW, "d", &[attest()])
            .unwrap();
    let answer = region
        .post("/par", region.push_bare().set("client_assertion", &details))
        .await;
    assert_eq!(answer.error(), (400, "invalid_authorization_details"));
    // A client that is registered for another grant.
    let home = assertion::make("hjemmesystem-fjellvik", ISSUER, &region.home, NOW, "h").unwrap();
    let answer = region
        .post("/par", region.push_bare().set("client_assertion", &home))
        .await;
    assert_eq!(answer.error(), (400, "unauthorized_client"));
}

fn other_clients(region: &Region) -> Ask {
    let assertion = assertion::make(
        OTHER_JOURNAL,
        ISSUER,
        &region.epj,
        region.now(),
        &region.jti(),
    )
    .unwrap();
    region
        .push_bare()
        .set("client_assertion", &assertion)
        .set("resource", FJELLVIK)
        .set("scope", "openid user/Observation.rs")
}

#[tokio::test]
async fn an_unknown_client_looks_like_a_wrong_assertion_here_too() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let stranger = SigningKey::generate().unwrap();
    let mut answers = Vec::new();
    for client in ["nobody", JOURNAL] {
        let assertion = assertion::make(client, ISSUER, &stranger, NOW, client).unwrap();
        for path in ["/par", "/revoke", "/token"] {
            let ask = region
                .push()
                .set("client_assertion", &assertion)
                .set("token", "x")
                .set("grant_type", "refresh_token");
            let answer = region.post(path, ask).await;
            assert_eq!(answer.error(), (401, "invalid_client"), "{path}");
            answers.push(answer.text);
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[tokio::test]
async fn an_assertion_that_pushed_a_request_is_used_up() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let assertion = assertion::make(JOURNAL, ISSUER, &region.hospital, NOW, "once").unwrap();
    let push = || region.push().set("client_assertion", &assertion);
    assert_eq!(
        region.post("/par", push().without("scope")).await.error(),
        (400, "invalid_scope")
    );
    assert_eq!(
        region.post("/par", push()).await.error(),
        (401, "invalid_client")
    );
}

#[tokio::test]
async fn a_request_uri_is_one_clients_short_lived_and_answered_once() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    let uri = {
        let region = Region::open_as(folder.path(), keys.clone(), |_| {}).await;
        let uri = region.pushed(region.push()).await;
        // Another client cannot use it, and it is none the worse for the attempt.
        for (client, uri) in [
            (OTHER_JOURNAL, uri.as_str()),
            ("nobody", uri.as_str()),
            (JOURNAL, "urn:ietf:params:oauth:request_uri:AAAA"),
            (JOURNAL, &uri[..uri.len() - 4]),
            (JOURNAL, "https://epj.example/request"),
        ] {
            let answer = region.visit(client, uri, None).await;
            assert_eq!(answer.status, 400, "{client} {uri}");
            assert!(answer.headers.get("location").is_none());
        }
        uri
    };
    // It survives a restart, and 60 s.
    let region = Region::open_as(folder.path(), keys, |_| {}).await;
    region.clock.fetch_add(60, Ordering::SeqCst);
    let page = region.page(&uri).await;
    let second = region.page(&uri).await;
    region.clock.fetch_add(1, Ordering::SeqCst);
    assert_eq!(region.visit(JOURNAL, &uri, None).await.status, 400);
    // Whoever sat at the page in time gets a code; nobody gets a second one.
    assert!(value(&region.choose(&page, PHYSICIAN).await, "code").is_some());
    for page in [&page, &second] {
        let again = region.choose(page, PHYSICIAN).await;
        assert_eq!(again.status, 400, "{}", again.text);
        assert!(again.headers.get("location").is_none());
    }
    // A page that lay open too long.
    let uri = region.pushed(region.push()).await;
    let page = region.page(&uri).await;
    region.clock.fetch_add(601, Ordering::SeqCst);
    assert_eq!(region.choose(&page, PHYSICIAN).await.status, 400);
}

#[tokio::test]
async fn twenty_answers_to_one_request_make_one_code() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let uri = region.pushed(region.push()).await;
    let page = region.page(&uri).await;
    let all = futures::future::join_all((0..20).map(|_| region.choose(&page, PHYSICIAN))).await;
    assert_eq!(all.iter().filter(|answer| answer.status == 303).count(), 1);
    assert_eq!(all.iter().filter(|answer| answer.status == 400).count(), 19);
}

#[tokio::test]
async fn nothing_in_the_address_counts_but_client_and_request_uri() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    for path in [
        "/authorize".to_owned(),
        format!("/authorize?client_id={JOURNAL}"),
        "/authorize?request_uri=urn:ietf:params:oauth:request_uri:x".to_owned(),
        // A request that was not pushed [fapi2-par-required].
        format!(
            "/authorize?client_id={JOURNAL}&response_type=code&redirect_uri={CALLBACK}&scope=openid"
        ),
        format!(
            "/authorize?client_id={JOURNAL}&client_id={JOURNAL}&request_uri=urn:ietf:params:oauth:request_uri:x"
        ),
        format!("/authorize?client_id={JOURNAL}&request_uri=%"),
    ] {
        let answer = region.visit_at(&path, None).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.headers.get("location").is_none(), "{path}");
        assert!(answer.text.contains("<html lang=\"nb\""));
    }
    // What stands beside them changes nothing.
    let uri = region.pushed(region.push()).await;
    let query = wire::form::write([
        ("client_id", JOURNAL),
        ("request_uri", uri.as_str()),
        ("redirect_uri", "https://evil.example/"),
        ("scope", "system/*.cruds"),
        ("state", "other"),
    ]);
    let answer = region.visit_at(&format!("/authorize?{query}"), None).await;
    let page = Page {
        cookie: cookie_of(&answer).unwrap(),
        answer,
    };
    let answer = region.choose(&page, PHYSICIAN).await;
    assert_eq!(sent_to(&answer).0, CALLBACK);
    assert_eq!(value(&answer, "state").unwrap(), "st-1");
}

#[tokio::test]
async fn refusals_go_to_the_registered_place() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    // The user breaks off [fapi2-user-rejects-authentication].
    let uri = region.pushed(region.push()).await;
    let page = region.page(&uri).await;
    let answer = region.choose(&page, "none").await;
    assert_eq!(sent_to(&answer).0, CALLBACK);
    assert_eq!(value(&answer, "error").unwrap(), "access_denied");
    assert_eq!(value(&answer, "state").unwrap(), "st-1");
    assert_eq!(value(&answer, "iss").unwrap(), ISSUER);
    assert_eq!(region.choose(&page, PHYSICIAN).await.status, 400);
    // Nobody is signed in, and nobody is to be asked.
    let uri = region.pushed(region.push().set("prompt", "none")).await;
    let answer = region.visit(JOURNAL, &uri, None).await;
    assert_eq!(value(&answer, "error").unwrap(), "login_required");
    // The attest names another practitioner than the one who signs in (ATT-11), or another organisation's place.
    for change in [
        &|d: &mut Value| {
            d["practitioner"]["identifier"] =
                json!({"id": crate::region::PATIENT, "system": "urn:oid:2.16.578.1.12.4.1.4.1"})
        },
        &|d: &mut Value| {
            d["practitioner"]["hpr_nr"] =
                json!({"id": "1234567", "system": "urn:oid:2.16.578.1.12.4.1.4.4"})
        },
        &|d: &mut Value| d["practitioner"]["authorization"]["code"] = "SP".into(),
        &|d: &mut Value| d["practitioner"]["legal_entity"]["id"] = "310001007".into(),
        &|d: &mut Value| d["practitioner"]["point_of_care"]["id"] = "310001007".into(),
        &|d: &mut Value| {
            d["practitioner"]["department"] =
                json!({"id": "310001422", "system": "urn:oid:2.16.578.1.12.4.1.4.101"})
        },
    ] as [&dyn Fn(&mut Value); 6]
    {
        let mut one = attest();
        change(&mut one);
        let uri = region
            .pushed(
                region
                    .push()
                    .set("authorization_details", &json!([one]).to_string()),
            )
            .await;
        let answer = region.choose(&region.page(&uri).await, PHYSICIAN).await;
        assert_eq!(value(&answer, "error").unwrap(), "access_denied", "{one}");
        assert!(value(&answer, "code").is_none());
    }
    let refused = region.audited().await.into_iter().filter(
        |record| matches!(&record.outcome, Outcome::Refused { rule, .. } if rule == "authorize"),
    );
    assert_eq!(refused.count(), 8);
}

#[tokio::test]
async fn the_page_offers_whom_the_request_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let page = region.page(&region.pushed(region.push()).await).await;
    assert!(page.answer.text.contains("Lege Syntetisk") && !page.answer.text.contains("Testmo"));
    assert!(page.answer.text.contains("Prøveheim Diakonale Sykehus"));
    for person in [CITIZEN, HUSBAND_FOR_HIS_WIFE, "7", "0.0", "x", ""] {
        assert_eq!(region.choose(&page, person).await.status, 400, "{person}");
    }
    let citizens = region.push_bare().set("scope", "patient/*.rs");
    let page = region.page(&region.pushed(citizens).await).await;
    assert!(!page.answer.text.contains("Lege Syntetisk"));
    assert!(page.answer.text.contains("På vegne av Ragnhild Testmo"));
    for person in [PHYSICIAN, "1.0"] {
        assert_eq!(region.choose(&page, person).await.status, 400, "{person}");
    }
    assert!(value(&region.choose(&page, HUSBAND_FOR_HIS_WIFE).await, "code").is_some());
}

#[tokio::test]
async fn the_key_of_the_proof_and_dpop_jkt_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let with = |key: &SigningKey, path: &str| {
        let mut ask = region.push().set("dpop_jkt", region.user.thumbprint());
        ask.proofs = vec![region.proof_for(key, path)];
        ask
    };
    assert_eq!(
        region.post("/par", with(&region.user, "/par")).await.status,
        201
    );
    assert_eq!(
        region
            .post("/par", with(&region.home, "/par"))
            .await
            .error(),
        (400, "invalid_dpop_proof")
    );
    assert_eq!(
        region
            .post("/par", with(&region.user, "/token"))
            .await
            .error(),
        (400, "invalid_dpop_proof")
    );
}

#[tokio::test]
async fn outside_demo_mode_nobody_signs_in() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open_as(folder.path(), Keys::new(), |config| config.demo = None).await;
    assert_eq!(region.post("/par", region.push()).await.status, 404);
    assert_eq!(
        region
            .visit(JOURNAL, "urn:ietf:params:oauth:request_uri:x", None)
            .await
            .status,
        404
    );
    let discovery = region.get("/.well-known/openid-configuration").await.body;
    assert!(discovery.get("authorization_endpoint").is_none());
    assert_eq!(
        discovery["grant_types_supported"].as_array().unwrap().len(),
        2
    );
    let answer = region.token(region.redeem("x")).await;
    assert_eq!(answer.error(), (400, "unsupported_grant_type"));
    assert!(
        region.get("/openapi.json").await.body["paths"]
            .get("/par")
            .is_none()
    );
}

#[tokio::test]
async fn what_could_not_be_kept_to_the_end_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let text = |length: usize| "x".repeat(length);
    let id = |length| json!({"id": text(length), "name": text(length), "system": text(length), "authority": text(length)});
    let code = |length| json!({"code": text(length), "text": text(length), "system": text(length), "assigner": text(length)});
    let with = |length: usize| {
        let mut one = attest();
        one["practitioner"]["authorization"] = code(length);
        for place in ["legal_entity", "point_of_care", "department"] {
            one["practitioner"][place] = id(length);
        }
        one["care_relationship"]["healthcare_service"] = code(length);
        one["care_relationship"]["purpose_of_use_details"] = code(length);
        one["care_relationship"]["reason"] = text(length).into();
        one["patients"][0]["point_of_care"] = id(length);
        one["patients"][0]["department"] = id(length);
        region
            .push()
            .set("authorization_details", &json!([one]).to_string())
    };
    assert_eq!(region.post("/par", with(200)).await.status, 201);
    let answer = region.post("/par", with(256)).await;
    assert_eq!(answer.error(), (400, "invalid_request"), "{}", answer.text);
    let answer = region.post("/par", with(257)).await;
    assert_eq!(answer.error(), (400, "invalid_authorization_details"));
}
