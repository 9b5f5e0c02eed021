//! Text from others is text and nothing else: no character of it moves a cursor, breaks a line or turns the direction of what stands
//! beside it, in a terminal, a log or on a page (Unicode Standard Annex 9, and section 23.2 of the standard).

/// Whether a character is none to be taken from others, or shown as they wrote it.
pub fn unfit(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::unfit;

    #[test]
    fn what_moves_or_turns_is_unfit_and_its_neighbours_are_text() {
        for (bad, good) in [
            ('\u{0}', ' '),
            ('\u{1b}', 'a'),
            ('\u{7f}', '~'),
            ('\u{9f}', '\u{a0}'),
            ('\u{61c}', '\u{61b}'),
            ('\u{200e}', '\u{200d}'),
            ('\u{200f}', '\u{2010}'),
            ('\u{2028}', '\u{2027}'),
            ('\u{2029}', 'å'),
            ('\u{202a}', 'ŋ'),
            ('\u{202e}', '\u{202f}'),
            ('\u{2066}', '\u{2065}'),
            ('\u{2069}', '\u{206a}'),
        ] {
            assert!(unfit(bad), "{}", bad.escape_unicode());
            assert!(!unfit(good), "{}", good.escape_unicode());
        }
    }
}
