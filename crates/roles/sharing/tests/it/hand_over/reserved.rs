//! What the patient has set elsewhere, and what is not known of it, hold an offer back.

use super::*;
use testkit::privacy_component::PrivacyComponent;
use trust::wish::Closed;

#[tokio::test]
async fn nothing_is_offered_while_it_is_not_known_whether_she_has_reserved() {
    let (clock, issuer) = morning().await;
    let component = PrivacyComponent::start(issuer.clone()).await.unwrap();
    // A reservation alone may be set elsewhere: it closes nothing to the municipality's own.
    let (fjellvik, proveheim) = both_by(&clock, &issuer, true, |config, folder| {
        let mut source = crate::pvk::source(&component, &issuer, folder);
        source
            .definitions
            .retain(|one| one.closed == Closed::Sharing);
        config.pvk = Some(source);
    })
    .await;
    owned(&fjellvik).await;
    let form = [("to", PROVEHEIM), ("note", "Respirasjon 24, våken")];
    let step = async || fjellvik.step(&kari(), "hand-over", &form).await.status;
    // Nothing was heard from there yet.
    assert_eq!(step().await, StatusCode::FORBIDDEN);
    assert_eq!(fjellvik.state().await, "owned");
    let known = async || fjellvik.service.state.replicate().await.unwrap();
    known().await;
    assert_eq!(step().await, StatusCode::OK);
    // What is known grows too old while the offer waits: it waits on, neither sent nor given up.
    clock.advance(11 * MINUTE);
    assert_eq!(fjellvik.tells(&proveheim).await, 0);
    assert_eq!(
        (
            fjellvik.state().await.as_str(),
            proveheim.state().await.as_str()
        ),
        ("handing-over", "none")
    );
    assert_eq!(fjellvik.given_up(&proveheim).await, []);
    known().await;
    clock.advance(2 * MINUTE);
    assert_eq!(fjellvik.tells(&proveheim).await, 1);
    assert_eq!(proveheim.state().await, "offered");
    // Offered again, and she has reserved herself meanwhile.
    let back = fjellvik
        .step(&kari(), "own", &[("note", "Venter ikke")])
        .await;
    assert_eq!(back.status, StatusCode::OK, "{}", back.json);
    assert_eq!(fjellvik.tells(&proveheim).await, 1, "the recall");
    assert_eq!(step().await, StatusCode::OK);
    component.set(crate::pvk::RESERVED, &ragnhild().number, true);
    known().await;
    assert_eq!(fjellvik.tells(&proveheim).await, 0);
    assert_eq!(fjellvik.state().await, "owned");
    assert_eq!(proveheim.states().await, ["\"declined\""]);
    assert_eq!(step().await, StatusCode::FORBIDDEN);
}
