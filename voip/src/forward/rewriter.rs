//! Which numbers does a packet get on its way out? A subscriber sees one stream without a seam, while
//! we switch between simulcast layers, pause and go on.

/// The numbers of one packet that has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// The sequence number, extended so that it never wraps.
    pub sequence: u64,
    /// RTP ticks; wraps.
    pub timestamp: u32,
    /// VP8's picture ID and `TL0PICIDX`, where there are any.
    pub picture_id: Option<u16>,
    pub tl0_pic_idx: Option<u8>,
}

/// What is added to all packets since the last switch.
#[derive(Clone, Copy, Debug)]
struct Offsets {
    /// The first incoming sequence number since the switch; what is before it is dropped.
    first: u64,
    sequence: u64,
    timestamp: u32,
    picture_id: u16,
    tl0_pic_idx: u8,
}

/// The newest packet sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    numbers: Numbers,
    /// Microseconds on the sender's media clock; see [`Rewriter::rewrite`].
    captured: u64,
}

/// A subscriber's numbers for one track.
#[derive(Clone, Debug)]
pub(crate) struct Rewriter {
    clock_rate: u32,
    /// The first sequence number; below 2^16, or SRTP's rollover counter would not start at zero.
    start: u16,
    offsets: Option<Offsets>,
    sent: Option<Sent>,
}

impl Rewriter {
    pub(crate) fn new(clock_rate: u32, start: u16) -> Self {
        Self { clock_rate, start, offsets: None, sent: None }
    }

    /// The numbers to send `incoming` with; `None` if it belongs before the last switch.
    ///
    /// `switched` says that the packet is the first of another layer, or the first after a pause.
    /// `captured` (microseconds, any epoch) tells how far the timestamp moves on at a switch.
    pub(crate) fn rewrite(
        &mut self,
        incoming: Numbers,
        switched: bool,
        captured: u64,
    ) -> Option<Numbers> {
        if switched || self.offsets.is_none() {
            self.offsets = Some(self.join(incoming, captured));
        }
        let offsets = self.offsets.filter(|offsets| incoming.sequence >= offsets.first)?;
        let outgoing = Numbers {
            sequence: incoming.sequence.wrapping_add(offsets.sequence),
            timestamp: incoming.timestamp.wrapping_add(offsets.timestamp),
            picture_id: incoming.picture_id.map(|id| id.wrapping_add(offsets.picture_id) & 0x7fff),
            tl0_pic_idx: incoming.tl0_pic_idx.map(|index| index.wrapping_add(offsets.tl0_pic_idx)),
        };
        if self.sent.is_none_or(|sent| outgoing.sequence > sent.numbers.sequence) {
            self.sent = Some(Sent { numbers: outgoing, captured });
        }
        Some(outgoing)
    }

    /// Offsets with which `incoming` comes right after the newest packet sent.
    fn join(&self, incoming: Numbers, captured: u64) -> Offsets {
        let Some(sent) = self.sent else {
            return Offsets {
                first: incoming.sequence,
                sequence: u64::from(self.start).wrapping_sub(incoming.sequence),
                timestamp: 0,
                picture_id: 0,
                tl0_pic_idx: 0,
            };
        };
        let elapsed = captured.saturating_sub(sent.captured);
        let ticks = elapsed.saturating_mul(u64::from(self.clock_rate)) / 1_000_000;
        // Another frame has another timestamp, however soon it comes; and no stream sleeps for hours.
        let ticks = ticks.clamp(1, u64::from(u32::MAX / 4)) as u32;
        let timestamp = sent.numbers.timestamp.wrapping_add(ticks);
        let after = |sent: Option<u16>, incoming: Option<u16>| match (sent, incoming) {
            (Some(sent), Some(incoming)) => sent.wrapping_add(1).wrapping_sub(incoming),
            _ => 0,
        };
        Offsets {
            first: incoming.sequence,
            sequence: sent.numbers.sequence.wrapping_add(1).wrapping_sub(incoming.sequence),
            timestamp: timestamp.wrapping_sub(incoming.timestamp),
            picture_id: after(sent.numbers.picture_id, incoming.picture_id),
            tl0_pic_idx: match (sent.numbers.tl0_pic_idx, incoming.tl0_pic_idx) {
                (Some(sent), Some(incoming)) => sent.wrapping_add(1).wrapping_sub(incoming),
                _ => 0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VIDEO: u32 = 90_000;

    fn numbers(sequence: u64, timestamp: u32, picture_id: u16) -> Numbers {
        let tl0_pic_idx = Some(picture_id as u8);
        Numbers { sequence, timestamp, picture_id: Some(picture_id), tl0_pic_idx }
    }

    #[test]
    fn a_switch_goes_on_where_the_other_layer_ended() {
        let mut rewriter = Rewriter::new(VIDEO, 100);
        let first = rewriter.rewrite(numbers(7000, 90_000, 5), true, 0);
        assert_eq!(first, Some(numbers(100, 90_000, 5)));
        rewriter.rewrite(numbers(7001, 93_000, 6), false, 33_333);
        let switched = rewriter.rewrite(numbers(20, 4_000_000_000, 0x7fff), true, 66_667);
        let expected = Numbers { tl0_pic_idx: Some(7), ..numbers(102, 93_000 + 3000, 7) };
        assert_eq!(switched, Some(expected));
        let next = rewriter.rewrite(numbers(21, 4_000_003_000, 0), false, 100_000);
        assert_eq!(next.map(|numbers| numbers.picture_id), Some(Some(8)), "the ID wraps");
    }

    #[test]
    fn late_packets_keep_their_place_and_those_before_the_switch_are_dropped() {
        let mut rewriter = Rewriter::new(VIDEO, 1);
        rewriter.rewrite(numbers(50, 0, 1), true, 0);
        rewriter.rewrite(numbers(52, 0, 1), false, 0);
        assert_eq!(rewriter.rewrite(numbers(51, 0, 1), false, 0).map(|n| n.sequence), Some(2));
        assert_eq!(rewriter.rewrite(numbers(49, 0, 1), false, 0), None);
        let switched = rewriter.rewrite(numbers(9, 0, 1), true, 0);
        assert_eq!(switched.map(|n| n.sequence), Some(4), "after the newest, not the latest");
    }

    proptest! {
        /// However layers are switched, packets in order come out in order without a gap.
        #[test]
        fn in_order_packets_come_out_without_gaps(
            runs in prop::collection::vec((0u64..1 << 40, any::<u32>(), any::<u16>(), 1u64..20), 1..20)
        ) {
            let mut rewriter = Rewriter::new(VIDEO, 9);
            let mut now = 0;
            let mut last: Option<Numbers> = None;
            for (sequence, timestamp, picture_id, length) in runs {
                for step in 0..length {
                    now += 33_333;
                    let incoming = numbers(
                        sequence + step,
                        timestamp.wrapping_add(step as u32 * 3000),
                        picture_id.wrapping_add(step as u16) & 0x7fff,
                    );
                    let sent = rewriter.rewrite(incoming, step == 0, now).expect("in order");
                    if let Some(last) = last {
                        prop_assert_eq!(sent.sequence, last.sequence + 1);
                        let ticks = sent.timestamp.wrapping_sub(last.timestamp);
                        prop_assert!((2990..=3010).contains(&ticks), "{} ticks", ticks);
                        let expected = last.picture_id.map(|id| (id + 1) & 0x7fff);
                        prop_assert_eq!(sent.picture_id, expected);
                    } else {
                        prop_assert_eq!(sent.sequence, 9);
                    }
                    last = Some(sent);
                }
            }
        }
    }
}
