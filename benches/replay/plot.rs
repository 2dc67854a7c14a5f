//! The plots: SVG files.

use std::fs;
use std::path::Path;

use plotters::prelude::*;

use super::churn::Churn;
use super::load::Load;
use super::throughput::Throughput;

const SIZE: (u32, u32) = (720, 420);

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws all of them into a folder.
pub fn all(folder: &Path, throughput: &[Throughput], churn: &Churn, load: &Load) {
    fs::create_dir_all(folder).expect("the folder of the plots can be made");
    memory(&folder.join("memory.svg"), load).expect("memory.svg can be drawn");
    latency(&folder.join("latency.svg"), churn).expect("latency.svg can be drawn");
    events(&folder.join("events.svg"), throughput).expect("events.svg can be drawn");
}

fn memory(path: &Path, load: &Load) -> Drawn {
    let most = f64::from(load.full().objects);
    let highest = load.full().resident as f64 / 1e6;
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart =
        chart(&area, "Resident memory by objects").build_cartesian_2d(0.0..most, 0.0..highest * 1.1)?;
    let thousands = |x: &f64| format!("{:.0}k", x / 1e3);
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("Pods").y_desc("MB").x_label_formatter(&thousands).y_label_formatter(&whole);
    mesh.max_light_lines(0).draw()?;
    let line = |x: f64| (x, (load.line.at_zero + load.line.slope * x) / 1e6);
    chart.draw_series(LineSeries::new([line(0.0), line(most)], &BLUE))?.label("least squares");
    let steps = load.steps.iter().map(|step| (f64::from(step.objects), step.resident as f64 / 1e6));
    chart.draw_series(steps.map(|step| Circle::new(step, 4, BLACK.filled())))?;
    Ok(area.present()?)
}

fn latency(path: &Path, churn: &Churn) -> Drawn {
    let least = churn.latencies_ms.first().copied().unwrap_or_default().max(0.01);
    let most = churn.latencies_ms.last().copied().unwrap_or_default().max(least * 10.0);
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let title = format!("From event to finding, at {} events a second", churn.rate);
    let mut chart = chart(&area, &title).build_cartesian_2d((least..most).log_scale(), 0.0..100.0)?;
    chart
        .configure_mesh()
        .x_desc("milliseconds")
        .y_desc("% of findings told by then")
        .max_light_lines(0)
        .draw()?;
    let count = churn.latencies_ms.len() as f64;
    let told = churn.latencies_ms.iter().zip(1..).map(|(ms, n)| (*ms, f64::from(n) / count * 100.0));
    chart.draw_series(LineSeries::new(told, &BLUE))?;
    Ok(area.present()?)
}

fn events(path: &Path, throughput: &[Throughput]) -> Drawn {
    let read = throughput.iter().map(|row| (f64::from(row.policies * row.rules), row.read.per_core()));
    let unread = throughput.iter().map(|row| (f64::from(row.policies * row.rules), row.unread.per_core()));
    let most = read.clone().chain(unread.clone()).map(|(_, events)| events).fold(0.0, f64::max);
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = chart(&area, "Events a CPU second by rules")
        .build_cartesian_2d((1.0..1000.0).log_scale(), 0.0..most * 1.1)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("rules on Pods").y_desc("events a CPU second");
    mesh.x_label_formatter(&whole).y_label_formatter(&whole).max_light_lines(0).draw()?;
    for (series, name, color) in [
        (read.collect::<Vec<_>>(), "rules read what changes", BLUE),
        (unread.collect(), "no rule reads it", RED),
    ] {
        chart
            .draw_series(LineSeries::new(series, color).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    Ok(area.present()?)
}

fn whole(number: &f64) -> String {
    format!("{number:.0}")
}

fn chart<'a, 'b>(
    area: &'a DrawingArea<SVGBackend<'b>, plotters::coord::Shift>,
    title: &str,
) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut chart = ChartBuilder::on(area);
    chart.caption(title, ("sans-serif", 18)).margin(24).x_label_area_size(40).y_label_area_size(64);
    chart
}
