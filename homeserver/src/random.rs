//! Where do secrets and identifiers come from?

use rand::{Rng, distr::Alphanumeric};

/// Letters and digits from the thread's secure random generator: 5.95 bits each.
pub fn random_string(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}
