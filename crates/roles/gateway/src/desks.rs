//! Where look-ups are recorded: one store for each consuming organisation, which is the controller of its own trail, and
//! one of the gateway's own for citizens and for those who never proved who they are. They hold audit records and receipts,
//! and no clinical data.

use fhir::ids::OrganisationNumber;
use fhir::time::Instant;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{Store, StoreError};
use tokio::sync::OnceCell;
use trust::organisation::Register;
use trust::{Facts, Party};
use wire::House;
use wire::outcome::Problem;
use wire::protect::{Guard, GuardConfig};
use wire::visit::Desk;

/// Owner of the gateway's own store.
const OWN: &str = "gateway";

/// Every desk of the gateway. An organisation's is opened when it first looks something up, or at start if it did before.
pub struct Desks {
    own: Desk,
    house: House,
    guard: GuardConfig,
    others: Mutex<BTreeMap<OrganisationNumber, Slot>>,
    /// The anchor's keys as they were known before this start, and since when.
    keys: Option<(String, Instant)>,
}

type Slot = Arc<OnceCell<Arc<Desk>>>;

impl Desks {
    /// Opens the gateway's own store and those that are there already; `keys` are the anchor's, as they were last known and when,
    /// which serve while it is silent. Blocks for file access.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(
        guard: GuardConfig,
        owner: OrganisationNumber,
        register: Arc<Register>,
        keys: Option<(String, Instant)>,
        house: &House,
    ) -> Result<Desks, StoreError> {
        let store = Store::open(&house.data, OWN, house.surroundings())?;
        let facts = Facts {
            party: Party::Gateway,
            owner,
            members: Arc::new([]),
            audience: guard.audience.as_str().into(),
            wishes: [].into(),
            known: Default::default(),
            register,
            now: Instant::default(),
        };
        let own = Desk {
            guard: remembering(Guard::new(guard.clone(), store.clone(), house), &keys),
            facts,
            store,
            clock: house.clock.clone(),
        };
        let desks = Desks {
            own,
            house: house.clone(),
            guard,
            others: Mutex::default(),
            keys,
        };
        for (organisation, _) in desks.own.facts.register.organisations() {
            let folder = desks.folder(&organisation);
            if folder.is_dir() {
                let store = Store::open(&folder, organisation.as_str(), house.surroundings())?;
                let desk = Arc::new(desks.desk(store));
                desks
                    .lock()
                    .insert(organisation, Arc::new(OnceCell::new_with(Some(desk))));
            }
        }
        Ok(desks)
    }

    /// The gateway's own.
    pub fn own(&self) -> &Desk {
        &self.own
    }

    /// The desk of a consuming organisation; `None` for one that is not in the register, which the gateway's own serves.
    ///
    /// # Errors
    /// 503 when its store cannot be opened: what cannot be recorded is not answered.
    pub async fn of(
        &self,
        organisation: Option<OrganisationNumber>,
    ) -> Result<Option<Arc<Desk>>, Problem> {
        let known = organisation.and_then(|one| self.own.facts.register.controller(&one));
        let Some(organisation) = known else {
            return Ok(None);
        };
        let slot = self.lock().entry(organisation).or_default().clone();
        let desk = slot.get_or_try_init(|| self.open_one(organisation)).await.map_err(|error| {
            tracing::error!(%error, %organisation, "the store of a consuming organisation cannot be opened");
            Problem::unavailable(5, "not available now; try again")
        })?;
        Ok(Some(desk.clone()))
    }

    /// Every trail that there is: whose it is (`None`: the gateway's own) and its store.
    pub fn trails(&self) -> Vec<(Option<OrganisationNumber>, Store)> {
        let mut trails = vec![(None, self.own.store.clone())];
        let others = self.lock();
        trails.extend(
            others
                .iter()
                .filter_map(|(number, slot)| Some((Some(*number), slot.get()?.store.clone()))),
        );
        trails
    }

    async fn open_one(&self, organisation: OrganisationNumber) -> Result<Arc<Desk>, StoreError> {
        let (folder, surroundings) = (self.folder(&organisation), self.house.surroundings());
        let opening = move || Store::open(&folder, organisation.as_str(), surroundings);
        let store = tokio::task::spawn_blocking(opening)
            .await
            .map_err(|_| StoreError::Bug)??;
        Ok(Arc::new(self.desk(store)))
    }

    fn desk(&self, store: Store) -> Desk {
        Desk {
            guard: remembering(
                Guard::new(self.guard.clone(), store.clone(), &self.house),
                &self.keys,
            ),
            facts: self.own.facts.clone(),
            store,
            clock: self.house.clock.clone(),
        }
    }

    fn folder(&self, organisation: &OrganisationNumber) -> PathBuf {
        self.house.data.join(organisation.as_str())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OrganisationNumber, Slot>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remembering(guard: Guard, keys: &Option<(String, Instant)>) -> Guard {
    if let Some((keys, at)) = keys {
        guard.remember_keys(keys.as_bytes(), *at);
    }
    guard
}
