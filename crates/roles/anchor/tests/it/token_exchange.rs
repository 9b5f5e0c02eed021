//! Token exchange as CONTRACT section 4 bounds it.

use crate::region::{
    FJELLVIK, GATEWAY, HUB, LOCATOR, NOW, PATIENT, PROVEBAKKEN, PROVEHEIM, Region,
};
use serde_json::json;
use std::sync::atomic::Ordering;
use trust::audit::Outcome;

#[tokio::test]
async fn the_users_need_goes_on_bound_to_the_gateways_key() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let subject = region
        .physicians_token(
            GATEWAY,
            "user/Observation.rs",
            &[("expires_in", json!(120))],
        )
        .await;
    let before = region.claims(&subject, GATEWAY).await;
    region.clock.store(NOW + 20, Ordering::SeqCst);
    let answer = region
        .token(region.exchange(&subject, FJELLVIK, "user/*.rs"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        answer.body["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    // No wider than the subject token, and no later end.
    assert_eq!(answer.body["scope"], "user/Observation.rs");
    assert_eq!(answer.body["expires_in"], 100);
    let after = region
        .claims(answer.body["access_token"].as_str().unwrap(), FJELLVIK)
        .await;
    assert_eq!(after.exp, before.exp);
    assert_eq!(after.cnf.as_ref().unwrap().jkt, region.gateway.thumbprint());
    assert_eq!(after.act.as_ref().unwrap().client_id, "delt-gateway");
    assert_eq!(
        (&after.sub, &after.pid, &after.patient),
        (&before.sub, &before.pid, &before.patient)
    );
    // Purpose and time of attestation are the same; nothing of the attest is renewed.
    assert_eq!(after.attest, before.attest);
    assert_ne!(after.jti, before.jti);
    let agreement = after.agreement.as_ref().unwrap();
    assert_eq!((agreement.id.as_str(), agreement.version), ("AVT-1", 2));
    let audited = region.audited().await;
    let record = audited
        .iter()
        .find(|record| record.gateway.is_some())
        .unwrap();
    assert_eq!(record.gateway.as_deref(), Some("delt-gateway"));
    assert_eq!(record.patient.as_ref().unwrap().value().expose(), PATIENT);
}

#[tokio::test]
async fn agreements_decide_which_providers() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let subject = region.physicians_token(GATEWAY, "user/*.rs", &[]).await;
    let none = region
        .token(region.exchange(&subject, PROVEBAKKEN, "user/Observation.rs"))
        .await;
    assert_eq!(none.error(), (400, "invalid_target"));
    let own = region
        .token(region.exchange(&subject, PROVEHEIM, "user/Observation.rs"))
        .await;
    assert_eq!(own.status, 200);
    let claims = region
        .claims(own.body["access_token"].as_str().unwrap(), PROVEHEIM)
        .await;
    assert!(claims.agreement.is_none());
    let outcomes: Vec<Outcome> = region
        .audited()
        .await
        .into_iter()
        .map(|record| record.outcome)
        .collect();
    assert!(outcomes.contains(&Outcome::Refused {
        rule: "token".into(),
        code: "invalid_target".into()
    }));
}

#[tokio::test]
async fn whoever_may_search_may_ask_where() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let subject = region
        .physicians_token(GATEWAY, "user/Observation.rs", &[])
        .await;
    let answer = region
        .token(region.exchange(&subject, LOCATOR, "user/Pointer.r"))
        .await;
    assert_eq!(answer.body["scope"], "user/Pointer.r", "{}", answer.body);
    // At the locator only, and nothing else than to ask.
    let wider = region
        .token(region.exchange(&subject, LOCATOR, "user/*.rs"))
        .await;
    assert_eq!(wider.body["scope"], "user/Pointer.r");
    let elsewhere = region
        .token(region.exchange(&subject, FJELLVIK, "user/Pointer.r"))
        .await;
    assert_eq!(elsewhere.error(), (400, "invalid_scope"));
}

#[tokio::test]
async fn nobody_but_a_provider_and_the_locator_is_asked_in_the_users_name() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let subject = region.physicians_token(GATEWAY, "user/*.rs", &[]).await;
    // The gateway is registered for both: a token that names the patient is for neither, nor for the gateway itself once more.
    for audience in [HUB, GATEWAY] {
        let answer = region
            .token(region.exchange(&subject, audience, "user/*.rs"))
            .await;
        assert_eq!(answer.error(), (400, "invalid_target"), "{audience}");
    }
    let refused = region.audited().await;
    let refused = refused.iter().filter(|record| {
        record.gateway.is_some() && matches!(record.outcome, Outcome::Refused { .. })
    });
    assert_eq!(refused.count(), 2, "each on record");
}

#[tokio::test]
async fn only_gateways_only_sound_subjects() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let subject = region.physicians_token(GATEWAY, "user/*.rs", &[]).await;
    let scope = "user/Observation.rs";
    let hub = region.ask("delt-hub", &region.hub, FJELLVIK, "system/Observation.c");
    let hub = hub
        .set(
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        )
        .set("subject_token", &subject)
        .set(
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        );
    assert_eq!(
        region.token(hub).await.error(),
        (400, "unauthorized_client")
    );
    // The gateway on its own gets no user scope and nothing at a provider.
    let alone = region
        .token(region.ask("delt-gateway", &region.gateway, FJELLVIK, scope))
        .await;
    assert_eq!(alone.error(), (400, "invalid_scope"));
    let alone = region
        .token(region.ask(
            "delt-gateway",
            &region.gateway,
            FJELLVIK,
            "system/Organization.rs",
        ))
        .await;
    assert_eq!(alone.error(), (400, "invalid_target"));
    for subject in [
        region.physicians_token(FJELLVIK, "user/*.rs", &[]).await,
        region
            .physicians_token(GATEWAY, "user/*.rs", &[("defect", json!("expired"))])
            .await,
        region
            .physicians_token(
                GATEWAY,
                "user/*.rs",
                &[("defect", json!("wrong_signature"))],
            )
            .await,
        region
            .physicians_token(GATEWAY, "user/*.rs", &[("defect", json!("wrong_typ"))])
            .await,
        region
            .physicians_token(GATEWAY, "user/*.rs", &[("defect", json!("no_cnf"))])
            .await,
        "garbage".to_owned(),
    ] {
        let answer = region
            .token(region.exchange(&subject, FJELLVIK, scope))
            .await;
        assert_eq!(answer.error(), (400, "invalid_request"), "{}", answer.body);
    }
    for defect in [
        "no_attest",
        "stale_attest",
        "other_practitioner",
        "no_patient",
        "no_purpose",
        "no_decision_ref",
    ] {
        let subject = region
            .physicians_token(GATEWAY, "user/*.rs", &[("defect", json!(defect))])
            .await;
        let answer = region
            .token(region.exchange(&subject, FJELLVIK, scope))
            .await;
        assert_eq!(
            answer.error(),
            (400, "invalid_authorization_details"),
            "{defect}"
        );
    }
    for ask in [
        region
            .exchange(&subject, FJELLVIK, scope)
            .without("subject_token"),
        region
            .exchange(&subject, FJELLVIK, scope)
            .without("subject_token_type"),
        region.exchange(&subject, FJELLVIK, scope).set(
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:id_token",
        ),
        region.exchange(&subject, FJELLVIK, scope).set(
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:refresh_token",
        ),
        region
            .exchange(&subject, FJELLVIK, scope)
            .set("actor_token", "x"),
    ] {
        assert_eq!(region.token(ask).await.error(), (400, "invalid_request"));
    }
    let wide = region
        .token(region.exchange(&subject, FJELLVIK, "user/*.cruds"))
        .await;
    assert_eq!(wide.error(), (400, "invalid_scope"));
}

#[tokio::test]
async fn an_exchanged_token_is_not_exchanged_again() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let subject = region.physicians_token(GATEWAY, "user/*.rs", &[]).await;
    let first = region
        .token(region.exchange(&subject, FJELLVIK, "user/Observation.rs"))
        .await;
    let exchanged = first.body["access_token"].as_str().unwrap();
    let again = region
        .token(region.exchange(exchanged, PROVEHEIM, "user/Observation.rs"))
        .await;
    assert_eq!(again.error(), (400, "invalid_request"));
}

#[tokio::test]
async fn the_attest_does_not_outlive_its_hour() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let subject = region.physicians_token(GATEWAY, "user/*.rs", &[]).await;
    region.clock.store(NOW + 299, Ordering::SeqCst);
    let answer = region
        .token(region.exchange(&subject, FJELLVIK, "user/Observation.rs"))
        .await;
    assert_eq!(answer.body["expires_in"], 1);
    region.clock.store(NOW + 301, Ordering::SeqCst);
    let answer = region
        .token(region.exchange(&subject, FJELLVIK, "user/Observation.rs"))
        .await;
    assert_eq!(answer.error(), (400, "invalid_request"));
}

#[tokio::test]
async fn a_citizens_scopes_go_on_in_either_context() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let order = json!({"as": "citizen", "fnr": PATIENT, "patient": PATIENT, "audience": GATEWAY,
        "scope": "patient/Observation.rs", "jkt": region.user.thumbprint()});
    let answer = region.test_token(&order).await;
    let subject = answer.body["access_token"].as_str().unwrap().to_owned();
    // Who acts for her she is told at the gateway, and no holder is.
    let told = region.claims(&subject, GATEWAY).await.represented_by;
    let [acting] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(acting.by.id, "fullmakt-1");
    // No agreement is needed between a citizen and whoever holds her data.
    let answer = region
        .token(region.exchange(&subject, PROVEBAKKEN, "user/*.rs"))
        .await;
    let after = answer.body["access_token"].as_str().unwrap();
    let after = region.claims(after, PROVEBAKKEN).await;
    assert!(after.represented_by.is_empty());
    assert_eq!(
        answer.body["scope"], "user/Observation.rs",
        "{}",
        answer.body
    );
    let where_ = region
        .token(region.exchange(&subject, LOCATOR, "user/Pointer.r"))
        .await;
    assert_eq!(where_.body["scope"], "user/Pointer.r", "{}", where_.body);
}
