//! What `delt audit verify` says of a trail, and when it calls it whole.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use crate::heads::world::{OWNER, World};

/// Three records; nobody has the store open.
async fn world() -> (World, AuditHead) {
    let mut world = World::new().await;
    let head = world.written(3).await;
    world.close();
    (world, head)
}

fn asked(world: &World, noted: Option<AuditHead>, config: Option<PathBuf>) -> Command {
    Command::Verify {
        store: world.store_folder(),
        owner: OWNER.to_owned(),
        head: noted.map(|head| serde_json::to_string(&head).unwrap()),
        config,
        kept: None,
        keys: None,
        offline: false,
    }
}

/// The region's configuration as a file.
fn written(world: &World) -> Option<PathBuf> {
    let path = world.folder.path().join("delt.toml");
    std::fs::write(&path, toml::to_string(&world.config).unwrap()).unwrap();
    Some(path)
}

#[tokio::test]
async fn a_whole_trail_is_called_whole_with_its_end() {
    let (world, head) = world().await;
    let found = verify(asked(&world, None, None)).await.unwrap();
    assert_eq!(found.head, head);
    assert_eq!(found.words, ["3 records, the trail is whole"]);
    assert!(found.is_whole);
    let code = run(asked(&world, None, None)).await.unwrap();
    assert_eq!(code, ExitCode::SUCCESS);
}

#[tokio::test]
async fn a_head_that_was_noted_shows_a_trail_that_was_cut_or_is_another() {
    let (world, head) = world().await;
    let found = verify(asked(&world, Some(head), None)).await.unwrap();
    let compared = "compared with 1 kept heads, the anchor was not asked";
    let agreed = "up to record 3 the trail is what it was when its head was kept";
    let whole = "3 records, the trail is whole";
    assert_eq!(found.words, [compared, agreed, whole]);
    assert!(found.is_whole);
    let none = "the trail agrees with none of them";
    let not_whole = "3 records, the trail is NOT whole";
    for (head, fault) in [
        (
            AuditHead {
                sequence: 9,
                ..head
            },
            "record 3: Cut (records after it are missing)",
        ),
        (
            AuditHead {
                sequence: 2,
                ..head
            },
            "record 2: OtherThanKept (it is another record than the one whose head was kept)",
        ),
    ] {
        let found = verify(asked(&world, Some(head), None)).await.unwrap();
        assert_eq!(found.words, [fault, compared, none, not_whole]);
        assert!(!found.is_whole);
        let code = run(asked(&world, Some(head), None)).await.unwrap();
        assert_eq!(code, ExitCode::from(1));
    }
}

#[tokio::test]
async fn kept_and_witnessed_heads_are_counted_and_what_is_wrong_with_them_is_wrong_with_the_trail()
{
    let mut world = World::new().await;
    world.written(1).await;
    world.keeper().finish().await;
    world.close();
    let config = written(&world);
    let found = verify(asked(&world, None, config.clone())).await.unwrap();
    let compared = "compared with 2 kept heads, 1 of them witnessed by the anchor";
    let agreed = "up to record 1 the trail is what it was when its head was kept";
    assert_eq!(
        found.words,
        [compared, agreed, "1 records, the trail is whole"]
    );
    assert!(found.is_whole);
    world.keep_line("not a head");
    world.witness.asked.lock().unwrap().clear();
    let found = verify(asked(&world, None, config)).await.unwrap();
    let fault = "kept head, line 3: is no signed head";
    let not_whole = "1 records, the trail is NOT whole";
    assert_eq!(found.words, [fault, compared, agreed, not_whole]);
    assert!(!found.is_whole, "the trail itself is sound");
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_said_and_not_called_whole() {
    let (world, _) = world().await;
    let nowhere = Command::Verify {
        store: world.folder.path().join("nowhere"),
        owner: OWNER.to_owned(),
        head: None,
        config: None,
        kept: None,
        keys: None,
        offline: false,
    };
    let Err(error) = verify(nowhere).await else {
        panic!("there is no store");
    };
    assert!(
        error.to_string().contains("there is no store at"),
        "{error}"
    );
    let mut no_head = asked(&world, None, None);
    let Command::Verify { head, .. } = &mut no_head;
    *head = Some("no head".to_owned());
    assert!(verify(no_head).await.is_err());
    let absent = Some(world.folder.path().join("absent.toml"));
    assert!(verify(asked(&world, None, absent)).await.is_err());
}

#[test]
fn each_kind_of_fault_has_words_of_its_own() {
    use AuditFaultKind::*;
    for (kind, words) in [
        (Changed, "was changed"),
        (Unlinked, "does not follow"),
        (Missing, "before it are missing"),
        (Cut, "after it are missing"),
        (OtherThanKept, "another record"),
        (Misplaced, "list of a patient or a request"),
    ] {
        assert!(meaning(kind).contains(words), "{kind:?}");
    }
}
