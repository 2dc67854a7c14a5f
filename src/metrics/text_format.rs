//! OpenMetrics as text format 0.0.4. Both have the same samples; they differ in what is said about them.
//!
//! OpenMetrics names the family of a counter without the `_total` of its samples, which a reader of the older format
//! takes for two metrics, one without samples and one without type and help. Units and the mark at the end are
//! comments in the older format.

/// Translates what `prometheus_client` writes. None of our metrics has exemplars, which the older format lacks.
pub fn from_open_metrics(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 512);
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // Under which name is said in the next line.
            help = rest.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "gauge" | "histogram" | "summary" => ("", kind),
                _ => ("", "untyped"),
            };
            if let Some(help) = help.take() {
                text.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            }
            text.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            text.extend([line, "\n"]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_named_as_their_samples_are_and_units_and_end_are_left_out() {
        let open_metrics = r##"# HELP errors Errors.
# TYPE errors counter
errors_total{why="# TYPE a counter"} 3
# HELP memory_bytes Memory.
# TYPE memory_bytes gauge
# UNIT memory_bytes bytes
memory_bytes 5
# HELP seconds Time.
# TYPE seconds histogram
seconds_sum 0.5
seconds_count 1
seconds_bucket{le="+Inf"} 1
# HELP build Build.
# TYPE build info
build_info{version="1"} 1
# TYPE other unknown
other 1
# EOF
"##;
        let text = r##"# HELP errors_total Errors.
# TYPE errors_total counter
errors_total{why="# TYPE a counter"} 3
# HELP memory_bytes Memory.
# TYPE memory_bytes gauge
memory_bytes 5
# HELP seconds Time.
# TYPE seconds histogram
seconds_sum 0.5
seconds_count 1
seconds_bucket{le="+Inf"} 1
# HELP build_info Build.
# TYPE build_info gauge
build_info{version="1"} 1
# TYPE other untyped
other 1
"##;
        assert_eq!(from_open_metrics(open_metrics), text);
    }
}
