//! The anchor's signing keys through a change of keys: a new one is published before it signs, long enough for every
//! service to have fetched it, and an old one stays published until the last token it signed has ended. Which keys there are
//! is read off the list of changes; each lies in a file of its own that only its owner may read.

use crate::signing_key::{self, SigningKeyError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use trust::LEEWAY_SECONDS;
use trust::keys::{KeySet, SigningKey};
use trust::token::LIFETIME_SECONDS;
use wire::contract::demo::KEY_MARK;
use wire::contract::operate::{Action, ChangeDocument, Kind};

/// How long an old key is published after its last signature, in seconds.
const KEPT_SECONDS: i64 = LIFETIME_SECONDS + 2 * LEEWAY_SECONDS;

/// A key that may be needed, and from when it signs.
#[derive(Clone)]
struct Held {
    key: SigningKey,
    from: i64,
}

/// The keys, oldest first; never empty.
pub(crate) struct Ring {
    folder: PathBuf,
    demo: bool,
    held: RwLock<Arc<Vec<Held>>>,
}

impl Ring {
    /// Reads the keys that the list of changes says are needed at `now` (Unix seconds); makes the first at first start.
    ///
    /// # Errors
    /// A file that is missing, exposed or no key; a key of the demo outside it.
    pub(crate) fn open(
        folder: &Path,
        changes: &[ChangeDocument],
        now: i64,
        demo: bool,
    ) -> Result<Ring, SigningKeyError> {
        let published =
            |one: &&ChangeDocument| one.kind == Kind::SigningKey && one.action == Action::Publish;
        let first = match changes.iter().find(published) {
            None => Some(signing_key::load(folder, demo)?),
            Some(_) => signing_key::first(folder)?,
        };
        let mut schedule: Vec<(String, i64)> = Vec::new();
        schedule.extend(first.iter().map(|key| (key.kid().to_owned(), i64::MIN)));
        for change in changes {
            follow(&mut schedule, change);
        }
        let mut held = Vec::new();
        let signs = schedule.iter().rposition(|(_, from)| *from <= now);
        for (at, (kid, from)) in schedule.iter().enumerate() {
            if until(&schedule, at) <= now {
                continue;
            }
            let key = match &first {
                Some(first) if first.kid() == kid => Some(first.clone()),
                _ => signing_key::named(folder, kid)?,
            };
            match key {
                Some(key) => held.push(Held { key, from: *from }),
                // Its last token had ended before the key after it was taken away.
                None if signs.is_some_and(|signs| at < signs) => {}
                None => return Err(SigningKeyError::Missing),
            }
        }
        if held.is_empty() {
            return Err(SigningKeyError::Missing);
        }
        if !demo && held.iter().any(|one| one.key.kid().starts_with(KEY_MARK)) {
            return Err(SigningKeyError::Demo);
        }
        for change in changes.iter().filter(|one| one.action == Action::Remove) {
            signing_key::forget(folder, &change.id)?;
        }
        Ok(Ring {
            folder: folder.to_owned(),
            demo,
            held: RwLock::new(Arc::new(held)),
        })
    }

    fn held(&self) -> Arc<Vec<Held>> {
        let held = self.held.read();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key that signs now.
    pub(crate) fn signer(&self, now: i64) -> SigningKey {
        let held = self.held();
        let current = held.iter().rev().find(|one| one.from <= now);
        // Never empty: opening refuses it, and the last key is not taken away.
        #[allow(clippy::expect_used)]
        let key = current.or(held.first()).expect("there is a key");
        key.key.clone()
    }

    /// The keys that are published now: the one that signs, those that will, those whose tokens have not ended.
    pub(crate) fn public(&self, now: i64) -> KeySet {
        let held = self.held();
        let times = schedule_of(&held);
        let stands = held
            .iter()
            .enumerate()
            .filter(|(at, _)| now < until(&times, *at));
        let keys = stands.map(|(_, one)| one.key.public().clone()).collect();
        KeySet::of(keys).unwrap_or_default()
    }

    /// Is there a key that is published and does not sign yet?
    pub(crate) fn is_changing(&self, now: i64) -> bool {
        self.held().iter().any(|one| now < one.from)
    }

    /// Whether a key is held.
    pub(crate) fn has(&self, kid: &str) -> bool {
        self.held().iter().any(|one| one.key.kid() == kid)
    }

    /// Makes a key in a file. It is nobody's until a change names it.
    ///
    /// # Errors
    /// Input/output, no randomness.
    pub(crate) fn make(&self) -> Result<SigningKey, SigningKeyError> {
        signing_key::another(&self.folder, self.demo)
    }

    /// Takes changes in that are durable.
    pub(crate) fn apply(&self, changes: &[ChangeDocument], now: i64) {
        let keys = |one: &&ChangeDocument| one.kind == Kind::SigningKey;
        let changes: Vec<_> = changes.iter().filter(keys).collect();
        if changes.is_empty() {
            return;
        }
        let mut ring = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let mut schedule = schedule_of(&ring);
        changes.iter().for_each(|one| follow(&mut schedule, one));
        let mut next = Vec::new();
        for (kid, from) in schedule {
            let here = ring.iter().find(|one| one.key.kid() == kid);
            let key = match here {
                Some(one) => Ok(Some(one.key.clone())),
                None => signing_key::named(&self.folder, &kid),
            };
            match key {
                Ok(Some(key)) => next.push(Held { key, from }),
                Ok(None) => tracing::error!("the file of a signing key that was just made is gone"),
                Err(error) => tracing::error!(%error, "a signing key cannot be used"),
            }
        }
        if !next.is_empty() {
            *ring = Arc::new(next);
        }
        drop(ring);
        for one in changes.iter().filter(|one| one.action == Action::Remove) {
            if let Err(error) = signing_key::forget(&self.folder, &one.id) {
                tracing::error!(%error, "the file of a removed key could not be deleted");
            }
        }
        self.sweep(now);
    }

    /// Forgets keys whose last token has ended, with their files.
    pub(crate) fn sweep(&self, now: i64) {
        let mut ring = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let schedule = schedule_of(&ring);
        if (0..schedule.len()).all(|at| now < until(&schedule, at)) {
            return;
        }
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for (at, one) in ring.iter().enumerate() {
            match now < until(&schedule, at) {
                true => kept.push(one.clone()),
                false => gone.push(one.key.kid().to_owned()),
            }
        }
        *ring = Arc::new(kept);
        drop(ring);
        for kid in gone {
            if let Err(error) = signing_key::forget(&self.folder, &kid) {
                tracing::error!(%error, "the file of an old key could not be deleted");
            }
        }
    }
}

fn schedule_of(held: &[Held]) -> Vec<(String, i64)> {
    let one = |held: &Held| (held.key.kid().to_owned(), held.from);
    held.iter().map(one).collect()
}

/// Until when (Unix seconds) the key at a place is published.
fn until(schedule: &[(String, i64)], at: usize) -> i64 {
    schedule
        .get(at + 1)
        .map_or(i64::MAX, |(_, next)| next.saturating_add(KEPT_SECONDS))
}

/// One change to which key signs from when. When the key that signs is taken away, the next one signs at once.
fn follow(schedule: &mut Vec<(String, i64)>, change: &ChangeDocument) {
    if change.kind != Kind::SigningKey {
        return;
    }
    match change.action {
        Action::Publish => {
            schedule.push((change.id.clone(), change.from.unwrap_or(change.iat)));
        }
        Action::Remove => {
            schedule.retain(|(kid, _)| *kid != change.id);
            if !schedule.iter().any(|(_, from)| *from <= change.iat)
                && let Some((_, from)) = schedule.first_mut()
            {
                *from = change.iat;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;

    fn change(action: Action, kid: &str, iat: i64, from: Option<i64>) -> ChangeDocument {
        ChangeDocument {
            iss: String::new(),
            iat,
            sequence: 1,
            previous: None,
            action,
            kind: Kind::SigningKey,
            id: kid.into(),
            kid: None,
            from,
            signed_by: vec![],
            order: None,
            reason: "test".into(),
            client_id: "operator".into(),
            request_id: "r".into(),
        }
    }

    #[test]
    fn published_before_it_signs_and_after_it_signed() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Ring::open(folder.path(), &[], 1000, false).unwrap();
        let old = ring.signer(1000).kid().to_owned();
        let new = ring.make().unwrap().kid().to_owned();
        let published = change(Action::Publish, &new, 1000, Some(1600));
        ring.apply(std::slice::from_ref(&published), 1000);
        let many = |ring: &Ring, now| ring.public(now).keys().len();
        for (now, signer, keys) in [
            (1000, &old, 2),
            (1599, &old, 2),
            (1600, &new, 2),
            (1600 + KEPT_SECONDS - 1, &new, 2),
            (1600 + KEPT_SECONDS, &new, 1),
        ] {
            assert_eq!(ring.signer(now).kid(), signer, "{now}");
            assert_eq!(many(&ring, now), keys, "{now}");
            let anew =
                Ring::open(folder.path(), std::slice::from_ref(&published), now, false).unwrap();
            assert_eq!(anew.signer(now).kid(), signer, "{now}");
            assert_eq!(many(&anew, now), keys, "{now}");
        }
        ring.sweep(1600 + KEPT_SECONDS);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(!ring.has(&old) && ring.has(&new));
        let anew = Ring::open(folder.path(), &[published], 9000, false).unwrap();
        assert_eq!(anew.signer(9000).kid(), new);
    }

    #[test]
    fn a_removed_key_is_gone_at_once_and_the_next_signs() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Ring::open(folder.path(), &[], 1000, false).unwrap();
        let old = ring.signer(1000).kid().to_owned();
        let new = ring.make().unwrap().kid().to_owned();
        let changes = [
            change(Action::Publish, &new, 1000, Some(1600)),
            change(Action::Remove, &old, 1100, None),
        ];
        ring.apply(&changes[..1], 1000);
        ring.apply(&changes[1..], 1100);
        let anew = Ring::open(folder.path(), &changes, 1100, false).unwrap();
        for ring in [&ring, &anew] {
            assert_eq!(ring.signer(1100).kid(), new);
            assert_eq!(ring.public(1100).keys().len(), 1);
            assert!(!ring.has(&old));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::remove_dir_all(folder.path()).unwrap();
        std::fs::create_dir(folder.path()).unwrap();
        assert!(matches!(
            Ring::open(folder.path(), &changes, 1100, false),
            Err(SigningKeyError::Missing)
        ));
    }
    #[test]
    fn the_demos_keys_sign_in_the_demo_alone() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Ring::open(folder.path(), &[], 1000, true).unwrap();
        let next = ring.make().unwrap();
        assert!(ring.signer(1000).kid().starts_with(KEY_MARK));
        assert!(next.kid().starts_with(KEY_MARK));
        let outside = Ring::open(folder.path(), &[], 1000, false);
        assert!(matches!(outside, Err(SigningKeyError::Demo)));
    }
}
