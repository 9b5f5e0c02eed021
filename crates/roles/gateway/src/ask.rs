//! One bounded question to each source, all at once: an exchanged token from the anchor, one deadline a source and one for
//! all, size, depth and page limits, no redirects, and next links only below the source's registered base ([`Line`]).

use crate::State;
use crate::deadline::Deadline;
use crate::examine::{self, Dropped, Expected, Hers};
use crate::line::Line;
use crate::locate::{Source, is_within};
use crate::merge::Given;
use crate::place::{self, Place};
use crate::question::Question;
use fhir::ids::PersonIdentifier;
use fhir::resource::ResourceType;
use fhir::time::{Instant, parse_instant};
use futures::future::join_all;
use trust::Permit;
use wire::client::{Answer, Request};
use wire::contract::sharing::{COPY_AS_OF_HEADER, COPY_STATE_HEADER, CopyAge, search_url};
use wire::receipt::SourceState;
use wire::visit::Visit;

/// Pages of one source that one page of a look-up may take; 200 entries each.
const MOST_PAGES: usize = 25;

/// Asks for the page behind a source's link, after so many that were read; or says why the rest is left.
pub fn following(next: &str, base: &str, pages: usize) -> Result<Request, &'static str> {
    if pages == MOST_PAGES {
        return Err("it has more than is read at once");
    }
    if !is_within(next, base) {
        return Err("its link to more leads elsewhere");
    }
    Ok(Request::get(next))
}
/// Bytes that all sources of one look-up may hold at a time, divided among them.
const ALL_BYTES: usize = 64 * 1024 * 1024;
/// A source's answer is at least allowed this much.
const LEAST_BYTES: usize = 1024 * 1024;

/// Why a source that has more than one answer holds is not read further, where nobody asks for the rest.
pub const MORE: &str = "it has more than one answer holds";

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
    /// When it answered, by its own clock.
    pub asked_at: Option<Instant>,
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
    /// From the headers of an answer about `resource`; what is not understood is as if it were not there.
    pub fn of(answer: &Answer, resource: ResourceType) -> Copied {
        // A trail is no copy of anything.
        if resource == ResourceType::AUDIT_EVENT {
            return Copied::default();
        }
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

/// What each of these sources may hold of our memory at a time.
pub fn bytes_for(sources: &[Source]) -> usize {
    let asked = sources.iter().filter(|source| source.unasked.is_none());
    (ALL_BYTES / asked.count().max(1)).clamp(LEAST_BYTES, wire::client::ANSWER_BYTES)
}

/// How every source is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Errand<'a> {
    /// A search, page by page until there is enough to show.
    Pages,
    /// A search to its end.
    Whole,
    /// One answer to a POST of the form to this path: an operation, or a search of which the first page is enough.
    Once(&'a str),
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
    /// How.
    pub errand: Errand<'a>,
    /// The scope that a token for it takes.
    pub scope: &'a str,
    /// The form that every source gets.
    pub form: &'a [(String, String)],
    /// By when all must have answered.
    pub deadline: &'a Deadline,
    /// Who the patient is at each source, where that was told before.
    pub hers: &'a Hers,
}

impl Asking<'_> {
    /// Asks every source that may be asked; answers in the order of `sources`.
    pub async fn all(&self, sources: &[Source]) -> Vec<Timed> {
        let bytes = bytes_for(sources);
        let ask = |(number, source)| self.one(number, source, bytes);
        join_all(sources.iter().enumerate().map(ask)).await
    }

    /// Asks one, which is the `number`th, for at most so many bytes.
    pub async fn one(&self, number: usize, source: &Source, bytes: usize) -> Timed {
        let walk = async |base: &str| self.walk(number, source, base, bytes).await;
        self.timed(source, walk).await
    }

    /// Runs `work` with the base of a source that may be asked, and takes the time.
    pub async fn timed(&self, source: &Source, work: impl AsyncFnOnce(&str) -> Told) -> Timed {
        let base = match (&source.unasked, &source.base) {
            (None, Some(base)) => base,
            (unasked, _) => {
                let unknown = || (SourceState::NotAsked, "no address is known".to_owned());
                let (state, reason) = unasked.clone().unwrap_or_else(unknown);
                return Timed {
                    told: Told::Nothing { state, reason },
                    milliseconds: None,
                };
            }
        };
        let clock = &self.state.house.clock;
        let began = clock();
        let told = work(base).await;
        let micros = clock().0.saturating_sub(began.0).max(0);
        Timed {
            told,
            milliseconds: u64::try_from(micros / 1000).ok(),
        }
    }

    /// Reads a source page by page until there is enough to show, or no more.
    async fn walk(&self, number: usize, source: &Source, base: &str, bytes: usize) -> Told {
        let opened = Line::open(
            self.state,
            self.visit,
            (base, self.scope),
            self.deadline,
            bytes,
        );
        let mut line = match opened {
            Ok(line) => line,
            Err((state, reason)) => return Told::Nothing { state, reason },
        };
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
        let url = match self.errand {
            Errand::Once(path) => format!("{base}/{path}"),
            Errand::Pages | Errand::Whole => search_url(base, self.question.resource.as_str()),
        };
        let mut request = Request::post_form(url, form);
        let mut gave = Gave::default();
        for pages in 1.. {
            let page = line.ask(request).await.and_then(|answer| {
                gave.copy = Copied::of(&answer, self.question.resource);
                if pages == 1 {
                    gave.asked_at = answer.date();
                }
                let page = examine::page(answer.body, &expected);
                page.map_err(|words| line.unusable(words))
            });
            let page = match page {
                Ok(page) => {
                    line.good();
                    page
                }
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
            if let Errand::Once(_) = self.errand {
                gave.more = true;
                gave.cut_short = Some(MORE);
                break;
            }
            if self.question.is_ordered() && !place::is_ordered(&gave.given, self.question.sort()) {
                gave.cut_short =
                    Some("it did not answer in the order asked for, so the rest could not be read");
                break;
            }
            let enough = || {
                let (rule, sort) = (self.question.rule(), self.question.sort());
                self.place.is_enough(&gave.given, rule, sort)
            };
            if self.errand == Errand::Pages && self.question.is_ordered() && enough() {
                gave.more = true;
                break;
            }
            request = match following(&next, base, pages) {
                Ok(request) => request,
                Err(words) => {
                    gave.cut_short = Some(words);
                    break;
                }
            };
        }
        let hers = self.hers.get(&number);
        examine::of_one_patient(&mut gave.given, &mut gave.dropped, hers);
        Told::Gave(gave)
    }
}
