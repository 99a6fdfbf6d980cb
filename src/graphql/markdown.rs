//! Answers as HTML. A model's output is hostile: it may have been told what to write by the text it was
//! asked about. So raw HTML is shown as text, images become text (an image's address carries data away
//! without a click), links go to the web or to mail only, characters that hide text become visible, and what
//! is left passes an allow-list.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use ammonia::{Builder, UrlRelative};
use comrak::{
    Arena, Options, format_html,
    nodes::{AstNode, NodeValue},
    parse_document,
};

use crate::hidden;

/// Quotes and lists nested deeper than this are shown as plain text: no reader can follow them, and every
/// level costs the stack of whoever renders it.
const MAX_NESTING: usize = 64;

const TAGS: &[&str] = &[
    "a",
    "blockquote",
    "br",
    "code",
    "del",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
];

static SANITISER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::empty();
    builder
        .tags(TAGS.iter().copied().collect::<HashSet<_>>())
        .clean_content_tags(HashSet::from(["script", "style"]))
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href", "title"])),
            ("code", HashSet::from(["class"])),
            ("ol", HashSet::from(["start"])),
            ("td", HashSet::from(["align"])),
            ("th", HashSet::from(["align"])),
        ]))
        .attribute_filter(|element, attribute, value| match (element, attribute) {
            ("code", "class") => is_language(value).then_some(Cow::Borrowed(value)),
            _ => Some(Cow::Borrowed(value)),
        })
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        // A relative address would be one of whatever site shows the answer.
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("nofollow noopener noreferrer"));
    builder
});

/// Renders Markdown as HTML that is safe to put into a page.
#[must_use]
pub fn to_safe_html(markdown: &str) -> String {
    let markdown = &hidden::shown(markdown);
    if nesting(markdown) > MAX_NESTING {
        return format!("<pre>{}</pre>", ammonia::clean_text(markdown));
    }
    let options = options();
    let arena = Arena::new();
    let root = parse_document(&arena, markdown, &options);
    for node in root.descendants().collect::<Vec<_>>() {
        image_to_text(node);
    }
    let mut html = String::with_capacity(markdown.len() * 2);
    if format_html(root, &options, &mut html).is_err() {
        return format!("<pre>{}</pre>", ammonia::clean_text(markdown));
    }
    SANITISER.clean(&html).to_string()
}

fn options() -> Options<'static> {
    let mut options = Options::default();
    options.extension.strikethrough = true;
    options.extension.table = true;
    options.extension.autolink = true;
    options.render.escape = true;
    options
}

/// Replaces an image by its description.
fn image_to_text<'a>(node: &'a AstNode<'a>) {
    if !matches!(node.data.borrow().value, NodeValue::Image(_)) {
        return;
    }
    while let Some(child) = node.first_child() {
        node.insert_before(child);
    }
    node.detach();
}

/// The most containers any line of the text opens, counted generously from its leading marks.
fn nesting(markdown: &str) -> usize {
    markdown
        .lines()
        .map(|line| {
            let marks = line
                .chars()
                .take_while(|c| matches!(c, '>' | '-' | '*' | '+' | ' ' | '\t' | '0'..='9' | '.' | ')'));
            let (containers, blanks) =
                marks.fold((0_usize, 0_usize), |(containers, blanks), mark| match mark {
                    '>' | '-' | '*' | '+' | '.' | ')' => (containers + 1, blanks),
                    ' ' | '\t' => (containers, blanks + 1),
                    _ => (containers, blanks),
                });
            containers.max(blanks / 2)
        })
        .max()
        .unwrap_or(0)
}

fn is_language(class: &str) -> bool {
    class.strip_prefix("language-").is_some_and(|name| {
        name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '#' | '_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_markdown_becomes_html() {
        let html = to_safe_html(
            "# Title\n\n- **one**\n- `two`\n\n```rust\nfn main() {}\n```\n\n| a | b |\n|--:|---|\n| 1 | 2 |",
        );
        insta::assert_snapshot!(html, @r#"
<h1>Title</h1>
<ul>
<li><strong>one</strong></li>
<li><code>two</code></li>
</ul>
<pre><code class="language-rust">fn main() {}
</code></pre>
<table>
<thead>
<tr>
<th align="right">a</th>
<th>b</th>
</tr>
</thead>
<tbody>
<tr>
<td align="right">1</td>
<td>2</td>
</tr>
</tbody>
</table>
"#);
    }

    #[rstest::rstest]
    #[case("<script>alert(1)</script>")]
    #[case("<img src=x onerror=alert(1)>")]
    #[case("<svg><a xlink:href=\"javascript:alert(1)\"><text>x</text></a></svg>")]
    #[case("<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>")]
    #[case("<style>@import 'http://evil'</style>")]
    #[case("<iframe src=\"http://evil\"></iframe>")]
    #[case("<a href=\"javascript:alert(1)\">x</a>")]
    #[case("[x](javascript:alert(1))")]
    #[case("[x](JaVaScRiPt&colon;alert(1))")]
    #[case("[x](data:text/html;base64,PHNjcmlwdD4=)")]
    #[case("[x](vbscript:msgbox)")]
    #[case("[x](<javascript:alert(1)>)")]
    #[case("<javascript:alert(1)>")]
    #[case("[x](http://ok \"onmouseover=alert(1) \\\" onfocus=alert(1)\")")]
    #[case("```\"><img src=x onerror=alert(1)>\n```")]
    #[case("`<img src=x onerror=alert(1)>`")]
    #[case("![<img src=x onerror=alert(1)>](http://evil/pixel)")]
    #[case("[![a](http://evil/pixel)](http://ok)")]
    #[case("<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">")]
    fn nothing_hostile_survives(#[case] markdown: &str) {
        let html = to_safe_html(markdown);
        for element in
            ["<script", "<img", "<svg", "<math", "<style", "<iframe", "<noscript", "<form", "<input"]
        {
            assert!(!html.contains(element), "{element} in {html}");
        }
        for attribute in ["href=\"java", "href=\"data", "href=\"vb", "href=\"JaVa", "src="] {
            let outside_text =
                html.replace("&lt;", "\u{0}").split('\u{0}').next().unwrap_or_default().to_owned();
            assert!(!outside_text.contains(attribute), "{attribute} in {html}");
        }
    }

    #[test]
    fn an_image_becomes_its_description() {
        assert_eq!(
            to_safe_html("see ![a *secret* chart](https://evil.example/?q=1)"),
            "<p>see a <em>secret</em> chart</p>\n"
        );
    }

    #[test]
    fn what_nobody_would_see_is_shown_as_a_mark() {
        assert_eq!(
            to_safe_html("pay \u{202E}001\u{202C}\u{E0041}\r\nand [go](https://ok.example/\u{E0041})"),
            "<p>pay \u{FFFD}001\u{FFFD}\u{FFFD}\nand <a href=\"https://ok.example/%EF%BF%BD\" \
             rel=\"nofollow noopener noreferrer\">go</a></p>\n"
        );
    }

    #[test]
    fn a_link_keeps_its_address_and_gives_nothing_away() {
        insta::assert_snapshot!(to_safe_html("[docs](https://example.com/a?b=1&c=2) <me@example.com>"), @r#"<p><a href="https://example.com/a?b=1&amp;c=2" rel="nofollow noopener noreferrer">docs</a> <a href="mailto:me@example.com" rel="nofollow noopener noreferrer">me@example.com</a></p>"#);
    }

    #[test]
    fn a_relative_link_loses_its_address() {
        let html = to_safe_html("[x](/admin/delete) [y](//evil.example)");
        assert!(!html.contains("href"), "{html}");
    }

    #[rstest::rstest]
    #[case(">".repeat(100_000))]
    #[case("- ".repeat(50_000))]
    #[case("[".repeat(100_000))]
    #[case("*a_".repeat(50_000))]
    #[case("![".repeat(50_000))]
    #[case((0..3_000).map(|depth| format!("{}- x\n", "  ".repeat(depth))).collect::<String>())]
    #[case("`".repeat(100_000))]
    fn deep_nesting_costs_no_stack(#[case] markdown: String) {
        // The threads of a server have 2 MiB; half of that must be enough.
        let rendering =
            std::thread::Builder::new().stack_size(1024 * 1024).spawn(move || to_safe_html(&markdown));
        assert!(!rendering.unwrap().join().unwrap().is_empty());
    }
}
