//! The stores of a region that has stopped: whose they are, and that their audit trails are whole.

use super::process::delt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{AuditFilter, Store, Surroundings};
use testkit::people::Directory;
use trust::audit::Record;

/// The story's municipality's own gateway, from the folder of the stores.
pub const OWN_GATEWAY: &str = "../stores-fjellvik/gateway";

/// Every store of a demo's data folder with its owner.
pub fn all(data: &Path) -> Vec<(PathBuf, String)> {
    let stores = data.join("stores");
    let mut found: Vec<(PathBuf, String)> = ["anchor", "catalogue", "hub", "gateway"]
        .iter()
        .map(|role| (stores.join(role), (*role).to_owned()))
        .collect();
    // A locator keeps pointers under its own name; a gateway one more store for each organisation that looked up.
    found.push((stores.join("locator"), "locator".to_owned()));
    let own = stores.join(OWN_GATEWAY);
    for gateway in [stores.join("gateway"), own.clone()] {
        let organisations = folders(&gateway).into_iter();
        found.extend(organisations.filter(|(_, name)| name.bytes().all(|b| b.is_ascii_digit())));
    }
    found.push((own, "gateway".to_owned()));
    found.extend(folders(&stores.join("sharing")));
    let orgnr = |name: String| Directory::demo().orgnr(&name).to_owned();
    found.extend(
        folders(&stores.join("record-systems"))
            .into_iter()
            .map(|(path, name)| (path.join("store"), orgnr(name))),
    );
    found
}

fn folders(parent: &Path) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(parent)
        .unwrap()
        .map(|entry| entry.unwrap());
    entries
        .filter(|e| e.path().is_dir())
        .map(|e| (e.path(), e.file_name().into_string().unwrap()))
        .collect()
}

/// `delt audit verify` of every store finds its trail whole.
pub async fn all_trails_are_whole(data: &Path) {
    let stores = all(data);
    assert!(stores.len() >= 13, "{stores:?}");
    for (path, owner) in stores {
        let said = delt(&[
            "audit",
            "verify",
            "--store",
            path.to_str().unwrap(),
            "--owner",
            &owner,
        ])
        .await;
        assert_eq!(said.code, Some(0), "{owner}: {}", said.err);
    }
}

/// What one store's trail holds of a request.
pub async fn records(data: &Path, folder: &str, owner: &str, request_id: &str) -> Vec<Record> {
    let filter = AuditFilter {
        request_id: Some(request_id.to_owned()),
        limit: 100,
        ..AuditFilter::default()
    };
    found(data, folder, owner, filter).await
}

/// What one store's trail holds of a decision, among its newest thousand records.
pub async fn decided(data: &Path, folder: &str, owner: &str, decision: &str) -> Vec<Record> {
    let filter = AuditFilter {
        limit: 1000,
        ..AuditFilter::default()
    };
    let all = found(data, folder, owner, filter).await.into_iter();
    all.filter(|one| {
        let reference = one.decision_ref.as_ref();
        reference.is_some_and(|one| one.id == decision)
    })
    .collect()
}

async fn found(data: &Path, folder: &str, owner: &str, filter: AuditFilter) -> Vec<Record> {
    let surroundings = Surroundings {
        clock: Arc::new(testkit::clients::now),
        ids: Arc::new(uuid::Uuid::new_v4),
    };
    let store = Store::open(&data.join("stores").join(folder), owner, surroundings).unwrap();
    store
        .audit_search(filter)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.record)
        .collect()
}
