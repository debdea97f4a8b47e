//! What happens in the helper process?

use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

use rustix::process::{Resource, Rlimit};

use super::{Job, Order, Reply};
use crate::picture::{self, Refusal};

/// Decodes one picture from standard input as `order`, which comes from [`super::Decoder`], says. Call it first
/// of all in `main`, while the process has one thread; other ends than [`ExitCode::SUCCESS`] have no answer.
pub fn run(order: Option<&str>) -> ExitCode {
    let order: Option<Order> = order.and_then(|order| serde_json::from_str(order).ok());
    let Some(order) = order else { return ExitCode::from(2) };
    if let Err(error) = confine(&order) {
        let _ = writeln!(io::stderr(), "cannot confine the decoder: {error}");
        return ExitCode::from(2);
    }
    match answer(order.job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer(job: Job) -> io::Result<()> {
    let mut source = Vec::new();
    io::stdin().lock().take(picture::BYTES + 1).read_to_end(&mut source)?;
    let (reply, bytes) = match work(job, &source) {
        Ok((reply, bytes)) => (reply, bytes),
        Err(refusal) => (Reply::Refused(refusal), Vec::new()),
    };
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &reply)?;
    output.write_all(b"\n")?;
    output.write_all(&bytes)?;
    output.flush()
}

fn work(job: Job, source: &[u8]) -> Result<(Reply, Vec<u8>), Refusal> {
    if source.len() as u64 > picture::BYTES {
        return Err(Refusal::TooLarge);
    }
    match job {
        Job::Inspect => Ok((Reply::Unchanged(picture::inspect(source)?), Vec::new())),
        Job::Render(size) => {
            let rendered = picture::render(source, size)?;
            Ok(match rendered.bytes {
                Some(bytes) => (Reply::Rendered(rendered.facts), bytes),
                None => (Reply::Unchanged(rendered.facts), Vec::new()),
            })
        }
    }
}

/// Gives up everything but the three open pipes, some memory and some time.
fn confine(order: &Order) -> io::Result<()> {
    leave_network();
    // Already there: the program, its libraries, what the allocator reserved.
    let mapped = mapped()?;
    let limit = |resource, most: u64| {
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
    };
    limit(Resource::Core, 0)?;
    limit(Resource::As, mapped.saturating_add(order.memory))?;
    limit(Resource::Cpu, order.processor_time)?;
    // No file, no socket can be opened, nothing be written to a file, no process be started.
    limit(Resource::Nofile, 0)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::Nproc, 0)?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// A network of its own that leads nowhere, where this machine permits it: containers often do not.
#[expect(
    deprecated,
    reason = "the other one is unsafe for those who share descriptors or threads; we have none"
)]
fn leave_network() {
    use rustix::thread::{UnshareFlags, unshare};
    let _ = unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET);
}

/// Bytes of this process's address space.
fn mapped() -> io::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or(io::ErrorKind::InvalidData)?;
    Ok(pages * rustix::param::page_size() as u64)
}
