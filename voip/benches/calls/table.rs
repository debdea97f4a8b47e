//! What was measured beside what was asked for.

use std::fmt::Display;

/// The lines as they are printed, and whether all gates were met.
#[derive(Default)]
pub(crate) struct Table {
    missed: u32,
}

impl Table {
    pub(crate) fn head(&self) {
        println!("| measure | gate | figure | | load |\n|---|---:|---:|---|---:|");
    }

    /// `figure` has to be at most `gate`.
    pub(crate) fn at_most(&mut self, measure: &str, gate: f64, figure: f64, unit: &str) {
        self.line(
            measure,
            format!("≤ {gate} {unit}"),
            format!("{figure:.2} {unit}"),
            figure <= gate,
        );
    }

    /// `figure` has to be at least `gate`.
    pub(crate) fn at_least(&mut self, measure: &str, gate: f64, figure: f64, unit: &str) {
        self.line(
            measure,
            format!("≥ {gate} {unit}"),
            format!("{figure:.2} {unit}"),
            figure >= gate,
        );
    }

    pub(crate) fn line(
        &mut self,
        measure: &str,
        gate: impl Display,
        figure: impl Display,
        ok: bool,
    ) {
        self.missed += u32::from(!ok);
        let verdict = if ok { "ok" } else { "MISSED" };
        println!("| {measure} | {gate} | {figure} | {verdict} | {} |", load());
    }

    pub(crate) fn all_met(&self) -> bool {
        self.missed == 0
    }
}

/// The load average of the last minute.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().unwrap_or("?").to_owned()
}

/// The value below which this share of them is; they need not be in order.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
