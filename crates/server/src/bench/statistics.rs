//! Times in order: percentiles by nearest rank, and rounding for people. No smoothing, no outliers thrown away.

use std::time::Duration;

/// Measured times, sorted.
#[derive(Debug, Default)]
pub struct Spread(Vec<Duration>);

impl Spread {
    /// Sorts what was measured.
    pub fn of(mut times: Vec<Duration>) -> Spread {
        times.sort_unstable();
        Spread(times)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest time that at least `percent` of all are not above (nearest rank); `None` of nothing.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let rank = (percent.clamp(0.0, 100.0) / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied()
    }

    /// The middle one.
    pub fn median(&self) -> Option<Duration> {
        self.percentile(50.0)
    }
}

/// Milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// So many in that time, a second; 0 in no time.
pub fn per_second(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

/// Four digits that count: more would claim what one run cannot know.
pub fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let place = 10f64.powi(3 - value.abs().log10().floor() as i32);
    // By way of text, so that 0.7 stays 0.7 and not its nearest neighbour.
    format!(
        "{:.*}",
        (place.log10().max(0.0)) as usize,
        (value * place).round() / place
    )
    .parse()
    .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(times: &[u64]) -> Spread {
        Spread::of(times.iter().copied().map(Duration::from_millis).collect())
    }

    #[test]
    fn percentiles_are_measured_values_by_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).rev().collect();
        let hundred = spread(&hundred);
        for (percent, expected) in [
            (0.0, 1),
            (1.0, 1),
            (50.0, 50),
            (50.1, 51),
            (99.0, 99),
            (99.1, 100),
            (100.0, 100),
            (250.0, 100),
        ] {
            assert_eq!(
                hundred.percentile(percent),
                Some(Duration::from_millis(expected)),
                "{percent}"
            );
        }
        assert_eq!(spread(&[7, 1, 3]).median(), Some(Duration::from_millis(3)));
        assert_eq!(spread(&[4, 2]).median(), Some(Duration::from_millis(2)));
        assert_eq!(
            spread(&[9]).percentile(99.0),
            Some(Duration::from_millis(9))
        );
    }

    #[test]
    fn of_nothing_there_is_no_percentile() {
        assert_eq!(spread(&[]).median(), None);
        assert_eq!(per_second(5, Duration::ZERO), 0.0);
    }

    #[test]
    fn rates_and_milliseconds() {
        assert_eq!(per_second(500, Duration::from_millis(250)), 2000.0);
        assert_eq!(milliseconds(Duration::from_micros(1500)), 1.5);
    }

    #[test]
    fn four_digits_stay() {
        for (exact, shown) in [
            (3_141.59, 3_142.0),
            (31_415.9, 31_420.0),
            (0.000_123_456, 0.000_123_5),
            (0.7, 0.7),
            (133.25, 133.3),
            (0.0, 0.0),
            (-2.345_67, -2.346),
        ] {
            assert_eq!(rounded(exact), shown);
        }
    }
}
