//! What is a user notified of, and who tells their phones?

pub mod evaluate;
pub mod glob;
pub mod rules;
pub mod judge;
pub mod unread;
pub mod badge;
pub mod notifications;
pub mod pushers;
pub mod queue;
pub mod gateway;
pub mod worker;
pub mod delivery;
