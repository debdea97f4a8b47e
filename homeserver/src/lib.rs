//! Kith, a Matrix homeserver for teams.
//!
//! The order of the modules is a rule: a later one may use an earlier one, never the other way
//! round. [`api`] alone knows HTTP; see the workspace README for the picture of the layers.

pub mod config;
pub mod outgoing;
pub mod team;
pub mod federation_store;
pub mod locks;
pub mod random;
pub mod cache;
pub mod glob;
pub mod rate_limit;
pub mod callers;

pub mod users;
pub mod delayed_events;
pub mod device_memory;
pub mod keys;
pub mod to_device;
pub mod devices;
pub mod key_backup;
pub mod account_data;
pub mod openid;
pub mod media;
pub mod pictures;
pub mod room;
pub mod calls;
pub mod thread_subscriptions;
pub mod invites;
pub mod identity;
pub mod third_party_invites;
pub mod reports;
pub mod waiters;
pub mod ephemeral;
pub mod typing;
pub mod receipts;
pub mod presence;
pub mod push;
pub mod predecessor;
pub mod sync;
pub mod remote_devices;
pub mod edus;
pub mod transactions;
pub mod federation_out;

pub mod app;
pub mod api;
pub mod certificates;
pub mod acme;
pub mod listen;
pub mod media_node;
pub mod server;
