//! Addresses that somebody wrote into plain text.

use linkify::{LinkFinder, LinkKind};

use super::{HtmlNode, MatrixLink};

/// The text with its web addresses as links, those of Matrix as mentions.
pub fn linkify(text: &str) -> Vec<HtmlNode> {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    let mut nodes = Vec::new();
    for span in finder.spans(text) {
        let shown = span.as_str();
        let children = vec![HtmlNode::Text(shown.to_owned())];
        nodes.push(match span.kind() {
            Some(_) => match MatrixLink::parse(shown) {
                Some(to) => HtmlNode::Mention { to, children },
                None if is_safe(shown) => HtmlNode::Link { href: shown.to_owned(), children },
                None => HtmlNode::Text(shown.to_owned()),
            },
            None => HtmlNode::Text(shown.to_owned()),
        });
    }
    nodes
}

fn is_safe(url: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}
