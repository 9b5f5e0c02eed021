//! Which series a patient has is told under a permit only.

use fhir::resource::ResourceType;

use crate::world::*;

#[tokio::test]
async fn coding_sets_of_one_patient_each_once_and_only_where_the_permit_opens_them() {
    let world = World::new();
    let store = world.store();
    for (id, of, loinc) in [
        ("1", GURI, "8867-4"),
        ("2", GURI, "8867-4"),
        ("3", GURI, "59408-5"),
        ("4", HENRIK, "29463-7"),
    ] {
        let pulse = Pulse {
            id,
            of,
            loinc,
            value: "72",
            ..Pulse::default()
        };
        store.commit(pulse.create()).await.unwrap();
    }
    let observation = ResourceType::OBSERVATION;
    let of = async |permit, resource, number| -> Vec<String> {
        let sets = store
            .codings(&permit, resource, &person(number))
            .await
            .unwrap();
        sets.iter()
            .map(|set| {
                let codes: Vec<&str> = set.iter().map(|coding| coding.code.as_str()).collect();
                codes.join("+")
            })
            .collect()
    };
    assert_eq!(
        of(own(GURI), observation, GURI).await,
        ["59408-5", "8867-4"]
    );
    assert_eq!(of(whole(), observation, HENRIK).await, ["29463-7"]);
    // Another's, another type, or nobody: nothing.
    assert!(of(own(GURI), observation, HENRIK).await.is_empty());
    assert!(of(whole(), ResourceType::CARE_PLAN, GURI).await.is_empty());
    assert!(of(whole(), observation, "13888410278").await.is_empty());
}
