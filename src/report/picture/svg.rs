//! A small SVG writer: shapes with classes, text that is always escaped, one stylesheet for every picture.
//!
//! A picture is written in two forms: as a file, which carries the stylesheet and follows the reader's light or dark
//! theme by itself; and inlined into the HTML page, whose head carries the stylesheet once for all.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

/// A drawing under way. Lengths are in CSS pixels.
#[derive(Debug, Clone)]
pub struct Svg {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

/// Where a text is anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It begins at the point.
    Start,
    /// Its middle is at the point.
    Middle,
    /// It ends at the point.
    End,
}

/// The width of one column of monospaced text, as a share of the font's size.
pub const MONO: f64 = 0.6;

impl Svg {
    /// An empty drawing; `title` is what a screen reader says.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        Svg { width, height, title: title.to_owned(), body: String::new() }
    }

    /// A rectangle with rounded corners.
    pub fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64), radius: f64) {
        let (width, height) = (width.max(0.0), height.max(0.0));
        let shape = format!(
            r#"<rect class="{class}" x="{}" y="{}" width="{}" height="{}" rx="{}"/>"#,
            num(x),
            num(y),
            num(width),
            num(height),
            num(radius)
        );
        self.push(&shape);
    }

    /// A rectangle that says `tip` when it is pointed at.
    pub fn rect_with_tip(&mut self, class: &str, at: (f64, f64), size: (f64, f64), radius: f64, tip: &str) {
        let _ = writeln!(self.body, "<g><title>{}</title>", escape(tip));
        self.rect(class, at, size, radius);
        self.push("</g>");
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let (x1, y1, x2, y2) = (num(x1), num(y1), num(x2), num(y2));
        self.push(&format!(r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#));
    }

    /// A circle.
    pub fn circle(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        self.push(&format!(r#"<circle class="{class}" cx="{}" cy="{}" r="{}"/>"#, num(x), num(y), num(radius)));
    }

    /// A closed or open path through points.
    pub fn polyline(&mut self, class: &str, points: &[(f64, f64)], closed: bool) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", num(*x), num(*y))).collect();
        let tag = if closed { "polygon" } else { "polyline" };
        self.push(&format!(r#"<{tag} class="{class}" points="{}"/>"#, points.join(" ")));
    }

    /// Words in the page's own font.
    pub fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y, text) = (num(x), num(y), escape(text));
        self.push(&format!(r#"<text class="{class}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>"#));
    }

    /// A line of monospaced text of this font size. Each run of words is placed at its own column and stretched to its
    /// own width, so that columns stay aligned in whatever font the reader has, Cyrillic and wide characters included.
    pub fn mono(&mut self, class: &str, (x, y): (f64, f64), size: f64, text: &str) {
        let column = size * MONO;
        for (start, run) in runs(text) {
            let columns = width(&run);
            if columns == 0 {
                continue;
            }
            let at = x + to_f64(start) * column;
            let length = to_f64(columns) * column;
            let (at, y, length, run) = (num(at), num(y), num(length), escape(&run));
            self.push(&format!(
                r#"<text class="{class}" x="{at}" y="{y}" textLength="{length}" lengthAdjust="spacingAndGlyphs">{run}</text>"#
            ));
        }
    }

    fn push(&mut self, shape: &str) {
        self.body.push_str(shape);
        self.body.push('\n');
    }

    /// The drawing as a file of its own, with its stylesheet.
    pub fn file(&self, css: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n<title>{}</title>\n<style>\n{}</style>\n{}</svg>\n",
            self.open(true),
            escape(&self.title),
            css.replace("]]>", "").replace(['<', '&'], ""),
            self.body
        )
    }

    /// The drawing for an HTML page that carries the stylesheet itself.
    pub fn inline(&self) -> String {
        format!("{}<title>{}</title>\n{}</svg>", self.open(false), escape(&self.title), self.body)
    }

    fn open(&self, file: bool) -> String {
        let (width, height) = (num(self.width), num(self.height));
        let name = if file { r#"xmlns="http://www.w3.org/2000/svg" "# } else { "" };
        format!(
            r#"<svg {name}class="lr" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{}">"#,
            escape(&self.title)
        )
    }
}

/// Runs of text without two spaces in a row, each with its column.
fn runs(text: &str) -> Vec<(usize, String)> {
    let mut runs: Vec<(usize, String)> = Vec::new();
    let (mut column, mut gap) = (0, 2);
    for c in text.chars() {
        if c == ' ' {
            (column, gap) = (column + 1, gap + 1);
            continue;
        }
        match runs.last_mut() {
            Some((_, run)) if gap < 2 => {
                run.extend(std::iter::repeat_n(' ', gap));
                run.push(c);
            }
            _ => runs.push((column, c.to_string())),
        }
        (column, gap) = (column + char_width(c), 0);
    }
    runs
}

/// How many columns of a terminal a text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// How many columns of a terminal a character takes.
pub fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// About how many pixels a text of the page's own font takes.
pub fn text_width(text: &str, size: f64) -> f64 {
    to_f64(width(text)) * size * 0.56
}

/// A small count as a length.
pub fn to_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A number of ms as a length; a run takes far less than the 2^53 ms up to which this is exact.
#[expect(clippy::cast_precision_loss, reason = "a run takes far less than 2^53 ms")]
pub fn ms_f64(ms: u64) -> f64 {
    ms as f64
}

fn num(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text for XML 1.0: markup escaped, characters that XML cannot hold shown as `�`.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::{Reader, events::Event};

    use super::*;

    /// All text of an XML document; fails where it is not well-formed.
    pub fn xml_text(xml: &str) -> Result<String, quick_xml::Error> {
        let mut reader = Reader::from_str(xml);
        reader.config_mut().check_end_names = true;
        let mut text = String::new();
        loop {
            match reader.read_event()? {
                Event::Eof => return Ok(text),
                Event::Text(words) => text.push_str(&words.decode()?),
                Event::GeneralRef(name) => match name.resolve_char_ref()? {
                    Some(c) => text.push(c),
                    None => text.push_str(match &*name.decode()? {
                        "amp" => "&",
                        "lt" => "<",
                        "gt" => ">",
                        "quot" => "\"",
                        _ => "?",
                    }),
                },
                _ => {}
            }
        }
    }

    #[test]
    fn columns_are_kept_apart() {
        assert_eq!(runs("a b   c"), [(0, "a b".to_owned()), (6, "c".to_owned())]);
        assert_eq!(runs("  лидер"), [(2, "лидер".to_owned())]);
        assert_eq!(width("лидер"), 5);
        assert_eq!(width("中"), 2);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!((num(2.0), num(2.5), num(0.126)), ("2".to_owned(), "2.5".to_owned(), "0.13".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_makes_well_formed_xml(text in any::<String>()) {
            let mut svg = Svg::new(10.0, 10.0, &text);
            svg.text("a", (0.0, 0.0), Anchor::Start, &text);
            svg.mono("a", (0.0, 0.0), 13.0, &text);
            let read = xml_text(&svg.file(""));
            prop_assert!(read.is_ok(), "{read:?}");
        }

        #[test]
        fn text_is_read_back(text in "[a-z<>&\"'я ]{1,20}") {
            let mut svg = Svg::new(10.0, 10.0, "");
            svg.text("a", (0.0, 0.0), Anchor::Start, &text);
            let read = xml_text(&svg.inline()).expect("well-formed");
            prop_assert_eq!(read.trim(), text.trim());
        }
    }
}
