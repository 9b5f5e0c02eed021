//! Drives clients against a server: flat out, or at a steady pace where a late server makes every later request wait
//! (no coordinated omission). Every answer is looked at by its client; what is wrong is counted, never averaged away.

use super::http::{Answer, Connection};
use super::statistics::{Spread, rounded};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What one client sends, over and over, and what it expects.
pub trait Client: Send {
    /// Writes the next request, proof and all; `false` when there is nothing left. Not part of the measured time.
    fn next(&mut self, out: &mut Vec<u8>) -> bool;
    /// Looks at the answer: how many units of work it stands for, or what is wrong with it, in words without a person.
    fn check(&mut self, answer: Answer<'_>) -> Result<u64, String>;
}

/// How the clients go about it.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Sent and checked, but not counted.
    pub warm_up: Duration,
    /// Counted.
    pub measured: Duration,
    /// Requests a second of all clients together; `None`: each sends its next when it has its answer.
    pub pace: Option<f64>,
    /// Whether every request has a connection of its own, whose opening is part of its time.
    pub fresh_connections: bool,
}

impl Plan {
    /// Flat out for so many seconds, after one of warming up.
    pub fn flat_out(seconds: u64) -> Plan {
        Plan {
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(seconds),
            pace: None,
            fresh_connections: false,
        }
    }

    /// At a steady pace.
    pub fn paced(seconds: u64, per_second: f64) -> Plan {
        Plan {
            pace: Some(per_second),
            ..Plan::flat_out(seconds)
        }
    }

    /// Until there is nothing left to send, counted from the first.
    pub fn all() -> Plan {
        Plan {
            warm_up: Duration::ZERO,
            measured: Duration::from_secs(3600),
            pace: None,
            fresh_connections: false,
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Driven {
    /// Right answers in the measured time.
    pub answers: u64,
    /// Units of work they stand for.
    pub units: u64,
    /// Units of the warming up as well.
    pub units_in_all: u64,
    /// From the beginning of the measured time to its last answer.
    pub elapsed: Duration,
    /// Of the right answers.
    pub times: Spread,
    /// Wrong answers and broken connections in all, warming up included.
    pub wrong: u64,
    /// Words about the first of them.
    pub words: Vec<String>,
    /// Processor time of the whole process, generator and region, warming up included.
    pub processor: Duration,
    /// Processor time of the generator's threads alone.
    pub generator: Duration,
}

impl Driven {
    /// Microseconds of processor time for one unit of work: of everything in this process, and of the generator alone.
    /// Other programs on the same cores change the rates, these hardly.
    pub fn processor_us(&self) -> (f64, f64) {
        let each =
            |time: Duration| rounded(time.as_secs_f64() * 1e6 / self.units_in_all.max(1) as f64);
        (each(self.processor), each(self.generator))
    }
}

/// One client's part of it.
#[derive(Default)]
struct Part {
    times: Vec<Duration>,
    units: u64,
    units_in_all: u64,
    last: Option<Instant>,
    wrong: u64,
    words: Vec<String>,
    processor: Duration,
}

/// Broken connections after which a client gives up.
const ENOUGH: u64 = 20;
/// Wrong answers told in words.
const TOLD: usize = 5;

/// Runs every client on a thread of its own until the plan's time is over. Blocks.
pub fn drive(address: SocketAddr, clients: Vec<Box<dyn Client>>, plan: Plan) -> Driven {
    let start = Instant::now() + Duration::from_millis(50);
    let slots = AtomicU64::new(0);
    let before = processor_of_all();
    let parts: Vec<Part> = std::thread::scope(|scope| {
        let running: Vec<_> = clients
            .into_iter()
            .map(|client| {
                let slots = &slots;
                let thread = std::thread::Builder::new()
                    .name("bench-client".into())
                    .stack_size(256 * 1024);
                thread.spawn_scoped(scope, move || one(address, client, plan, start, slots))
            })
            .collect();
        let failed = |what: &str| Part {
            wrong: 1,
            words: vec![what.to_owned()],
            ..Part::default()
        };
        running
            .into_iter()
            .map(|started| match started {
                Ok(thread) => thread
                    .join()
                    .unwrap_or_else(|_| failed("a client of the generator panicked")),
                Err(_) => failed("no thread for a client of the generator"),
            })
            .collect()
    });
    let begin = start + plan.warm_up;
    let mut driven = Driven {
        processor: processor_of_all().saturating_sub(before),
        ..Driven::default()
    };
    let mut times = Vec::new();
    for part in parts {
        driven.units += part.units;
        driven.units_in_all += part.units_in_all;
        driven.wrong += part.wrong;
        driven.generator += part.processor;
        driven.words.extend(part.words);
        driven.elapsed = driven.elapsed.max(
            part.last
                .map_or(Duration::ZERO, |last| last.saturating_duration_since(begin)),
        );
        times.extend(part.times);
    }
    driven.words.truncate(TOLD);
    driven.answers = times.len() as u64;
    driven.times = Spread::of(times);
    driven
}

fn one(
    address: SocketAddr,
    mut client: Box<dyn Client>,
    plan: Plan,
    start: Instant,
    slots: &AtomicU64,
) -> Part {
    let begin = start + plan.warm_up;
    let end = begin + plan.measured;
    let mut part = Part::default();
    let mut connection = Connection::to(address);
    let mut request = Vec::with_capacity(16 * 1024);
    if !plan.fresh_connections
        && let Err(error) = connection.open()
    {
        part.fault(format!("no connection: {error}"));
    }
    wait_until(start);
    while client.next(&mut request) {
        let since = match plan.pace {
            None => Instant::now(),
            Some(per_second) => {
                let slot = slots.fetch_add(1, Ordering::Relaxed);
                let due = start + Duration::from_secs_f64(slot as f64 / per_second);
                // One that is late counts from when it was due; the clock's own lateness in waking us is not the server's.
                if wait_until(due) { Instant::now() } else { due }
            }
        };
        if since >= end || Instant::now() >= end {
            break;
        }
        let checked = match connection.exchange(&request) {
            Ok(answer) => {
                let done = Instant::now();
                client.check(answer).map(|units| (done, units))
            }
            Err(error) => Err(format!("no answer: {error}")),
        };
        match checked {
            Ok((done, units)) => {
                part.units_in_all += units;
                if done >= begin && done < end {
                    part.units += units;
                    part.times.push(done - since);
                    part.last = Some(done);
                }
            }
            Err(words) => part.fault(words),
        }
        if part.wrong > ENOUGH {
            break;
        }
        if plan.fresh_connections {
            connection.close();
        }
    }
    part.processor = processor_of_thread();
    part
}

impl Part {
    fn fault(&mut self, words: String) {
        self.wrong += 1;
        if self.words.len() < TOLD {
            self.words.push(words);
        }
    }
}

/// Processor time of this process so far, in hundredths of a second (proc(5), `/proc/pid/stat` fields 14 and 15).
fn processor_of_all() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses and may hold spaces.
    let fields = text.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Processor time of this thread so far (`/proc/thread-self/schedstat`, nanoseconds).
fn processor_of_thread() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(
        text.split(' ')
            .next()
            .and_then(|first| first.parse().ok())
            .unwrap_or(0),
    )
}

/// Sleeps until then; whether it was still to come.
fn wait_until(then: Instant) -> bool {
    let left = then.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return false;
    }
    std::thread::sleep(left);
    true
}
