//! Processes that are measured: started, asked of the kernel, ended.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A process that ends with its owner.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program that says nothing to anybody.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// The processor time that it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // The name, in brackets, may hold anything; user and system time are the 14th and 15th field.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().map(|nth: &usize| fields[*nth].parse::<u64>().unwrap()).sum();
        // Linux counts a hundred ticks a second everywhere.
        Duration::from_millis(ticks * 10)
    }

    /// Its resident memory in KiB: now, and at most so far.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody uses just now.
pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits until somebody listens; tells whether that came to pass.
pub(crate) fn listens(address: SocketAddr) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(30) {
        // A port that nobody listens on may be the one that is connected from: then this talks to itself.
        if TcpStream::connect(address).is_ok_and(|stream| stream.local_addr().is_ok_and(|own| own != address)) {
            return true;
        }
        thread::sleep(Duration::from_micros(200));
    }
    false
}

/// The machine, the toolchain's profile and the day, for whoever reads the tables later.
pub(crate) fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, it)| it);
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    let day = chrono::Utc::now().format("%Y-%m-%d %H:%M");
    format!("{day} UTC, {cores} cores of {model}, Linux {}, load before {load}", kernel.trim())
}
