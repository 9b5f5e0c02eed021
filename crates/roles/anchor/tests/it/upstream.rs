//! Sign-in at an identity provider, as in operation: no demo, nobody to choose. Names in brackets are modules of the OpenID
//! conformance suite (`fapi2-security-profile-final-client-test-…`).

use crate::journey::{attest, cookie_of, sent_to, value};
use crate::provider::{CLIENT, Provider};
use crate::region::{Answer, CALLBACK, GATEWAY, ISSUER, JOURNAL, Keys, PATIENT, Region, physician};
use anchor::config::{Config, Hpr, IdentityProvider};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use testkit::health_personnel::{Approval, HealthPersonnel};
use trust::keys::{Algorithm, SigningKey};

/// A region in operation, whose people sign in at these providers.
async fn region(folder: &std::path::Path, providers: Vec<IdentityProvider>) -> Region {
    Region::open_as(folder, Keys::new(), |config| operation(config, providers)).await
}

fn operation(config: &mut Config, providers: Vec<IdentityProvider>) {
    config.demo = None;
    config.identity_providers = providers;
}

/// HelseID's claims about the physician.
fn physicians() -> Vec<(&'static str, Value)> {
    vec![
        ("helseid://claims/identity/pid", json!(physician())),
        ("helseid://claims/identity/security_level", json!("4")),
        ("helseid://claims/hpr/hpr_number", json!("9144900")),
        ("name", json!("Lege Syntetisk")),
    ]
}

struct Ground {
    _folder: tempfile::TempDir,
    region: Region,
    helseid: Provider,
}

impl Ground {
    async fn new() -> Ground {
        Ground::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut IdentityProvider)) -> Ground {
        let folder = tempfile::tempdir().unwrap();
        let helseid = Provider::start().await;
        helseid.said().claims = physicians();
        let mut one = helseid.helseid("helseid");
        change(&mut one);
        let region = region(folder.path(), vec![one]).await;
        Ground {
            _folder: folder,
            region,
            helseid,
        }
    }

    /// Begins a sign-in: straight to the provider. Gives the browser's cookie and where it went.
    async fn begin(&self) -> (String, String) {
        let uri = self.region.pushed(self.region.push()).await;
        let answer = self.region.visit(JOURNAL, &uri, None).await;
        (cookie_of(&answer).unwrap(), sent_to(&answer).0)
    }

    async fn back(&self, cookie: &str, pairs: &[(&str, String)]) -> Answer {
        self.back_at("helseid", cookie, pairs).await
    }

    async fn back_at(&self, id: &str, cookie: &str, pairs: &[(&str, String)]) -> Answer {
        let query = wire::form::write(pairs.iter().map(|(name, value)| (*name, value.as_str())));
        let path = format!("/sign-in/{id}/callback?{query}");
        self.region.visit_at(&path, Some(cookie)).await
    }

    /// A whole sign-in as the provider answers it.
    async fn sign_in(&self) -> Answer {
        let (cookie, _) = self.begin().await;
        self.back(&cookie, &self.helseid.answer()).await
    }
}

/// The client's error, with what must come with it.
fn refused(answer: &Answer) -> (String, String) {
    let (to, _) = sent_to(answer);
    assert_eq!(to, CALLBACK);
    assert_eq!(value(answer, "iss").as_deref(), Some(ISSUER));
    assert_eq!(value(answer, "state").as_deref(), Some("st-1"));
    assert!(value(answer, "code").is_none());
    (
        value(answer, "error").unwrap(),
        value(answer, "error_description").unwrap(),
    )
}

#[tokio::test]
async fn a_practitioner_signs_in_at_the_only_provider_without_a_page_of_ours() {
    let ground = Ground::new().await;
    let uri = ground.region.pushed(ground.region.push()).await;
    let answer = ground.region.visit(JOURNAL, &uri, None).await;
    let cookie = cookie_of(&answer).unwrap();
    let (to, brought) = sent_to(&answer);
    assert_eq!(to, format!("{}/authorize", ground.helseid.url));
    // Everything else was pushed.
    let names: Vec<&str> = brought.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["client_id", "request_uri"]);
    let pushed = ground.helseid.request();
    for (name, expected) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        (
            "redirect_uri",
            "http://127.0.0.1:7070/anchor/sign-in/helseid/callback",
        ),
        ("scope", "openid profile helseid://scopes/identity/pid"),
        ("code_challenge_method", "S256"),
        ("max_age", "28800"),
    ] {
        assert_eq!(pushed.get(name), Some(expected), "{name}");
    }
    assert!(pushed.get("prompt").is_none() && pushed.get("dpop_jkt").is_none());
    let answer = ground.back(&cookie, &ground.helseid.answer()).await;
    let code = value(&answer, "code").expect("a code");
    assert_eq!(value(&answer, "iss").as_deref(), Some(ISSUER));
    let session = cookie_of(&answer).unwrap();
    assert_ne!(session, cookie, "a new session id at sign-in");
    let tokens = ground.region.token(ground.region.redeem(&code)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text);
    let token = tokens.body["access_token"].as_str().unwrap();
    let claims = ground.region.claims(token, GATEWAY).await;
    assert_eq!(claims.pid.as_deref(), Some(physician().as_str()));
    assert_eq!(claims.hpr_number.as_deref(), Some("9144900"));
    assert_eq!(claims.security_level.as_deref(), Some("4"));
    assert_eq!(claims.name.as_deref(), Some("Lege Syntetisk"));
    let attest = claims.attest.unwrap();
    assert_eq!(attest.practitioner.hpr_nr.unwrap().id, "9144900");
    // When the person proved who it is, the provider's word for it.
    let id_token = tokens.body["id_token"].as_str().unwrap();
    let payload = trust::encoding::from_base64url(id_token.split('.').nth(1).unwrap()).unwrap();
    let id_token: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(id_token["auth_time"], ground.region.now() - 30);
    // The next request is answered from the session: nobody asks the provider.
    let uri = ground.region.pushed(ground.region.push()).await;
    let answer = ground.region.visit(JOURNAL, &uri, Some(&session)).await;
    assert!(value(&answer, "code").is_some());
    assert_eq!(ground.helseid.said().pushed.len(), 1);
    // And there is no other way in: no test tokens, nobody to choose.
    let order = ground.region.order(GATEWAY, "user/*.rs");
    assert_eq!(ground.region.test_token(&order).await.status, 404);
    let page = ground.region.visit_at("/sign-in", Some(&session)).await;
    assert!(page.text.contains("Lege Syntetisk") && !page.text.contains("Syntetiske data"));
}

#[tokio::test]
async fn discovery_offers_sign_in_where_a_provider_is_named_and_only_there() {
    let ground = Ground::new().await;
    let found = ground.region.get("/.well-known/openid-configuration").await;
    assert_eq!(
        found.body["authorization_endpoint"],
        format!("{ISSUER}/authorize")
    );
    let folder = tempfile::tempdir().unwrap();
    let nobody = region(folder.path(), vec![]).await;
    let found = nobody.get("/.well-known/openid-configuration").await;
    assert!(found.body.get("authorization_endpoint").is_none());
    assert_eq!(nobody.post("/par", nobody.push()).await.status, 404);
}

#[tokio::test]
async fn an_answer_belongs_to_one_browser_one_provider_and_one_request() {
    let folder = tempfile::tempdir().unwrap();
    let (helseid, other) = (Provider::start().await, Provider::start().await);
    helseid.said().claims = physicians();
    other.said().claims = physicians();
    let region = region(
        folder.path(),
        vec![helseid.helseid("helseid"), other.helseid("other")],
    )
    .await;
    let ground = Ground {
        _folder: folder,
        region,
        helseid,
    };
    // Two providers: the page, and from it to one of them.
    let page = ground
        .region
        .page(&ground.region.pushed(ground.region.push()).await)
        .await;
    let link = |id: &str| {
        let start = format!("href=\"/anchor/sign-in/{id}?");
        let after = page.answer.text.split(&start).nth(1).expect("a link");
        let query = after.split('"').next().unwrap().replace("&amp;", "&");
        format!("/sign-in/{id}?{query}")
    };
    let gone = ground
        .region
        .visit_at(&link("helseid"), Some(&page.cookie))
        .await;
    assert_eq!(
        sent_to(&gone).0,
        format!("{}/authorize", ground.helseid.url)
    );
    let good = ground.helseid.answer();
    let with = |name: &str, value: &str| {
        let mut pairs = good.clone();
        pairs.retain(|(own, _)| *own != name);
        let name = match name {
            "state" => "state",
            "iss" => "iss",
            _ => "error",
        };
        pairs.push((name, value.to_owned()));
        pairs
    };
    let own = page.cookie.as_str();
    // [invalid-authorization-response-iss, remove-authorization-response-iss,
    // ensure-authorization-response-with-invalid-state-fails, …-invalid-missing-state-fails]
    let without_state: Vec<_> = good[..1].to_vec();
    let without_iss: Vec<_> = good[..2].to_vec();
    for (id, cookie, pairs, expected) in [
        ("helseid", "delt-demo-sign-in=another", good.clone(), 403),
        ("helseid", "none=at-all", good.clone(), 403),
        ("other", own, good.clone(), 403),
        ("unknown", own, good.clone(), 400),
        ("helseid", own, with("iss", &other.url), 403),
        ("helseid", own, with("iss", ISSUER), 403),
        ("helseid", own, without_iss, 403),
        ("helseid", own, without_state, 400),
        ("helseid", own, with("state", "made-up"), 400),
        ("helseid", own, with("error", "access_denied"), 400),
        ("helseid", own, [good.clone(), good.clone()].concat(), 400),
    ] {
        let answer = ground.back_at(id, cookie, &pairs).await;
        assert_eq!(answer.status, expected, "{id} {cookie} {pairs:?}");
        assert!(
            answer.text.contains("<html lang=\"nb\"") && !answer.headers.contains_key("location")
        );
    }
    // A link of the page is worth nothing in another browser.
    let stolen = ground
        .region
        .visit_at(&link("helseid"), Some("delt-demo-sign-in=another"))
        .await;
    assert_eq!(stolen.status, 403);
    // None of it used the answer up, and no code was taken anywhere; the right browser is still served, once.
    assert!(ground.helseid.said().redeemed.is_empty() && other.said().redeemed.is_empty());
    let answers = futures::future::join_all((0..8).map(|_| ground.back(own, &good))).await;
    let done = answers.iter().filter(|answer| answer.status == 303).count();
    assert_eq!((done, ground.helseid.said().redeemed.len()), (1, 1));
    assert!(
        answers
            .iter()
            .all(|one| one.status == 303 || one.status == 400)
    );
    assert_eq!(ground.back(own, &good).await.status, 400);
}

#[tokio::test]
async fn an_answer_comes_in_time_and_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let helseid = Provider::start().await;
    helseid.said().claims = physicians();
    let keys = Keys::new();
    let providers = || vec![helseid.helseid("helseid")];
    let first = Region::open_as(folder.path(), keys.clone(), |config| {
        operation(config, providers())
    })
    .await;
    let uri = first.pushed(first.push()).await;
    let cookie = cookie_of(&first.visit(JOURNAL, &uri, None).await).unwrap();
    let late = first.pushed(first.push()).await;
    let late_cookie = cookie_of(&first.visit(JOURNAL, &late, None).await).unwrap();
    let requests = helseid.said().pushed.clone();
    let answer = |at: usize| {
        let state = requests[at].get("state").unwrap();
        wire::form::write([("code", "c"), ("state", state), ("iss", &helseid.url)])
    };
    drop(first);
    let again = Region::open_as(folder.path(), keys, |config| operation(config, providers())).await;
    // The provider stands by the nonce of the request that was redeemed last.
    helseid.said().pushed.truncate(1);
    let path = format!("/sign-in/helseid/callback?{}", answer(0));
    let signed_in = again.visit_at(&path, Some(&cookie)).await;
    assert!(value(&signed_in, "code").is_some());
    again.clock.fetch_add(601, Ordering::SeqCst);
    let path = format!("/sign-in/helseid/callback?{}", answer(1));
    assert_eq!(again.visit_at(&path, Some(&late_cookie)).await.status, 400);
}

#[tokio::test]
async fn what_the_provider_refuses_goes_back_to_the_client() {
    let ground = Ground::new().await;
    for (said, expected) in [
        ("access_denied", "access_denied"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("invalid_request", "server_error"),
        ("<script>", "server_error"),
    ] {
        let (cookie, _) = ground.begin().await;
        let mut pairs = ground.helseid.answer();
        pairs[0] = ("error", said.to_owned());
        pairs.push(("error_description", "with <b>secrets</b>".into()));
        let (error, words) = refused(&ground.back(&cookie, &pairs).await);
        assert_eq!(error, expected, "{said}");
        assert!(!words.contains("secrets") && !words.contains('<'));
    }
    assert!(ground.helseid.said().redeemed.is_empty());
}

#[tokio::test]
async fn an_id_token_that_is_not_the_answer_to_our_question_signs_nobody_in() {
    let ground = Ground::new().await;
    let now = ground.region.now();
    for (claim, wrong) in [
        // [invalid-iss, invalid-missing-iss, invalid-aud, invalid-missing-aud, invalid-nonce, invalid-missing-nonce,
        // invalid-expired-exp, invalid-missing-exp]
        ("iss", json!("https://evil.example")),
        ("iss", Value::Null),
        ("aud", json!("another")),
        ("aud", json!([CLIENT, "another"])),
        ("aud", Value::Null),
        ("azp", json!("another")),
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("exp", json!(now - 10)),
        ("exp", Value::Null),
        ("iat", json!(now + 11)),
        ("auth_time", json!(now - 28_811)),
        ("auth_time", Value::Null),
    ] {
        ground.helseid.said().claims = physicians();
        ground.helseid.said().claims.push((claim, wrong.clone()));
        let (error, words) = refused(&ground.sign_in().await);
        assert_eq!(error, "access_denied", "{claim} {wrong}");
        assert!(words.contains("ID token"), "{words}");
    }
    ground.helseid.said().claims = physicians();
    // [invalid-signature]; an access token, a logout token in its place.
    for typ in ["at+jwt", "logout+jwt"] {
        ground.helseid.said().typ = typ;
        assert_eq!(refused(&ground.sign_in().await).0, "access_denied", "{typ}");
    }
    ground.helseid.said().typ = "JWT";
    ground.helseid.said().signer = Some(SigningKey::generate().unwrap());
    assert_eq!(refused(&ground.sign_in().await).0, "access_denied");
    ground.helseid.said().signer = None;
    assert!(value(&ground.sign_in().await, "code").is_some());
    // [invalid-alternate-alg]
    let strict = Ground::with(|one| one.algorithms = vec![Algorithm::Ps256]).await;
    assert_eq!(refused(&strict.sign_in().await).0, "access_denied");
}

#[tokio::test]
async fn a_level_below_high_or_nobody_in_particular_is_refused_in_words() {
    let ground = Ground::new().await;
    for (claim, wrong, word) in [
        (
            "helseid://claims/identity/security_level",
            json!("3"),
            "login_level: ",
        ),
        (
            "helseid://claims/identity/security_level",
            Value::Null,
            "login_level: ",
        ),
        (
            "helseid://claims/identity/pid",
            Value::Null,
            "login_identity: ",
        ),
        (
            "helseid://claims/hpr/hpr_number",
            json!("nine"),
            "login_identity: ",
        ),
    ] {
        ground.helseid.said().claims = physicians();
        ground.helseid.said().claims.push((claim, wrong.clone()));
        let (error, words) = refused(&ground.sign_in().await);
        assert_eq!(error, "access_denied");
        assert!(words.starts_with(word), "{claim} {wrong}: {words}");
    }
    let refusals = ground.region.audited().await;
    let refused = refusals.iter().filter(|one| {
        matches!(&one.outcome, trust::audit::Outcome::Refused { rule, code } if rule == "authorize" && code == "access_denied")
    });
    assert_eq!(refused.count(), 4);
}

#[tokio::test]
async fn a_provider_that_is_down_costs_a_page_that_says_what_to_do() {
    let ground = Ground::new().await;
    // Its token endpoint: the answer is used, the request still stands.
    ground.helseid.said().token_error = Some((503, "x"));
    let (cookie, _) = ground.begin().await;
    let page = ground.back(&cookie, &ground.helseid.answer()).await;
    assert_eq!(page.status, 503);
    assert!(page.text.contains("HelseID svarer ikke") && page.text.contains("Prøv igjen om litt"));
    assert!(page.text.contains("role=\"alert\"") && page.text.contains("Avbryt"));
    // Again, by the page's own link.
    ground.helseid.said().token_error = None;
    let after = page
        .text
        .split("href=\"/anchor/sign-in/helseid?")
        .nth(1)
        .unwrap();
    let query = after.split('"').next().unwrap();
    let gone = ground
        .region
        .visit_at(&format!("/sign-in/helseid?{query}"), Some(&cookie))
        .await;
    assert_eq!(gone.status, 303, "{}", gone.text);
    let answer = ground.back(&cookie, &ground.helseid.answer()).await;
    assert!(value(&answer, "code").is_some());
    // Its refusals are not a matter of time.
    ground.helseid.said().token_error = Some((400, "invalid_grant"));
    assert_eq!(refused(&ground.sign_in().await).0, "server_error");
    // Never there at all; and who gives up is sent back to the client.
    let gone = Ground::with(|one| one.issuer = "http://127.0.0.1:9".into()).await;
    let uri = gone.region.pushed(gone.region.push()).await;
    let answer = gone.region.visit(JOURNAL, &uri, None).await;
    assert_eq!(answer.status, 503);
    let page = crate::journey::Page {
        cookie: cookie_of(&answer).unwrap(),
        answer,
    };
    assert_eq!(
        refused(&gone.region.choose(&page, "none").await).0,
        "access_denied"
    );
    // A discovery document of somebody else's is none.
    let other = Ground::with(|_| {}).await;
    other.helseid.said().discovery = vec![("issuer", json!("https://evil.example"))];
    let uri = other.region.pushed(other.region.push()).await;
    assert_eq!(other.region.visit(JOURNAL, &uri, None).await.status, 503);
}

#[tokio::test]
async fn citizens_sign_in_at_their_own_provider_and_only_high() {
    let folder = tempfile::tempdir().unwrap();
    let (helseid, idporten) = (Provider::start().await, Provider::start().await);
    let providers = vec![helseid.helseid("helseid"), idporten.idporten("idporten")];
    let ground = Ground {
        region: region(folder.path(), providers).await,
        _folder: folder,
        helseid,
    };
    let push = || {
        let ask = ground.region.push_bare();
        ask.set("scope", "openid profile patient/*.rs")
    };
    for (acr, expected) in [
        ("idporten-loa-high", None),
        ("idporten-loa-substantial", Some("access_denied")),
    ] {
        idporten.said().claims = vec![("pid", json!(PATIENT)), ("acr", json!(acr))];
        let uri = ground.region.pushed(push()).await;
        let answer = ground.region.visit(JOURNAL, &uri, None).await;
        // One provider is for her: no page.
        assert_eq!(sent_to(&answer).0, format!("{}/authorize", idporten.url));
        assert_eq!(
            idporten.request().get("acr_values"),
            Some("idporten-loa-high")
        );
        let cookie = cookie_of(&answer).unwrap();
        let answer = ground
            .back_at("idporten", &cookie, &idporten.answer())
            .await;
        assert_eq!(value(&answer, "error").as_deref(), expected, "{acr}");
        if let Some(code) = value(&answer, "code") {
            let tokens = ground.region.token(ground.region.redeem(&code)).await;
            let token = tokens.body["access_token"].as_str().unwrap();
            let claims = ground.region.claims(token, GATEWAY).await;
            assert_eq!(claims.patient.unwrap().value().expose(), PATIENT);
            assert_eq!((claims.name, claims.hpr_number), (None, None));
        }
    }
    // Health personnel have one of their own; a practitioner's pushed request never comes to the citizens'.
    let uri = ground.region.pushed(ground.region.push()).await;
    let answer = ground.region.visit(JOURNAL, &uri, None).await;
    assert_eq!(
        sent_to(&answer).0,
        format!("{}/authorize", ground.helseid.url)
    );
}

#[tokio::test]
async fn nobody_whom_the_scopes_are_for_can_sign_in() {
    let ground = Ground::new().await;
    let ask = ground.region.push_bare().set("scope", "patient/*.rs");
    let uri = ground.region.pushed(ask).await;
    let answer = ground.region.visit(JOURNAL, &uri, None).await;
    assert_eq!(refused(&answer).0, "access_denied");
}

#[tokio::test]
async fn who_is_asked_to_sign_in_anew_is_asked_so_at_the_provider() {
    let ground = Ground::new().await;
    let begin = async |name: &'static str, value: &str| {
        let uri = ground
            .region
            .pushed(ground.region.push().set(name, value))
            .await;
        let answer = ground.region.visit(JOURNAL, &uri, None).await;
        cookie_of(&answer)
    };
    let cookie = begin("max_age", "20").await.unwrap();
    assert_eq!(ground.helseid.request().get("max_age"), Some("20"));
    // The person sat down 31 s ago (with 10 s of leeway: too long).
    let old = ground.region.now() - 31;
    ground.helseid.said().claims.push(("auth_time", json!(old)));
    let answer = ground.back(&cookie, &ground.helseid.answer()).await;
    assert_eq!(refused(&answer).0, "access_denied");
    let cookie = begin("prompt", "login").await.unwrap();
    assert_eq!(ground.helseid.request().get("prompt"), Some("login"));
    let answer = ground.back(&cookie, &ground.helseid.answer()).await;
    assert_eq!(refused(&answer).0, "access_denied");
    let fresh = ground.region.now();
    ground
        .helseid
        .said()
        .claims
        .push(("auth_time", json!(fresh)));
    let cookie = begin("prompt", "login").await.unwrap();
    let answer = ground.back(&cookie, &ground.helseid.answer()).await;
    assert!(value(&answer, "code").is_some());
    // Who may not be asked at all is not.
    let pushed = ground.helseid.said().pushed.len();
    let uri = ground
        .region
        .pushed(ground.region.push().set("prompt", "none"))
        .await;
    let answer = ground.region.visit(JOURNAL, &uri, None).await;
    assert_eq!(refused(&answer).0, "login_required");
    assert_eq!(ground.helseid.said().pushed.len(), pushed);
}

#[tokio::test]
async fn a_provider_with_dpop_and_nonces_or_without_pushed_requests_is_met() {
    // [happy-path, happy-path-no-dpop-nonce]
    let ground = Ground::with(|one| one.dpop = true).await;
    ground.helseid.said().wants_nonce = true;
    assert!(value(&ground.sign_in().await, "code").is_some());
    assert!(ground.helseid.request().get("dpop_jkt").is_some());
    // Told once, at the first endpoint; from then on it is known.
    assert_eq!(ground.helseid.said().told, 1);
    let plain = Ground::new().await;
    plain.helseid.said().discovery = vec![
        ("pushed_authorization_request_endpoint", Value::Null),
        (
            "authorization_response_iss_parameter_supported",
            Value::Null,
        ),
    ];
    let uri = plain.region.pushed(plain.region.push()).await;
    let answer = plain.region.visit(JOURNAL, &uri, None).await;
    let cookie = cookie_of(&answer).unwrap();
    let (_, brought) = sent_to(&answer);
    let form = wire::form::Form(brought);
    assert_eq!(form.get("code_challenge_method"), Some("S256"));
    let state = form.get("state").unwrap().to_owned();
    plain.helseid.said().pushed.push(form);
    let pairs = [("code", "c-1".to_owned()), ("state", state)];
    assert!(value(&plain.back(&cookie, &pairs).await, "code").is_some());
}

/// Providers and the register of health personnel, which knows the physician; nobody but her.
async fn with_register(helseid: Provider) -> (Ground, HealthPersonnel) {
    let folder = tempfile::tempdir().unwrap();
    let register = HealthPersonnel::start().await.unwrap();
    register.enter(
        "9144900",
        &physician(),
        vec![Approval::since("LE", "2020-01-01")],
    );
    let providers = vec![helseid.helseid("helseid")];
    let region = Region::open_as(folder.path(), Keys::new(), |config| {
        operation(config, providers);
        config.hpr = Some(Hpr {
            url: register.base().to_owned(),
            client_file: None,
            audience: register.base().to_owned(),
            scope: wire::contract::hpr::SCOPE.to_owned(),
            keep_seconds: 60,
        });
    })
    .await;
    let ground = Ground {
        _folder: folder,
        region,
        helseid,
    };
    (ground, register)
}

impl Ground {
    /// Who signs in at the provider, with this attest in the pushed request: tokens, or the refusal.
    async fn attempt(&self, attest: &Value) -> Answer {
        let ask = self.region.push_bare();
        let ask = ask.set("authorization_details", &json!([attest]).to_string());
        let uri = self.region.pushed(ask).await;
        let cookie = cookie_of(&self.region.visit(JOURNAL, &uri, None).await).unwrap();
        let answer = self.back(&cookie, &self.helseid.answer()).await;
        let code = value(&answer, "code").unwrap();
        self.region.token(self.region.redeem(&code)).await
    }
}

#[tokio::test]
async fn a_client_does_not_authorise_somebody_whom_no_register_knows() {
    let helseid = Provider::start().await;
    helseid.said().claims = physicians();
    helseid
        .said()
        .claims
        .push(("helseid://claims/hpr/hpr_number", Value::Null));
    let (ground, register) = with_register(helseid).await;
    let mut stated = attest();
    stated["practitioner"]
        .as_object_mut()
        .unwrap()
        .remove("hpr_nr");
    let answer = ground.attempt(&stated).await;
    assert_eq!(
        answer.error(),
        (400, "invalid_authorization_details"),
        "{}",
        answer.text
    );
    assert!(answer.text.contains("hpr_missing"), "{}", answer.text);
    assert_eq!(register.asked(), 0);
}

#[tokio::test]
async fn what_the_register_of_health_personnel_says_of_who_signed_in_goes_into_her_token() {
    let helseid = Provider::start().await;
    helseid.said().claims = physicians();
    let (ground, _register) = with_register(helseid).await;
    // Neither the client nor the identity provider says as what she is authorised.
    let mut stated = attest();
    stated["practitioner"]
        .as_object_mut()
        .unwrap()
        .remove("authorization");
    let tokens = ground.attempt(&stated).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text);
    let token = tokens.body["access_token"].as_str().unwrap();
    let attest = ground.region.claims(token, GATEWAY).await.attest.unwrap();
    assert_eq!(attest.practitioner.authorization.unwrap().code, "LE");
}
