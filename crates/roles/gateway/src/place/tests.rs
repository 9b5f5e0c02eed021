//! Pages put together give everything once, in order, whatever the sources hold and however small their pages are.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;
use crate::merge::{Route, merge};
use fhir::identity::Identity;
use fhir::ids::PersonNumbers;
use fhir::resource::ResourceType;
use fhir::search::{Query, Via};
use fhir::time::{Range, Zone};
use proptest::prelude::*;

/// One copy: what it is, which content it has, when.
type Seed = (u8, bool, Option<u8>);

/// Times a little apart, on both sides of a whole second, a millisecond and a microsecond.
const TIMES: [i64; 8] = [0, 1, 999, 1_000, 1_001, 999_999, 1_000_000, 7_200_000_000];
const BASE: i64 = 1_700_000_000_000_000;

fn given(source: usize, number: usize, (thing, other, time): Seed) -> Given {
    let id = format!("{source}-{number}");
    let when = time.map(|time| {
        let lo = BASE + TIMES[usize::from(time) % TIMES.len()];
        Range { lo, hi: lo + 1 }
    });
    // A reading's time is part of what it is, as it is where there is no business identifier.
    let key = [
        vec![thing],
        when.map(|when| when.lo.to_be_bytes().to_vec())
            .unwrap_or_default(),
    ]
    .concat();
    Given {
        resource: fhir::resource::ResourceType::OBSERVATION,
        change: None,
        questionnaire: None,
        route: Route {
            orgnr: source.to_string(),
            full_url: id.clone(),
            id,
            version: 1,
            source,
        },
        body: bytes::Bytes::new(),
        identity: Identity {
            key,
            digest: [u8::from(other); 32],
            correction: false,
            business: None,
        },
        named: false,
        local: None,
        when,
        read: bytes::Bytes::new(),
        part: false,
    }
}

/// What a source answers to a question from `place` on: its own pages, in its own order of ties.
fn answer(source: &[Given], place: Place, sort: Sort, page: usize) -> (Vec<Given>, bool) {
    let mut query = Query::all(ResourceType::OBSERVATION);
    if let Some(narrowing) = place.narrowing(sort) {
        let form = [("date".to_owned(), narrowing)];
        query = fhir::search::parse(
            ResourceType::OBSERVATION,
            &form,
            Via::Post,
            &Zone::default(),
            PersonNumbers::Strict,
            fhir::search::Grammar::Shared,
        )
        .unwrap();
    }
    let matches = |copy: &&Given| {
        query
            .dates
            .iter()
            .all(|date| copy.when.is_some_and(|when| date.matches(&when)))
    };
    let mut found: Vec<Given> = source.iter().filter(matches).cloned().collect();
    found.sort_by(|a, b| {
        let at = |one: &Given| one.when.map(|when| when.lo);
        crate::merge::in_time(at(a), at(b), sort).then_with(|| a.route.id.cmp(&b.route.id))
    });
    let mut read = 0;
    loop {
        read = (read + page).min(found.len());
        let more = read < found.len();
        assert!(is_ordered(&found[..read], sort));
        if !more || place.is_enough(&found[..read], Rule::Reading, sort) {
            found.truncate(read);
            return (found, more);
        }
    }
}

fn walk(sources: &[Vec<Given>], sort: Sort, count: usize, page: usize) -> Vec<Merged> {
    let (mut place, mut all) = (Place::Start, Vec::new());
    for _ in 0..200 {
        let answers: Vec<_> = sources
            .iter()
            .map(|source| answer(source, place, sort, page))
            .collect();
        let horizons: Vec<i64> = answers
            .iter()
            .filter(|(_, more)| *more)
            .filter_map(|(given, _)| horizon(given))
            .collect();
        let copies = answers.into_iter().flat_map(|(given, _)| given).collect();
        let merged = merge(copies, Rule::Reading, sort);
        let paper = Paper {
            place,
            sort,
            count,
            horizons: &horizons,
            dated_only: false,
        };
        let cut = cut(merged, &paper);
        assert!(cut.shown.len() <= count);
        all.extend(cut.shown);
        match cut.next {
            Some(next) => {
                let text = serde_json::to_string(&next).unwrap();
                assert_eq!(serde_json::from_str::<Place>(&text).unwrap(), next);
                assert_ne!(next, place, "a page that leads to itself");
                place = next;
            }
            None => return all,
        }
    }
    panic!("the pages never end");
}

proptest! {
    #[test]
    fn pages_lose_nothing_and_double_nothing(
        sources in prop::collection::vec(
            prop::collection::vec((0_u8..6, any::<bool>(), prop::option::weighted(0.8, 0_u8..8)), 0..25), 1..4),
        newest in any::<bool>(),
        count in 1_usize..9,
        page in 1_usize..7,
    ) {
        let sort = if newest { Sort::DateDesc } else { Sort::DateAsc };
        let sources: Vec<Vec<Given>> = sources.iter().enumerate()
            .map(|(source, seeds)| seeds.iter().enumerate().map(|(n, seed)| given(source, n, *seed)).collect())
            .collect();
        let told = |merged: &[Merged]| -> Vec<_> {
            merged.iter().map(|one| (one.at, one.tie, one.disagrees, one.routes.clone())).collect()
        };
        let whole = told(&merge(sources.concat(), Rule::Reading, sort));
        prop_assert_eq!(told(&walk(&sources, sort, count, page)), whole);
    }

    #[test]
    fn a_narrowing_means_exactly_from_there_on(at in -1_000_000_000_i64..1_000_000_000, step in -3_i64..4) {
        for sort in [Sort::DateDesc, Sort::DateAsc] {
            let narrowing = Place::Dated { at: BASE + at, tie: [0; 16] }.narrowing(sort).unwrap();
            let form = [("date".to_owned(), narrowing)];
            let query = fhir::search::parse(ResourceType::OBSERVATION, &form, Via::Post, &Zone::default(), PersonNumbers::Strict, fhir::search::Grammar::Shared).unwrap();
            let lo = BASE + at + step;
            // A long period counts by its beginning, as the order does.
            for hi in [lo + 1, lo + 1_000_000_000] {
                let ahead = if sort == Sort::DateDesc { step <= 0 } else { step >= 0 };
                prop_assert_eq!(query.dates[0].matches(&Range { lo, hi }), ahead);
            }
        }
    }
}

#[test]
fn a_question_that_names_a_date_has_no_page_of_undated_things() {
    let source: Vec<Given> = (0..4)
        .map(|n| {
            given(
                0,
                n,
                (
                    u8::try_from(n).unwrap(),
                    false,
                    Some(u8::try_from(n).unwrap()),
                ),
            )
        })
        .collect();
    let merged = || merge(source.clone(), Rule::Reading, Sort::DateDesc);
    let place = Place::Dated {
        at: BASE + 1_000,
        tie: [0xff; 16],
    };
    let paper = Paper {
        place,
        sort: Sort::DateDesc,
        count: 10,
        horizons: &[],
        dated_only: true,
    };
    assert_eq!(cut(merged(), &paper).next, None);
    let paper = Paper {
        dated_only: false,
        ..paper
    };
    assert_eq!(
        cut(merged(), &paper).next,
        Some(Place::Undated { after: None })
    );
}

#[test]
fn a_page_is_no_longer_than_its_readers_can_take() {
    let large = |n: u8, time: Option<u8>| {
        let mut copy = given(0, usize::from(n), (n, false, time));
        copy.body = bytes::Bytes::from(vec![b' '; PAGE_BYTES / 2]);
        copy
    };
    let source = [
        large(1, Some(1)),
        large(2, Some(2)),
        large(3, Some(3)),
        large(4, None),
        large(5, None),
    ];
    let mut place = Place::Start;
    let mut sizes = Vec::new();
    loop {
        let merged = merge(source.to_vec(), Rule::Reading, Sort::DateDesc);
        let paper = Paper {
            place,
            sort: Sort::DateDesc,
            count: 50,
            horizons: &[],
            dated_only: false,
        };
        let cut = cut(merged, &paper);
        sizes.push(cut.shown.len());
        match cut.next {
            Some(next) => place = next,
            None => break,
        }
    }
    assert_eq!(sizes, [2, 1, 2]);
}
