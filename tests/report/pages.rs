//! The Markdown and the HTML page: well-formed, whole in themselves, nothing fetched.

use std::collections::BTreeSet;

use super::read::{self, Page};
use super::{LANGS, ended, fixture, report};

/// Every kind of run, with its name.
fn runs() -> Vec<(&'static str, labrun::verify::Run)> {
    let mut all = ended::all();
    all.push(("passed", fixture::passed()));
    all
}

/// Every report's Markdown and HTML, with the name of its run.
fn each(look: impl Fn(&str, &labrun::report::Report)) {
    for (name, run) in runs() {
        for lang in LANGS {
            look(&format!("{name}.{}", lang.code()), &report(&run, lang));
        }
    }
}

#[test]
fn headings_are_a_tree_under_one_title() {
    each(|name, report| {
        let Page { headings, .. } = read::page(&report.markdown);
        assert_eq!(headings[0].0, 1, "{name}");
        assert_eq!(headings.iter().filter(|(level, _)| *level == 1).count(), 1, "{name}");
        for pair in headings.windows(2) {
            assert!(pair[1].0 <= pair[0].0 + 1, "{name}: {pair:?}");
        }
        assert!(headings.iter().all(|(_, text)| !text.trim().is_empty()), "{name}: {headings:?}");
    });
}

#[test]
fn fences_are_closed_and_name_their_language() {
    each(|name, report| {
        let page = read::page(&report.markdown);
        assert_eq!(page.indented, 0, "{name}: text that is code by its indentation");
        for (language, text) in &page.fences {
            assert!(!language.is_empty() && !text.trim().is_empty(), "{name}: ```{language}\n{text}");
        }
        assert!(!page.prose.contains("```"), "{name}: a fence that is none");
    });
}

#[test]
fn every_row_of_a_table_has_its_headers_cells() {
    each(|name, report| {
        let page = read::page(&report.markdown);
        assert!(page.tables.len() > 3, "{name}");
        for table in &page.tables {
            assert!(table.len() >= 3, "{name}: a table without rows: {table:?}");
            assert!(table.iter().all(|cells| cells == &table[0]), "{name}: {table:?}");
        }
        let stray = page.prose.lines().find(|line| line.starts_with('|') || line.contains("| ---"));
        assert_eq!(stray, None, "{name}: a table that is none");
    });
}

#[test]
fn every_link_leads_to_an_anchor_and_every_picture_is_there() {
    each(|name, report| {
        let page = read::page(&report.markdown);
        let anchors: BTreeSet<&String> = page.anchors.iter().collect();
        assert_eq!(anchors.len(), page.anchors.len(), "{name}: an anchor twice");
        for link in &page.links {
            let target = link.strip_prefix('#').unwrap_or_else(|| panic!("{name}: {link} leaves the page"));
            assert!(anchors.contains(&target.to_owned()), "{name}: nothing at {link}");
        }
        let pictures: Vec<&str> = report.assets.iter().map(|(path, _)| path.as_str()).collect();
        assert!(!page.images.is_empty(), "{name}");
        for image in &page.images {
            assert!(pictures.contains(&image.as_str()), "{name}: no {image}");
        }
    });
}

#[test]
fn templates_leave_nothing_of_themselves() {
    each(|name, report| {
        let page = read::page(&report.markdown);
        for left in ["{{", "}}", "{%", "%}", "{#", "undefined", "None", "null"] {
            assert!(!page.prose.contains(left), "{name}: {left}");
        }
        for html in &page.html {
            let ours = ["<a id=", "</a>", "<details>", "</details>", "<summary>", "</summary>"];
            assert!(ours.iter().any(|tag| html.trim_start().starts_with(tag)), "{name}: {html}");
        }
        assert!(!report.markdown.contains("\n\n\n"), "{name}: empty lines in a row outside of fences");
    });
}

/// The page as XML: what HTML leaves unclosed is closed first.
fn as_xml(html: &str) -> String {
    let body = html.strip_prefix("<!doctype html>\n").expect("the type of the document comes first");
    let meta = regex::Regex::new(r"<meta ([^>]*)>").expect("a pattern");
    meta.replace_all(body, "<meta $1/>").into_owned()
}

#[test]
fn the_page_is_well_formed_and_says_its_language() {
    each(|name, report| {
        let (elements, _) = read::xml(&as_xml(&report.html));
        let html = &elements[0];
        assert_eq!((html.name.as_str(), html.attributes[0].1.as_str()), ("html", report.lang.code()), "{name}");
        for once in ["head", "title", "style", "body", "main", "h1"] {
            let count = elements.iter().filter(|element| element.name == once).count();
            // Pictures have titles of their own.
            assert!(count == 1 || (once == "title" && count > 1), "{name}: {count} × {once}");
        }
    });
}

#[test]
fn the_page_fetches_nothing() {
    each(|name, report| {
        let (elements, _) = read::xml(&as_xml(&report.html));
        let names: BTreeSet<&str> = elements.iter().map(|element| element.name.as_str()).collect();
        for fetching in
            ["script", "link", "img", "iframe", "object", "embed", "video", "audio", "source", "form", "image", "use"]
        {
            assert!(!names.contains(fetching), "{name}: <{fetching}>");
        }
        for (attribute, value) in elements.iter().flat_map(|element| &element.attributes) {
            assert!(!attribute.starts_with("on") && attribute != "src" && attribute != "style", "{name}: {attribute}");
            let link = attribute.ends_with("href");
            assert!(!link || value.starts_with('#'), "{name}: {attribute}={value}");
        }
        let css = report.html.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
        assert!(!css.contains("url(") && !css.contains("@import"), "{name}");
        let policy = "default-src 'none'; style-src 'unsafe-inline'";
        assert!(report.html.contains(policy), "{name}: the browser is told so too");
    });
}

#[test]
fn every_link_of_the_page_leads_somewhere_in_it() {
    each(|name, report| {
        let (elements, _) = read::xml(&as_xml(&report.html));
        let of = |wanted: &str| {
            let all = elements.iter().flat_map(|element| &element.attributes);
            all.filter(|(key, _)| key == wanted).map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        let ids = of("id");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{name}: an id twice");
        let links = of("href");
        assert!(!links.is_empty(), "{name}");
        for link in links {
            assert!(ids.contains(&link[1..].to_owned()), "{name}: nothing at {link}");
        }
    });
}

#[test]
fn the_same_run_always_makes_the_same_report() {
    let run = fixture::passed();
    for lang in LANGS {
        let (one, two) = (report(&run, lang), report(&run, lang));
        assert_eq!((one.markdown, one.html, one.assets), (two.markdown, two.html, two.assets));
    }
}
