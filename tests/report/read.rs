//! Reading a report back with parsers: its structure, and the statements that name facts.

use std::collections::BTreeSet;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use quick_xml::Reader;
use quick_xml::events::Event as Xml;

/// What a Markdown page is made of.
#[derive(Debug, Default)]
pub struct Page {
    /// Level and text.
    pub headings: Vec<(u8, String)>,
    /// Where links lead.
    pub links: Vec<String>,
    /// The pictures' paths.
    pub images: Vec<String>,
    /// The names that can be linked to.
    pub anchors: Vec<String>,
    /// Language and text of every fenced block.
    pub fences: Vec<(String, String)>,
    /// How many cells each row of each table has, its header first.
    pub tables: Vec<Vec<usize>>,
    /// All text that is not code, a line a block.
    pub prose: String,
    /// Raw HTML, a tag or a block of them each.
    pub html: Vec<String>,
    /// Blocks that are code only because they are indented.
    pub indented: usize,
}

/// Reads a page as GitHub would.
pub fn page(markdown: &str) -> Page {
    let mut page = Page::default();
    let mut heading: Option<u8> = None;
    let mut code: Option<String> = None;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                heading = Some(level as u8);
                page.headings.push((level as u8, String::new()));
            }
            Event::End(TagEnd::Heading(_)) => heading = None,
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                code = Some(language.into_string());
                page.fences.push((code.clone().unwrap_or_default(), String::new()));
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => page.indented += 1,
            Event::End(TagEnd::CodeBlock) => code = None,
            Event::Start(Tag::Link { dest_url, .. }) => page.links.push(dest_url.into_string()),
            Event::Start(Tag::Image { dest_url, .. }) => page.images.push(dest_url.into_string()),
            Event::Start(Tag::Table(_)) => page.tables.push(Vec::new()),
            Event::Text(text) if code.is_some() => {
                page.fences.last_mut().expect("a fence").1.push_str(&text);
            }
            Event::Text(text) => {
                if heading.is_some() {
                    page.headings.last_mut().expect("a heading").1.push_str(&text);
                }
                page.prose.push_str(&text);
            }
            Event::Code(text) if heading.is_some() => page.headings.last_mut().expect("a heading").1.push_str(&text),
            Event::Html(html) | Event::InlineHtml(html) => page.html.push(html.into_string()),
            Event::SoftBreak => page.prose.push(' '),
            Event::End(TagEnd::Paragraph | TagEnd::TableCell | TagEnd::Item) => page.prose.push('\n'),
            _ => {}
        }
    }
    page.anchors = ids(markdown);
    rows(markdown, &mut page.tables);
    page
}

/// `<a id="…">` in Markdown outside of fences.
fn ids(markdown: &str) -> Vec<String> {
    let lines = outside_fences(markdown);
    let found = lines.iter().flat_map(|line| line.split("<a id=\"").skip(1));
    found.filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect()
}

/// Parsers pad and cut rows to the header's cells, so cells are counted in the text itself.
fn rows(markdown: &str, tables: &mut [Vec<usize>]) {
    let mut tables = tables.iter_mut();
    let mut open: Option<&mut Vec<usize>> = None;
    for line in outside_fences(markdown) {
        if !line.starts_with('|') {
            open = None;
            continue;
        }
        let table = open.take().or_else(|| tables.next()).expect("a table that the parser saw too");
        table.push(line.replace("\\|", "").matches('|').count() - 1);
        open = Some(table);
    }
}

/// The lines of a page that are not within a fence.
pub fn outside_fences(markdown: &str) -> Vec<&str> {
    let mut fence: Option<usize> = None;
    let mut lines = Vec::new();
    for line in markdown.lines() {
        let marks = line.bytes().take_while(|byte| *byte == b'`').count();
        match fence {
            Some(open) if marks >= open && line.len() == marks => fence = None,
            Some(_) => {}
            None if marks >= 3 => fence = Some(marks),
            None => lines.push(line),
        }
    }
    assert_eq!(fence, None, "every fence is closed");
    lines
}

/// The part of a page from the heading that begins so to the next one of its level.
pub fn section<'t>(markdown: &'t str, heading: &str) -> &'t str {
    let start = markdown.find(&format!("\n{heading}")).unwrap_or_else(|| panic!("{heading} in the report"));
    let level = heading.split(' ').next().expect("marks");
    let body = &markdown[start + 1..];
    let end = body.find(&format!("\n{level} ")).unwrap_or(body.len());
    &body[..end]
}

/// A statement, without its references; and the facts that it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Statement {
    /// The sentence.
    pub text: String,
    /// The facts.
    pub facts: BTreeSet<String>,
}

/// All lines that name facts and say something. A row of the table of steps says what was recorded, not what was seen.
pub fn statements(markdown: &str) -> Vec<Statement> {
    let fact = regex::Regex::new(r"\[(F\d+)\]\(#f\d+\)").expect("a pattern");
    let any = regex::Regex::new(r"\s*\[[^\]]*\]\(#[^)]*\)").expect("a pattern");
    let lines = outside_fences(markdown).into_iter().filter(|line| !line.starts_with("| **"));
    let all = lines.filter_map(|line| {
        let facts: BTreeSet<String> = fact.captures_iter(line).map(|found| found[1].to_owned()).collect();
        let text = any.replace_all(line, "").trim().to_owned();
        (!facts.is_empty() && text.chars().any(char::is_alphabetic)).then_some(Statement { text, facts })
    });
    all.collect()
}

/// One element of an XML document.
#[derive(Debug)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Vec<(String, String)>,
}

/// All elements of a document, which must be well-formed; and its text.
pub fn xml(text: &str) -> (Vec<Element>, String) {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let (mut elements, mut words, mut depth) = (Vec::new(), String::new(), 0_usize);
    loop {
        let event = reader.read_event();
        match event.unwrap_or_else(|error| panic!("{error} at {}", reader.error_position())) {
            Xml::Start(start) => {
                depth += 1;
                elements.push(element(&start));
            }
            Xml::Empty(start) => elements.push(element(&start)),
            Xml::End(_) => depth -= 1,
            Xml::Text(text) => words.push_str(&text.xml_content().expect("text")),
            Xml::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "every element is closed");
    (elements, words)
}

fn element(start: &quick_xml::events::BytesStart<'_>) -> Element {
    let attributes = start.attributes().map(|attribute| {
        let attribute = attribute.expect("a well-formed attribute");
        let name = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        (name, attribute.unescape_value().expect("a value").into_owned())
    });
    Element { name: String::from_utf8_lossy(start.name().as_ref()).into_owned(), attributes: attributes.collect() }
}
