//! How do we show that the server does what the specification says?
//!
//! Tests start a real server on a free port of this machine ([`TestServer`]), talk to it as clients
//! do ([`TestUser`]: HTTP and plain JSON, no types shared with the server), and judge its
//! [`Answer`]s. Every request is noted for `make spec-report` ([`record`]).

pub mod record;
pub mod report;
pub mod script;

mod answer;
mod certificates;
mod cost;
mod crypto;
mod gate;
mod gateway;
mod pages;
mod path;
mod process;
mod proxy;
mod remote;
mod server;
mod sliding;
mod sync;
mod synapse;
mod user;
mod wait;

pub use answer::Answer;
pub use certificates::{ServerCertificate, certificate_authority, free_port};
pub use cost::cpu_ms;
pub use crypto::{CrossSigningKeys, DeviceKeys, SigningKey, random_key};
pub use gate::Gate;
pub use gateway::{PushGateway, Reply};
pub use pages::PageServer;
pub use path::encode;
pub use process::KithProcess;
pub use proxy::{Passed, RecordingProxy};
pub use remote::{
    Asked, RemoteRoom, RemoteServer, Reply as RemoteReply, Signing, State as RemoteState,
    event_id as pdu_event_id, new_key,
};
pub use server::{ReachedServer, TestServer};
pub use sliding::{ROOM_LIST_STATE, Slide, SlidingSync};
pub use synapse::Synapse;
pub use sync::{Events, Sync, SyncRequest};
pub use user::{TestUser, event_ids};
pub use wait::until;
