//! Drawings of measured figures, made without a library.

use std::fmt::Write;

/// One drawing among several that share their horizontal axis.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) lines: Vec<Line>,
    /// From where to where the ground is coloured.
    pub(crate) shaded: Vec<(f64, f64)>,
}

pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) colour: &'static str,
    /// Across and up.
    pub(crate) points: Vec<(f64, f64)>,
}

pub(crate) const BLUE: &str = "#1f5fa8";
pub(crate) const ORANGE: &str = "#c2571a";

const WIDTH: f64 = 900.0;
const LEFT: f64 = 70.0;
const HEIGHT: f64 = 120.0;
const STEP: f64 = 170.0;

/// `from`, `to`: the horizontal axis. `marks`: what is written below it, and where.
pub(crate) fn svg(panels: &[Panel], (from, to): (f64, f64), marks: &[(f64, String)]) -> String {
    let height = STEP * panels.len() as f64 + 30.0;
    let total = WIDTH + LEFT + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {total} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"{total}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let x = |at: f64| LEFT + (at - from) / (to - from) * WIDTH;
    for (index, panel) in panels.iter().enumerate() {
        draw(&mut svg, panel, 30.0 + STEP * index as f64, marks, x);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, panel: &Panel, top: f64, marks: &[(f64, String)], x: impl Fn(f64) -> f64) {
    let title = panel.title;
    let values = panel.lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let most = round_up(values.fold(0.0, f64::max));
    let y = |value: f64| top + HEIGHT - value / most * HEIGHT;
    for (from, to) in &panel.shaded {
        let (from, to) = (x(*from), x(*to));
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{HEIGHT}\" fill=\"#eef2e6\"/>",
            to - from
        );
    }
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top - 8.0);
    for part in [0.0, 0.5, 1.0] {
        let (value, at) = (most * part, y(most * part));
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}h{WIDTH}\" stroke=\"#bbb\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    for (at, text) in marks {
        let (at, under) = (x(*at), top + HEIGHT + 16.0);
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{under}\" text-anchor=\"middle\">{text}</text>");
    }
    for (index, Line { name, colour, points }) in panel.lines.iter().enumerate() {
        let points: Vec<String> =
            points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/><text x=\"{}\" y=\"{}\" \
             text-anchor=\"end\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            LEFT + WIDTH - 70.0 * index as f64,
            top - 8.0
        );
    }
}

/// 1, 2 or 5 times a power of ten: an axis that can be read.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 3.0, 5.0, 8.0, 10.0];
    let fitting = steps.iter().map(|step| step * power).find(|step| *step >= value);
    fitting.unwrap_or(value.max(1.0))
}
