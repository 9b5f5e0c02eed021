//! One audit record for a bundle's entries about one patient, in the commit of what they wrote.

use store::{AuditFilter, Change, Conflict, Store, StoreError};
use trust::Category;
use trust::audit::Outcome;

use crate::world::*;

fn entry(world: &World, n: u32, pulse: Pulse<'_>) -> Change {
    let mut change = pulse.create();
    let mut record = record("bundle", Some(pulse.of), world.now());
    record.asked = "Bundle.entry".to_owned();
    change.audit = Some(record);
    change.audit_fill = true;
    change.audit_entry = Some(n);
    change
}

/// The trail of one patient, or of all, oldest first: what was asked, and what was written.
async fn trail(store: &Store, of: Option<&str>) -> Vec<(String, Vec<String>)> {
    let filter = AuditFilter {
        patient: of.map(person),
        limit: 100,
        ..AuditFilter::default()
    };
    let mut found = store.audit_search(filter).await.unwrap();
    found.reverse();
    let written = |record: &trust::audit::Record| {
        let kind = |one: &trust::audit::Disclosed| format!("{}/{}", one.resource, one.version);
        record.disclosed.iter().map(kind).collect()
    };
    let one = |entry: store::AuditEntry| (entry.record.asked.clone(), written(&entry.record));
    found.into_iter().map(one).collect()
}

#[tokio::test]
async fn entries_of_one_patient_share_a_record_and_each_patient_has_one() {
    let world = World::new();
    let store = world.store();
    let pulse = |id, of, value| Pulse {
        id,
        of,
        value,
        ..Pulse::default()
    };
    let sent = [
        pulse("a", GURI, "70"),
        pulse("b", GURI, "71"),
        pulse("c", HENRIK, "72"),
        // Another reading under a known identifier, without marking a correction.
        pulse("a", GURI, "99"),
        pulse("d", GURI, "73"),
    ];
    let changes = sent.into_iter().enumerate();
    let changes = changes
        .map(|(n, pulse)| entry(&world, n as u32, pulse))
        .collect();
    let done = store.commit_all(changes).await;
    let refused = StoreError::Conflict(Conflict::Content {
        existing: done[0].as_ref().unwrap().puts[0].id,
    });
    assert_eq!(done[3].as_ref().err(), Some(&refused));
    let one = |text: &str| text.to_owned();
    let reading = one("Observation/1");
    let guri = (
        one("Bundle.entry[0-1,4]"),
        vec![
            one("Patient/1"),
            reading.clone(),
            reading.clone(),
            reading.clone(),
        ],
    );
    let henrik = (one("Bundle.entry[2]"), vec![one("Patient/1"), reading]);
    assert_eq!(trail(&store, None).await, [guri.clone(), henrik.clone()]);
    assert_eq!(trail(&store, Some(GURI)).await, [guri]);
    assert_eq!(trail(&store, Some(HENRIK)).await, [henrik]);
    // Whoever answers for an entry holds the receipt of the record that tells of it.
    let receipts: Vec<Option<u64>> = done
        .iter()
        .map(|one| {
            one.as_ref()
                .ok()
                .map(|one| one.receipt.as_ref().unwrap().sequence())
        })
        .collect();
    assert_eq!(receipts, [Some(1), Some(1), Some(2), None, Some(1)]);
    assert!(store.verify_audit(None).await.unwrap().is_sound());
}

#[tokio::test]
async fn another_outcome_is_another_record_and_so_is_another_call() {
    let world = World::new();
    let store = world.store();
    let refused = |n| {
        let record = record("bundle", Some(GURI), world.now());
        Change {
            audit: Some(record.failed(Category::Invalid)),
            audit_entry: Some(n),
            ..Change::default()
        }
    };
    let taken = entry(&world, 1, Pulse::default());
    for done in store.commit_all(vec![refused(0), taken, refused(2)]).await {
        assert!(done.unwrap().receipt.is_some());
    }
    for done in store.commit_all(vec![refused(3)]).await {
        assert_eq!(done.unwrap().receipt.unwrap().sequence(), 3);
    }
    let filter = AuditFilter {
        patient: Some(person(GURI)),
        limit: 10,
        ..AuditFilter::default()
    };
    let found = store.audit_search(filter).await.unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|entry| (entry.record.asked.as_str(), &entry.record.outcome))
        .collect();
    let failed = Outcome::Failed {
        category: Category::Invalid,
    };
    assert_eq!(
        told,
        [
            ("code=8867-4[3]", &failed),
            ("Bundle.entry[1]", &Outcome::Allowed),
            ("code=8867-4[0,2]", &failed),
        ]
    );
}
