//! What a subscription opens at this moment: asked anew before anything is counted or told.

use super::Subscriber;
use super::kept::{Kept, Status};
use crate::State;
use fhir::ids::PersonIdentifier;
use store::StoreError;
use trust::{Agreement, Category, Permit};
use url::Url;

/// What it comes to.
pub enum Right {
    /// This may be told.
    Open {
        /// Within this.
        permit: Box<Permit>,
        /// About whom; none: about everybody in the organisation's own store.
        person: Option<PersonIdentifier>,
    },
    /// The patient has closed it. Nothing tells the subscriber so.
    Closed,
    /// Its organisation is not told anything now: suspended, without an agreement, or no subscriber here any more.
    Silent,
    /// It cannot be known now.
    Unknown,
    /// For good.
    Over(&'static str),
}

impl State {
    /// The subscriber that an organisation is here.
    pub(crate) fn subscriber(
        &self,
        organisation: fhir::ids::OrganisationNumber,
    ) -> Option<&Subscriber> {
        let mut all = self.config.subscribers.iter();
        all.find(|one| one.organisation == organisation)
    }

    /// Whether an address is one of the subscriber's own, and may be dialled as far as it tells by itself.
    pub(crate) fn endpoint(&self, of: &Subscriber, url: &Url) -> Result<(), &'static str> {
        self.house
            .http
            .policy()
            .judge(url)
            .map_err(|fault| fault.words())?;
        // What is a slash to one and none to another is no place below a folder.
        let path = url.path().to_ascii_lowercase();
        if path.contains("%2f") || path.contains("%5c") {
            return Err("an address has no encoded slash in its path");
        }
        let own = of.endpoints.iter().any(|one| {
            let folder = one.path().trim_end_matches('/');
            let within = url.path().strip_prefix(folder);
            one.origin() == url.origin()
                && within.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        own.then_some(())
            .ok_or("the address is none that this organisation has registered here")
    }

    /// What a subscription opens now.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn right(&self, kept: &Kept) -> Result<Right, StoreError> {
        let now = (self.house.clock)();
        if kept.status == Status::Off {
            return Ok(Right::Over("it is over"));
        }
        if kept.standing.until <= now {
            return Ok(Right::Over("the time that was asked for is over"));
        }
        let organisation = kept.standing.organisation;
        let url = Url::parse(&kept.wanted.endpoint).ok();
        let registered = self.subscriber(organisation).zip(url);
        if registered.is_none_or(|(of, url)| self.endpoint(of, &url).is_err()) {
            return Ok(Right::Silent);
        }
        let mut standing = kept.standing.clone();
        // The service's own organisation is asked nobody for; whoever shares a register with it takes part by itself.
        if organisation != self.config.register.main_unit(self.config.owner) {
            let Some(members) = self.members.current().await else {
                return Ok(Right::Unknown);
            };
            if members.participant(organisation.as_str()).is_none() {
                return Ok(Right::Silent);
            }
            if !self.desk.facts.is_own(&organisation) {
                let agreement = standing.agreement.and_then(|one| {
                    let services = members.opens(&one.id, now)?;
                    Some(Agreement { services, ..one })
                });
                if agreement.is_none() {
                    return Ok(Right::Silent);
                }
                standing.agreement = agreement;
            }
        }
        let store = &self.desk.store;
        let facts = self.desk.facts.at(now);
        let (person, facts) = match kept.wanted.patient {
            None => (None, facts),
            Some(patient) => match store.patient_of(patient).await? {
                None => return Ok(Right::Over("what it was about is not here any more")),
                Some(person) => {
                    let wishes = store.wishes(&person).await?;
                    (Some(person), facts.with(wishes))
                }
            },
        };
        Ok(match trust::follow(&standing, person.as_ref(), &facts) {
            Ok(permit) => Right::Open {
                permit: Box::new(permit),
                person,
            },
            Err(refusal) if refusal.category == Category::Unavailable => Right::Unknown,
            Err(_) => Right::Closed,
        })
    }
}
