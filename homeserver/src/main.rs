//! The program `kith`. The only place that reads the environment.

use std::process::ExitCode;

use clap::Parser;

mod cli;

/// Many small allocations from many threads: less memory and time than with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::disallowed_methods, reason = "this is main.rs")]
fn main() -> ExitCode {
    // Huge pages would make an idle server three times as large: most of each would hold nothing.
    // Where the kernel knows no such thing, nothing is lost.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    cli::Cli::parse().run(environment.collect())
}
