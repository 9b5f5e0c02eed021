//! Who is called again, and for what comes late.

use super::*;

/// Red in the morning, looked into; red again at two and at eight: she who has it is called again, and its level rises where she
/// does not come.
#[tokio::test]
async fn a_further_red_on_what_was_looked_into_waits_for_its_owner_again() {
    let service = assessing().await;
    let kari = kari();
    raised(&service).await;
    let task = alerts(&service).await.remove(0);
    step(&service, &kari, (&task, 1), "own", None).await;
    step(&service, &kari, (&task, 2), "acknowledge", None).await;
    let looked: Instant = service.clock.now();
    // A measurement made at once is what she looks into.
    service.clock.advance(20 * MINUTE);
    let now = service.clock.now().to_string();
    let soon = reading(ragnhild(), "soon", &now, "79");
    service.created(&soon).await;
    let joined = alerts(&service).await.remove(0);
    assert_eq!(state(&joined), "acknowledged");
    assert!(joined.get("restriction").is_none(), "{joined}");
    // One of the afternoon is not.
    service.clock.set(looked.plus_micros(6 * 60 * MINUTE));
    let now: Instant = service.clock.now();
    let later = reading(ragnhild(), "later", &now.to_string(), "80");
    service.created(&later).await;
    let all = alerts(&service).await;
    assert_eq!(all.len(), 1);
    assert_eq!(state(&all[0]), "owned");
    assert_eq!(all[0]["owner"]["display"], "Kari Prøve, Fjellvik kommune");
    let until = now.plus_micros(15 * MINUTE);
    assert_eq!(all[0]["restriction"]["period"]["end"], until.to_string());
    service.clock.set(until);
    assert_eq!(service.state.watch_due().await.unwrap(), 1);
    let waiting = alerts(&service).await.remove(0);
    assert!(
        waiting.to_string().contains("alert-escalation"),
        "{waiting}"
    );
}

/// The phone was off, or the service: it is red on the list, and somebody is called.
#[tokio::test]
async fn a_red_that_comes_late_and_is_still_her_newest_raises_an_alert() {
    let service = assessing().await;
    planned(&service).await;
    let measured: Instant = "2026-11-19T08:26:00+01:00".parse().unwrap();
    service.clock.set(measured.plus_micros(25 * 60 * MINUTE));
    let late = reading(ragnhild(), "late", "2026-11-19T08:26:00+01:00", "80");
    service.created(&late).await;
    let all = alerts(&service).await;
    assert_eq!(all.iter().map(state).collect::<Vec<_>>(), ["raised"]);
    // What comes behind it is backlog.
    let behind = reading(ragnhild(), "behind", "2026-11-18T08:26:00+01:00", "79");
    service.created(&behind).await;
    assert_eq!(alerts(&service).await, all);
}

/// A red behind a green called nobody. When the green one is taken back, the red one is the last that is known of her.
#[tokio::test]
async fn what_a_reading_that_is_taken_back_uncovers_calls_somebody_once() {
    let service = assessing().await;
    planned(&service).await;
    let green: Instant = "2026-11-19T09:00:00+01:00".parse().unwrap();
    service.clock.set(green.plus_micros(5 * MINUTE));
    let at = |minutes: i64| green.plus_micros(minutes * MINUTE).to_string();
    let of_spo2 =
        |key: &str, minutes: i64, value: &str| reading(ragnhild(), key, &at(minutes), value);
    let first = service.created(&of_spo2("green", 0, "92")).await;
    let earlier = service.created(&of_spo2("earlier", -20, "91")).await;
    service.created(&of_spo2("red", -10, "79")).await;
    assert!(alerts(&service).await.is_empty(), "behind a newer one");
    // An older one that is taken back uncovers nothing.
    taken_back(&service, &earlier).await;
    assert!(alerts(&service).await.is_empty());
    taken_back(&service, &first).await;
    let all = alerts(&service).await;
    assert_eq!(all.iter().map(state).collect::<Vec<_>>(), ["raised"]);
    assert!(all[0].to_string().contains(r#""code":"red""#), "{}", all[0]);
    // Once: that it is uncovered again adds nothing.
    let later = service.created(&of_spo2("later", 4, "92")).await;
    taken_back(&service, &later).await;
    assert_eq!(alerts(&service).await, all);
}

async fn taken_back(service: &Service, id: &str) {
    let owner = service.record_system(FJELLVIK);
    let place = format!("/Observation/{id}");
    let reply = service.delete(&owner, &place, None).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
}
