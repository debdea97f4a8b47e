//! The server-server API, file by file as in ruma, as another server meets it.

mod authentication;
mod discovery;
mod membership;
