//! Refresh tokens, revocation, and the attest by flow 2.

use crate::journey::{PHYSICIAN, attest};
use crate::region::{
    Ask, FJELLVIK, GATEWAY, ISSUER, JOURNAL, Keys, OTHER_JOURNAL, PATIENT, Region,
};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use trust::assertion;

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap()
}

impl Region {
    /// The ask with an attest in the client's assertion (flow 2).
    fn stating(&self, ask: Ask, attest: &Value) -> Ask {
        let details = std::slice::from_ref(attest);
        let jti = self.jti();
        let made = assertion::make_with_details(
            JOURNAL,
            ISSUER,
            &self.hospital,
            self.now(),
            &jti,
            details,
        );
        ask.set("client_assertion", &made.unwrap())
    }

    /// A sound request to give a token up.
    fn giving_up(&self, token: &str) -> Ask {
        let mut ask = self
            .renew("")
            .without("grant_type")
            .without("refresh_token");
        ask.proofs.clear();
        ask.set("token", token)
    }
}

#[tokio::test]
async fn each_refresh_token_works_once_and_a_second_use_ends_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    let (first, second) = {
        let region = Region::open_as(folder.path(), keys.clone(), |_| {}).await;
        let body = region.signed_in().await;
        assert_eq!(body["rt_expires_in"], 8 * 3600);
        let first = text(&body, "refresh_token").to_owned();
        region.clock.fetch_add(60, Ordering::SeqCst);
        let answer = region.token(region.renew(&first)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.body["rt_expires_in"], 8 * 3600 - 60);
        assert!(answer.body["id_token"].is_null());
        let claims = region
            .claims(text(&answer.body, "access_token"), GATEWAY)
            .await;
        assert_eq!(claims.patient.unwrap().value().expose(), PATIENT);
        // The time of attestation is never renewed.
        assert_eq!(claims.attest.unwrap().toa, region.now() - 60);
        let second = text(&answer.body, "refresh_token").to_owned();
        assert_ne!(first, second);
        (first, second)
    };
    // Across a restart.
    let region = Region::open_as(folder.path(), keys, |_| {}).await;
    region.clock.fetch_add(120, Ordering::SeqCst);
    let answer = region.token(region.renew(&second)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let third = text(&answer.body, "refresh_token").to_owned();
    let access = text(&answer.body, "access_token").to_owned();
    assert_eq!(
        region.token(region.renew(&first)).await.error(),
        (400, "invalid_grant")
    );
    assert_eq!(
        region.token(region.renew(&third)).await.error(),
        (400, "invalid_grant")
    );
    let exchanged = region.token(region.exchange_at_fjellvik(&access)).await;
    assert_eq!(exchanged.error(), (400, "invalid_request"));
}

#[tokio::test]
async fn twenty_renewals_at_once_give_one_and_then_none() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let body = region.signed_in().await;
    let token = text(&body, "refresh_token");
    let all = futures::future::join_all((0..20).map(|_| region.token(region.renew(token)))).await;
    let good: Vec<_> = all.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(good.len(), 1);
    assert!(
        all.iter()
            .filter(|answer| answer.status != 200)
            .all(|answer| answer.error() == (400, "invalid_grant"))
    );
    let next = text(&good[0].body, "refresh_token");
    assert_eq!(
        region.token(region.renew(next)).await.error(),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn what_does_not_renew_and_leaves_the_token_good() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let body = region.signed_in().await;
    let token = text(&body, "refresh_token");
    let theirs = assertion::make(OTHER_JOURNAL, ISSUER, &region.epj, region.now(), "t").unwrap();
    let answer = region
        .token(region.renew(token).set("client_assertion", &theirs))
        .await;
    assert_eq!(
        answer.error(),
        (400, "unauthorized_client"),
        "not registered for renewal"
    );
    let mut other_key = region.renew(token);
    other_key.proofs = vec![region.proof(&region.home)];
    let cases: [(&str, Ask, &str); 7] = [
        ("another key", other_key, "invalid_grant"),
        ("nothing", region.renew(""), "invalid_grant"),
        ("something else", region.renew("AAAA"), "invalid_grant"),
        (
            "an access token",
            region.renew(text(&body, "access_token")),
            "invalid_grant",
        ),
        (
            "a wider scope",
            region.renew(token).set("scope", "user/*.cruds"),
            "invalid_scope",
        ),
        (
            "another audience",
            region.renew(token).set("resource", FJELLVIK),
            "invalid_target",
        ),
        (
            "details beside the assertion",
            region.renew(token).set("authorization_details", "[]"),
            "invalid_authorization_details",
        ),
    ];
    for (what, ask, error) in cases {
        assert_eq!(region.token(ask).await.error(), (400, error), "{what}");
    }
    let answer = region
        .token(region.renew(token).set("scope", "user/Observation.r"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.body["scope"],
        "openid offline_access user/Observation.r"
    );
    // What was narrowed once is not lost for good.
    let answer = region
        .token(region.renew(text(&answer.body, "refresh_token")))
        .await;
    assert_eq!(answer.body["scope"], "openid offline_access user/*.rs");
}

#[tokio::test]
async fn a_sign_in_ends_after_a_working_day() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let code = region.code_for(region.push_bare(), PHYSICIAN).await;
    let mut body = region.token(region.redeem(&code)).await.body;
    for hours in [4, 4] {
        region.clock.fetch_add(hours * 3600, Ordering::SeqCst);
        let ask = region.renew(text(&body, "refresh_token"));
        let answer = region.token(region.stating(ask, &attest())).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        body = answer.body;
    }
    assert_eq!(body["rt_expires_in"], 0);
    region.clock.fetch_add(1, Ordering::SeqCst);
    let ask = region.renew(text(&body, "refresh_token"));
    assert_eq!(region.token(ask).await.error(), (400, "invalid_grant"));
}

#[tokio::test]
async fn an_attest_by_flow_2_is_for_one_token() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    // With the code …
    let code = region.code_for(region.push_bare(), PHYSICIAN).await;
    let answer = region
        .token(region.stating(region.redeem(&code), &attest()))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.body["authorization_details"].is_null());
    let claims = region
        .claims(text(&answer.body, "access_token"), GATEWAY)
        .await;
    assert_eq!(claims.attest.unwrap().toa, region.now());
    // … and not with the next token, which opens nothing then.
    let answer = region
        .token(region.renew(text(&answer.body, "refresh_token")))
        .await;
    assert_eq!(answer.body["scope"], "openid offline_access");
    // With a refresh token, for another patient: a new attest on patient switch.
    let mut other = attest();
    other["patients"][0]["identifier"]["id"] = crate::region::husband().into();
    let ask = region.renew(text(&answer.body, "refresh_token"));
    let answer = region.token(region.stating(ask, &other)).await;
    let claims = region
        .claims(text(&answer.body, "access_token"), GATEWAY)
        .await;
    assert_eq!(
        claims.patient.unwrap().value().expose(),
        crate::region::husband()
    );
    // Wrong in each of its own ways.
    let mut refresh = text(&answer.body, "refresh_token").to_owned();
    for (change, words) in [
        (
            &|d: &mut Value| d["toa"] = (region.now() - 3601).into(),
            "attestation_has_expired",
        ),
        (
            &|d: &mut Value| {
                d["practitioner"]["identifier"] = d["patients"][0]["identifier"].clone()
            },
            "attestation_practitioner",
        ),
        (
            &|d: &mut Value| d["practitioner"]["point_of_care"]["id"] = "310001007".into(),
            "attestation_organisation",
        ),
        (
            &|d: &mut Value| d["patients"] = json!([]),
            "patient_binding_missing",
        ),
        (
            &|d: &mut Value| d["care_relationship"]["purpose_of_use"]["code"] = "X".into(),
            "purpose_missing",
        ),
        (
            &|d: &mut Value| d["type"] = "helseid_authorization".into(),
            "authorization details of a type",
        ),
        (
            &|d: &mut Value| d["more"] = 1.into(),
            "the attest has a member",
        ),
    ] as [(&dyn Fn(&mut Value), &str); 7]
    {
        let mut one = attest();
        change(&mut one);
        let answer = region
            .token(region.stating(region.renew(&refresh), &one))
            .await;
        assert_eq!(
            answer.error(),
            (400, "invalid_authorization_details"),
            "{words}"
        );
        let said = text(&answer.body, "error_description");
        assert!(said.starts_with(words), "{said}");
    }
    // None of them used the refresh token up.
    let answer = region
        .token(region.stating(region.renew(&refresh), &attest()))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    text(&answer.body, "refresh_token").clone_into(&mut refresh);
    // A client on its own states no need.
    let ask = region.stating(
        region.ask(
            JOURNAL,
            &region.hospital,
            crate::region::PROVEHEIM,
            "system/*.cruds",
        ),
        &attest(),
    );
    assert_eq!(
        region.token(ask).await.error(),
        (400, "invalid_authorization_details")
    );
}

#[tokio::test]
async fn both_flows_at_once_are_refused_by_the_frameworks_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let code = region.code_for(region.push(), PHYSICIAN).await;
    let answer = region
        .token(region.stating(region.redeem(&code), &attest()))
        .await;
    assert_eq!(answer.error(), (400, "access_denied"));
    assert!(text(&answer.body, "error_description").starts_with("HID-DOUBLE-STRUCTURE"));
    let body = region.signed_in().await;
    let ask = region.renew(text(&body, "refresh_token"));
    let answer = region.token(region.stating(ask, &attest())).await;
    assert_eq!(answer.error(), (400, "access_denied"));
    assert!(text(&answer.body, "error_description").starts_with("HID-DOUBLE-STRUCTURE"));
}

#[tokio::test]
async fn an_attest_by_flow_1_lasts_sixty_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let body = region.signed_in().await;
    region.clock.fetch_add(3600, Ordering::SeqCst);
    let answer = region
        .token(region.renew(text(&body, "refresh_token")))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    region.clock.fetch_add(1, Ordering::SeqCst);
    let answer = region
        .token(region.renew(text(&answer.body, "refresh_token")))
        .await;
    assert_eq!(answer.error(), (400, "invalid_authorization_details"));
    let said = text(&answer.body, "error_description");
    assert!(said.starts_with("attestation_has_expired"), "{said}");
}

#[tokio::test]
async fn a_client_gives_up_what_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    // By the refresh token, or by the access token of the same sign-in.
    for name in ["refresh_token", "access_token"] {
        let body = region.signed_in().await;
        let answer = region
            .post("/revoke", region.giving_up(text(&body, name)))
            .await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
        assert_eq!(
            region
                .token(region.renew(text(&body, "refresh_token")))
                .await
                .error(),
            (400, "invalid_grant")
        );
        let ask = region.exchange_at_fjellvik(text(&body, "access_token"));
        assert_eq!(region.token(ask).await.error(), (400, "invalid_request"));
        let again = region
            .post("/revoke", region.giving_up(text(&body, name)))
            .await;
        assert_eq!(again.status, 200);
    }
    // Another client's is as good as unknown, and stays.
    let body = region.signed_in().await;
    for name in ["refresh_token", "access_token"] {
        let theirs =
            assertion::make(OTHER_JOURNAL, ISSUER, &region.epj, region.now(), name).unwrap();
        let ask = region
            .giving_up(text(&body, name))
            .set("client_assertion", &theirs);
        assert_eq!(region.post("/revoke", ask).await.status, 200);
    }
    assert_eq!(
        region
            .token(region.renew(text(&body, "refresh_token")))
            .await
            .status,
        200
    );
    // Nothing, the unknown, and what nothing stands behind.
    assert_eq!(
        region.post("/revoke", region.giving_up("x")).await.status,
        200
    );
    assert_eq!(
        region.post("/revoke", region.giving_up("")).await.error(),
        (400, "invalid_request")
    );
    let own = region
        .ask(
            JOURNAL,
            &region.hospital,
            crate::region::PROVEHEIM,
            "system/*.cruds",
        )
        .set("grant_type", "client_credentials");
    let own = region.token(own).await;
    let answer = region
        .post("/revoke", region.giving_up(text(&own.body, "access_token")))
        .await;
    assert_eq!(answer.error(), (400, "unsupported_token_type"));
}

#[tokio::test]
async fn what_is_past_its_time_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let body = region.signed_in().await;
    region.pushed(region.push()).await;
    assert_eq!(region.state.sweep().await.unwrap(), 0);
    // The pushed request, then the code's memory, then the grant.
    region.clock.fetch_add(700, Ordering::SeqCst);
    assert_eq!(region.state.sweep().await.unwrap(), 1);
    region.clock.fetch_add(3600, Ordering::SeqCst);
    assert_eq!(region.state.sweep().await.unwrap(), 1);
    region.clock.fetch_add(8 * 3600, Ordering::SeqCst);
    assert_eq!(region.state.sweep().await.unwrap(), 1);
    assert_eq!(region.state.sweep().await.unwrap(), 0);
    let ask = region.renew(text(&body, "refresh_token"));
    assert_eq!(region.token(ask).await.error(), (400, "invalid_grant"));
}

#[tokio::test]
async fn nobody_is_named_on_disk_in_clear_besides_the_audit_trail() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    region.signed_in().await;
    let mut kept = 0;
    for ledger in ["pushed", "code", "grant"] {
        for entry in region
            .state
            .store()
            .ledger_scan(ledger, &[], None, 10)
            .await
            .unwrap()
        {
            let value = String::from_utf8(entry.value).unwrap();
            assert!(!value.contains(PATIENT) && !value.contains("Syntetisk"));
            assert!(
                value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            );
            kept += 1;
        }
    }
    assert_eq!(kept, 2, "the used code and the grant");
}
