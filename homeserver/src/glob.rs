//! Does a text match a pattern in which `*` is any run of characters and `?` any one?
//!
//! [Spec](https://spec.matrix.org/latest/appendices/#glob-style-matching)

/// Patterns that are tried together: all ways to match are followed at once, so that a text takes time
/// that follows its length and the patterns' length divided by 64, whatever the patterns.
#[derive(Debug, Default)]
pub struct Patterns {
    /// Bit `n` of a pattern's bits says that its first `n` characters may have been matched. Each
    /// pattern has one bit more than characters; no way leads from its last to the next pattern.
    blocks: Vec<Block>,
}

/// What 64 bits stand for.
#[derive(Debug, Default)]
struct Block {
    /// Where patterns begin and end.
    starts: u64,
    ends: u64,
    /// Where a star lets any character pass.
    stays: u64,
    /// Where any one character leads on.
    any: u64,
    /// Where these characters lead on, in order of the characters.
    letters: Vec<(char, u64)>,
}

impl Patterns {
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        let mut bit = 0;
        for pattern in patterns {
            all.at(bit).starts |= mask(bit);
            for character in pattern.chars() {
                match character {
                    '*' => all.at(bit).stays |= mask(bit),
                    '?' => {
                        all.at(bit).any |= mask(bit);
                        bit += 1;
                    }
                    letter => {
                        all.at(bit).add(letter, mask(bit));
                        bit += 1;
                    }
                }
            }
            all.at(bit).ends |= mask(bit);
            bit += 1;
        }
        all.blocks.shrink_to_fit();
        all.blocks.iter_mut().for_each(|block| block.letters.shrink_to_fit());
        all
    }

    fn at(&mut self, bit: usize) -> &mut Block {
        if self.blocks.len() <= bit / 64 {
            self.blocks.resize_with(bit / 64 + 1, Block::default);
        }
        &mut self.blocks[bit / 64]
    }

    /// Whether any of the patterns matches the whole text.
    pub fn match_any(&self, text: &str) -> bool {
        let mut state: Vec<u64> = self.blocks.iter().map(|block| block.starts).collect();
        for character in text.chars() {
            let mut carry = 0;
            for (state, block) in state.iter_mut().zip(&self.blocks) {
                let before = *state;
                *state = carry;
                carry = 0;
                if before != 0 {
                    let moved = before & (block.any | block.leads_on(character));
                    *state |= (before & block.stays) | (moved << 1);
                    carry = moved >> 63;
                }
            }
        }
        state.iter().zip(&self.blocks).any(|(state, block)| state & block.ends != 0)
    }

    /// About how many bytes it takes in memory.
    pub fn weight(&self) -> usize {
        let letters: usize = self.blocks.iter().map(|block| block.letters.len()).sum();
        self.blocks.len() * size_of::<Block>() + letters * size_of::<(char, u64)>()
    }
}

impl Block {
    fn add(&mut self, letter: char, mask: u64) {
        match self.letters.binary_search_by_key(&letter, |(letter, _)| *letter) {
            Ok(at) => self.letters[at].1 |= mask,
            Err(at) => self.letters.insert(at, (letter, mask)),
        }
    }

    fn leads_on(&self, letter: char) -> u64 {
        let found = self.letters.binary_search_by_key(&letter, |(letter, _)| *letter);
        found.map_or(0, |at| self.letters[at].1)
    }
}

fn mask(bit: usize) -> u64 {
    1 << (bit % 64)
}

#[cfg(test)]
mod tests {
    use super::Patterns;

    const CASES: [(&str, &str, bool); 17] = [
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
        ("ü?", "üb", true),
        ("a?*", "a", false),
        ("*a", "aba", true),
    ];

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        for (pattern, text, expected) in CASES {
            assert_eq!(Patterns::new([pattern]).match_any(text), expected, "{pattern:?} {text:?}");
        }
        assert!(!Patterns::new([]).match_any(""));
    }

    /// Wherever in the blocks a pattern lies, it means the same, and says nothing of its neighbours.
    #[test]
    fn patterns_do_not_run_into_each_other() {
        let neighbour = "n".repeat(61);
        for shift in 0..neighbour.len() {
            for (pattern, text, expected) in CASES {
                let neighbour = &neighbour[shift..];
                let patterns = Patterns::new([neighbour, pattern, neighbour]);
                assert_eq!(patterns.match_any(text), expected, "{shift} {pattern:?} {text:?}");
            }
            let joined = Patterns::new([&neighbour[shift..], "ab", "cd"]);
            assert!(!joined.match_any("abcd") && joined.match_any("cd"));
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let text = "a".repeat(255);
        let pattern = "*a".repeat(120) + "b";
        let patterns = Patterns::new(std::iter::repeat_n(pattern.as_str(), 300));
        for _ in 0..10 {
            assert!(!patterns.match_any(&text));
        }
    }
}
