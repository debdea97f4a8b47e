//! Rows in a `BTreeMap`, for tests. Nothing survives the process.

use std::{collections::BTreeMap, ops::Bound};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;

use super::{Engine, Range, Write};
use crate::Result;

#[derive(Debug, Default)]
pub struct Memory {
    rows: RwLock<BTreeMap<Vec<u8>, Bytes>>,
}

#[async_trait]
impl Engine for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.rows.read().get(key).cloned())
    }

    async fn scan(&self, range: Range) -> Result<Vec<(Bytes, Bytes)>> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let rows = self.rows.read();
        let found = rows.range::<[u8], _>((
            Bound::Included(range.start.as_slice()),
            Bound::Excluded(range.end.as_slice()),
        ));
        let pair = |(key, value): (&Vec<u8>, &Bytes)| (Bytes::copy_from_slice(key), value.clone());
        Ok(if range.reverse {
            found.rev().take(range.limit).map(pair).collect()
        } else {
            found.take(range.limit).map(pair).collect()
        })
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<()> {
        let mut rows = self.rows.write();
        for (key, value) in writes {
            match value {
                Some(value) => rows.insert(key, value.into()),
                None => rows.remove(&key),
            };
        }
        Ok(())
    }
}
