//! Which part of a picture becomes how large? Pure arithmetic.
//!
//! Nothing becomes larger than it was, and nothing smaller than was asked for if it can be avoided.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#thumbnails)

use image::metadata::Orientation;

use super::{Method, Size};

/// A part of the source, and the size in pixels that it gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    /// Left, top, width and height in pixels of the source.
    pub(super) cut: [f64; 4],
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Plan {
    pub(super) fn whole(width: u32, height: u32) -> Self {
        Self { cut: [0.0, 0.0, f64::from(width), f64::from(height)], width, height }
    }

    /// The same for a picture that is yet to be turned this way. What is cut off is the same on both sides, so
    /// that only the axes matter.
    pub(super) fn turned(&self, orientation: Orientation) -> Self {
        let [left, top, cut_width, cut_height] = self.cut;
        if swaps_axes(orientation) {
            let cut = [top, left, cut_height, cut_width];
            Self { cut, width: self.height, height: self.width }
        } else {
            *self
        }
    }
}

/// Width and height after a picture is turned.
pub(super) fn turned(orientation: Orientation, (width, height): (u32, u32)) -> (u32, u32) {
    if swaps_axes(orientation) { (height, width) } else { (width, height) }
}

fn swaps_axes(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// `None`: the source itself is the best answer.
pub(super) fn plan(source: (u32, u32), size: Size) -> Option<Plan> {
    let (width, height) = source;
    if width <= size.width && height <= size.height {
        return None;
    }
    let (source_width, source_height) = (f64::from(width), f64::from(height));
    let (asked_width, asked_height) = (f64::from(size.width), f64::from(size.height));
    // The smaller of the factors that make either side as large as is asked for would leave the other too small.
    let factor = (asked_width / source_width).max(asked_height / source_height);
    let whole = Plan::whole(width, height);
    let made = match size.method {
        Method::Scale if factor >= 1.0 => whole,
        Method::Scale => Plan {
            width: pixels(source_width * factor, width),
            height: pixels(source_height * factor, height),
            ..whole
        },
        Method::Crop => {
            let factor = factor.min(1.0);
            // Where the source is too small for both sides, the asked aspect ratio is kept.
            let aspect = asked_width / asked_height;
            let cut_width = (asked_width / factor).min(source_width).min(source_height * aspect);
            let cut_height = (asked_height / factor).min(source_height).min(source_width / aspect);
            Plan {
                cut: [
                    (source_width - cut_width) / 2.0,
                    (source_height - cut_height) / 2.0,
                    cut_width,
                    cut_height,
                ],
                width: pixels(cut_width * factor, width),
                height: pixels(cut_height * factor, height),
            }
        }
    };
    (made != whole).then_some(made)
}

/// Whole pixels: at least as many, except for what arithmetic adds to whole numbers.
fn pixels(length: f64, most: u32) -> u32 {
    ((length - 1e-6).ceil() as u32).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(source: (u32, u32), method: Method, width: u32, height: u32) -> (u32, u32) {
        let size = Size { width, height, method, animated: false };
        plan(source, size).map_or(source, |plan| (plan.width, plan.height))
    }

    #[test]
    fn scaling_keeps_the_aspect_ratio_and_never_goes_below_what_is_asked_for() {
        for (source, asked, expected) in [
            ((1600, 1200), (320, 240), (320, 240)),
            ((1600, 1600), (320, 240), (320, 320)),
            ((1000, 2000), (320, 240), (320, 640)),
            ((2000, 1000), (320, 240), (480, 240)),
            ((1001, 333), (320, 240), (722, 240)),
            // Larger than asked for in one direction only: nothing can be taken away.
            ((10_000, 100), (320, 240), (10_000, 100)),
            ((300, 200), (320, 240), (300, 200)),
            ((320, 240), (320, 240), (320, 240)),
            ((321, 240), (320, 240), (321, 240)),
            ((1, 1), (1, 1), (1, 1)),
            ((10_000, 10_000), (1, 1), (1, 1)),
            ((32_768, 1), (1, 1), (32_768, 1)),
        ] {
            assert_eq!(made(source, Method::Scale, asked.0, asked.1), expected, "{source:?}");
        }
    }

    #[test]
    fn cropping_gives_what_is_asked_for_or_its_shape() {
        for (source, asked, expected) in [
            ((1600, 1200), (96, 96), (96, 96)),
            ((1600, 1200), (32, 32), (32, 32)),
            ((200, 100), (96, 96), (96, 96)),
            ((1000, 1000), (320, 240), (320, 240)),
            ((1000, 100), (320, 200), (160, 100)),
            ((50, 500), (96, 96), (50, 50)),
            ((64, 64), (96, 96), (64, 64)),
            ((97, 97), (96, 96), (96, 96)),
            ((10_000, 1), (96, 96), (1, 1)),
        ] {
            assert_eq!(made(source, Method::Crop, asked.0, asked.1), expected, "{source:?}");
        }
    }

    #[test]
    fn the_middle_is_kept() {
        let size = Size { width: 50, height: 50, method: Method::Crop, animated: false };
        let made = plan((400, 200), size).expect("it is larger");
        assert_eq!(made.cut, [100.0, 0.0, 200.0, 200.0]);
        let turned = made.turned(Orientation::Rotate90);
        assert_eq!(turned.cut, [0.0, 100.0, 200.0, 200.0]);
    }
}
