//! The real PostgreSQL of those stories in which two replicas share a ledger, and the way of each process to it.
//!
//! One server serves the whole campaign, with a database for each thread that tells stories, emptied for every story. A
//! process reaches it through a [`Gate`] of its own, which can be shut: then the database is gone for this process, in no
//! time. The gate ends with the process, and with it whatever the process had under way.

use std::sync::{Mutex, PoisonError};

use sqlx::Executor as _;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::postgres::{ADMIN, PASSWORD, Postgres};

/// Connections of a story before are gone, and with them all that they held and made.
const EMPTY: [&str; 3] = [
    "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "DROP SCHEMA public CASCADE",
    "CREATE SCHEMA public",
];

/// The server, and its databases that no story uses just now.
#[derive(Debug)]
pub(crate) struct Databases {
    server: Postgres,
    free: Mutex<(Vec<String>, usize)>,
}

/// A database that one story has for itself.
#[derive(Debug)]
pub(crate) struct Database<'a> {
    of: &'a Databases,
    name: String,
}

impl Databases {
    /// Starts the server. `None`, said aloud, where it is not installed; a failure if it has to be.
    pub(crate) fn start() -> Option<Self> {
        Some(Self { server: Postgres::start_new()?, free: Mutex::default() })
    }

    /// An empty database.
    pub(crate) async fn lend(&self) -> Database<'_> {
        let (free, name) = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let (names, made) = &mut *free;
            *made += 1;
            (names.pop(), format!("campaign_{made}"))
        };
        let name = if let Some(name) = free {
            let mut connection = self.server.connect(&name).await;
            for statement in EMPTY {
                connection.execute(statement).await.unwrap();
            }
            name
        } else {
            self.server.execute(ADMIN, &format!("CREATE DATABASE {name}")).await;
            name
        };
        Database { of: self, name }
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let mut free = self.of.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.0.push(std::mem::take(&mut self.name));
    }
}

/// A way to a database that can be shut.
#[derive(Debug)]
pub(crate) struct Gate {
    url: String,
    open: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Gate {
    /// An open one.
    pub(crate) async fn to(database: &Database<'_>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = database.of.server.port();
        let (open, is_open) = watch::channel(true);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *is_open.borrow() {
                    tokio::spawn(carry(client, server, is_open.clone()));
                }
            }
        });
        let url = format!("postgres://{ADMIN}:{PASSWORD}@127.0.0.1:{port}/{}", database.name);
        Self { url, open, accepting }
    }

    /// Where the database is, through this gate.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Opens it, or shuts it: connections break, and new ones are not taken.
    pub(crate) fn set(&self, open: bool) {
        self.open.send_replace(open);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries what both say, until one of them or the gate ends it.
async fn carry(mut client: TcpStream, server: u16, mut is_open: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        // The gate that is gone is shut.
        _ = is_open.wait_for(|open| !open) => {}
    }
}
