//! Where a page ended, and what the next one has to know to go on as if nothing had happened since.

use fhir::measurement::Decimal;
use fhir::search::SortValue;

/// Where a page ended: the place in the order, the commit as of which all pages answer, when the first was asked, and the
/// number of matches if that was counted. Goes to the client sealed only.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) moment: Moment,
    pub(crate) total: Option<u64>,
    pub(crate) place: Place,
}

/// A state of the store that may be asked about again: a commit, and when it was first asked about (the publishing policy
/// shows what it showed then).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub(crate) as_of: i64,
    pub(crate) asked: i64,
}

impl Moment {
    /// As two numbers, to be kept sealed.
    #[must_use]
    pub fn to_numbers(self) -> (i64, i64) {
        (self.as_of, self.asked)
    }

    /// What `to_numbers` gave.
    #[must_use]
    pub fn from_numbers((as_of, asked): (i64, i64)) -> Moment {
        Moment { as_of, asked }
    }
}

/// From where a search goes.
#[derive(Debug, Clone)]
pub enum Start {
    /// Its first page, of the store as it is.
    Now,
    /// Its first page, of the store as it was.
    At(Moment),
    /// The page after another, of the same state.
    After(Cursor),
}

impl From<Option<Cursor>> for Start {
    /// The page after another, or the first.
    fn from(cursor: Option<Cursor>) -> Start {
        cursor.map_or(Start::Now, Start::After)
    }
}

/// A place in an order.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the order of the clustered table.
    Row { t: i64, id: [u8; 16] },
    /// In the order of a `_sort`.
    Sorted {
        values: Vec<Option<SortValue>>,
        id: [u8; 16],
    },
}

impl std::fmt::Debug for Cursor {
    /// Without the place: it may hold what stands in a resource.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursor(***)")
    }
}

impl Cursor {
    /// The state of the store that its pages are of.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// A few dozen bytes; more by what a `_sort` compares.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(50);
        out.extend(self.moment.as_of.to_be_bytes());
        out.extend(self.moment.asked.to_be_bytes());
        out.push(u8::from(self.total.is_some()));
        out.extend(self.total.unwrap_or_default().to_be_bytes());
        match &self.place {
            Place::Row { t, id } => {
                out.push(0);
                out.extend(id);
                out.extend(t.to_be_bytes());
            }
            Place::Sorted { values, id } => {
                out.push(1);
                out.extend(id);
                for value in values {
                    let (kind, bytes) = match value {
                        None => (0, Vec::new()),
                        Some(SortValue::Time(time)) => (1, time.to_be_bytes().to_vec()),
                        Some(SortValue::Number(number)) => (2, number.to_string().into_bytes()),
                        Some(SortValue::Text(text)) => (3, text.as_bytes().to_vec()),
                    };
                    out.push(kind);
                    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
                    out.extend(bytes);
                }
            }
        }
        out
    }

    /// What `to_bytes` gave; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Cursor> {
        let mut rest = bytes;
        let as_of = i64::from_be_bytes(take(&mut rest)?);
        let asked = i64::from_be_bytes(take(&mut rest)?);
        let [counted] = take(&mut rest)?;
        let total = u64::from_be_bytes(take(&mut rest)?);
        let [kind] = take(&mut rest)?;
        let id = take(&mut rest)?;
        let place = match kind {
            0 => Place::Row {
                t: i64::from_be_bytes(take(&mut rest)?),
                id,
            },
            1 => {
                let mut values = Vec::new();
                while !rest.is_empty() {
                    values.push(value(&mut rest)?);
                }
                Place::Sorted { values, id }
            }
            _ => return None,
        };
        rest.is_empty().then_some(Cursor {
            moment: Moment { as_of, asked },
            total: (counted == 1).then_some(total),
            place,
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

fn value(rest: &mut &[u8]) -> Option<Option<SortValue>> {
    let [kind] = take(rest)?;
    let length = usize::try_from(u32::from_be_bytes(take(rest)?)).ok()?;
    let (bytes, left) = rest.split_at_checked(length)?;
    *rest = left;
    let text = || std::str::from_utf8(bytes).ok();
    Some(match kind {
        0 => None,
        1 => Some(SortValue::Time(i64::from_be_bytes(bytes.try_into().ok()?))),
        2 => Some(SortValue::Number(Decimal::parse(text()?)?)),
        3 => Some(SortValue::Text(text()?.to_owned())),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    #[test]
    fn bytes_and_back() {
        let values = vec![
            None,
            Some(SortValue::Time(-7)),
            Some(SortValue::Number(Decimal::parse("-0.50").unwrap())),
            Some(SortValue::Text("ødegard".to_owned())),
        ];
        for (total, place) in [
            (None, Place::Row { t: -1, id: [7; 16] }),
            (
                Some(3),
                Place::Sorted {
                    values,
                    id: [9; 16],
                },
            ),
        ] {
            let cursor = Cursor {
                moment: Moment { as_of: 5, asked: 6 },
                total,
                place,
            };
            let bytes = cursor.to_bytes();
            assert!(Cursor::from_bytes(&bytes) == Some(cursor));
            for cut in 0..bytes.len() {
                assert!(Cursor::from_bytes(&bytes[..cut]).is_none() || cut >= 42);
            }
        }
        assert!(Cursor::from_bytes(&[0; 24]).is_none());
    }
}
