//! Files from the first byte to the last.

mod downloads;
mod harness;
mod journal;
mod moderation;
mod quotas;
mod retention;
mod uploads;
mod uploads_property;
