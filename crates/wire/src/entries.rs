//! Catalogue entries as a reader believes them: what an owner signed, as it signed it, and never an older version than one
//! already read. What nobody signed is the word of the region's operator, and passes as that.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fhir::time::Instant;
use serde_json::Value;
use store::Clock;

use crate::contract::catalogue::owner_of;
use crate::contract::statement::{Statement, carried};
use crate::members::{Believed, MemberBook, StatementError};

/// Entries whose versions are remembered; with more, all are forgotten and learnt anew.
const REMEMBERED: usize = 100_000;

/// Why an entry is not believed. Holds no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Its statement does not verify.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The anchor's documents are not at hand, so that nothing can be verified.
    #[error("the anchor's documents are not at hand")]
    Unverified,
    /// The statement is about another entry, or what it says is another's to say.
    #[error("the statement is about another entry, or about one of another organisation")]
    Other,
    /// Its owner has signed it before, and nobody has signed this.
    #[error("its owner has signed this entry before, and now nobody has")]
    Stripped,
    /// A newer version has been read before.
    #[error("a newer version of this entry has been read before")]
    Older,
}

/// A reader of entries.
pub struct Reader {
    members: MemberBook,
    clock: Clock,
    read: Mutex<HashMap<String, u64>>,
    /// Statements that were read before this process began, by what they are about: looked at when that comes up.
    before: Mutex<HashMap<String, Vec<String>>>,
}

impl Reader {
    /// One that believes the owners that these members are.
    pub fn new(members: MemberBook, clock: Clock) -> Self {
        Self {
            members,
            clock,
            read: Mutex::default(),
            before: Mutex::default(),
        }
    }

    /// The same, which has read these entries before this process began: an older version is not believed, nor what nobody signed in
    /// the place of what its owner did. Each is verified as any other when it comes up.
    #[must_use]
    pub fn having_read<'a>(self, entries: impl IntoIterator<Item = &'a Value>) -> Self {
        for entry in entries {
            if let Some(jws) = carried(entry) {
                let mut before = self.before();
                let known = before.entry(reference(entry)).or_default();
                if known.iter().all(|one| one != jws) {
                    known.push(jws.to_owned());
                }
            }
        }
        self
    }

    /// The members whose word is believed.
    pub fn members(&self) -> &MemberBook {
        &self.members
    }

    /// The entry as its owner signed it; with `status` `off` (`active` false) where that has lapsed. That it does not count for
    /// another reason is taken from the catalogue's copy, which can only say less.
    ///
    /// # Errors
    /// [`EntryError`].
    pub async fn believe(&self, entry: &Value) -> Result<Value, EntryError> {
        let about = reference(entry);
        self.recall(&about).await?;
        let Some(jws) = carried(entry) else {
            // A catalogue that leaves a signature out must not be believed the more for it.
            return match self.read().contains_key(&about) {
                true => Err(EntryError::Stripped),
                false => Ok(entry.clone()),
            };
        };
        let now = (self.clock)();
        let believed = self.verified(jws, now).await?;
        let lapsed = believed.has_lapsed(now);
        let statement = believed.statement;
        // The catalogue looked at this too, and may have lied.
        if !is_own(&statement, &about) {
            return Err(EntryError::Other);
        }
        let mut signed = statement.resource.ok_or(EntryError::Other)?;
        {
            let mut read = self.read();
            if read
                .get(&about)
                .is_some_and(|newest| *newest > statement.version)
            {
                return Err(EntryError::Older);
            }
            if read.len() >= REMEMBERED {
                read.clear();
            }
            read.insert(about, statement.version);
        }
        let counts = |name: &str| match entry.get(name) {
            Some(Value::String(status)) => status == "active",
            Some(Value::Bool(active)) => *active,
            _ => true,
        };
        if let Some(members) = signed.as_object_mut() {
            if lapsed {
                let off = |is: &Value| {
                    if is.is_boolean() {
                        false.into()
                    } else {
                        "off".into()
                    }
                };
                for name in ["status", "active"] {
                    members.entry(name).and_modify(|said| *said = off(said));
                }
            }
            for name in ["status", "active"] {
                if let Some(said) = entry.get(name).filter(|_| !counts(name)) {
                    members.insert(name.to_owned(), said.clone());
                }
            }
        }
        Ok(signed)
    }

    /// Whether data of `organisation` may be reached by what `owner` answers for: it is its own, or a register (pasientjournalloven
    /// § 9) that both are bound by, as the anchor's documents say. A catalogue's word does not make it so.
    pub async fn reaches(&self, organisation: &str, owner: &str) -> bool {
        let Some(members) = self.members.current().await else {
            return organisation == owner;
        };
        let main = members.participant(organisation);
        let main = main.map_or(organisation, |one| one.sub.as_str());
        main == owner || members.share_a_register(owner, main, (self.clock)())
    }

    /// Reads what was read of an entry before this process began; without the anchor's documents nobody knows what that was worth.
    async fn recall(&self, about: &str) -> Result<(), EntryError> {
        let Some(earlier) = self.before().get(about).cloned() else {
            return Ok(());
        };
        let now = (self.clock)();
        for jws in &earlier {
            match self.verified(jws, now).await {
                Ok(one) if is_own(&one.statement, about) => {
                    let mut read = self.read();
                    let newest = read.entry(about.to_owned()).or_default();
                    *newest = one.statement.version.max(*newest);
                }
                Err(EntryError::Unverified) => return Err(EntryError::Unverified),
                _ => {}
            }
        }
        self.before().remove(about);
        Ok(())
    }

    fn before(&self) -> MutexGuard<'_, HashMap<String, Vec<String>>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once more with fresh documents where the signer was not known: a key may be new.
    async fn verified(&self, jws: &str, now: Instant) -> Result<Believed, EntryError> {
        let members = self.members.current().await.ok_or(EntryError::Unverified)?;
        match members.verify_once(jws, now) {
            Err(StatementError::Signer) => {
                let members = self.members.renewed().await.ok_or(EntryError::Unverified)?;
                Ok(members.verify_once(jws, now)?)
            }
            other => Ok(other?),
        }
    }
}

/// Whether a statement is about this entry, and lists what is its owner's own to say.
fn is_own(statement: &Statement, about: &str) -> bool {
    let own = |resource: &Value| {
        reference(resource) == about && owner_of(resource).as_ref() == Some(&statement.owner)
    };
    statement.sub == about && statement.resource.as_ref().is_some_and(own)
}

/// Type and id of an entry: what a statement is about.
pub fn reference(resource: &Value) -> String {
    let text = |name: &str| {
        let text = resource.get(name).and_then(Value::as_str);
        text.unwrap_or_default()
    };
    format!("{}/{}", text("resourceType"), text("id"))
}
