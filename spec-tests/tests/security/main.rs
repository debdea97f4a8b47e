//! What a server must stand: see SECURITY.md.

mod bad_input;
