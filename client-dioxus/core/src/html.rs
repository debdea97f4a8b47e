//! Formatted text as a small tree, so that a screen draws nodes and never HTML.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#mroommessage-msgtypes): what may be in it.
//! Anything else is left out by the sanitizer, its text kept.

use matrix_sdk::ruma::{MatrixToUri, MatrixUri, OwnedServerName, matrix_uri::MatrixId};
use ruma_html::{
    Children, Html, NodeData, NodeRef,
    matrix::{AnchorUri, MatrixElement},
};

use crate::media::MediaHandle;

mod links;
pub use links::linkify;

/// More nodes than a person reads; the rest is cut off.
const MAX_NODES: usize = 5_000;
/// Deeper is flattened by the sanitizer at 100; screens need less.
const MAX_DEPTH: usize = 50;
/// Elements in each other that are not even looked at: nobody writes such a text for a person.
const MAX_NESTING: usize = 500;

#[derive(Clone, Debug, PartialEq)]
pub enum HtmlNode {
    Text(String),
    LineBreak,
    Rule,
    Element {
        tag: Tag,
        children: Vec<HtmlNode>,
    },
    /// `href` begins with `https:`, `http:`, `ftp:`, `mailto:` or `magnet:`.
    Link {
        href: String,
        children: Vec<HtmlNode>,
    },
    /// A link to somebody or something in Matrix, by `matrix.to` or `matrix:`.
    Mention {
        to: MatrixLink,
        children: Vec<HtmlNode>,
    },
    /// A few words of code in a line.
    Code(String),
    /// Lines of code; `language` as it was given: `rust`.
    CodeBlock {
        language: Option<String>,
        text: String,
    },
    /// To be hidden until it is asked for.
    Spoiler {
        reason: Option<String>,
        children: Vec<HtmlNode>,
    },
    /// `#rrggbb`, each if given.
    Colored {
        text: Option<String>,
        background: Option<String>,
        children: Vec<HtmlNode>,
    },
    /// An emoji of somebody's own, for example.
    Image {
        media: MediaHandle,
        alt: String,
        width: Option<u32>,
        height: Option<u32>,
    },
    NumberedList {
        start: i64,
        children: Vec<HtmlNode>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    Paragraph,
    /// 1 to 6.
    Heading(u8),
    Strong,
    Emphasis,
    Underline,
    Strike,
    Superscript,
    Subscript,
    Quote,
    Block,
    List,
    ListItem,
    Table,
    TableHead,
    TableBody,
    TableRow,
    TableHeading,
    TableCell,
    Caption,
    Details,
    Summary,
    /// Preformatted text that is not code.
    Preformatted,
}

/// What a link of Matrix leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatrixLink {
    /// `@alice:team.example`
    User(String),
    /// `!id` or `#alias:team.example`, with servers to join by.
    Room {
        room: String,
        via: Vec<String>,
    },
    Event {
        room: String,
        event_id: String,
        via: Vec<String>,
    },
}

impl MatrixLink {
    /// Of `https://matrix.to/#/...` or `matrix:...`; `None` of anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(uri) = MatrixToUri::parse(text) {
            return Self::of(uri.id(), uri.via());
        }
        let uri = MatrixUri::parse(text).ok()?;
        Self::of(uri.id(), uri.via())
    }

    fn of(id: &MatrixId, via: &[OwnedServerName]) -> Option<Self> {
        let via = via.iter().map(ToString::to_string).collect();
        Some(match id {
            MatrixId::User(user) => Self::User(user.to_string()),
            MatrixId::Room(room) => Self::Room { room: room.to_string(), via },
            MatrixId::RoomAlias(alias) => Self::Room { room: alias.to_string(), via },
            MatrixId::Event(room, event) => {
                Self::Event { room: room.to_string(), event_id: event.to_string(), via }
            }
            _ => return None,
        })
    }
}

/// The tree of an HTML text, whoever wrote it.
pub fn parse(html: &str) -> Vec<HtmlNode> {
    if nesting(html) > MAX_NESTING {
        return vec![HtmlNode::Text("…".to_owned())];
    }
    let html = Html::parse(html);
    html.sanitize();
    let mut reader = Reader { left: MAX_NODES };
    reader.nodes(html.children(), 0)
}

/// How deep elements may lie in each other at most, by a look at the text. What walks a tree, and what frees it,
/// takes stack for each level.
fn nesting(html: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    for (at, _) in html.match_indices('<') {
        let tag = &html.as_bytes()[at + 1..];
        let is_void = [&b"br"[..], b"hr", b"img"].iter().any(|name| tag.starts_with(name));
        match tag.first() {
            Some(b'/') => open = open.saturating_sub(1),
            Some(first) if first.is_ascii_alphabetic() && !is_void => open += 1,
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// The text alone, one line: for previews and for screen readers.
pub fn plain(nodes: &[HtmlNode]) -> String {
    let mut text = String::new();
    for node in nodes {
        push_plain(node, &mut text);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn push_plain(node: &HtmlNode, to: &mut String) {
    match node {
        HtmlNode::Text(text) | HtmlNode::Code(text) | HtmlNode::CodeBlock { text, .. } => {
            to.push_str(text);
        }
        HtmlNode::LineBreak | HtmlNode::Rule => to.push('\n'),
        HtmlNode::Spoiler { .. } => to.push('█'),
        HtmlNode::Image { alt, .. } => to.push_str(alt),
        HtmlNode::Element { tag, children } => {
            for child in children {
                push_plain(child, to);
            }
            if !tag.is_inline() {
                to.push('\n');
            }
        }
        HtmlNode::Link { children, .. }
        | HtmlNode::Mention { children, .. }
        | HtmlNode::Colored { children, .. }
        | HtmlNode::NumberedList { children, .. } => {
            for child in children {
                push_plain(child, to);
            }
        }
    }
}

impl Tag {
    fn is_inline(self) -> bool {
        use Tag::*;
        matches!(self, Strong | Emphasis | Underline | Strike | Superscript | Subscript)
    }
}

struct Reader {
    left: usize,
}

impl Reader {
    fn nodes(&mut self, siblings: Children, depth: usize) -> Vec<HtmlNode> {
        let mut nodes = Vec::new();
        for node in siblings {
            if self.left == 0 || depth > MAX_DEPTH {
                break;
            }
            self.left -= 1;
            self.node(&node, depth, &mut nodes);
        }
        nodes
    }

    fn node(&mut self, node: &NodeRef, depth: usize, to: &mut Vec<HtmlNode>) {
        match node.data() {
            NodeData::Text(text) => {
                let text = text.borrow();
                if !text.is_empty() {
                    to.extend(linkify(&text));
                }
            }
            NodeData::Element(element) => {
                self.element(&element.to_matrix().element, node, depth, to)
            }
            _ => {}
        }
    }

    fn element(
        &mut self,
        element: &MatrixElement,
        node: &NodeRef,
        depth: usize,
        to: &mut Vec<HtmlNode>,
    ) {
        let tag = match element {
            MatrixElement::Br => return to.push(HtmlNode::LineBreak),
            MatrixElement::Hr => return to.push(HtmlNode::Rule),
            MatrixElement::Code(_) => return to.push(HtmlNode::Code(text_of(node))),
            MatrixElement::Pre => return to.push(preformatted(node)),
            MatrixElement::MatrixReply => return,
            MatrixElement::Img(image) => {
                let alt = image.alt.as_ref().or(image.title.as_ref());
                let alt = alt.map(ToString::to_string).unwrap_or_default();
                let pixels = |side: Option<i64>| side.and_then(|side| u32::try_from(side).ok());
                return to.push(match &image.src {
                    Some(uri) => HtmlNode::Image {
                        media: MediaHandle::plain(uri.as_str()),
                        alt,
                        width: pixels(image.width),
                        height: pixels(image.height),
                    },
                    None => HtmlNode::Text(alt),
                });
            }
            MatrixElement::A(anchor) => {
                let children = unlinked(self.nodes(node.children(), depth + 1));
                let link = match &anchor.href {
                    Some(AnchorUri::Matrix(uri)) => MatrixLink::of(uri.id(), uri.via()),
                    Some(AnchorUri::MatrixTo(uri)) => MatrixLink::of(uri.id(), uri.via()),
                    Some(AnchorUri::Other(href)) => {
                        let href = href.to_string();
                        return to.push(HtmlNode::Link { href, children });
                    }
                    _ => None,
                };
                return match link {
                    Some(link) => to.push(HtmlNode::Mention { to: link, children }),
                    None => to.extend(children),
                };
            }
            MatrixElement::Span(span) => {
                let children = self.nodes(node.children(), depth + 1);
                if let Some(reason) = &span.spoiler {
                    let reason = Some(reason.to_string()).filter(|reason| !reason.is_empty());
                    return to.push(HtmlNode::Spoiler { reason, children });
                }
                let (text, background) =
                    (color(span.color.as_deref()), color(span.bg_color.as_deref()));
                return match (&text, &background) {
                    (None, None) => to.extend(children),
                    _ => to.push(HtmlNode::Colored { text, background, children }),
                };
            }
            MatrixElement::Ol(list) => {
                let start = list.start.unwrap_or(1);
                let children = self.nodes(node.children(), depth + 1);
                return to.push(HtmlNode::NumberedList { start, children });
            }
            MatrixElement::P => Tag::Paragraph,
            MatrixElement::H(heading) => Tag::Heading(heading.level.value()),
            MatrixElement::B | MatrixElement::Strong => Tag::Strong,
            MatrixElement::I | MatrixElement::Em => Tag::Emphasis,
            MatrixElement::U => Tag::Underline,
            MatrixElement::S | MatrixElement::Del => Tag::Strike,
            MatrixElement::Sup => Tag::Superscript,
            MatrixElement::Sub => Tag::Subscript,
            MatrixElement::Blockquote => Tag::Quote,
            MatrixElement::Div(_) => Tag::Block,
            MatrixElement::Ul => Tag::List,
            MatrixElement::Li => Tag::ListItem,
            MatrixElement::Table => Tag::Table,
            MatrixElement::Thead => Tag::TableHead,
            MatrixElement::Tbody => Tag::TableBody,
            MatrixElement::Tr => Tag::TableRow,
            MatrixElement::Th => Tag::TableHeading,
            MatrixElement::Td => Tag::TableCell,
            MatrixElement::Caption => Tag::Caption,
            MatrixElement::Details => Tag::Details,
            MatrixElement::Summary => Tag::Summary,
            // The sanitizer has left nothing else.
            _ => return to.extend(self.nodes(node.children(), depth + 1)),
        };
        let children = self.nodes(node.children(), depth + 1);
        to.push(HtmlNode::Element { tag, children });
    }
}

/// `<pre><code class="language-rust">` is a code block; other preformatted text is not.
fn preformatted(node: &NodeRef) -> HtmlNode {
    let mut children = node.children();
    if let (Some(only), None) = (children.next(), children.next())
        && let Some(element) = only.as_element()
        && let MatrixElement::Code(code) = element.to_matrix().element
    {
        let language = code.language.map(|language| language.to_string());
        let text = text_of(&only);
        return HtmlNode::CodeBlock { language, text: text.trim_end_matches('\n').to_owned() };
    }
    let children = vec![HtmlNode::Text(text_of(node))];
    HtmlNode::Element { tag: Tag::Preformatted, children }
}

/// A link holds no links.
fn unlinked(nodes: Vec<HtmlNode>) -> Vec<HtmlNode> {
    let mut flat = Vec::new();
    for node in nodes {
        match node {
            HtmlNode::Link { children, .. } | HtmlNode::Mention { children, .. } => {
                flat.extend(unlinked(children));
            }
            HtmlNode::Element { tag, children } => {
                flat.push(HtmlNode::Element { tag, children: unlinked(children) });
            }
            node => flat.push(node),
        }
    }
    flat
}

fn text_of(node: &NodeRef) -> String {
    fn collect(node: &NodeRef, depth: usize, to: &mut String) {
        if depth > MAX_DEPTH {
            return;
        }
        for child in node.children() {
            match child.data() {
                NodeData::Text(text) => to.push_str(&text.borrow()),
                NodeData::Element(element) if &*element.name.local == "br" => to.push('\n'),
                NodeData::Element(_) => collect(&child, depth + 1, to),
                _ => {}
            }
        }
    }
    let mut text = String::new();
    collect(node, 0, &mut text);
    text
}

/// `#rrggbb` only: anything else might be more than a colour.
fn color(text: Option<&str>) -> Option<String> {
    let digits = text?.strip_prefix('#')?;
    let is_color = digits.len() == 6 && digits.chars().all(|digit| digit.is_ascii_hexdigit());
    is_color.then(|| format!("#{}", digits.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests;
