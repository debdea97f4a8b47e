//! How does a client's media get in and out? One UDP port for everybody, ICE-lite, DTLS-SRTP (str0m).

mod codecs;
mod demux;
mod peer;
mod sdp;
mod timers;
mod wire;

pub(crate) use demux::Demux;
pub(crate) use peer::{Io, Peer, PeerKey, PeerSetup, Target};
pub(crate) use sdp::{Section, sections, without_redundancy};
pub(crate) use timers::Timers;
pub(crate) use wire::{Datagram, Wire, bind};
