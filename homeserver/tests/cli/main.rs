//! The program itself, as an operator meets it.

mod acme;
mod configuration;
mod database;
mod doctor;
mod kith;
mod media;
mod serve;
mod shared_secret;
mod tls;
mod user;
