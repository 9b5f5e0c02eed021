//! The entries as they rest and as they are at hand: every version of each is kept, numbered through, so that a copy
//! elsewhere can be fed by `_history`.
//!
//! Two ledgers: `entry`, by `Type/id`, what counts now; `past`, by running number, every version. A renewal (a statement that
//! says again what the one before said) takes the place of the renewal before it, so that what is kept grows with what
//! changed and not with time.

use std::collections::HashMap;
use std::sync::Arc;

use fhir::ids::OrganisationNumber;
use fhir::resource::ResourceType;
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Change, Expect, LedgerWrite, Store, StoreError};
use trust::audit::{Disclosed, Record};
use wire::contract::catalogue::AffiliationRole;

use crate::entry::{Entry, Kept};

/// Ledger of what counts now. The ledger's own version is the entry's.
const ENTRIES: &str = "entry";
/// Ledger of every version: key the running number, big-endian.
const PAST: &str = "past";
/// Entries read from a ledger at once.
const PAGE: usize = 1_000;

/// A version in the ledger `past`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PastRow {
    entry: String,
    version: u64,
    kept: Kept,
}

/// Where a version is found.
#[derive(Clone, Debug)]
pub struct Past {
    /// Its running number.
    pub number: u64,
    /// When it was committed.
    pub updated: Instant,
    /// Its type.
    pub resource_type: ResourceType,
    /// Its logical id.
    pub id: String,
    /// Its version.
    pub version: u64,
}

/// All entries, in a stable order: the configuration's first, then by number. Cheap to share; a change makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    entries: Vec<Arc<Entry>>,
    places: HashMap<String, usize>,
    past: Vec<Past>,
    last: u64,
}

/// Ledger writes that make a change durable, and the shelf after it.
pub struct Planned {
    /// To be committed.
    pub ledger: Vec<LedgerWrite>,
    /// The changed entries; their time and number are set when they are committed.
    pub entries: Vec<Entry>,
    /// Numbers of versions that are no longer kept.
    dropped: Vec<u64>,
}

impl Shelf {
    /// What the store holds.
    pub async fn open(store: &Store) -> Result<Self, StoreError> {
        let mut shelf = Self::default();
        let mut pages = store.ledger_pages(PAST, &[], PAGE);
        while let Some(rows) = pages.next().await? {
            for row in &rows {
                let number = <[u8; 8]>::try_from(row.key.as_slice());
                let number = number.map(u64::from_be_bytes).map_err(|_| damaged())?;
                let past: PastRow = serde_json::from_slice(&row.value).map_err(|_| damaged())?;
                let (resource_type, id) = parts(&past.entry).ok_or_else(damaged)?;
                shelf.last = number;
                shelf.past.push(Past {
                    number,
                    updated: row.updated,
                    resource_type,
                    id,
                    version: past.version,
                });
            }
        }
        let numbers: HashMap<(String, u64), u64> = shelf
            .past
            .iter()
            .map(|past| (past.key(), past.number))
            .collect();
        let mut found = Vec::new();
        let mut pages = store.ledger_pages(ENTRIES, &[], PAGE);
        while let Some(rows) = pages.next().await? {
            for row in &rows {
                let key = std::str::from_utf8(&row.key).map_err(|_| damaged())?;
                let (resource_type, _) = parts(key).ok_or_else(damaged)?;
                let kept = read(&row.value)?;
                let mut entry = Entry::of(resource_type, kept).ok_or_else(damaged)?;
                let number = numbers.get(&(key.to_owned(), row.version));
                (entry.version, entry.updated) = (row.version, row.updated);
                entry.number = number.copied().unwrap_or_default();
                found.push(entry);
            }
        }
        found.sort_by_key(|entry| entry.number);
        for entry in found {
            shelf.put(entry);
        }
        Ok(shelf)
    }

    /// Entries that were there before every version was kept: their present version becomes their first.
    pub fn unnumbered(&self) -> Vec<Kept> {
        let lacking = self.entries.iter().filter(|entry| entry.number == 0);
        lacking.map(|entry| entry.kept.clone()).collect()
    }

    /// All entries that are not withdrawn, of one type.
    pub fn of_type(&self, resource_type: ResourceType) -> impl Iterator<Item = &Arc<Entry>> {
        let all = self.entries.iter();
        all.filter(move |entry| entry.resource_type == resource_type && !entry.kept.withdrawn)
    }

    /// All entries, the withdrawn among them.
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// One entry, withdrawn or not.
    pub fn get(&self, resource_type: ResourceType, id: &str) -> Option<&Arc<Entry>> {
        let place = self.places.get(&format!("{resource_type}/{id}"))?;
        self.entries.get(*place)
    }

    /// Whether `member` is a member of what is reached by the Endpoint `endpoint`, by an affiliation that counts at `now` and is that
    /// Endpoint's owner's: nobody comes by another's members by taking the service id first. Who runs it for others is none.
    pub fn takes_part(&self, member: OrganisationNumber, endpoint: &str, now: Instant) -> bool {
        let reached = self.get(ResourceType::ENDPOINT, endpoint);
        let owner = reached.map(|endpoint| endpoint.kept.owner);
        self.of_type(ResourceType::ORGANIZATION_AFFILIATION)
            .any(|one| {
                one.participating == Some((member, AffiliationRole::Member))
                    && one.endpoint.as_deref() == Some(endpoint)
                    && Some(one.kept.owner) == owner
                    && one.counts(now)
            })
    }

    /// Every version that is kept, oldest first.
    pub fn past(&self) -> &[Past] {
        &self.past
    }

    /// Lays the entries of a configuration in their order before all others, so that answers keep it.
    pub fn in_order_of(&mut self, configured: &[Entry]) {
        let place: HashMap<String, usize> = configured
            .iter()
            .enumerate()
            .map(|(place, entry)| (entry.reference(), place))
            .collect();
        let last = configured.len();
        self.entries.sort_by_key(|entry| {
            let place = place.get(&entry.reference()).copied().unwrap_or(last);
            (place, if place == last { entry.number } else { 0 })
        });
        self.places = self
            .entries
            .iter()
            .enumerate()
            .map(|(place, entry)| (entry.reference(), place))
            .collect();
    }

    /// What it takes to make these entries their types' and ids' newest version.
    ///
    /// # Errors
    /// [`StoreError::Bug`] when an entry has no JSON form.
    pub fn plan(&self, changed: Vec<Kept>) -> Result<Planned, StoreError> {
        let mut planned = Planned {
            ledger: Vec::new(),
            entries: Vec::new(),
            dropped: Vec::new(),
        };
        for (number, kept) in (self.last + 1..).zip(changed) {
            let name = kept.resource.get("resourceType").and_then(Value::as_str);
            let resource_type = name.and_then(ResourceType::parse).ok_or(StoreError::Bug)?;
            let mut entry = Entry::of(resource_type, kept).ok_or(StoreError::Bug)?;
            let held = self.get(resource_type, &entry.id);
            entry.version = held.map_or(1, |held| held.version + u64::from(held.number > 0));
            entry.number = number;
            let json = |value: &Kept| serde_json::to_vec(value).map_err(|_| StoreError::Bug);
            // An entry from before every version was kept is written again as it is, with its number.
            if held.is_none_or(|held| held.number > 0) {
                planned.ledger.push(LedgerWrite {
                    ledger: ENTRIES,
                    key: entry.reference().into_bytes(),
                    value: Some(json(&entry.kept)?),
                    expect: held.map_or(Expect::Absent, |held| Expect::Version(held.version)),
                });
            }
            let row = PastRow {
                entry: entry.reference(),
                version: entry.version,
                kept: entry.kept.clone(),
            };
            planned.ledger.push(LedgerWrite {
                ledger: PAST,
                key: number.to_be_bytes().to_vec(),
                value: Some(serde_json::to_vec(&row).map_err(|_| StoreError::Bug)?),
                expect: Expect::Absent,
            });
            let renewed = |entry: &Entry| entry.kept.stated.as_ref().is_some_and(|s| s.renewal);
            if let Some(held) = held.filter(|held| renewed(held) && renewed(&entry)) {
                planned.dropped.push(held.number);
                planned.ledger.push(LedgerWrite {
                    ledger: PAST,
                    key: held.number.to_be_bytes().to_vec(),
                    value: None,
                    expect: Expect::Any,
                });
            }
            planned.entries.push(entry);
        }
        Ok(planned)
    }

    /// The shelf after a plan that was committed, with the time that the store gave it: what the next start will find.
    ///
    /// # Errors
    /// What the store said.
    pub async fn after(&self, planned: Planned, store: &Store) -> Result<Self, StoreError> {
        let mut after = self.clone();
        let Some(last) = planned.entries.last() else {
            return Ok(after);
        };
        let row = store.ledger_get(PAST, &last.number.to_be_bytes()).await?;
        let updated = row.ok_or_else(damaged)?.updated;
        after
            .past
            .retain(|past| !planned.dropped.contains(&past.number));
        for mut entry in planned.entries {
            entry.updated = updated;
            after.past.push(Past {
                number: entry.number,
                updated: entry.updated,
                resource_type: entry.resource_type,
                id: entry.id.clone(),
                version: entry.version,
            });
            after.last = entry.number;
            after.put(entry);
        }
        Ok(after)
    }

    fn put(&mut self, entry: Entry) {
        let entry = Arc::new(entry);
        match self.places.get(&entry.reference()) {
            Some(place) => self.entries[*place] = entry,
            None => {
                self.places.insert(entry.reference(), self.entries.len());
                self.entries.push(entry);
            }
        }
    }
}

impl Past {
    fn key(&self) -> (String, u64) {
        (format!("{}/{}", self.resource_type, self.id), self.version)
    }

    /// The version itself.
    ///
    /// # Errors
    /// What the store said.
    pub async fn read(&self, store: &Store) -> Result<Option<Entry>, StoreError> {
        let Some(row) = store.ledger_get(PAST, &self.number.to_be_bytes()).await? else {
            return Ok(None);
        };
        let past: PastRow = serde_json::from_slice(&row.value).map_err(|_| damaged())?;
        let mut entry = Entry::of(self.resource_type, past.kept).ok_or_else(damaged)?;
        (entry.version, entry.updated, entry.number) = (self.version, self.updated, self.number);
        Ok(Some(entry))
    }
}

/// Commits a plan that no request asked for: what the configuration says, with a record of what it changed, or (`None`) what an earlier
/// program left to be numbered.
pub async fn settle(
    store: &Store,
    shelf: &Shelf,
    changed: Vec<Kept>,
    record: Option<Record>,
) -> Result<Shelf, StoreError> {
    if changed.is_empty() {
        return Ok(shelf.clone());
    }
    let mut planned = shelf.plan(changed)?;
    let disclosed = planned.entries.iter().map(|entry| Disclosed {
        resource: entry.resource_type.as_str().to_owned(),
        id: entry.id.clone(),
        version: entry.version,
    });
    let change = Change {
        audit: record.map(|record| record.disclosing(disclosed.collect())),
        ledger: std::mem::take(&mut planned.ledger),
        ..Change::default()
    };
    store.commit(change).await?;
    shelf.after(planned, store).await
}

fn damaged() -> StoreError {
    StoreError::Damaged("an entry of the catalogue has an unexpected form")
}

fn parts(key: &str) -> Option<(ResourceType, String)> {
    let (name, id) = key.split_once('/')?;
    Some((ResourceType::parse(name)?, id.to_owned()))
}

/// What rests; the first format held the resource alone.
fn read(value: &[u8]) -> Result<Kept, StoreError> {
    if let Ok(kept) = serde_json::from_slice(value) {
        return Ok(kept);
    }
    let resource: Value = serde_json::from_slice(value).map_err(|_| damaged())?;
    let owner = ["managingOrganization", "providedBy", "organization"];
    let named = owner
        .iter()
        .find_map(|name| resource.pointer(&format!("/{name}/identifier/value")))
        .or_else(|| resource.pointer("/partOf/identifier/value"))
        .or_else(|| resource.pointer("/identifier/0/value"));
    let owner = named.and_then(Value::as_str).ok_or_else(damaged)?;
    Ok(Kept {
        owner: OrganisationNumber::parse(owner).map_err(|_| damaged())?,
        resource,
        withdrawn: false,
        stated: None,
    })
}
