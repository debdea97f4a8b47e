//! `GET /sync`.

mod filter;
mod lazy_members;
mod memberships;
mod news;
mod state;
mod summary;
mod unread;
