//! The browser: the record in `localStorage`, the stores in IndexedDB. Both belong to the page's origin.
//!
//! Only the keys are encrypted there, with a random key of the record: what can read one can read the
//! other.

use futures_util::{TryFutureExt, future::try_join4};
use matrix_sdk::{Client, config::StoreConfig, cross_process_lock::CrossProcessLockConfig};
use matrix_sdk_indexeddb::{
    IndexeddbCryptoStore, IndexeddbEventCacheStoreBuilder, IndexeddbMediaStoreBuilder,
    IndexeddbStateStore,
};
use wasm_bindgen::JsValue;

use super::{Stores, events::Events};
use crate::{Error, homeserver::Homeserver, session};

/// The databases that the SDK makes of one name.
const PARTS: [&str; 6] = [
    "",
    "::matrix-sdk-state",
    "::matrix-sdk-crypto",
    "::matrix-sdk-crypto-meta",
    "::event_cache",
    "::media",
];

/// The storage of the page's origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// The entry in `localStorage`.
    entry: String,
}

impl Storage {
    /// `name` tells programs of one origin apart.
    pub fn browser(name: &str) -> Self {
        Self { entry: format!("{name}.session") }
    }

    pub(super) fn read(&self) -> Result<Option<String>, Error> {
        local_storage()?.get_item(&self.entry).map_err(store_error)
    }

    pub(super) fn write(&self, text: &str) -> Result<(), Error> {
        local_storage()?.set_item(&self.entry, text).map_err(store_error)
    }

    pub(crate) fn forget(&self) -> Result<(), Error> {
        local_storage()?.remove_item(&self.entry).map_err(store_error)
    }

    pub(super) async fn open(&self, homeserver: &str, stores: &Stores) -> Result<Client, Error> {
        let Stores { name, key } = stores;
        let state = IndexeddbStateStore::builder().name(name.clone()).build();
        let events = IndexeddbEventCacheStoreBuilder::with_prefix(name).build();
        let media = IndexeddbMediaStoreBuilder::with_prefix(name).build();
        let crypto = IndexeddbCryptoStore::open_with_key(name, key);
        // The browser makes their tables side by side.
        let (state, events, media, crypto) = try_join4(
            state.map_err(Error::store),
            events.map_err(Error::store),
            media.map_err(Error::store),
            crypto.map_err(Error::store),
        )
        .await?;
        let config = StoreConfig::new(CrossProcessLockConfig::SingleProcess)
            .state_store(state)
            .event_cache_store(Events::new(events))
            .media_store(media)
            .crypto_store(crypto);
        // Locks between processes are rows that are written at each turn.
        let builder = session::settings(Homeserver::client(homeserver))
            .cross_process_store_config(CrossProcessLockConfig::SingleProcess);
        Ok(builder.store_config(config).build().await?)
    }

    /// Asks the browser to remove the stores, which it does once this page has closed them.
    pub(crate) fn delete(&self, stores: &Stores) {
        let Some(factory) = web_sys::window().and_then(|window| window.indexed_db().ok().flatten())
        else {
            return;
        };
        for part in PARTS {
            let _ = factory.delete_database(&format!("{}{part}", stores.name));
        }
    }
}

fn local_storage() -> Result<web_sys::Storage, Error> {
    let storage = web_sys::window().and_then(|window| window.local_storage().ok().flatten());
    storage.ok_or_else(|| Error::Store("the browser gives this page no storage".to_owned()))
}

fn store_error(error: JsValue) -> Error {
    Error::Store(format!("{error:?}"))
}
