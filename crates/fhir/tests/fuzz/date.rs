//! Dates: range, precision, and printing what was read.

use crate::spell::{RANDOM, spell};
use fhir::time::{
    EARLIEST, Instant, LATEST, Range, Zone, parse_date, parse_instant, parse_search_date,
};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;

/// Home, none, and two whose clocks change at midnight or skipped a whole day.
const ZONES: [&str; 4] = ["Europe/Oslo", "UTC", "America/Sao_Paulo", "Pacific/Apia"];

const WORDS: &[&str] = &[
    "2026-07-15",
    "2026-03-29",
    "2026-10-25",
    "2018-11-04",
    "2011-12-30",
    "0001-01-01",
    "9999-12-31",
    "1893-04-01",
    "T",
    "00:00",
    "02:30",
    "23:59:59",
    ":00",
    "Z",
    "+02:00",
    "-14:00",
    "+14:00",
    ".123",
    ".1234567",
    "-",
    "2024-02-29",
    "æ",
    "２",
    " ",
    "0000",
    "60",
    "24",
];

#[test]
fn range() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let text = spell(input, WORDS);
            for zone in ZONES {
                check(&text, &Zone::named(zone).unwrap());
            }
            if let Ok(instant) = parse_instant(&text) {
                let whole = parse_date(&text, &Zone::default()).unwrap();
                assert_eq!(whole.lo, instant.0, "an instant is a date too");
            }
        });
}

fn check(text: &str, zone: &Zone) {
    let strict = parse_date(text, zone);
    let Ok(range) = parse_search_date(text, zone) else {
        assert!(strict.is_err(), "what a resource may say can be searched");
        return;
    };
    if let Ok(strict) = strict {
        assert_eq!(strict, range);
    }
    assert!(range.lo < range.hi, "a range holds a moment");
    assert!(EARLIEST < range.lo && range.hi < LATEST);
    if range.lo >= parse_instant("0001-01-01T00:00:00Z").unwrap().0
        && range.lo < parse_instant("9999-12-31T00:00:00Z").unwrap().0
    {
        let lo = Instant(range.lo);
        assert_eq!(parse_instant(&lo.to_string()), Ok(lo), "printed and read");
    }
    let Some((day, time)) = text.split_once('T') else {
        return calendar(text, range, zone);
    };
    let anchored = time.contains(['Z', '+', '-']);
    let clock = time.split(['Z', '+', '-']).next().unwrap();
    let width = match clock.split_once('.') {
        Some((_, fraction)) => 10_i64.pow(6_u32.saturating_sub(fraction.len() as u32)),
        None if clock.len() > 5 => SECOND,
        None => 60 * SECOND,
    };
    if anchored {
        assert_eq!(range.hi - range.lo, width, "as wide as its last digit");
    } else {
        // A local time that comes twice means both.
        assert!(range.hi - range.lo >= width);
        assert!(
            parse_date(day, zone).unwrap().contains(&range),
            "in its day"
        );
    }
}

/// A year holds its months, a month its days.
fn calendar(text: &str, range: Range, zone: &Zone) {
    let width = range.hi - range.lo;
    match text.len() {
        4 => assert!((364 * 24 * HOUR..368 * 24 * HOUR).contains(&width)),
        7 => {
            assert!((26 * 24 * HOUR..32 * 24 * HOUR).contains(&width));
            assert!(parse_date(&text[..4], zone).unwrap().contains(&range));
        }
        _ => {
            assert!((20 * HOUR..49 * HOUR).contains(&width));
            assert!(parse_date(&text[..7], zone).unwrap().contains(&range));
        }
    }
}
