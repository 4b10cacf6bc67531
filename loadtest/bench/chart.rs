//! The ratios as one picture: each figure's bar against its goal.

use std::fmt::Write;

use super::report::{Figure, Reach};

const ROW: usize = 26;
const LEFT: f64 = 350.0;
const WIDTH: f64 = 310.0;

/// 1.0 of the axis is the goal: what is better than asked for reaches beyond it, whichever way the figure counts.
fn part(figure: &Figure, ratio: f64) -> Option<f64> {
    match figure.reach {
        Reach::AtLeast(goal) => Some(ratio / goal),
        Reach::AtMost(goal) => Some(goal / ratio),
        Reach::Report => None,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

pub fn ratios(figures: &[&Figure]) -> String {
    let rows: Vec<(&Figure, f64)> = figures
        .iter()
        .filter_map(|figure| Some((*figure, part(figure, figure.ratio()?)?)))
        .collect();
    let height = rows.len() * ROW + 52;
    let scale = |part: f64| (part / 2.0).clamp(0.0, 1.0) * WIDTH;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 780 {height}\" width=\"780\" height=\"{height}\" role=\"img\" \
         aria-label=\"Each measured ratio against its goal\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <style>text {{ fill: #24292f }} .good {{ fill: #2f7d55 }} .bad {{ fill: #b4442f }} .goal {{ stroke: #24292f }} \
         .spread {{ stroke: #24292f; stroke-opacity: .45 }} .quiet {{ opacity: .65 }} \
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .goal {{ stroke: #e6edf3 }} .spread {{ stroke: #e6edf3 }} \
         .good {{ fill: #4ba77a }} .bad {{ fill: #dd6a52 }} }}</style>\n"
    );
    let goal = LEFT + scale(1.0);
    for (index, (figure, median)) in rows.iter().enumerate() {
        let y = index * ROW + 30;
        let class = if *median >= 1.0 { "good" } else { "bad" };
        let ratio = figure.ratio().unwrap_or(f64::NAN);
        let asked = match figure.reach {
            Reach::AtLeast(goal) => format!("≥ {goal}"),
            Reach::AtMost(goal) => format!("≤ {goal}"),
            Reach::Report => String::new(),
        };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"16\" rx=\"2\"/>\
             <text x=\"{}\" y=\"{}\">{ratio:.2} <tspan class=\"quiet\">{asked}</tspan></text>",
            LEFT - 8.0,
            y + 12,
            escaped(&figure.what),
            scale(*median),
            LEFT + WIDTH + 10.0,
            y + 12,
        );
        let ends = figure
            .ratios
            .iter()
            .filter_map(|ratio| part(figure, *ratio))
            .map(scale);
        let low = ends.clone().fold(f64::INFINITY, f64::min);
        let high = ends.fold(f64::NEG_INFINITY, f64::max);
        let _ = writeln!(
            svg,
            "<line class=\"spread\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{2}\" y2=\"{2}\" stroke-width=\"3\"/>",
            LEFT + low,
            LEFT + high,
            y + 8
        );
    }
    let _ = writeln!(
        svg,
        "<line class=\"goal\" x1=\"{goal}\" x2=\"{goal}\" y1=\"24\" y2=\"{}\" stroke-dasharray=\"3 3\"/>\
         <text x=\"{goal}\" y=\"16\" text-anchor=\"middle\">goal</text>\
         <text x=\"{LEFT}\" y=\"{}\" class=\"quiet\">bar: the median of the pairs; line: the lowest and the highest</text>\n</svg>",
        height - 20,
        height - 6
    );
    svg
}
