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

/// `answer` without redundancy for sound (RED, RFC 2198) in these media sections.
pub(crate) fn without_redundancy(answer: &str, sections: &[Mid]) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut kept = String::with_capacity(answer.len());
    for line in answer.split_inclusive('\n').chain(["m="]) {
        if line.starts_with("m=") {
            put_section(&std::mem::take(&mut lines), sections, &mut kept);
        }
        lines.push(line);
    }
    kept
}

fn put_section(lines: &[&str], plain: &[Mid], kept: &mut String) {
    let value = |prefix: &str| lines.iter().find_map(|line| line.strip_prefix(prefix));
    let is_plain = value("a=mid:").is_some_and(|mid| plain.contains(&Mid::from(mid.trim_end())));
    let redundancy = lines.iter().find_map(|line| {
        let (payload_type, codec) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
        codec.starts_with("red/").then_some(payload_type)
    });
    let Some(payload_type) = redundancy.filter(|_| is_plain) else {
        return kept.extend(lines.iter().copied());
    };
    for line in lines {
        if line.starts_with("m=") {
            let of = |word: &&str| *word != payload_type;
            let words: Vec<_> = line.split_whitespace().filter(of).collect();
            kept.push_str(&words.join(" "));
            kept.push_str("\r\n");
        } else if !attribute_of(line, payload_type) {
            kept.push_str(line);
        }
    }
}

/// `a=rtpmap:63 …`, `a=fmtp:63 …`, `a=rtcp-fb:63 …`.
fn attribute_of(line: &str, payload_type: &str) -> bool {
    let value = line.split_once(':').map(|(_, value)| value);
    ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"].iter().any(|name| line.starts_with(name))
        && value.and_then(|value| value.split_whitespace().next()) == Some(payload_type)
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

    #[test]
    fn redundancy_is_taken_out_of_the_named_sections_only() {
        let section = |mid: &str, red: &str, more: &str| {
            format!(
                "m=audio 9 UDP/TLS/RTP/SAVPF {red}111\r\na=mid:{mid}\r\n{more}\
                 a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n"
            )
        };
        let red = "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n";
        let head = "v=0\r\na=group:BUNDLE 0 1 63\r\n";
        let answer = format!(
            "{head}{}{}{}",
            section("0", "63 ", red),
            section("1", "63 ", red),
            section("63", "", "")
        );
        let expected = format!(
            "{head}{}{}{}",
            section("0", "63 ", red),
            section("1", "", ""),
            section("63", "", "")
        );
        let plain = [Mid::from("1"), Mid::from("63")];
        assert_eq!(without_redundancy(&answer, &plain), expected);
        assert_eq!(without_redundancy(&answer, &[]), answer);
    }
}
