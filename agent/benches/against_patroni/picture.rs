//! The results as a picture: one pair of bars a figure of seconds, on a logarithmic scale.

use std::fmt::Write;

use crate::figures::{Figures, Subject, Value};
use crate::table::{ROWS, number};

const WIDTH: f64 = 900.0;
/// Where the bars begin, and how far they reach.
const LEFT: f64 = 380.0;
const REACH: f64 = 430.0;
/// The scale's ends, in seconds.
const FROM: f64 = 0.01;
const TO: f64 = 100.0;
const BAR: f64 = 11.0;
const PAIR: f64 = 34.0;
const TOP: f64 = 64.0;

/// An SVG that fits light and dark pages.
pub fn svg(figures: &Figures) -> String {
    let rows: Vec<_> = ROWS.iter().filter(|row| row.unit == "s" && figures.values.contains_key(row.figure)).collect();
    let bottom = TOP + rows.len() as f64 * PAIR;
    let height = bottom + 44.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Seconds without acknowledged writes, labrun-agent and Patroni\">\n{STYLE}\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"head\" x=\"16\" y=\"26\">Seconds, the middle of all rounds (whiskers: smallest and largest; \
         logarithmic)</text>\n\
         <rect class=\"labrun\" x=\"16\" y=\"38\" width=\"12\" height=\"12\"/><text x=\"33\" y=\"48\">labrun-agent</text>\n\
         <rect class=\"patroni\" x=\"140\" y=\"38\" width=\"12\" height=\"12\"/><text x=\"157\" y=\"48\">Patroni</text>\n"
    );
    for tick in [0.01, 0.1, 1.0, 10.0, 100.0] {
        let x = place(tick);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{tick}</text>",
            bottom + 16.0
        );
    }
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + index as f64 * PAIR + 5.0;
        let _ = writeln!(out, "<text class=\"name\" x=\"{}\" y=\"{:.1}\">{}</text>", LEFT - 10.0, y + 15.0, row.title);
        for (offset, subject, class) in [(0.0, Subject::Labrun, "labrun"), (BAR + 1.0, Subject::Patroni, "patroni")] {
            if let Some(spread) = figures.spread(row.figure, subject) {
                bar(&mut out, y + offset, class, spread, &lost(figures, row.figure, subject));
            }
        }
    }
    out + "</svg>\n"
}

/// What a short outage has cost.
fn lost(figures: &Figures, figure: &str, subject: Subject) -> String {
    let fault = figure.rsplit_once('-').map_or(figure, |(fault, _)| fault);
    let values = figures.values.get(&format!("{fault}-lost")).and_then(|by_subject| by_subject.get(&subject));
    match values.map_or(0.0, |values| values.iter().map(|value| value.value).sum()) {
        0.0 => String::new(),
        lost => format!(", {lost:.0} writes lost"),
    }
}

fn bar(out: &mut String, y: f64, class: &str, [least, middle, most]: [Value; 3], note: &str) {
    let end = place(middle.value);
    let centre = y + BAR / 2.0;
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\"/>\
         <line class=\"whisker\" x1=\"{:.1}\" y1=\"{centre:.1}\" x2=\"{:.1}\" y2=\"{centre:.1}\"/>\
         <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}{note}</text>",
        (end - LEFT).max(1.0),
        place(least.value),
        place(most.value),
        place(most.value) + 6.0,
        y + BAR - 1.5,
        number(middle)
    );
}

/// Where `seconds` lies on the scale.
fn place(seconds: f64) -> f64 {
    let share = (seconds.clamp(FROM, TO) / FROM).log10() / (TO / FROM).log10();
    LEFT + share * REACH
}

const STYLE: &str = "<style>\
text{font:12px system-ui,sans-serif;fill:#1f2328}.head{font-size:13px;font-weight:600}.name{text-anchor:end}\
.tick{text-anchor:middle;fill:#57606a}.value{font-size:10px}.grid{stroke:#d0d7de;stroke-width:1}\
.whisker{stroke:#1f2328;stroke-width:1.5}.page{fill:#ffffff}.labrun{fill:#1a7f5a}.patroni{fill:#b0a27c}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.tick{fill:#9198a1}.grid{stroke:#30363d}.whisker{stroke:#e6edf3}\
.page{fill:#0d1117}.labrun{fill:#3fb68b}.patroni{fill:#8a7f5f}}</style>";
