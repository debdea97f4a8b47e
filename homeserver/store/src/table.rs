//! What is a row, seen from Rust?

use std::marker::PhantomData;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Key, Result};

/// A table: all rows of one shape. Its id stands in every key and never changes its meaning.
pub struct Table<K, V> {
    pub id: u8,
    pub name: &'static str,
    rows: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Value> Table<K, V> {
    pub const fn new(id: u8, name: &'static str) -> Self {
        Self { id, name, rows: PhantomData }
    }

    pub(crate) fn corrupt(&self, reason: impl ToString) -> Error {
        Error::Corrupt { table: self.name, reason: reason.to_string() }
    }

    pub(crate) fn decode(&self, value: &[u8]) -> Result<V> {
        V::decode(value).map_err(|reason| self.corrupt(reason))
    }
}

/// A table whose types are not of interest: to look at all of them.
pub trait AnyTable: Sync {
    fn id(&self) -> u8;
    fn name(&self) -> &'static str;
    /// Says what is wrong with a row of this table; `key` without team and table.
    fn check(&self, key: &[u8], value: &[u8]) -> Result<(), String>;
}

impl<K: Key, V: Value> AnyTable for Table<K, V> {
    fn id(&self) -> u8 {
        self.id
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn check(&self, mut key: &[u8], value: &[u8]) -> Result<(), String> {
        K::decode(&mut key).ok_or("malformed key")?;
        if !key.is_empty() {
            return Err("something follows the key".to_owned());
        }
        V::decode(value).map(drop)
    }
}

/// The value of a row. Rows that every event writes have compact encodings of their own;
/// everything else is [`Json`], which can grow fields without a migration.
pub trait Value: Sized {
    fn encode(&self) -> Vec<u8>;
    fn decode(bytes: &[u8]) -> Result<Self, String>;
}

/// A value kept as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned> Value for Json<T> {
    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).expect("our own types serialise")
    }
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map(Json).map_err(|error| error.to_string())
    }
}

impl Value for Bytes {
    fn encode(&self) -> Vec<u8> {
        self.to_vec()
    }
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        Ok(Bytes::copy_from_slice(bytes))
    }
}

/// Every key can be a value too: numbers, identifiers and tuples of them.
macro_rules! key_value {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn encode(&self) -> Vec<u8> {
                let mut out = Vec::new();
                Key::encode(self, &mut out);
                out
            }
            fn decode(mut bytes: &[u8]) -> Result<Self, String> {
                match Key::decode(&mut bytes) {
                    Some(value) if bytes.is_empty() => Ok(value),
                    _ => Err(format!("not a {}", stringify!($type))),
                }
            }
        }
    )*};
}
key_value!(
    (),
    u32,
    u64,
    i64,
    String,
    [u8; 32],
    (u32, u32),
    ([u8; 32], u32),
    ruma::OwnedEventId,
    ruma::OwnedRoomId,
    ruma::OwnedUserId,
    ruma::OwnedDeviceId
);

/// A list of dense ids, four bytes each.
impl Value for Vec<u32> {
    fn encode(&self) -> Vec<u8> {
        self.iter().flat_map(|id| id.to_be_bytes()).collect()
    }
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (chunks, rest) = bytes.as_chunks::<4>();
        if rest.is_empty() {
            Ok(chunks.iter().map(|id| u32::from_be_bytes(*id)).collect())
        } else {
            Err("not a list of 32-bit numbers".to_owned())
        }
    }
}

/// Which rows of a table, in which order, and how many at most.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    pub(crate) prefix: Vec<u8>,
    pub(crate) after: Option<Vec<u8>>,
    pub(crate) before: Option<Vec<u8>>,
    pub(crate) reverse: bool,
    pub(crate) limit: Option<usize>,
}

impl Scan {
    /// Every row of the table.
    pub fn all() -> Self {
        Self::default()
    }

    /// Rows whose key begins with `prefix`, a tuple of the key's first fields.
    pub fn prefix(prefix: &impl Key) -> Self {
        Self { prefix: encoded(prefix), ..Self::default() }
    }

    /// Only keys greater than `key` (a whole key or its first fields).
    #[must_use]
    pub fn after(mut self, key: &impl Key) -> Self {
        self.after = Some(encoded(key));
        self
    }

    /// Only keys less than `key`.
    #[must_use]
    pub fn before(mut self, key: &impl Key) -> Self {
        self.before = Some(encoded(key));
        self
    }

    /// Greatest key first.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    #[must_use]
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }
}

pub(crate) fn encoded(key: &impl Key) -> Vec<u8> {
    let mut out = Vec::new();
    key.encode(&mut out);
    out
}
