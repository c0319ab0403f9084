//! What some stories have beside a build: rows of a database, another plugin, and a generator of all three parts.
//!
//! ```text
//! rows     the database's file            service   the other plugin, over loopback HTTP
//! sources  what both hold, and whether they can say it, in the oracle's own words
//! ```

mod rows;
mod service;
mod sources;

use std::{collections::BTreeMap, fmt::Write as _, path::Path, time::Duration};

use fastrand::Rng;
use serde_json::{Value, json};

pub(crate) use self::{
    rows::{Away, RowsFile},
    service::{Service, Wrong},
    sources::{Condition, Row, Rows, Said, Sources, Tenant},
};
use crate::{mutations::Mutation, rules::Rules};

/// More rows than that are an error.
pub(crate) const MAX_ROWS: usize = 40;

/// Whose members are asked for, and whose tier.
pub(crate) const TEAMS: [&str; 2] = ["a", "b"];

pub(crate) const STATUSES: [&str; 3] = ["active", "trial", "none"];

pub(crate) const REGIONS: [&str; 2] = ["eu", "us"];

/// Keeps the dice of the parts apart from all others: what else happens in a story does not hang on them.
const OWN_DICE: u64 = 0x7061_7274_735f_6f77;

/// The three generators with such parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Generator {
    /// Rows alone, by status.
    Tenants,
    /// Another plugin alone, by team.
    Members,
    /// A build, rows by region, and another plugin by team.
    Whole,
}

/// A part of a generator beside `build`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Tenants,
    Members,
    TenantsOfRegion,
    Tiers,
}

/// Which items of a product are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnlyIf {
    Any,
    Is(&'static str, &'static str),
    IsNot(&'static str, &'static str),
}

/// When an answer that shrinks is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guard {
    /// In percent.
    pub(crate) max_drop: usize,
    pub(crate) min_items: usize,
    pub(crate) window: Duration,
}

/// What is promised of the parts in one story.
#[derive(Clone, Debug)]
pub(crate) struct PartRules {
    pub(crate) guard: Option<Guard>,
    /// Of the rows, and of the other plugin, beside the build.
    pub(crate) only_if: [OnlyIf; 2],
}

/// A question to one of the generators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) generator: Generator,
    /// What makes a difference to its parts.
    pub(crate) inputs: BTreeMap<&'static str, &'static str>,
    /// The pull request, where there is a build.
    pub(crate) number: Option<u64>,
}

/// The dice for the parts of a story, if it has any: every fourth, or each if that is said.
pub(crate) fn dice(seed: u64, mutation: Option<Mutation>, each: bool) -> Option<Rng> {
    let mut rng = Rng::with_seed(seed ^ OWN_DICE);
    let drawn = rng.u8(..4) == 0;
    mutation.map_or(drawn || each, Mutation::is_of_parts).then_some(rng)
}

impl Generator {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tenants => "tenants",
            Self::Members => "members",
            Self::Whole => "whole",
        }
    }

    /// Its parts beside `build`, in order.
    pub(crate) fn parts(self) -> &'static [Part] {
        match self {
            Self::Tenants => &[Part::Tenants],
            Self::Members => &[Part::Members],
            Self::Whole => &[Part::TenantsOfRegion, Part::Tiers],
        }
    }
}

impl OnlyIf {
    pub(crate) fn wants(self, row: &Row) -> bool {
        match self {
            Self::Any => true,
            Self::Is(key, value) => row.get(key).is_some_and(|is| is == value),
            Self::IsNot(key, value) => row.get(key).is_none_or(|is| is != value),
        }
    }

    fn config(self) -> String {
        match self {
            Self::Any => String::new(),
            Self::Is(key, value) => format!("onlyIf: {{ matchLabels: {{ {key}: {value} }} }}"),
            Self::IsNot(key, value) => {
                format!("onlyIf: {{ matchExpressions: [{{ key: {key}, operator: NotIn, values: [{value}] }}] }}")
            }
        }
    }
}

impl PartRules {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let guard = Guard {
            max_drop: [0, 20, 20, 50][rng.usize(..4)],
            min_items: [2, 5, 5][rng.usize(..3)],
            window: Duration::from_mins([1, 10, 10, 60][rng.usize(..4)]),
        };
        Self {
            guard: (rng.u8(..8) > 0).then_some(guard),
            only_if: [
                [OnlyIf::Any, OnlyIf::Is("status", "active"), OnlyIf::IsNot("status", "none")][rng.usize(..3)],
                [OnlyIf::Any, OnlyIf::IsNot("tier", "free"), OnlyIf::Is("region", "eu")][rng.usize(..3)],
            ],
        }
    }

    /// What a generator's parts have in front of them.
    pub(crate) fn only_if(&self, generator: Generator) -> &[OnlyIf] {
        if generator == Generator::Whole { &self.only_if } else { &[OnlyIf::Any] }
    }

    /// The configuration of the generators.
    pub(crate) fn config(
        &self,
        rules: &Rules,
        build: &str,
        (folder, url): (&Path, &str),
        mutation: Option<Mutation>,
    ) -> String {
        let guard = match self.guard.filter(|_| mutation != Some(Mutation::GuardOff)) {
            None => "off".to_owned(),
            Some(Guard { window, .. }) if mutation == Some(Mutation::GuardTooStrict) => {
                format!("{{ maxDrop: 0%, minItems: 1, window: {}s }}", window.as_secs())
            }
            Some(Guard { max_drop, min_items, window }) => {
                format!("{{ maxDrop: {max_drop}%, minItems: {min_items}, window: {}s }}", window.as_secs())
            }
        };
        let by_status = match mutation {
            Some(Mutation::InputsIgnored) => "1 = 1 OR status = :status",
            _ => ":status IS NULL OR status = :status",
        };
        let database = RowsFile::url(folder);
        let mut text = String::new();
        writeln!(
            text,
            "  tenants:
    guard: {guard}
    sql:
      url: \"{database}\"
      maxRows: {MAX_ROWS}
      query: SELECT tenant, status FROM organization WHERE {by_status} ORDER BY tenant
  members:
    guard: {guard}
    plugins:
      members: {{ url: \"{url}\", path: /members, inputs: [team] }}
  whole:
    guard: {guard}
{build}    sql:
      url: \"{database}\"
      maxRows: {MAX_ROWS}
      query: SELECT tenant, status, region FROM organization WHERE region = :region ORDER BY tenant
      {}
    plugins:
      tiers:
        url: \"{url}\"
        path: /tiers
        inputs: [team]
        {}
        {}",
            self.only_if[0].config(),
            // What is beside them is left out; without them an item must have what the others have.
            if rules.require { "keys: [quota, tier]" } else { "" },
            self.only_if[1].config(),
        )
        .unwrap();
        text
    }
}

impl Asked {
    /// What is asked, with inputs that make no difference to the parts.
    pub(crate) fn parameters(&self, branch: Option<&str>, rng: &mut Rng) -> Value {
        let mut parameters = json!(self.inputs);
        if let Some(number) = self.number {
            parameters["number"] = number.to_string().into();
        }
        if let Some(branch) = branch {
            parameters["branch"] = branch.into();
        }
        if rng.bool() {
            parameters["who"] = rng.u8(..).to_string().into();
        }
        parameters
    }

    /// Its generator, its inputs and its pull request in words.
    pub(crate) fn told(&self) -> String {
        let inputs: Vec<_> = self.inputs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let number = self.number.map(|number| format!(" #{number}")).unwrap_or_default();
        format!("{}{number} ({})", self.generator.name(), inputs.join(", "))
    }
}
