//! An alert that comes back to who handed it over.

use super::*;

/// The clinic has accepted it, the municipality has heard so, and the clinic hands it back.
pub async fn handed_back() -> (Side, Side) {
    let (fjellvik, proveheim) = offered().await;
    fjellvik.tells(&proveheim).await;
    let accepted = proveheim.step(&ola(), "accept", &[]).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
    assert_eq!(proveheim.tells(&fjellvik).await, 1);
    fjellvik.service.clock.advance(MINUTE);
    let form = [("to", FJELLVIK), ("note", "Hjem igjen")];
    // Ids run alike at both services here, so that the first of an offer may be taken.
    let mut handed = proveheim.step(&ola(), "hand-over", &form).await;
    if handed.status == StatusCode::CONFLICT {
        handed = proveheim.step(&ola(), "hand-over", &form).await;
    }
    assert_eq!(handed.status, StatusCode::OK, "{}", handed.json);
    assert_eq!(proveheim.tells(&fjellvik).await, 1);
    (fjellvik, proveheim)
}

/// What an alert rests on, as it is named there.
pub async fn rests_on(side: &Side, task: &Value) -> Vec<String> {
    let owner = side.service.record_system(side.orgnr);
    let path = format!("/{}", task["focus"]["reference"].as_str().unwrap());
    let found = side.service.get(&owner, &path).await.json;
    let implicated = found["implicated"].as_array().unwrap().iter();
    let reference = |one: &Value| one["reference"].as_str().unwrap().to_owned();
    implicated.map(reference).collect()
}

#[tokio::test]
async fn what_comes_back_names_the_readings_that_it_was_raised_by() {
    let (fjellvik, proveheim) = handed_back().await;
    let all = crate::alert::alerts(&fjellvik.service).await;
    let [raised, back] = &all[..] else {
        panic!("two Tasks: {all:?}")
    };
    assert_eq!(back["businessStatus"]["coding"][0]["code"], "offered");
    let named = rests_on(&fjellvik, raised).await;
    assert!(
        named.iter().all(|one| one.starts_with("Observation/")),
        "{named:?}"
    );
    assert_eq!(rests_on(&fjellvik, back).await, named);
    // And between the two they were named where they are.
    let there = rests_on(&proveheim, &proveheim.task().await).await;
    let whole = |one: &String| format!("{}/{one}", fjellvik.service.base);
    assert_eq!(there, named.iter().map(whole).collect::<Vec<_>>());
}
