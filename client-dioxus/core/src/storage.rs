//! Where does this device keep its session, its keys and what it has seen?
//!
//! One account at a time: a small record (the session, and the random key of the store) and the SDK's
//! stores. Each sign-in gets stores of its own, so that nothing is ever mixed up with an older device's.

use matrix_sdk::{Client, authentication::matrix::MatrixSession};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    timeout::{LONG, within},
};

#[cfg(any(target_family = "wasm", test))]
mod events;

#[cfg_attr(target_family = "wasm", path = "storage/web.rs")]
#[cfg_attr(not(target_family = "wasm"), path = "storage/native.rs")]
mod platform;

pub use platform::Storage;

/// What brings a session back.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// URL of the client API.
    pub(crate) homeserver: String,
    pub(crate) stores: Stores,
    pub(crate) session: MatrixSession,
}

/// The name and the key of one sign-in's stores.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Stores {
    pub(crate) name: String,
    /// Random; a passphrase would cost a minute of key derivation at each start.
    pub(crate) key: [u8; 32],
}

impl Stores {
    pub(crate) fn new() -> Self {
        let mut random = rand::rng();
        Self { name: format!("kith-{:032x}", random.random::<u128>()), key: random.random() }
    }
}

impl Storage {
    /// The record, if there is one that can be read; another program's or an older one's is none.
    pub(crate) fn record(&self) -> Result<Option<Record>, Error> {
        Ok(self.read()?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(crate) fn keep(&self, record: &Record) -> Result<(), Error> {
        self.write(&serde_json::to_string(record)?)
    }

    /// A client that keeps what it knows in these stores.
    pub(crate) async fn client(&self, homeserver: &str, stores: &Stores) -> Result<Client, Error> {
        within(LONG, self.open(homeserver, stores)).await
    }
}
