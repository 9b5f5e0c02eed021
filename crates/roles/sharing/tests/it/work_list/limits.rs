//! What the list says where not everything reads or time runs out: nobody is absent without a word, and nobody keeps another from it.

use super::*;
use fhir::plan::Zone;

const SECOND: i64 = 1_000_000;

/// The list, where so many microseconds pass before a look at the clock, so many looks from when it is asked for; `None` where nobody looks so
/// often.
async fn slowly(service: &Service, looks: usize, micros: i64) -> Option<WorkList> {
    service.clock.jump_after(looks, micros);
    let list = list(service, &[]).await;
    (!service.clock.jumps_no_more()).then_some(list)
}

/// A row without what is its caller's own.
fn bare(row: &Row) -> Row {
    Row {
        tag: String::new(),
        ..row.clone()
    }
}

fn of<'a>(list: &'a WorkList, who: &Patient) -> Option<&'a Row> {
    let mut rows = list.rows.iter();
    rows.find(|row| row.patient == identifier(who))
}

#[tokio::test]
async fn wherever_time_runs_out_nobody_is_absent_without_a_word() {
    let service = ward().await;
    let whole: Vec<Row> = list(&service, &[]).await.rows.iter().map(bare).collect();
    // Beyond the time for rows, and beyond that for deciding who may be shown.
    for (micros, decides) in [(7 * SECOND, true), (9 * SECOND, false)] {
        let (mut less, mut undecided) = (0, 0);
        for looks in 0.. {
            let before = listed_records(&service).await.len();
            let Some(list) = slowly(&service, looks, micros).await else {
                break;
            };
            assert_eq!(list.rows.len() + list.undecided, whole.len(), "{looks}");
            assert_eq!(
                (list.total, list.order.len()),
                (list.rows.len(), list.rows.len())
            );
            for row in &list.rows {
                assert!(row.unread || whole.contains(&bare(row)), "{looks}");
            }
            // What was not read stands above what is known to be well.
            let mut well = list
                .rows
                .iter()
                .skip_while(|row| row.zone != Some(Zone::Green) || row.unread);
            assert!(well.all(|row| !row.unread), "{looks}");
            // Who is shown, by her number alone or more, has it on record.
            let records = listed_records(&service).await.len() - before;
            assert_eq!(records, 1 + list.rows.len());
            less += list.rows.iter().filter(|row| row.unread).count();
            undecided += list.undecided;
        }
        assert!(less > 0, "{micros}");
        assert_eq!(undecided > 0, !decides, "{micros}");
    }
    // A list that was late is no other list's fault.
    let again: Vec<Row> = list(&service, &[]).await.rows.iter().map(bare).collect();
    assert_eq!(again, whole);
}

#[tokio::test]
async fn of_whom_a_week_is_too_much_the_last_day_is_read() {
    let service = ward().await;
    let [green, ..] = others(1)[..] else {
        panic!("one other")
    };
    for n in 0..140 {
        let (day, minute) = (15 + n / 25, n % 25);
        let when = format!("2026-11-{day}T07:{minute:02}:00+01:00");
        service
            .created(&reading(green, &format!("w{n}"), &when, "80"))
            .await;
    }
    service.state.assess_waiting().await.unwrap();
    let known = list(&service, &[]).await;
    let of_week = of(&known, green).unwrap();
    assert_eq!((of_week.trend, of_week.unread), (Trend::Better, false));
    // Two seconds are what one question of a store may take.
    let mut by_day = 0;
    for looks in 0.. {
        let Some(list) = slowly(&service, looks, 3 * SECOND).await else {
            break;
        };
        assert_eq!((list.rows.len(), list.undecided), (3, 0));
        let row = of(&list, green).unwrap();
        let others = list
            .rows
            .iter()
            .filter(|row| row.patient != identifier(green));
        assert_eq!(others.filter(|row| row.unread).count(), 0, "{looks}");
        if row.unread {
            assert_eq!((row.zone, row.newest), (of_week.zone, of_week.newest));
            assert_eq!(row.trend, Trend::Unknown, "the days before were not read");
            by_day += 1;
        }
    }
    assert!(by_day > 0);
}

#[tokio::test]
async fn whose_wishes_do_not_read_is_left_out_and_counted_and_keeps_nobody_else_from_it() {
    let service = ward().await;
    let who = without_patient(&service, WORK_LIST_SCOPE);
    let patient = crate::wishes::patient(&service);
    // Something that does not close the list: another organisation.
    let actor = crate::wishes::actor(fhir::systems::ORGNR, PROVEHEIM);
    let made = service
        .post(&patient, "/Consent", &crate::wishes::consent(actor))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json);
    let whole = list_of(&service, &who, &[]).await;
    assert_eq!((whole.total, whole.undecided), (3, 0));
    let connection = rusqlite::Connection::open(walkdir(service.folder.path())).unwrap();
    let spoilt = connection.execute("UPDATE ledger SET value = x'FF' WHERE ledger = 'wish'", []);
    assert_eq!(spoilt.unwrap(), 1);
    let before = listed_records(&service).await.len();
    let list = list_of(&service, &who, &[("known", &tags(&whole))]).await;
    assert_eq!((list.total, list.undecided), (2, 1));
    assert!(of(&list, ragnhild()).is_none());
    assert_eq!(
        (list.order.as_slice(), list.gone.as_slice()),
        (&whole.order[1..], &whole.order[..1])
    );
    // Nothing was said of her, and nothing new of the others.
    let mut records = listed_records(&service).await;
    let new: Vec<_> = records.drain(..records.len() - before).collect();
    assert_eq!(new.len(), 1);
    assert!(new[0].patient.is_none());
    // The same as long as it stands.
    let again = list_of(&service, &who, &[("known", &list.tag)]).await;
    assert_eq!((again.same, again.undecided), (true, 1));
}
