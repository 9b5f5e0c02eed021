//! The line to one source for one look-up: its circuit, its deadline, the bytes it may still send, its token (renewed once)
//! and at most one repeat. Only safe requests go over it: searches, reads, histories.

use crate::State;
use crate::circuit::Resting;
use crate::deadline::Deadline;
use crate::locate::fault;
use http::StatusCode;
use std::time::Duration;
use wire::client::{Answer, PeerError, Request, Token};
use wire::receipt::SourceState;
use wire::visit::Visit;

/// What became of a source that gave nothing, and why.
pub type Fault = (SourceState, String);

/// Shortest pause before a repeat, in milliseconds, and how much longer it may be.
const PAUSE: (u64, u64) = (20, 80);

/// A source that may be asked.
pub struct Line<'a> {
    state: &'a State,
    visit: &'a Visit<'a>,
    base: &'a str,
    scope: &'a str,
    whole: &'a Deadline,
    deadline: Deadline,
    bytes: usize,
    renewed: bool,
}

impl<'a> Line<'a> {
    /// Opens the line to the service at `base` for tokens of `scope` and at most so many bytes in all.
    ///
    /// # Errors
    /// The source rests.
    pub fn open(
        state: &'a State,
        visit: &'a Visit<'a>,
        (base, scope): (&'a str, &'a str),
        whole: &'a Deadline,
        bytes: usize,
    ) -> Result<Line<'a>, Fault> {
        let admitted = state.circuits.admit(base, (state.house.clock)());
        admitted.map_err(|resting| (SourceState::Failed, words(resting)))?;
        Ok(Line {
            state,
            visit,
            base,
            scope,
            whole,
            deadline: whole.or_after(state.config.source_deadline),
            bytes,
            renewed: false,
        })
    }

    /// Sends a safe request and gives the answer if it is 200; whoever looks at it says [`Line::good`] or
    /// [`Line::unusable`].
    ///
    /// # Errors
    /// What became of the source; no words of its own are in it.
    pub async fn ask(&mut self, request: Request) -> Result<Answer, Fault> {
        let answer = self.answer(request).await?;
        self.taken(answer)
    }

    /// As [`Line::ask`] for one thing at an address of its own: that it is not there (404, 410) is an answer too.
    ///
    /// # Errors
    /// As [`Line::ask`].
    pub async fn ask_for_one(&mut self, request: Request) -> Result<Answer, Fault> {
        let answer = self.answer(request).await?;
        if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            self.good();
            return Ok(answer);
        }
        self.taken(answer)
    }

    /// Whatever was answered, at most one repeat included.
    async fn answer(&mut self, request: Request) -> Result<Answer, Fault> {
        let request = request
            .request_id(self.visit.ids().ours)
            .deadline(self.state.config.source_deadline)
            .answer_bytes(self.bytes.max(1));
        self.state.circuits.asks(self.base);
        let mut answered = self.once(&request).await;
        if may_be_repeated(&answered) && self.state.circuits.may_repeat(self.base) {
            let pause = Duration::from_millis(PAUSE.0 + self.dice() % PAUSE.1);
            self.deadline.within(Deadline::after(pause).passed()).await;
            answered = self.once(&request).await;
        }
        let answer = match answered {
            Ok(answer) => answer,
            Err(error) => {
                if is_the_peers(&error, self.whole) {
                    self.state
                        .circuits
                        .failed(self.base, self.now(), self.dice());
                }
                return Err(fault(&error));
            }
        };
        self.bytes = self.bytes.saturating_sub(answer.body.len());
        Ok(answer)
    }

    /// The answer was what it should be.
    pub fn good(&self) {
        self.state.circuits.answered(self.base);
    }

    /// The answer came and cannot be used.
    pub fn unusable(&self, words: &str) -> Fault {
        self.state
            .circuits
            .failed(self.base, self.now(), self.dice());
        (SourceState::Failed, words.to_owned())
    }

    fn taken(&self, answer: Answer) -> Result<Answer, Fault> {
        let circuits = &self.state.circuits;
        let status = answer.status.as_u16();
        let fault = match status {
            200 => return Ok(answer),
            401 | 403 => (SourceState::Refused, "it refused".to_owned()),
            408 | 504 => (SourceState::Late, "no answer in time".to_owned()),
            429 => (
                SourceState::Failed,
                "it has too much to do and asked us to wait".to_owned(),
            ),
            status => (SourceState::Failed, format!("it answered {status}")),
        };
        let wait = answer.retry_after(self.now());
        match (status, wait) {
            (429 | 503, Some(wait)) => {
                let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
                circuits.asked_to_wait(self.base, self.now(), micros, self.dice());
            }
            (408 | 429 | 500.., _) => circuits.failed(self.base, self.now(), self.dice()),
            // A redirect is no answer.
            (300..400, _) => circuits.failed(self.base, self.now(), self.dice()),
            _ => circuits.answered(self.base),
        }
        Err(fault)
    }

    /// Sends it with a token; a token that ended on the way is renewed once in a look-up.
    async fn once(&mut self, request: &Request) -> Result<Answer, PeerError> {
        let deadline = self.deadline.clone();
        let sent = deadline.within(async {
            let token = self.token(None).await?;
            let party = &self.state.party;
            let answer = party.send_as(&token, request.clone()).await?;
            if answer.status != StatusCode::UNAUTHORIZED || self.renewed {
                return Ok(answer);
            }
            self.renewed = true;
            let token = self.token(Some(&token)).await?;
            party.send_as(&token, request.clone()).await
        });
        sent.await.unwrap_or(Err(PeerError::Late))
    }

    async fn token(&self, instead_of: Option<&Token>) -> Result<Token, PeerError> {
        let (party, subject) = (&self.state.party, self.visit.token());
        match instead_of {
            None => party.exchange(subject, self.base, self.scope).await,
            Some(used) => {
                party
                    .exchange_again(subject, self.base, self.scope, used)
                    .await
            }
        }
    }

    fn now(&self) -> fhir::time::Instant {
        (self.state.house.clock)()
    }

    fn dice(&self) -> u64 {
        dice(self.state)
    }
}

/// Any random number, for jitter.
pub fn dice(state: &State) -> u64 {
    (state.house.ids)().as_u64_pair().1
}

/// Whether a failure is the peer's, and not the trust anchor's, ours, or that of whoever took the `whole` of our time before.
pub fn is_the_peers(error: &PeerError, whole: &Deadline) -> bool {
    match error {
        PeerError::Late => !whole.has_passed(),
        PeerError::Connect
        | PeerError::Broken
        | PeerError::TooLong
        | PeerError::Unusable(_)
        | PeerError::Status(_) => true,
        PeerError::Token(_) | PeerError::Address(_) | PeerError::Tls(_) => false,
    }
}

/// A connection that broke or a busy door may be better at once; what was late, said no or lied is not.
fn may_be_repeated(answered: &Result<Answer, PeerError>) -> bool {
    match answered {
        Ok(answer) => {
            matches!(answer.status.as_u16(), 502 | 503)
                && !answer.headers.contains_key(http::header::RETRY_AFTER)
        }
        Err(error) => matches!(error, PeerError::Connect | PeerError::Broken),
    }
}

/// Why it is not asked now.
pub fn words(resting: Resting) -> String {
    let whole = fhir::time::Instant::from_seconds(resting.until.seconds() + 1);
    if resting.asked_for {
        format!("it asked to be left alone until {whole}")
    } else {
        format!("it failed again and again and is given a rest; it is asked again from {whole}")
    }
}
