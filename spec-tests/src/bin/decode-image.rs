//! The helper process of [`kith_media_store::decoder`] for servers that run within a test.

use std::process::ExitCode;

use kith_media_store::decoder;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(decoder::COMMAND) {
        return ExitCode::from(2);
    }
    decoder::run(arguments.next().as_deref())
}
