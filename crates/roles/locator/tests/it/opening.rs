//! Opening: what is refused at start, and who may call what.

use std::os::unix::fs::PermissionsExt;

use http::{Method, StatusCode};
use locator::{KeyError, OpenError, ROUTES};
use wire::route::Access;

use crate::world::{BASE, FJELLVIK, World, config, house, org};

async fn open(
    world: &World,
    change: impl FnOnce(&mut locator::Config),
    folder: &std::path::Path,
) -> Result<(), OpenError> {
    let mut config = config(world.issuer.url());
    change(&mut config);
    locator::open(config, house(folder, &world.clock))
        .await
        .map(|_| ())
}

#[tokio::test]
async fn a_locator_outside_an_agreement_or_with_an_exposed_or_lost_key_does_not_open() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let alone = open(&world, |c| c.members = vec![org(FJELLVIK)], folder.path()).await;
    assert!(matches!(alone, Err(OpenError::Members)));
    let twice = open(
        &world,
        |c| c.holders[0].service = "fjellvik".into(),
        folder.path(),
    )
    .await;
    assert!(matches!(twice, Err(OpenError::Twice(_))));
    assert!(open(&world, |_| {}, folder.path()).await.is_ok());
    let key = folder.path().join("locator/pointer-key");
    let mode =
        |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    assert!(matches!(
        open(&world, |_| {}, folder.path()).await,
        Err(OpenError::Key(KeyError::NotPrivate))
    ));
    mode(0o600);
    assert!(open(&world, |_| {}, folder.path()).await.is_ok());
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(
        open(&world, |_| {}, folder.path()).await,
        Err(OpenError::Key(KeyError::Lost))
    ));
}

#[tokio::test]
async fn every_route_but_its_description_needs_a_token_for_the_locator() {
    let world = World::new().await;
    for row in ROUTES {
        let method = Method::from_bytes(row.method.as_bytes()).unwrap();
        let reply = world.door.knock(method, row.path).send().await;
        if row.access == Access::Public {
            assert_eq!(reply.status, StatusCode::OK);
            assert_eq!(reply.json["servers"][0]["url"], BASE);
            continue;
        }
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{}", row.path);
        let mut elsewhere = world.service_claims(trust::ClientUse::Service, FJELLVIK);
        elsewhere.aud = format!("{BASE}/x");
        let reply = world
            .send(&elsewhere, row.path, &serde_json::json!({}))
            .await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{}", row.path);
        assert!(reply.header("www-authenticate").contains("invalid_token"));
    }
}
