//! One bounded question to each source, all at once: an exchanged token from the anchor, one deadline a source and one for
//! all, size, depth and page limits, no redirects, and next links only below the source's registered base.

use crate::State;
use crate::deadline::Deadline;
use crate::examine::{self, Dropped, Expected};
use crate::locate::{Source, fault, is_within};
use crate::merge::Given;
use crate::place::{self, Place};
use crate::question::Question;
use fhir::ids::PersonIdentifier;
use fhir::time::{Instant, parse_instant};
use futures::future::join_all;
use trust::Permit;
use wire::client::{Answer, PeerError, Request};
use wire::contract::sharing::{COPY_AS_OF_HEADER, COPY_STATE_HEADER, CopyAge, search_url};
use wire::receipt::SourceState;
use wire::visit::Visit;

/// Pages of one source that one page of a look-up may take; 200 entries each.
const MOST_PAGES: usize = 25;
/// Bytes that all sources of one look-up may hold at a time, divided among them.
const ALL_BYTES: usize = 64 * 1024 * 1024;
/// A source's answer is at least allowed this much.
const LEAST_BYTES: usize = 1024 * 1024;

/// What became of one source.
pub enum Told {
    /// It answered.
    Gave(Gave),
    /// It did not, or not so that it can be used.
    Nothing {
        /// How that is called.
        state: SourceState,
        /// Why.
        reason: String,
    },
}

/// A source's answer, as far as it went.
#[derive(Default)]
pub struct Gave {
    /// What counts, in the source's order.
    pub given: Vec<Given>,
    /// What was left out.
    pub dropped: Dropped,
    /// Newest `lastUpdated` of what counts.
    pub newest: Option<Instant>,
    /// It has more, and nothing is wrong with that.
    pub more: bool,
    /// Why it was not read to where it should have been.
    pub cut_short: Option<&'static str>,
    /// What it says of its copy.
    pub copy: Copied,
}

/// What a source says of the age of the copy that it answers from.
#[derive(Clone, Copy, Default)]
pub struct Copied {
    /// Up to when everything of its source is there.
    pub as_of: Option<Instant>,
    /// That is longer ago than it promises.
    pub late: bool,
}

impl Copied {
    /// From the answer's headers; what is not understood is as if it were not there.
    fn of(answer: &Answer) -> Copied {
        let text = |name: &str| answer.headers.get(name)?.to_str().ok();
        Copied {
            as_of: text(COPY_AS_OF_HEADER).and_then(|at| parse_instant(at).ok()),
            late: text(COPY_STATE_HEADER).and_then(CopyAge::parse) == Some(CopyAge::Late),
        }
    }
}

/// A source's answer and how long it took.
pub struct Timed {
    /// What became of it.
    pub told: Told,
    /// Milliseconds; `None` when it was not asked.
    pub milliseconds: Option<u64>,
}

/// What is asked of every source.
pub struct Asking<'a> {
    /// The gateway.
    pub state: &'a State,
    /// In whose name.
    pub visit: &'a Visit<'a>,
    /// What the caller may see.
    pub permit: &'a Permit,
    /// The question.
    pub question: &'a Question,
    /// The patient.
    pub patient: &'a PersonIdentifier,
    /// From where on.
    pub place: Place,
    /// The form that every source gets.
    pub form: &'a [(String, String)],
    /// By when all must have answered.
    pub deadline: &'a Deadline,
}

impl Asking<'_> {
    /// Asks every source that may be asked; answers in the order of `sources`.
    pub async fn all(&self, sources: &[Source]) -> Vec<Timed> {
        let asked = sources
            .iter()
            .filter(|source| source.unasked.is_none())
            .count();
        let bytes = (ALL_BYTES / asked.max(1)).clamp(LEAST_BYTES, wire::client::ANSWER_BYTES);
        let scope = self.question.scope();
        let ask = |(number, source)| self.one(number, source, &scope, bytes);
        join_all(sources.iter().enumerate().map(ask)).await
    }

    async fn one(&self, number: usize, source: &Source, scope: &str, bytes: usize) -> Timed {
        let base = match (&source.unasked, &source.base) {
            (None, Some(base)) => base,
            (Some((state, reason)), _) => {
                return Timed {
                    told: Told::Nothing {
                        state: *state,
                        reason: reason.clone(),
                    },
                    milliseconds: None,
                };
            }
            (None, None) => {
                let reason = "no address is known".to_owned();
                return Timed {
                    told: Told::Nothing {
                        state: SourceState::NotAsked,
                        reason,
                    },
                    milliseconds: None,
                };
            }
        };
        let clock = &self.state.house.clock;
        let began = clock();
        let told = self.walk(number, source, base, scope, bytes).await;
        let micros = clock().0.saturating_sub(began.0).max(0);
        Timed {
            told,
            milliseconds: u64::try_from(micros / 1000).ok(),
        }
    }

    /// Reads a source page by page until there is enough to show, or no more.
    async fn walk(
        &self,
        number: usize,
        source: &Source,
        base: &str,
        scope: &str,
        bytes: usize,
    ) -> Told {
        let deadline = self.deadline.or_after(self.state.config.source_deadline);
        let expected = Expected {
            resource: self.question.resource,
            patient: self.patient,
            base,
            orgnr: &source.organisation,
            source: number,
            zone: &self.state.config.zone,
            numbers: self.state.config.person_numbers,
            withheld: self.permit.withheld(),
        };
        let form = self
            .form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let mut request =
            Request::post_form(search_url(base, self.question.resource.as_str()), form);
        let mut gave = Gave::default();
        let mut total = 0;
        for pages in 1.. {
            let bounded = request
                .request_id(self.visit.ids().ours)
                .deadline(self.state.config.source_deadline)
                .answer_bytes(bytes.saturating_sub(total).max(1));
            let asked = self
                .state
                .party
                .send_for(self.visit.token(), base, scope, bounded);
            let answered = deadline.within(asked).await.unwrap_or(Err(PeerError::Late));
            let page = match answered.map_err(|error| fault(&error)).and_then(|answer| {
                total += answer.body.len();
                // A trail is no copy of anything.
                if self.is_paged() {
                    gave.copy = Copied::of(&answer);
                }
                usable(answer)
            }) {
                Ok(body) => examine::page(body, &expected)
                    .map_err(|words| (SourceState::Failed, words.to_owned())),
                Err(fault) => Err(fault),
            };
            let page = match page {
                Ok(page) => page,
                Err((state, reason)) if pages == 1 => return Told::Nothing { state, reason },
                Err(_) => {
                    gave.cut_short = Some("only its first pages came");
                    break;
                }
            };
            gave.given.extend(page.given);
            gave.dropped.add(page.dropped);
            gave.newest = gave.newest.max(page.newest);
            let Some(next) = page.next else { break };
            if !self.is_paged() {
                gave.more = true;
                break;
            }
            if !place::is_ordered(&gave.given, self.question.sort()) {
                gave.cut_short =
                    Some("it did not answer in the order asked for, so the rest could not be read");
                break;
            }
            if self
                .place
                .is_enough(&gave.given, self.question.rule(), self.question.sort())
            {
                gave.more = true;
                break;
            }
            if pages == MOST_PAGES {
                gave.cut_short = Some("it has more than is read at once");
                break;
            }
            if !is_within(&next, base) {
                gave.cut_short = Some("its link to more leads elsewhere");
                break;
            }
            request = Request::get(next);
        }
        Told::Gave(gave)
    }

    /// The audit trail is read one page deep: the newest of every source hold the newest of all.
    fn is_paged(&self) -> bool {
        self.question.resource != fhir::resource::ResourceType::AUDIT_EVENT
    }
}

/// The body of an answer that may be looked at; no words of the source's own reach the receipt.
fn usable(answer: Answer) -> Result<bytes::Bytes, (SourceState, String)> {
    match answer.status.as_u16() {
        200 => Ok(answer.body),
        401 | 403 => Err((SourceState::Refused, "it refused".to_owned())),
        408 | 504 => Err((SourceState::Late, "no answer in time".to_owned())),
        status => Err((SourceState::Failed, format!("it answered {status}"))),
    }
}
