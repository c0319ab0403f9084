//! What the campaign is told: its own few options, and those that every test binary is given.

/// The command line.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub(crate) struct Options {
    /// How many seeds.
    pub(crate) seeds: u64,
    /// The first one.
    pub(crate) from: u64,
    /// One alone, told at length.
    pub(crate) seed: Option<u64>,
    /// Whether all stories have the other parts, and not just some.
    pub(crate) parts: bool,
    /// Only say which tests there are.
    pub(crate) list: bool,
    filters: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    ignored: bool,
}

impl Options {
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            seeds: 300,
            from: 1,
            seed: None,
            parts: false,
            list: false,
            filters: Vec::new(),
            skip: Vec::new(),
            exact: false,
            ignored: false,
        };
        let mut arguments = arguments.flat_map(|argument| match argument.split_once('=') {
            Some((key, value)) if key.starts_with("--") => vec![key.to_owned(), value.to_owned()],
            _ => vec![argument],
        });
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let value = arguments.next().and_then(|value| value.parse().ok());
                value.unwrap_or_else(|| panic!("{argument} takes a number"))
            };
            match argument.as_str() {
                "--seeds" => options.seeds = number(),
                "--from" => options.from = number(),
                "--seed" => options.seed = Some(number()),
                "--parts" => options.parts = true,
                "--list" => options.list = true,
                "--exact" => options.exact = true,
                "--ignored" => options.ignored = true,
                "--skip" => options.skip.extend(arguments.next()),
                "--test-threads" | "--format" | "--color" | "--logfile" | "--shuffle-seed" | "-Z" => {
                    drop(arguments.next());
                }
                other if other.starts_with('-') => {}
                other => options.filters.push(other.to_owned()),
            }
        }
        options
    }

    /// Whether a test is to be run.
    pub(crate) fn wants(&self, test: &str) -> bool {
        let matches = |pattern: &String| if self.exact { test == pattern } else { test.contains(pattern.as_str()) };
        let chosen = self.filters.is_empty() || self.filters.iter().any(matches);
        chosen && !self.ignored && !self.skip.iter().any(matches)
    }
}
