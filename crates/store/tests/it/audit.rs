//! The audit trail: receipts, look-up, and each way of bending it.

use store::{AuditFaultKind, AuditFilter, AuditHead, Change, Put, StoreError};

use crate::world::*;

async fn trail(world: &World, count: usize) -> AuditHead {
    let store = world.store();
    for n in 0..count {
        let about = if n % 2 == 0 { GURI } else { HENRIK };
        let change = Change {
            audit: Some(record(&format!("request-{n}"), Some(about), world.now())),
            ..Change::default()
        };
        let receipt = store.commit(change).await.unwrap().receipt.unwrap();
        assert_eq!(receipt.sequence(), n as u64 + 1);
        world.pass(1);
    }
    let head = store.audit_head().await.unwrap();
    let report = store.verify_audit(Some(head)).await.unwrap();
    assert!(report.is_sound());
    assert_eq!((report.records, report.head), (count as u64, head));
    assert_eq!(report.agreed, Some(head.sequence));
    head
}

async fn faults(world: &World, kept: Option<AuditHead>) -> Vec<(u64, AuditFaultKind)> {
    let report = world.store().verify_audit(kept).await.unwrap();
    assert_eq!(report.is_sound(), report.faults.is_empty());
    report
        .faults
        .iter()
        .map(|fault| (fault.sequence, fault.what))
        .collect()
}

fn bend(world: &World, sql: &str) {
    rusqlite::Connection::open(world.path().join("store.db"))
        .unwrap()
        .execute_batch(sql)
        .unwrap();
}

#[tokio::test]
async fn a_receipt_is_given_for_what_is_durable_and_the_trail_is_found_again() {
    let world = World::new();
    let head = trail(&world, 6).await;
    let store = world.store();
    assert_eq!(store.audit_head().await.unwrap(), head);
    let hers = store
        .audit_search(AuditFilter {
            patient: Some(person(GURI)),
            limit: 10,
            ..AuditFilter::default()
        })
        .await
        .unwrap();
    assert_eq!(
        hers.iter().map(|entry| entry.sequence).collect::<Vec<_>>(),
        [5, 3, 1]
    );
    assert!(
        hers.iter()
            .all(|entry| entry.record.patient == Some(person(GURI)))
    );
    let page = AuditFilter {
        patient: Some(person(GURI)),
        before: Some(5),
        limit: 1,
        ..AuditFilter::default()
    };
    assert_eq!(store.audit_search(page).await.unwrap()[0].sequence, 3);
    let one = AuditFilter {
        request_id: Some("request-4".to_owned()),
        limit: 10,
        ..AuditFilter::default()
    };
    assert_eq!(store.audit_search(one).await.unwrap()[0].sequence, 5);
    let both = AuditFilter {
        request_id: Some("request-4".to_owned()),
        patient: Some(person(HENRIK)),
        limit: 10,
        ..AuditFilter::default()
    };
    assert!(store.audit_search(both).await.unwrap().is_empty());
    assert_eq!(
        store
            .audit_search(AuditFilter {
                limit: 100,
                ..AuditFilter::default()
            })
            .await
            .unwrap()
            .len(),
        6
    );
    let since = AuditFilter {
        from: Some(fhir::time::Instant((START + 3) * 1_000_000)),
        limit: 100,
        ..AuditFilter::default()
    };
    assert_eq!(store.audit_search(since).await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_was_written_is_filled_into_the_record() {
    let world = World::new();
    let store = world.store();
    let mut change = Pulse::default().create();
    change.audit = Some(record("w", Some(GURI), world.now()));
    change.audit_fill = true;
    let committed = store.commit(change).await.unwrap();
    let receipt = committed.receipt.unwrap();
    let entry = &store
        .audit_search(AuditFilter {
            limit: 1,
            ..AuditFilter::default()
        })
        .await
        .unwrap()[0];
    assert_eq!(entry.hash, receipt.hash());
    let disclosed: Vec<_> = entry
        .record
        .disclosed
        .iter()
        .map(|one| (one.resource.as_str(), one.id.clone(), one.version))
        .collect();
    assert_eq!(
        disclosed,
        [
            ("Patient", committed.enrolled[0].id.to_string(), 1),
            ("Observation", committed.puts[0].id.to_string(), 1)
        ]
    );
}

#[tokio::test]
async fn a_withdrawal_that_names_no_patient_is_in_that_patients_trail() {
    let world = World::new();
    let store = world.store();
    let id = store.commit(Pulse::default().create()).await.unwrap().puts[0].id;
    let withdraw = Put::Withdraw {
        id,
        resource_type: fhir::resource::ResourceType::OBSERVATION,
        expect_version: None,
    };
    let change = Change {
        puts: vec![withdraw],
        audit: Some(record("w", None, world.now())),
        audit_fill: true,
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    let hers = AuditFilter {
        patient: Some(person(GURI)),
        limit: 10,
        ..AuditFilter::default()
    };
    let found = store.audit_search(hers).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (
            found[0].record.disclosed[0].id.clone(),
            found[0].record.disclosed[0].version
        ),
        (id.to_string(), 2)
    );
}

#[tokio::test]
async fn a_change_is_found_where_it_is() {
    let world = World::new();
    let head = trail(&world, 10).await;
    bend(&world, "UPDATE audit SET made = made - 1 WHERE seq = 4");
    assert_eq!(
        faults(&world, Some(head)).await,
        [(4, AuditFaultKind::Changed)]
    );
    bend(
        &world,
        "UPDATE audit SET made = made + 1 WHERE seq = 4; UPDATE audit SET body = (SELECT body FROM audit WHERE seq = 9) WHERE seq = 2",
    );
    assert_eq!(
        faults(&world, Some(head)).await,
        [(2, AuditFaultKind::Changed)]
    );
    bend(&world, "UPDATE audit SET body = x'' WHERE seq = 2");
    assert_eq!(faults(&world, None).await, [(2, AuditFaultKind::Changed)]);
    bend(&world, "UPDATE audit SET prev = zeroblob(32) WHERE seq = 6");
    assert_eq!(
        faults(&world, None).await,
        [
            (2, AuditFaultKind::Changed),
            (6, AuditFaultKind::Unlinked),
            (6, AuditFaultKind::Changed)
        ]
    );
}

#[tokio::test]
async fn removal_and_reordering_are_found_where_they_are() {
    let world = World::new();
    let head = trail(&world, 10).await;
    bend(&world, "DELETE FROM audit WHERE seq = 5");
    assert_eq!(
        faults(&world, Some(head)).await,
        [(6, AuditFaultKind::Missing)]
    );
    let world = World::new();
    let head = trail(&world, 10).await;
    bend(
        &world,
        "UPDATE audit SET seq = 99 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 7; UPDATE audit SET seq = 7 WHERE seq = 99",
    );
    let found: Vec<_> = faults(&world, Some(head))
        .await
        .iter()
        .map(|fault| fault.0)
        .collect();
    assert_eq!(found, [3, 3, 4, 7, 7, 8]);
    // Removed, and the rest moved up with their links mended: every later hash is another.
    let world = World::new();
    let head = trail(&world, 10).await;
    bend(
        &world,
        "DELETE FROM audit WHERE seq = 1; UPDATE audit SET seq = seq - 1; UPDATE audit SET prev = zeroblob(32) WHERE seq = 1",
    );
    let found = faults(&world, Some(head)).await;
    assert!(
        found.contains(&(1, AuditFaultKind::Changed)) && found.contains(&(9, AuditFaultKind::Cut)),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_cut_at_the_end_is_found_by_the_count_and_by_a_kept_head() {
    let world = World::new();
    let head = trail(&world, 10).await;
    bend(&world, "DELETE FROM audit WHERE seq > 8");
    assert_eq!(faults(&world, None).await, [(8, AuditFaultKind::Cut)]);
    bend(&world, "UPDATE store SET audited = 8");
    assert_eq!(faults(&world, None).await, [(8, AuditFaultKind::Misplaced)]);
    bend(
        &world,
        "DELETE FROM audit_patient WHERE seq > 8; DELETE FROM audit_request WHERE seq > 8",
    );
    assert_eq!(
        faults(&world, None).await,
        [],
        "whoever owns the file can hide a cut from the file alone"
    );
    assert_eq!(faults(&world, Some(head)).await, [(8, AuditFaultKind::Cut)]);
    // And going on writing does not heal it.
    let store = world.store();
    for n in 0..3 {
        store
            .commit(Change {
                audit: Some(record(&format!("later-{n}"), None, world.now())),
                ..Change::default()
            })
            .await
            .unwrap();
    }
    drop(store);
    assert_eq!(
        faults(&world, Some(head)).await,
        [(10, AuditFaultKind::OtherThanKept)]
    );
}

#[tokio::test]
async fn after_a_plain_cut_the_trail_goes_on_behind_the_gap() {
    let world = World::new();
    trail(&world, 5).await;
    bend(&world, "DELETE FROM audit WHERE seq = 5");
    {
        let store = world.store();
        let change = Change {
            audit: Some(record("later", None, world.now())),
            ..Change::default()
        };
        assert_eq!(
            store
                .commit(change)
                .await
                .unwrap()
                .receipt
                .unwrap()
                .sequence(),
            6
        );
    }
    assert_eq!(faults(&world, None).await, [(6, AuditFaultKind::Missing)]);
}

#[tokio::test]
async fn no_receipt_without_the_rest_of_the_change() {
    let world = World::new();
    let store = world.store();
    let mut change = Change {
        audit: Some(record("x", None, world.now())),
        ..Change::default()
    };
    let replay = trust::Replay {
        hash: [1; 32],
        expires: fhir::time::Instant(world.now().0 + 1_000_000),
    };
    change.replays = vec![replay, replay];
    assert_eq!(
        store.commit(change).await.unwrap_err(),
        StoreError::Replayed
    );
    assert_eq!(store.audit_head().await.unwrap().sequence, 0);
}

#[tokio::test]
async fn a_record_cut_to_another_length_is_a_fault_with_a_place_not_an_error_without_one() {
    let world = World::new();
    let head = trail(&world, 4).await;
    bend(&world, "UPDATE audit SET hash = x'00' WHERE seq = 2");
    assert!(
        faults(&world, Some(head))
            .await
            .contains(&(2, AuditFaultKind::Changed))
    );
    let world = World::new();
    let head = trail(&world, 4).await;
    bend(&world, "UPDATE audit SET prev = x'' WHERE seq = 3");
    assert!(
        faults(&world, Some(head))
            .await
            .contains(&(3, AuditFaultKind::Changed))
    );
}

#[tokio::test]
async fn a_trail_without_a_record_agrees_with_the_head_that_was_kept_of_it() {
    let world = World::new();
    let head = world.store().audit_head().await.unwrap();
    assert_eq!(head.sequence, 0);
    assert_eq!(faults(&world, Some(head)).await, []);
    let later = AuditHead {
        sequence: 1,
        ..head
    };
    assert_eq!(
        faults(&world, Some(later)).await,
        [(0, AuditFaultKind::Cut)]
    );
}

#[tokio::test]
async fn a_broken_trail_names_a_hundred_places_and_no_more() {
    let world = World::new();
    trail(&world, 101).await;
    bend(&world, "UPDATE audit SET made = made + 1");
    let found = faults(&world, None).await;
    assert_eq!(found.len(), 100);
    assert_eq!(found.last(), Some(&(100, AuditFaultKind::Changed)));
}

#[tokio::test]
async fn an_access_hidden_from_its_patient_is_found() {
    let world = World::new();
    let head = trail(&world, 4).await;
    // The record stands, but the patient's own list leads to it no more, or to another's.
    bend(&world, "DELETE FROM audit_patient WHERE seq = 3");
    assert_eq!(
        faults(&world, Some(head)).await,
        [(3, AuditFaultKind::Changed)]
    );
    let world = World::new();
    let head = trail(&world, 4).await;
    bend(
        &world,
        "UPDATE audit_patient SET mac = (SELECT mac FROM audit_patient WHERE seq = 2) WHERE seq = 3",
    );
    assert_eq!(
        faults(&world, Some(head)).await,
        [(3, AuditFaultKind::Changed)]
    );
}

#[tokio::test]
async fn an_access_shown_to_somebody_it_was_not_about_is_found() {
    for list in [
        "INSERT INTO audit_patient(mac, seq) SELECT mac, 3 FROM audit_patient WHERE seq = 2",
        "INSERT INTO audit_request(request, seq) SELECT request, 3 FROM audit_request WHERE seq = 2",
    ] {
        let world = World::new();
        let head = trail(&world, 4).await;
        bend(&world, list);
        let misplaced = AuditFaultKind::Misplaced;
        assert_eq!(faults(&world, Some(head)).await, [(4, misplaced)], "{list}");
    }
}

#[tokio::test]
async fn a_record_put_in_before_the_first_is_a_fault_with_a_place() {
    let world = World::new();
    let head = trail(&world, 3).await;
    bend(
        &world,
        "INSERT INTO audit(seq, made, prev, hash, body) SELECT -1, made, prev, hash, body FROM audit WHERE seq = 1",
    );
    assert_eq!(
        faults(&world, Some(head)).await,
        [(0, AuditFaultKind::Unlinked)]
    );
}

#[tokio::test]
async fn heads_kept_along_the_way_say_from_where_a_trail_was_rewritten() {
    let world = World::new();
    let mut kept = Vec::new();
    for _ in 0..4 {
        let store = world.store();
        let change = Change {
            audit: Some(record("as it was", Some(GURI), world.now())),
            ..Change::default()
        };
        store.commit(change).await.unwrap();
        world.pass(1);
        kept.push(store.audit_head().await.unwrap());
    }
    // Rewritten from the third record on with every hash and link in order, as the machine's owner can.
    bend(
        &world,
        "DELETE FROM audit WHERE seq > 2; DELETE FROM audit_request WHERE seq > 2;
         DELETE FROM audit_patient WHERE seq > 2; UPDATE store SET audited = 2",
    );
    let store = world.store();
    for n in 0..3 {
        let change = Change {
            audit: Some(record(&format!("invented-{n}"), None, world.now())),
            ..Change::default()
        };
        store.commit(change).await.unwrap();
    }
    assert!(store.verify_audit(None).await.unwrap().is_sound());
    kept.reverse();
    let report = store.verify_audit(kept).await.unwrap();
    assert_eq!(report.agreed, Some(2));
    let found: Vec<_> = report
        .faults
        .iter()
        .map(|one| (one.sequence, one.what))
        .collect();
    let other = AuditFaultKind::OtherThanKept;
    assert_eq!(found, [(3, other), (4, other)]);
}

#[tokio::test]
async fn a_list_that_shows_several_patients_is_in_the_trail_of_each() {
    let world = World::new();
    let store = world.store();
    let about = |patient| record("list", patient, world.now());
    let change = Change {
        audit: Some(about(None)),
        also: vec![about(Some(GURI)), about(Some(HENRIK))],
        ..Change::default()
    };
    let receipt = store.commit(change).await.unwrap().receipt.unwrap();
    assert_eq!(receipt.sequence(), 1);
    for (patient, sequence) in [(GURI, 2), (HENRIK, 3)] {
        let hers = AuditFilter {
            patient: Some(person(patient)),
            limit: 10,
            ..AuditFilter::default()
        };
        let found = store.audit_search(hers).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].sequence, sequence);
    }
    let head = store.audit_head().await.unwrap();
    assert_eq!(head.sequence, 3);
    assert!(store.verify_audit(Some(head)).await.unwrap().is_sound());
}

#[tokio::test]
async fn a_record_that_names_its_patient_keeps_her_whatever_was_written() {
    let world = World::new();
    let store = world.store();
    let mut change = Pulse::default().create();
    change.audit = Some(record("w", Some(HENRIK), world.now()));
    change.audit_fill = true;
    store.commit(change).await.unwrap();
    // Where nothing is to be filled in, nothing is.
    let mut change = Pulse {
        id: "another",
        ..Pulse::default()
    }
    .create();
    change.audit = Some(record("w", None, world.now()));
    store.commit(change).await.unwrap();
    let all = AuditFilter {
        limit: 10,
        ..AuditFilter::default()
    };
    let found = store.audit_search(all).await.unwrap();
    let patients: Vec<_> = found.iter().map(|one| one.record.patient.clone()).collect();
    assert_eq!(patients, [None, Some(person(HENRIK))]);
    assert!(found[0].record.disclosed.is_empty());
}
