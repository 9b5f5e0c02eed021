//! Chance that repeats: a small generator whose numbers never change between releases (SplitMix64, Steele et al. 2014),
//! and ids made from names.

use uuid::Uuid;

/// The id of a named thing: version 5 under this project's namespace, so that a story told twice names things alike.
pub fn named(name: &str) -> Uuid {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://delt.example/scenarios");
    Uuid::new_v5(&namespace, name.as_bytes())
}

/// A seeded generator for synthetic data; never for secrets.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Starts from a name.
    pub fn named(name: &str) -> Self {
        // FNV-1a, 64 bits.
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// The next 64 bits.
    #[expect(
        clippy::should_implement_trait,
        reason = "an endless source, not a collection"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high - low).unwrap_or(0) + 1;
        low + i64::try_from(self.next() % width).unwrap_or(0)
    }

    /// True so many times in a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.next() % 100 < u64::from(percent)
    }

    /// Shuffles in place (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = usize::try_from(self.next() % (i as u64 + 1)).unwrap_or(0);
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_inside_their_borders_and_both_borders_are_met() {
        let mut dice = Dice::named("borders");
        let thrown: Vec<i64> = (0..1000).map(|_| dice.between(-2, 3)).collect();
        assert_eq!(
            (thrown.iter().min(), thrown.iter().max()),
            (Some(&-2), Some(&3))
        );
        assert_eq!(Dice::new(5).between(4, 4), 4);
    }
}
