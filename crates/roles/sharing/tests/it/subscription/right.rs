//! Who may subscribe, to be told where, and until when (threats-and-faults.md sections 6 and 8).

use http::StatusCode;
use sharing::Subscriber;
use testkit::clients::Reply;
use trust::audit::Outcome;
use trust::{ClientUse, Interaction};
use wire::contract::operate::Standing;

use super::*;
use crate::house::*;

#[tokio::test]
async fn who_may_not_look_may_not_subscribe() {
    let region = Region::new().await;
    let body = wanted(&region.endpoint(), "new-reading", Some(&region.patient));
    let refused = |reply: Reply| {
        assert!(reply.status.is_client_error(), "{}", reply.json);
        let coding = &reply.json["issue"][0]["details"]["coding"][0]["code"];
        (
            reply.status.as_u16(),
            coding.as_str().unwrap_or_default().to_owned(),
        )
    };
    for (who, expected) in [
        (
            region.gp_about(ragnhild(), "TREAT", "user/*.rs"),
            (403, "insufficient_scope"),
        ),
        (
            region.gp_about(ragnhild(), "BTG", SCOPE),
            (403, "subscription_purpose"),
        ),
        (
            region.gp_about(ragnhild(), "ETREAT", SCOPE),
            (403, "subscription_purpose"),
        ),
        (
            region
                .service
                .physician_but(ragnhild(), |claims| claims.scope = SCOPE.into()),
            (403, "no_subscriber"),
        ),
        (region.service.citizen(ragnhild()), (403, "access_denied")),
        (
            region.service.record_system(PROVEBAKKEN),
            (403, "access_denied"),
        ),
        (
            region
                .service
                .system(ClientUse::Gateway, PROVEBAKKEN, "system/*.cruds"),
            (403, "access_denied"),
        ),
        // Another patient's token, by the words for nobody.
        (region.gp_about(arne(), "TREAT", SCOPE), (422, "")),
    ] {
        let (status, code) = refused(region.asks(&who, &body).await);
        assert_eq!((status, code.as_str()), expected);
    }
    let nobody = wanted(
        &region.endpoint(),
        "new-reading",
        Some("Patient/00000000-0000-4000-8000-000000000000"),
    );
    let unknown = region.asks(&region.gp(), &nobody).await;
    let other = region
        .asks(&region.gp_about(arne(), "TREAT", SCOPE), &body)
        .await;
    assert_eq!(
        (unknown.status, &unknown.json["issue"]),
        (other.status, &other.json["issue"])
    );
    let everybody = wanted(&region.endpoint(), "new-reading", None);
    assert_eq!(refused(region.asks(&region.gp(), &everybody).await).0, 422);
    let wish = region.closes(organisation_closed(PROVEBAKKEN)).await;
    assert_eq!(
        refused(region.asks(&region.gp(), &body).await),
        (403, "blocked".into())
    );
    region.opens(&wish).await;
    // Refusals are on record, and nobody was asked anything.
    let record = region.service.last_record_of(Interaction::Subscribe).await;
    assert!(matches!(record.outcome, Outcome::Refused { .. }));
    assert_eq!(region.hook.asked(), 0);
    // Agreed kinds alone are told of: medicines are none of them.
    region.follows("plan-change").await;
}

#[tokio::test]
async fn without_agreement_or_membership_nothing_is_told_from_the_next_minute() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    region.hook.heard();
    for (member, agreement) in [
        (Standing::Active, Standing::Suspended),
        (Standing::Suspended, Standing::Active),
    ] {
        region.service.clock.advance(120 * SECOND);
        region.vouched(member, agreement);
        region.reads(&format!("r-{agreement:?}"), "84").await;
        region.tells().await;
        assert_eq!(region.hook.heard(), []);
    }
    region.service.clock.advance(120 * SECOND);
    region.vouched(Standing::Active, Standing::Active);
    region.reads("r-9", "88").await;
    region.tells().await;
    assert_eq!(region.hook.numbers(), [1]);
    // The stated time ends, and with it the right.
    region.service.clock.advance(91 * 86_400 * SECOND);
    region.vouched(Standing::Active, Standing::Active);
    let owner = region.service.record_system(FJELLVIK);
    let late = reading(ragnhild(), "late", "2027-02-01T08:00:00+01:00", "88");
    let made = region.service.post(&owner, "/Observation", &late).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json);
    region.tells().await;
    assert_eq!(region.hook.heard(), []);
    assert_eq!(region.stands(&path).await, ("off".into(), "1".into()));
}

#[tokio::test]
async fn who_shares_the_register_and_is_suspended_is_told_nothing() {
    let region = Region::with(|config| config.members = vec![org(PROVEBAKKEN)]).await;
    region.follows("new-reading").await;
    region.hook.heard();
    for (member, count) in [(Standing::Suspended, 0), (Standing::Active, 1)] {
        region.service.clock.advance(120 * SECOND);
        region.vouched(member, Standing::Active);
        region.reads(&format!("r-{member:?}"), "84").await;
        region.tells().await;
        assert_eq!(region.hook.numbers().len(), count, "{member:?}");
    }
}

#[tokio::test]
async fn an_endpoint_is_the_subscribers_own_and_no_inner_address() {
    let region = Region::new().await;
    let own = region.endpoint();
    let port = own.rsplit_once(':').unwrap().1.to_owned();
    for endpoint in [
        "https://other.example/hook".to_owned(),
        format!("http://localhost:{port}"),
        format!("http://127.0.0.2:{port}"),
        format!("{}/hooked", region.hook.0.address),
        format!("{own}/../x"),
        "http://127.0.0.1:1/hook".to_owned(),
        "http://169.254.169.254/latest".to_owned(),
        "http://[::ffff:10.0.0.1]/hook".to_owned(),
        "http://2130706433/hook".to_owned(),
        "http://user:pass@127.0.0.1/hook".to_owned(),
        own.replace("http://", "http://user:pass@"),
        own.replace("http://", "http://user@"),
        format!("{own}%2fragnhild"),
        format!("{own}/..%2F..%2fx"),
        format!("{own}/x%5Cy"),
        "ftp://127.0.0.1/hook".to_owned(),
    ] {
        let body = wanted(&endpoint, "new-reading", Some(&region.patient));
        let reply = region.asks(&region.gp(), &body).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{endpoint}");
        assert_eq!(
            issues(&reply.json),
            ["value @ Subscription.channel.endpoint"],
            "{endpoint}"
        );
    }
    let below = wanted(
        &format!("{own}/ragnhild"),
        "new-reading",
        Some(&region.patient),
    );
    assert_eq!(
        region.asks(&region.gp(), &below).await.status,
        StatusCode::CREATED
    );
    // The same address in another notation is the same address.
    let decimal = own.replace("127.0.0.1", "0x7f000001");
    let same = wanted(&decimal, "new-reading", Some(&region.patient));
    assert_eq!(
        region.asks(&region.gp(), &same).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_no_answer_ends_in_time() {
    use testkit::liar::{Liar, Lie};
    let other = Hook::start().await;
    let liar = Liar::start(Lie::Redirects(format!("{}/hook", other.0.address)))
        .await
        .unwrap();
    let subscriber = Subscriber {
        organisation: org(PROVEBAKKEN),
        endpoints: vec![liar.address().parse().unwrap()],
        most: 5,
    };
    let region = Region::with(|config| config.subscribers = vec![subscriber]).await;
    let body = wanted(
        &format!("{}/hook", liar.address()),
        "new-reading",
        Some(&region.patient),
    );
    let path = region.followed(&region.gp(), &body).await;
    assert_eq!((liar.asked(), other.asked()), (1, 0));
    assert_eq!(
        region.stands(&path).await.0,
        "requested",
        "no handshake, not active"
    );
    // An endpoint that talks without end is cut off, and not taken for one that agreed.
    liar.tell(Lie::Endless);
    region.passes(1).await;
    assert_eq!(liar.asked(), 2);
    assert_eq!(region.stands(&path).await.0, "requested");
    liar.tell(Lie::Says("{}".into()));
    region.passes(2).await;
    assert_eq!(region.stands(&path).await.0, "active");
}

#[tokio::test]
async fn an_inner_address_is_refused_also_where_it_is_registered_as_the_subscribers_own() {
    let inner = [
        "http://10.0.0.1/hook",
        "http://169.254.169.254/latest",
        "http://[::ffff:10.0.0.1]/hook",
        "http://[fd00::1]/hook",
    ];
    let subscriber = Subscriber {
        organisation: org(PROVEBAKKEN),
        endpoints: inner.map(|one| one.parse().unwrap()).to_vec(),
        most: 5,
    };
    let region = Region::with(|config| config.subscribers = vec![subscriber]).await;
    for endpoint in inner {
        let body = wanted(endpoint, "new-reading", Some(&region.patient));
        let reply = region.asks(&region.gp(), &body).await;
        assert_eq!(
            reply.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{endpoint}: {}",
            reply.json
        );
        assert_eq!(
            issues(&reply.json),
            ["value @ Subscription.channel.endpoint"],
            "{endpoint}"
        );
    }
}

#[tokio::test]
async fn when_the_agreement_is_in_force_again_heartbeats_come_again_though_nothing_happens() {
    let region = Region::new().await;
    region.follows_with_heartbeats().await;
    region.service.clock.advance(120 * SECOND);
    region.vouched(Standing::Active, Standing::Suspended);
    region.tells().await;
    region.passes(120).await;
    assert_eq!(region.hook.heard(), []);
    region.vouched(Standing::Active, Standing::Active);
    region.passes(120).await;
    assert_eq!(region.hook.heard(), [("heartbeat".to_owned(), vec![])]);
}
