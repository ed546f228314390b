//! Plots as inline SVG, without scripts.
//!
//! Colours are CSS classes (`s0` to `s11`), which the light and dark themes of [`page`](super::page) define. `s7` is
//! the strongest; `s2`, `s4`, `s6` and those from `s8` have distinct dashes, so that they differ even without colour.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::page::{escape, grouped};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 32.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;

/// The maximum number of marked points: more marks would cover the line.
const MARKS_LIMIT: usize = 120;
/// Points per tenfold step of a percentile spectrum.
const POINTS_PER_DECADE: u32 = 24;
/// Ticks of a percentile spectrum: position in nines, and text.
const PERCENTILES: [(f64, &str); 8] = [
    (0.0, "0%"),
    (0.301, "50%"),
    (1.0, "90%"),
    (2.0, "99%"),
    (3.0, "99.9%"),
    (4.0, "99.99%"),
    (5.0, "99.999%"),
    (6.0, "99.9999%"),
];

/// The scale of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Linear.
    Linear,
    /// Logarithmic; values are positive.
    Log,
}

/// An axis: its range and ticks.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Its scale.
    pub scale: Scale,
    /// The value at its beginning.
    pub low: f64,
    /// The value at its end.
    pub high: f64,
    /// Values and texts of its ticks.
    pub ticks: Vec<(f64, String)>,
    /// The title of the axis.
    pub title: String,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its text in the legend.
    pub name: String,
    /// The CSS class that colours it.
    pub class: &'static str,
    /// Coordinates on both axes.
    pub points: Vec<(f64, f64)>,
    /// Tooltips, one per point; may be empty.
    pub hints: Vec<String>,
}

impl Axis {
    /// A linear axis from zero to a round number at or above `highest`.
    pub fn from_zero(highest: f64, title: &str, show: impl Fn(f64) -> String) -> Axis {
        let step = round_step(highest.max(1e-9) / 4.0);
        let count = (highest / step).ceil().max(1.0);
        let ticks = (0..=count as u32).map(|n| f64::from(n) * step).map(|at| (at, show(at))).collect();
        Axis { scale: Scale::Linear, low: 0.0, high: count * step, ticks, title: title.to_owned() }
    }

    /// Ends the axis at this value, which may have no tick: for the end of a run.
    #[must_use]
    pub fn ended_at(mut self, high: f64) -> Axis {
        self.ticks.retain(|(at, _)| *at <= high);
        self.high = high;
        self
    }

    /// A logarithmic axis for all of `values`, which begins and ends at ticks.
    pub fn log(values: impl Iterator<Item = f64>, title: &str, show: impl Fn(f64) -> String) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| *value > 0.0) {
            low = low.min(value);
            high = high.max(value);
        }
        if high == 0.0 {
            (low, high) = (1.0, 10.0);
        }
        let all = candidates(low, high);
        let low = all.iter().copied().rfind(|tick| *tick <= low).unwrap_or(low);
        let high = all.iter().copied().find(|tick| *tick >= high && *tick > low).unwrap_or(high);
        let ticks = all.into_iter().filter(|at| (low..=high).contains(at)).map(|at| (at, show(at))).collect();
        Axis { scale: Scale::Log, low, high, ticks, title: title.to_owned() }
    }

    /// The position of `value`, from 0 to 1; clamped to the ends.
    fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// 1, 2 or 5 times a power of ten, at or above `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= least * 0.999);
    step.unwrap_or(10.0) * power
}

/// Ticks of a logarithmic axis: powers of ten, with 2 and 5 between them on short ranges.
fn candidates(low: f64, high: f64) -> Vec<f64> {
    let decades = (high / low).log10();
    let factors: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let first = low.log10().floor() as i32 - 1;
    let last = high.log10().ceil() as i32 + 1;
    (first..=last).flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power))).collect()
}

/// Appends text; writing to a String can't fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

/// The text of a count at an axis.
pub fn tick(at: f64) -> String {
    if at.fract() == 0.0 { grouped(at as u64) } else { at.to_string() }
}

/// Draws lines over common axes, with a legend. The first is above the others.
pub fn lines(title: &str, x: &Axis, y: &Axis, series: &[Series]) -> String {
    let mut out = String::new();
    put!(out, "<figure><figcaption>{}</figcaption><div class=\"legend\">", escape(title));
    for one in series {
        put!(
            out,
            "<span><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\"><line class=\"{}\" x1=\"0\" x2=\"26\" y1=\"5\" y2=\"5\"/></svg>{}</span>",
            one.class,
            escape(&one.name)
        );
    }
    let title = escape(title);
    put!(out, "</div><div class=\"plot\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\">");
    put!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">");
    grid(x, y, &mut out);
    for one in series.iter().rev() {
        line(one, x, y, &mut out);
    }
    out.push_str("</svg></div></figure>\n");
    out
}

/// A distribution to draw.
#[derive(Clone, Copy, Debug)]
pub struct Curve<'h> {
    /// Its text in the legend.
    pub name: &'h str,
    /// The CSS class that colours it.
    pub class: &'static str,
    /// Its values.
    pub histogram: &'h Histogram<u64>,
}

/// Draws distributions over the percentile, on a scale of nines: each nine has the same width. `values` is the title
/// of the value axis, `show` formats values.
pub fn spectrum(title: &str, values: &str, curves: &[Curve<'_>], show: impl Fn(f64) -> String) -> String {
    let most = curves.iter().map(|curve| curve.histogram.len()).max().unwrap_or(0).max(10);
    let nines = (most as f64).log10();
    let ticks = PERCENTILES.iter().filter(|(at, _)| *at <= nines);
    let x = Axis {
        scale: Scale::Linear,
        low: 0.0,
        high: nines,
        ticks: ticks.map(|(at, text)| (*at, (*text).to_owned())).collect(),
        title: "percentile".to_owned(),
    };
    let series: Vec<Series> = curves.iter().map(spectrum_of).collect();
    let heights = series.iter().flat_map(|one| one.points.iter().map(|(_, y)| *y));
    let y = Axis::log(heights, values, show);
    lines(title, &x, &y, &series)
}

fn spectrum_of(curve: &Curve<'_>) -> Series {
    let Curve { name, class, histogram } = *curve;
    let nines = (histogram.len().max(1) as f64).log10();
    let steps = (nines * f64::from(POINTS_PER_DECADE)).ceil() as u32;
    let at = |nine: f64| (nine, histogram.value_at_quantile(1.0 - 10f64.powf(-nine)) as f64);
    let mut points: Vec<(f64, f64)> =
        (0..steps).map(|step| at(f64::from(step) / f64::from(POINTS_PER_DECADE))).collect();
    points.push((nines, histogram.max() as f64));
    Series { name: name.to_owned(), class, points, hints: Vec::new() }
}

fn at_x(x: &Axis, value: f64) -> f64 {
    LEFT + x.place(value) * (WIDTH - LEFT - RIGHT)
}

fn at_y(y: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM)
}

fn grid(x: &Axis, y: &Axis, out: &mut String) {
    let (right, base) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (value, text) in &y.ticks {
        let at = at_y(y, *value);
        put!(out, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>");
        put!(
            out,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            escape(text)
        );
    }
    for (value, text) in &x.ticks {
        let at = at_x(x, *value);
        put!(out, "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{base}\"/>");
        put!(
            out,
            "<text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            base + 18.0,
            escape(text)
        );
    }
    put!(out, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{base}\" y2=\"{base}\"/>");
    let middle = f64::midpoint(LEFT, right);
    put!(
        out,
        "<text class=\"title\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        HEIGHT - 6.0,
        escape(&x.title)
    );
    let half = f64::midpoint(TOP, base);
    put!(
        out,
        "<text class=\"title\" x=\"18\" y=\"{half}\" text-anchor=\"middle\" transform=\"rotate(-90 18 {half})\">{}</text>",
        escape(&y.title)
    );
}

fn line(series: &Series, x: &Axis, y: &Axis, out: &mut String) {
    let places: Vec<(f64, f64)> = series.points.iter().map(|(px, py)| (at_x(x, *px), at_y(y, *py))).collect();
    put!(out, "<polyline class=\"{}\" points=\"", series.class);
    for (px, py) in &places {
        put!(out, "{px:.1},{py:.1} ");
    }
    out.push_str("\"/>");
    if let [(px, py)] = places[..] {
        // A line of one point would be invisible.
        put!(out, "<circle class=\"{} mark\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\"/>", series.class);
    }
    let marks = places.len() <= MARKS_LIMIT;
    for ((px, py), hint) in places.iter().zip(&series.hints) {
        let shown = if marks { "mark" } else { "mark bare" };
        put!(
            out,
            "<circle class=\"{} {shown}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\"><title>{}</title></circle>",
            series.class,
            escape(hint)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn axes_hold_every_value_and_their_ticks_are_finite(values in prop::collection::vec(1u32..4_000_000_000, 1..20)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let highest = values.iter().copied().fold(0.0, f64::max);
            let log = Axis::log(values.iter().copied(), "", |v| v.to_string());
            let linear = Axis::from_zero(highest, "", |v| v.to_string());
            for axis in [&log, &linear] {
                prop_assert!(axis.ticks.len() >= 2 && axis.ticks.len() <= 40, "{:?}", axis.ticks);
                for value in &values {
                    prop_assert!((axis.low * 0.999..=axis.high * 1.001).contains(value), "{value} in {axis:?}");
                    prop_assert!((0.0..=1.0).contains(&axis.place(*value)));
                }
            }
        }
    }

    #[test]
    fn nothing_to_draw_is_drawn_as_nothing() {
        let y = Axis::log(std::iter::empty(), "y", |v| v.to_string());
        let x = Axis::from_zero(0.0, "x", |v| v.to_string());
        let empty = Series { name: "<none>".into(), class: "s0", points: vec![], hints: vec![] };
        let drawn = lines("a & b", &x, &y, &[empty]);
        assert!(drawn.contains("a &amp; b") && drawn.contains("&lt;none&gt;"));
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}
