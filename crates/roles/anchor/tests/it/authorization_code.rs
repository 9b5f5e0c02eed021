//! Codes: what comes of one, and everything that brings nothing.

use crate::journey::{CITIZEN, HUSBAND_FOR_HIS_WIFE, PHYSICIAN, VERIFIER, attest};
use crate::region::{
    Ask, CALLBACK, FJELLVIK, GATEWAY, ISSUER, JOURNAL, Keys, NOW, OTHER_CALLBACK, OTHER_JOURNAL,
    PATIENT, PROVEBAKKEN, PROVEHEIM, Region, husband, physician,
};
use std::sync::atomic::Ordering;
use trust::assertion;
use trust::audit::Outcome;
use trust::jws::{self, Embedded};
use trust::token::Kind;

#[tokio::test]
async fn a_physician_signs_in_and_her_token_tells_the_need() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let code = region.code_for(region.push(), PHYSICIAN).await;
    let answer = region.token(region.redeem(&code)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let body = &answer.body;
    assert_eq!(
        (&body["token_type"], &body["expires_in"]),
        (&"DPoP".into(), &300.into())
    );
    assert_eq!(body["scope"], "openid offline_access user/*.rs");
    let claims = region
        .claims(body["access_token"].as_str().unwrap(), GATEWAY)
        .await;
    assert_eq!(claims.scope, "user/*.rs");
    assert_eq!(claims.kind, Kind::Practitioner);
    assert_eq!(claims.cnf.as_ref().unwrap().jkt, region.user.thumbprint());
    assert_eq!(claims.pid.as_deref(), Some(physician().as_str()));
    assert_eq!(claims.security_level.as_deref(), Some("4"));
    assert_eq!(claims.patient.as_ref().unwrap().value().expose(), PATIENT);
    assert_ne!(claims.sub, claims.client_id);
    assert!(!claims.sub.contains(&physician()));
    let attest = claims.attest.unwrap();
    assert_eq!(attest.toa, NOW);
    assert_eq!(attest.practitioner.identifier.id, physician());
    assert_eq!(attest.practitioner.hpr_nr.unwrap().id, "9144900");
    assert_eq!(
        attest.practitioner.authorization.unwrap().text.as_deref(),
        Some("Lege")
    );
    // What was granted is told (RFC 9396 section 7).
    assert_eq!(
        body["authorization_details"][0]["type"],
        "nhn:tillitsrammeverk:parameters"
    );
    assert_eq!(
        body["authorization_details"][0]["practitioner"]["hpr_nr"]["id"],
        "9144900"
    );
    // The gateway makes a token for a provider of it.
    let exchanged = region
        .token(region.exchange_at_fjellvik(body["access_token"].as_str().unwrap()))
        .await;
    assert_eq!(exchanged.status, 200, "{}", exchanged.text);
    // Who, for whom and why is on record, once for each step.
    let allowed: Vec<_> = region
        .audited()
        .await
        .into_iter()
        .filter(|r| r.outcome == Outcome::Allowed)
        .collect();
    assert_eq!(allowed.len(), 4, "pushed, authorized, redeemed, exchanged");
    assert!(allowed.iter().filter(|r| r.person.is_some()).count() == 3);
}

#[tokio::test]
async fn the_id_token_says_who_signed_in_as_far_as_the_client_may_know() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let keys = region.keys().await;
    let read = |token: &str| {
        let compact = jws::parse(token, Embedded::Refused).unwrap();
        compact.require_typ("JWT").unwrap();
        jws::claims(compact.verify_with(&keys).unwrap()).unwrap()
    };
    let body = region.signed_in().await;
    let claims = read(body["id_token"].as_str().unwrap());
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], JOURNAL);
    assert_eq!(claims["nonce"], "n-1");
    assert_eq!(
        (&claims["iat"], &claims["exp"]),
        (&NOW.into(), &(NOW + 300).into())
    );
    assert_eq!(claims["auth_time"], NOW);
    assert!(claims.get("name").is_none() && claims.get("helseid://claims/identity/pid").is_none());
    let all = "openid profile helseid://scopes/identity/pid helseid://scopes/identity/security_level \
               helseid://scopes/identity/assurance_level helseid://scopes/hpr/hpr_number user/*.rs";
    let code = region
        .code_for(region.push().set("scope", all).without("nonce"), PHYSICIAN)
        .await;
    let answer = region.token(region.redeem(&code)).await;
    let claims = read(answer.body["id_token"].as_str().unwrap());
    assert_eq!(claims["name"], "Lege Syntetisk");
    assert_eq!(claims["helseid://claims/identity/pid"], physician());
    assert_eq!(claims["helseid://claims/identity/security_level"], "4");
    assert_eq!(claims["helseid://claims/identity/assurance_level"], "high");
    assert_eq!(claims["helseid://claims/hpr/hpr_number"], "9144900");
    assert!(claims.get("nonce").is_none());
    assert!(
        answer.body["refresh_token"].is_null(),
        "no offline_access, no refresh token"
    );
    // Without openid there is none.
    let code = region
        .code_for(region.push().set("scope", "user/*.rs"), PHYSICIAN)
        .await;
    assert!(region.token(region.redeem(&code)).await.body["id_token"].is_null());
    // An ID token is no access token.
    let id_token = body["id_token"].as_str().unwrap();
    let refused = region.token(region.exchange_at_fjellvik(id_token)).await;
    assert_eq!(refused.error(), (400, "invalid_request"));
}

#[tokio::test]
async fn citizens_sign_in_for_themselves_or_for_whom_they_represent() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let push = || region.push_bare().set("scope", "patient/*.rs");
    for (person, number, represents) in [
        (CITIZEN, PATIENT.to_owned(), false),
        (HUSBAND_FOR_HIS_WIFE, husband(), true),
    ] {
        let code = region.code_for(push(), person).await;
        let answer = region.token(region.redeem(&code)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let claims = region
            .claims(answer.body["access_token"].as_str().unwrap(), GATEWAY)
            .await;
        assert_eq!(claims.kind, Kind::Citizen);
        assert_eq!(claims.pid, Some(number));
        assert_eq!(claims.patient.unwrap().value().expose(), PATIENT);
        assert_eq!(claims.represents.is_some(), represents);
        // Who acts for her she is told herself.
        let acting: Vec<_> = claims
            .represented_by
            .iter()
            .map(|one| one.by.id.as_str())
            .collect();
        let expected: &[&str] = if represents { &[] } else { &["fullmakt-1"] };
        assert_eq!(acting, expected);
        assert_eq!(claims.orgnr_parent, None);
        assert!(claims.attest.is_none());
    }
}

#[tokio::test]
async fn one_audience_of_those_granted_and_an_agreement_where_it_is_anothers() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let push = || {
        let mut ask = region.push();
        for more in [FJELLVIK, PROVEHEIM, PROVEBAKKEN] {
            ask.form.push(("resource", more.to_owned()));
        }
        ask
    };
    let redeem = async |resource: Option<&str>| {
        let code = region.code_for(push(), PHYSICIAN).await;
        let ask = region.redeem(&code);
        region
            .token(resource.map_or_else(|| region.redeem(&code), |one| ask.set("resource", one)))
            .await
    };
    assert_eq!(redeem(None).await.error(), (400, "invalid_target"));
    assert_eq!(redeem(Some(ISSUER)).await.error(), (400, "invalid_target"));
    assert_eq!(
        redeem(Some(PROVEBAKKEN)).await.error(),
        (400, "invalid_target"),
        "no agreement"
    );
    let own = redeem(Some(PROVEHEIM)).await;
    let claims = region
        .claims(own.body["access_token"].as_str().unwrap(), PROVEHEIM)
        .await;
    assert!(claims.agreement.is_none());
    let others = redeem(Some(FJELLVIK)).await;
    let claims = region
        .claims(others.body["access_token"].as_str().unwrap(), FJELLVIK)
        .await;
    assert_eq!(claims.agreement.unwrap().id, "AVT-1");
}

#[tokio::test]
async fn what_brings_no_token_and_uses_the_code_up() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let other = region.home.clone();
    type Change<'a> = Box<dyn Fn(Ask) -> Ask + 'a>;
    let cases: Vec<(&str, Change<'_>, &str)> = vec![
        (
            "no verifier",
            Box::new(|a: Ask| a.without("code_verifier")),
            "invalid_grant",
        ),
        (
            "wrong verifier [fapi2-incorrect-pkce-code-verifier-rejected]",
            Box::new(|a: Ask| a.set("code_verifier", &VERIFIER.to_uppercase())),
            "invalid_grant",
        ),
        (
            "the challenge as verifier",
            Box::new(|a: Ask| {
                a.set(
                    "code_verifier",
                    &trust::encoding::sha256_base64url(VERIFIER.as_bytes()),
                )
            }),
            "invalid_grant",
        ),
        (
            "short verifier",
            Box::new(|a: Ask| a.set("code_verifier", "short")),
            "invalid_grant",
        ),
        (
            "no redirect_uri",
            Box::new(|a: Ask| a.without("redirect_uri")),
            "invalid_grant",
        ),
        (
            "another registered redirect_uri",
            Box::new(|a: Ask| a.set("redirect_uri", OTHER_CALLBACK)),
            "invalid_grant",
        ),
        (
            "an audience that was not granted",
            Box::new(|a: Ask| a.set("resource", FJELLVIK)),
            "invalid_target",
        ),
        (
            "a wider scope",
            Box::new(|a: Ask| a.set("scope", "user/*.cruds")),
            "invalid_scope",
        ),
        (
            "a scope that was not granted",
            Box::new(|a: Ask| a.set("scope", "profile")),
            "invalid_scope",
        ),
        (
            "audience for resource",
            Box::new(|a: Ask| a.set("audience", GATEWAY)),
            "invalid_request",
        ),
    ];
    for (what, change, error) in cases {
        let code = region.code_for(region.push(), PHYSICIAN).await;
        let answer = region.token(change(region.redeem(&code))).await;
        assert_eq!(answer.error(), (400, error), "{what}: {}", answer.text);
        let again = region.token(region.redeem(&code)).await;
        assert_eq!(
            again.error(),
            (400, "invalid_grant"),
            "{what}: the code still worked"
        );
    }
    // Bound to a key by dpop_jkt, and redeemed with another.
    let push = region.push().set("dpop_jkt", region.user.thumbprint());
    let code = region.code_for(push, PHYSICIAN).await;
    assert_eq!(
        region
            .token(region.redeem_with(&code, &other))
            .await
            .error(),
        (400, "invalid_grant")
    );
    // After 60 s.
    let code = region.code_for(region.push(), PHYSICIAN).await;
    region.clock.fetch_add(61, Ordering::SeqCst);
    assert_eq!(
        region.token(region.redeem(&code)).await.error(),
        (400, "invalid_grant")
    );
    // None at all, and something else.
    for code in ["", "x", &code[..code.len() - 2], &format!("{code}AA")] {
        assert_eq!(
            region.token(region.redeem(code)).await.error(),
            (400, "invalid_grant")
        );
    }
    assert_eq!(
        region
            .token(region.redeem("x").without("code"))
            .await
            .error(),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn another_clients_attempt_tells_nothing_and_spoils_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let code = region.code_for(region.push(), PHYSICIAN).await;
    let theirs = assertion::make(OTHER_JOURNAL, ISSUER, &region.epj, NOW, "theirs").unwrap();
    let answer = region
        .token(region.redeem(&code).set("client_assertion", &theirs))
        .await;
    let unknown = region.token(region.redeem("AAAA")).await;
    assert_eq!(answer.error(), (400, "invalid_grant"));
    assert_eq!(answer.text, unknown.text);
    // A proof that does not stand spoils nothing either: it was not the grant that was wrong.
    let mut unproved = region.redeem(&code);
    unproved.proofs.clear();
    assert_eq!(
        region.token(unproved).await.error(),
        (400, "invalid_dpop_proof")
    );
    assert_eq!(region.token(region.redeem(&code)).await.status, 200);
}

#[tokio::test]
async fn a_code_works_once_and_its_second_use_ends_what_came_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    let (code, body) = {
        let region = Region::open_as(folder.path(), keys.clone(), |_| {}).await;
        let code = region.code_for(region.push(), PHYSICIAN).await;
        let answer = region.token(region.redeem(&code)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        (code, answer.body)
    };
    // The memory survives a restart.
    let region = Region::open_as(folder.path(), keys, |_| {}).await;
    region.clock.fetch_add(2, Ordering::SeqCst);
    assert_eq!(
        region.token(region.redeem(&code)).await.error(),
        (400, "invalid_grant")
    );
    let renewed = region
        .token(region.renew(body["refresh_token"].as_str().unwrap()))
        .await;
    assert_eq!(renewed.error(), (400, "invalid_grant"));
    let exchanged = region
        .token(region.exchange_at_fjellvik(body["access_token"].as_str().unwrap()))
        .await;
    assert_eq!(
        exchanged.error(),
        (400, "invalid_request"),
        "{}",
        exchanged.text
    );
}

#[tokio::test]
async fn one_code_used_twenty_times_at_once_makes_one_set_of_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let code = region.code_for(region.push(), PHYSICIAN).await;
    let all = futures::future::join_all((0..20).map(|_| region.token(region.redeem(&code)))).await;
    let good: Vec<_> = all.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(good.len(), 1);
    assert!(
        all.iter()
            .filter(|a| a.status != 200)
            .all(|a| a.error() == (400, "invalid_grant"))
    );
    // And of those, nothing more comes.
    let renewed = region
        .token(region.renew(good[0].body["refresh_token"].as_str().unwrap()))
        .await;
    assert_eq!(renewed.error(), (400, "invalid_grant"));
}

#[tokio::test]
async fn without_an_attest_a_token_says_who_and_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    // The client may renew, with an attest then: now it learns who signed in.
    let code = region.code_for(region.push_bare(), PHYSICIAN).await;
    let answer = region.token(region.redeem(&code)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.body["scope"], "openid offline_access");
    let claims = region
        .claims(answer.body["access_token"].as_str().unwrap(), ISSUER)
        .await;
    assert_eq!((claims.scope.as_str(), claims.patient), ("", None));
    assert!(answer.body["authorization_details"].is_null());
    // It may not, so there is nothing that this token could be for.
    let code = region
        .code_for(
            region.push_bare().set("scope", "openid user/*.rs"),
            PHYSICIAN,
        )
        .await;
    let answer = region.token(region.redeem(&code)).await;
    assert_eq!(answer.error(), (400, "invalid_authorization_details"));
    // Who signed in is all that was asked.
    let code = region
        .code_for(
            region
                .push_bare()
                .set("scope", "openid")
                .without("resource"),
            CITIZEN,
        )
        .await;
    assert_eq!(region.token(region.redeem(&code)).await.status, 200);
}

#[tokio::test]
async fn an_incomplete_attest_brings_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    for (part, code_word) in [
        ("/practitioner/point_of_care", "attestation_incomplete"),
        (
            "/care_relationship/purpose_of_use_details",
            "care_relationship_missing",
        ),
        ("/care_relationship/decision_ref", "decision_ref_missing"),
        ("/patients", "patient_binding_missing"),
    ] {
        let mut one = attest();
        let (parent, name) = part.rsplit_once('/').unwrap();
        one.pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(name)
            .unwrap();
        let push = region.push().set(
            "authorization_details",
            &serde_json::json!([one]).to_string(),
        );
        let code = region.code_for(push, PHYSICIAN).await;
        let answer = region.token(region.redeem(&code)).await;
        assert_eq!(
            answer.error(),
            (400, "invalid_authorization_details"),
            "{part}"
        );
        assert!(
            answer.body["error_description"]
                .as_str()
                .unwrap()
                .starts_with(code_word),
            "{}",
            answer.text
        );
    }
    // The legal entity is the client's own, where none is named.
    let mut one = attest();
    one["practitioner"]
        .as_object_mut()
        .unwrap()
        .remove("legal_entity");
    let push = region.push().set(
        "authorization_details",
        &serde_json::json!([one]).to_string(),
    );
    let code = region.code_for(push, PHYSICIAN).await;
    let answer = region.token(region.redeem(&code)).await;
    assert_eq!(
        answer.body["authorization_details"][0]["practitioner"]["legal_entity"]["id"],
        "310001074"
    );
}

#[tokio::test]
async fn a_client_gets_codes_at_its_own_place_only() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open_as(folder.path(), Keys::new(), |_| {}).await;
    let theirs = assertion::make(OTHER_JOURNAL, ISSUER, &region.epj, NOW, "theirs").unwrap();
    let push = region
        .push_bare()
        .set("client_assertion", &theirs)
        .set("resource", FJELLVIK)
        .set("scope", "openid user/Observation.rs");
    let answer = region
        .post("/par", push.set("redirect_uri", OTHER_CALLBACK))
        .await;
    assert_eq!(answer.error(), (400, "invalid_request"));
    assert_ne!(CALLBACK, OTHER_CALLBACK);
}
