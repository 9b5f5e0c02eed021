//! One entry's way in, a reading or answers to a questionnaire: checked, addressed, known or new. Nothing here waits on the network.
//!
//! What makes a resend harmless is the ledger `reading`: under a keyed hash of owner and identity it keeps the content's
//! digest and the first answer (`versions`), also after the clinical body is delivered and gone.

use crate::amount::{self, Counts, Measured, Way};
use crate::versions::{self, Known, Said};
use crate::{Destination, State};
use crate::{address, assignment, held};
use bytes::Bytes;
use fhir::check::{Fate, Rules, UnknownCodes, fate};
use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::index::{Coding, Subject};
use fhir::json::{Json, Limits, Node};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::{Checked, InformationService, ResourceType};
use fhir::systems;
use fhir::time::Instant;
use store::{Change, Expect, LedgerWrite, OutboxEntry, StoreError};
use trust::Caller;
use trust::scope::{Access, Context};
use wire::contract::hub::ReceiverKind;
use wire::outcome::Problem;

/// Ledger of readings that were taken in.
pub const READINGS: &str = "reading";
/// Known readings looked at in one step of forgetting.
const PAGE: usize = 1_000;
/// Why a correction is kept aside that is older than what is known.
pub const OUTDATED: &str = "outdated";
/// Outbox topic of readings.
pub const TOPIC: &str = "observation";
/// Outbox topic of answers to questionnaires.
pub const ANSWERS: &str = "questionnaire-response";
/// What is taken by itself, with its topic.
const TAKEN: [(ResourceType, &str); 2] = [
    (ResourceType::OBSERVATION, TOPIC),
    (ResourceType::QUESTIONNAIRE_RESPONSE, ANSWERS),
];

/// The outbox topic of what is taken by itself.
pub fn topic(kind: ResourceType) -> Option<&'static str> {
    let found = TAKEN.iter().find(|(taken, _)| *taken == kind);
    found.map(|(_, topic)| *topic)
}

/// An entry that can be acknowledged.
pub struct Accepted {
    /// Its id at the hub, by which its delivery is asked for.
    pub key: String,
    /// Taken in now, or already before with the same content.
    pub fate: Taken,
    /// Whose.
    pub patient: PersonIdentifier,
    /// What must become durable; empty for a resend.
    pub change: Change,
    /// What was remarked of it; it is taken all the same.
    pub remarks: Vec<Issue>,
    /// To be counted once it is durable.
    pub counts: Counts,
}

/// Whether an entry is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// New.
    New,
    /// A correction of one that is known.
    Corrected,
    /// Known with the same content.
    Before,
}

/// An entry that is not acknowledged.
pub struct Refused {
    /// What the sender is told.
    pub problem: Problem,
    /// The reason's code when it is kept aside; `None` when it is not a reading at all.
    pub quarantine: Option<&'static str>,
}

impl Refused {
    /// Nothing to keep aside.
    pub fn plain(problem: Problem) -> Refused {
        Refused {
            problem,
            quarantine: None,
        }
    }

    /// Kept aside with this reason.
    pub fn quarantined(reason: &'static str, issue: Issue) -> Refused {
        let coding = Coding::new(
            format!("{}/CodeSystem/quarantine", wire::contract::CANONICAL),
            reason,
        );
        Refused {
            problem: Problem::unprocessable(vec![issue.with_details(Some(coding), None)]),
            quarantine: Some(reason),
        }
    }
}

/// Checks one entry and says what must become durable for it. `tagged` is the organisation number that its Bundle names; `came`, since
/// when it lay aside, if it did.
pub async fn take(
    state: &State,
    caller: &Caller,
    json: &Json,
    node: Node<'_>,
    tagged: Option<&str>,
    came: Option<Instant>,
) -> Result<Accepted, Refused> {
    if node.raw().len() > Limits::RESOURCE.bytes {
        return Err(Refused {
            problem: Problem::too_large(Limits::RESOURCE.bytes),
            quarantine: None,
        });
    }
    let (checked, topic) = checked(state, json, node)?;
    let (index, what) = (checked.index(), checked.resource_type());
    let may = caller
        .scopes
        .covers(Context::System, what.as_str(), Access::Create);
    if !may {
        return Err(Refused::plain(Problem::insufficient_scope()));
    }
    let patient = match &index.subject {
        Some(Subject::Person(person)) => person.clone(),
        _ => {
            return Err(Refused {
                problem: Problem::unprocessable(vec![Issue::error(
                    IssueCode::Required,
                    format!("{what}.subject.identifier"),
                    "the hub finds the patient by subject.identifier; a reference to a Patient of the sender says nothing here",
                )]),
                quarantine: None,
            });
        }
    };
    synthetic(state, &patient, &format!("{what}.subject.identifier.value"))?;
    pace(state, caller, &patient, index.device.as_deref())?;
    let performer = index.organisations.first().cloned();
    let named =
        performer.or_else(|| tagged.map(|value| (systems::ORGNR.to_owned(), value.to_owned())));
    let kind = InformationService::MEASUREMENTS;
    let contradicts = |why: address::Unaddressed| {
        let issue = Issue::error(
            IssueCode::BusinessRule,
            format!("{what}.performer"),
            why.to_string(),
        );
        Refused::quarantined("organisation", issue)
    };
    let owner = address::owner(state, caller.organisation, named, kind).map_err(contradicts)?;
    let identity = checked.identity();
    let unit = Unit {
        identity: &identity.key,
        digest: identity.digest,
        correction: identity.correction,
        said: Said::of(node, (state.house.clock)()),
        came,
        remarks: checked.remarks().to_vec(),
        kind,
        measured: (what == ResourceType::OBSERVATION).then(|| {
            let now = (state.house.clock)();
            let at = index.when.map_or(now, |when| Instant(when.lo));
            Measured::of(node, fhir::measurement::of(&index.codings), at)
        }),
        only: None,
        topic,
        body: body(&checked),
        known_otherwise: Issue::error(
            IssueCode::Duplicate,
            format!("{what}.identifier"),
            "this reading was taken in before with other content; send a correction with status corrected, amended or entered-in-error",
        ),
    };
    let accepted = remember(state, unit, patient, owner).await?;
    // What is known was judged when it came: its correction goes where it went, also after the assignment was mended, for
    // else a wrong reading could not be taken back. Answers are nobody's device's.
    if accepted.fate == Taken::New && what == ResourceType::OBSERVATION {
        let device = index.device.as_deref();
        let (of, place) = (&accepted.patient, "Observation.device");
        assignment::bind(state, owner, device, index.when, of, place).await?;
    }
    Ok(accepted)
}

/// Refuses whoever may be alive where everybody is synthetic: nothing of them is kept, not even aside. `place` is where the number stands.
pub fn synthetic(state: &State, patient: &PersonIdentifier, place: &str) -> Result<(), Refused> {
    if !state.config.synthetic_only || patient.is_synthetic() {
        return Ok(());
    }
    let words = "this is a demo: only numbers marked synthetic are taken in";
    let issue = Issue::error(IssueCode::BusinessRule, place, words);
    Err(Refused::plain(Problem::unprocessable(vec![issue])))
}

/// One more reading of a patient's device. Many home systems name a device by its model alone: it counts with the patient.
pub fn pace(
    state: &State,
    caller: &Caller,
    patient: &PersonIdentifier,
    device: Option<&str>,
) -> Result<(), Refused> {
    let person = partition(patient);
    let parts = [
        &caller.client_id,
        person.as_str(),
        device.unwrap_or_default(),
    ];
    let store = &state.desk.store;
    let key = store.keyed("device", parts.join("\0").as_bytes());
    let counted = state.devices.take(key, 1, (state.house.clock)());
    counted.map_err(|seconds| Refused::plain(Problem::throttled(seconds)))
}

/// The rules by which what comes is checked.
pub fn rules(state: &State) -> Rules {
    Rules {
        person_numbers: state.config.person_numbers,
        zone: state.config.zone.clone(),
        unknown_codes: UnknownCodes::Refuse,
        now: Some((state.house.clock)()),
        ..Rules::default()
    }
}

/// One that is taken by itself, with its topic.
fn checked(state: &State, json: &Json, node: Node<'_>) -> Result<(Checked, &'static str), Refused> {
    let found = ResourceType::of(node).map_err(|issue| Refused {
        problem: Problem::unprocessable(vec![issue]),
        quarantine: None,
    })?;
    let Some(topic) = topic(found) else {
        let issue = Issue::error(
            IssueCode::NotSupported,
            "resourceType",
            "the hub takes Observation and QuestionnaireResponse here",
        );
        return Err(Refused {
            problem: Problem::unprocessable(vec![issue]),
            quarantine: None,
        });
    };
    let checked = fhir::check::check(json, node, &rules(state)).map_err(|issues| {
        let quarantine = (fate(&issues) == Fate::Quarantine).then_some("in-doubt");
        Refused {
            problem: Problem::unprocessable(issues),
            quarantine,
        }
    })?;
    Ok((checked, topic))
}

/// One thing as it is remembered and delivered: a reading, or a whole document.
pub struct Unit<'a> {
    /// By which it is the same as another; holds a person's number.
    pub identity: &'a [u8],
    /// Of its content.
    pub digest: [u8; 32],
    /// Whether it comes as a correction of an earlier one.
    pub correction: bool,
    /// When this version of it was made, as its sender says.
    pub said: Said,
    /// Since when it lay aside, if it did.
    pub came: Option<Instant>,
    /// What was remarked of it.
    pub remarks: Vec<Issue>,
    /// Whoever takes this kind gets it.
    pub kind: InformationService,
    /// What a record system's rules ask of a reading; the rest goes to everybody.
    pub measured: Option<Measured>,
    /// Receivers of this kind alone, where not all of them are meant.
    pub only: Option<ReceiverKind>,
    /// Topic in the outbox.
    pub topic: &'static str,
    /// What is delivered.
    pub body: Bytes,
    /// What the sender is told when it is known with other content.
    pub known_otherwise: Issue,
}

fn outdated() -> Issue {
    Issue::error(
        IssueCode::Conflict,
        "",
        "a newer version of this was taken in before, by what both say of when they were made; this one would replace it",
    )
}

/// Looks it up by its identity and prepares the ledger and outbox writes of a new one.
pub async fn remember(
    state: &State,
    unit: Unit<'_>,
    patient: PersonIdentifier,
    owner: OrganisationNumber,
) -> Result<Accepted, Refused> {
    let ledger_key = ledger_key(state, owner, unit.identity);
    let unavailable = |error: store::StoreError| Refused {
        problem: error.into(),
        quarantine: None,
    };
    let entry = state
        .desk
        .store
        .ledger_get(READINGS, &ledger_key)
        .await
        .map_err(unavailable)?;
    let bug = |_| Refused {
        problem: Problem::bug("a ledger entry cannot be written"),
        quarantine: None,
    };
    let known = entry.map(|entry| Ok((Known::read(&entry.value)?, entry)));
    let known = known.transpose().map_err(unavailable)?;
    if let Some((known, _)) = &known
        && let Some(first) = known.answered(&unit.digest)
    {
        return Ok(Accepted {
            key: first.to_owned(),
            fate: Taken::Before,
            patient,
            change: Change::default(),
            remarks: unit.remarks,
            counts: Counts::default(),
        });
    }
    let key = (state.house.ids)().to_string();
    let (expect, fate, before, known) = match known {
        None => {
            let known = Known::new(key.clone(), unit.digest, unit.said);
            (Expect::Absent, Taken::New, None, known)
        }
        Some(_) if !unit.correction => {
            return Err(Refused::quarantined("conflict", unit.known_otherwise));
        }
        Some((known, entry)) if known.is_after(&unit.said, unit.came, entry.updated) => {
            return Err(Refused::quarantined(OUTDATED, outdated()));
        }
        Some((known, entry)) => {
            let before = known.key.clone();
            let known = known.corrected(key.clone(), unit.digest, unit.said);
            let expect = Expect::Version(entry.version);
            (expect, Taken::Corrected, Some(before), known)
        }
    };
    let value = serde_json::to_vec(&known).map_err(bug)?;
    let known = LedgerWrite {
        ledger: READINGS,
        key: ledger_key,
        value: Some(value),
        expect,
    };
    let mut ledger = vec![known];
    let superseded = before.as_deref();
    ledger.extend(superseded.map(|before| versions::superseded(before, &key)));
    let (mut counts, mut receivers) = (Counts::default(), Vec::new());
    // What it corrects, if that still waits for its day and so is not there yet: it takes that one's place.
    let replaced = match &before {
        Some(before) => held::waiting(&state.desk.store, before)
            .await
            .map_err(unavailable)?
            .map(|waiting| (before, waiting)),
        None => None,
    };
    if let Some((before, waiting)) = &replaced {
        ledger.extend(waiting.released(before));
        let one = vec![waiting.receiver.clone()];
        ledger.extend(amount::left_out(before, &one).map_err(bug)?);
        counts.left_out.extend(one.iter().cloned());
        counts.released = one;
    }
    let all = state
        .destinations_of(owner, unit.kind)
        .filter(|d| unit.only.is_none_or(|kind| d.kind == kind));
    let mut not_to = Vec::new();
    for to in all {
        let replaces = replaced
            .as_ref()
            .is_some_and(|(_, waiting)| waiting.receiver == to.name);
        match way(to, &unit, replaces) {
            Way::AtOnce => receivers.push(to.name.clone()),
            Way::LeftOut => not_to.push(to.name.clone()),
            Way::Waits(wait) => {
                let Some(measured) = &unit.measured else {
                    continue;
                };
                let (entry, what) = ((key.as_str(), &unit.body[..]), (measured, wait));
                let writes = held::hold(state, entry, &to.name, &patient, what);
                ledger.extend(writes.map_err(unavailable)?);
                counts.held.push(to.name.clone());
            }
        }
    }
    ledger.extend(amount::left_out(&key, &not_to).map_err(bug)?);
    counts.left_out.append(&mut not_to);
    let change = Change {
        ledger,
        outbox: vec![OutboxEntry {
            topic: unit.topic,
            receivers,
            partition: partition(&patient),
            key: key.clone(),
            body: unit.body,
        }],
        ..Change::default()
    };
    Ok(Accepted {
        key,
        fate,
        patient,
        change,
        remarks: unit.remarks,
        counts,
    })
}

/// What a receiver gets of it. `replaces`: what it corrects still waits for this one.
fn way(to: &Destination, unit: &Unit<'_>, replaces: bool) -> Way {
    match &unit.measured {
        None => Way::AtOnce,
        // Neither it nor what it takes back was ever there.
        Some(measured) if replaces && measured.taken_back => Way::LeftOut,
        Some(measured) => amount::way(&to.rules, measured, unit.correction && !replaces),
    }
}

/// Forgets readings that came before `oldest` and whose deliveries are forgotten too: what waits, for its day too, or was refused for good, is
/// known as long as it is there. Looks at everything once.
pub async fn forget(state: &State, oldest: Instant) -> Result<(), StoreError> {
    let store = &state.desk.store;
    let mut pages = store.ledger_pages(READINGS, b"", PAGE);
    while let Some(page) = pages.next().await? {
        let mut over = Vec::new();
        for entry in page.into_iter().filter(|entry| entry.updated < oldest) {
            let known = Known::read(&entry.value)?;
            let mut there = false;
            for key in known.keys() {
                there |= held::of(store, key).await?.is_some();
                there |= !store.outbox_by_key(key).await?.is_empty();
            }
            if !there {
                over.push(Change {
                    ledger: vec![LedgerWrite {
                        ledger: READINGS,
                        key: entry.key,
                        value: None,
                        expect: Expect::Version(entry.version),
                    }],
                    ..Change::default()
                });
            }
        }
        for done in store.commit_all(over).await {
            match done {
                // Corrected meanwhile: it is young again.
                Ok(_) | Err(StoreError::LedgerMismatch { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The ledger's key of a reading: a keyed hash, since an identity holds the person's number. Each organisation's readings
/// are known for themselves: what was sent for one is neither a resend nor a conflict of what is sent for another.
pub fn ledger_key(state: &State, owner: OrganisationNumber, identity: &[u8]) -> Vec<u8> {
    let text = [owner.as_str().as_bytes(), b"\0", identity].concat();
    state.desk.store.keyed("reading", &text).to_vec()
}

/// Entries of one patient are delivered in order; the store keeps a keyed hash of this only.
pub fn partition(patient: &PersonIdentifier) -> String {
    format!("{}|{}", patient.system(), patient.value().expose())
}

/// What is delivered: the sender's own bytes.
fn body(checked: &Checked) -> Bytes {
    checked.body().clone()
}
