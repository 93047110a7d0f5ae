//! The report as one HTML page, made from its own Markdown: pictures inlined, styles in the head, no scripts, nothing
//! fetched. The page's content security policy says so to the browser too.

mod code;
mod sanitize;

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd};

use super::draw::Picture;
use super::picture::svg::escape;

/// The Markdown that reports are written in: CommonMark with GFM's tables and strikethrough.
pub fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH
}

/// The page around the Markdown.
pub fn page(markdown: &str, title: &str, lang: &str, styles: &[&str], pictures: &[Picture]) -> String {
    let css: String = styles.iter().map(|css| css.replace('<', "")).collect();
    let body = body(markdown, pictures);
    format!(
        concat!(
            "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n",
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
            "<meta name=\"color-scheme\" content=\"light dark\">\n",
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
            "<title>{title}</title>\n<style>\n{css}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
        ),
        lang = escape(lang),
        title = escape(title),
        css = css,
        body = body
    )
}

/// The Markdown as HTML.
pub fn body(markdown: &str, pictures: &[Picture]) -> String {
    let mut events = Vec::new();
    let mut pen = Pen { pictures, image: None, code: None, strong: false };
    for event in Parser::new_ext(markdown, options()) {
        pen.take(event, &mut events);
    }
    let mut html = String::with_capacity(markdown.len() * 2);
    pulldown_cmark::html::push_html(&mut html, events.into_iter());
    html
}

/// What was begun and is not yet ended.
struct Pen<'p> {
    pictures: &'p [Picture],
    /// The picture's path, and its words so far.
    image: Option<(String, String)>,
    /// The block's language, and its text so far.
    code: Option<(String, String)>,
    /// Whether bold text has just begun.
    strong: bool,
}

impl Pen<'_> {
    fn take<'e>(&mut self, event: Event<'e>, events: &mut Vec<Event<'e>>) {
        if let Some((path, mut alt)) = self.image.take() {
            match event {
                Event::End(TagEnd::Image) => events.push(raw(self.picture(&path, &alt))),
                Event::Text(text) | Event::Code(text) => {
                    alt.push_str(&text);
                    self.image = Some((path, alt));
                }
                _ => self.image = Some((path, alt)),
            }
            return;
        }
        if let Some((language, mut text)) = self.code.take() {
            match event {
                Event::End(TagEnd::CodeBlock) => events.push(raw(code::block(&language, &text))),
                Event::Text(more) => {
                    text.push_str(&more);
                    self.code = Some((language, text));
                }
                _ => self.code = Some((language, text)),
            }
            return;
        }
        if std::mem::take(&mut self.strong) {
            let class = match &event {
                Event::Text(text) => verdict_class(text),
                _ => None,
            };
            events.push(raw(class.map_or("<strong>".to_owned(), |class| format!("<strong class=\"v {class}\">"))));
        }
        match event {
            Event::Start(Tag::Image { dest_url, .. }) => self.image = Some((dest_url.into_string(), String::new())),
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    CodeBlockKind::Fenced(language) => language.into_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                self.code = Some((language, String::new()));
            }
            Event::Start(Tag::Strong) => self.strong = true,
            Event::End(TagEnd::Strong) => events.push(raw("</strong>".to_owned())),
            Event::Start(Tag::Link { dest_url, .. }) => events.push(raw(link(&dest_url))),
            Event::End(TagEnd::Link) => events.push(raw("</a>".to_owned())),
            Event::Start(Tag::Table(alignments)) => {
                events.push(raw("<div class=\"table\">".to_owned()));
                events.push(Event::Start(Tag::Table(alignments)));
            }
            Event::End(TagEnd::Table) => {
                events.push(Event::End(TagEnd::Table));
                events.push(raw("</div>\n".to_owned()));
            }
            Event::Html(html) => events.push(raw(sanitize::html(&html))),
            Event::InlineHtml(html) => events.push(Event::InlineHtml(CowStr::from(sanitize::html(&html)))),
            other => events.push(other),
        }
    }

    /// A picture of this report in place; of one from elsewhere its words only, since nothing is fetched.
    fn picture(&self, path: &str, alt: &str) -> String {
        match self.pictures.iter().find(|picture| picture.path == path) {
            Some(picture) => format!("<span class=\"figure\">{}</span>", picture.svg.inline()),
            None => format!("<em>{}</em>", escape(alt)),
        }
    }
}

fn raw<'e>(html: String) -> Event<'e> {
    Event::InlineHtml(CowStr::from(html))
}

/// Bold text that begins with a verdict's sign is a verdict.
fn verdict_class(text: &str) -> Option<&'static str> {
    let (sign, rest) = text.split_once([' ', super::format::NBSP])?;
    (!rest.is_empty()).then_some(match sign {
        "✓" => "v-pass",
        "✗" => "v-fail",
        "?" => "v-inconclusive",
        "–" => "v-skipped",
        "!" => "v-infra",
        _ => return None,
    })
}

/// Links within the page, and those to the web that a lab's own text may hold; no other scheme is a link.
fn link(target: &str) -> String {
    let fact = target.strip_prefix("#f").is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    let class = if fact || matches!(target, "#roles" | "#record" | "#settings") { " class=\"ref\"" } else { "" };
    let safe = target.starts_with('#') || ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
    if safe { format!("<a{class} href=\"{}\">", escape(target)) } else { "<a>".to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::markdown;
    use crate::report::picture::svg::Svg;

    #[test]
    fn pictures_are_inlined_and_others_are_not_fetched() {
        let pictures = [Picture { path: "images/a.svg".to_owned(), svg: Svg::new(1.0, 1.0, "a") }];
        let html = body("![A](images/a.svg) ![B](https://example.org/b.png)", &pictures);
        assert!(html.contains("<svg") && html.contains("<em>B</em>") && !html.contains("<img"), "{html}");
    }

    #[test]
    fn verdicts_are_coloured() {
        assert!(body("**✓ passed**", &[]).contains("<strong class=\"v v-pass\">✓ passed</strong>"));
        assert!(body("**bold**", &[]).contains("<strong>bold</strong>"));
    }

    #[test]
    fn a_labs_text_brings_no_markup_of_its_own() {
        let html = body("<script>alert(1)</script>\n\nx <img src=x onerror=y> [a](javascript:alert(1)) <a id=\"ok\"></a>", &[]);
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("javascript:"), "{html}");
        assert!(html.contains("<a id=\"ok\"></a>"));
    }

    proptest! {
        #[test]
        fn nothing_in_a_fact_becomes_markup(text in "[<>a-z/\"'=& !-]{0,60}") {
            let page = format!("{}\n\n{}\n\n{}", markdown::escape(&text), markdown::code(&text), markdown::fence(&text, "console"));
            let html = body(&page, &[]);
            let tags = html.split('<').skip(1).map(|tag| tag.trim_start_matches('/'));
            let ours = ["p>", "code>", "pre>", "pre class=", "span class=", "span>"];
            for tag in tags {
                prop_assert!(ours.iter().any(|known| tag.starts_with(known)), "{tag}");
            }
        }
    }
}
