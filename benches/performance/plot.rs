//! Plots as SVG, written where `--plots` says.

use std::{fmt::Write as _, fs};

use crate::Options;

const WIDTH: f64 = 720.0;
const LABEL: f64 = 180.0;
const LINE: f64 = 26.0;
const TOP: f64 = 44.0;
/// What is left for the bars, beside the labels and the numbers.
const ROOM: f64 = WIDTH - LABEL - 90.0;

/// Ours first.
const COLOURS: [&str; 2] = ["#2da44e", "#8c959f"];

/// Bars by their values; the first is ours.
pub(crate) fn bars(options: &Options, name: &str, title: &str, bars: &[(String, f64)]) {
    let most = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let rows = bars.iter().enumerate().map(|(nth, (label, value))| Bar {
        label,
        length: value / most,
        text: format!("{value:.0}"),
        colour: COLOURS[nth.min(1)],
    });
    write(options, name, title, rows.collect());
}

/// Pairs of bars by the logarithms of their values.
pub(crate) fn pairs(options: &Options, name: &str, title: &str, names: (&str, &str), pairs: &[(String, f64, f64)]) {
    let all = || pairs.iter().flat_map(|(_, one, other)| [*one, *other]);
    let (least, most) = (all().fold(f64::MAX, f64::min), all().fold(f64::MIN_POSITIVE, f64::max));
    let length = |value: f64| 0.02 + 0.98 * (value / least).ln() / (most / least).ln().max(f64::MIN_POSITIVE);
    let labels: Vec<(String, f64, usize)> = pairs
        .iter()
        .flat_map(|(label, one, other)| {
            [(format!("{label}: {}", names.0), *one, 0), (format!("{label}: {}", names.1), *other, 1)]
        })
        .collect();
    let rows = labels.iter().map(|(label, value, nth)| Bar {
        label,
        length: length(*value),
        text: format!("{value:.2}"),
        colour: COLOURS[*nth],
    });
    write(options, name, title, rows.collect());
}

struct Bar<'a> {
    label: &'a str,
    /// Between 0 and 1.
    length: f64,
    text: String,
    colour: &'static str,
}

fn write(options: &Options, name: &str, title: &str, bars: Vec<Bar<'_>>) {
    let Some(folder) = &options.plots else { return };
    let mut rows = String::new();
    let mut y = TOP;
    for Bar { label, length, text, colour } in bars {
        let (width, middle) = (length * ROOM, y + LINE / 2.0 + 1.0);
        writeln!(
            rows,
            "<text x=\"{:.0}\" y=\"{middle:.0}\" text-anchor=\"end\">{label}</text>\
             <rect x=\"{LABEL}\" y=\"{:.0}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/>\
             <text x=\"{:.0}\" y=\"{middle:.0}\">{text}</text>",
            LABEL - 8.0,
            y,
            LABEL + width + 6.0,
        )
        .unwrap();
        y += LINE;
    }
    let height = y + 10.0;
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\">{title}</text>\n{rows}</svg>\n"
    );
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(format!("{name}.svg")), svg).unwrap();
}
