//! Memory, start and size of the built program, and what a scrape of its metrics takes.

use std::{fs, thread, time::Duration};

use crate::{
    Options, load,
    service::{self, Pace, Service, Upstreams, requests},
    table::{Table, median, time},
    world,
};

pub(crate) fn run(options: &Options) {
    start(options);
    memory(options);
    size();
}

/// From its start to ready, and to its first answer.
fn start(options: &Options) {
    let tries = if options.quick { 2 } else { 11 };
    let upstreams = Upstreams::start(world::world(1, chrono::Utc::now()));
    let question = requests([world::question(1, 0)]);
    let (mut ready, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..tries {
        let service = Service::start(&upstreams, Pace::Off, &service::quick_place());
        assert!(service.is_ready());
        ready.push(service.ready_after.as_secs_f64());
        load::sweep(service.address, &question, Duration::from_mins(1));
        answered.push(service.age().as_secs_f64());
    }
    let mut table = Table::new(
        &format!("Start, upstreams at 0 ms, medians of {tries}"),
        &["to ready", "to the first answer, an empty ledger among it"],
    );
    let middle = |values: Vec<f64>| time(Duration::from_secs_f64(median(values)));
    table.row([middle(ready), middle(answered)]);
    table.print();
}

/// Resident memory after so many branches were asked about, and asked about again; and a scrape of the metrics then.
fn memory(options: &Options) {
    let only = options.branches.map(|branches| [0, branches]);
    let sizes: &[u64] = match &only {
        Some(only) => only,
        None if options.quick => &[0, 100],
        None => &[0, 100, 1_000, 10_000, 100_000],
    };
    let mut table = Table::new(
        "Resident memory, two images each; and a scrape of the metrics, the median of 101",
        &["branches", "now", "at most so far", "a branch", "a scrape", "its bytes", "its series"],
    );
    let mut idle = 0;
    for &pulls in sizes {
        let upstreams = Upstreams::start(world::world(pulls.max(1), chrono::Utc::now()));
        let service = Service::start(&upstreams, Pace::AtOnce, &service::quick_place());
        let questions = requests((1..=pulls).map(|number| world::question(number, 0)));
        if pulls > 0 {
            service.warm_up(&questions);
        }
        // Whoever gives memory back later has the time for it.
        thread::sleep(Duration::from_secs(1));
        let (now, most) = service.process().memory();
        if pulls == 0 {
            idle = now;
        }
        let (scrape, metrics) = service.scraped(101);
        let series = metrics.lines().filter(|line| !line.starts_with('#')).count();
        let each = (now.saturating_sub(idle) * 1024).checked_div(pulls);
        let mib = |kib: u64| format!("{:.1} MiB", f64::from(u32::try_from(kib).unwrap()) / 1024.0);
        table.row([
            if pulls == 0 { "none".to_owned() } else { pulls.to_string() },
            mib(now),
            mib(most),
            each.map_or_else(|| "-".to_owned(), |each| format!("{each} bytes")),
            time(scrape.percentile(50)),
            metrics.len().to_string(),
            series.to_string(),
        ]);
    }
    table.print();
}

fn size() {
    let mut table = Table::new("Size", &["of", "bytes"]);
    let built = std::path::Path::new(env!("CARGO_BIN_EXE_lastgreen"));
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let deployed = root.join("target/dist/lastgreen");
    for (name, file) in [("the measured program, with symbols", built), ("target/dist/lastgreen", deployed.as_path())] {
        let size = fs::metadata(file).map_or_else(|_| "not built".to_owned(), |it| it.len().to_string());
        table.row([name.to_owned(), size]);
    }
    table.print();
}
