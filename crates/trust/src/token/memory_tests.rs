//! What a memory of verified tokens finds, and what it must have forgotten.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

use super::super::tests::{AUDIENCE, ISSUER, NOW, claims, set};
use super::*;
use crate::encoding::sha256;
use crate::keys::SigningKey;
use crate::token::issue;

fn at(seconds: i64) -> Instant {
    Instant::from_seconds(NOW + seconds)
}

/// A token that ends after so many seconds, verified.
fn standing(key: &SigningKey, jti: &str, seconds: i64) -> Arc<Standing> {
    let mut claims = claims(key);
    (claims.jti, claims.exp) = (jti.to_owned(), NOW + seconds);
    let jwt = issue(&claims, key).unwrap();
    Arc::new(Standing::of(&jwt, &set(key), ISSUER, AUDIENCE, at(0)).unwrap())
}

#[test]
fn a_token_is_found_until_it_ends_and_not_before_it_begins() {
    let key = SigningKey::generate().unwrap();
    let (memory, one) = (Memory::default(), standing(&key, "t", 100));
    let hash = one.caller.token_hash;
    assert!(!memory.knows(&hash) && memory.find(&hash, &set(&key), at(0)).is_none());
    memory.keep(one.clone(), at(0));
    // Good from ten seconds before it was issued (ten seconds ago) to ten seconds after its end, as when it is verified.
    for (seconds, found) in [(0, true), (109, true), (-20, true)] {
        assert_eq!(
            memory.find(&hash, &set(&key), at(seconds)).is_some(),
            found,
            "{seconds}"
        );
    }
    assert!(memory.knows(&hash));
    for seconds in [110, -21] {
        memory.keep(one.clone(), at(0));
        assert!(
            memory.find(&hash, &set(&key), at(seconds)).is_none(),
            "{seconds}"
        );
        assert!(!memory.knows(&hash), "forgotten at {seconds}");
    }
    assert!(memory.find(&sha256(b"other"), &set(&key), at(0)).is_none());
}

#[test]
fn a_key_that_is_gone_or_has_another_name_closes_what_it_opened() {
    let key = SigningKey::generate().unwrap();
    let other = SigningKey::generate().unwrap();
    let one = standing(&key, "t", 100);
    let hash = one.caller.token_hash;
    let both = KeySet::of(vec![other.public().clone(), key.public().clone()]).unwrap();
    let renamed = key.named("another").unwrap();
    let taken = other.named(key.kid()).unwrap();
    for (keys, found) in [
        (both, true),
        (set(&other), false),
        (set(&renamed), false),
        (set(&taken), false),
        (KeySet::default(), false),
    ] {
        let memory = Memory::default();
        memory.keep(one.clone(), at(0));
        assert_eq!(memory.find(&hash, &keys, at(0)).is_some(), found);
    }
}

#[test]
fn it_holds_so_many_and_the_one_that_ends_first_makes_room() {
    let key = SigningKey::generate().unwrap();
    let memory = Memory::default();
    let hash_of = |n: u8, last: u8| {
        let mut hash = [last; 32];
        hash[0] = n;
        hash
    };
    // All in one shard, by their first byte.
    let with = |last: u8, seconds: i64| {
        let one = standing(&key, "t", seconds);
        let mut caller = (*one.caller).clone();
        caller.token_hash = hash_of(0, last);
        let mut one = Arc::into_inner(one).unwrap();
        one.caller = Arc::new(caller);
        Arc::new(one)
    };
    let held = || memory.0.iter().map(|shard| shard.lock().unwrap().len());
    for last in 0..MOST as u8 {
        memory.keep(with(last, if last == 7 { 50 } else { 100 }), at(0));
    }
    assert_eq!(held().sum::<usize>(), MOST);
    memory.keep(with(200, 100), at(0));
    assert_eq!(held().sum::<usize>(), MOST);
    assert!(!memory.knows(&hash_of(0, 7)) && memory.knows(&hash_of(0, 200)));
    // Past their end they go first, all at once.
    memory.keep(with(201, 300), at(120));
    assert_eq!(held().sum::<usize>(), 1);
    assert!(memory.knows(&hash_of(0, 201)));
    // Another first byte is another shard.
    assert!(!memory.knows(&hash_of(1, 201)));
}

#[test]
fn an_agreement_that_begins_or_ends_is_seen_on_its_day() {
    let key = SigningKey::generate().unwrap();
    let mut one = Arc::into_inner(standing(&key, "t", 100)).unwrap();
    one.changes = Some(at(30));
    let memory = Memory::default();
    let hash = one.caller.token_hash;
    memory.keep(Arc::new(one), at(0));
    assert!(memory.find(&hash, &set(&key), at(29)).is_some());
    assert!(memory.find(&hash, &set(&key), at(30)).is_none());
}
