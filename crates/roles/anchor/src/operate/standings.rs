//! What the list of changes comes to: for each thing that was ever changed, whether it counts, and how often it changed.
//! A pure fold over the list.

use std::collections::HashMap;
use trust::encoding::sha256_base64url;
use wire::contract::operate::{Action, ChangeDocument, Kind, Standing};

/// One thing's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) state: Standing,
    /// How often it was changed; added to the version of its document.
    pub(crate) changes: u32,
}

type Key = (Kind, String, Option<String>);

/// Everything that was ever changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standings {
    entries: HashMap<Key, Entry>,
    count: u64,
    hash: Option<String>,
}

impl Standings {
    /// One thing as it stands; what was never changed counts.
    pub(crate) fn of(&self, kind: Kind, id: &str, kid: Option<&str>) -> Entry {
        if self.entries.is_empty() {
            return Entry::default();
        }
        let key = (kind, id.to_owned(), kid.map(str::to_owned));
        self.entries.get(&key).copied().unwrap_or_default()
    }

    /// Does it count?
    pub(crate) fn counts(&self, kind: Kind, id: &str) -> bool {
        self.of(kind, id, None).state == Standing::Active
    }

    /// How many changes there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Hash of the last change.
    pub(crate) fn hash(&self) -> Option<&str> {
        self.hash.as_deref()
    }

    /// Why something cannot be done to a thing as it stands, in words for an operator.
    pub(crate) fn refuses(&self, action: Action, entry: Entry) -> Option<&'static str> {
        match (action, entry.state) {
            (_, Standing::Ended) => Some("it is ended, for good; register a new one"),
            (Action::Suspend, Standing::Suspended) => Some("it is suspended already"),
            (Action::Resume, Standing::Active) => Some("it is not suspended"),
            _ => None,
        }
    }

    /// Takes the next change in.
    pub(crate) fn apply(&mut self, change: &ChangeDocument, payload: &[u8]) {
        let key = (change.kind, change.id.clone(), change.kid.clone());
        let entry = self.entries.entry(key).or_default();
        entry.changes = entry.changes.saturating_add(1);
        entry.state = match change.action {
            Action::Suspend => Standing::Suspended,
            Action::Resume | Action::Publish => Standing::Active,
            Action::End | Action::Remove => Standing::Ended,
            // What is suspended stays so, whatever is written about it.
            Action::Register => entry.state,
        };
        self.count = change.sequence;
        self.hash = Some(sha256_base64url(payload));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(sequence: u64, action: Action, id: &str) -> ChangeDocument {
        ChangeDocument {
            iss: "https://anchor.example".into(),
            iat: 1,
            sequence,
            previous: None,
            action,
            kind: Kind::Agreement,
            id: id.into(),
            kid: None,
            from: None,
            signed_by: vec![],
            order: None,
            reason: "test".into(),
            client_id: "operator".into(),
            request_id: "r".into(),
        }
    }

    #[test]
    fn the_last_change_counts_and_an_end_is_an_end() {
        let mut all = Standings::default();
        assert!(all.counts(Kind::Agreement, "A"));
        let steps = [
            (Action::Suspend, Standing::Suspended),
            (Action::Resume, Standing::Active),
            (Action::End, Standing::Ended),
        ];
        for (at, (action, state)) in (1..).zip(steps) {
            assert_eq!(
                all.refuses(action, all.of(Kind::Agreement, "A", None)),
                None
            );
            all.apply(&change(at, action, "A"), b"payload");
            let entry = all.of(Kind::Agreement, "A", None);
            assert_eq!((entry.state, u64::from(entry.changes)), (state, at));
        }
        assert_eq!(all.count(), 3);
        assert!(all.counts(Kind::Agreement, "B") && all.counts(Kind::Delegation, "A"));
        let ended = all.of(Kind::Agreement, "A", None);
        for action in [Action::Suspend, Action::Resume, Action::End] {
            assert!(all.refuses(action, ended).is_some());
        }
        let never = Entry::default();
        assert!(all.refuses(Action::Resume, never).is_some());
    }
}
