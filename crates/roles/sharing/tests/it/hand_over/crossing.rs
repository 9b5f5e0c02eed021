//! Words about one alert that cross, get lost or come late: whose it is in the end, and that nobody else believes it is theirs.

use super::*;

#[tokio::test]
async fn what_is_taken_back_before_it_arrives_is_never_offered() {
    let (fjellvik, mut proveheim) = offered().await;
    let back = fjellvik
        .step(&kari(), "own", &[("note", "Venter ikke")])
        .await;
    assert_eq!(back.status, StatusCode::OK, "{}", back.json);
    // The recall meets a failure and is told again; what was never offered there is no error.
    proveheim
        .answers_once(StatusCode::SERVICE_UNAVAILABLE)
        .await;
    assert_eq!(fjellvik.tells(&proveheim).await, 1);
    fjellvik.service.clock.advance(2 * MINUTE);
    assert_eq!(fjellvik.tells(&proveheim).await, 1);
    assert_eq!(fjellvik.given_up(&proveheim).await, []);
    assert_eq!(
        (
            fjellvik.state().await.as_str(),
            proveheim.state().await.as_str()
        ),
        ("owned", "none")
    );
}

#[tokio::test]
async fn an_offer_whose_answer_was_lost_is_taken_back_where_it_was_heard() {
    // By its owner, or because the patient has closed it meanwhile.
    for closes in [false, true] {
        let (fjellvik, mut proveheim) = offered().await;
        proveheim.loses_one_answer().await;
        assert_eq!(fjellvik.tells(&proveheim).await, 0);
        assert_eq!(proveheim.state().await, "offered");
        if closes {
            let actor = crate::wishes::actor(fhir::systems::ORGNR, PROVEHEIM);
            crate::wishes::closed(&fjellvik.service, actor).await;
        } else {
            let note = [("note", "Venter ikke")];
            let back = fjellvik.step(&kari(), "own", &note).await;
            assert_eq!(back.status, StatusCode::OK, "{}", back.json);
        }
        fjellvik.service.clock.advance(2 * MINUTE);
        fjellvik.tells(&proveheim).await;
        fjellvik.service.clock.advance(2 * MINUTE);
        fjellvik.tells(&proveheim).await;
        assert_eq!(
            (
                fjellvik.state().await.as_str(),
                proveheim.state().await.as_str()
            ),
            ("owned", "declined"),
            "closed: {closes}"
        );
    }
}

#[tokio::test]
async fn who_accepts_first_has_it_whichever_offer_that_was_and_nobody_else() {
    let (fjellvik, proveheim) = offered().await;
    fjellvik.tells(&proveheim).await;
    // Accepted, and before that is heard taken back and offered anew; the second offer is accepted too.
    let accepted = proveheim.step(&ola(), "accept", &[]).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
    let note = [("note", "Venter ikke")];
    fjellvik.step(&kari(), "own", &note).await;
    proveheim.service.clock.advance(MINUTE);
    let form = [("to", PROVEHEIM), ("note", "Igjen")];
    let anew = fjellvik.step(&kari(), "hand-over", &form).await;
    assert_eq!(anew.status, StatusCode::OK, "{}", anew.json);
    fjellvik.tells(&proveheim).await;
    assert_eq!(proveheim.states().await, ["\"offered\"", "\"owned\""]);
    let accepted = proveheim.step(&ola(), "accept", &[]).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
    assert_eq!(
        proveheim.tells(&fjellvik).await,
        1,
        "the first acceptance counts"
    );
    assert_eq!(fjellvik.state().await, "handed-over");
    assert_eq!(proveheim.states().await, ["\"declined\"", "\"owned\""]);
    let given_up = proveheim.given_up(&fjellvik).await;
    assert_eq!(given_up.len(), 1, "{given_up:?}");
    let record = proveheim.service.last_record_of(Interaction::Assess).await;
    assert!(record.asked.contains("does not count"), "{}", record.asked);
    // The second offer's recall finds it ended already.
    assert_eq!(fjellvik.tells(&proveheim).await, 1);
    assert_eq!(proveheim.states().await, ["\"declined\"", "\"owned\""]);
}

#[tokio::test]
async fn what_was_closed_meanwhile_is_not_taken_and_who_accepted_is_told() {
    let (fjellvik, proveheim) = offered().await;
    fjellvik.tells(&proveheim).await;
    let accepted = proveheim.step(&ola(), "accept", &[]).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
    let note = [("note", "Det har gått over")];
    fjellvik.step(&kari(), "own", &note).await;
    let closed = fjellvik.step(&kari(), "resolve", &note).await;
    assert_eq!(closed.status, StatusCode::OK, "{}", closed.json);
    assert_eq!(proveheim.tells(&fjellvik).await, 0);
    assert_eq!(
        (
            fjellvik.state().await.as_str(),
            proveheim.state().await.as_str()
        ),
        ("resolved", "declined")
    );
    let (author, text) = proveheim.last_note().await;
    assert_eq!(author, proveheim.partner().name);
    assert!(text.contains("en annen tok det før"), "{text}");
}

#[tokio::test]
async fn what_was_accepted_is_handed_on_when_its_sender_has_heard_so() {
    let (fjellvik, proveheim) = offered().await;
    fjellvik.tells(&proveheim).await;
    let accepted = proveheim.step(&ola(), "accept", &[]).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
    let form = [("to", FJELLVIK), ("note", "Hjem igjen")];
    let early = proveheim.step(&ola(), "hand-over", &form).await;
    assert_eq!(early.status, StatusCode::CONFLICT, "{}", early.json);
    assert_eq!(proveheim.state().await, "owned");
    assert_eq!(proveheim.tells(&fjellvik).await, 1);
    // Ids run alike at both services here, so that the first of an offer may be taken.
    let mut handed = proveheim.step(&ola(), "hand-over", &form).await;
    if handed.status == StatusCode::CONFLICT {
        handed = proveheim.step(&ola(), "hand-over", &form).await;
    }
    assert_eq!(handed.status, StatusCode::OK, "{}", handed.json);
}
