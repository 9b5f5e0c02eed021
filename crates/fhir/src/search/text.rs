//! How strings are compared when case and accents do not count.
//!
//! Standard: FHIR R4 search 3.1.1.4.8. A letter that Unicode takes apart into a base and an accent counts as its base (å as a,
//! é as e, ö as o); ø and æ are letters of their own.

/// Lower case, without accents, each run of white space one blank.
pub(super) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        for c in word.chars().flat_map(char::to_lowercase) {
            if !('\u{300}'..='\u{36f}').contains(&c) {
                out.push(base(c));
            }
        }
    }
    out
}

fn base(c: char) -> char {
    const TABLE: [(&str, char); 20] = [
        ("àáâãäåāăą", 'a'),
        ("çćĉċč", 'c'),
        ("ď", 'd'),
        ("èéêëēĕėęě", 'e'),
        ("ĝğġģ", 'g'),
        ("ĥ", 'h'),
        ("ìíîïĩīĭį", 'i'),
        ("ĵ", 'j'),
        ("ķ", 'k'),
        ("ĺļľ", 'l'),
        ("ñńņň", 'n'),
        ("òóôõöōŏő", 'o'),
        ("ŕŗř", 'r'),
        ("śŝşš", 's'),
        ("ţť", 't'),
        ("ùúûüũūŭůűų", 'u'),
        ("ŵ", 'w'),
        ("ýÿŷ", 'y'),
        ("źżž", 'z'),
        ("ǻ", 'a'),
    ];
    if c.is_ascii() {
        return c;
    }
    TABLE
        .iter()
        .find(|(letters, _)| letters.contains(c))
        .map_or(c, |(_, base)| *base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_blanks() {
        assert_eq!(fold("  Åse-Marie  ØDEGÅRD\n"), "ase-marie ødegard");
        assert_eq!(fold("A\u{30a}se"), fold("Åse"));
        assert_eq!(fold("Ærø"), "ærø");
    }
}
