//! Which ApplicationSets may ask.

use wildmatch::WildMatch;

/// Names of ApplicationSets, with `*` and `?`.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplicationSets(Vec<WildMatch>);

impl ApplicationSets {
    /// Those whose name fits one of these.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        Self(patterns.into_iter().map(WildMatch::new).collect())
    }

    /// Whether that one may ask.
    pub fn allow(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_fit_one_pattern_whole() {
        let sets = ApplicationSets::new(["fb-*", "main"]);
        for (name, allowed) in
            [("fb-matrix", true), ("fb-", true), ("main", true), ("mains", false), ("", false), ("xfb-a", false)]
        {
            assert_eq!(sets.allow(name), allowed, "{name}");
        }
        assert!(ApplicationSets::new(["*"]).allow(""));
        assert!(!ApplicationSets::new([]).allow("any"));
    }
}
