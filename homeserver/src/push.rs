//! What is a user notified of?

pub mod rules;
pub mod unread;
