//! Outages side by side: for each way of each check one bar a series, of the medians of its phases; a thin line spans the
//! shortest and the longest outage.

use super::axis::Axis;
use super::svg::{Anchor, Svg, plain_width, to_f64};
use crate::lab::model::Lang;

/// One bar.
#[derive(Debug, Clone)]
pub struct Bar {
    /// The series.
    pub name: String,
    /// The phases: a name for classes, words, the median in ms.
    pub phases: Vec<(String, String, u64)>,
    /// The shortest and the longest outage, in ms.
    pub range: (u64, u64),
    /// What stands behind the bar.
    pub words: String,
}

/// The bars of one way of one check.
#[derive(Debug, Clone)]
pub struct Group {
    /// What they are of.
    pub title: String,
    /// One a series.
    pub bars: Vec<Bar>,
}

const WIDTH: f64 = 860.0;
const LEFT: f64 = 172.0;
const ROW: f64 = 30.0;
const TITLE: f64 = 26.0;
const BAR: f64 = 18.0;
/// What is kept free at the right for words behind the longest bar.
const ROOM: f64 = 150.0;

/// Draws the groups below each other on one axis, which begins with the outage.
pub fn draw(title: &str, groups: &[Group], lang: Lang) -> Svg {
    let longest = groups.iter().flat_map(|group| &group.bars).map(|bar| bar.range.1).max().unwrap_or(0);
    let axis = Axis::new(0, longest, LEFT, WIDTH - ROOM);
    let rows: f64 = groups.iter().map(|group| TITLE + to_f64(group.bars.len()) * ROW).sum();
    let mut svg = Svg::new(WIDTH, rows + 38.0, title);
    axis.draw(&mut svg, (8.0, rows + 10.0), 0, lang);
    let mut y = 10.0;
    for group in groups {
        svg.text("lr-about", (12.0, y + 17.0), Anchor::Start, &group.title);
        y += TITLE;
        for bar in &group.bars {
            draw_bar(&mut svg, bar, &axis, y);
            y += ROW;
        }
    }
    svg
}

fn draw_bar(svg: &mut Svg, bar: &Bar, axis: &Axis, y: f64) {
    svg.text("lr-name", (LEFT - 12.0, y + 14.0), Anchor::End, &fitting(&bar.name));
    let mut from = 0;
    for (name, words, ms) in &bar.phases {
        let (left, right) = (axis.x(from), axis.x(from + ms));
        svg.rect_with_tip(&format!("lr-phase lr-phase-{name}"), (left, y), (right - left, BAR), 2.0, words);
        from += ms;
    }
    let (shortest, longest) = (axis.x(bar.range.0), axis.x(bar.range.1));
    let middle = y + BAR + 3.0;
    svg.line("lr-fault", (shortest, middle), (longest, middle));
    svg.text("lr-bar-word", (longest.max(axis.x(from)) + 8.0, y + 13.0), Anchor::Start, &bar.words);
}

/// A name that fits before the bars; a longer one keeps its end, in which names of runs differ.
fn fitting(name: &str) -> String {
    let mut shown = name.to_owned();
    let mut cut = name.chars();
    while plain_width(&shown, 14.0) > LEFT - 16.0 && cut.next().is_some() {
        shown = format!("…{}", cut.as_str());
    }
    shown
}
