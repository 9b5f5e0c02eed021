//! Pages of one search answer as of its first page, whatever is written between them; what is purged is gone at once.

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::search::Query;
use proptest::prelude::{ProptestConfig, prop, proptest};
use store::{Change, Cursor, Purge, Put, Store, Stored};
use trust::Permit;

use crate::join::others;
use crate::world::{GURI, HENRIK, Pulse, World, any, checked, own, whole};

const OBSERVATION: ResourceType = ResourceType::OBSERVATION;

/// One write: what to do, to which reading, and the values.
type Write = (usize, usize, u32, u32);

fn reading(n: usize, day: u32, value: u32, status: &str, loinc: &str) -> String {
    let device = format!(
        r#""device":{{"identifier":{{"system":"urn:d","value":"{}"}}}},"status""#,
        value % 4
    );
    Pulse {
        of: if n.is_multiple_of(3) { HENRIK } else { GURI },
        id: &n.to_string(),
        at: &format!("2026-02-{:02}T08:00:00+01:00", 1 + day % 27),
        value: &value.to_string(),
        status,
        loinc,
    }
    .json()
    .replacen("\"status\"", &device, 1)
}

struct Writer {
    ids: Vec<LogicalId>,
    gone: Vec<LogicalId>,
}

impl Writer {
    async fn write(&mut self, store: &Store, (what, which, day, value): Write) {
        let n = self.ids.len();
        let put = match what {
            0 if n > 0 => {
                let id = self.ids[which % n];
                if self.gone.contains(&id) {
                    return;
                }
                self.gone.push(id);
                Put::Withdraw {
                    id,
                    resource_type: OBSERVATION,
                    expect_version: None,
                }
            }
            // A correction: another value, perhaps another time and another code, so another place in the tables.
            1..=3 if n > 0 => {
                let at = which % n;
                if self.gone.contains(&self.ids[at]) {
                    return;
                }
                let loinc = ["8867-4", "8889-8"][day as usize % 2];
                // Sometimes under another identifier.
                let name = if value.is_multiple_of(3) { "c" } else { "" };
                let body = reading(at, day, 50 + value, "amended", loinc).replacen(
                    &format!(r#""value":"{at}""#),
                    &format!(r#""value":"{name}{at}""#),
                    1,
                );
                Put::Update {
                    id: self.ids[at],
                    expect_version: None,
                    resource: checked(&body),
                    written_by: None,
                }
            }
            _ => Put::Create {
                resource: checked(&reading(n, day, 50 + value, "final", "8867-4")),
                written_by: None,
                enrol: true,
            },
        };
        let created = matches!(put, Put::Create { .. });
        let change = Change {
            puts: vec![put],
            ..Change::default()
        };
        let done = store.commit(change).await.unwrap();
        if created {
            self.ids.push(done.puts[0].id);
        }
    }
}

fn told(page: &[Stored]) -> Vec<(LogicalId, u64, String)> {
    page.iter()
        .map(|one| {
            let body = String::from_utf8(one.body.to_vec()).unwrap();
            (one.id, one.version, body)
        })
        .collect()
}

async fn ask(store: &Store, permit: &Permit, query: &Query, after: Option<Cursor>) -> store::Page {
    store
        .gather(permit, others(permit), query, after)
        .await
        .unwrap()
        .page
}

const FORMS: &[&[(&str, &str)]] = &[
    &[],
    &[("_sort", "date")],
    &[("code", "8867-4")],
    &[("date", "ge2026-02-10"), ("_total", "accurate")],
    &[("status", "final")],
    &[("value-quantity", "gt70"), ("_total", "accurate")],
    &[("_sort", "-value-quantity")],
    &[
        ("_sort", "status,-date"),
        ("subject:Patient.gender:missing", "true"),
    ],
    &[("_has:Observation:derived-from:status:missing", "true")],
    &[("identifier", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15")],
    &[("identifier", "urn:home|3,c3,urn:home|c4,5,6,c6,9,12")],
    &[("device:identifier", "urn:d|1"), ("_total", "accurate")],
    &[("device:identifier", "0,2"), ("_sort", "-value-quantity")],
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn pages_together_are_the_answer_as_of_the_first(
        before in prop::collection::vec((0_usize..6, 0_usize..40, 0_u32..27, 0_u32..40), 10..40),
        between in prop::collection::vec((0_usize..5, 0_usize..40, 0_u32..27, 0_u32..40), 30),
        form in prop::sample::select(FORMS),
        count in 1_usize..5,
        burst in 0_usize..4,
        all in prop::bool::ANY,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let store = world.store();
            let mut writer = Writer { ids: Vec::new(), gone: Vec::new() };
            for write in before {
                writer.write(&store, write).await;
            }
            let permit = if all { whole() } else { own(GURI) };
            let mut query = any(OBSERVATION, form);
            query.count = 200;
            let whole = ask(&store, &permit, &query, None).await;
            assert!(whole.next.is_none());
            let expected = told(&whole.matches);
            query.count = count as u32;
            let mut page = ask(&store, &permit, &query, None).await;
            let total = page.total;
            let (mut found, mut between) = (told(&page.matches), between.into_iter());
            while let Some(next) = page.next {
                for write in between.by_ref().take(burst) {
                    writer.write(&store, write).await;
                }
                page = ask(&store, &permit, &query, Some(next)).await;
                found.extend(told(&page.matches));
                assert_eq!(page.total, total, "every page tells what the first counted");
            }
            assert_eq!(found, expected, "{form:?}");
            if form.contains(&("_total", "accurate")) {
                assert_eq!(total, Some(expected.len() as u64));
            }
        });
    }
}

#[tokio::test]
async fn a_purge_wins_over_a_snapshot() {
    let world = World::new();
    let store = world.store();
    let mut writer = Writer {
        ids: Vec::new(),
        gone: Vec::new(),
    };
    // Readings 1, 2, 4, 5, 7, 8 are Guri's, one a day.
    for n in 0..9 {
        writer.write(&store, (9, 0, n, n)).await;
    }
    let query = any(OBSERVATION, &[("_count", "2"), ("_sort", "date")]);
    let first = ask(&store, &own(GURI), &query, None).await;
    // Corrected, so that the old version is in history; then purged, in all its versions.
    writer.write(&store, (1, 4, 20, 5)).await;
    let purge = Change {
        purge: Some(Purge::Resource {
            resource_type: OBSERVATION,
            id: writer.ids[4],
        }),
        ..Change::default()
    };
    store.commit(purge).await.unwrap();
    let second = ask(&store, &own(GURI), &query, first.next).await;
    let ids: Vec<_> = second.matches.iter().map(|one| one.id).collect();
    assert_eq!(ids, [writer.ids[5], writer.ids[7]]);
}
