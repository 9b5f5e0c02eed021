//! Ledgers: versions, expectations, order.

use store::{Change, Expect, LedgerWrite, StoreError};

use crate::world::World;

fn write(key: &[u8], value: Option<&[u8]>, expect: Expect) -> Change {
    Change {
        ledger: vec![LedgerWrite {
            ledger: "pointers",
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
            expect,
        }],
        ..Change::default()
    }
}

#[tokio::test]
async fn entries_count_versions_and_refuse_what_was_not_expected() {
    let world = World::new();
    let store = world.store();
    store
        .commit(write(b"a", Some(b"1"), Expect::Absent))
        .await
        .unwrap();
    let taken = store
        .commit(write(b"a", Some(b"2"), Expect::Absent))
        .await
        .unwrap_err();
    assert_eq!(
        taken,
        StoreError::LedgerMismatch {
            ledger: "pointers",
            current: Some(1)
        }
    );
    store
        .commit(write(b"a", Some(b"2"), Expect::Version(1)))
        .await
        .unwrap();
    let held = store.ledger_get("pointers", b"a").await.unwrap().unwrap();
    assert_eq!(
        (held.value.as_slice(), held.version, held.updated),
        (&b"2"[..], 2, world.now())
    );
    assert!(store.ledger_get("other", b"a").await.unwrap().is_none());
    store
        .commit(write(b"a", None, Expect::Version(2)))
        .await
        .unwrap();
    assert!(store.ledger_get("pointers", b"a").await.unwrap().is_none());
    assert!(
        store
            .commit(write(b"a", None, Expect::Version(2)))
            .await
            .is_err()
    );
    store.commit(write(b"a", None, Expect::Any)).await.unwrap();
}

#[tokio::test]
async fn scans_keep_to_their_prefix_and_order_and_go_on_where_they_stopped() {
    let world = World::new();
    let store = world.store();
    for key in [
        &b"p\xff"[..],
        b"p\x00",
        b"p",
        b"o",
        b"q",
        b"p\xff\xff",
        b"pa",
    ] {
        store
            .commit(write(key, Some(key), Expect::Absent))
            .await
            .unwrap();
    }
    let keys = |entries: Vec<store::LedgerEntry>| {
        entries
            .into_iter()
            .map(|entry| entry.key)
            .collect::<Vec<_>>()
    };
    let all = keys(
        store
            .ledger_scan("pointers", b"p", None, 100)
            .await
            .unwrap(),
    );
    assert_eq!(all, [&b"p"[..], b"p\x00", b"pa", b"p\xff", b"p\xff\xff"]);
    let first = keys(store.ledger_scan("pointers", b"p", None, 2).await.unwrap());
    let rest = keys(
        store
            .ledger_scan("pointers", b"p", first.last().map(Vec::as_slice), 100)
            .await
            .unwrap(),
    );
    assert_eq!([first, rest].concat(), all);
    // Page by page it is the same, whatever their size, and no page is empty.
    for limit in 1..=6 {
        let mut pages = store.ledger_pages("pointers", b"p", limit);
        let mut found = Vec::new();
        while let Some(page) = pages.next().await.unwrap() {
            assert!((1..=limit).contains(&page.len()));
            found.extend(keys(page));
        }
        assert_eq!(found, all, "{limit}");
        assert!(pages.next().await.unwrap().is_none());
    }
    let mut nothing = store.ledger_pages("pointers", b"z", 2);
    assert!(nothing.next().await.unwrap().is_none());
    assert_eq!(
        store
            .ledger_scan("pointers", b"", None, 100)
            .await
            .unwrap()
            .len(),
        7
    );
    assert_eq!(
        keys(
            store
                .ledger_scan("pointers", b"p\xff", None, 100)
                .await
                .unwrap()
        )
        .len(),
        2
    );
    assert_ne!(store.keyed("pointer", b"x"), store.keyed("pointer", b"y"));
    assert_ne!(store.keyed("pointer", b"x"), store.keyed("other", b"x"));
}
