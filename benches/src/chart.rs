//! The timed workloads as a picture: one bar a workload, as long as we are
//! faster than libtalloc, on a logarithmic axis; a tick where bare malloc is.

use crate::results::{Results, THEIRS, Timed};
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

const ROW: u32 = 16;
const WIDTH: u32 = 900;
const LABELS: u32 = 240;
const TOP: u32 = 64;

const FASTER: RGBColor = RGBColor(0x2f, 0x6f, 0xa8);
const SLOWER: RGBColor = RGBColor(0xc2, 0x4d, 0x3a);
const MALLOC: RGBColor = RGBColor(0xe0, 0x9c, 0x2a);
const INK: RGBColor = RGBColor(0x30, 0x30, 0x30);
const PALE: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// Bars end at 32 times faster or slower; the number behind them tells the rest.
const LIMIT: f64 = 5.0;

/// Where things go, from ratios and row numbers to pixels.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    fn over(ratios: &[f64]) -> Axis {
        let least = ratios.iter().copied().fold(0.5, f64::min);
        let most = ratios.iter().copied().fold(4.0, f64::max);
        Axis { from: least.log2().floor().max(-LIMIT), to: most.log2().ceil().min(LIMIT) }
    }

    fn x(&self, ratio: f64) -> i32 {
        let share = (ratio.log2().clamp(self.from, self.to) - self.from) / (self.to - self.from);
        (f64::from(LABELS) + share * f64::from(WIDTH - LABELS - 60)) as i32
    }

    fn y(row: usize) -> i32 {
        (TOP + row as u32 * ROW) as i32
    }
}

/// Writes the chart of `results` to `file`.
///
/// # Errors
/// When there is nothing to show or the file cannot be written.
pub fn write(results: &Results, file: &Path) -> Result<()> {
    let rows: Vec<_> = results.timed.iter().filter_map(|t| Some((t, t.ratio(THEIRS)?))).collect();
    if rows.is_empty() {
        return Err(anyhow!("nothing was timed on both libraries: no chart"));
    }
    let malloc = |t: &Timed| Some(t.column(THEIRS)?.ns.median / t.column("malloc")?.ns.median);
    let ratios: Vec<f64> = rows.iter().flat_map(|(t, r)| [Some(*r), malloc(t)]).flatten().collect();
    let axis = Axis::over(&ratios);
    let height = TOP + ROW * (rows.len() as u32 + 1);
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;

    let text = |size: i32, color: &RGBColor, h: HPos| {
        ("sans-serif", size).into_font().color(color).pos(Pos::new(h, VPos::Center))
    };
    let mean = |wanted: fn(&Timed) -> bool| results.mean_ratio(THEIRS, wanted).unwrap_or(1.0);
    let title = format!(
        "How many times faster than libtalloc: {:.2} on average, {:.2} where libtalloc does not walk",
        mean(|_| true),
        mean(|t| !t.is_a_walk()),
    );
    area.draw(&Text::new(title, (12, 18), text(16, &INK, HPos::Left)))?;
    let bottom = Axis::y(rows.len());
    for power in axis.from as i32..=axis.to as i32 {
        let x = axis.x(2f64.powi(power));
        let color = if power == 0 { &INK } else { &PALE };
        area.draw(&PathElement::new(vec![(x, TOP as i32 - 6), (x, bottom)], color))?;
        let label = if power < 0 { format!("1/{}", 1 << -power) } else { format!("{}", 1u64 << power) };
        area.draw(&Text::new(label, (x, TOP as i32 - 14), text(11, &INK, HPos::Center)))?;
    }
    let tick = [(LABELS as i32, 34), (LABELS as i32 + 3, 46)];
    area.draw(&Rectangle::new(tick, MALLOC.filled()))?;
    let legend = "bare malloc/free doing the same work";
    area.draw(&Text::new(legend, (LABELS as i32 + 8, 40), text(11, &INK, HPos::Left)))?;

    for (row, (workload, ratio)) in rows.iter().enumerate() {
        let (y, x) = (Axis::y(row), axis.x(*ratio));
        let middle = y + ROW as i32 / 2;
        let color = if *ratio >= 1.0 { FASTER } else { SLOWER };
        let (left, right) = (x.min(axis.x(1.0)), x.max(axis.x(1.0)));
        area.draw(&Rectangle::new([(left, y + 3), (right, y + ROW as i32 - 3)], color.filled()))?;
        let mut end = right;
        if let Some(malloc) = malloc(workload) {
            let x = axis.x(malloc);
            end = end.max(x);
            area.draw(&Rectangle::new([(x - 1, y + 1), (x + 2, y + ROW as i32 - 1)], MALLOC.filled()))?;
        }
        let name = workload.name.clone();
        area.draw(&Text::new(name, (LABELS as i32 - 10, middle), text(11, &INK, HPos::Right)))?;
        let value = (end + 6, middle);
        area.draw(&Text::new(format!("{ratio:.2}"), value, text(10, &INK, HPos::Left)))?;
    }
    area.present()?;
    Ok(())
}
