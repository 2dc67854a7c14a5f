//! The straight line through points, by least squares.

use serde::Serialize;

/// `y = at_zero + slope * x`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Line {
    /// Where it begins.
    pub at_zero: f64,
    /// How it rises.
    pub slope: f64,
}

impl Line {
    /// How far a point is off, as a part of what the line says.
    pub fn deviation(&self, x: f64, y: f64) -> f64 {
        let expected = self.at_zero + self.slope * x;
        (y - expected) / expected
    }
}

/// Fits it.
pub fn fit(points: impl Iterator<Item = (f64, f64)> + Clone) -> Line {
    let count = points.clone().count() as f64;
    let mean_x = points.clone().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.clone().map(|(_, y)| y).sum::<f64>() / count;
    let covariance: f64 = points.clone().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.map(|(x, _)| (x - mean_x).powi(2)).sum();
    let slope = covariance / variance;
    Line { at_zero: mean_y - slope * mean_x, slope }
}
