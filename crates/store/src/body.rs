//! How a body rests: one codec byte, then the bytes.
//!
//! Codec 0 is raw. Codec 1 is: dictionary number (LEB128; 0 = none), plain length (LEB128), one zstd frame (RFC 8878)
//! without content size or dictionary id, since these stand beside it, and with its checksum: a reading whose bytes
//! have rotted on the disk is an error, never another value. Dictionaries are kept in the store
//! for ever: a body always opens with the one it names.
//!
//! A resource's body is kept *cut*: what the client sent, with the three values that the server owns (id, version,
//! time) taken out and their places written in front, so that giving it out is copying, not parsing.

use std::collections::HashMap;
use std::ops::Range;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::errors::StoreError;

/// zstd level: 2-3 µs for a reading of 1.1 kB with a dictionary (see shared/bench).
const LEVEL: i32 = 3;
/// Shorter bodies without a dictionary are not worth a frame.
const SHORTEST: usize = 200;
/// No stored body is longer than a whole bundle may be, with room for what the server adds.
const LONGEST: usize = 16 * 1024 * 1024;
/// Contexts kept at once per thread; each holds a dictionary and its tables.
const CONTEXTS: usize = 32;

/// Bytes of a new dictionary.
pub(crate) const DICTIONARY: usize = 16 * 1024;

const RAW: u8 = 0;
const ZSTD: u8 = 1;

/// Packs bodies; one per writing thread.
#[derive(Default)]
pub(crate) struct Packer {
    contexts: HashMap<i64, Compressor<'static>>,
}

impl Packer {
    /// Packs `plain` with dictionary number `dictionary` (bytes given), or without one.
    pub(crate) fn pack(
        &mut self,
        plain: &[u8],
        dictionary: Option<(i64, &[u8])>,
    ) -> Result<Vec<u8>, StoreError> {
        if dictionary.is_none() && plain.len() < SHORTEST {
            return Ok(raw(plain));
        }
        let (number, bytes) = dictionary.unwrap_or((0, &[]));
        if self.contexts.len() >= CONTEXTS && !self.contexts.contains_key(&number) {
            self.contexts.clear();
        }
        let context = match self.contexts.entry(number) {
            std::collections::hash_map::Entry::Occupied(held) => held.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => place.insert(compressor(bytes)?),
        };
        let frame = context.compress(plain).map_err(|_| StoreError::Bug)?;
        let mut packed = Vec::with_capacity(frame.len() + 6);
        packed.push(ZSTD);
        put_number(&mut packed, number as u64);
        put_number(&mut packed, plain.len() as u64);
        packed.extend_from_slice(&frame);
        Ok(if packed.len() <= plain.len() {
            packed
        } else {
            raw(plain)
        })
    }
}

fn compressor(dictionary: &[u8]) -> Result<Compressor<'static>, StoreError> {
    let make = || -> std::io::Result<Compressor<'static>> {
        let mut context = Compressor::with_dictionary(LEVEL, dictionary)?;
        context.set_parameter(CParameter::ContentSizeFlag(false))?;
        context.set_parameter(CParameter::ChecksumFlag(true))?;
        context.set_parameter(CParameter::DictIdFlag(false))?;
        Ok(context)
    };
    make().map_err(|_| StoreError::Bug)
}

fn raw(plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(plain.len() + 1);
    packed.push(RAW);
    packed.extend_from_slice(plain);
    packed
}

/// Unpacks bodies; one per reading thread.
#[derive(Default)]
pub(crate) struct Unpacker {
    contexts: HashMap<i64, Decompressor<'static>>,
}

impl Unpacker {
    /// Unpacks; `fetch` gives a dictionary's bytes the first time it is named.
    pub(crate) fn unpack(
        &mut self,
        packed: &[u8],
        fetch: impl FnOnce(i64) -> Result<Vec<u8>, StoreError>,
    ) -> Result<Vec<u8>, StoreError> {
        const STRANGE: StoreError = StoreError::Damaged("a stored body does not open");
        let (codec, mut rest) = packed.split_first().ok_or(STRANGE)?;
        match *codec {
            RAW => Ok(rest.to_vec()),
            ZSTD => {
                let number =
                    i64::try_from(take_number(&mut rest).ok_or(STRANGE)?).map_err(|_| STRANGE)?;
                let length =
                    usize::try_from(take_number(&mut rest).ok_or(STRANGE)?).map_err(|_| STRANGE)?;
                if length > LONGEST {
                    return Err(STRANGE);
                }
                if self.contexts.len() >= CONTEXTS && !self.contexts.contains_key(&number) {
                    self.contexts.clear();
                }
                let context = match self.contexts.entry(number) {
                    std::collections::hash_map::Entry::Occupied(held) => held.into_mut(),
                    std::collections::hash_map::Entry::Vacant(place) => {
                        let bytes = if number == 0 {
                            Vec::new()
                        } else {
                            fetch(number)?
                        };
                        place.insert(Decompressor::with_dictionary(&bytes).map_err(|_| STRANGE)?)
                    }
                };
                let plain = context.decompress(rest, length).map_err(|_| STRANGE)?;
                if plain.len() == length {
                    Ok(plain)
                } else {
                    Err(STRANGE)
                }
            }
            _ => Err(StoreError::Damaged("a stored body has an unknown codec")),
        }
    }
}

/// The number of the dictionary that a packed body was packed with; `None` for none.
pub(crate) fn dictionary_of(packed: &[u8]) -> Option<i64> {
    let (codec, mut rest) = packed.split_first()?;
    if *codec != ZSTD {
        return None;
    }
    let number = i64::try_from(take_number(&mut rest)?).ok()?;
    (number != 0).then_some(number)
}

/// Trains a dictionary on samples of one kind; `None` if they have too little in common.
pub(crate) fn train(samples: &[Vec<u8>]) -> Option<Vec<u8>> {
    zstd::dict::from_samples(samples, DICTIONARY).ok()
}

/// Takes the server's three values out of a body: `id`, `version` and `updated` are the byte ranges of their texts
/// without quotes. `None` if the ranges do not lie as FHIR's `id` and `meta` must.
pub(crate) fn cut(
    text: &[u8],
    id: Range<usize>,
    version: Range<usize>,
    updated: Range<usize>,
) -> Option<Vec<u8>> {
    let id_last = id.start > version.start;
    let [a, b, c] = if id_last {
        [version, updated, id]
    } else {
        [id, version, updated]
    };
    if a.end > b.start || b.end > c.start || c.end > text.len() {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    put_number(&mut out, (a.start as u64) << 1 | u64::from(id_last));
    put_number(&mut out, (b.start - a.end) as u64);
    put_number(&mut out, (c.start - b.end) as u64);
    for part in [
        0..a.start,
        a.end..b.start,
        b.end..c.start,
        c.end..text.len(),
    ] {
        out.extend_from_slice(&text[part]);
    }
    Some(out)
}

/// Puts the three values back into a body that `cut` made. `None` if the body is damaged.
pub(crate) fn join(body: &[u8], id: &str, version: &str, updated: &str) -> Option<Vec<u8>> {
    let mut rest = body;
    let mut lengths = [0_usize; 3];
    for length in &mut lengths {
        *length = usize::try_from(take_number(&mut rest)?).ok()?;
    }
    let values = if lengths[0] & 1 == 1 {
        [version, updated, id]
    } else {
        [id, version, updated]
    };
    lengths[0] >>= 1;
    let mut out = Vec::with_capacity(rest.len() + id.len() + version.len() + updated.len());
    for (length, value) in lengths.into_iter().zip(values) {
        let (part, after) = rest.split_at_checked(length)?;
        out.extend_from_slice(part);
        out.extend_from_slice(value.as_bytes());
        rest = after;
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// The text of a body that `cut` made, as it stands: the three values are empty texts in it. `None` if it is damaged.
pub(crate) fn text(cut: &[u8]) -> Option<&[u8]> {
    let mut rest = cut;
    for _ in 0..3 {
        take_number(&mut rest)?;
    }
    Some(rest)
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn sample(n: usize) -> Vec<u8> {
        format!(
            r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},"device":"{:x}","valueQuantity":{{"value":{}.{},"unit":"/min"}}}}"#,
            n * 2_654_435_761, 40 + n % 90, n % 10
        )
        .into_bytes()
    }

    #[test]
    fn what_goes_in_comes_out_with_and_without_dictionary() {
        let samples: Vec<_> = (0..600).map(sample).collect();
        let dictionary = train(&samples).unwrap();
        let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
        let body = sample(10_001);
        let packed = packer.pack(&body, Some((7, &dictionary))).unwrap();
        assert!(
            packed.len() * 3 < body.len(),
            "{} of {}",
            packed.len(),
            body.len()
        );
        let fetch = |n: i64| {
            assert_eq!(n, 7);
            Ok(dictionary.clone())
        };
        assert_eq!(unpacker.unpack(&packed, fetch).unwrap(), body);
        for length in [0, 1, 199, 200, 5_000, 300_000] {
            let body: Vec<u8> = (0..length).map(|n: usize| (n * n % 251) as u8).collect();
            let packed = packer.pack(&body, None).unwrap();
            assert!(packed.len() <= body.len() + 1);
            assert_eq!(
                unpacker.unpack(&packed, |_| Err(StoreError::Bug)).unwrap(),
                body
            );
        }
    }

    #[test]
    fn damage_is_an_error_not_a_guess() {
        let mut unpacker = Unpacker::default();
        let packed = Packer::default().pack(&vec![b'x'; 1_000], None).unwrap();
        let mut all = vec![
            vec![],
            vec![9, 1, 2],
            vec![1],
            vec![1, 0x80],
            vec![1, 0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0],
        ];
        all.push(packed[..packed.len() - 1].to_vec());
        for bad in all {
            assert!(
                matches!(
                    unpacker.unpack(&bad, |_| Err(StoreError::Bug)),
                    Err(StoreError::Damaged(_))
                ),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_flipped_bit_of_a_packed_body_gives_an_error_or_the_same_never_another_body() {
        let body = [sample(3), sample(4), sample(5)].concat();
        let packed = Packer::default().pack(&body, None).unwrap();
        let mut refused = 0;
        for at in 0..packed.len() * 8 {
            let mut bent = packed.clone();
            bent[at / 8] ^= 1 << (at % 8);
            match Unpacker::default()
                .unpack(&bent, |_| Err(StoreError::Damaged("no such dictionary")))
            {
                Ok(plain) => assert!(plain == body || bent[0] == RAW, "bit {at}"),
                Err(StoreError::Damaged(_)) => refused += 1,
                Err(other) => panic!("bit {at}: {other:?}"),
            }
        }
        assert!(refused > packed.len() * 7);
    }

    #[test]
    fn cut_and_join_are_each_others_opposite() {
        for text in [
            &br#"{"id":"AAA","meta":{"versionId":"B","lastUpdated":"CC"},"value":1.50}"#[..],
            br#"{"meta":{"versionId":"B","lastUpdated":"CC"},"value":1.50,"id":"AAA"}"#,
        ] {
            let find = |needle: &str| {
                let at = text
                    .windows(needle.len())
                    .position(|part| part == needle.as_bytes())
                    .unwrap();
                at + 1..at + needle.len() - 1
            };
            let cut = cut(text, find("\"AAA\""), find("\"B\""), find("\"CC\"")).unwrap();
            assert_eq!(join(&cut, "AAA", "B", "CC").unwrap(), text);
            let other = String::from_utf8(join(&cut, "x", "12", "").unwrap()).unwrap();
            assert_eq!(
                other
                    .replace("\"x\"", "\"AAA\"")
                    .replace("\"12\"", "\"B\"")
                    .replace("\"\"", "\"CC\"")
                    .as_bytes(),
                text
            );
            assert!(join(&cut[..5], "a", "b", "c").is_none());
            assert_eq!(super::text(&cut).unwrap(), join(&cut, "", "", "").unwrap());
        }
        assert!(super::cut(b"0123456789", 5..6, 2..3, 9..11).is_none());
        assert!(super::cut(b"0123456789", 2..6, 3..4, 8..9).is_none());
    }
}
