//! Answers from memory: how many, and how soon, beside a bare axum handler that returns the same bytes, and beside the
//! Python plugins. Each server is a process of its own; they are asked in turns, and ratios are of neighbours.

use std::{net::SocketAddr, time::Duration};

use crate::{
    Options, bare, baselines,
    load::{self, Measured},
    plot,
    process::Process,
    service::{self, Pace, Service, Upstreams, requests},
    table::{Table, median, time},
    world,
};

/// What is asked about, in turn.
const PULLS: u64 = 1000;

/// One server.
struct Server<'a> {
    name: &'static str,
    address: SocketAddr,
    process: &'a Process,
    keep: bool,
    questions: &'a [Vec<u8>],
}

/// What became of one server in all rounds.
#[derive(Default)]
struct Rounds {
    per_second: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// Processor time for an answer, in microseconds.
    cpu: Vec<f64>,
}

impl Rounds {
    fn note(&mut self, measured: &Measured, cpu: Duration) {
        self.per_second.push(measured.per_second());
        self.p50.push(measured.percentile(50).as_secs_f64());
        self.p99.push(measured.percentile(99).as_secs_f64());
        self.cpu.push(cpu.as_secs_f64() * 1e6 / f64::from(measured.count()));
    }
}

/// The median of the ratios of neighbours.
fn ratio(of: &[f64], to: &[f64]) -> f64 {
    median(of.iter().zip(to).map(|(of, to)| of / to))
}

pub(crate) fn run(options: &Options) {
    let (rounds, long) = if options.quick { (2, 100) } else { (9, 1000) };
    let long = Duration::from_millis(long);
    let upstreams = Upstreams::start(world::world(PULLS, chrono::Utc::now()));
    let service = Service::start(&upstreams, Pace::Off, &service::quick_place());
    let questions = requests((1..=PULLS).map(|number| world::question(number, 0)));
    service.warm_up(&questions);
    let answer = load::once(service.address, &questions[0]);
    let (bare, bare_address) = bare::start(service.folder(), &answer);
    assert_eq!(without_date(&load::once(bare_address, &questions[0])), without_date(&answer));
    let plain = vec![load::request("", &world::question(1, 0))];
    let python = baselines::start(&service);

    let mut servers = vec![
        Server {
            name: "lastgreen",
            address: service.address,
            process: service.process(),
            keep: true,
            questions: &questions,
        },
        Server { name: "bare axum", address: bare_address, process: &bare, keep: true, questions: &questions },
    ];
    servers.extend(python.iter().map(|one| Server {
        name: one.name,
        address: one.address,
        process: &one.process,
        keep: one.keep,
        questions: &plain,
    }));
    let mut table = Table::new(
        &format!("Warm answers, {PULLS} questions in turn, medians of {rounds} rounds of {}", time(long)),
        &["connections", "server", "answers/s", "p50", "p99", "CPU per answer", "throughput / its", "p99 / its"],
    );
    let mut plotted = Vec::new();
    for connections in [1, 16, 64] {
        let mut results: Vec<Rounds> = servers.iter().map(|_| Rounds::default()).collect();
        for _ in 0..rounds {
            for (server, rounds) in servers.iter().zip(&mut results) {
                let before = server.process.cpu();
                let measured = load::ask_for(long, server.address, connections, server.keep, server.questions);
                rounds.note(&measured, server.process.cpu().saturating_sub(before));
            }
        }
        for (server, result) in servers.iter().zip(&results) {
            let seconds = |values: &[f64]| time(Duration::from_secs_f64(median(values.iter().copied())));
            let ours = &results[0];
            table.row([
                connections.to_string(),
                server.name.to_owned(),
                format!("{:.0}", median(result.per_second.iter().copied())),
                seconds(&result.p50),
                seconds(&result.p99),
                format!("{:.1} µs", median(result.cpu.iter().copied())),
                format!("{:.2}", ratio(&ours.per_second, &result.per_second)),
                format!("{:.2}", ratio(&ours.p99, &result.p99)),
            ]);
            if connections == 16 {
                plotted.push((server.name.to_owned(), median(result.per_second.iter().copied())));
            }
        }
    }
    table.print();
    println!("\n\"Throughput / its\" and \"p99 / its\" are lastgreen's by the server's of the same line.");
    plot::bars(options, "warm", "Warm answers per second, 16 connections", &plotted);
}

fn without_date(answer: &str) -> Vec<&str> {
    answer.lines().filter(|line| !line.starts_with("date: ")).collect()
}
