//! Every table of Kith. An id is never reused; a row's shape changes only in ways that old rows
//! can still be read.
//!
//! `0x01–0x0f` the database and its log, `0x20–0x3f` rooms, `0x40–0x5f` users and devices,
//! `0x60–0x6f` account data, receipts and filters, `0x70–0x77` pushers, `0x80–0x9f` other
//! servers, `0xa0–0xbf` files.

mod accounts;
mod delayed;
mod encryption;
mod federation;
mod graph;
mod key_backup;
mod media;
mod outbound;
mod outside;
mod push;
mod reports;
mod rooms;
mod system;
mod threads;

pub use accounts::*;
pub use delayed::*;
pub use encryption::*;
pub use federation::*;
pub use graph::*;
pub use key_backup::*;
pub use media::*;
pub use outbound::*;
pub use outside::*;
pub use push::*;
pub use reports::*;
pub use rooms::*;
pub use system::*;
pub use threads::*;

use crate::table::AnyTable;

/// Every table. `kith db check` knows no other rows, so a new table is added here too.
pub const ALL: &[&dyn AnyTable] = &[
    // system.rs
    &TEAMS,
    &META,
    &LOG,
    &SECRETS,
    // rooms.rs
    &ROOM_NUMBERS,
    &ROOMS,
    &ROOM_HEADS,
    &EVENTS,
    &EVENT_IDS,
    &TIMELINE,
    &STATE_KEYS,
    &SNAPSHOT_NODES,
    &MEMBERS,
    &MEMBERSHIPS,
    &RELATIONS,
    &TRANSACTION_IDS,
    &ALIASES,
    &ROOM_ALIASES,
    &PUBLISHED_ROOMS,
    &ERASED_USERS,
    // graph.rs
    &STATES_APART,
    &AWAITED,
    &PARTIAL_JOINS,
    &UNRECOMMENDED,
    // outside.rs
    &OUTSIDE_EVENTS,
    &HANDED_IN,
    // accounts.rs
    &USERS,
    &PROFILES,
    &DEVICES,
    &ACCESS_TOKENS,
    &REFRESH_TOKENS,
    &LOGIN_TOKENS,
    &REGISTRATION_TOKEN_USES,
    &USER_WORDS,
    &ACCOUNT_DATA,
    &FILTERS,
    &RECEIPTS,
    // encryption.rs
    &DEVICE_KEYS,
    &CROSS_SIGNING_KEYS,
    &USER_SIGNATURES,
    &ONE_TIME_KEYS,
    &FALLBACK_KEYS,
    &CLAIMED_KEYS,
    &DEVICE_LIST_CHANGES,
    &TO_DEVICE,
    &TO_DEVICE_TRANSACTIONS,
    &DEHYDRATED_DEVICES,
    // key_backup.rs
    &KEY_BACKUPS,
    &BACKED_UP_KEYS,
    // threads.rs
    &THREAD_SUBSCRIPTIONS,
    &THREAD_SUBSCRIPTION_CHANGES,
    &THREADS,
    // reports.rs
    &REPORTS,
    // delayed.rs
    &DELAYED_EVENTS,
    // push.rs
    &PUSHERS,
    &PUSHERS_BY_KEY,
    &PUSH_QUEUE,
    &PUSH_CURSOR,
    // federation.rs
    &SERVER_KEYS,
    &ACME,
    &REMOTE_MEDIA,
    // media.rs
    &CHUNKS,
    &CHUNK_USES,
    &CHUNKS_BY_CHECK,
    &PACKS,
    &CHUNK_STORE,
    &MEDIA,
    &MANIFEST,
    &MEDIA_BY,
    &MEDIA_USAGE,
    &MEDIA_REFS,
    &MEDIA_REFERENCED,
    &MEDIA_AGENDA,
    &MEDIA_BLOCKED,
    &THUMBNAILS,
    &PREVIEWS,
    &PREVIEWS_BY_AGE,
    &MEDIA_CURSOR,
    // outbound.rs
    &OUTBOUND_CURSOR,
    &DESTINATIONS,
    &OUTBOUND_EDUS,
    &DEVICE_STREAMS,
    &ANNOUNCED_DEVICES,
    &REMOTE_DEVICE_LISTS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_tables_share_an_id_or_a_name() {
        let ids: BTreeSet<_> = ALL.iter().map(|table| table.id()).collect();
        let names: BTreeSet<_> = ALL.iter().map(|table| table.name()).collect();
        assert_eq!((ids.len(), names.len()), (ALL.len(), ALL.len()));
    }

    /// A table that is not in [`ALL`] would be a problem to `kith db check`.
    #[test]
    fn every_table_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tables");
        let files = std::fs::read_dir(folder).expect("the sources are there");
        let defined = |file: std::io::Result<std::fs::DirEntry>| {
            let path = file.expect("the folder can be read").path();
            let source = std::fs::read_to_string(path).expect("sources are text");
            source.matches("Table::new(").count()
        };
        assert_eq!(files.map(defined).sum::<usize>(), ALL.len());
    }
}
