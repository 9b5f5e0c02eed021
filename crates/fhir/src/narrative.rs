//! Words as a resource's narrative (FHIR R4 narrative.html): XHTML in which nothing that somebody wrote is a tag.

/// A paragraph for each line that is not empty.
#[must_use]
pub fn paragraphs(text: &str) -> String {
    let mut div = String::from("<div xmlns=\"http://www.w3.org/1999/xhtml\">");
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        div.push_str("<p>");
        for one in line.chars() {
            match one {
                '&' => div.push_str("&amp;"),
                '<' => div.push_str("&lt;"),
                '>' => div.push_str("&gt;"),
                '"' => div.push_str("&quot;"),
                one => div.push(one),
            }
        }
        div.push_str("</p>");
    }
    div.push_str("</div>");
    div
}

#[cfg(test)]
mod tests {
    use super::paragraphs;

    #[test]
    fn words_are_words() {
        let div =
            |inner: &str| format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div>");
        assert_eq!(
            paragraphs("SpO2 < 88 & \"blå\"\r\n\r\n<b>Ringte</b>"),
            div("<p>SpO2 &lt; 88 &amp; &quot;blå&quot;</p><p>&lt;b&gt;Ringte&lt;/b&gt;</p>")
        );
    }
}
