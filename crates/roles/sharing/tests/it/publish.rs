//! A service that publishes a part of what it holds (tilpasse datamengde).

use crate::house::*;
use http::StatusCode;
use store::{Published, Publishing, Share};

/// Saturations of the last 30 days. `NOW` is 2026-11-21T09:00:00Z.
async fn narrow() -> Service {
    Service::with("fjellvik", FJELLVIK, &[], |config| {
        config.publish = Publishing {
            shares: vec![Share {
                kinds: vec![Published::parse("oxygen-saturation").unwrap()],
                back: Some(30 * 86_400_000_000),
                status: Vec::new(),
            }],
        };
    })
    .await
}

#[tokio::test]
async fn others_see_what_is_published_and_the_organisation_sees_all() {
    let service = narrow().await;
    let inside = service
        .created(&reading(ragnhild(), "in", "2026-10-22T09:00:00Z", "91"))
        .await;
    let outside = service
        .created(&reading(ragnhild(), "out", "2026-10-22T08:59:59Z", "92"))
        .await;
    let pulse = service
        .created(&pulse(ragnhild(), "p", "2026-11-20T08:00:00Z"))
        .await;
    for other in [service.physician(ragnhild()), service.citizen(ragnhild())] {
        let reply = service.search(&other, "Observation", &[]).await;
        assert_eq!(found(&reply), [inside.as_str()]);
        assert_eq!(reply.json["total"], 1);
        for (id, expected) in [(&inside, 200), (&outside, 404), (&pulse, 404)] {
            let read = service.get(&other, &format!("/Observation/{id}")).await;
            assert_eq!(read.status.as_u16(), expected);
        }
    }
    let owner = service.record_system(FJELLVIK);
    assert_eq!(
        found(&service.search(&owner, "Observation", &[]).await).len(),
        3
    );
    let read = service
        .get(&owner, &format!("/Observation/{outside}"))
        .await;
    assert_eq!(read.status, StatusCode::OK);
    // What was disclosed, and no more, is on record.
    let disclosed: Vec<_> = service
        .audit()
        .await
        .into_iter()
        .filter(|one| one.record.person.is_some())
        .flat_map(|one| one.record.disclosed)
        .map(|one| one.id)
        .collect();
    assert!(disclosed.iter().all(|id| *id == inside));
}

#[tokio::test]
async fn the_statement_says_what_is_published() {
    let words = |reply: testkit::clients::Reply| {
        reply.json["implementation"]["description"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let narrow = narrow().await;
    let narrow = words(narrow.door.get("/metadata").send().await);
    assert!(
        narrow.contains("publishes measurements of oxygen-saturation of the last 30 days."),
        "{narrow}"
    );
    let all = Service::fjellvik().await;
    let all = words(all.door.get("/metadata").send().await);
    assert!(all.contains("publishes everything"), "{all}");
}
