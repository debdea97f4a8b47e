use super::*;

fn text(text: &str) -> HtmlNode {
    HtmlNode::Text(text.to_owned())
}

fn element(tag: Tag, children: Vec<HtmlNode>) -> HtmlNode {
    HtmlNode::Element { tag, children }
}

#[test]
fn formatting_becomes_nodes_in_their_order() {
    let nodes = parse("<p>a <strong>b</strong><br>c</p><ol start=\"3\"><li>d</li></ol><hr>");
    let paragraph =
        vec![text("a "), element(Tag::Strong, vec![text("b")]), HtmlNode::LineBreak, text("c")];
    let item = element(Tag::ListItem, vec![text("d")]);
    assert_eq!(
        nodes,
        [
            element(Tag::Paragraph, paragraph),
            HtmlNode::NumberedList { start: 3, children: vec![item] },
            HtmlNode::Rule,
        ]
    );
}

#[test]
fn nothing_that_runs_or_leads_astray_is_left() {
    let nodes = parse(
        "<script>alert(1)</script><p onclick=\"x()\">a<img src=\"https://evil.example/track.gif\">\
         <a href=\"javascript:alert(1)\">b</a><iframe src=\"https://evil.example\"></iframe></p>\
         <style>p{}</style><svg><script>1</script></svg><span data-mx-color=\"red;x:url(y)\">c</span>",
    );
    let drawn = format!("{nodes:?}");
    for evil in ["onclick", "javascript", "evil.example", "iframe", "url(", "svg"] {
        assert!(!drawn.contains(evil), "{evil} in {drawn}");
    }
    assert!(plain(&nodes).contains('a') && plain(&nodes).contains('b'));
}

#[test]
fn links_of_matrix_are_mentions() {
    let nodes = parse("<a href=\"https://matrix.to/#/@alice:team.example\">Alice</a>");
    let to = MatrixLink::User("@alice:team.example".to_owned());
    assert_eq!(nodes, [HtmlNode::Mention { to, children: vec![text("Alice")] }]);
    let nodes = parse("<a href=\"matrix:r/kitchen:team.example?via=team.example\">here</a>");
    let room = "#kitchen:team.example".to_owned();
    let to = MatrixLink::Room { room, via: vec!["team.example".to_owned()] };
    assert_eq!(nodes, [HtmlNode::Mention { to, children: vec![text("here")] }]);
    assert_eq!(MatrixLink::parse("https://team.example/#/@alice:team.example"), None);
}

#[test]
fn code_keeps_its_lines_and_its_language() {
    let nodes = parse("<pre><code class=\"language-rust\">fn a() {}\n\nb &lt; c\n</code></pre>");
    let language = Some("rust".to_owned());
    let block = HtmlNode::CodeBlock { language, text: "fn a() {}\n\nb < c".to_owned() };
    assert_eq!(nodes, [block]);
    assert_eq!(
        parse("<code>https://a.example</code>"),
        [HtmlNode::Code("https://a.example".into())]
    );
}

#[test]
fn addresses_in_plain_text_become_links_once() {
    let nodes = linkify("see https://a.example/x, or not");
    let link = |children| HtmlNode::Link { href: "https://a.example/x".to_owned(), children };
    let shown = vec![text("https://a.example/x")];
    assert_eq!(nodes, [text("see "), link(shown.clone()), text(", or not")]);
    assert_eq!(parse("<a href=\"https://a.example/x\">https://a.example/x</a>"), [link(shown)]);
    assert_eq!(linkify("javascript://a"), [text("javascript://a")]);
}

#[test]
fn spoilers_and_colours_are_told_apart_from_other_spans() {
    let nodes = parse("<span data-mx-spoiler=\"film\">he dies</span><span>x</span>");
    let spoiler =
        HtmlNode::Spoiler { reason: Some("film".to_owned()), children: vec![text("he dies")] };
    assert_eq!(nodes, [spoiler, text("x")]);
    assert_eq!(plain(&nodes), "█x");
    let nodes = parse("<span data-mx-color=\"#FF0000\">red</span>");
    let (color, children) = (Some("#ff0000".to_owned()), vec![text("red")]);
    assert_eq!(nodes, [HtmlNode::Colored { text: color, background: None, children }]);
}

#[test]
fn a_text_without_end_is_cut_and_a_deep_one_does_not_overflow() {
    let many = parse(&"<b>x</b>".repeat(20_000));
    assert!(many.len() <= MAX_NODES);
    let deep = format!("{}x{}", "<div>".repeat(20_000), "</div>".repeat(20_000));
    assert!(format!("{:?}", parse(&deep)).len() < 100_000);
}
