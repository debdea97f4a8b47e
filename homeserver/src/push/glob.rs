//! Does a pattern match a text? In time that follows the text's length, whatever the pattern.
//!
//! [Spec](https://spec.matrix.org/latest/appendices/#glob-style-matching)

use std::{borrow::Cow, collections::BTreeMap};

/// The longest pattern, in characters; a longer one matches nothing.
pub const LONGEST: usize = 512;
/// One bit for each number of the pattern's characters that may be matched so far.
const BLOCKS: usize = LONGEST / 64 + 1;

type States = [u64; BLOCKS];

/// Which part of the text must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// Any part that begins and ends at a word boundary.
    Words,
}

/// How much work the patterns of one evaluation may still take, in steps of a few nanoseconds. When it
/// is used up nothing matches any more: no set of rules can hold up the server.
#[derive(Debug)]
pub struct Budget(u64);

impl Default for Budget {
    fn default() -> Self {
        Self(1_000_000)
    }
}

impl Budget {
    fn take(&mut self, steps: usize) -> bool {
        match self.0.checked_sub(steps as u64) {
            Some(rest) => self.0 = rest,
            None => self.0 = 0,
        }
        self.0 > 0
    }
}

/// Whether a pattern matches, upper and lower case being the same.
pub fn matches(pattern: &str, text: &str, part: Part, budget: &mut Budget) -> bool {
    let wild = pattern.contains(['*', '?']);
    find(pattern, wild, text, part, budget)
}

/// Whether these very words are in the text, upper and lower case being the same.
pub fn contains(words: &str, text: &str, budget: &mut Budget) -> bool {
    find(words, false, text, Part::Words, budget)
}

/// Without `wild` an asterisk is an asterisk.
fn find(pattern: &str, wild: bool, text: &str, part: Part, budget: &mut Budget) -> bool {
    if !wild && part == Part::Whole && pattern.is_ascii() {
        return pattern.eq_ignore_ascii_case(text);
    }
    if !budget.take(text.len() + pattern.len()) {
        return false;
    }
    let (pattern, text) = (lower(pattern), lower(text));
    if pattern.is_empty() || (!wild && part == Part::Whole) {
        return pattern == text;
    }
    if !wild && !text.contains(&*pattern) {
        return false;
    }
    search(&pattern, wild, &text, part, budget)
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_uppercase) {
        Cow::Owned(text.to_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Follows all ways to match at once: bit `n` of the state says that the first `n` characters of the
/// pattern may have been matched.
fn search(pattern: &str, wild: bool, text: &str, part: Part, budget: &mut Budget) -> bool {
    let (mut stays, mut any) = (States::default(), States::default());
    let mut letters: BTreeMap<char, States> = BTreeMap::new();
    let mut length = 0;
    for character in pattern.chars() {
        if wild && character == '*' {
            set(&mut stays, length);
            continue;
        }
        if length == LONGEST {
            return false;
        }
        match character {
            '?' if wild => set(&mut any, length),
            letter => set(letters.entry(letter).or_default(), length),
        }
        length += 1;
    }
    let blocks = length / 64 + 1;
    if !budget.take(text.len() * blocks) {
        return false;
    }
    let mut state = States::default();
    let mut before = None;
    let mut rest = text.chars();
    loop {
        let next = rest.clone().next();
        if may_begin(part, before, next) {
            set(&mut state, 0);
        }
        if may_end(part, before, next) && is_set(&state, length) {
            return true;
        }
        let Some(character) = rest.next() else { return false };
        let letter = letters.get(&character);
        let mut carry = 0;
        for block in 0..blocks {
            let matching = any[block] | letter.map_or(0, |letter| letter[block]);
            let moved = state[block] & matching;
            state[block] = (state[block] & stays[block]) | (moved << 1) | carry;
            carry = moved >> 63;
        }
        before = Some(character);
    }
}

fn may_begin(part: Part, before: Option<char>, next: Option<char>) -> bool {
    match part {
        Part::Whole => before.is_none(),
        Part::Words => is_boundary(before, next),
    }
}

fn may_end(part: Part, before: Option<char>, next: Option<char>) -> bool {
    match part {
        Part::Whole => next.is_none(),
        Part::Words => is_boundary(before, next),
    }
}

fn is_boundary(before: Option<char>, next: Option<char>) -> bool {
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    !in_word(before) || !in_word(next)
}

fn set(states: &mut States, bit: usize) {
    states[bit / 64] |= 1 << (bit % 64);
}

fn is_set(states: &States, bit: usize) -> bool {
    states[bit / 64] & (1 << (bit % 64)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(pattern: &str, text: &str) -> bool {
        matches(pattern, text, Part::Whole, &mut Budget::default())
    }

    fn words(pattern: &str, text: &str) -> bool {
        matches(pattern, text, Part::Words, &mut Budget::default())
    }

    #[test]
    fn a_whole_text_matches_or_not() {
        for text in ["Lunch plans", "LUNCH", "lunch", "luncx and\nmore"] {
            assert!(whole("lunc?*", text), "{text}");
        }
        for text in [" lunch", "lunc", ""] {
            assert!(!whole("lunc?*", text), "{text}");
        }
        assert!(whole("", "") && !whole("", "x") && whole("*", "") && !whole("?", ""));
        assert!(whole("a*b*c", "aXbYbc") && !whole("a*b*c", "aXbYcb"));
        assert!(whole("ÄRGER*", "ärgerlich") && whole("ß?", "ẞx"));
    }

    #[test]
    fn words_match_between_boundaries() {
        for text in ["An example event.", "exple", "An exciting triple-whammy", "EX-PLE!"] {
            assert!(words("ex*ple", text), "{text}");
        }
        assert!(!words("ex*ple", "exciting triplet"));
        assert!(!words("ex*ple", "annex plex"));
        assert!(words("cake", "there is Cake!") && !words("cake", "pancakes and cakes"));
        assert!(words("cake", "pancakes, cake_ and cake"));
        assert!(!words("cake", "cake_"));
        assert!(words("foo bar", "a foo bar b") && !words("foo bar", "a foo barb"));
        // What is no word character is a boundary itself.
        assert!(words("@room", "hey@room") && words("über", "xüber"));
        assert!(words("*", "") && words("", "") && !words("", "x"));
    }

    #[test]
    fn a_name_is_no_pattern() {
        let contains = |name, text| contains(name, text, &mut Budget::default());
        assert!(contains("Al*ce?", "hello AL*CE?") && !contains("Al*ce?", "hello alice!"));
    }

    #[test]
    fn long_patterns_cross_blocks_and_have_an_end() {
        let pattern = "ab".repeat(200);
        assert!(whole(&format!("{pattern}*"), &"ab".repeat(201)));
        assert!(!whole(&format!("{pattern}?"), &pattern));
        assert!(whole(&"?".repeat(LONGEST), &"x".repeat(LONGEST)));
        assert!(!whole(&"?".repeat(LONGEST + 1), &"x".repeat(LONGEST + 1)));
    }

    #[test]
    fn a_used_up_budget_matches_nothing() {
        let (pattern, text) = ("a*".repeat(100), "a".repeat(60_000));
        let mut budget = Budget::default();
        let found = (0..1000).filter(|_| matches(&pattern, &text, Part::Words, &mut budget));
        assert!((1..20).contains(&found.count()));
        assert!(!matches("cake", "cake", Part::Words, &mut budget));
    }
}
