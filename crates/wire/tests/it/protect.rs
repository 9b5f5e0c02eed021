//! The guard: what it refuses, what it says, what it writes down, and how it holds the key set.

use std::sync::atomic::Ordering;

use http::{HeaderName, HeaderValue, StatusCode, header};
use trust::audit::Outcome;
use trust::dpop;
use trust::keys::{KeySet, SigningKey};
use trust::token::Claims;
use wire::client::{Answer, Request};

use crate::anchor::Jwks;
use crate::region::Region;

const DPOP: HeaderName = HeaderName::from_static("dpop");

/// A client that makes each mistake by hand.
struct Stranger<'a> {
    region: &'a Region,
    key: SigningKey,
}

impl<'a> Stranger<'a> {
    fn new(region: &'a Region) -> Self {
        Self {
            region,
            key: SigningKey::generate().unwrap(),
        }
    }

    fn claims(&self) -> Claims {
        self.region
            .anchor
            .claims(&self.region.audience(), self.key.thumbprint())
    }

    fn token(&self) -> String {
        self.region.anchor.sign(&self.claims())
    }

    fn proof(&self, method: &str, url: &str, token: &str) -> HeaderValue {
        let now = (self.region.house.clock)().seconds();
        let jti = uuid::Uuid::new_v4().to_string();
        dpop::prove(&self.key, method, url, Some(&dpop::ath(token)), now, &jti)
            .unwrap()
            .try_into()
            .unwrap()
    }

    fn request(&self, token: &str) -> Request {
        self.request_with(token, self.proof("POST", &self.region.url(), token))
    }

    fn request_with(&self, token: &str, proof: HeaderValue) -> Request {
        Request::post_fhir(self.region.url(), "{}")
            .header(header::AUTHORIZATION, dpop_scheme(token))
            .header(DPOP, proof)
    }

    async fn send(&self, request: &Request) -> Answer {
        self.region.house.http.send(request).await.unwrap()
    }
}

fn dpop_scheme(token: &str) -> HeaderValue {
    format!("DPoP {token}").try_into().unwrap()
}

fn challenge(answer: &Answer) -> &str {
    answer
        .headers
        .get(header::WWW_AUTHENTICATE)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn each_mistake_is_refused_with_its_challenge_and_one_audit_record() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    let other = SigningKey::generate().unwrap();
    let url = region.url();
    let changed = |change: fn(&mut Claims)| {
        let mut claims = stranger.claims();
        change(&mut claims);
        stranger.request(&region.anchor.sign(&claims))
    };
    let token = stranger.token();
    let now = (region.house.clock)().seconds();
    let old = dpop::prove(
        &stranger.key,
        "POST",
        &url,
        Some(&dpop::ath(&token)),
        now - 61,
        "old",
    )
    .unwrap();
    let foreign = dpop::prove(
        &other,
        "POST",
        &url,
        Some(&dpop::ath(&token)),
        now,
        "foreign",
    )
    .unwrap();
    let mut two_proofs = stranger.request(&token);
    two_proofs
        .headers
        .append(DPOP, stranger.proof("POST", &url, &token));
    let mut two_tokens = stranger.request(&token);
    two_tokens
        .headers
        .append(header::AUTHORIZATION, dpop_scheme(&token));
    let mut in_url = stranger.request(&token);
    in_url.url = format!("{url}?access_token={token}");
    let mut no_proof = stranger.request(&token);
    no_proof.headers.remove(DPOP);
    let bearer = Request::post_fhir(&url, "{}")
        .header(
            header::AUTHORIZATION,
            format!("Bearer {token}").try_into().unwrap(),
        )
        .header(DPOP, stranger.proof("POST", &url, &token));

    let (bad_token, bad_proof) = (
        "DPoP error=\"invalid_token\"",
        "DPoP error=\"invalid_dpop_proof\"",
    );
    let mistakes = [
        ("Bearer", bearer, bad_token),
        ("token in the URL", in_url, bad_token),
        ("two Authorization headers", two_tokens, bad_token),
        ("garbage", stranger.request("garbage"), bad_token),
        (
            "other audience",
            changed(|claims| claims.aud.push('x')),
            bad_token,
        ),
        (
            "other issuer",
            changed(|claims| claims.iss.push('x')),
            bad_token,
        ),
        (
            "expired",
            changed(|claims| claims.exp = claims.iat - 11),
            bad_token,
        ),
        (
            "not valid yet",
            changed(|claims| claims.nbf += 11),
            bad_token,
        ),
        ("not bound", changed(|claims| claims.cnf = None), bad_token),
        ("no proof", no_proof, bad_proof),
        ("two proofs", two_proofs, bad_proof),
        (
            "proof for GET",
            stranger.request_with(&token, stranger.proof("GET", &url, &token)),
            bad_proof,
        ),
        (
            "proof for another path",
            stranger.request_with(&token, stranger.proof("POST", &region.hub, &token)),
            bad_proof,
        ),
        (
            "proof for another token",
            stranger.request_with(&token, stranger.proof("POST", &url, "other")),
            bad_proof,
        ),
        (
            "old proof",
            stranger.request_with(&token, old.try_into().unwrap()),
            bad_proof,
        ),
        (
            "another's key",
            stranger.request_with(&token, foreign.try_into().unwrap()),
            bad_proof,
        ),
    ];
    for (n, (mistake, request, expected)) in mistakes.into_iter().enumerate() {
        let answer = stranger.send(&request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{mistake}");
        assert!(
            challenge(&answer).starts_with(expected),
            "{mistake}: {}",
            challenge(&answer)
        );
        assert!(
            challenge(&answer).ends_with("algs=\"ES256 PS256 EdDSA\""),
            "{mistake}"
        );
        assert!(
            answer
                .body
                .starts_with(b"{\"resourceType\":\"OperationOutcome\""),
            "{mistake}"
        );
        let outcomes = region.outcomes().await;
        assert_eq!(outcomes.len(), n + 1, "{mistake}");
        assert!(
            matches!(outcomes[0], Outcome::Unauthenticated { .. }),
            "{mistake}"
        );
    }
    assert_eq!(
        stranger.send(&stranger.request(&token)).await.status,
        StatusCode::CREATED,
        "the same, without a mistake"
    );
}

#[tokio::test]
async fn a_proof_names_the_base_itself_for_the_root_and_no_query() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    for (asked, proven) in [
        (region.hub.clone(), region.hub.clone()),
        (format!("{}?_format=json", region.url()), region.url()),
        (region.url(), region.url().replace("http://", "HTTP://")),
    ] {
        let token = stranger.token();
        let mut request = stranger.request_with(&token, stranger.proof("POST", &proven, &token));
        request.url = asked.clone();
        assert_eq!(
            stranger.send(&request).await.status,
            StatusCode::CREATED,
            "{asked}"
        );
    }
}

#[tokio::test]
async fn without_credentials_there_is_a_plain_challenge_and_only_a_count() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    let nothing = Request::post_fhir(region.url(), "{}");
    let basic = nothing.clone().header(
        header::AUTHORIZATION,
        HeaderValue::from_static("Basic eDp5"),
    );
    for request in [nothing, basic] {
        let answer = stranger.send(&request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(challenge(&answer), "DPoP algs=\"ES256 PS256 EdDSA\"");
    }
    assert_eq!(region.guard.without_credentials(), 2);
    assert_eq!(region.outcomes().await, []);
}

#[tokio::test]
async fn a_proof_counts_once_and_the_repeat_is_audited() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    let request = stranger.request(&stranger.token());
    assert_eq!(stranger.send(&request).await.status, StatusCode::CREATED);
    let answer = stranger.send(&request).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(challenge(&answer).starts_with("DPoP error=\"invalid_dpop_proof\""));
    let outcomes = region.outcomes().await;
    assert!(matches!(
        outcomes[..],
        [Outcome::Unauthenticated { .. }, Outcome::Allowed]
    ));
}

#[tokio::test]
async fn unknown_keys_lead_to_one_fetch_in_thirty_seconds() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    let fetches = || region.anchor.key_fetches.load(Ordering::SeqCst);
    assert_eq!(
        stranger
            .send(&stranger.request(&stranger.token()))
            .await
            .status,
        StatusCode::CREATED
    );
    assert_eq!(fetches(), 1);
    // The flood: tokens of a key that nobody publishes.
    let strangers_key = SigningKey::generate().unwrap();
    let forged = trust::token::issue(&stranger.claims(), &strangers_key).unwrap();
    for _ in 0..5 {
        assert_eq!(
            stranger.send(&stranger.request(&forged)).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(fetches(), 1, "within 30 s of the first");
    region.pass(31);
    for _ in 0..5 {
        assert_eq!(
            stranger.send(&stranger.request(&forged)).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(fetches(), 2);
    // A new key of the anchor's works as soon as a fetch is allowed again.
    region.anchor.rotate();
    region.pass(31);
    assert_eq!(
        stranger
            .send(&stranger.request(&stranger.token()))
            .await
            .status,
        StatusCode::CREATED
    );
    assert_eq!(fetches(), 3);
}

#[tokio::test]
async fn garbage_never_replaces_the_keys_and_the_last_good_ones_last_a_day() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    let try_now = async || {
        stranger
            .send(&stranger.request(&stranger.token()))
            .await
            .status
    };
    assert_eq!(try_now().await, StatusCode::CREATED);
    for (broken, seconds) in [(Jwks::Garbage, 3600), (Jwks::Failing, 22 * 3600)] {
        *region.anchor.jwks.lock().unwrap() = broken;
        region.pass(seconds);
        assert_eq!(try_now().await, StatusCode::CREATED);
    }
    region.pass(3600);
    assert_eq!(try_now().await, StatusCode::SERVICE_UNAVAILABLE);
    *region.anchor.jwks.lock().unwrap() = Jwks::Good;
    region.pass(31);
    assert_eq!(try_now().await, StatusCode::CREATED);
}

#[tokio::test]
async fn a_key_that_the_anchor_removed_stops_working_within_a_minute() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    let token = stranger.token();
    assert_eq!(
        stranger.send(&stranger.request(&token)).await.status,
        StatusCode::CREATED
    );
    region.anchor.rotate();
    region.pass(60);
    assert_eq!(
        stranger.send(&stranger.request(&token)).await.status,
        StatusCode::UNAUTHORIZED
    );
}

/// When a key that was published signs, and how long after that the one before is published, in seconds: as the anchor does
/// (`crates/roles/anchor/src/operate/ring.rs`).
const PUBLISHED_AHEAD: i64 = 600;
const PUBLISHED_AFTER: i64 = 320;

#[tokio::test]
async fn a_rotation_fails_no_request_from_the_publication_to_the_end_of_the_old_key() {
    // The anchor answers all the time; is silent around the switch; or is silent from the first minute after the publication on.
    for silent in [
        0..0,
        PUBLISHED_AHEAD - 60..PUBLISHED_AHEAD + 120,
        120..2 * PUBLISHED_AHEAD,
    ] {
        let region = Region::new().await;
        let stranger = Stranger::new(&region);
        let sent = async |token: &str| stranger.send(&stranger.request(token)).await.status;
        assert_eq!(sent(&stranger.token()).await, StatusCode::CREATED);
        let first = region.anchor.key.lock().unwrap().clone();
        let next = SigningKey::generate().unwrap();
        *region.anchor.beside.lock().unwrap() = Some(next.clone());
        // Tokens as they are used: each to its end, by whichever key signed it.
        let mut tokens: Vec<(i64, String)> = Vec::new();
        let mut by_new = 0;
        for at in (0..=PUBLISHED_AHEAD + PUBLISHED_AFTER + 120).step_by(60) {
            *region.anchor.jwks.lock().unwrap() = match silent.contains(&at) {
                true => Jwks::Failing,
                false => Jwks::Good,
            };
            if at == PUBLISHED_AHEAD {
                *region.anchor.key.lock().unwrap() = next.clone();
                *region.anchor.beside.lock().unwrap() = Some(first.clone());
            }
            if at >= PUBLISHED_AHEAD + PUBLISHED_AFTER {
                *region.anchor.beside.lock().unwrap() = None;
            }
            by_new += i32::from(at >= PUBLISHED_AHEAD);
            tokens.push((at, stranger.token()));
            tokens.retain(|(made, _)| at < made + trust::token::LIFETIME_SECONDS);
            for (made, token) in &tokens {
                assert_eq!(
                    sent(token).await,
                    StatusCode::CREATED,
                    "at {at} s, a token made at {made} s, the anchor silent in {silent:?}"
                );
            }
            region.pass(60);
        }
        assert!(by_new > 5);
        // And the old key is no key any more, where the anchor could be asked since; the last good set serves while it is silent.
        let forged = trust::token::issue(&stranger.claims(), &first).unwrap();
        let known = silent.end <= PUBLISHED_AHEAD + PUBLISHED_AFTER;
        let expected = match known {
            true => StatusCode::UNAUTHORIZED,
            false => StatusCode::CREATED,
        };
        assert_eq!(sent(&forged).await, expected, "{silent:?}");
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_keeps_no_removed_key_alive() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    let token = stranger.token();
    let sent = stranger.send(&stranger.request(&token)).await;
    assert_eq!(sent.status, StatusCode::CREATED);
    let removed = region.anchor.rotate();
    region.pass(-3600);
    // A token of this hour by the removed key, and one by the new.
    let old = trust::token::issue(&stranger.claims(), &removed);
    let refused = stranger.send(&stranger.request(&old.unwrap())).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let sent = stranger.send(&stranger.request(&stranger.token())).await;
    assert_eq!(sent.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_flood_of_strangers_is_answered_but_does_not_fill_the_trail() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    let garbage = stranger.request("garbage");
    for _ in 0..700 {
        assert_eq!(
            stranger.send(&garbage).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    let before = region.store.audit_head().await.unwrap().sequence;
    assert!((500..=600).contains(&before), "{before}");
    // Who proves a token is on record all the same, and the next minute begins anew.
    let token = stranger.token();
    let mut no_proof = stranger.request(&token);
    no_proof
        .headers
        .insert(DPOP, stranger.proof("GET", &region.url(), &token));
    assert_eq!(
        stranger.send(&no_proof).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        region.store.audit_head().await.unwrap().sequence,
        before + 1
    );
    region.pass(60);
    stranger.send(&garbage).await;
    assert_eq!(
        region.store.audit_head().await.unwrap().sequence,
        before + 2
    );
}

/// Who has seen one request of somebody else's, and sends it again and again.
#[tokio::test]
async fn a_flood_of_one_request_that_was_seen_does_not_fill_the_trail() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    let seen = stranger.request(&stranger.token());
    assert_eq!(stranger.send(&seen).await.status, StatusCode::CREATED);
    for _ in 0..700 {
        let again = stranger.send(&seen).await;
        assert_eq!(again.status, StatusCode::UNAUTHORIZED);
        assert!(challenge(&again).starts_with("DPoP error=\"invalid_dpop_proof\""));
    }
    let before = region.store.audit_head().await.unwrap().sequence;
    assert!((500..=601).contains(&before), "{before}");
    // A stranger is on record all the same, and so is the owner of the token.
    stranger.send(&stranger.request("garbage")).await;
    let own = stranger.request(&stranger.token());
    assert_eq!(stranger.send(&own).await.status, StatusCode::CREATED);
    let head = async || region.store.audit_head().await.unwrap().sequence;
    assert_eq!(head().await, before + 2);
    region.pass(60);
    stranger.send(&seen).await;
    assert_eq!(head().await, before + 3);
}

#[tokio::test]
async fn whose_a_token_is_is_told_unproven_of_one_that_was_verified_here_while_it_stands() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    let token = stranger.token();
    let presented = async |token: &str| {
        let request = http::Request::post("/fhir/Observation")
            .header("authorization", format!("DPoP {token}"))
            .header(DPOP, "no proof");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let caller = region.guard.presented(&parts).await;
        caller.map(|caller| caller.client_id.clone())
    };
    assert_eq!(presented(&token).await, None, "nobody has verified it");
    let sent = stranger.send(&stranger.request(&token)).await;
    assert_eq!(sent.status, StatusCode::CREATED);
    let whose = presented(&token).await;
    assert_eq!(whose, Some(stranger.claims().client_id));
    for other in ["garbage", &token[..token.len() - 1], &stranger.token()] {
        assert_eq!(presented(other).await, None);
    }
    region.pass(trust::token::LIFETIME_SECONDS + 10);
    assert_eq!(presented(&token).await, None, "it has ended");
    // And not of one whose key was removed.
    let token = stranger.token();
    let sent = stranger.send(&stranger.request(&token)).await;
    assert_eq!(sent.status, StatusCode::CREATED);
    region.anchor.rotate();
    region.pass(61);
    assert_eq!(presented(&token).await, None, "its key is gone");
}

#[tokio::test]
async fn a_token_that_was_verified_before_forgives_no_proof_and_ends_on_time() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    let other = SigningKey::generate().unwrap();
    let (url, token) = (region.url(), stranger.token());
    let created = async |token: &str| {
        let status = stranger.send(&stranger.request(token)).await.status;
        status == StatusCode::CREATED
    };
    for _ in 0..3 {
        assert!(created(&token).await);
    }
    let now = (region.house.clock)().seconds();
    let ath = dpop::ath(&token);
    let old = dpop::prove(&stranger.key, "POST", &url, Some(&ath), now - 61, "old").unwrap();
    let foreign = dpop::prove(&other, "POST", &url, Some(&ath), now, "foreign").unwrap();
    let mut changed = token.clone();
    let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
    changed.push(last);
    for (mistake, request) in [
        ("a changed token", stranger.request(&changed)),
        (
            "another method",
            stranger.request_with(&token, stranger.proof("GET", &url, &token)),
        ),
        (
            "another path",
            stranger.request_with(&token, stranger.proof("POST", &region.hub, &token)),
        ),
        (
            "another token",
            stranger.request_with(&token, stranger.proof("POST", &url, "other")),
        ),
        (
            "an old proof",
            stranger.request_with(&token, old.try_into().unwrap()),
        ),
        (
            "another's key",
            stranger.request_with(&token, foreign.try_into().unwrap()),
        ),
    ] {
        let answer = stranger.send(&request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{mistake}");
    }
    let repeated = stranger.request(&token);
    assert_eq!(stranger.send(&repeated).await.status, StatusCode::CREATED);
    assert_eq!(
        stranger.send(&repeated).await.status,
        StatusCode::UNAUTHORIZED
    );
    // It ends when it says, with the leeway of any token.
    region.pass(trust::token::LIFETIME_SECONDS + 9);
    assert!(created(&token).await);
    region.pass(1);
    assert!(!created(&token).await);
}

/// `fapi2-security-profile-final-access-token-type-header-case-sensitivity`: the scheme's letters may be of either size.
#[tokio::test]
async fn the_schemes_letters_may_be_of_either_size() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    for scheme in ["dpop", "DPOP", "dPoP"] {
        let token = stranger.token();
        let value = format!("{scheme} {token}").try_into().unwrap();
        let request = stranger
            .request(&token)
            .header(header::AUTHORIZATION, value);
        assert_eq!(stranger.send(&request).await.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn keys_that_were_remembered_serve_while_the_anchor_is_silent() {
    let region = Region::new().await;
    assert_eq!(region.guard.audience(), region.audience());
    let stranger = Stranger::new(&region);
    *region.anchor.jwks.lock().unwrap() = Jwks::Failing;
    let sent = async || {
        let request = stranger.request(&stranger.token());
        stranger.send(&request).await.status
    };
    assert_eq!(sent().await, StatusCode::SERVICE_UNAVAILABLE);
    let keys = KeySet::of(vec![region.anchor.key.lock().unwrap().public().clone()]).unwrap();
    let now = (region.house.clock)();
    region
        .guard
        .remember_keys(keys.to_jwks().to_string().as_bytes(), now);
    assert_eq!(sent().await, StatusCode::CREATED);
}

#[tokio::test]
async fn a_token_that_is_none_or_too_long_is_refused() {
    let region = Region::new().await;
    let stranger = Stranger::new(&region);
    for token in [String::new(), "a".repeat(trust::jws::LONGEST + 1)] {
        let proof = stranger.proof("POST", &region.url(), &token);
        let answer = stranger.send(&stranger.request_with(&token, proof)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
}
