//! The server-server API, file by file as in ruma, as another server meets it.

mod asking;
mod authenticated_media;
mod authentication;
mod authorization;
mod backfill;
mod device;
mod device_lists;
mod directory;
mod discovery;
mod edus;
mod event;
mod events;
mod faster_joins;
mod keys;
mod membership;
mod openid;
mod policy;
mod query;
mod queue;
mod scene;
mod simulation;
mod space;
mod thirdparty;
mod to_device;
mod together;
mod transactions;
