//! What is told: a story that went wrong, and the numbers of all.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::oracle::{Promise, Standing, Violation};

/// What has happened in a story, in short lines.
pub(crate) struct Log {
    seed: u64,
    lines: Vec<String>,
}

impl Log {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, lines: Vec::new() }
    }

    pub(crate) fn add(&mut self, at: Duration, text: &str) {
        let (seconds, nth) = (at.as_secs(), self.lines.len() + 1);
        let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
        let text = without_ports(text);
        self.lines.push(format!("{nth:4}  {days}d {hours:02}:{minutes:02}:{:02}  {text}", seconds % 60));
    }

    /// The story and its end.
    pub(crate) fn told(&self, violation: Option<&Violation>) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        if let Some(Violation { promise, how }) = violation {
            let name = Promise::ALL.iter().find(|(one, _)| one == promise).map_or("", |(_, name)| name);
            writeln!(text, "seed {}: {name}: {how}", self.seed).unwrap();
            writeln!(text, "again: cargo test --test campaign -- --seed {}", self.seed).unwrap();
        }
        text
    }
}

/// A text without the ports of the story's servers, which are others each time.
fn without_ports(text: &str) -> String {
    let mut parts = text.split("127.0.0.1:");
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        all.push_str("127.0.0.1");
        all.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    all
}

/// The numbers of one story, or of many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) stories: u64,
    pub(crate) questions: u64,
    answers: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    events: BTreeMap<&'static str, u64>,
    pub(crate) violations: BTreeMap<Promise, u64>,
}

impl Tally {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.events.entry(what).or_default() += 1;
    }

    pub(crate) fn fault(&mut self, what: &'static str) {
        *self.faults.entry(what).or_default() += 1;
    }

    pub(crate) fn answer(&mut self, standing: Standing) {
        *self.answers.entry(standing.word()).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.stories += other.stories;
        self.questions += other.questions;
        for (sum, part) in
            [(&mut self.answers, &other.answers), (&mut self.faults, &other.faults), (&mut self.events, &other.events)]
        {
            for (what, count) in part {
                *sum.entry(what).or_default() += count;
            }
        }
        for (promise, count) in &other.violations {
            *self.violations.entry(*promise).or_default() += count;
        }
    }

    /// One compact table.
    pub(crate) fn table(&self) -> String {
        let row = |counts: &BTreeMap<&'static str, u64>| {
            counts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
        };
        let faults: u64 = self.faults.values().sum();
        let mut text = format!("{} seeds, {} questions, {faults} faults\n", self.stories, self.questions);
        writeln!(text, "  answers  {}", row(&self.answers)).unwrap();
        writeln!(text, "  faults   {}", row(&self.faults)).unwrap();
        writeln!(text, "  events   {}", row(&self.events)).unwrap();
        for (promise, name) in Promise::ALL {
            writeln!(text, "  {:7} {name}", self.violations.get(&promise).copied().unwrap_or_default()).unwrap();
        }
        text
    }
}
