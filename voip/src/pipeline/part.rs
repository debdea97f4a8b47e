//! One file: the tracks of a room while none is added, each through its own jitter buffer into one muxer.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use gstreamer::{
    Bus, ClockTime, Element, ElementFactory, Format, MessageView, Pad, Pipeline, State, prelude::*,
};
use gstreamer_app::{AppSrc, AppStreamType};

use super::{
    offset::{Offset, since},
    rtp,
};
use crate::{
    recording::RecordError,
    tap::{Codec, TapPacket},
};

/// Packets that come later than this are given up.
const JITTER_BUFFER: u32 = 300;

/// A part is closed for a while at most: the disk is slow or broken then.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// Bytes that wait for the muxer, for each track.
const WAITING: u64 = 8 * 1024 * 1024;

struct Input {
    source: AppSrc,
    /// The jitter buffer's way out, where the track is put in its place.
    pad: Pad,
    offset: Offset,
}

pub(super) struct Part {
    pipeline: Pipeline,
    bus: Bus,
    inputs: HashMap<Arc<str>, Input>,
    started: Instant,
    pub path: PathBuf,
}

impl Part {
    /// Starts a file for these tracks. WebM, or Matroska if one of them is H.264, which WebM does not have.
    pub(super) fn start(
        path: &Path,
        tracks: &[TapPacket],
        started: Instant,
    ) -> Result<Self, RecordError> {
        let webm = tracks.iter().all(|track| track.codec != Codec::H264);
        let path = path.with_extension(if webm { "webm" } else { "mkv" });
        let pipeline = Pipeline::new();
        let muxer = element(if webm { "webmmux" } else { "matroskamux" })?;
        let sink = element("filesink")?;
        sink.set_property("location", path.to_string_lossy().as_ref());
        // Files do not wait for the time of what they hold.
        sink.set_property("sync", false);
        add(&pipeline, &[&muxer, &sink])?;
        muxer.link(&sink).map_err(|error| RecordError::Pipeline(error.to_string()))?;
        let mut inputs = HashMap::new();
        for track in tracks {
            inputs.insert(Arc::clone(&track.track), input(&pipeline, &muxer, track)?);
        }
        let bus = pipeline.bus().ok_or(RecordError::Pipeline("no bus".to_owned()))?;
        pipeline
            .set_state(State::Playing)
            .map_err(|error| RecordError::Pipeline(error.to_string()))?;
        Ok(Self { pipeline, bus, inputs, started, path })
    }

    pub(super) fn has(&self, track: &str) -> bool {
        self.inputs.contains_key(track)
    }

    /// Gives a packet to its track's jitter buffer.
    pub(super) fn push(&mut self, packet: &TapPacket) -> Result<(), RecordError> {
        self.check()?;
        let Some(input) = self.inputs.get_mut(&packet.track) else { return Ok(()) };
        let captured = since(self.started, packet.captured);
        if let Some(offset) = input.offset.step(packet.timestamp, captured) {
            input.pad.set_offset(offset);
        }
        let mut buffer = gstreamer::Buffer::from_mut_slice(rtp::bytes(
            packet.sequence as u16,
            packet.timestamp,
            packet.marker,
            &packet.payload,
        ));
        let time = ClockTime::from_nseconds(captured.max(0).unsigned_abs());
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(time);
            buffer.set_dts(time);
        }
        input
            .source
            .push_buffer(buffer)
            .map_err(|error| RecordError::Pipeline(error.to_string()))?;
        Ok(())
    }

    /// Writes what is left and the index. The file can be played then.
    pub(super) fn finish(self) -> Result<PathBuf, RecordError> {
        for input in self.inputs.values() {
            // An error means that the pipeline has failed, which the bus tells.
            let _ = input.source.end_of_stream();
        }
        let timeout = ClockTime::from_nseconds(CLOSE_WITHIN.as_nanos() as u64);
        let end = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
        let message = self.bus.timed_pop_filtered(timeout, &end);
        match message.as_ref().map(|message| message.view()) {
            Some(MessageView::Eos(_)) => Ok(self.path.clone()),
            Some(MessageView::Error(error)) => Err(failed(error)),
            _ => Err(RecordError::Pipeline("the file could not be ended".to_owned())),
        }
    }

    /// Has something failed?
    fn check(&self) -> Result<(), RecordError> {
        let errors = [gstreamer::MessageType::Error];
        match self.bus.pop_filtered(&errors).as_ref().map(|message| message.view()) {
            Some(MessageView::Error(error)) => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

/// What GStreamer says, and which element says so.
fn failed(error: &gstreamer::message::Error) -> RecordError {
    let debug = error.debug().unwrap_or_default();
    RecordError::Pipeline(format!("{} ({debug})", error.error()))
}

/// `appsrc ! rtpjitterbuffer ! depay ! queue ! muxer`
fn input(pipeline: &Pipeline, muxer: &Element, track: &TapPacket) -> Result<Input, RecordError> {
    let source = AppSrc::builder()
        .caps(&rtp::caps(track.codec, track.clock_rate))
        .format(Format::Time)
        .is_live(true)
        .stream_type(AppStreamType::Stream)
        .max_bytes(WAITING)
        .build();
    let jitter_buffer = element("rtpjitterbuffer")?;
    jitter_buffer.set_property("latency", JITTER_BUFFER);
    jitter_buffer.set_property("do-lost", true);
    // Time by RTP timestamps alone; `Offset` relates it to the other tracks.
    jitter_buffer.set_property_from_str("mode", "none");
    let depacketizer = element(match track.codec {
        Codec::Opus => "rtpopusdepay",
        Codec::Vp8 => "rtpvp8depay",
        Codec::H264 => "rtph264depay",
    })?;
    let queue = element("queue")?;
    queue.set_property("max-size-time", 10_000_000_000u64);
    queue.set_property("max-size-bytes", 64 * 1024 * 1024u32);
    queue.set_property("max-size-buffers", 0u32);
    let chain = [source.upcast_ref(), &jitter_buffer, &depacketizer, &queue];
    add(pipeline, &chain)?;
    Element::link_many(chain).map_err(|error| RecordError::Pipeline(error.to_string()))?;
    // By name: a queue would fit any of the muxer's ways in.
    let way_in = if track.codec == Codec::Opus { "audio_%u" } else { "video_%u" };
    queue
        .link_pads(Some("src"), muxer, Some(way_in))
        .map_err(|error| RecordError::Pipeline(error.to_string()))?;
    let pad = jitter_buffer
        .static_pad("src")
        .ok_or_else(|| RecordError::Pipeline("a jitter buffer without a way out".to_owned()))?;
    Ok(Input { source, pad, offset: Offset::new(track.clock_rate) })
}

fn element(name: &str) -> Result<Element, RecordError> {
    ElementFactory::make(name).build().map_err(|error| RecordError::Pipeline(error.to_string()))
}

fn add(pipeline: &Pipeline, elements: &[&Element]) -> Result<(), RecordError> {
    pipeline.add_many(elements).map_err(|error| RecordError::Pipeline(error.to_string()))
}

impl Drop for Part {
    /// GStreamer's threads end before its elements go.
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(State::Null);
    }
}
