//! Formatted text as nodes of the page. There is no HTML here, so nothing in it can run.

use dioxus::prelude::*;
use kith_client_core::html::{HtmlNode, MatrixLink, Tag};
use kith_client_core::media::MediaSize;

use crate::pictures::use_picture;
use crate::t;

/// `me` is the user ID whose mentions stand out.
#[component]
pub fn Formatted(nodes: Vec<HtmlNode>, me: String, onlink: EventHandler<MatrixLink>) -> Element {
    rsx! {
        {draw(&nodes, &Context { me, onlink })}
    }
}

struct Context {
    me: String,
    onlink: EventHandler<MatrixLink>,
}

fn draw(nodes: &[HtmlNode], context: &Context) -> Element {
    rsx! {
        for node in nodes {
            {draw_node(node, context)}
        }
    }
}

fn draw_node(node: &HtmlNode, context: &Context) -> Element {
    match node {
        HtmlNode::Text(text) => rsx! { "{text}" },
        HtmlNode::LineBreak => rsx! { br {} },
        HtmlNode::Rule => rsx! { hr {} },
        HtmlNode::Element { tag, children } => element(*tag, draw(children, context)),
        HtmlNode::Link { href, children } => rsx! {
            a { href: "{href}", target: "_blank", rel: "noopener noreferrer", {draw(children, context)} }
        },
        HtmlNode::Mention { to, children } => mention(to, draw(children, context), context),
        HtmlNode::Code(text) => rsx! { code { "{text}" } },
        HtmlNode::CodeBlock { language, text } => rsx! {
            pre { tabindex: "0", title: language.clone(), code { "{text}" } }
        },
        HtmlNode::Spoiler { reason, children } => rsx! {
            Spoiler { reason: reason.clone(), {draw(children, context)} }
        },
        HtmlNode::Colored { text, background, children } => rsx! {
            span { color: text.clone(), background_color: background.clone(), {draw(children, context)} }
        },
        HtmlNode::Image { media, alt, width, height } => rsx! {
            InlineImage { media: media.clone(), alt: alt.clone(), width: *width, height: *height }
        },
        HtmlNode::NumberedList { start, children } => rsx! {
            ol { start: *start, {draw(children, context)} }
        },
    }
}

fn element(tag: Tag, inside: Element) -> Element {
    match tag {
        Tag::Paragraph => rsx! { p { {inside} } },
        // A heading of a message is none of the page.
        Tag::Heading(level) => rsx! { h4 { "data-level": "{level}", {inside} } },
        Tag::Strong => rsx! { strong { {inside} } },
        Tag::Emphasis => rsx! { em { {inside} } },
        Tag::Underline => rsx! { u { {inside} } },
        Tag::Strike => rsx! { s { {inside} } },
        Tag::Superscript => rsx! { sup { {inside} } },
        Tag::Subscript => rsx! { sub { {inside} } },
        Tag::Quote => rsx! { blockquote { {inside} } },
        Tag::Block => rsx! { div { {inside} } },
        Tag::List => rsx! { ul { {inside} } },
        Tag::ListItem => rsx! { li { {inside} } },
        Tag::Table => rsx! { table { {inside} } },
        Tag::TableHead => rsx! { thead { {inside} } },
        Tag::TableBody => rsx! { tbody { {inside} } },
        Tag::TableRow => rsx! { tr { {inside} } },
        Tag::TableHeading => rsx! { th { {inside} } },
        Tag::TableCell => rsx! { td { {inside} } },
        Tag::Caption => rsx! { caption { {inside} } },
        Tag::Details => rsx! { details { {inside} } },
        Tag::Summary => rsx! { summary { {inside} } },
        Tag::Preformatted => rsx! { pre { {inside} } },
    }
}

fn mention(to: &MatrixLink, inside: Element, context: &Context) -> Element {
    let me = matches!(to, MatrixLink::User(user) if *user == context.me);
    let (to, onlink) = (to.clone(), context.onlink);
    rsx! {
        button {
            class: if me { "pill me" } else { "pill" },
            r#type: "button",
            onclick: move |_| onlink.call(to.clone()),
            {inside}
        }
    }
}

#[component]
fn Spoiler(reason: Option<String>, children: Element) -> Element {
    let mut shown = use_signal(|| false);
    let label = reason.unwrap_or_else(|| t!("spoiler"));
    rsx! {
        span {
            class: if shown() { "spoiler shown" } else { "spoiler" },
            role: "button",
            tabindex: "0",
            title: "{label}",
            aria_expanded: shown(),
            onclick: move |_| shown.toggle(),
            onkeydown: move |event: KeyboardEvent| {
                if event.key() == Key::Enter {
                    shown.toggle();
                }
            },
            span { aria_hidden: !shown(), {children} }
        }
    }
}

#[component]
fn InlineImage(
    media: kith_client_core::media::MediaHandle,
    alt: String,
    width: Option<u32>,
    height: Option<u32>,
) -> Element {
    let picture = use_picture(Some(media), MediaSize::Thumbnail { width: 96, height: 96 });
    match picture() {
        Some(url) => rsx! {
            img {
                src: url.as_str().to_owned(),
                alt: "{alt}",
                title: "{alt}",
                width: width.map(|side| side.min(320)),
                height: height.unwrap_or(32).min(320),
            }
        },
        None => rsx! { "{alt}" },
    }
}
