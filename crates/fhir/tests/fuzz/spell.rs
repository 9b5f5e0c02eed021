//! How the bytes of an input become text.

/// Random inputs in a run of `cargo test`, besides the corpus.
pub const RANDOM: usize = 500;

/// ASCII bytes as they are; byte 128 + n as word n of `words`, over again from the first after the last.
pub fn spell(input: &[u8], words: &[&str]) -> String {
    let mut text = String::with_capacity(input.len() * 2);
    for &byte in input {
        if byte.is_ascii() {
            text.push(char::from(byte));
        } else {
            text.push_str(words[usize::from(byte - 128) % words.len()]);
        }
    }
    text
}
