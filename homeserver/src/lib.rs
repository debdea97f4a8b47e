//! Kith, a Matrix homeserver for teams.

pub mod config;
