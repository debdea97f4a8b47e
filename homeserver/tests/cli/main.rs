//! The program itself, as an operator meets it.

mod configuration;
mod kith;
mod serve;
mod tls;
