//! Days -8 to 0: the phone was off, the backlog comes, and all is green.

use super::{MISSING, OPEN, READINGS, Story};
use crate::kit::wait::until;

/// At 12:00 the second daily reading in a row is not here. The nurse calls.
pub async fn day_minus_8_nothing_has_come_for_two_days(story: &Story<'_>) {
    story.at(-8, "11:58").await;
    assert!(story.alerts(MISSING, OPEN).await.is_empty());
    story.at(-8, "12:01").await;
    story.alert(MISSING).await;
    story.fjellvik.takes("raised", "own", &[]).await;
    let note = [("note", "Ringte: telefonen har vært av siden søndag.")];
    story.fjellvik.takes("owned", "acknowledge", &note).await;
}

/// Two days are filled, nothing is there twice, and no new alarm is raised.
pub async fn day_minus_7_the_backlog_comes_shuffled_and_doubled(story: &Story<'_>) {
    story.at(-7, "09:10").await;
    let end = story.moment(-7, 0).to_string();
    let two_days = until("the backlog", async || {
        let mut all = story.since(-9, 0, false).await;
        all.retain(|one| {
            one["effectiveDateTime"]
                .as_str()
                .is_some_and(|at| before(at, &end))
        });
        (all.len() >= 4).then_some(all)
    })
    .await;
    assert_eq!(two_days.len(), 4, "saturation and pulse of two days");
    // Judged too, and green.
    let zones = story.zones(-9, 0, 4).await;
    assert!(zones.iter().all(|zone| zone == "green"), "{zones:?}");
    assert!(story.alerts(READINGS, OPEN).await.is_empty());
    let open = story.alert(MISSING).await;
    assert_eq!(crate::kit::side::state(&open), "acknowledged");
    let note = [("note", "Alt har kommet; telefonen er på.")];
    story.fjellvik.takes("acknowledged", "resolve", &note).await;
}

/// Whether one moment is before another, whatever their offsets.
fn before(one: &str, other: &str) -> bool {
    let at = |text: &str| fhir::time::parse_instant(text).unwrap();
    at(one) < at(other)
}

/// Saturation 90, pulse 86, CAT 21.
pub async fn day_0_is_green(story: &Story<'_>) {
    story.at(0, "09:00").await;
    let zones = story.zones(0, 0, 3).await;
    assert!(zones.iter().all(|zone| zone == "green"), "{zones:?}");
    assert!(story.alerts(READINGS, OPEN).await.is_empty());
    assert!(story.alerts(MISSING, OPEN).await.is_empty());
}
