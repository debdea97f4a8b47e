//! Which track does a media section carry? The client names it in `a=msid:<stream> <track>` (RFC 8830).

use str0m::media::{Mid, Rid};

/// Browsers send three.
const MAX_LAYERS: usize = 4;

/// One media section of an offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    /// The client's name for the track.
    pub track: String,
    /// The simulcast layers that are sent, in the client's order (RFC 8851).
    pub layers: Vec<Rid>,
}

/// The media sections that carry a track, in the order of the offer.
pub(crate) fn sections(sdp: &str) -> Vec<(Mid, Section)> {
    let mut found = Vec::new();
    let (mut mid, mut section) = (None, Section::default());
    for line in sdp.lines().chain(["m="]) {
        let line = line.trim_end();
        if line.starts_with("m=") {
            let section = std::mem::take(&mut section);
            if let Some(mid) = mid.take().filter(|_| !section.track.is_empty()) {
                found.push((mid, section));
            }
        } else if let Some(id) = line.strip_prefix("a=mid:") {
            mid = Some(Mid::from(id));
        } else if let Some(msid) = line.strip_prefix("a=msid:") {
            section.track = msid.split_whitespace().nth(1).unwrap_or_default().to_owned();
        } else if let Some(rid) = line.strip_prefix("a=rid:")
            && let [id, "send", ..] = rid.split_whitespace().collect::<Vec<_>>()[..]
            && section.layers.len() < MAX_LAYERS
        {
            section.layers.push(Rid::from(id));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_told_apart_and_those_without_a_track_are_left_out() {
        let sdp = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=msid:- mic\r\nm=application 9 X\r\na=mid:1\r\n\
            m=video 9 X 96\r\na=msid:stream cam\r\na=mid:2\r\na=rid:q send\r\na=rid:x recv\r\n\
            a=rid:h send pt=96\r\n";
        let section = |track: &str, layers: &[&str]| Section {
            track: track.to_owned(),
            layers: layers.iter().map(|rid| Rid::from(*rid)).collect(),
        };
        let expected = vec![
            (Mid::from("0"), section("mic", &[])),
            (Mid::from("2"), section("cam", &["q", "h"])),
        ];
        assert_eq!(sections(sdp), expected);
        assert_eq!(sections("a=msid:\nm=\nm=a\na=mid:\na=msid:x\na=rid:\n"), []);
    }
}
