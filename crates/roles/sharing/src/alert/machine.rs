//! The states of an alert and the steps between them. Pure: who, what and when are arguments, and the same step from the same
//! state has one outcome.
//!
//! One owner at a time. Nothing here closes an alert but a person who owns it and says why, or another organisation that has
//! accepted it. A deadline that passes with nobody on it raises the level, and each wait is twice as long as the one before.

use fhir::plan::Zone;
use fhir::time::Instant;

const MINUTE: i64 = 60_000_000;
/// Longest wait between two levels: a day.
const LONGEST: i64 = 24 * 60 * MINUTE;
/// How long what its owner looked into stands for what is found after it: a further red or missing reading later than that wakes
/// her again, one within it joins in silence, so that one spell is not told of at each reading. Four hours: a reading of the
/// evening is not what was looked into in the morning. To be confirmed by a clinician.
const LOOKED_INTO: i64 = 4 * 60 * MINUTE;

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody has it.
    Raised,
    /// Somebody has it.
    Owned,
    /// Its owner has looked into it.
    Acknowledged,
    /// Offered to another organisation, which has not answered; still its owner's.
    HandingOver,
    /// Another organisation has accepted it.
    HandedOver,
    /// Another organisation offers it to this one.
    Offered,
    /// This organisation did not take what was offered.
    Declined,
    /// Its owner has closed it, with a note.
    Resolved,
    /// Its owner has joined it to another of hers, which stands for both.
    Joined,
}

/// State; our code (`Task.businessStatus`); the nearest `Task.status`; its Norwegian name.
const TABLE: &[(State, &str, &str, &str)] = &[
    (State::Raised, "raised", "requested", "Utløst"),
    (State::Owned, "owned", "accepted", "Tatt"),
    (
        State::Acknowledged,
        "acknowledged",
        "in-progress",
        "Vurdert",
    ),
    (
        State::HandingOver,
        "handing-over",
        "in-progress",
        "Under overføring",
    ),
    (State::HandedOver, "handed-over", "completed", "Overført"),
    (State::Offered, "offered", "requested", "Tilbudt"),
    (State::Declined, "declined", "rejected", "Ikke tatt imot"),
    (State::Resolved, "resolved", "completed", "Avsluttet"),
    (State::Joined, "joined", "completed", "Slått sammen"),
];

impl State {
    fn row(self) -> &'static (State, &'static str, &'static str, &'static str) {
        // Every state has its row; a test walks them.
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[0])
    }

    /// Our code of it.
    pub fn code(self) -> &'static str {
        self.row().1
    }

    /// The nearest code of FHIR's task-status.
    pub fn status(self) -> &'static str {
        self.row().2
    }

    /// Its Norwegian name.
    pub fn name(self) -> &'static str {
        self.row().3
    }

    /// The state of a code.
    pub fn parse(code: &str) -> Option<State> {
        TABLE.iter().find(|row| row.1 == code).map(|row| row.0)
    }

    /// Whether this organisation still has something to do with it.
    pub fn is_open(self) -> bool {
        !matches!(
            self,
            State::HandedOver | State::Declined | State::Resolved | State::Joined
        )
    }
}

/// A person who takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// By which two steps of one person are known as hers: a keyed hash, nobody's number.
    pub key: String,
    /// Name and organisation, as the token says.
    pub name: String,
}

/// An alert, as far as its steps depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Where it stands.
    pub state: State,
    /// How grave: yellow or red. It never falls. A missing reading has no colour; it waits as yellow does, by its own deadline.
    pub zone: Zone,
    /// Who has it.
    pub owner: Option<Owner>,
    /// By when the next step is to be taken; `None`: nothing is waited for.
    pub deadline: Option<Instant>,
    /// How many deadlines have passed since it last changed hands or rose.
    pub level: u32,
    /// When the last of them did.
    pub escalated: Option<Instant>,
    /// When it last rose from yellow to red.
    pub rose: Option<Instant>,
    /// When its owner last looked into it.
    pub acknowledged: Option<Instant>,
}

/// What can be done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A person takes it: also from a colleague, or back from an organisation that has not answered, if she says why.
    Own,
    /// Its owner has looked into it.
    Acknowledge,
    /// Its owner closes it and says why.
    Resolve,
    /// Its owner joins another of hers to it, and says why: it stays, and then stands for both ([`Alert::with`]).
    Gather,
    /// Its owner joins it to another of hers, and says why: it ends.
    JoinTo,
    /// A person adds her assessment.
    Note,
    /// Its owner offers it to another organisation.
    HandOver,
    /// A person takes what another organisation offers.
    Accept,
    /// A person says no to it, and why.
    Decline,
    /// A further finding of this gravity; `None`: of a reading that is missing, which has no colour.
    Join(Option<Zone>),
    /// The deadline has passed.
    Escalate,
    /// The other organisation has accepted.
    Taken,
    /// The other organisation has declined.
    SentBack,
    /// The other organisation has taken its offer back.
    CalledBack,
    /// The acceptance did not count: the other organisation had given it to another before, or closed it.
    Lost,
}

/// Why a step cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum No {
    /// It is closed, handed over or declined: that is the state.
    Closed(State),
    /// Somebody else has it: her name.
    Owned(String),
    /// Nobody has it: who takes the step must own it first.
    Unowned,
    /// It is another organisation's offer, to be accepted or declined first.
    Offered,
    /// It is no offer, or not any more.
    NotOffered,
    /// It is offered to another organisation.
    OnItsWay,
    /// The step takes a note.
    NeedsNote,
}

/// Who takes a step, and when.
pub struct By<'a> {
    /// The person; `None`: the service itself.
    pub person: Option<&'a Owner>,
    /// Whether she says why.
    pub note: bool,
    /// Now.
    pub now: Instant,
    /// How long an alert of this gravity may wait, in microseconds.
    pub wait: &'a (dyn Fn(Zone) -> i64 + Sync),
}

impl<'a> By<'a> {
    /// The service itself, at `now`.
    pub fn itself(now: Instant, wait: &'a (dyn Fn(Zone) -> i64 + Sync)) -> By<'a> {
        By {
            person: None,
            note: false,
            now,
            wait,
        }
    }
}

impl Alert {
    /// A new one, that nobody has.
    pub fn raised(state: State, zone: Zone, now: Instant, wait: i64) -> Alert {
        Alert {
            state,
            zone,
            owner: None,
            deadline: Some(now.plus_micros(wait)),
            level: 0,
            escalated: None,
            rose: None,
            acknowledged: None,
        }
    }

    /// It after a step; equal to itself where the step changes nothing.
    ///
    /// # Errors
    /// [`No`]: it stays as it is.
    pub fn after(&self, step: Step, by: &By<'_>) -> Result<Alert, No> {
        match step {
            Step::Note => return Ok(self.clone()),
            Step::Join(_)
            | Step::Escalate
            | Step::Taken
            | Step::SentBack
            | Step::CalledBack
            | Step::Lost => {
                return self.by_itself(step, by);
            }
            _ => {}
        }
        if !self.state.is_open() {
            return Err(No::Closed(self.state));
        }
        let mine = self.owner.is_some() && self.owner.as_ref() == by.person;
        match (step, self.state) {
            (Step::Accept, State::Offered) => Ok(self.taken_by(by)),
            (Step::Decline, State::Offered) => self.ended(State::Declined, by),
            (Step::Accept | Step::Decline, _) => Err(No::NotOffered),
            (_, State::Offered) => Err(No::Offered),
            (Step::Own, State::Owned | State::Acknowledged) if mine => Ok(self.clone()),
            (Step::Own, State::Raised) => Ok(self.taken_by(by)),
            // From a colleague, or back from another organisation: not without a word.
            (Step::Own, _) if by.note => Ok(self.taken_by(by)),
            (Step::Own, State::HandingOver) if mine => Err(No::NeedsNote),
            (_, State::Raised) => Err(No::Unowned),
            _ if !mine => Err(No::Owned(self.name())),
            (_, State::HandingOver) => Err(No::OnItsWay),
            (Step::Acknowledge, _) => Ok(Alert {
                state: State::Acknowledged,
                deadline: None,
                acknowledged: Some(by.now),
                ..self.clone()
            }),
            (Step::HandOver, _) => Ok(Alert {
                state: State::HandingOver,
                deadline: Some(self.until(by)),
                ..self.clone()
            }),
            (Step::Gather, _) if by.note => Ok(self.clone()),
            (Step::Gather, _) => Err(No::NeedsNote),
            (Step::JoinTo, _) => self.ended(State::Joined, by),
            (_, _) => self.ended(State::Resolved, by),
        }
    }

    /// It, standing for another of the same owner too: nothing that was waited for at either is waited for less.
    #[must_use]
    pub fn with(&self, other: &Alert) -> Alert {
        let both = [self.state, other.state] == [State::Acknowledged; 2];
        let deadlines = self.deadline.into_iter().chain(other.deadline);
        Alert {
            // What she looked into was not the other.
            state: if both { self.state } else { State::Owned },
            zone: self.zone.max(other.zone),
            owner: self.owner.clone(),
            deadline: deadlines.min(),
            level: self.level.max(other.level),
            escalated: self.escalated.max(other.escalated),
            rose: self.rose.max(other.rose),
            acknowledged: self.acknowledged.min(other.acknowledged),
        }
    }

    /// Steps that no person of this organisation takes. What they find closed stays closed.
    fn by_itself(&self, step: Step, by: &By<'_>) -> Result<Alert, No> {
        let same = self.clone();
        Ok(match (step, self.state) {
            // The other organisation has it, whatever was done here meanwhile, unless it was closed.
            (
                Step::Taken,
                State::HandingOver | State::Owned | State::Acknowledged | State::Raised,
            ) => Alert {
                state: State::HandedOver,
                deadline: None,
                ..same
            },
            (Step::SentBack, State::HandingOver) => Alert {
                state: State::Owned,
                deadline: Some(self.until(by)),
                ..same
            },
            (Step::CalledBack, State::Offered) => Alert {
                state: State::Declined,
                deadline: None,
                ..same
            },
            (
                Step::Lost,
                State::Raised | State::Owned | State::Acknowledged | State::HandingOver,
            ) => Alert {
                state: State::Declined,
                deadline: None,
                ..same
            },
            (Step::Taken | Step::SentBack | Step::CalledBack | Step::Lost, _) => same,
            (_, state) if !state.is_open() => return Err(No::Closed(state)),
            (Step::Join(Some(zone)), state) if zone > self.zone => Alert {
                // What has risen is to be looked into anew.
                state: match state {
                    State::Acknowledged => State::Owned,
                    other => other,
                },
                zone,
                deadline: Some(by.now.plus_micros((by.wait)(zone))),
                level: 0,
                rose: Some(by.now),
                ..same
            },
            // What was looked into was not this.
            (Step::Join(None | Some(Zone::Red)), State::Acknowledged) if self.is_past(by.now) => {
                Alert {
                    state: State::Owned,
                    deadline: Some(self.until(by)),
                    level: 0,
                    ..same
                }
            }
            (Step::Escalate, _) if self.deadline.is_some_and(|end| end <= by.now) => {
                let level = self.level.saturating_add(1);
                let wait = (by.wait)(self.zone);
                let wait = wait.saturating_mul(1_i64 << level.min(16)).min(LONGEST);
                Alert {
                    deadline: Some(by.now.plus_micros(wait)),
                    level,
                    escalated: Some(by.now),
                    ..same
                }
            }
            _ => same,
        })
    }

    /// Whether it is too long since its owner looked into it for that to answer what is found now.
    fn is_past(&self, now: Instant) -> bool {
        self.acknowledged
            .is_none_or(|at| at.plus_micros(LOOKED_INTO) <= now)
    }

    fn taken_by(&self, by: &By<'_>) -> Alert {
        Alert {
            state: State::Owned,
            owner: by.person.cloned(),
            deadline: Some(self.until(by)),
            level: 0,
            ..self.clone()
        }
    }

    fn ended(&self, state: State, by: &By<'_>) -> Result<Alert, No> {
        if !by.note {
            return Err(No::NeedsNote);
        }
        Ok(Alert {
            state,
            deadline: None,
            ..self.clone()
        })
    }

    fn until(&self, by: &By<'_>) -> Instant {
        by.now.plus_micros((by.wait)(self.zone))
    }

    /// Who has it, in words.
    pub fn name(&self) -> String {
        let name = self.owner.as_ref().map(|owner| owner.name.clone());
        name.unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
