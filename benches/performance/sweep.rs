//! A sweep: Argo CD asks about every pull request, one after the other over one connection. Cold, when nothing is known
//! yet; warm, when nothing has changed; and the naive way.

use std::time::Duration;

use lastgreen_sim::Latency;

use crate::{
    Options, bare,
    load::{self, Measured},
    naive, plot,
    service::{Pace, Service, Upstreams, requests},
    table::{Table, median, time},
    world,
};

/// A cold sweep that takes longer is broken off, and said to.
const PATIENCE: Duration = Duration::from_mins(1);

/// How many pull requests the naive way is measured with.
const NAIVE: u64 = 50;

/// GHCR's and Docker Hub's default pace.
const PACES: [(&str, Pace); 2] = [
    ("GHCR's", Pace::Default { per_second: 20, concurrent: 8 }),
    ("Docker Hub's", Pace::Default { per_second: 10, concurrent: 4 }),
];

pub(crate) fn run(options: &Options) {
    cold(options);
    warm(options);
    one_question(options);
}

/// One cold sweep in a process of its own, and what it asked.
fn cold_sweep(upstreams: &Upstreams, pace: Pace, questions: &[Vec<u8>], all: u64) -> (Measured, [String; 4]) {
    let service = Service::start(upstreams, pace, &std::env::temp_dir());
    upstreams.sim.reset_counts();
    let measured = load::sweep(service.address, questions, PATIENCE);
    let counts = upstreams.sim.counts();
    upstreams.sim.take_seen();
    let took = if u64::from(measured.count()) < all {
        format!("> {} (broken off after {})", time(measured.elapsed), measured.count())
    } else {
        time(measured.elapsed)
    };
    let cells = [took, counts.github().to_string(), counts.registry_head.to_string(), time(measured.percentile(99))];
    (measured, cells)
}

/// How long a sweep takes, or would at the pace that it had until it was broken off.
fn whole(measured: &Measured, all: u64) -> f64 {
    measured.elapsed.as_secs_f64() * f64::from(u32::try_from(all).unwrap()) / f64::from(measured.count())
}

fn cold(options: &Options) {
    let sizes: &[u64] = if options.quick { &[50] } else { &[1_000, 10_000] };
    let mut table = Table::new(
        &format!("Cold sweeps, `number`, `branch` and `head_sha` given; the naive way measured with {NAIVE}"),
        &["pull requests", "upstreams", "pace", "time", "to GitHub", "HEADs", "p99", "naive, scaled", "naive / its"],
    );
    let mut lines = Vec::new();
    for &pulls in sizes {
        let upstreams = Upstreams::start(world::world(pulls, chrono::Utc::now()));
        let questions = requests((1..=pulls).map(|number| world::question(number, 0)));
        for milliseconds in [0, 50, 200] {
            upstreams.sim.set_latency(world::latency(milliseconds));
            let naive = naive::sweep(&upstreams, NAIVE.min(pulls));
            let naive = naive.as_secs_f64() * f64::from(u32::try_from(pulls).unwrap()) / f64::from(50_u8);
            let mut add = |what: String, pace_name: &str, pace: Pace| {
                let (measured, [took, github, heads, p99]) = cold_sweep(&upstreams, pace, &questions, pulls);
                table.row([
                    pulls.to_string(),
                    what,
                    pace_name.to_owned(),
                    took,
                    github,
                    heads,
                    p99,
                    time(Duration::from_secs_f64(naive)),
                    format!("{:.0}", naive / whole(&measured, pulls)),
                ]);
                whole(&measured, pulls)
            };
            let took = add(format!("{milliseconds} ms"), "off", Pace::Off);
            lines.push((format!("{pulls} at {milliseconds} ms"), took, naive));
            if milliseconds == 50 {
                for (name, pace) in PACES {
                    add("50 ms".to_owned(), name, pace);
                }
                // A query of a hundred pull requests with their checks asks for some thousands of nodes.
                upstreams.sim.set_latency(Latency { per_node_us: 100, ..world::latency(50) });
                add("50 ms and 0.1 ms a node".to_owned(), "off", Pace::Off);
            }
        }
    }
    table.print();
    plot::pairs(options, "sweep", "A cold sweep in seconds (logarithmic)", ("lastgreen", "naive"), &lines);
}

fn warm(options: &Options) {
    let (sizes, rounds): (&[u64], usize) = if options.quick { (&[50], 3) } else { (&[1_000, 10_000], 15) };
    let mut table = Table::new(
        &format!("Warm sweeps, medians of {rounds} in turns with the same requests to bare axum"),
        &["pull requests", "lastgreen", "bare axum", "ratio", "to GitHub", "to the registry"],
    );
    for &pulls in sizes {
        let upstreams = Upstreams::start(world::world(pulls, chrono::Utc::now()));
        let service = Service::start(&upstreams, Pace::Off, &crate::service::quick_place());
        let questions = requests((1..=pulls).map(|number| world::question(number, 0)));
        service.warm_up(&questions);
        let (_bare, address) = bare::start(service.folder(), &load::once(service.address, &questions[0]));
        upstreams.sim.reset_counts();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(load::sweep(service.address, &questions, PATIENCE).elapsed.as_secs_f64());
            theirs.push(load::sweep(address, &questions, PATIENCE).elapsed.as_secs_f64());
        }
        let counts = upstreams.sim.counts();
        let seconds = |values: &[f64]| time(Duration::from_secs_f64(median(values.iter().copied())));
        table.row([
            pulls.to_string(),
            seconds(&ours),
            seconds(&theirs),
            format!("{:.2}", median(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs))),
            counts.github().to_string(),
            counts.registry().to_string(),
        ]);
    }
    table.print();
}

/// One cold question, in round trips: its time by the latency of the upstreams, in a new process each time.
fn one_question(options: &Options) {
    let tries = if options.quick { 1 } else { 5 };
    let latency = 200;
    let mut table = Table::new(
        &format!("One cold question, upstreams at {latency} ms, medians of {tries}"),
        &["asked with", "time", "round trips", "to GitHub", "to the registry"],
    );
    let upstreams = Upstreams::start(world::world(20, chrono::Utc::now()));
    upstreams.sim.set_latency(world::latency(latency));
    let all = [
        ("number, branch, head_sha", world::question as fn(u64, u32) -> String),
        ("branch", |number, _| world::question_by_branch(number)),
    ];
    for (name, question) in all {
        // The registry's token is got by the first question of all: that is measured, too.
        for (when, ahead) in [("the first of all", 0), ("a later one", 1)] {
            let (mut times, mut counts) = (Vec::new(), lastgreen_sim::Counts::default());
            for _ in 0..tries {
                let service = Service::start(&upstreams, Pace::Off, &crate::service::quick_place());
                let questions = requests((1..=2).map(|number| question(number, 0)));
                load::sweep(service.address, &questions[..ahead], PATIENCE);
                upstreams.sim.reset_counts();
                times.push(load::sweep(service.address, &questions[ahead..=ahead], PATIENCE).elapsed.as_secs_f64());
                counts = upstreams.sim.counts();
            }
            let took = median(times);
            table.row([
                format!("{name}; {when}"),
                time(Duration::from_secs_f64(took)),
                format!("{:.2}", took * 1e3 / f64::from(u32::try_from(latency).unwrap())),
                counts.github().to_string(),
                counts.registry().to_string(),
            ]);
        }
    }
    table.print();
}
