//! What was shown lately is at hand.

use std::collections::HashMap;

use bytes::Bytes;

use super::{MediaHandle, MediaSize};

/// All together: 64 MiB. What is larger than a quarter of it is not held.
const BUDGET: usize = 64 * 1024 * 1024;

/// The files used last, within [`BUDGET`].
#[derive(Default)]
pub(crate) struct Cache {
    entries: HashMap<(MediaHandle, MediaSize), Entry>,
    bytes: usize,
    clock: u64,
}

struct Entry {
    bytes: Bytes,
    used: u64,
}

impl Cache {
    pub(crate) fn get(&mut self, key: &(MediaHandle, MediaSize)) -> Option<Bytes> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.clock;
        Some(entry.bytes.clone())
    }

    pub(crate) fn put(&mut self, key: (MediaHandle, MediaSize), bytes: Bytes) {
        if bytes.len() > BUDGET / 4 {
            return;
        }
        self.clock += 1;
        self.bytes += bytes.len();
        let entry = Entry { bytes, used: self.clock };
        if let Some(old) = self.entries.insert(key, entry) {
            self.bytes -= old.bytes.len();
        }
        while self.bytes > BUDGET {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            if let Some(entry) = self.entries.remove(&key) {
                self.bytes -= entry.bytes.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: usize) -> (MediaHandle, MediaSize) {
        (MediaHandle::plain(&format!("mxc://team.example/{name}")), MediaSize::Full)
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut cache = Cache::default();
        let file = Bytes::from(vec![0; BUDGET / 4]);
        for name in 0..4 {
            cache.put(key(name), file.clone());
        }
        assert!(cache.get(&key(0)).is_some());
        cache.put(key(4), file.clone());
        assert!(cache.get(&key(1)).is_none() && cache.get(&key(0)).is_some());
        cache.put(key(0), Bytes::from_static(b"x"));
        assert_eq!(cache.bytes, 3 * file.len() + 1);
    }

    #[test]
    fn a_large_file_pushes_nothing_out() {
        let mut cache = Cache::default();
        cache.put(key(0), Bytes::from_static(b"x"));
        cache.put(key(1), Bytes::from(vec![0; BUDGET]));
        assert!(cache.get(&key(0)).is_some() && cache.get(&key(1)).is_none());
    }
}
