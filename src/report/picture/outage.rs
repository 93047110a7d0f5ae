//! The outage: for each path a strip of acknowledged writes with the gap in it, below it the phases of the gap as a
//! waterfall, and the wait that the settings allow.

use super::axis::Axis;
use super::svg::{Anchor, Svg, text_width, to_f64};
use crate::lab::model::Lang;

/// One path's outage.
#[derive(Debug, Clone)]
pub struct Path {
    /// The path's name for people.
    pub name: String,
    /// The acknowledged writes on both sides of the gap, in ms since the run's start.
    pub gap: (u64, u64),
    /// What stands in the gap.
    pub gap_text: String,
    /// The phases: a name for classes, words, from, to.
    pub phases: Vec<(String, String, u64, u64)>,
    /// The wait that the settings allow: words, from, to. None where they set no limit.
    pub budget: Option<(String, u64, u64)>,
}

const WIDTH: f64 = 860.0;
const LEFT: f64 = 126.0;
const STRIP: f64 = 24.0;
const ROW: f64 = 21.0;

/// Draws the paths of one fault. The axis counts from `zero`, the fault.
pub fn draw(title: &str, fault: Option<(u64, &str)>, paths: &[Path], zero: u64, lang: Lang) -> Svg {
    let from = paths.iter().map(|path| path.gap.0).chain(fault.map(|(at, _)| at)).min().unwrap_or(0);
    let ends = paths.iter().flat_map(|path| [Some(path.gap.1), path.budget.as_ref().map(|budget| budget.2)]);
    let to = ends.flatten().max().unwrap_or(from);
    let pad = ((to - from) / 12).max(200);
    let axis = Axis::new(from.saturating_sub(pad), to + pad, LEFT, WIDTH - 16.0);

    let top = if fault.is_some() { 30.0 } else { 10.0 };
    let rows: f64 = paths.iter().map(height).sum();
    let bottom = top + rows;
    let mut svg = Svg::new(WIDTH, bottom + 26.0, title);
    axis.draw(&mut svg, (top, bottom), zero, lang);
    let mut y = top + 6.0;
    for path in paths {
        draw_path(&mut svg, path, &axis, y);
        y += height(path);
    }
    if let Some((at, text)) = fault {
        let x = axis.x(at);
        svg.line("lr-fault", (x, 10.0), (x, bottom));
        svg.text("lr-fault-word", (x + 6.0, 20.0), Anchor::Start, text);
    }
    svg
}

fn height(path: &Path) -> f64 {
    STRIP + 8.0 + to_f64(path.phases.len() + usize::from(path.budget.is_some())) * ROW + 16.0
}

fn draw_path(svg: &mut Svg, path: &Path, axis: &Axis, y: f64) {
    svg.text("lr-name", (LEFT - 12.0, y + 17.0), Anchor::End, &path.name);
    let (gap_from, gap_to) = (axis.x(path.gap.0), axis.x(path.gap.1));
    svg.rect("lr-acked", (axis.left, y), (gap_from - axis.left, STRIP), 4.0);
    svg.rect("lr-acked", (gap_to, y), (axis.right - gap_to, STRIP), 4.0);
    let width = (gap_to - gap_from).max(2.0);
    svg.rect("lr-gap", (gap_from, y), (width, STRIP), 2.0);
    let text = text_width(&path.gap_text, 12.0) + 8.0;
    if text < width {
        svg.text("lr-gap-word", (gap_from + width / 2.0, y + 16.5), Anchor::Middle, &path.gap_text);
    } else if gap_to + text < axis.right {
        svg.text("lr-acked-word", (gap_to + 8.0, y + 16.5), Anchor::Start, &path.gap_text);
    } else {
        svg.text("lr-acked-word", (gap_from - 8.0, y + 16.5), Anchor::End, &path.gap_text);
    }
    let mut row = y + STRIP + 8.0;
    for (name, words, from, to) in &path.phases {
        bar(svg, &format!("lr-phase lr-phase-{name}"), words, (axis.x(*from), axis.x(*to)), axis, row);
        row += ROW;
    }
    if let Some((words, from, to)) = &path.budget {
        bar(svg, "lr-budget", words, (axis.x(*from), axis.x(*to)), axis, row);
    }
}

/// A bar with its words within it where they fit, else behind it, else before it.
fn bar(svg: &mut Svg, class: &str, words: &str, (from, to): (f64, f64), axis: &Axis, y: f64) {
    let width = (to - from).max(2.0);
    svg.rect(class, (from, y), (width, ROW - 6.0), 3.0);
    let text = text_width(words, 11.5) + 12.0;
    if from + width + text < axis.right {
        svg.text("lr-bar-word", (from + width + 7.0, y + 12.0), Anchor::Start, words);
    } else if from - text > axis.left {
        svg.text("lr-bar-word", (from - 7.0, y + 12.0), Anchor::End, words);
    } else {
        svg.text("lr-bar-word lr-bar-in", (from + 7.0, y + 12.0), Anchor::Start, words);
    }
}
