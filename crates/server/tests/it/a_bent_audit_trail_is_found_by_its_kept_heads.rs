//! Whoever owns the machine can cut an audit trail, or write it anew with every hash in order; the heads that were signed,
//! kept in another folder and witnessed by the anchor show it (threats-and-faults section 11).

use crate::kit::apart::Apart;
use crate::kit::process::{Said, delt};
use crate::kit::reading::Weight;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{Change, Store, Surroundings};
use testkit::feed::Feed;
use testkit::people::Directory;
use trust::Interaction;
use trust::audit::Record;
use trust::keys::SigningKey;

const PARTS: [(&str, &[&str]); 2] = [
    ("anchor", &["anchor"]),
    ("proveheim", &["sharing:proveheim"]),
];

/// One day of the hospital's service: it is written to, and stops.
async fn a_day(region: &Apart, readings: usize) {
    let service = region.start("proveheim").await;
    let patient = &Directory::demo().story_patient().number;
    let feed = Feed::new(
        region.party("epj-proveheim"),
        "proveheim",
        &region.base("sharing:proveheim"),
    );
    for _ in 0..readings {
        let reading = Weight::of(patient);
        feed.create("Observation", reading.json()).await.unwrap();
    }
    assert!(service.stop().await.success());
}

struct Trail {
    store: PathBuf,
    heads: PathBuf,
    config: PathBuf,
}

impl Trail {
    async fn verify(&self, more: &[&str]) -> Said {
        let (store, config) = (self.store.to_str().unwrap(), self.config.to_str().unwrap());
        let known = ["audit", "verify", "--owner", "proveheim", "--store", store];
        delt(&[&known[..], &["--config", config], more].concat()).await
    }

    async fn is_bent(&self, more: &[&str], words: &str) {
        let said = self.verify(more).await;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains(words), "{words}: {said:?}");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => std::fs::copy(entry.path(), to).map(|_| ()).unwrap(),
        }
    }
}

fn put_back(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap();
    copy(from, to);
}

#[tokio::test]
async fn cut_rewritten_and_rolled_back_each_is_found_and_said_where() {
    let region = Apart::new(&PARTS, "").await;
    let trail = Trail {
        store: region.data("proveheim").join("sharing/proveheim"),
        heads: region.folder().join("data/proveheim-heads"),
        config: region.config("proveheim"),
    };
    let aside = |name: &str| region.folder().join("aside").join(name);
    let anchor = region.start("anchor").await;
    a_day(&region, 3).await;
    copy(&trail.store, &aside("first-day"));
    assert!(anchor.stop().await.success());
    copy(&region.data("anchor"), &aside("anchor"));
    let anchor = region.start("anchor").await;
    a_day(&region, 2).await;

    // As it was: every head agrees, and the anchor witnessed them.
    let said = trail.verify(&[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.err.contains("of them witnessed by the anchor"),
        "{said:?}"
    );
    assert!(said.err.contains("the trail is whole"), "{said:?}");
    copy(&trail.store, &aside("whole"));
    copy(&trail.heads, &aside("heads"));

    // The second day is cut off: the store itself is in order.
    put_back(&aside("first-day"), &trail.store);
    let alone = [
        "audit",
        "verify",
        "--owner",
        "proveheim",
        "--store",
        trail.store.to_str().unwrap(),
    ];
    assert_eq!(delt(&alone).await.code, Some(0));
    trail
        .is_bent(&["--offline"], "Cut (records after it are missing)")
        .await;
    // The kept heads are cut with it: the anchor still knows.
    let file = trail.heads.join("proveheim.heads");
    let lines = std::fs::read_to_string(&file).unwrap();
    let first: String = lines
        .lines()
        .take(2)
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&file, first).unwrap();
    assert_eq!(trail.verify(&["--offline"]).await.code, Some(0));
    trail
        .is_bent(&[], "Cut (records after it are missing)")
        .await;
    // Going on from there does not heal it: the anchor refuses, and the service says so.
    a_day(&region, 1).await;
    let log = std::fs::read_to_string(trail.config.with_extension("log")).unwrap();
    assert!(log.contains("it was cut or rewritten"), "{log}");
    trail
        .is_bent(&[], "Cut (records after it are missing)")
        .await;

    // Written anew from the first record to more than there were, and signed with a key of the writer's own.
    put_back(&aside("heads"), &trail.heads);
    std::fs::remove_dir_all(&trail.store).unwrap();
    let head = rewritten(&trail.store, 40).await;
    trail.is_bent(&["--offline"], "OtherThanKept").await;
    trail
        .is_bent(&["--offline"], "the trail agrees with none of them")
        .await;
    let statement = serde_json::json!({
        "iss": "proveheim", "aud": region.base("anchor"), "iat": 1, "owner": "proveheim",
        "sequence": head.sequence, "hash": trust::encoding::base64url(&head.hash),
    });
    let own = SigningKey::generate().unwrap();
    let signed = trust::jws::sign("delt-audit-head+jwt", &statement, &own).unwrap();
    std::fs::write(&file, format!("{signed}\n")).unwrap();
    trail
        .is_bent(&["--offline"], "not signed with a key of the trail's owner")
        .await;

    // The witness is put back to the first day: what it once said is kept elsewhere too.
    put_back(&aside("whole"), &trail.store);
    put_back(&aside("heads"), &trail.heads);
    assert_eq!(trail.verify(&[]).await.code, Some(0));
    assert!(anchor.stop().await.success());
    trail.is_bent(&[], "the anchor could not be asked").await;
    put_back(&aside("anchor"), &region.data("anchor"));
    let anchor = region.start("anchor").await;
    trail.is_bent(&[], "the witness was rolled back").await;
    assert_eq!(trail.verify(&["--offline"]).await.code, Some(0));

    // The anchor is no client: its own heads are kept under a key of their own.
    assert!(anchor.stop().await.success());
    let store = region.data("anchor").join("anchor");
    let config = region.config("anchor");
    let own = [
        "audit",
        "verify",
        "--owner",
        "anchor",
        "--store",
        store.to_str().unwrap(),
    ];
    let said = delt(&[&own[..], &["--config", config.to_str().unwrap()]].concat()).await;
    // Its store went back a day, its heads did not.
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("OtherThanKept") || said.err.contains("goes back"),
        "{said:?}"
    );
}

/// A trail that was never lived.
async fn rewritten(folder: &Path, records: u64) -> store::AuditHead {
    let surroundings = Surroundings {
        clock: Arc::new(testkit::clients::now),
        ids: Arc::new(uuid::Uuid::new_v4),
    };
    let store = Store::open(folder, "proveheim", surroundings).unwrap();
    for _ in 0..records {
        let record = Record::new(
            testkit::clients::now(),
            uuid::Uuid::new_v4(),
            Interaction::Search,
            "as its writer wants it to have been",
        );
        let change = Change {
            audit: Some(record),
            ..Change::default()
        };
        store.commit(change).await.unwrap();
    }
    assert!(store.verify_audit(None).await.unwrap().is_sound());
    store.audit_head().await.unwrap()
}
