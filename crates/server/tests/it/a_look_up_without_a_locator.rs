//! An organisation outside the § 9 agreement looks up by choosing from the catalogue, and the receipt says that the locator
//! was not asked (STORY.md, day 12).

use crate::kit::lookup::{Screen, person, receipt, source};
use crate::kit::region;
use testkit::region::Region;
use wire::contract::demo::{DemoPractitioner, Purpose};
use wire::receipt::SourceState;

const FJELLVIK: &str = "310001007";
const SORLIA: &str = "310001422";

/// The emergency clinic's physician at Sørlia.
fn emergency_physician(region: &Region) -> &DemoPractitioner {
    region
        .ready
        .practitioners
        .iter()
        .find(|p| p.orgnr == SORLIA)
        .expect("a physician at Sørlia")
}

async fn screen(region: &Region) -> Screen {
    let gateway = region.gateway();
    Screen::with(region, &gateway, |caller| {
        let mut request = caller.as_practitioner(
            emergency_physician(region),
            region.story_patient().unwrap(),
            &gateway,
        );
        request.purpose = Purpose::Etreat;
        request
    })
    .await
}

#[tokio::test]
async fn organisations_chosen_from_the_catalogue_are_asked_without_the_locator() {
    let region = region::shared().await;
    let person = person(region.story_patient().unwrap());
    let reply = screen(region)
        .await
        .search(
            "Observation",
            &[("patient.identifier", &person), ("organization", FJELLVIK)],
        )
        .await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    let account = receipt(&reply);
    assert_eq!(source(&account, FJELLVIK).state, SourceState::Complete);
    let locator = source(&account, "locator");
    assert_eq!(locator.state, SourceState::NotAsked);
    assert!(locator.reason.is_some());
    assert!(!reply.matches().is_empty());
    // The others who hold something about her were not asked: nobody named them.
    for holder in &region.story_patient().unwrap().holders {
        assert!(
            holder == FJELLVIK || account.sources.iter().all(|s| s.organisation != *holder),
            "{holder} was asked"
        );
    }
}

#[tokio::test]
async fn without_a_choice_only_ones_own_is_asked() {
    let region = region::shared().await;
    let person = person(region.story_patient().unwrap());
    let reply = screen(region)
        .await
        .search("Observation", &[("patient.identifier", &person)])
        .await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    let account = receipt(&reply);
    assert!(account.sources.iter().all(|s| s.organisation != FJELLVIK));
    assert_eq!(source(&account, "locator").state, SourceState::NotAsked);
    assert!(reply.matches().is_empty());
}

#[tokio::test]
async fn a_choice_that_is_no_organisation_is_refused_by_name() {
    let region = region::shared().await;
    let person = person(region.story_patient().unwrap());
    for choice in ["310001008", "fjellvik", "999999999", ""] {
        let reply = screen(region)
            .await
            .search(
                "Observation",
                &[("patient.identifier", &person), ("organization", choice)],
            )
            .await;
        assert_eq!(reply.status, 400, "{choice}: {}", reply.json);
        assert!(
            reply.json.to_string().contains("organization"),
            "{choice}: {}",
            reply.json
        );
    }
}
