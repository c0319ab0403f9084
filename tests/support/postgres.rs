//! A real PostgreSQL, of the test's own: it keeps everything in a temporary folder and ends with its owner.
//!
//! PostgreSQL refuses to run as root; where a test does, the server runs as `postgres` or `nobody`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU16, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// Who may do everything, and with what.
pub(crate) const ADMIN: &str = "postgres";
pub(crate) const PASSWORD: &str = "correct-horse";

/// What PostgreSQL says once it can be used, also after it has recovered from a crash.
const READY: &str = "database system is ready to accept connections";

/// A server that says nothing for so long has failed the test; nothing waits that long when all is well.
const HUNG: Duration = Duration::from_mins(1);

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// As if the power had gone.
    Crash,
    /// Orderly, and without waiting for its clients.
    Fast,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Postgres {
    programs: PathBuf,
    user: Option<(u32, u32)>,
    port: u16,
    folder: tempfile::TempDir,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    process: Child,
    log: Receiver<String>,
}

impl Postgres {
    /// Starts one. `None`, said aloud, where it is not installed; a failure if it has to be.
    pub(crate) fn start_new() -> Option<Self> {
        let Some(programs) = programs() else {
            let required = std::env::var("LASTGREEN_REAL_SERVERS").is_ok_and(|value| value == "required");
            assert!(!required, "PostgreSQL is not installed, and LASTGREEN_REAL_SERVERS=required");
            // Straight to stderr: what the macros print of a test that passes is not shown.
            let _ = writeln!(std::io::stderr(), "NOT RUN: PostgreSQL is not installed (Debian package postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let user = unprivileged(folder.path());
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group)).expect("root may give a folder away");
        }
        let server = Self { programs, user, port: port(), folder, running: Mutex::default() };
        server.initialize();
        server.start();
        Some(server)
    }

    /// The one that all tests share that ask for it at the same time; it ends with the last of them.
    pub(crate) fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start_new()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    fn initialize(&self) {
        let password = self.folder.path().join("password");
        fs::write(&password, PASSWORD).expect("a writable folder");
        if let Some((user, group)) = self.user {
            chown(&password, Some(user), Some(group)).expect("root may give a file away");
        }
        let done = self
            .command("initdb")
            .args(["--username", ADMIN, "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(format!("--pgdata={}", self.data().display()))
            .output()
            .expect("initdb can be run");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Starts it (again), and waits until it can be used.
    pub(crate) fn start(&self) {
        let mut process = self
            .command("postgres")
            .arg(format!("-D{}", self.data().display()))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .arg(format!("-k{}", self.folder.path().display()))
            .args(["-c", "fsync=on", "-c", "log_line_prefix=[%d] ", "-c", "max_connections=200"])
            .args(["-c", "shared_buffers=16MB", "-c", "max_wal_senders=0", "-c", "autovacuum=off"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("postgres can be run");
        let lines = BufReader::new(process.stderr.take().expect("it is piped"));
        let (line, log): (Sender<String>, _) = channel();
        std::thread::spawn(move || {
            // Reads on to the end, so that the server never waits for its log.
            for read in lines.lines().map_while(Result::ok) {
                let _ = line.send(read);
            }
        });
        let running = Running { process, log };
        let said = running.until(READY);
        assert!(said.last().is_some_and(|line| line.contains(READY)), "PostgreSQL does not start: {said:#?}");
        *self.running() = Some(running);
    }

    /// Stops it, and waits until it is gone.
    pub(crate) fn stop(&self, how: Stop) {
        let Some(mut running) = self.running().take() else { return };
        let signal = match how {
            Stop::Crash => "QUIT",
            Stop::Fast => "INT",
        };
        let id = running.process.id().to_string();
        let told = Command::new("kill").args(["-s", signal, &id]).status().expect("kill can be run");
        assert!(told.success());
        running.process.wait().expect("a child of ours");
    }

    /// What the server has logged since this was called last, all up to now.
    pub(crate) async fn log(&self) -> Vec<String> {
        static MARK: AtomicU16 = AtomicU16::new(0);
        let mark = format!("mark {} of a test", MARK.fetch_add(1, Ordering::Relaxed));
        let mut connection = self.connect(ADMIN).await;
        let raise = format!("DO $$ BEGIN RAISE LOG '{mark}'; END $$");
        connection.execute(AssertSqlSafe(raise)).await.expect("whoever may do everything may log");
        let mut said = self.running().as_ref().expect("it runs").until(&format!("LOG:  {mark}"));
        said.pop();
        said
    }

    /// Where it listens, on the loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where a database is.
    pub(crate) fn url(&self, database: &str) -> String {
        self.url_as(ADMIN, PASSWORD, database)
    }

    /// Where a database is for somebody.
    pub(crate) fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port())
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.url(database)).await.expect("the server runs")
    }

    /// Has a statement executed by somebody who may do everything.
    pub(crate) async fn execute(&self, database: &str, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        self.connect(database).await.execute(statement).await.expect("a statement that can be executed");
    }

    /// Makes an empty database, and gives its URL.
    pub(crate) async fn create_database(&self, name: &str) -> String {
        self.execute(ADMIN, &format!("CREATE DATABASE {name}")).await;
        self.url(name)
    }

    /// Ends all connections to a database whose last statement is like this; tells how many there were.
    pub(crate) async fn kill_backends(&self, database: &str, statement: &str) -> usize {
        let query = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
             WHERE datname = $1 AND query ILIKE $2 AND pid <> pg_backend_pid()";
        let mut connection = self.connect(ADMIN).await;
        let ended = sqlx::query(query).bind(database).bind(statement).fetch_all(&mut connection).await;
        ended.expect("whoever may do everything may end connections").len()
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of PostgreSQL's, run by somebody who may run it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env_clear().env("LC_ALL", "C").current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Running {
    /// What it says up to a line that contains this, or to its end.
    fn until(&self, what: &str) -> Vec<String> {
        let mut said = Vec::new();
        while let Ok(line) = self.log.recv_timeout(HUNG) {
            let found = line.contains(what);
            said.push(line);
            if found {
                break;
            }
        }
        said
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop(Stop::Crash);
    }
}

/// Where the server's programs are.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let places = std::env::split_paths(&path).chain(debian.map(|version| version.path().join("bin")));
    places.into_iter().find(|folder| folder.join("postgres").exists() && folder.join("initdb").exists())
}

/// Somebody without privileges, where this process has them all.
fn unprivileged(ours: &Path) -> Option<(u32, u32)> {
    if fs::metadata(ours).expect("it was just made").uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("a list of users");
    let id = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(["postgres", "nobody"].into_iter().find_map(id).expect("a user without privileges"))
}

/// A free port that nobody is given by chance, so that it is still free when the server is started again.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % 200).expect("it is small") * 50;
    let mut ports = std::iter::repeat_with(|| 20_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000);
    let free = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("some port is free")
}
