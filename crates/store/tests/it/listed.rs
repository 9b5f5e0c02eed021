//! What is written has its number in the lists where it belongs by its own commit: 1, 2, … without a gap, killed at any moment, and
//! whatever is taken back before anybody has heard of it. This is how a subscription's events are numbered (decision 0052).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::time::Instant;
use proptest::prelude::{ProptestConfig, any, proptest};
use store::{
    Change, Expect, LedgerWrite, Lists, Options, Put, Store, StoreError, TakenBack, WrittenFate,
};

use crate::killed;
use crate::world::*;

const FOLDER: &str = "DELT_TEST_LISTED_KILLED";
const READINGS: usize = 120;
const ROUNDS: u64 = 10;

/// All that is written, and what is written with an even name.
const ALL: LogicalId = LogicalId(uuid::Uuid::from_u128(1));
const EVEN: LogicalId = LogicalId(uuid::Uuid::from_u128(2));

#[derive(Debug, Default)]
struct Book {
    grown: Mutex<Vec<LogicalId>>,
    heard_of: Mutex<u64>,
}

impl Lists for Book {
    fn wants(&self, _: LogicalId, resource: ResourceType) -> bool {
        resource == ResourceType::OBSERVATION
    }

    fn of(&self, _: LogicalId, _: ResourceType, body: Option<&[u8]>) -> Vec<(LogicalId, u64)> {
        let body = std::str::from_utf8(body.unwrap()).unwrap();
        let even = body.contains(r#""value":"even-"#);
        let lists = [ALL].into_iter().chain(even.then_some(EVEN));
        let heard_of = *self.heard_of.lock().unwrap();
        lists.map(|list| (list, heard_of)).collect()
    }

    fn grown(&self, lists: &[LogicalId], _: Instant) {
        self.grown.lock().unwrap().extend(lists);
    }
}

impl Book {
    fn grown(&self) -> Vec<LogicalId> {
        std::mem::take(&mut *self.grown.lock().unwrap())
    }
}

fn open(world: &World, folder: &Path) -> (Store, Arc<Book>) {
    let book = Arc::new(Book::default());
    let options = Options {
        lists: Some(book.clone()),
        ..Options::default()
    };
    let store = Store::open_with(folder, OWNER, world.surroundings(), options);
    (store.unwrap(), book)
}

fn name(n: usize) -> String {
    format!("{}-{n}", if n.is_multiple_of(2) { "even" } else { "odd" })
}

fn reading(n: usize) -> Change {
    let pulse = Pulse {
        of: [GURI, HENRIK][n % 2],
        id: &name(n),
        ..Pulse::default()
    };
    pulse.create()
}

async fn numbers(store: &Store, list: LogicalId) -> Vec<(u64, LogicalId, WrittenFate)> {
    let listed = store.listed(list, 0, 10_000).await.unwrap();
    let one = |(number, one): &(u64, store::Listed)| (*number, one.written.id, one.written.fate);
    listed.iter().map(one).collect()
}

/// That a list holds just these, numbered without a gap.
async fn holds(store: &Store, list: LogicalId, ids: &[LogicalId]) {
    let held = numbers(store, list).await;
    let places: Vec<u64> = held.iter().map(|(number, ..)| *number).collect();
    assert_eq!(places, (1..=ids.len() as u64).collect::<Vec<_>>());
    let named: Vec<LogicalId> = held.iter().map(|(_, id, _)| *id).collect();
    assert_eq!(named, ids);
}

#[tokio::test]
async fn each_version_is_numbered_by_its_own_commit_and_what_fails_or_changes_nothing_is_not() {
    let world = World::new();
    let (store, book) = open(&world, world.path());
    let done = store.commit(reading(0)).await.unwrap();
    let first = done.puts[0].id;
    // As soon as it is acknowledged it has its numbers, and whoever looks after the lists knows.
    holds(&store, ALL, &[first]).await;
    holds(&store, EVEN, &[first]).await;
    assert_eq!(book.grown(), [ALL, EVEN]);
    // The same again writes nothing; a change that fails writes nothing of what it began.
    store.commit(reading(0)).await.unwrap();
    let failing = Change {
        ledger: vec![LedgerWrite {
            ledger: "t",
            key: Vec::new(),
            value: Some(Vec::new()),
            expect: Expect::Version(7),
        }],
        ..reading(1)
    };
    let failed = store.commit(failing).await;
    assert!(matches!(failed, Err(StoreError::LedgerMismatch { .. })));
    holds(&store, ALL, &[first]).await;
    assert_eq!(book.grown(), []);
    // A group of which one fails: the others' numbers stand next to each other.
    let (a, b) = (reading(3), reading(5));
    let failing = Change {
        versions: vec![(0, 9)],
        ..reading(7)
    };
    let done = store.commit_all(vec![a, failing, b]).await;
    let ids: Vec<_> = done
        .iter()
        .map(|one| one.as_ref().map(|one| one.puts[0].id))
        .collect();
    let [Ok(third), Err(StoreError::Versions(_)), Ok(fifth)] = ids[..] else {
        panic!("{ids:?}")
    };
    holds(&store, ALL, &[first, third, fifth]).await;
    assert_eq!(book.grown(), [ALL, ALL]);
    // A withdrawal belongs where what was withdrawn did.
    let withdraw = Put::Withdraw {
        id: first,
        resource_type: ResourceType::OBSERVATION,
        expect_version: None,
    };
    let change = Change {
        puts: vec![withdraw],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    let fates: Vec<_> = numbers(&store, EVEN).await;
    assert_eq!(
        fates,
        [
            (1, first, WrittenFate::Created),
            (2, first, WrittenFate::Withdrawn)
        ]
    );
    // Forgetting an old one moves nothing; the next is numbered after the newest.
    let change = Change {
        ledger: vec![store::forgotten(EVEN, 1)],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    let tenth = store.commit(reading(10)).await.unwrap().puts[0].id;
    let places: Vec<_> = numbers(&store, EVEN).await;
    assert_eq!(
        places,
        [
            (2, first, WrittenFate::Withdrawn),
            (3, tenth, WrittenFate::Created)
        ]
    );
    // Whatever has become of the list, no number that somebody has heard of is given again.
    *book.heard_of.lock().unwrap() = 7;
    store.commit(reading(12)).await.unwrap();
    assert_eq!(numbers(&store, EVEN).await.pop().unwrap().0, 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// In whatever turns readings come and numbers are taken back that nobody has heard of: the list is what was written without
    /// those, in order and without a gap; of the other list nothing moves.
    #[test]
    fn whatever_is_taken_back_leaves_no_gap(
        turns in proptest::collection::vec((0..5_usize, proptest::collection::vec(any::<bool>(), 0..6), any::<bool>()), 1..12)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let (store, _) = open(&world, world.path());
            let (mut written, mut all, mut even) = (0, Vec::new(), Vec::new());
            let mut told = 0;
            for (more, taken, meanwhile) in turns {
                for _ in 0..more + usize::from(meanwhile) {
                    let done = store.commit(reading(written)).await.unwrap();
                    all.push(done.puts[0].id);
                    if written % 2 == 0 {
                        even.push(done.puts[0].id);
                    }
                    written += 1;
                }
                // Of what waits, the first so many are looked at: some are taken back, and the rest is known from then on.
                let looked_at = taken.len().min(all.len() - told);
                let gone = |place: &usize| taken[*place];
                let numbers: BTreeSet<u64> = (0..looked_at).filter(gone).map(|place| (told + place + 1) as u64).collect();
                let back = TakenBack { list: ALL, numbers: numbers.clone() };
                let change = Change { taken_back: vec![back], ..Change::default() };
                store.commit(change).await.unwrap();
                let stays = |(place, id): (usize, LogicalId)| (!numbers.contains(&(place as u64 + 1))).then_some(id);
                all = all.into_iter().enumerate().filter_map(stays).collect();
                told += looked_at - numbers.len();
                holds(&store, ALL, &all).await;
                holds(&store, EVEN, &even).await;
            }
        });
    }
}

/// Writes in the folder that the environment names; alone, it has nothing to do.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let world = World::new();
    let (store, _) = open(&world, Path::new(&folder));
    killed::ready();
    for n in 0..READINGS {
        store.commit(reading(n)).await.unwrap();
        // Every third is taken back by who looks after the list, in a commit of its own.
        if n % 3 == 2 {
            let newest = numbers(&store, EVEN).await.len() as u64;
            let back = TakenBack {
                list: EVEN,
                numbers: [newest].into(),
            };
            let change = Change {
                taken_back: vec![back],
                ..Change::default()
            };
            store.commit(change).await.unwrap();
        }
    }
    killed::done();
}

#[tokio::test]
async fn killed_at_any_moment_what_is_written_has_its_number_and_nothing_else_has() {
    let world = World::new();
    let fresh = || tempfile::tempdir().unwrap();
    let write_until = |folder: &Path, turns| killed::after("listed::child", FOLDER, folder, turns);
    let turns = write_until(fresh().path(), u64::MAX);
    let mut partly = 0;
    for round in 0..=ROUNDS {
        let folder = fresh();
        write_until(folder.path(), turns / ROUNDS * round);
        let (store, _) = open(&world, folder.path());
        let page = store
            .search(&whole(), &observations(&[("_count", "200")]), None)
            .await
            .unwrap();
        let here: BTreeSet<LogicalId> = page.matches.iter().map(|one| one.id).collect();
        let listed: Vec<LogicalId> = numbers(&store, ALL).await.iter().map(|one| one.1).collect();
        holds(&store, ALL, &listed).await;
        assert_eq!(listed.len(), here.len(), "round {round}");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), here);
        let even: Vec<LogicalId> = numbers(&store, EVEN)
            .await
            .iter()
            .map(|one| one.1)
            .collect();
        holds(&store, EVEN, &even).await;
        partly += usize::from(!here.is_empty() && here.len() < READINGS);
    }
    assert!(partly > 0, "none was killed on its way");
}
