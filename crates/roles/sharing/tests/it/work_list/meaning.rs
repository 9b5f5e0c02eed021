//! What a row says when not all that it rests on is known: nobody is green by that.

use super::*;
use crate::assess::{other, with_yellow_from};
use fhir::plan::Zone;

async fn row(service: &Service, of: &Patient) -> Row {
    let all = list(service, &[]).await.rows;
    let mut own = all.into_iter().filter(|row| row.patient == identifier(of));
    own.next().unwrap()
}

#[tokio::test]
async fn the_newest_reading_that_waits_to_be_judged_leaves_nobody_green() {
    let service = ward().await;
    let green = others(1)[0];
    let before = row(&service, green).await;
    assert_eq!((before.zone, before.unread), (Some(Zone::Green), false));
    let red = reading(green, "new", "2026-11-21T09:30:00+01:00", "80");
    service.created(&red).await;
    let waiting = row(&service, green).await;
    assert_eq!((waiting.zone, waiting.unread), (Some(Zone::Green), true));
    service.state.assess_waiting().await.unwrap();
    let judged = row(&service, green).await;
    assert_eq!((judged.zone, judged.unread), (Some(Zone::Red), false));
}

#[tokio::test]
async fn a_plan_in_force_that_does_not_read_leaves_nobody_green() {
    let service = ward().await;
    let green = others(1)[0];
    let mut broken = plan(green, "2", ("2026-11-21T09:00:00+01:00", None), "84");
    broken["identifier"][0]["value"] = json!("broken");
    broken["contained"][0]["target"][0]["detailRange"]["low"]["code"] = json!("/min");
    service.created(&broken).await;
    service.state.assess_waiting().await.unwrap();
    assert!(row(&service, green).await.unread);
    assert!(!row(&service, ragnhild()).await.unread);
}

/// Nobody converts it, and it hides nothing: neither on the list nor from who is to be called.
#[tokio::test]
async fn a_temperature_in_fahrenheit_hides_none_in_celsius() {
    let service = assessing().await;
    let plan = plan(ragnhild(), "1", ("2026-11-01", None), "84");
    let plan = with_yellow_from(&plan, "body-temperature", "38.1", "Cel");
    service.created(&plan).await;
    let celsius = other("c", "2026-11-21T09:00:00+01:00", "8310-5", "Cel", "39.2");
    let mut fahrenheit = other("f", "2026-11-21T09:10:00+01:00", "8310-5", "[degF]", "98.6");
    fahrenheit["valueQuantity"]["unit"] = json!("°F");
    for body in [&celsius, &fahrenheit] {
        service.created(body).await;
    }
    assert_eq!(alerts(&service).await.len(), 1);
    let row = row(&service, ragnhild()).await;
    assert_eq!((row.zone, row.unread), (Some(Zone::Yellow), true));
}

fn ledger(service: &Service) -> rusqlite::Connection {
    rusqlite::Connection::open(walkdir(service.folder.path())).unwrap()
}

/// Whose plan is over takes no place among those who are followed up.
#[tokio::test]
async fn when_the_last_plan_ends_she_is_followed_up_no_more() {
    let service = assessing().await;
    let entries = || {
        let count = "SELECT count(*) FROM ledger WHERE ledger = 'alert'";
        let count = ledger(&service).query_row(count, [], |row| row.get::<_, i64>(0));
        count.unwrap()
    };
    let end = "2026-11-30T12:00:00+01:00";
    let over = plan(ragnhild(), "1", ("2026-11-01", Some(end)), "84");
    service.created(&over).await;
    service.state.assess_waiting().await.unwrap();
    assert_eq!(list(&service, &[]).await.total, 1);
    service.clock.set(end.parse().unwrap());
    service.state.watch_due().await.unwrap();
    assert_eq!(entries(), 1, "it holds still");
    service.clock.advance(1_000_000);
    service.state.watch_due().await.unwrap();
    assert_eq!(entries(), 0);
    assert_eq!(list(&service, &[]).await.total, 0);
}

/// Ragnhild's alert, and the green one's entries damaged: hers is watched, and the other's row says that it is not whole until what is
/// damaged was written anew.
#[tokio::test]
async fn a_damaged_entry_keeps_nobody_elses_alert_from_being_watched_and_is_written_anew() {
    let service = ward().await;
    let green = others(1)[0];
    let hers = service.state.store().patient_id(&identifier(green)).await;
    let hers = hers.unwrap().unwrap();
    put(&service, green, "red", 0, "80").await;
    service.state.assess_waiting().await.unwrap();
    assert_eq!(row(&service, green).await.alerts.len(), 1);
    let spoil =
        "UPDATE ledger SET value = x'FF' WHERE ledger = 'alert' AND substr(key, 1, 16) = ?1";
    let spoilt = ledger(&service).execute(spoil, [hers.uuid().as_bytes().as_slice()]);
    assert_eq!(spoilt.unwrap(), 2, "that she is followed up, and her alert");
    let before = row(&service, green).await;
    assert!(before.unread && before.alerts.is_empty());
    assert!(!row(&service, ragnhild()).await.unread);

    service.clock.advance(16 * 60_000_000);
    service.state.watch_due().await.unwrap();
    for who in [ragnhild(), green] {
        let row = row(&service, who).await;
        let levels: Vec<_> = row.alerts.iter().map(|one| one.level).collect();
        assert_eq!((levels, row.unread), (vec![1], false), "{}", who.id);
    }
    // What is read of her goes on as before.
    let more = reading(green, "more", "2026-11-21T10:10:00+01:00", "79");
    service.created(&more).await;
    service.state.assess_waiting().await.unwrap();
    assert_eq!(row(&service, green).await.alerts.len(), 1);
}
