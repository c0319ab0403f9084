//! The demo: the real plugin before a simulated GitHub and registry, all in one process.
//!
//! ```text
//! a green build is answered ─→ a red push is passed over ─→ the next green build takes over ─→ ask it yourself
//! ```
//!
//! `cargo run --release --example demo`, with `-- --once` to end after the story.

use std::{
    env, fmt,
    io::{self, Write as _},
    net::Ipv4Addr,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, ExitCode},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use lastgreen::{
    app::{App, End},
    clock::{Clock as _, SystemClock},
    config::Config,
};
use lastgreen_sim::{ImageSpec, PersonalToken, Sim, World, sha};
use tokio::{net::TcpListener, sync::mpsc};

/// The world that is simulated: one repository, two images, four pull requests.
const WORLD: &str = include_str!("../fixtures/worlds/demo.yaml");
const REPOSITORY: &str = "myorg/myrepo";
const BRANCH: &str = "feature-branch-1";
/// The token of Argo CD's documentation.
const TOKEN: &str = "strong-password";
/// How old an answer from memory may be in the demo; the shortest time that a configuration can ask for.
const FRESH: Duration = Duration::from_secs(5);
/// A wait that takes longer means that something is wrong.
const PATIENCE: Duration = Duration::from_mins(1);

/// Shows lastgreen at work before a simulated GitHub and registry.
#[derive(Debug, Parser)]
struct Arguments {
    /// The port on this machine where the plugin answers.
    #[arg(long, default_value_t = 4355)]
    port: u16,

    /// End after the story, instead of serving until ctrl-c.
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    without_proxies()?;
    let clock = Arc::new(SystemClock::new());
    let port = arguments.port;
    let plugin = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("cannot listen on port {port}; choose another one with `-- --port 14355`"))?;
    let port = plugin.local_addr()?.port();
    let ops = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;

    let sim = Sim::start(World::from_yaml(WORLD)?).await;
    let secrets = tempfile::tempdir()?;
    let app = App::build(config(&sim, secrets.path())?, Arc::<SystemClock>::clone(&clock))?;
    let (end, ends) = mpsc::channel(1);
    let serving = tokio::spawn(app.run(plugin, ops, ends));

    let story = async {
        tell(&sim, &Asker::new(port, clock)?).await?;
        if arguments.once {
            return Ok(());
        }
        say(&invitation(port))?;
        std::future::pending().await
    };
    let told = tokio::select! {
        told = story => told,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot wait for ctrl-c"),
    };
    end.send(End::Soon).await?;
    told.and(serving.await?)
}

/// Three scenes.
async fn tell(sim: &Sim, asker: &Asker) -> anyhow::Result<()> {
    say(&format!(
        "A simulated GitHub has the repository {REPOSITORY}, a simulated registry its images; lastgreen answers.\n\n\
         1. Argo CD asks for {BRANCH}, whose last build is green:\n\n{}\n",
        curl(asker.port, &question(BRANCH))
    ))?;
    let first = asker.ask().await?;
    say(&first.to_string())?;

    say(&format!("2. A commit is pushed, and its CI fails. Waiting until lastgreen looks again ({FRESH:?}) …\n"))?;
    sim.world(|world| {
        world.push(REPOSITORY, BRANCH, "a3", &[]);
        world.red(REPOSITORY, "a3");
    });
    let second = asker.ask_until(|reply| reply.reason.is_some()).await?;
    ensure!(second.body == first.body, "a red commit changed the answer to {}", second.body);
    say(&format!("The red commit is passed over, the answer is the same:\n\n{second}"))?;

    say("3. A fix is pushed; CI passes and pushes both images. Waiting until lastgreen looks again …\n")?;
    sim.world(|world| {
        world.push(REPOSITORY, BRANCH, "a4", &[]);
        let (tag, image) = (format!("sha-{}", sha("a4")), ImageSpec::revision(&sha("a4")));
        world.push_image("myorg/front", &tag, &image);
        world.push_image("myorg/back", &tag, &image);
        world.green(REPOSITORY, "a4");
    });
    let third = asker.ask_until(|reply| reply.body != second.body).await?;
    say(&format!("Both digests are those of the new build:\n\n{third}"))
}

fn invitation(port: u16) -> String {
    let line = |branch: &str| curl(port, &question(branch).split_whitespace().collect::<String>());
    format!(
        "Now ask yourself (curl -i shows the headers); ctrl-c ends the demo.\n\n{}\n\n{}\n",
        line(BRANCH),
        line("feature-branch-2")
    )
}

/// The question as Argo CD's documentation has it.
fn question(branch: &str) -> String {
    format!(
        r#"{{
  "applicationSetName": "fb-matrix",
  "input": {{
    "parameters": {{
      "branch": "{branch}"
    }}
  }}
}}"#
    )
}

fn curl(port: u16, body: &str) -> String {
    format!("curl {} -H \"Authorization: Bearer {TOKEN}\" -d \\\n'{body}'", url(port))
}

fn url(port: u16) -> String {
    format!("http://localhost:{port}/api/v1/getparams.execute")
}

/// Asks as the curl line does.
struct Asker {
    port: u16,
    client: reqwest::Client,
    clock: Arc<SystemClock>,
}

/// An answer, with the headers that are for people.
struct Reply {
    body: String,
    standing: Option<String>,
    commit: Option<String>,
    reason: Option<String>,
}

impl Asker {
    fn new(port: u16, clock: Arc<SystemClock>) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        Ok(Self { port, client, clock })
    }

    async fn ask(&self) -> anyhow::Result<Reply> {
        let request = self.client.post(url(self.port)).bearer_auth(TOKEN);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(question(BRANCH));
        let response = request.send().await.context("the plugin does not answer")?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.text().await?;
        ensure!(status.is_success(), "the plugin answers {status}: {body}");
        let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Ok(Reply {
            standing: header("x-lastgreen-standing"),
            commit: header("x-lastgreen-commit"),
            reason: header("x-lastgreen-reason"),
            body,
        })
    }

    /// Asks twice a second until the answer is as expected.
    async fn ask_until(&self, expected: impl Fn(&Reply) -> bool) -> anyhow::Result<Reply> {
        let began = self.clock.now();
        loop {
            let reply = self.ask().await?;
            if expected(&reply) {
                return Ok(reply);
            }
            if self.clock.now().since(began) > PATIENCE {
                bail!("the answer should have changed by now; it is still\n\n{reply}");
            }
            self.clock.sleep_until(self.clock.now() + Duration::from_millis(500)).await;
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.body)?;
        for (name, value) in [("standing", &self.standing), ("commit", &self.commit), ("reason", &self.reason)] {
            if let Some(value) = value {
                writeln!(f, "x-lastgreen-{name}: {value}")?;
            }
        }
        Ok(())
    }
}

/// A configuration for the simulated world.
fn config(sim: &Sim, secrets: &Path) -> anyhow::Result<Config> {
    let file = |name: &str, secret: &str| -> anyhow::Result<String> {
        let path = secrets.join(name);
        std::fs::write(&path, secret)?;
        Ok(serde_json::to_string(&path)?)
    };
    let text = format!(
        r#"
tokenFile: {token}
ledger: {{ url: "memory:" }}
github:
  api: {github}
  auth: {{ tokenFile: {github_token} }}
registries:
  - {{ host: "{registry}", plainHttp: true }}
generators:
  preview:
    refresh: {{ pending: {fresh}s, settled: {fresh}s }}
    build:
      repository: {REPOSITORY}
      images:
        digestFront: "{registry}/myorg/front:sha-{{sha}}"
        digestBack: "{registry}/myorg/back:sha-{{sha}}"
      ci: {{ settle: 0s }}
"#,
        token = file("token", TOKEN)?,
        github = sim.github_url(),
        github_token = file("github", PersonalToken::DEFAULT)?,
        registry = sim.registry_host(),
        fresh = FRESH.as_secs(),
    );
    let (config, _) = Config::parse(&text, "demo.yaml")?;
    Ok(config)
}

/// Starts again without proxies, if the environment names some: nothing here leaves this machine.
fn without_proxies() -> anyhow::Result<()> {
    let names = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
    if names.iter().all(|name| env::var_os(name).is_none()) {
        return Ok(());
    }
    let mut again = Command::new(env::current_exe()?);
    again.args(env::args_os().skip(1));
    for name in names {
        again.env_remove(name);
    }
    Err(again.exec()).context("cannot start again without proxies")
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()?;
    Ok(())
}
