//! Which track does a media section carry? The client names it in `a=msid:<stream> <track>` (RFC 8830).

use str0m::media::Mid;

/// The track id of each media section that has one, in the order of the offer.
pub(crate) fn track_ids(sdp: &str) -> Vec<(Mid, String)> {
    let mut found = Vec::new();
    let (mut mid, mut track) = (None, None);
    for line in sdp.lines().chain(["m="]) {
        let line = line.trim_end();
        if line.starts_with("m=") {
            if let (Some(mid), Some(track)) = (mid.take(), track.take()) {
                found.push((mid, track));
            }
            (mid, track) = (None, None);
        } else if let Some(id) = line.strip_prefix("a=mid:") {
            mid = Some(Mid::from(id));
        } else if let Some(msid) = line.strip_prefix("a=msid:") {
            track = msid.split_whitespace().nth(1).map(str::to_owned);
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
            m=video 9 X 96\r\na=msid:stream cam\r\na=mid:2\r\n";
        let expected = vec![(Mid::from("0"), "mic".to_owned()), (Mid::from("2"), "cam".to_owned())];
        assert_eq!(track_ids(sdp), expected);
        assert_eq!(track_ids("a=msid:\nm=\nm=a\na=mid:\na=msid:x\n"), []);
    }
}
