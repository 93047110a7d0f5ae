//! A time axis: which moments are shown where, and where its ticks stand.

use super::svg::{Anchor, Svg, ms_f64};
use crate::lab::model::Lang;
use crate::report::format;

/// A stretch of a run laid out from left to right.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    /// The first moment shown, in ms.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// Where the first one lies.
    pub left: f64,
    /// Where the last one lies.
    pub right: f64,
}

impl Axis {
    /// An axis that shows at least one ms.
    pub fn new(from: u64, to: u64, left: f64, right: f64) -> Self {
        Axis { from, to: to.max(from + 1), left, right }
    }

    /// Where a moment lies; one outside lies at the nearer end.
    pub fn x(&self, at: u64) -> f64 {
        let share = ms_f64(at.clamp(self.from, self.to) - self.from) / ms_f64(self.to - self.from);
        self.left + share * (self.right - self.left)
    }

    /// Moments for ticks: whole multiples of a round step counted from `zero`, at most about ten of them.
    pub fn ticks(&self, zero: u64) -> Vec<i64> {
        const STEPS: [u64; 12] =
            [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000];
        let span = self.to - self.from;
        let step = STEPS.iter().copied().find(|step| span / step <= 10).unwrap_or(span.div_ceil(10));
        let (from, to, zero, step) = (signed(self.from), signed(self.to), signed(zero), signed(step));
        let first = (from - zero).div_euclid(step) * step;
        (0..)
            .map(|count| first + count * step)
            .skip_while(|tick| tick + zero < from)
            .take_while(|tick| tick + zero <= to)
            .collect()
    }

    /// Draws ticks and their lines between `top` and `bottom`, labelled in seconds counted from `zero`.
    pub fn draw(&self, svg: &mut Svg, (top, bottom): (f64, f64), zero: u64, lang: Lang) {
        for tick in self.ticks(zero) {
            let x = self.x(u64::try_from(signed(zero) + tick).unwrap_or(0));
            svg.line("lr-grid", (x, top), (x, bottom));
            let sign = if tick < 0 { "−" } else { "" };
            let text = format!("{sign}{}", format::moment(tick.unsigned_abs(), lang));
            svg.text("lr-tick", (x, bottom + 15.0), Anchor::Middle, &text);
        }
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(Axis::new(0, 10_000, 0.0, 1.0).ticks(0), (0..=10).map(|s| s * 1_000).collect::<Vec<_>>());
        assert_eq!(Axis::new(1_500, 5_500, 0.0, 1.0).ticks(2_500), [-1_000, -500, 0, 500, 1_000, 1_500, 2_000, 2_500, 3_000]);
        assert!(Axis::new(0, 86_400_000, 0.0, 1.0).ticks(0).len() <= 12);
    }

    #[test]
    fn moments_outside_lie_at_the_ends() {
        let axis = Axis::new(1_000, 2_000, 10.0, 20.0);
        assert!((axis.x(0) - 10.0).abs() < 1e-9);
        assert!((axis.x(1_500) - 15.0).abs() < 1e-9);
        assert!((axis.x(9_000) - 20.0).abs() < 1e-9);
    }
}
