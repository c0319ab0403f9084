//! The page that Prometheus reads: everything is looked at when it is asked for.

use std::{collections::BTreeMap, fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};

use super::Counts;
use crate::{generator::Generator, github::GitHub, ledger::Ledger, registry::Registries, upstream::Service};

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Watched {
    /// What was asked of each generator.
    pub counts: BTreeMap<Arc<str>, Arc<Counts>>,
    /// The generators that keep lines fresh.
    pub generators: BTreeMap<Arc<str>, Arc<Generator>>,
    /// GitHub, where it is asked.
    pub github: Option<Arc<GitHub>>,
    /// The registries.
    pub registries: Arc<Registries>,
    /// The ledger.
    pub ledger: Arc<Ledger>,
}

/// The numbers of a process.
pub struct Metrics(Registry);

impl Metrics {
    /// The media type of [`Metrics::text`].
    pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// The numbers of what is watched.
    pub fn new(watched: Watched) -> Self {
        let mut registry = Registry::with_prefix("lastgreen");
        registry.register_collector(Box::new(watched));
        Self(registry)
    }

    /// All of them now, as OpenMetrics.
    pub fn text(&self) -> String {
        let mut page = String::new();
        // Writing to a string cannot fail; a page without its end is refused by whoever reads it.
        let _ = text::encode(&mut page, &self.0);
        page
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Collector for Watched {
    fn encode(&self, mut page: DescriptorEncoder<'_>) -> fmt::Result {
        let page = &mut page;
        self.questions(page)?;
        self.upstreams(page)?;
        self.ledger(page)?;
        let mut of =
            page.encode_descriptor("build_info", "The version that runs; always 1", None, MetricType::Gauge)?;
        gauge(&mut of, &[("version", env!("CARGO_PKG_VERSION"))], 1)
    }
}

impl Watched {
    fn questions(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("questions", "Questions by how they ended: a standing, refused (5xx) or bad (4xx)");
        let mut of = page.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (generator, counts) in &self.counts {
            for (outcome, count) in counts.outcomes() {
                counter(&mut of, &[("generator", generator), ("outcome", outcome)], count)?;
            }
        }
        let (name, help) = ("warm_answers", "Answers that were given again from memory, without a look");
        let mut of = page.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (generator, counts) in &self.counts {
            counter(&mut of, &[("generator", generator)], counts.warm())?;
        }
        let (name, help) = ("look_duration_seconds", "How long the questions took that were looked at");
        self.histograms(page, (name, help), |counts| &counts.took)?;
        let (name, help) = ("read_age_seconds", "How old what GitHub had said was when it was answered from");
        self.histograms(page, (name, help), |counts| &counts.ages)?;
        let (name, help) = ("guard_held_back", "Answers that the guard holds back");
        let held = self.ledger.held_back_now();
        let mut of = page.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for generator in self.counts.keys() {
            gauge(&mut of, &[("generator", generator)], whole(held.get(generator).copied().unwrap_or(0)))?;
        }
        let (name, help) = ("hot_lines", "Lines that are kept fresh ahead of their questions");
        let lines = self.generators.iter().map(|(name, generator)| (name, count(generator.hot_lines())));
        let mut of = page.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (generator, lines) in lines {
            gauge(&mut of, &[("generator", generator)], lines)?;
        }
        Ok(())
    }

    fn histograms(
        &self,
        page: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        of: impl Fn(&Counts) -> &Histogram,
    ) -> fmt::Result {
        let mut encoder = page.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (generator, counts) in &self.counts {
            let labels = [("generator", &**generator)];
            of(counts).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn upstreams(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut services: Vec<Service> = self.github.iter().map(|github| github.traffic()).collect();
        services.extend(self.registries.traffic());
        let (name, help) = ("upstream_requests", "Requests to GitHub and the registries, by the status of the answer");
        let mut of = page.encode_descriptor(name, help, None, MetricType::Counter)?;
        for service in &services {
            for (outcome, count) in &service.requests {
                counter(&mut of, &[("host", &service.host), ("outcome", outcome)], *count)?;
            }
        }
        let (name, help) = ("upstream_up", "Whether nothing speaks against a service (1)");
        let mut of = page.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for service in &services {
            gauge(&mut of, &[("host", &service.host)], i64::from(service.up))?;
        }
        let Some(budget) = self.github.as_ref().and_then(|github| github.budget()) else { return Ok(()) };
        single(page, ("github_budget_limit", "The hour's limit that is nearest to its end"), whole(budget.limit))?;
        single(page, ("github_budget_remaining", "What is left of it"), whole(budget.remaining))?;
        let reset = ("github_budget_reset_seconds", "In how many seconds all of it is back");
        single(page, reset, whole(budget.reset_in.as_secs()))
    }

    fn ledger(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("ledger_errors", "How often the ledger could not be read or written");
        let of = page.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(self.ledger.errors()).encode(of)?;
        let up = ("ledger_up", "Whether all that the ledger holds is known (1)");
        single(page, up, i64::from(self.ledger.is_read()))?;
        let leads = ("leader", "Whether this replica does the background work (1)");
        single(page, leads, i64::from(self.ledger.leads()))?;
        let (name, help) = ("lines", "Lines in the ledger, by whether something was answered last");
        let mut of = page.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (generator, (items, nothing)) in self.ledger.lines() {
            gauge(&mut of, &[("generator", &generator), ("known", "item")], whole(items))?;
            gauge(&mut of, &[("generator", &generator), ("known", "nothing")], whole(nothing))?;
        }
        Ok(())
    }
}

fn counter(of: &mut MetricEncoder<'_>, labels: &[(&str, &str)], value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(of.encode_family(&labels)?)
}

fn gauge(of: &mut MetricEncoder<'_>, labels: &[(&str, &str)], value: i64) -> fmt::Result {
    ConstGauge::new(value).encode(of.encode_family(&labels)?)
}

/// A gauge without labels.
fn single(page: &mut DescriptorEncoder<'_>, (name, help): (&str, &str), value: i64) -> fmt::Result {
    ConstGauge::new(value).encode(page.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
