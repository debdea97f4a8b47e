//! One stream of packets on its way through GStreamer: `appsrc ! rtpjitterbuffer ! appsink`. Packets come
//! out in order; one that is missing is waited for, and given up with the event `GstRTPPacketLost`.

use gstreamer::{
    BusSyncReply, ElementFactory, EventView, FlowError, FlowSuccess, Format, MessageView,
    PadProbeData, PadProbeReturn, PadProbeType, Pipeline, State, glib::BoolError, prelude::*,
};
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc, AppStreamType};

use super::rtp;
use crate::tap::{Codec, Output};

/// How long a missing packet holds up those behind it, in milliseconds. Sound is not asked for again, so that
/// only packets which were overtaken are worth it; a picture is of no use without what was lost.
const WAIT_FOR_SOUND: u32 = 60;
const WAIT_FOR_PICTURE: u32 = 120;

/// Bytes on their way in; packets above are lost.
const WAITING: u64 = 4 * 1024 * 1024;

/// A running chain of elements. It has three threads of GStreamer's.
pub(crate) struct Stream {
    pipeline: Pipeline,
    source: AppSrc,
}

impl Stream {
    /// `deliver` is called by GStreamer's threads and must not wait.
    pub(crate) fn start(
        codec: Codec,
        clock_rate: u32,
        deliver: impl Fn(Output) + Clone + Send + Sync + 'static,
    ) -> Result<Self, BoolError> {
        let source = AppSrc::builder()
            .caps(&rtp::caps(codec, clock_rate))
            .format(Format::Time)
            .is_live(true)
            .do_timestamp(true)
            .stream_type(AppStreamType::Stream)
            .max_bytes(WAITING)
            .build();
        let wait = if codec == Codec::Opus { WAIT_FOR_SOUND } else { WAIT_FOR_PICTURE };
        let jitter_buffer = ElementFactory::make("rtpjitterbuffer")
            .property("latency", wait)
            .property("do-lost", true)
            // The first packet need not wait for one that might come before it.
            .property("faststart-min-packets", 1u32)
            .build()?;
        let sink = AppSink::builder()
            // In order is enough: subscribers have clocks of their own.
            .sync(false)
            .callbacks(callbacks(deliver.clone()))
            .build();
        let pipeline = Pipeline::new();
        let chain = [source.upcast_ref(), &jitter_buffer, sink.upcast_ref()];
        pipeline.add_many(chain)?;
        gstreamer::Element::link_many(chain)?;
        tell_losses(&jitter_buffer, deliver.clone());
        if let Some(bus) = pipeline.bus() {
            bus.set_sync_handler(move |_, message| {
                if let MessageView::Error(error) = message.view() {
                    deliver(Output::Failed(error.error().to_string()));
                }
                BusSyncReply::Drop
            });
        }
        let stream = Self { pipeline, source };
        stream
            .pipeline
            .set_state(State::Playing)
            .map_err(|_| gstreamer::glib::bool_error!("GStreamer does not start a stream"))?;
        Ok(stream)
    }

    /// False if the packet is lost because too many wait already.
    pub(crate) fn push(&self, sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> bool {
        if self.source.current_level_bytes() >= WAITING {
            return false;
        }
        let bytes = rtp::bytes(sequence, timestamp, marker, payload);
        self.source.push_buffer(gstreamer::Buffer::from_mut_slice(bytes)).is_ok()
    }
}

impl Drop for Stream {
    /// GStreamer's threads end before its elements go.
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(State::Null);
    }
}

fn callbacks(deliver: impl Fn(Output) + Send + 'static) -> AppSinkCallbacks {
    AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
            let buffer = sample.buffer().ok_or(FlowError::Error)?;
            let bytes = buffer.map_readable().map_err(|_| FlowError::Error)?;
            if let Some((sequence, payload)) = rtp::parts(&bytes) {
                deliver(Output::Packet { sequence, payload: payload.into() });
            }
            Ok(FlowSuccess::Ok)
        })
        .build()
}

fn tell_losses(
    jitter_buffer: &gstreamer::Element,
    deliver: impl Fn(Output) + Send + Sync + 'static,
) {
    let Some(pad) = jitter_buffer.static_pad("src") else { return };
    pad.add_probe(PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(PadProbeData::Event(event)) = &info.data
            && let EventView::CustomDownstream(custom) = event.view()
            && custom.structure().is_some_and(|structure| structure.name() == "GstRTPPacketLost")
        {
            deliver(Output::Lost);
        }
        PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    /// Three overtakes two, and four never comes.
    #[test]
    fn packets_come_out_in_order_and_a_lost_one_is_told() {
        super::super::check().unwrap();
        let (sink, output) = mpsc::channel();
        let deliver = move |output| drop(sink.send(output));
        let stream = Stream::start(Codec::Vp8, 90_000, deliver).unwrap();
        for sequence in [65_535u16, 1, 0, 2, 4] {
            assert!(stream.push(sequence, u32::from(sequence) * 3000, true, &[sequence as u8; 50]));
        }
        let mut told = Vec::new();
        while told.len() < 6 {
            match output.recv_timeout(Duration::from_secs(5)).unwrap() {
                Output::Packet { sequence, payload } => {
                    assert_eq!(*payload, [sequence as u8; 50]);
                    told.push(Some(sequence));
                }
                Output::Lost => told.push(None),
                Output::Failed(error) => panic!("{error}"),
            }
        }
        assert_eq!(told, [Some(65_535), Some(0), Some(1), Some(2), None, Some(4)]);
    }
}
