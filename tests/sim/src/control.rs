//! The levers of [`Sim`] over HTTP, for a test that is not written in Rust: a list of orders is posted, a list of what came of
//! them comes back.
//!
//! ```text
//! POST / [{"do": "push", "repository": "o/n", "branch": "b", "commit": "a1", "parents": ["m1"]}, {"do": "counts"}]
//!        [{"sha": "…"}, {"graphql": 0, …}]
//! ```
//!
//! 400 is for orders that cannot be read, and then none is followed; 422 for one that cannot be followed (a push to nowhere), and
//! then those before it are done.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::fault::{Fault, Target, What};
use crate::sim::Sim;
use crate::wire::{self, Answer, Ask};
use crate::world::{ImageSpec, Pull};

/// The listener for orders. Dropping it ends it.
#[derive(Debug)]
pub struct Control {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Control {
    /// Takes orders for a simulator, on this machine only: whoever reaches it may do everything.
    pub async fn start(sim: Arc<Sim>, address: SocketAddr) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "orders are taken on the loopback only"));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let task = wire::serve(listener, move |ask| {
            let answer = answer(&sim, &ask).into_response(&ask.method);
            async move { Ok(answer) }
        });
        Ok(Self { address, task })
    }

    /// Where orders are posted.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One order.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Order {
    /// Pushes a commit; without parents on the branch's tip.
    Push {
        repository: String,
        branch: String,
        commit: String,
        #[serde(default)]
        parents: Vec<String>,
    },
    OpenPull {
        repository: String,
        pull: Box<Pull>,
    },
    ClosePull {
        repository: String,
        number: u64,
    },
    /// One successful check run named `build`, and so on.
    Green(Commit),
    Red(Commit),
    Pending(Commit),
    PushImage {
        repository: String,
        tag: String,
        #[serde(default)]
        image: ImageSpec,
    },
    /// Lets the world's time pass.
    Advance {
        seconds: i64,
    },
    /// From now on, whatever hits the place fails.
    Fail {
        on: Place,
        how: Way,
    },
    ClearFaults {},
    Counts {},
    ResetCounts {},
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commit {
    repository: String,
    commit: String,
}

/// Where it fails.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    GitHub,
    GraphQl,
    Registry,
}

/// How it fails.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    /// With a status.
    Status(Status),
    /// By a connection that is reset.
    Reset,
}

/// An error's status.
#[derive(Debug, Deserialize)]
#[serde(try_from = "u16")]
struct Status(u16);

impl TryFrom<u16> for Status {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        (400..600).contains(&status).then_some(Self(status)).ok_or_else(|| format!("{status} is no error's status"))
    }
}

impl From<Place> for Target {
    fn from(place: Place) -> Self {
        match place {
            Place::GitHub => Self::GitHub,
            Place::GraphQl => Self::GraphQl,
            Place::Registry => Self::Registry,
        }
    }
}

impl From<Way> for What {
    fn from(way: Way) -> Self {
        match way {
            Way::Status(Status(status)) => Self::Status(status, "down on command".to_owned()),
            Way::Reset => Self::ConnectionReset,
        }
    }
}

fn answer(sim: &Sim, ask: &Ask) -> Answer {
    let told = |status, why: &str| Answer::json(status, &json!({"message": why}));
    if ask.path != "/" {
        return told(404, "orders are posted to /");
    }
    if ask.method != Method::POST {
        return told(405, "orders are posted").with("allow", "POST");
    }
    let orders: Vec<Order> = match serde_json::from_slice(&ask.body) {
        Ok(orders) => orders,
        Err(why) => return told(400, &why.to_string()),
    };
    let mut done = Vec::with_capacity(orders.len());
    for (nth, order) in orders.into_iter().enumerate() {
        // The verbs of the world panic on what cannot happen; here that is the caller's mistake, not the simulator's.
        match catch_unwind(AssertUnwindSafe(|| follow(sim, order))) {
            Ok(result) => done.push(result),
            Err(why) => {
                let text = why.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| why.downcast_ref::<&str>().copied()).unwrap_or("it cannot be");
                return told(422, &format!("order {nth}: {text}"));
            }
        }
    }
    Answer::json(200, &Value::from(done))
}

fn follow(sim: &Sim, order: Order) -> Value {
    match order {
        Order::Push { repository, branch, commit, parents } => {
            let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
            let oid = sim.world(|world| world.push(&repository, &branch, commit, &parents));
            json!({"sha": &*oid})
        }
        Order::OpenPull { repository, pull } => {
            json!({"number": sim.world(|world| world.open_pull(&repository, *pull))})
        }
        Order::ClosePull { repository, number } => {
            sim.world(|world| world.close_pull(&repository, number));
            json!({})
        }
        Order::Green(Commit { repository, commit }) => {
            json!({"run": sim.world(|world| world.green(&repository, commit))})
        }
        Order::Red(Commit { repository, commit }) => json!({"run": sim.world(|world| world.red(&repository, commit))}),
        Order::Pending(Commit { repository, commit }) => {
            json!({"run": sim.world(|world| world.pending(&repository, commit))})
        }
        Order::PushImage { repository, tag, image } => {
            json!({"digest": sim.world(|world| world.push_image(&repository, &tag, &image))})
        }
        Order::Advance { seconds } => {
            sim.world(|world| world.advance(seconds));
            json!({})
        }
        Order::Fail { on, how } => {
            sim.fail(Fault::always(on.into(), how.into()));
            json!({})
        }
        Order::ClearFaults {} => {
            sim.clear_faults();
            json!({})
        }
        Order::Counts {} => {
            let counts = sim.counts();
            json!({"github": counts.github(), "graphql": counts.graphql, "registry": counts.registry()})
        }
        Order::ResetCounts {} => {
            sim.reset_counts();
            json!({})
        }
    }
}
