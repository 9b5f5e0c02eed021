//! What stands when the receiver falls between its acceptance and the word about it.

use super::*;

#[tokio::test]
async fn who_accepted_and_fell_before_saying_so_has_it_and_says_so_when_it_returns() {
    let (fjellvik, mut proveheim) = offered().await;
    fjellvik.tells(&proveheim).await;
    let accepted = proveheim.step(&ola(), "accept", &[]).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
    proveheim.falls().await;
    // The municipality has not heard: it is the nurse's, and she is called.
    fjellvik.service.clock.advance(16 * MINUTE);
    assert_eq!(fjellvik.service.state.watch_due().await.unwrap(), 1);
    let waiting = fjellvik.task().await;
    assert_eq!(fjellvik.state().await, "handing-over");
    assert!(
        waiting.to_string().contains("alert-escalation"),
        "{waiting}"
    );
    assert_eq!(fjellvik.tells(&proveheim).await, 0);

    let proveheim = proveheim.restarted().await;
    assert_eq!(proveheim.state().await, "owned", "it was durable");
    assert_eq!(proveheim.tells(&fjellvik).await, 1);
    assert_eq!(proveheim.tells(&fjellvik).await, 0, "once");
    assert_eq!(fjellvik.states().await, ["\"handed-over\""]);
    assert_eq!(proveheim.states().await, ["\"owned\""]);
    let (author, text) = fjellvik.last_note().await;
    assert_eq!(author, "Ola Prøve, Prøveheim Diakonale Sykehus");
    assert_eq!(text, "Tatt imot");
}

#[tokio::test]
async fn where_it_does_not_return_the_alert_is_the_nurses_and_is_closed_by_her() {
    let (fjellvik, mut proveheim) = offered().await;
    fjellvik.tells(&proveheim).await;
    let accepted = proveheim.step(&ola(), "accept", &[]).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
    proveheim.falls().await;
    let silent = fjellvik.step(&kari(), "own", &[]).await;
    assert_eq!(issues(&silent.json), ["required @ note"]);
    for (step, note, state) in [
        ("own", "De svarer ikke", "owned"),
        ("resolve", "Innlagt et annet sted", "resolved"),
    ] {
        let taken = fjellvik.step(&kari(), step, &[("note", note)]).await;
        assert_eq!(taken.status, StatusCode::OK, "{}", taken.json);
        assert_eq!(fjellvik.state().await, state);
    }
    assert_eq!(fjellvik.tells(&proveheim).await, 0);
    // It returns after all, hears that it was closed, and nobody believes that it is theirs.
    let proveheim = proveheim.restarted().await;
    fjellvik.service.clock.advance(2 * MINUTE);
    proveheim.tells(&fjellvik).await;
    fjellvik.tells(&proveheim).await;
    assert_eq!(fjellvik.states().await, ["\"resolved\""]);
    assert_eq!(proveheim.states().await, ["\"declined\""]);
}
