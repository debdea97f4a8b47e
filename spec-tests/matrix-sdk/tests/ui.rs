//! Does an app that is built like Element X work on Kith? It sees the world through matrix-sdk-ui only:
//! `SyncService` with its two sliding syncs, the room list, and timelines.

mod app;
mod connection;
mod encryption;
mod room_list;
mod threads;
mod timeline;
