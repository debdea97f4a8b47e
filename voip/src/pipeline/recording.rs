//! A room on disk: packets come by a tap, and each time that a track is added a new file begins.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{check, part::Part};
use crate::{
    recording::{RecordError, Summary},
    tap::TapPacket,
};

/// After a new track others may follow (camera and microphone come together), and sender reports.
const SETTLE: Duration = Duration::from_secs(2);

/// Packets kept while a part is about to begin; more than two seconds of a whole call.
const MAX_KEPT: usize = 20_000;

/// Starts the thread that writes `path` (`.webm`, and `-2.webm` and so on for further parts). It ends when
/// the tap is closed.
pub(crate) fn record(
    path: PathBuf,
    packets: Receiver<TapPacket>,
) -> Result<oneshot::Receiver<Result<Summary, RecordError>>, RecordError> {
    check()?;
    let (report, done) = oneshot::channel();
    std::thread::Builder::new()
        .name("kith-recording".to_owned())
        .spawn(move || {
            let mut recorder = Recorder::new(path);
            let result = recorder.run(&packets);
            // Nobody may wait for it.
            let _ = report.send(result);
        })
        .map_err(RecordError::Thread)?;
    Ok(done)
}

struct Recorder {
    path: PathBuf,
    part: Option<Part>,
    /// The latest packet of each track of the part that is about to begin.
    tracks: BTreeMap<Arc<str>, TapPacket>,
    /// What came since a new part was called for.
    kept: Vec<TapPacket>,
    begin: Option<Instant>,
    summary: Summary,
}

impl Recorder {
    fn new(path: PathBuf) -> Self {
        let summary = Summary { parts: Vec::new(), packets: 0 };
        Self { path, part: None, tracks: BTreeMap::new(), kept: Vec::new(), begin: None, summary }
    }

    fn run(&mut self, packets: &Receiver<TapPacket>) -> Result<Summary, RecordError> {
        loop {
            match packets.recv_timeout(Duration::from_millis(100)) {
                Ok(packet) => self.packet(packet)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.begin.is_some_and(|at| at <= Instant::now()) {
                self.begin_part()?;
            }
        }
        if self.begin.is_some() {
            self.begin_part()?;
        }
        self.end_part()?;
        Ok(self.summary.clone())
    }

    fn packet(&mut self, packet: TapPacket) -> Result<(), RecordError> {
        let known = self.part.as_ref().is_some_and(|part| part.has(&packet.track));
        if !known && self.begin.is_none() {
            self.begin = Some(Instant::now() + SETTLE);
            self.tracks.clear();
        }
        if self.begin.is_some() {
            self.tracks.insert(Arc::clone(&packet.track), packet.clone());
            // What is in the part that still runs is not kept twice.
            if !known && self.kept.len() < MAX_KEPT {
                self.kept.push(packet);
                return Ok(());
            }
        }
        self.write(&packet)
    }

    fn write(&mut self, packet: &TapPacket) -> Result<(), RecordError> {
        if let Some(part) = &mut self.part {
            part.push(packet)?;
            self.summary.packets += 1;
        }
        Ok(())
    }

    /// All tracks that are there now, in a new file.
    fn begin_part(&mut self) -> Result<(), RecordError> {
        self.begin = None;
        self.end_part()?;
        let kept = std::mem::take(&mut self.kept);
        let tracks: Vec<_> = std::mem::take(&mut self.tracks).into_values().collect();
        let earliest = kept.iter().map(|packet| packet.captured).min();
        let started = earliest.unwrap_or_else(Instant::now);
        let number = self.summary.parts.len() + 1;
        let path = if number == 1 { self.path.clone() } else { self.numbered(number) };
        let part = Part::start(&path, &tracks, started)?;
        self.summary.parts.push(part.path.clone());
        self.part = Some(part);
        for packet in kept {
            self.write(&packet)?;
        }
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!("{stem}-{number}.webm"))
    }

    fn end_part(&mut self) -> Result<(), RecordError> {
        if let Some(part) = self.part.take() {
            part.finish()?;
        }
        Ok(())
    }
}
