//! Where do the bytes of files lie, and what is known about each file?
//!
//! `0xa0–0xa4` chunks, `0xa5–0xab` and `0xb0–0xb1` files, `0xac–0xaf` pictures.

use bytes::Bytes;
use ruma::{OwnedServerName, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{Json, StreamPosition, Table};

// Chunks: written by `kith_media_store::chunks` and its collector, scrub and fsck.

/// The chunks that the datastore holds.
/// - Key: the chunk id. Written when the bytes are durable, removed before they are.
pub const CHUNKS: Table<[u8; 32], Json<ChunkRow>> = Table::new(0xa0, "chunks");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRow {
    /// Bytes of plaintext.
    pub len: u32,
    /// Which data key it is sealed with; the object's own header has the last word.
    pub epoch: u32,
    /// Where in a pack it lies, if it has no object of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed: Option<PackedRow>,
    /// Milliseconds since the epoch: when it was stored or last found whole. See [`CHUNKS_BY_CHECK`].
    pub checked: u64,
    /// Milliseconds since the epoch: when the collector first found it without a use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_since: Option<u64>,
    /// What the last check found, if that was not the whole chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<ChunkDamage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedRow {
    /// The pack's number, greater than that of every pack before it.
    pub pack: u64,
    /// Bytes from the pack's start to the record.
    pub offset: u32,
}

/// The greater, the more there is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkDamage {
    Missing,
    Corrupt,
}

/// Who needs a chunk. No row, no need: the collector removes the chunk after its grace.
/// - Key: the chunk id, then a name that its user chose. Put and deleted in the batches of whoever
///   records the use, by way of `Chunks::used_by` and `Chunks::unused_by`.
pub const CHUNK_USES: Table<([u8; 32], String), ()> = Table::new(0xa1, "chunk_uses");

/// Chunks in the order in which they are to be checked again.
/// - Key: the row's `checked`, then the chunk id.
pub const CHUNKS_BY_CHECK: Table<(u64, [u8; 32]), ()> = Table::new(0xa2, "chunks_by_check");

/// What is needed of each pack, an immutable object of many small chunks.
/// - Key: the pack's number, then the chunk id. Value: the bytes that the chunk takes of the pack.
/// - Written with the row of [`CHUNKS`] that points there.
pub const PACKS: Table<(u64, [u8; 32]), u32> = Table::new(0xa3, "packs");

/// What else the store of chunks remembers: wrapped keys by epoch and the cursors of its tasks.
/// - Key: a name.
pub const CHUNK_STORE: Table<String, Bytes> = Table::new(0xa4, "chunk_store");

// Files, of this team's users and of other servers alike. Written by the modules of `kith-media-store`
// that are named.

/// What is known of a file.
/// - Key: the server and the media ID of its `mxc://` URI.
/// - Written by `media_store::record`.
pub const MEDIA: Table<(OwnedServerName, String), Json<MediaRow>> = Table::new(0xa5, "media");

/// A file's bytes, in order.
/// - Key: the file, and how many bytes come before this chunk.
/// - Value: the chunk, and its length.
/// - Written by `media_store::record`.
pub const MANIFEST: Table<(OwnedServerName, String, u64), ([u8; 32], u32)> =
    Table::new(0xa6, "manifest");

/// Files by what they have in common.
/// - Key: the uploader's user ID, or `sha256:` and 64 hexadecimal digits; when the file was created, in
///   milliseconds since the epoch; the file. Written by `media_store::record`.
pub const MEDIA_BY: Table<(String, u64, OwnedServerName, String), ()> =
    Table::new(0xa7, "media_by");

/// How much is kept.
/// - Key: a user ID, `team` for all local users together, `remote` for the files of other servers.
/// - Written by `media_store::quota`.
pub const MEDIA_USAGE: Table<String, Json<UsageRow>> = Table::new(0xa8, "media_usage");

/// Which files something names.
/// - Key: the room ID or a word for what is no event; the event ID or the like; the `mxc://` URI.
/// - Written by `media_store::references`.
pub const MEDIA_REFS: Table<(String, String, String), ()> = Table::new(0xa9, "media_refs");

/// The same by file.
/// - Key: the file, then as in [`MEDIA_REFS`]. Written by `media_store::references`.
pub const MEDIA_REFERENCED: Table<(OwnedServerName, String, String, String), ()> =
    Table::new(0xaa, "media_referenced");

/// Files to look at when their time has come. A row is a hint: the file's own row says whether it holds.
/// - Key: what to do, a number of `media_store::agenda`; when, in milliseconds since the epoch; the file.
/// - Written by `media_store::agenda`.
pub const MEDIA_AGENDA: Table<(u8, u64, OwnedServerName, String), ()> =
    Table::new(0xab, "media_agenda");

/// Content that is not accepted.
/// - Key: its SHA-256. Written by `media_store::moderation`.
pub const MEDIA_BLOCKED: Table<[u8; 32], Json<BlockedRow>> = Table::new(0xb0, "media_blocked");

/// Every change up to this position was looked at. Written by `homeserver::media::references`.
pub const MEDIA_CURSOR: Table<(), StreamPosition> = Table::new(0xb1, "media_cursor");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRow {
    /// Absent for files of other servers.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub uploader: Option<OwnedUserId>,
    /// What the uploader or the other server says that it is; not to be believed.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What its first bytes look like: a word of `media_store::sniff`.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub sniffed: Option<String>,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Bytes that are here; while the file is uploaded, how many of them are durable.
    #[serde(rename = "s")]
    pub size: u64,
    /// Bytes that it will have, where its uploader said so.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Of a whole file; 64 hexadecimal digits.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Milliseconds since the epoch.
    #[serde(rename = "c")]
    pub created: u64,
    /// When it was last asked for, as exactly as the store cares. Milliseconds since the epoch.
    #[serde(rename = "a")]
    pub accessed: u64,
    #[serde(rename = "st")]
    pub state: MediaState,
    /// Who withholds it from everybody, if anyone does.
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// Neither quarantined nor deleted by rule.
    #[serde(rename = "p", default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    /// Cut by content rather than at fixed lengths.
    #[serde(rename = "d", default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_by_content: bool,
}

/// How far a file is. All times are milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "s")]
pub enum MediaState {
    /// Its URI is given out; nothing has come.
    #[serde(rename = "r")]
    Reserved {
        #[serde(rename = "e")]
        expires: u64,
    },
    /// A part is here. `reserved`: counts as one of the URIs that its user may hold unused.
    #[serde(rename = "u")]
    Uploading {
        #[serde(rename = "e")]
        expires: u64,
        #[serde(rename = "r", default)]
        reserved: bool,
    },
    #[serde(rename = "c")]
    Complete,
    /// Deleted, but it can be brought back until `until`.
    #[serde(rename = "t")]
    Trashed {
        #[serde(rename = "e")]
        until: u64,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Of all files, unfinished ones too.
    #[serde(rename = "b")]
    pub bytes: u64,
    /// Whole files.
    #[serde(rename = "f")]
    pub files: u64,
    /// Reserved URIs that were not uploaded to in full.
    #[serde(rename = "p", default)]
    pub pending: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedRow {
    #[serde(rename = "b")]
    pub by: String,
    /// Milliseconds since the epoch.
    #[serde(rename = "a")]
    pub at: u64,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

// Pictures.

/// What came of making a file small.
/// - Key: the file, then the size: `crop 96x96`, `scale 320x240 animated`.
/// - Written by `media_store::thumbnail`.
pub const THUMBNAILS: Table<(OwnedServerName, String, String), Json<ThumbnailRow>> =
    Table::new(0xac, "thumbnails");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThumbnailRow {
    /// Milliseconds since the epoch.
    #[serde(rename = "m")]
    pub made: u64,
    #[serde(rename = "s")]
    pub state: ThumbnailState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "s")]
pub enum ThumbnailState {
    /// `chunk`: 64 hexadecimal digits. `length`: bytes.
    #[serde(rename = "k")]
    Kept {
        #[serde(rename = "c")]
        chunk: String,
        #[serde(rename = "l")]
        length: u32,
        #[serde(rename = "p")]
        picture: PictureRow,
    },
    /// The file itself is small enough.
    #[serde(rename = "w")]
    Whole {
        #[serde(rename = "p")]
        picture: PictureRow,
    },
    #[serde(rename = "r")]
    Refused {
        #[serde(rename = "y")]
        why: String,
    },
    /// The decoder did not survive it. `until`: milliseconds since the epoch.
    #[serde(rename = "d")]
    Died {
        #[serde(rename = "u")]
        until: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureRow {
    #[serde(rename = "t")]
    pub content_type: String,
    /// Pixels.
    #[serde(rename = "w")]
    pub width: u32,
    #[serde(rename = "h")]
    pub height: u32,
}

/// What was found behind URLs.
/// - Key: the BLAKE3 of the URL, then when it was looked at, in milliseconds since the epoch.
/// - Written by `media_store::preview`.
pub const PREVIEWS: Table<([u8; 32], u64), Json<PreviewRow>> = Table::new(0xad, "previews");

/// The same by age.
/// - Key: as in [`PREVIEWS`], the other way round. Written by `media_store::preview`.
pub const PREVIEWS_BY_AGE: Table<(u64, [u8; 32]), ()> = Table::new(0xae, "previews_by_age");

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviewRow {
    #[serde(rename = "u")]
    pub url: String,
    /// For how long it is given out; milliseconds since the epoch.
    #[serde(rename = "e")]
    pub until: u64,
    /// The properties; absent if nothing could be had.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<serde_json::Map<String, serde_json::Value>>,
    /// The media ID of its picture, a file of the team's.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}
