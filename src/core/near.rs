//! The name that a typo most likely meant.

/// Letters that are compared: what is longer is no slip, and comparing takes time by the square of the length.
const MAX_COMPARED: usize = 64;

/// The nearest of `known`: at most two slips away, one for a short name. Case is ignored.
pub fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: String = wanted.to_lowercase().chars().take(MAX_COMPARED).collect();
    let most = (wanted.chars().count() / 3).clamp(1, 2);
    known
        .map(|name| (strsim::damerau_levenshtein(&wanted, &name.to_lowercase()), name))
        .filter(|(slips, name)| *slips <= most && *slips < name.len().min(wanted.len()))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["Route", "RateLimit", "Pod"];
        let near = |name| nearest(name, known.into_iter());
        assert_eq!(near("Ruote"), Some("Route"));
        assert_eq!(near("ratelimt"), Some("RateLimit"));
        assert_eq!(near("Pd"), Some("Pod"));
        assert_eq!(near("Gateway"), None);
        assert_eq!(near(&"x".repeat(100_000)), None);
    }
}
