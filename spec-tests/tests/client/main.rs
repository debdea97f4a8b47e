//! The client-server API, file by file as in `homeserver/src/api/client`.

mod discovery;
