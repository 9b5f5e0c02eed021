//! Client credentials, and everything that is wrong with a request to the token endpoint.

use crate::region::{
    Ask, FJELLVIK, GATEWAY, HUB, ISSUER, JOURNAL, KYST, Keys, NOW, OTHER_JOURNAL, PROVEBAKKEN,
    PROVEHEIM, Region, org,
};
use anchor::config::{Audience, AudienceKind, Client, Delegation};
use std::sync::atomic::Ordering;
use trust::audit::Outcome;
use trust::keys::SigningKey;
use trust::scope::Scopes;
use trust::{ClientUse, assertion, dpop};

fn sound(region: &Region) -> Ask {
    region.ask(
        "hjemmesystem-fjellvik",
        &region.home,
        HUB,
        "system/Observation.c",
    )
}

#[tokio::test]
async fn a_home_system_gets_a_bound_token_for_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let answer = region.token(sound(&region)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.body["token_type"], "DPoP");
    assert_eq!(answer.body["expires_in"], 300);
    let token = answer.body["access_token"].as_str().unwrap();
    let claims = region.claims(token, HUB).await;
    assert_eq!(claims.cnf.as_ref().unwrap().jkt, region.home.thumbprint());
    assert_eq!(claims.scope, "system/Observation.c");
    assert_eq!(claims.use_, ClientUse::HomeSystem);
    let caller = claims.caller(token).unwrap();
    assert_eq!(caller.organisation.unwrap().as_str(), "310001007");
    let audited = region.audited().await;
    assert_eq!(audited.len(), 1);
    assert_eq!(audited[0].outcome, Outcome::Allowed);
    assert_eq!(audited[0].client.as_deref(), Some("hjemmesystem-fjellvik"));
}

#[tokio::test]
async fn audience_works_for_resource_and_they_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    assert_eq!(
        region
            .token(sound(&region).without("resource").set("audience", HUB))
            .await
            .status,
        200
    );
    assert_eq!(
        region
            .token(sound(&region).set("audience", HUB))
            .await
            .status,
        200
    );
    assert_eq!(
        region
            .token(sound(&region).set("audience", KYST))
            .await
            .error(),
        (400, "invalid_request")
    );
}

#[tokio::test]
async fn what_is_wrong_with_the_form() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let refused = async |ask: Ask| {
        let answer = region.token(ask).await;
        let (status, error) = answer.error();
        (status, error.to_owned())
    };
    let expect = |status: u16, error: &str| (status, error.to_owned());
    let ask = || sound(&region);
    assert_eq!(
        refused(ask().without("grant_type")).await,
        expect(400, "invalid_request")
    );
    assert_eq!(
        refused(ask().set("grant_type", "password")).await,
        expect(400, "unsupported_grant_type")
    );
    assert_eq!(
        refused(ask().set("grant_type", "implicit")).await,
        expect(400, "unsupported_grant_type")
    );
    let mut twice = ask();
    twice.form.push(("scope", "system/*.cruds".into()));
    assert_eq!(refused(twice).await, expect(400, "invalid_request"));
    assert_eq!(
        refused(ask().set("client_id", "epj-sorlia")).await,
        expect(400, "invalid_request")
    );
    assert_eq!(
        refused(ask().set("client_id", "hjemmesystem-fjellvik")).await,
        expect(200, "")
    );
    assert_eq!(
        refused(ask().set("client_secret", "x")).await,
        expect(400, "invalid_request")
    );
    let mut basic = ask();
    basic.headers.push(("authorization", "Basic eDp5".into()));
    assert_eq!(refused(basic).await, expect(400, "invalid_request"));
    assert_eq!(
        refused(ask().without("client_assertion")).await,
        expect(401, "invalid_client")
    );
    assert_eq!(
        refused(ask().without("client_assertion_type")).await,
        expect(401, "invalid_client")
    );
    assert_eq!(
        refused(ask().set("client_assertion_type", "x")).await,
        expect(400, "invalid_request")
    );
    assert_eq!(
        refused(ask().set("client_assertion", "x")).await,
        expect(401, "invalid_client")
    );
    assert_eq!(
        refused(ask().without("resource")).await,
        expect(400, "invalid_target")
    );
    assert_eq!(
        refused(ask().set("resource", "https://elsewhere.example")).await,
        expect(400, "invalid_target")
    );
    assert_eq!(
        refused(ask().set("resource", FJELLVIK)).await,
        expect(400, "invalid_target")
    );
    assert_eq!(
        refused(ask().without("scope")).await,
        expect(400, "invalid_scope")
    );
    assert_eq!(
        refused(ask().set("scope", "openid")).await,
        expect(400, "invalid_scope")
    );
    assert_eq!(
        refused(ask().set("scope", "system/Observation.cu")).await,
        expect(400, "invalid_scope")
    );
    assert_eq!(
        refused(ask().set("scope", "system/*.c")).await,
        expect(400, "invalid_scope")
    );
    assert_eq!(
        refused(ask().set("scope", "user/Observation.c")).await,
        expect(400, "invalid_scope")
    );
}

#[tokio::test]
async fn an_unknown_client_looks_like_a_wrong_assertion() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let stranger = SigningKey::generate().unwrap();
    let unknown = region
        .token(region.ask("nobody", &stranger, HUB, "system/Observation.c"))
        .await;
    let wrong = region
        .token(region.ask(
            "hjemmesystem-fjellvik",
            &stranger,
            HUB,
            "system/Observation.c",
        ))
        .await;
    assert_eq!(unknown.error(), (401, "invalid_client"));
    assert_eq!((unknown.status, &unknown.body), (wrong.status, &wrong.body));
    let names = |answer: &crate::region::Answer| {
        answer
            .headers
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&unknown), names(&wrong));
}

#[tokio::test]
async fn an_assertion_works_once_also_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    let assertion = assertion::make(
        "hjemmesystem-fjellvik",
        ISSUER,
        &keys.home,
        NOW,
        "only-once",
    )
    .unwrap();
    {
        let region = Region::open_as(folder.path(), keys.clone(), |_| {}).await;
        assert_eq!(
            region
                .token(sound(&region).set("client_assertion", &assertion))
                .await
                .status,
            200
        );
        let again = region
            .token(sound(&region).set("client_assertion", &assertion))
            .await;
        assert_eq!(again.error(), (401, "invalid_client"));
    }
    let region = Region::open_as(folder.path(), keys, |_| {}).await;
    region.clock.fetch_add(1, Ordering::SeqCst);
    let again = region
        .token(sound(&region).set("client_assertion", &assertion))
        .await;
    assert_eq!(again.error(), (401, "invalid_client"));
}

#[tokio::test]
async fn a_refused_request_uses_its_assertion_up() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let make = |jti: &str| {
        assertion::make("hjemmesystem-fjellvik", ISSUER, &region.home, NOW, jti).unwrap()
    };
    let (first, second) = (make("a"), make("b"));
    let mut no_proof = sound(&region).set("client_assertion", &first);
    no_proof.proofs.clear();
    assert_eq!(
        region.token(no_proof).await.error(),
        (400, "invalid_dpop_proof")
    );
    assert_eq!(
        region
            .token(sound(&region).set("client_assertion", &first))
            .await
            .error(),
        (401, "invalid_client")
    );
    let wide = sound(&region)
        .set("client_assertion", &second)
        .set("scope", "system/*.c");
    assert_eq!(region.token(wide).await.error(), (400, "invalid_scope"));
    assert_eq!(
        region
            .token(sound(&region).set("client_assertion", &second))
            .await
            .error(),
        (401, "invalid_client")
    );
    let codes: Vec<Outcome> = region
        .audited()
        .await
        .into_iter()
        .map(|record| record.outcome)
        .collect();
    assert!(
        codes.contains(&Outcome::Refused {
            rule: "token".into(),
            code: "invalid_scope".into()
        }),
        "{codes:?}"
    );
}

#[tokio::test]
async fn proofs_that_do_not_stand() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let url = format!("{ISSUER}/token");
    let prove = |method: &str, url: &str, iat: i64| {
        dpop::prove(&region.home, method, url, None, iat, &region.jti()).unwrap()
    };
    let good = prove("POST", &url, NOW);
    for proofs in [
        vec![],
        vec![good.clone(), prove("POST", &url, NOW)],
        vec![format!("{good}, {}", prove("POST", &url, NOW))],
        vec![prove("GET", &url, NOW)],
        vec![prove("POST", &format!("{ISSUER}/tokens"), NOW)],
        vec![prove("POST", "https://other.example/token", NOW)],
        vec![prove("POST", &url, NOW - 61)],
        vec![prove("POST", &url, NOW + 11)],
        vec!["e30.e30.AA".to_owned()],
    ] {
        let mut ask = sound(&region);
        ask.proofs = proofs;
        assert_eq!(region.token(ask).await.error(), (400, "invalid_dpop_proof"));
    }
    let mut first = sound(&region);
    first.proofs = vec![good.clone()];
    assert_eq!(region.token(first).await.status, 200);
    let mut again = sound(&region);
    again.proofs = vec![good];
    assert_eq!(
        region.token(again).await.error(),
        (400, "invalid_dpop_proof")
    );
    // Another key than the client's own may be the bound one.
    let mut other = sound(&region);
    other.proofs = vec![region.proof(&region.user)];
    let answer = region.token(other).await;
    let claims = region
        .claims(answer.body["access_token"].as_str().unwrap(), HUB)
        .await;
    assert_eq!(claims.cnf.unwrap().jkt, region.user.thumbprint());
}

#[tokio::test]
async fn the_hub_writes_by_delegation_only() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let answer = region
        .token(region.ask("delt-hub", &region.hub, FJELLVIK, "system/Observation.c"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let claims = region
        .claims(answer.body["access_token"].as_str().unwrap(), FJELLVIK)
        .await;
    let delegation = claims.delegation.unwrap();
    assert_eq!(
        (delegation.id.as_str(), delegation.from.as_str()),
        ("DEL-1", "310001007")
    );
    let none = region
        .token(region.ask("delt-hub", &region.hub, PROVEHEIM, "system/Observation.c"))
        .await;
    assert_eq!(none.error(), (400, "invalid_target"));
}

#[tokio::test]
async fn a_record_system_looks_after_its_subscriptions_elsewhere_and_reads_nobody_there() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let ask = |resource, scope| {
        let ask = region.ask(JOURNAL, &region.hospital, resource, scope);
        region.token(ask)
    };
    for scope in ["system/Subscription.rd", "system/Subscription.r"] {
        let answer = ask(FJELLVIK, scope).await;
        assert_eq!(answer.status, 200, "{scope}: {}", answer.body);
        let token = answer.body["access_token"].as_str().unwrap();
        let claims = region.claims(token, FJELLVIK).await;
        assert_eq!((claims.scope.as_str(), claims.patient), (scope, None));
    }
    // More than that is nobody's there, and without an agreement nor is that.
    for (resource, scope) in [
        (FJELLVIK, "system/Subscription.cruds"),
        (FJELLVIK, "system/*.rd"),
        (FJELLVIK, "system/Subscription.rd system/Observation.rs"),
        (PROVEBAKKEN, "system/Subscription.rd"),
    ] {
        let refused = ask(resource, scope).await;
        assert_eq!(
            refused.error(),
            (400, "invalid_target"),
            "{resource} {scope}"
        );
    }
}

#[tokio::test]
async fn a_service_tells_another_of_alerts_under_an_agreement_and_does_nothing_else_there() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let ask = |resource, scope| {
        let ask = region.ask("deling-proveheim", &region.hospital, resource, scope);
        region.token(ask)
    };
    let answer = ask(FJELLVIK, "system/Task.c").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let token = answer.body["access_token"].as_str().unwrap().to_owned();
    let claims = region.claims(&token, FJELLVIK).await;
    assert_eq!(
        (claims.scope.as_str(), claims.delegation.is_none()),
        ("system/Task.c", true)
    );
    // More than that, or where no agreement is in force, takes a delegation.
    for (resource, scope) in [
        (FJELLVIK, "system/Task.c system/Observation.c"),
        (FJELLVIK, "system/Observation.c"),
        (KYST, "system/Task.c"),
    ] {
        let refused = ask(resource, scope).await;
        assert_eq!(
            refused.error(),
            (400, "invalid_target"),
            "{resource} {scope}"
        );
    }
}

#[tokio::test]
async fn a_record_system_writes_at_its_own_or_its_shared_register() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let shared = region
        .token(region.ask("epj-sorlia", &region.epj, KYST, "system/Observation.cruds"))
        .await;
    assert_eq!(shared.status, 200, "{}", shared.body);
    let other = region
        .token(region.ask(
            "epj-sorlia",
            &region.epj,
            FJELLVIK,
            "system/Observation.cruds",
        ))
        .await;
    assert_eq!(other.error(), (400, "invalid_target"));
}

#[tokio::test]
async fn a_client_for_people_asks_no_gateway_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let ask = |resource| region.ask(JOURNAL, &region.hospital, resource, "system/*.cruds");
    assert_eq!(
        region.token(ask(GATEWAY)).await.error(),
        (400, "invalid_target")
    );
    // Another organisation's service is open to the people who sign in, by their attests, not to their system.
    assert_eq!(
        region.token(ask(FJELLVIK)).await.error(),
        (400, "invalid_target")
    );
    assert_eq!(region.token(ask(PROVEHEIM)).await.status, 200);
    // Nor is a client without the grant for itself given anything.
    let ask = region.ask(
        OTHER_JOURNAL,
        &region.epj,
        FJELLVIK,
        "system/Observation.rs",
    );
    assert_eq!(
        region.token(ask).await.error(),
        (400, "unauthorized_client")
    );
}

#[tokio::test]
async fn a_gateway_brings_documents_to_record_systems_of_its_own_and_of_those_that_delegate() {
    let folder = tempfile::tempdir().unwrap();
    let system = |name: &str| format!("http://127.0.0.1:7070/epj-{name}/fhir");
    let (own, delegated, others) = (
        system("proveheim"),
        system("provebakken"),
        system("fjellvik"),
    );
    let region = Region::open_as(folder.path(), Keys::new(), |config| {
        for (url, owner) in [
            (&own, "310001074"),
            (&delegated, "310001147"),
            (&others, "310001007"),
        ] {
            config.audiences.push(Audience {
                url: url.clone(),
                owner: Some(org(owner)),
                members: Vec::new(),
                kind: AudienceKind::RecordSystem,
            });
        }
        let gateway = |one: &&mut Client| one.client_id == "delt-gateway";
        let gateway = config.clients.iter_mut().find(gateway).unwrap();
        gateway.scopes = Scopes::parse("user/*.rs system/Bundle.c system/Observation.rs").unwrap();
        gateway
            .audiences
            .extend([own.clone(), delegated.clone(), others.clone()]);
        config.delegations.push(Delegation {
            id: "DEL-2".into(),
            version: 1,
            from: org("310001147"),
            to: org("310001074"),
            from_day: "2026-01-01".into(),
            to_day: None,
            signed: true,
        });
    })
    .await;
    let asked = async |resource: &str, scope: &str| {
        let ask = region.ask("delt-gateway", &region.gateway, resource, scope);
        region.token(ask).await
    };
    for (audience, by) in [(&own, None), (&delegated, Some("DEL-2"))] {
        let answer = asked(audience, "system/Bundle.c").await;
        assert_eq!(answer.status, 200, "{audience}: {}", answer.body);
        let token = answer.body["access_token"].as_str().unwrap();
        let claims = region.claims(token, audience).await;
        assert_eq!(claims.scope, "system/Bundle.c");
        assert_eq!(claims.delegation.as_ref().map(|one| one.id.as_str()), by);
    }
    // Nobody delegated; nothing but documents; and no service, its own organisation's neither.
    for (audience, scope) in [
        (others.as_str(), "system/Bundle.c"),
        (own.as_str(), "system/Observation.rs"),
        (own.as_str(), "system/Bundle.c system/Observation.rs"),
        (PROVEHEIM, "system/Bundle.c"),
        (FJELLVIK, "system/Bundle.c"),
    ] {
        let refused = asked(audience, scope).await;
        assert_eq!(
            refused.error(),
            (400, "invalid_target"),
            "{audience} {scope}"
        );
    }
}
