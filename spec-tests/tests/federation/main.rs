//! The server-server API, file by file as in ruma, as another server meets it.

mod authentication;
mod device_lists;
mod discovery;
mod membership;
mod edus;
mod queue;
mod to_device;
mod together;
mod transactions;
