//! Does a text match a pattern in which `*` is any run of characters and `?` any one?
//!
//! [Spec](https://spec.matrix.org/latest/appendices/#glob-style-matching)

/// Never worse than the length of the pattern times that of the text, whatever the pattern.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on if what follows the last star does not fit: after one more character.
    let mut retry = None;
    loop {
        let (rest_of_pattern, rest_of_text) = (pattern.clone(), text.clone());
        match (pattern.next(), text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                text = rest_of_text;
                retry = Some((pattern.clone(), text.clone()));
                continue;
            }
            (Some('?'), Some(_)) => continue,
            (Some(a), Some(b)) if a == b => continue,
            (_, None) if rest_of_pattern.as_str().chars().all(|c| c == '*') => return true,
            _ => {}
        }
        let Some((after_star, from)) = &mut retry else { return false };
        if from.next().is_none() {
            return false;
        }
        (pattern, text) = (after_star.clone(), from.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        let cases = [
            ("@spam:evil.org", "@spam:evil.org", true),
            ("@spam:evil.org", "@spam:evil.org.uk", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("**", "a", true),
            ("*.evil.org", "www.evil.org", true),
            ("*.evil.org", "evil.org", false),
            ("@bot?:*", "@bot1:kith", true),
            ("@bot?:*", "@bot:kith", false),
            ("@bot?:*", "@bot12:kith", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXb", false),
            ("?", "é", true),
            ("a?*", "a", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let text = "a".repeat(255);
        let pattern = "*a".repeat(120) + "b";
        for _ in 0..1_000 {
            assert!(!matches(&pattern, &text));
        }
    }
}
