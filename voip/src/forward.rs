//! Which packet goes on to a subscriber, and with which numbers? Pure steps: no clock, no I/O.

pub(crate) mod clock;
pub(crate) mod codec;
pub(crate) mod dynacast;
pub(crate) mod keyframes;
pub(crate) mod rewriter;
pub(crate) mod selector;
pub(crate) mod speakers;
