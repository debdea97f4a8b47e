//! Which simulcast layer does a subscriber get? One that fits what is shown, switched only where a
//! decoder can start.

/// What a subscriber would like to see of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing, for now.
    Paused,
    /// The layer of this quality: 0 (low) to 2 (high).
    Quality(usize),
    /// A picture of about this size.
    Size { width: u32, height: u32 },
}

/// A layer as its publisher described it, lowest first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    /// 0 (low) to 2 (high).
    pub quality: usize,
    /// Pixels; 0 if unknown.
    pub width: u32,
    pub height: u32,
    /// Did a packet come lately? Browsers stop layers for which there is no bandwidth.
    pub active: bool,
}

/// The layer to aim for: the smallest that is large enough, among those that are sent.
pub(crate) fn choose(layers: &[Layer], wish: Wish) -> Option<usize> {
    let enough = |layer: &Layer| match wish {
        Wish::Paused => false,
        Wish::Quality(quality) => layer.quality >= quality,
        // A tenth too small looks the same, and saves three quarters of the bits.
        Wish::Size { width, height } => {
            let fits = |has: u32, wanted: u32| u64::from(has) * 11 >= u64::from(wanted) * 10;
            fits(layer.width, width) && fits(layer.height, height)
        }
    };
    if wish == Wish::Paused {
        return None;
    }
    let active = || layers.iter().enumerate().filter(|(_, layer)| layer.active);
    active()
        .find(|(_, layer)| enough(layer))
        .or_else(|| active().next_back())
        .or_else(|| layers.iter().enumerate().find(|(_, layer)| enough(layer)))
        .map(|(index, _)| index)
        .or_else(|| layers.len().checked_sub(1))
}

/// The quality that would do if every layer were sent; `None` if nothing is to be seen.
pub(crate) fn wanted(layers: &[Layer], wish: Wish) -> Option<usize> {
    let all: Vec<_> = layers.iter().map(|layer| Layer { active: true, ..*layer }).collect();
    choose(&all, wish).and_then(|index| Some(all.get(index)?.quality))
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Drop,
    /// Send it on; `switched` with the first packet of another layer or after a pause.
    Forward {
        switched: bool,
    },
}

/// Where one subscriber of one track stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    current: Option<usize>,
    target: Option<usize>,
}

impl Selector {
    /// Aims for another layer; `None` pauses at once.
    pub(crate) fn aim(&mut self, target: Option<usize>) {
        self.target = target;
        if target.is_none() {
            self.current = None;
        }
    }

    /// The layer that has to send a keyframe before the subscriber sees what it wants.
    pub(crate) fn waits_for_keyframe(&self) -> Option<usize> {
        self.target.filter(|_| self.current != self.target)
    }

    /// The layer that the subscriber sees.
    pub(crate) fn current(&self) -> Option<usize> {
        self.current
    }

    /// Decides about one packet of `layer`.
    pub(crate) fn step(&mut self, layer: usize, keyframe: bool) -> Decision {
        if self.target == Some(layer) && self.current != self.target && keyframe {
            self.current = self.target;
            return Decision::Forward { switched: true };
        }
        if self.current == Some(layer) {
            return Decision::Forward { switched: false };
        }
        Decision::Drop
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layers(active: [bool; 3]) -> Vec<Layer> {
        [(0, 320, 180), (1, 640, 360), (2, 1280, 720)]
            .into_iter()
            .zip(active)
            .map(|((quality, width, height), active)| Layer { quality, width, height, active })
            .collect()
    }

    #[test]
    fn the_smallest_layer_that_is_large_enough_is_chosen() {
        let all = layers([true; 3]);
        let size = |width, height| choose(&all, Wish::Size { width, height });
        assert_eq!(size(100, 100), Some(0));
        assert_eq!(size(350, 190), Some(0), "nearly as large");
        assert_eq!(size(400, 200), Some(1));
        assert_eq!(size(4000, 3000), Some(2), "the largest there is");
        assert_eq!(choose(&all, Wish::Quality(1)), Some(1));
        assert_eq!(choose(&all, Wish::Paused), None);
    }

    #[test]
    fn a_layer_that_is_not_sent_is_replaced_by_one_that_is() {
        let lower = layers([true, true, false]);
        assert_eq!(choose(&lower, Wish::Quality(2)), Some(1));
        let higher = layers([false, false, true]);
        assert_eq!(choose(&higher, Wish::Quality(0)), Some(2));
        assert_eq!(choose(&layers([false; 3]), Wish::Quality(1)), Some(1), "none yet: as wished");
        assert_eq!(choose(&[], Wish::Quality(1)), None);
    }

    #[test]
    fn a_layer_is_wanted_though_it_is_not_sent() {
        let low = layers([true, false, false]);
        assert_eq!(wanted(&low, Wish::Size { width: 1280, height: 720 }), Some(2));
        assert_eq!(wanted(&low, Wish::Quality(0)), Some(0));
        assert_eq!(wanted(&low, Wish::Paused), None);
    }

    #[test]
    fn layers_are_switched_at_keyframes_only() {
        let mut selector = Selector::default();
        selector.aim(Some(0));
        assert_eq!(selector.step(0, false), Decision::Drop);
        assert_eq!(selector.step(0, true), Decision::Forward { switched: true });
        selector.aim(Some(2));
        assert_eq!(selector.waits_for_keyframe(), Some(2));
        assert_eq!(selector.step(2, false), Decision::Drop);
        assert_eq!(selector.step(0, false), Decision::Forward { switched: false });
        assert_eq!(selector.step(2, true), Decision::Forward { switched: true });
        assert_eq!(selector.step(0, true), Decision::Drop);
        assert_eq!(selector.waits_for_keyframe(), None);
        selector.aim(None);
        assert_eq!(selector.step(2, true), Decision::Drop);
    }

    proptest! {
        /// A decoder never gets a packet of a layer before that layer's keyframe.
        #[test]
        fn what_is_forwarded_can_be_decoded(
            inputs in prop::collection::vec((prop::option::of(0usize..3), 0usize..3, any::<bool>()), 0..200)
        ) {
            let mut selector = Selector::default();
            let mut decodes = None;
            for (aim, layer, keyframe) in inputs {
                selector.aim(aim);
                if aim.is_none() {
                    decodes = None;
                }
                if let Decision::Forward { switched } = selector.step(layer, keyframe) {
                    if switched {
                        prop_assert!(keyframe);
                        decodes = Some(layer);
                    }
                    prop_assert_eq!(decodes, Some(layer));
                }
            }
        }
    }
}
