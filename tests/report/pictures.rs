//! The pictures: well-formed SVG that stands alone.

use std::collections::BTreeSet;

use super::read::{self, Element};
use super::{LANGS, ended, fixture, report};

fn svgs(run: &labrun::verify::Run) -> Vec<(String, String)> {
    let all = LANGS.iter().flat_map(|lang| report(run, *lang).assets);
    let pictures = all.filter(|(path, _)| path.ends_with(".svg"));
    pictures.map(|(path, bytes)| (path, String::from_utf8(bytes).expect("UTF-8"))).collect()
}

fn attribute<'e>(element: &'e Element, name: &str) -> Option<&'e str> {
    element.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn number(element: &Element, name: &str) -> f64 {
    attribute(element, name).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} of {element:?}"))
}

#[test]
fn every_picture_is_well_formed_named_and_alone() {
    let runs = ended::all().into_iter().map(|(_, run)| run).chain([fixture::passed()]);
    for (path, svg) in runs.flat_map(|run| svgs(&run)) {
        let (elements, words) = read::xml(&svg);
        let root = &elements[0];
        assert_eq!(root.name, "svg", "{path}");
        assert_eq!(attribute(root, "xmlns"), Some("http://www.w3.org/2000/svg"), "{path}");
        assert!(attribute(root, "aria-label").is_some_and(|name| !name.is_empty()), "{path}");
        let known =
            ["svg", "title", "style", "g", "rect", "line", "circle", "polyline", "polygon", "path", "text", "tspan"];
        for element in &elements {
            assert!(known.contains(&element.name.as_str()), "{path}: <{}>", element.name);
            assert!(
                element.attributes.iter().all(|(key, _)| !key.contains("href") && !key.starts_with("on")),
                "{path}"
            );
        }
        assert!(!svg.contains("url(") && !svg.contains("@import"), "{path}");
        assert!(!words.trim().is_empty(), "{path}: an empty picture");
    }
}

#[test]
fn nothing_is_drawn_outside_of_its_picture() {
    for (path, svg) in svgs(&fixture::passed()) {
        let (elements, _) = read::xml(&svg);
        let (width, height) = (number(&elements[0], "width"), number(&elements[0], "height"));
        for element in &elements[1..] {
            if element.name == "rect" {
                let (right, bottom) =
                    (number(element, "x") + number(element, "width"), number(element, "y") + number(element, "height"));
                assert!(right <= width + 0.5 && bottom <= height + 0.5, "{path}: {element:?}");
                assert!(number(element, "x") >= -0.5 && number(element, "y") >= -0.5, "{path}: {element:?}");
            }
            if element.name == "text" {
                let (x, y) = (number(element, "x"), number(element, "y"));
                assert!((0.0..=width).contains(&x) && (0.0..=height).contains(&y), "{path}: {element:?}");
            }
        }
    }
}

#[test]
fn a_passed_run_shows_the_topology_the_roles_and_the_outage() {
    let names: BTreeSet<String> = svgs(&fixture::passed()).into_iter().map(|(path, _)| path).collect();
    for name in ["topology", "roles", "failover-failover-outage", "failover-failover-roles"] {
        for lang in LANGS {
            let path = format!("images/{name}.{}.svg", lang.code());
            assert!(names.contains(&path), "{path} in {names:?}");
        }
    }
}

#[test]
fn without_an_outage_none_is_drawn() {
    for run in [ended::failed(), ended::inconclusive(), ended::not_begun()] {
        assert!(svgs(&run).iter().all(|(path, _)| !path.contains("outage")));
    }
}
