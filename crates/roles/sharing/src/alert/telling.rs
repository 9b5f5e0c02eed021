//! How words about alerts reach the other organisation: over the outbox, signed when they are sent, in the order of each offer; and what
//! follows here where a word is refused, or is not to be said any more.

use super::hand_over::{Handed, Heard};
use super::machine::{Owner, State as Standing, Step};
use crate::{Partner, State};
use serde_json::Value;
use std::sync::Arc;
use store::{DeliveryState, Due, OutboxEntry, StoreError};
use trust::Interaction;
use trust::audit::Record;
use uuid::Uuid;
use wire::Worker;
use wire::client::Request;
use wire::contract::alert::{MESSAGE_TYP, Message, TELL, TELL_SCOPE, Told, Word};
use wire::courier::{self, Deliver, Fate};

/// Topic of outbox entries.
const TOPIC: &str = "alert";

/// Said of an offer that the other service refuses, or that cannot be sent.
const REFUSED: &str = "Kunne ikke leveres: mottakeren avslo";

/// Said of an offer that may not be made any more. Not by whose wish: notes go along with the next offer.
const CLOSED: &str = "Kunne ikke leveres: ikke åpent for mottakeren";

/// Said where an acceptance did not count.
const LOST: &str = "Avsenderen regner ikke varselet som overtatt: en annen tok det før, eller det er avsluttet eller slått sammen med et annet";

/// The receiver of what a partner is told.
fn receiver(partner: &Partner) -> String {
    format!("alert:{}", partner.organisation)
}

/// One word to a partner, as an entry of the outbox: signed when it is sent.
///
/// # Errors
/// A bug, if it cannot be written.
pub fn outgoing(
    state: &State,
    partner: &Partner,
    (said, offer): (Word, Uuid),
    (by, note): (&Owner, Option<&str>),
    bundle: Option<Value>,
) -> Result<OutboxEntry, StoreError> {
    let message = Message {
        iss: state.config.owner.to_string(),
        aud: partner.base().to_owned(),
        iat: 0,
        said,
        offer,
        by: by.name.clone(),
        note: note.map(str::to_owned),
        bundle,
    };
    Ok(OutboxEntry {
        topic: TOPIC,
        receivers: vec![receiver(partner)],
        partition: offer.to_string(),
        key: key(said, offer),
        body: serde_json::to_vec(&message)
            .map_err(|_| StoreError::Bug)?
            .into(),
    })
}

/// A courier to each partner, so that one that is down delays no other.
pub fn couriers(state: &Arc<State>) -> Vec<Worker> {
    if state.config.assessment.is_none() {
        return Vec::new();
    }
    let partners = state.config.hand_over.iter().cloned();
    let courier = |partner: Partner| {
        let state = state.clone();
        Worker::new("alert-courier", async move {
            let (house, store) = (state.house.clone(), state.desk.store.clone());
            let name = receiver(&partner);
            courier::run(store, name, Telling { state, partner }, &house).await;
        })
    };
    partners.map(courier).collect()
}

/// An entry's key.
fn key(said: Word, offer: Uuid) -> String {
    format!("{}-{offer}", said.code())
}

/// The word and the offer of an entry's key.
fn word(key: &str) -> Option<(Word, Uuid)> {
    let (said, offer) = key.split_once('-')?;
    let said = Word::ALL.into_iter().find(|one| one.code() == said)?;
    Some((said, Uuid::parse_str(offer).ok()?))
}

/// Whether an offer that was made here is still to be delivered.
enum Stands {
    /// It is.
    Open,
    /// Its owner took it back, or another has accepted.
    TakenBack,
    /// The patient has closed it to the receiver, or it is not here any more.
    Closed,
    /// Whether she has is not known.
    Unknown,
}

struct Telling {
    state: Arc<State>,
    partner: Partner,
}

impl Deliver for Telling {
    async fn deliver(&self, batch: &[Due]) -> Vec<Fate> {
        // A recall never comes before its offer.
        let waits = "an earlier word about the same offer waits";
        courier::in_turn(batch, waits, |due| self.bring(due)).await
    }
}

impl Telling {
    /// Tells one word. An offer that cannot be delivered comes back to who made it, in the same round; an acceptance that is refused ends
    /// what was taken here.
    async fn bring(&self, due: &Due) -> Fate {
        let Some((said, offer)) = word(&due.key) else {
            return Fate::Dead("not a word about an offer".into());
        };
        let refused = match said {
            Word::Offer => return self.bring_offer(due, offer).await,
            _ => match self.tell(due).await {
                Fate::Dead(why) => why,
                fate => return fate,
            },
        };
        let ended = match said {
            // Nothing is taken back from who never heard of it.
            Word::Recall => return Fate::Done,
            Word::Accept => self.state.lost(offer).await,
            _ => Ok(()),
        };
        match ended {
            Ok(()) => Fate::Dead(refused),
            Err(error) => Fate::Retry(format!(
                "{refused}, and the Task could not be written: {error}"
            )),
        }
    }

    async fn bring_offer(&self, due: &Due, offer: Uuid) -> Fate {
        // A wish may be newer than the offer, and so may what its owner did.
        let stands = match self.state.stands(offer, &self.partner).await {
            Ok(stands) => stands,
            Err(error) => return Fate::Retry(format!("what is closed cannot be read: {error}")),
        };
        let (why, note) = match stands {
            Stands::Open => match self.tell(due).await {
                Fate::Dead(why) => (why, REFUSED),
                fate => return fate,
            },
            // The recall behind it tells those who may have heard of it all the same.
            Stands::TakenBack => return Fate::Done,
            Stands::Closed => ("not open to the receiver any more".to_owned(), CLOSED),
            Stands::Unknown => return Fate::Retry("it is not known whether it is closed".into()),
        };
        // A try before this one may have been heard, though nobody lived to count it.
        match self.state.came_back(offer, note, note == CLOSED).await {
            Ok(()) => Fate::Dead(why),
            // Else it would stand as on its way to who never gets it.
            Err(error) => Fate::Retry(format!("{why}, and the Task could not be written: {error}")),
        }
    }

    async fn tell(&self, due: &Due) -> Fate {
        let Some(party) = &self.state.party else {
            return Fate::Retry("no client to speak with".into());
        };
        let Ok(message) = serde_json::from_slice::<Message>(&due.body) else {
            return Fate::Dead("not a message".into());
        };
        let message = Message {
            iat: (self.state.house.clock)().seconds(),
            ..message
        };
        let signed = serde_json::to_value(message)
            .ok()
            .and_then(|claims| party.sign(MESSAGE_TYP, &claims).ok());
        let Some(message) = signed else {
            return Fate::Retry("the message cannot be signed".into());
        };
        let base = self.partner.base();
        let request = match Request::post_json(format!("{base}{TELL}"), &Told { message }) {
            Ok(request) => request,
            Err(error) => return Fate::of_peer_error(&error),
        };
        match party.send(base, TELL_SCOPE, request).await {
            Ok(answer) => {
                let status = answer.status.as_u16();
                Fate::of_status(status, format!("the other service answered {status}"))
            }
            Err(error) => Fate::of_peer_error(&error),
        }
    }
}

impl State {
    /// Tells what waits for a partner now, and says how many entries were taken. The worker does the same by itself.
    ///
    /// # Errors
    /// Of the store.
    pub async fn tell_waiting(self: &Arc<Self>, partner: &Partner) -> Result<usize, StoreError> {
        let telling = Telling {
            state: self.clone(),
            partner: partner.clone(),
        };
        let (store, now) = (&self.desk.store, (self.house.clock)());
        courier::once(store, &receiver(partner), &telling, now).await
    }

    /// Whether a word about an offer is still on its way.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn unheard(&self, word: Word, offer: Uuid) -> Result<bool, StoreError> {
        let sent = self.desk.store.outbox_by_key(&key(word, offer)).await?;
        let mut sent = sent.iter();
        Ok(sent.any(|one| one.state == DeliveryState::Pending))
    }

    /// How an offer that was made here stands.
    async fn stands(&self, offer: Uuid, to: &Partner) -> Result<Stands, StoreError> {
        let Some(handed) = self.handed(offer).await? else {
            return Ok(Stands::Closed);
        };
        let Some((person, _, task)) = self.alert_of(handed.task).await? else {
            return Ok(Stands::Closed);
        };
        if task.alert.state != Standing::HandingOver || task.offered != Some(offer) {
            return Ok(Stands::TakenBack);
        }
        Ok(match self.open_to(&person, to).await? {
            Some(true) => Stands::Open,
            Some(false) => Stands::Closed,
            None => Stands::Unknown,
        })
    }

    /// An offer that was made here cannot be delivered: it is its owner's again, and says why. Where the receiver may have `heard` it all
    /// the same, it is taken back there.
    async fn came_back(&self, offer: Uuid, why: &str, heard: bool) -> Result<(), StoreError> {
        let Some(handed) = self.handed(offer).await?.filter(|one| one.made) else {
            return Ok(());
        };
        let recall = match heard {
            true => self.recall(offer, &handed)?,
            false => None,
        };
        let asked = format!("alert: offer {offer} could not be delivered");
        self.by_itself((&handed, offer), Step::SentBack, why, recall, &asked)
            .await
    }

    /// The other side does not count an alert as taken by who accepted it here: another had it before, or it is closed there.
    async fn lost(&self, offer: Uuid) -> Result<(), StoreError> {
        let Some(handed) = self.handed(offer).await?.filter(|one| !one.made) else {
            return Ok(());
        };
        let asked = format!("alert: the acceptance of {offer} does not count");
        self.by_itself((&handed, offer), Step::Lost, LOST, None, &asked)
            .await
    }

    /// The word that takes an offer back, if its receiver is a partner still.
    pub(super) fn recall(
        &self,
        offer: Uuid,
        handed: &Handed,
    ) -> Result<Option<OutboxEntry>, StoreError> {
        let mut partners = self.config.hand_over.iter();
        let partner = partners.find(|one| one.organisation.to_string() == handed.with);
        let word = |partner| {
            let said = (Word::Recall, offer);
            outgoing(self, partner, said, (&self.service_itself(), None), None)
        };
        partner.map(word).transpose()
    }

    /// The service, where it says something of an alert itself.
    pub(super) fn service_itself(&self) -> Owner {
        Owner {
            key: String::new(),
            name: self.config.name.clone(),
        }
    }

    /// A step that follows from what became of a word, with a record of its own.
    async fn by_itself(
        &self,
        (handed, offer): (&Handed, Uuid),
        step: Step,
        why: &str,
        word: Option<OutboxEntry>,
        asked: &str,
    ) -> Result<(), StoreError> {
        let said = (&self.service_itself(), why);
        let heard = self.becomes(handed, offer, step, said).await?;
        let (Heard::Change(mut change, queue), Some(person)) = heard else {
            // Taken back before, or erased.
            return Ok(());
        };
        let (now, request) = ((self.house.clock)(), (self.house.ids)());
        let record = Record::new(now, request, Interaction::Assess, asked)
            .permitted(&trust::assess(person.clone()))
            .about(Some(person));
        change.audit = Some(record);
        change.outbox.extend(word);
        self.desk.store.commit(*change).await?;
        self.raised(queue);
        Ok(())
    }
}
