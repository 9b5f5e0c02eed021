//! A list that is green because nothing arrives says so: who is expected and has not been heard.

use super::*;
use crate::assess::assesses;
use crate::copy::{expects_the_hub, home};
use wire::contract::sharing::{Alive, Silent};
use wire::contract::work_list::Quiet;

#[tokio::test]
async fn who_is_silent_stands_on_the_list_and_whoever_has_it_open_is_told() {
    let service = Service::with("fjellvik", FJELLVIK, &[], |config| {
        assesses(config);
        expects_the_hub(config);
    })
    .await;
    follows(&service, ragnhild()).await;
    service.state.assess_waiting().await.unwrap();
    let alive = async |silent: &[Silent]| {
        let hub = service.hub(FJELLVIK);
        let said = Alive {
            silent: silent.to_vec(),
        };
        let reply = service.post(&hub, "/$copy-state", &said.to_json()).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    };
    let the_hub = |since| Quiet {
        name: "Knutepunktet".into(),
        home_system: false,
        since,
    };
    let the_home = Quiet {
        name: "Hjemmesystemet".into(),
        home_system: true,
        since: Some(NOW),
    };
    // One person by one key, whose tokens do not outlive the story.
    let key = ProofKey::generate().unwrap();
    let who = || by_key(&service, &key, &kari(), WORK_LIST_SCOPE);
    let first = list_of(&service, &who(), &[]).await;
    assert_eq!(first.quiet, [the_hub(None)], "never heard");
    alive(&[]).await;
    let again = list_of(&service, &who(), &[("known", &tags(&first))]).await;
    assert!(!again.same && again.quiet.is_empty(), "the line goes");
    assert_eq!((again.total, again.rows.len()), (1, 0));
    let same = list_of(&service, &who(), &[("known", &tags(&again))]).await;
    assert!(same.same);

    service.clock.advance(901 * 1_000_000);
    let late = list_of(&service, &who(), &[("known", &tags(&again))]).await;
    assert!(!late.same, "told though nothing else is new");
    assert_eq!(late.quiet, [the_hub(Some(NOW))]);
    // As long as the silence is the same one, the list is.
    service.clock.advance(60 * 1_000_000);
    let same = list_of(&service, &who(), &[("known", &tags(&late))]).await;
    assert!(same.same);

    alive(&[home(Some(NOW))]).await;
    let last = list_of(&service, &who(), &[("known", &tags(&late))]).await;
    assert_eq!((last.same, &last.quiet[..]), (false, &[the_home][..]));
}
