//! Role lanes: one lane a node, coloured by the node's role over time, with the faults marked.

use super::axis::Axis;
use super::svg::{Anchor, Svg, text_width, to_f64};
use crate::lab::model::Lang;

/// A stretch of time in which a node had one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// When it began, in ms since the run's start.
    pub from: u64,
    /// When it ended.
    pub to: u64,
    /// The role's word for classes (`leader`).
    pub role: String,
    /// The role's word for people.
    pub word: String,
    /// The timeline, where known.
    pub timeline: Option<u64>,
}

/// A node's lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The node.
    pub node: String,
    /// Its roles, in order.
    pub segments: Vec<Segment>,
}

/// A moment with a name: a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When, in ms since the run's start.
    pub at: u64,
    /// What happened.
    pub text: String,
}

const WIDTH: f64 = 860.0;
const LEFT: f64 = 126.0;
const LANE: f64 = 40.0;
const MARK_ROW: f64 = 20.0;

/// Draws lanes for the stretch of time from `span.0` to `span.1`. The axis counts from `zero`.
pub fn draw(title: &str, lanes: &[Lane], marks: &[Mark], span: (u64, u64), zero: u64, lang: Lang) -> Svg {
    let axis = Axis::new(span.0, span.1, LEFT, WIDTH - 16.0);
    let marks: Vec<&Mark> = marks.iter().filter(|mark| (span.0..=span.1).contains(&mark.at)).collect();
    let placed = place(&marks, &axis);
    let rows = placed.iter().map(|(row, _)| row + 1).max().unwrap_or(0);
    let top = 8.0 + to_f64(rows) * MARK_ROW;
    let bottom = top + to_f64(lanes.len()) * LANE + 2.0;

    let mut svg = Svg::new(WIDTH, bottom + 26.0, title);
    axis.draw(&mut svg, (top, bottom), zero, lang);
    for (row, lane) in lanes.iter().enumerate() {
        let y = top + to_f64(row) * LANE;
        svg.text("lr-name", (LEFT - 12.0, y + 24.0), Anchor::End, &lane.node);
        for segment in lane.segments.iter().filter(|segment| segment.to > span.0 && segment.from < span.1) {
            draw_segment(&mut svg, segment, &axis, y);
        }
    }
    for (mark, (row, start)) in marks.iter().zip(&placed) {
        let x = axis.x(mark.at);
        let y = 8.0 + to_f64(*row) * MARK_ROW + 12.0;
        svg.line("lr-fault", (x, y - 10.0), (x, bottom));
        let (anchor, shift) = if *start { (Anchor::Start, 6.0) } else { (Anchor::End, -6.0) };
        svg.text("lr-fault-word", (x + shift, y), anchor, &mark.text);
    }
    svg
}

fn draw_segment(svg: &mut Svg, segment: &Segment, axis: &Axis, y: f64) {
    let (from, to) = (axis.x(segment.from), axis.x(segment.to));
    let width = (to - from - 1.0).max(2.0);
    let timeline = segment.timeline.map(|timeline| format!("TL{timeline}"));
    let tip = match &timeline {
        Some(timeline) => format!("{} · {timeline}", segment.word),
        None => segment.word.clone(),
    };
    let class = format!("lr-fill-{}", segment.role);
    svg.rect_with_tip(&class, (from, y + 5.0), (width, LANE - 12.0), 4.0, &tip);
    let both = format!("{} · {}", segment.word, timeline.unwrap_or_default());
    let fits = |text: &str| text_width(text, 11.5) + 8.0 < width;
    let text = [both.as_str(), &segment.word].into_iter().find(|text| fits(text) && !text.ends_with("· "));
    if let Some(text) = text {
        svg.text(&format!("lr-on-{}", segment.role), (from + width / 2.0, y + 23.0), Anchor::Middle, text);
    }
}

/// Rows for the marks' words so that none lies over another; and whether the words begin at the mark or end there.
fn place(marks: &[&Mark], axis: &Axis) -> Vec<(usize, bool)> {
    let mut taken: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut placed = Vec::new();
    for mark in marks {
        let (x, width) = (axis.x(mark.at), text_width(&mark.text, 11.5) + 14.0);
        let start = x + width < axis.right + 8.0;
        let (from, to) = if start { (x, x + width) } else { (x - width, x) };
        let free = |row: &Vec<(f64, f64)>| row.iter().all(|(a, b)| to < *a || from > *b);
        let row = taken.iter().position(free).unwrap_or(taken.len());
        if row == taken.len() {
            taken.push(Vec::new());
        }
        taken[row].push((from, to));
        placed.push((row, start));
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(at: u64, text: &str) -> Mark {
        Mark { at, text: text.to_owned() }
    }

    #[test]
    fn words_of_marks_never_lie_over_one_another() {
        let axis = Axis::new(0, 10_000, 100.0, 844.0);
        let marks = [mark(1_000, "stop pg-master"), mark(1_100, "start pg-master"), mark(9_900, "stop pg-slave")];
        let placed = place(&marks.iter().collect::<Vec<_>>(), &axis);
        assert_eq!(placed, [(0, true), (1, true), (0, false)]);
    }

    #[test]
    fn a_lane_shows_what_lies_in_the_span() {
        let segment = |from, to, role: &str| Segment { from, to, role: role.to_owned(), word: role.to_owned(), timeline: Some(1) };
        let lane = Lane {
            node: "pg".to_owned(),
            segments: vec![segment(0, 1_000, "replica"), segment(1_000, 4_000, "leader"), segment(4_000, 9_000, "down")],
        };
        let svg = draw("t", &[lane], &[mark(2_000, "stop"), mark(8_000, "later")], (1_500, 3_500), 2_000, Lang::En).inline();
        assert!(svg.contains("lr-fill-leader") && !svg.contains("lr-fill-replica") && !svg.contains("lr-fill-down"));
        assert!(svg.contains(">stop<") && !svg.contains(">later<"));
    }
}
