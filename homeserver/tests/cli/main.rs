//! The program itself, as an operator meets it.

mod configuration;
mod database;
mod kith;
mod serve;
mod tls;
mod user;
