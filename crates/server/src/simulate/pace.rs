//! When the next sending goes: as its time comes on a clock that runs so many times as fast, and so many readings a second at most.

use fhir::time::Instant;
use std::time::Duration;

/// A pace.
pub struct Pace {
    speed: Option<f64>,
    /// For one reading.
    each: Duration,
    began: tokio::time::Instant,
    /// The first sending's own time.
    first: Option<Instant>,
    /// When the next may go by the rate alone.
    next: tokio::time::Instant,
}

impl Pace {
    /// One that starts now.
    pub fn new(speed: Option<f64>, rate: Option<u32>) -> Pace {
        let now = tokio::time::Instant::now();
        Pace {
            speed,
            each: rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1)),
            began: now,
            first: None,
            next: now,
        }
    }

    /// Waits until what was sent at `at`, with so many readings, is due.
    pub async fn wait(&mut self, at: Instant, readings: usize) {
        let first = *self.first.get_or_insert(at);
        let micros = u64::try_from(at.0.saturating_sub(first.0)).unwrap_or(0);
        let mut due = self.next;
        if let Some(speed) = self.speed {
            due = due.max(self.began + Duration::from_micros(micros).div_f64(speed));
        }
        tokio::time::sleep_until(due).await;
        let readings = u32::try_from(readings).unwrap_or(u32::MAX);
        self.next = self.next.max(due) + self.each.saturating_mul(readings);
    }
}

/// A speed as somebody typed it.
pub fn speed(text: &str) -> Result<f64, String> {
    let speed = text
        .parse::<f64>()
        .ok()
        .filter(|speed| (0.001..=1e9).contains(speed));
    speed.ok_or_else(|| "a number from 0.001 to 1000000000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_day_takes_a_second_at_its_speed_and_the_rate_holds_back() {
        const DAY: i64 = 86_400_000_000;
        let mut pace = Pace::new(Some(86_400.0), None);
        let began = tokio::time::Instant::now();
        for (day, seconds) in [(0, 0), (1, 1), (3, 3)] {
            pace.wait(Instant(DAY * day), 100).await;
            assert_eq!(began.elapsed().as_secs(), seconds);
        }
        let mut pace = Pace::new(None, Some(10));
        let began = tokio::time::Instant::now();
        for seconds in [0, 2, 4] {
            pace.wait(Instant(0), 20).await;
            assert_eq!(began.elapsed().as_secs(), seconds);
        }
    }

    #[test]
    fn speeds_that_are_none_are_refused() {
        assert_eq!(speed("60"), Ok(60.0));
        for wrong in ["", "0", "-1", "fast", "NaN", "inf"] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
    }
}
