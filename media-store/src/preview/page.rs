//! What does a page say of itself?
//!
//! It is read as a flat row of tags and texts: nothing is nested, so that nothing can be nested too deeply.

use std::collections::BTreeMap;

use html5gum::{DefaultEmitter, HtmlString, StartTag, Token, Tokenizer};

/// Tags and texts that are looked at.
const TOKENS: usize = 200_000;
/// Different properties that are remembered, and characters of each.
const PROPERTIES: usize = 100;
const PROPERTY: usize = 2048;
/// Characters of a page's own text, and of a piece of it that counts as more than a menu's entry.
const TEXT: usize = 500;
const SENTENCE: usize = 40;

/// Elements whose texts are not for reading.
const UNREAD: [&[u8]; 14] = [
    b"script",
    b"style",
    b"noscript",
    b"template",
    b"svg",
    b"nav",
    b"header",
    b"footer",
    b"aside",
    b"button",
    b"select",
    b"textarea",
    b"iframe",
    b"form",
];

/// Only what is there. Nothing of it is to be believed, and no URL is absolute yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Of `<meta>`, by property or name in lower case: the first of each.
    pub(super) properties: BTreeMap<String, String>,
    pub(super) title: Option<String>,
    pub(super) heading: Option<String>,
    /// The first sentences.
    pub(super) text: Option<String>,
    /// Of `<base>` and of `<link>`.
    pub(super) base: Option<String>,
    pub(super) image: Option<String>,
    pub(super) icon: Option<String>,
    pub(super) oembed: Option<String>,
}

/// Where the reader is.
#[derive(Default)]
struct Reader {
    page: Page,
    title: Option<String>,
    heading: Option<String>,
    /// The element whose end is waited for, and how many of its kind are open.
    unread: Option<(Vec<u8>, usize)>,
    piece: String,
    text: String,
}

impl Page {
    pub(super) fn read(html: &str) -> Self {
        let mut emitter = DefaultEmitter::default();
        emitter.naively_switch_states(true);
        let mut reader = Reader::default();
        let tokens = Tokenizer::new_with_emitter(html, emitter);
        for token in tokens.take(TOKENS) {
            match token {
                Ok(Token::StartTag(tag)) => reader.start(&tag),
                Ok(Token::EndTag(tag)) => reader.end(&tag.name),
                Ok(Token::String(text)) => reader.text(&String::from_utf8_lossy(&text)),
                Ok(_) => {}
                Err(never) => match never {},
            }
        }
        reader.finish()
    }

    /// The first of these properties that is there.
    pub(super) fn property(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.properties.get(*name)).map(String::as_str)
    }
}

impl Reader {
    fn start(&mut self, tag: &StartTag<()>) {
        let name: &[u8] = &tag.name;
        if let Some((waiting, open)) = &mut self.unread {
            if waiting == name && !tag.self_closing {
                *open += 1;
            }
            return;
        }
        let value = |name: &str| attribute(tag, name);
        match name {
            b"meta" => {
                let name = value("property").or_else(|| value("name"));
                if let (Some(name), Some(content)) = (name, value("content")) {
                    self.property(&name.to_ascii_lowercase(), &content);
                }
            }
            b"title" if self.page.title.is_none() => self.title = Some(String::new()),
            b"h1" if self.page.heading.is_none() => self.heading = Some(String::new()),
            b"base" if self.page.base.is_none() => self.page.base = value("href"),
            b"link" => self.link(&value("rel").unwrap_or_default(), tag),
            _ if UNREAD.contains(&name) && !tag.self_closing => {
                self.unread = Some((name.to_vec(), 1));
            }
            b"p" | b"div" | b"li" | b"td" | b"br" | b"article" | b"section" => self.end_piece(),
            _ => {}
        }
    }

    fn link(&mut self, rel: &str, tag: &StartTag<()>) {
        let Some(href) = attribute(tag, "href") else { return };
        let rel = rel.to_ascii_lowercase();
        let is = |name: &str| rel.split_ascii_whitespace().any(|part| part == name);
        let kind = attribute(tag, "type").unwrap_or_default().to_ascii_lowercase();
        let place = if is("image_src") {
            &mut self.page.image
        } else if is("apple-touch-icon") {
            &mut self.page.icon
        } else if is("alternate") && kind == "application/json+oembed" {
            &mut self.page.oembed
        } else {
            return;
        };
        place.get_or_insert(href);
    }

    fn end(&mut self, name: &HtmlString) {
        let name: &[u8] = name;
        if let Some((waiting, open)) = &mut self.unread {
            if waiting == name {
                *open -= 1;
                if *open == 0 {
                    self.unread = None;
                }
            }
            return;
        }
        match name {
            b"title" => {
                if let Some(title) = self.title.take().and_then(|title| tidy(&title, PROPERTY)) {
                    self.page.title.get_or_insert(title);
                }
            }
            b"h1" => {
                if let Some(heading) = self.heading.take().and_then(|text| tidy(&text, PROPERTY)) {
                    self.page.heading.get_or_insert(heading);
                }
            }
            b"p" | b"div" | b"li" | b"td" | b"article" | b"section" => self.end_piece(),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        let limited = |place: &mut String| {
            if place.len() < 4 * PROPERTY {
                place.push_str(text);
            }
        };
        if self.unread.is_some() {
        } else if let Some(title) = &mut self.title {
            limited(title);
        } else if let Some(heading) = &mut self.heading {
            limited(heading);
        } else {
            limited(&mut self.piece);
        }
    }

    /// A piece of text is over; short ones are menus and buttons.
    fn end_piece(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        if self.text.chars().count() >= TEXT {
            return;
        }
        let piece = tidy(&piece, TEXT).filter(|piece| piece.chars().count() >= SENTENCE);
        if let Some(piece) = piece {
            if !self.text.is_empty() {
                self.text.push('\n');
            }
            self.text.push_str(&piece);
        }
    }

    fn property(&mut self, name: &str, content: &str) {
        let properties = &mut self.page.properties;
        if name.len() > 64 || properties.len() >= PROPERTIES || properties.contains_key(name) {
            return;
        }
        if let Some(content) = tidy(content, PROPERTY) {
            properties.insert(name.to_owned(), content);
        }
    }

    fn finish(mut self) -> Page {
        self.end(&HtmlString(b"title".to_vec()));
        self.end_piece();
        self.page.text = Some(self.text).filter(|text| !text.is_empty());
        self.page
    }
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value = tag.attributes.get(name.as_bytes())?;
    tidy(&String::from_utf8_lossy(value), PROPERTY)
}

/// In one line, without what cannot be seen, and not longer than this; `None` if nothing is left.
pub(super) fn tidy(text: &str, most: usize) -> Option<String> {
    let mut tidy = String::new();
    let mut length = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty())
    {
        let count = word.chars().count();
        let space = usize::from(!tidy.is_empty());
        if length + space + count > most {
            if tidy.is_empty() {
                tidy.extend(word.chars().take(most));
            } else {
                tidy.push('…');
            }
            break;
        }
        if space == 1 {
            tidy.push(' ');
        }
        tidy.push_str(word);
        length += space + count;
    }
    Some(tidy).filter(|tidy| !tidy.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_what_it_is() {
        let page = Page::read(
            r#"<!doctype html><html><head>
            <title> A &amp; B
              <b>page</b></title><base href="https://other.example/">
            <meta property="og:title" content="First"><meta property="OG:Title" content="Second">
            <meta name=description content='What it is "about"'>
            <meta name="twitter:image" content="/card.png">
            <link rel="image_src" href="a.png"><link rel="apple-touch-icon" href="b.png">
            <link rel="alternate" type="application/json+oembed" href="/oembed?url=1">
            <script>document.write("<title>no</title><meta property='og:image' content='no'>")</script>
            <!-- <meta property="og:image" content="no"> -->
            </head><body><nav><p>A menu that is longer than forty characters altogether.</p></nav>
            <h1>The <i>heading</i></h1><p>Short.</p>
            <p>These are the first words of the page that are worth reading.</p></body>"#,
        );
        assert_eq!(page.title.as_deref(), Some("A & B <b>page</b>"));
        assert_eq!(page.heading.as_deref(), Some("The heading"));
        assert_eq!(page.property(&["og:title"]), Some("First"));
        assert_eq!(page.property(&["og:image"]), None);
        assert_eq!(page.property(&["og:description", "description"]), Some("What it is \"about\""));
        assert_eq!(page.property(&["twitter:image"]), Some("/card.png"));
        assert_eq!(page.base.as_deref(), Some("https://other.example/"));
        assert_eq!(page.image.as_deref(), Some("a.png"));
        assert_eq!(page.icon.as_deref(), Some("b.png"));
        assert_eq!(page.oembed.as_deref(), Some("/oembed?url=1"));
        let text = "These are the first words of the page that are worth reading.";
        assert_eq!(page.text.as_deref(), Some(text));
    }

    /// CVE-2022-31052: pages of countless nested elements exhausted the stack of another server.
    #[test]
    fn depth_and_length_cost_nothing() {
        let deep = "<div>".repeat(2_000_000) + "<title>too far</title>";
        assert_eq!(Page::read(&deep), Page::default());
        let deep = format!("<title>near</title>{}", "<svg><g>".repeat(90_000));
        assert_eq!(Page::read(&deep).title.as_deref(), Some("near"));
        let attributes: String = (0..300_000).map(|n| format!(" a{n}=b")).collect();
        let page = Page::read(&format!("<p{attributes}><title>after</title>"));
        assert_eq!(page.title.as_deref(), Some("after"));
        let many: String = (0..10_000).map(|n| format!("<meta name=m{n} content=x>")).collect();
        assert_eq!(Page::read(&many).properties.len(), PROPERTIES);
        let long = format!("<meta name=a content={}>", "x".repeat(1_000_000));
        assert_eq!(Page::read(&long).properties["a"].len(), PROPERTY);
    }

    #[test]
    fn malformed_pages_are_read_as_far_as_they_go() {
        for (html, title) in [
            ("", None),
            ("<title>", None),
            ("<title>open", Some("open")),
            ("<title></title><title>second</title>", Some("second")),
            ("</title><TITLE>upper</TITLE>", Some("upper")),
            ("<<<>>><title>x</title>", Some("x")),
            ("<script><title>no</title>", None),
            ("\0<title>\0a\u{1}b</title>", Some("\u{fffd}a b")),
        ] {
            assert_eq!(Page::read(html).title.as_deref(), title, "{html:?}");
        }
    }

    #[test]
    fn long_texts_end_at_a_word() {
        assert_eq!(tidy("  one\n\ttwo ", 100).as_deref(), Some("one two"));
        assert_eq!(tidy("one two three", 9).as_deref(), Some("one two…"));
        assert_eq!(tidy("äöüäöü", 3).as_deref(), Some("äöü"));
        assert_eq!(tidy(" \n ", 3), None);
    }
}
