//! Plays the story on by a clock that is put (`delt demo --from-day`): at each moment that is asked for, what happens until then
//! happens, each thing at its own time, before the answer. Off in a demo by the wall clock, where nothing is added after `ready`.

use super::state::{DemoState, Folder};
use super::{Started, history};
use crate::time::Time;
use anyhow::ensure;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use fhir::time::Instant;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::calendar::{Calendar, moment};
use testkit::event::{Action, Event};
use testkit::people::Directory;
use testkit::rows::clock_time;
use testkit::story;
use tokio::sync::{mpsc, oneshot};
use wire::contract::demo::{CLOCK, ClockRequest};

/// Somebody asks for a moment, and waits until the story is told up to it.
pub struct Wish {
    until: Instant,
    done: oneshot::Sender<anyhow::Result<usize>>,
}

#[derive(Clone)]
struct Desk {
    time: Time,
    calendar: Calendar,
    wishes: mpsc::Sender<Wish>,
}

/// The clock's route on the control port, and where its wishes come out.
pub fn control(time: Time, calendar: Calendar) -> (mpsc::Receiver<Wish>, Router) {
    let (wishes, come) = mpsc::channel(1);
    let desk = Desk {
        time,
        calendar,
        wishes,
    };
    let router = Router::new().route(CLOCK, get(now).post(put));
    (come, router.with_state(desk))
}

async fn now(State(desk): State<Desk>) -> Json<Value> {
    Json(desk.stands())
}

async fn put(State(desk): State<Desk>, body: Bytes) -> Response {
    let said = match desk.wish(&body).await {
        Ok(told) => {
            let mut stands = desk.stands();
            stands["told"] = told.into();
            return Json(stands).into_response();
        }
        Err(error) => format!("{error:#}"),
    };
    let said = json!({"error": "invalid_request", "error_description": said});
    (StatusCode::BAD_REQUEST, Json(said)).into_response()
}

impl Desk {
    fn stands(&self) -> Value {
        let now = self.time.now();
        json!({"now": now, "day": self.calendar.day_of(now)})
    }

    async fn wish(&self, body: &[u8]) -> anyhow::Result<usize> {
        let asked: ClockRequest = serde_json::from_slice(body)?;
        let time = clock_time(&asked.time);
        let time = time.ok_or_else(|| anyhow::anyhow!("`time` is HH:MM, in Oslo"))?;
        let (done, told) = oneshot::channel();
        let until = moment(&self.calendar.at(asked.day, time));
        let stopping = || anyhow::anyhow!("the demo is stopping");
        self.wishes
            .send(Wish { until, done })
            .await
            .map_err(|_| stopping())?;
        told.await.map_err(|_| stopping())?
    }
}

/// Tells the story on.
pub struct Player<'a> {
    /// Where `demo.json` is.
    pub folder: &'a Folder,
    /// Who is in it.
    pub directory: &'a Directory,
    /// The region.
    pub started: &'a Started,
}

impl Player<'_> {
    /// Fulfils wishes, one after the other, for as long as there are any.
    pub async fn play(&self, mut wishes: mpsc::Receiver<Wish>, kept: &mut DemoState) {
        while let Some(wish) = wishes.recv().await {
            // Who asked may have gone meanwhile; the story is told all the same.
            let _ = wish.done.send(self.until(wish.until, kept).await);
        }
        std::future::pending().await
    }

    /// Puts the clock to each moment at which something happens, and lets it happen.
    async fn until(&self, until: Instant, kept: &mut DemoState) -> anyhow::Result<usize> {
        let time = &self.started.time;
        ensure!(until >= time.now(), "that moment is past");
        let since = Instant(kept.told_until.unwrap_or(kept.first_start));
        let events = story::region(self.directory, &kept.calendar()?, until)?;
        let new = events.partition_point(|event| event.at <= since);
        let (before, new) = events.split_at(new);
        let mut told = 0;
        // What others send meanwhile comes along with the next thing that happens in the story.
        let together = |one: &Event, next: &Event| one.at == next.at || !story::is_of_it(one);
        for together in new.chunk_by(together) {
            let at = together.last().map_or(until, |event| event.at);
            time.put(at)?;
            let mut sent = changed_by(together, before);
            sent.extend_from_slice(together);
            history::send(&sent, self.started).await?;
            told += together.len();
            history::tried(&self.started.region, time).await?;
            self.keeps(at, kept)?;
        }
        time.put(until)?;
        self.keeps(until, kept)?;
        Ok(told)
    }

    /// Notes how far it is told, so that a demo that falls goes on from there.
    fn keeps(&self, at: Instant, kept: &mut DemoState) -> anyhow::Result<()> {
        kept.told_until = Some(at.0);
        kept.stood = Some(self.started.time.now().0);
        kept.write(self.folder.path())
    }
}

/// What is changed by what happens now: told again, since a feed knows by the answer to a resend what it is to change.
fn changed_by(now: &[Event], before: &[Event]) -> Vec<Event> {
    let changes = |event: &&Event| {
        let mut changing = now.iter().filter(|one| one.action != Action::Create);
        changing.any(|one| one.key == event.key)
    };
    before.iter().filter(changes).cloned().collect()
}
