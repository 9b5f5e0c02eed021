//! Signing out (OpenID Connect RP-Initiated Logout 1.0): at once for a client that knows the sign-in, by a question otherwise, and on to
//! the identity provider.

use crate::journey::{PHYSICIAN, cookie_of, sent_to, value};
use crate::operate::{self, Operated};
use crate::provider::Provider;
use crate::region::{Answer, JOURNAL, Keys, OTHER_JOURNAL, Region};
use anchor::config::Config;
use serde_json::json;
use std::sync::atomic::Ordering;
use trust::jws;

const AFTER: &str = "https://epj.example/signed-out";

fn registered(config: &mut Config) {
    let client = config.clients.iter_mut().find(|c| c.client_id == JOURNAL);
    client.unwrap().post_logout_redirect_uris = vec![AFTER.into()];
}

/// A browser with the physician's session, and her ID token.
struct Seat {
    _folder: tempfile::TempDir,
    region: Region,
    cookie: String,
    id_token: String,
    sid: String,
}

impl Seat {
    async fn taken() -> Seat {
        Seat::taken_at(tempfile::tempdir().unwrap(), Keys::new(), registered).await
    }

    async fn taken_at(
        folder: tempfile::TempDir,
        keys: Keys,
        change: impl FnOnce(&mut Config),
    ) -> Seat {
        let region = Region::open_as(folder.path(), keys, change).await;
        let page = region.page(&region.pushed(region.push()).await).await;
        let answer = region.choose(&page, PHYSICIAN).await;
        let cookie = cookie_of(&answer).unwrap();
        let code = value(&answer, "code").unwrap();
        let tokens = region.token(region.redeem(&code)).await.body;
        let id_token = tokens["id_token"].as_str().unwrap().to_owned();
        let sid = claim(&id_token, "sid");
        Seat {
            _folder: folder,
            region,
            cookie,
            id_token,
            sid,
        }
    }

    async fn end(&self, pairs: &[(&str, &str)]) -> Answer {
        end(&self.region, &self.cookie, pairs).await
    }

    /// Whether somebody is signed in at this browser still.
    async fn stands(&self) -> bool {
        let answer = self.region.visit_at("/sign-in", Some(&self.cookie)).await;
        answer.text.contains("Du er logget inn")
    }
}

async fn end(region: &Region, cookie: &str, pairs: &[(&str, &str)]) -> Answer {
    let query = wire::form::write(pairs.iter().copied());
    region
        .visit_at(&format!("/end-session?{query}"), Some(cookie))
        .await
}

fn claim(jwt: &str, name: &str) -> String {
    let payload = jwt.split('.').nth(1).unwrap();
    let bytes = trust::encoding::from_base64url(payload).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    claims[name].as_str().unwrap().to_owned()
}

/// What the form of an answer holds under a name.
fn held(answer: &Answer, name: &str) -> String {
    let after = answer
        .text
        .split(&format!("name=\"{name}\" value=\""))
        .nth(1);
    let value = after.and_then(|text| text.split('"').next());
    value.expect("a value in the form").to_owned()
}

#[tokio::test]
async fn who_knows_the_sign_in_ends_it_at_once_and_gets_the_browser_back() {
    for by_hint in [false, true] {
        let seat = Seat::taken().await;
        // An ID token is a hint however old it is.
        seat.region.clock.fetch_add(600, Ordering::SeqCst);
        let hint = match by_hint {
            true => ("id_token_hint", seat.id_token.as_str()),
            false => ("logout_hint", seat.sid.as_str()),
        };
        let asked = [
            ("client_id", JOURNAL),
            hint,
            ("post_logout_redirect_uri", AFTER),
            ("state", "s 1"),
        ];
        let answer = seat.end(&asked).await;
        let (to, pairs) = sent_to(&answer);
        assert_eq!(to, AFTER);
        assert_eq!(pairs, [("state".to_owned(), "s 1".to_owned())]);
        let taken = answer.headers["set-cookie"].to_str().unwrap();
        assert!(taken.contains("Max-Age=0"), "{taken}");
        assert!(!seat.stands().await);
        // Once more there is nothing to end, and the way is the same.
        assert_eq!(sent_to(&seat.end(&asked).await).0, AFTER);
    }
}

#[tokio::test]
async fn who_does_not_know_it_has_the_person_asked() {
    let seat = Seat::taken().await;
    let mine = [
        ("client_id", JOURNAL),
        ("post_logout_redirect_uri", AFTER),
        ("state", "st"),
    ];
    for hint in [&[][..], &[("logout_hint", "another-sign-in")][..]] {
        let answer = seat.end(&[&mine[..], hint].concat()).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains("Vil du logge ut?") && seat.stands().await);
    }
    let asked = seat.end(&mine).await;
    let form = wire::form::write([
        ("ticket", held(&asked, "ticket").as_str()),
        ("after", held(&asked, "after").as_str()),
    ]);
    let from = |site| [("cookie", seat.cookie.as_str()), ("sec-fetch-site", site)];
    let send = async |site| seat.region.send_form("/sign-out", &form, &from(site)).await;
    assert_eq!(send("cross-site").await.status, 403);
    assert!(seat.stands().await);
    let answer = send("same-origin").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("Du er logget ut"));
    assert!(answer.text.contains(&format!("href=\"{AFTER}?state=st\"")));
    assert!(!seat.stands().await);
}

#[tokio::test]
async fn the_browser_is_sent_to_registered_addresses_alone() {
    let seat = Seat::taken().await;
    let sid = ("logout_hint", seat.sid.as_str());
    let to = |uri| ("post_logout_redirect_uri", uri);
    let mine = ("client_id", JOURNAL);
    let long = "x".repeat(513);
    let foreign = {
        let other = trust::keys::SigningKey::generate().unwrap();
        let claims = json!({"iss": crate::region::ISSUER, "aud": JOURNAL, "sid": seat.sid});
        jws::sign("JWT", &claims, &other).unwrap()
    };
    for pairs in [
        vec![mine, sid, to("https://epj.example/signed-out/")],
        vec![mine, sid, to("https://evil.example/")],
        vec![("client_id", OTHER_JOURNAL), sid, to(AFTER)],
        vec![("client_id", "nobody"), sid, to(AFTER)],
        vec![sid, to(AFTER)],
        vec![mine, sid, to(AFTER), to(AFTER)],
        vec![mine, sid, to(AFTER), ("state", &long)],
        vec![
            ("id_token_hint", &seat.id_token),
            ("client_id", OTHER_JOURNAL),
        ],
        vec![
            mine,
            ("id_token_hint", &foreign),
            to("https://evil.example/"),
        ],
    ] {
        let answer = seat.end(&pairs).await;
        assert_eq!(answer.status, 400, "{pairs:?}");
        assert!(!answer.headers.contains_key("location"));
        assert!(seat.stands().await, "{pairs:?}");
    }
    // A hint that is not ours is none: it ends nothing, and without a client there is no address to go on to.
    for hint in [foreign.as_str(), "x", ""] {
        let hint = ("id_token_hint", hint);
        for (pairs, on) in [
            (vec![hint], false),
            (vec![hint, to(AFTER)], false),
            (vec![hint, to("https://evil.example/")], false),
            (vec![hint, mine, to(AFTER)], true),
        ] {
            let answer = seat.end(&pairs).await;
            assert_eq!(answer.status, 200, "{pairs:?}");
            let words = if on {
                "Vil du logge ut?"
            } else {
                "Du er logget inn"
            };
            assert!(answer.text.contains(words), "{pairs:?}");
            assert!(!answer.headers.contains_key("location"));
            assert_eq!(answer.text.contains("name=\"after\""), on, "{pairs:?}");
            assert!(seat.stands().await, "{pairs:?}");
        }
    }
}

/// A browser that sat through a change of keys.
#[tokio::test]
async fn a_hint_of_a_key_that_is_gone_has_the_person_asked() {
    let operated = Operated::new();
    let folder = tempfile::tempdir().unwrap();
    let seat = Seat::taken_at(folder, operated.keys.clone(), |config| {
        registered(config);
        operate::with(config, &operated.operator);
    })
    .await;
    let rotate = json!({"reason": "årlig"});
    operate::done(
        &seat.region,
        &operated.operator,
        "/operate/rotate-key",
        rotate,
    )
    .await;
    let keys = seat.region.keys().await;
    let verifies = |keys: &trust::keys::KeySet| {
        let compact = jws::parse(&seat.id_token, jws::Embedded::Refused).unwrap();
        compact.verify_with(keys).is_ok()
    };
    assert!(verifies(&keys));
    seat.region.clock.fetch_add(1000, Ordering::SeqCst);
    assert!(!verifies(&seat.region.keys().await), "the old key is gone");
    let hint = ("id_token_hint", seat.id_token.as_str());
    let bare = seat.end(&[hint, ("post_logout_redirect_uri", AFTER)]).await;
    assert!(bare.text.contains("Du er logget inn") && !bare.text.contains("name=\"after\""));
    let asked = seat
        .end(&[
            hint,
            ("client_id", JOURNAL),
            ("post_logout_redirect_uri", AFTER),
        ])
        .await;
    assert_eq!(asked.status, 200);
    assert!(asked.text.contains("Vil du logge ut?") && seat.stands().await);
    let form = wire::form::write([
        ("ticket", held(&asked, "ticket").as_str()),
        ("after", held(&asked, "after").as_str()),
    ]);
    let from = [
        ("cookie", seat.cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    let answer = seat.region.send_form("/sign-out", &form, &from).await;
    assert!(answer.text.contains(&format!("href=\"{AFTER}\"")));
    assert!(!seat.stands().await);
}

#[tokio::test]
async fn a_form_goes_on_without_the_hint_that_holds_a_number() {
    let seat = Seat::taken().await;
    let form = wire::form::write([
        ("id_token_hint", seat.id_token.as_str()),
        ("post_logout_redirect_uri", AFTER),
    ]);
    // The client's page is another site: no cookie comes along.
    let answer = seat.region.send_form("/end-session", &form, &[]).await;
    assert_eq!(answer.status, 303);
    let to = answer.headers["location"].to_str().unwrap();
    assert!(!to.contains("id_token_hint") && to.contains(&seat.sid));
    let path = to.strip_prefix("/anchor").unwrap();
    let answer = seat.region.visit_at(path, Some(&seat.cookie)).await;
    assert_eq!(sent_to(&answer).0, AFTER);
    assert!(!seat.stands().await);
}

/// A citizen signs in at ID-porten, whose own session ends with ours.
#[tokio::test]
async fn a_sign_out_goes_on_to_the_identity_provider_and_comes_back() {
    for up in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let porten = Provider::start().await;
        porten.said().claims = vec![
            ("pid", json!(crate::region::PATIENT)),
            ("acr", json!("idporten-loa-high")),
        ];
        if up {
            let there = format!("{}/sign-out", porten.url);
            porten.said().discovery = vec![("end_session_endpoint", json!(there))];
        }
        let mut one = porten.idporten("porten");
        one.sign_out = true;
        let region = Region::open_as(folder.path(), Keys::new(), |config| {
            config.demo = None;
            config.identity_providers = vec![one];
            registered(config);
        })
        .await;
        let ask = region.push_bare().set("scope", "openid patient/*.rs");
        let uri = region.pushed(ask).await;
        let begun = region.visit(JOURNAL, &uri, None).await;
        let cookie = cookie_of(&begun).unwrap();
        let query = wire::form::write(porten.answer().iter().map(|(n, v)| (*n, v.as_str())));
        let path = format!("/sign-in/porten/callback?{query}");
        let answer = region.visit_at(&path, Some(&cookie)).await;
        let (cookie, code) = (cookie_of(&answer).unwrap(), value(&answer, "code").unwrap());
        let tokens = region.token(region.redeem(&code)).await.body;
        let sid = claim(tokens["id_token"].as_str().unwrap(), "sid");
        let asked = [
            ("client_id", JOURNAL),
            ("logout_hint", sid.as_str()),
            ("post_logout_redirect_uri", AFTER),
            ("state", "st"),
        ];
        let answer = end(&region, &cookie, &asked).await;
        if !up {
            assert_eq!(sent_to(&answer).0, AFTER, "nobody waits for a provider");
            continue;
        }
        let (to, _) = sent_to(&answer);
        assert_eq!(to, format!("{}/sign-out", porten.url));
        assert_eq!(
            value(&answer, "post_logout_redirect_uri").as_deref(),
            Some("http://127.0.0.1:7070/anchor/signed-out")
        );
        assert_eq!(
            value(&answer, "client_id").as_deref(),
            Some(crate::provider::CLIENT)
        );
        assert!(value(&answer, "id_token_hint").is_none());
        let state = value(&answer, "state").unwrap();
        let back = async |state: &str| {
            let query = wire::form::write([("state", state)]);
            region.visit_at(&format!("/signed-out?{query}"), None).await
        };
        let answer = back(&state).await;
        assert_eq!(sent_to(&answer).0, AFTER);
        assert_eq!(value(&answer, "state").as_deref(), Some("st"));
        // What is not of our making leads nowhere; nothing at all is a plain page.
        assert_eq!(back("x").await.status, 400);
        assert_eq!(back("").await.status, 200);
        region.clock.fetch_add(601, Ordering::SeqCst);
        assert_eq!(back(&state).await.status, 400);
    }
}
