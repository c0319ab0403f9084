//! What an hour costs: a thousand pull requests, polled every 30 seconds, some of them pushed to. Time is virtual, so an
//! hour takes seconds and every count is exact; the whole program runs in this process, background tasks among it.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use chrono::TimeDelta;
use futures_util::FutureExt as _;
use lastgreen::{
    app::App,
    background::Tasks,
    clock::{Clock as _, ManualClock},
    config::Config,
    ledger::Ledger,
};
use lastgreen_sim::{CheckRun, Counts, Kind, Limits, PersonalToken, Sim, sha};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::{
    Options, plot,
    service::TOKEN,
    table::{Table, median},
    world::{self, IMAGES, REPO, branch, commit},
};

/// How often Argo CD asks about all.
const POLL: u64 = 30;

/// How long the program has been running when the hour begins.
const BEFORE: u64 = 20 * 60;

/// In so many turns of the runtime whoever can do something has done it.
const TURNS: u32 = 150;

pub(crate) fn run(options: &Options) {
    let (pulls, seconds) = if options.quick { (50, 600) } else { (1000, 3600) };
    let mut table = Table::new(
        &format!(
            "{seconds} seconds of {pulls} pull requests, polled every {POLL} s with `number`, `branch` and `head_sha`"
        ),
        &[
            "pushes",
            "to GitHub",
            "GraphQL points",
            "of its limit",
            "HEADs",
            "other to the registry",
            "HEADs per image",
            "build answered after",
        ],
    );
    let mut bars = Vec::new();
    for pushes in [0, pulls / 10] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let told = runtime.block_on(hour(pulls, pushes, seconds));
        bars.push((format!("{pushes} pushes"), told.github));
        table.row(told.cells);
    }
    table.print();
    println!(
        "\nAn image is there on the third try: as soon as it was asked for twice in vain. \"HEADs per image\" are those of \
         the pushed commits, on average and at most; \"build answered after\" counts from when checks and images are \
         there, as median and maximum."
    );
    plot::bars(options, "hour", "Requests to GitHub in an hour, 1,000 pull requests", &bars);
}

/// What came of an hour.
struct Told {
    cells: Vec<String>,
    github: f64,
}

/// The program in virtual time.
struct Stage {
    sim: Sim,
    clock: ManualClock,
    router: Router,
    ledger: Arc<Ledger>,
    _tasks: Tasks,
    _folder: tempfile::TempDir,
}

/// A push, and what became of it.
struct Push {
    number: u64,
    id: String,
    /// The second at which its checks are done.
    green_at: u64,
    runs: Vec<u64>,
    images_there: usize,
    /// Since when there is nothing to wait for any more.
    whole_since: Option<u64>,
    answered: Option<u64>,
}

impl Stage {
    async fn new(pulls: u64) -> Self {
        let now = chrono::DateTime::from_timestamp(1_767_614_400, 0).unwrap();
        let mut world = world::world(pulls, now);
        world.github.limits = Limits::default();
        let sim = Sim::start(world).await;
        let clock = ManualClock::new(now);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), TOKEN).unwrap();
        fs::write(folder.path().join("github"), PersonalToken::DEFAULT).unwrap();
        let text = config(&sim, folder.path());
        let (config, _) = Config::parse(&text, "hour.yaml").unwrap_or_else(|errors| panic!("{errors}"));
        let mut app = App::build(config, Arc::new(clock.clone())).unwrap();
        let tasks = Tasks::start(std::mem::take(&mut app.background), Arc::new(clock.clone()));
        let (router, ledger) = (app.plugin_router(), Arc::clone(&app.ledger));
        Self { sim, clock, router, ledger, _tasks: tasks, _folder: folder }
    }

    /// The commit that is answered for a pull request.
    async fn ask(&self, number: u64, push: u32) -> String {
        let request = Request::post("/preview/api/v1/getparams.execute")
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(Body::from(world::question(number, push)))
            .unwrap();
        let router = self.router.clone();
        let mut answer = tokio::spawn(async move {
            let response = router.oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let commit = response.headers().get("x-lastgreen-commit");
            commit.map_or("", |commit| commit.to_str().unwrap()).to_owned()
        });
        loop {
            if let Some(done) = (&mut answer).now_or_never() {
                return done.unwrap();
            }
            self.quiet(Some(&answer)).await;
            if !answer.is_finished() {
                // It waits for nothing but time.
                self.pass(self.nearest().unwrap_or(Duration::from_secs(1)));
            }
        }
    }

    fn nearest(&self) -> Option<Duration> {
        self.clock.sleeping_within(Duration::MAX).now_or_never()
    }

    fn pass(&self, by: Duration) {
        let by = by.max(Duration::from_nanos(1));
        self.sim.world(|world| world.now += TimeDelta::from_std(by).unwrap());
        self.clock.advance(by);
    }

    /// Lets time pass up to a second of the story, and everybody do what falls due on the way.
    async fn until(&self, second: Duration, began: lastgreen::clock::Moment) {
        loop {
            self.quiet(None::<&JoinHandle<()>>).await;
            let left = second.saturating_sub(self.clock.now().since(began));
            if left.is_zero() {
                return;
            }
            self.pass(self.nearest().unwrap_or(left).min(left));
        }
    }

    /// Until nobody does anything any more, or the answer is there.
    async fn quiet<T>(&self, answer: Option<&JoinHandle<T>>) {
        let motion = || (self.sim.counts(), self.nearest());
        let (mut still, mut before) = (0, motion());
        while still < TURNS && !answer.is_some_and(JoinHandle::is_finished) {
            tokio::task::yield_now().await;
            if self.ledger.is_working() {
                std::thread::yield_now();
                still = 0;
                continue;
            }
            let now = motion();
            still = if now == before { still + 1 } else { 0 };
            before = now;
        }
    }
}

async fn hour(pulls: u64, pushes: u64, seconds: u64) -> Told {
    let stage = Stage::new(pulls).await;
    let began = stage.clock.now();
    let mut rng = fastrand::Rng::with_seed(1);
    // Whom is pushed to when: every pull request once at most.
    let mut numbers: Vec<u64> = (1..=pulls).collect();
    rng.shuffle(&mut numbers);
    let mut due: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for number in numbers.into_iter().take(usize::try_from(pushes).unwrap()) {
        // The last ten minutes are for CI.
        due.entry(BEFORE + rng.u64(..seconds * 5 / 6)).or_default().push(number);
    }
    let mut made: Vec<Push> = Vec::new();
    let mut heads: HashMap<u64, u32> = HashMap::new();
    let mut looks: HashMap<String, u32> = HashMap::new();
    let (mut counts, mut points) = (Counts::default(), 0);
    for second in 0..BEFORE + seconds {
        stage.until(Duration::from_secs(second), began).await;
        if second == BEFORE {
            stage.sim.reset_counts();
        }
        for number in due.remove(&second).unwrap_or_default() {
            heads.insert(number, 1);
            made.push(push(&stage.sim, number, second + rng.u64(180..360)));
        }
        count_looks(&stage.sim, &mut looks);
        for push in &mut made {
            go_on(&stage.sim, push, second, &looks);
        }
        if second % POLL != 0 {
            continue;
        }
        for number in 1..=pulls {
            let answered = stage.ask(number, heads.get(&number).copied().unwrap_or(0)).await;
            let push = made.iter_mut().find(|push| push.number == number);
            if let Some(push) = push.filter(|push| push.answered.is_none() && answered == sha(&push.id)) {
                push.answered = Some(second);
            }
        }
        counts = stage.sim.counts();
        points = stage.sim.points_spent();
    }
    count_looks(&stage.sim, &mut looks);
    tell(pushes, &made, &looks, counts, points)
}

fn push(sim: &Sim, number: u64, green_at: u64) -> Push {
    let id = commit(number, 1);
    let runs = sim.world(|world| {
        world.push(REPO, &branch(number), id.as_str(), &[]);
        ["build", "test", "lint"].map(|name| world.check(REPO, id.as_str(), CheckRun::running(name, "in_progress")))
    });
    Push { number, id, green_at, runs: runs.into(), images_there: 0, whole_since: None, answered: None }
}

/// Counts the HEADs of every tag.
fn count_looks(sim: &Sim, looks: &mut HashMap<String, u32>) {
    for seen in sim.take_seen() {
        if seen.kind == Kind::Manifest && seen.method == "HEAD" {
            *looks.entry(seen.path).or_default() += 1;
        }
    }
}

fn path(image: &str, id: &str) -> String {
    format!("/v2/{image}/manifests/sha-{}", sha(id))
}

/// CI ends in its time; images come when they were looked for twice.
fn go_on(sim: &Sim, push: &mut Push, second: u64, looks: &HashMap<String, u32>) {
    if push.whole_since.is_some() {
        return;
    }
    sim.world(|world| {
        if second >= push.green_at {
            for run in push.runs.drain(..) {
                world.finish(REPO, run, "success");
            }
        }
        for (_, image) in IMAGES {
            let asked = looks.get(&path(image, &push.id)).copied().unwrap_or(0);
            if asked >= 2 && world.digest(image, &format!("sha-{}", sha(&push.id))).is_none() {
                world::push_image(world, image, &push.id);
                push.images_there += 1;
            }
        }
    });
    if push.runs.is_empty() && push.images_there == IMAGES.len() {
        push.whole_since = Some(second);
    }
}

fn tell(pushes: u64, made: &[Push], looks: &HashMap<String, u32>, counts: Counts, points: u64) -> Told {
    let of_pushed = || {
        let paths = made.iter().flat_map(|push| IMAGES.map(|(_, image)| path(image, &push.id)));
        paths.map(|path| looks.get(&path).copied().unwrap_or(0))
    };
    let after: Vec<f64> = made
        .iter()
        .filter_map(|push| Some(push.answered?.saturating_sub(push.whole_since?)))
        .map(|seconds| f64::from(u32::try_from(seconds).unwrap()))
        .collect();
    let (heads, answered) = if made.is_empty() {
        ("-".to_owned(), "-".to_owned())
    } else {
        let average = f64::from(of_pushed().sum::<u32>()) / f64::from(u32::try_from(of_pushed().count()).unwrap());
        let missing = made.iter().filter(|push| push.answered.is_none()).count();
        let most = after.iter().copied().fold(0.0, f64::max);
        let middle = if after.is_empty() { f64::NAN } else { median(after.iter().copied()) };
        (
            format!("{average:.2}, {}", of_pushed().max().unwrap_or(0)),
            format!("{middle:.0} s, {most:.0} s; {missing} not yet"),
        )
    };
    let share = f64::from(u32::try_from(points).unwrap()) * 100.0 / 5000.0;
    let github = counts.github();
    Told {
        cells: vec![
            pushes.to_string(),
            github.to_string(),
            points.to_string(),
            format!("{share:.0} %"),
            counts.registry_head.to_string(),
            (counts.registry() - counts.registry_head).to_string(),
            heads,
            answered,
        ],
        github: f64::from(u32::try_from(github).unwrap()),
    }
}

/// The configuration: the defaults, as before GitHub and GHCR.
fn config(sim: &Sim, folder: &std::path::Path) -> String {
    let (folder, host) = (folder.display(), sim.registry_host());
    let images: Vec<String> =
        IMAGES.iter().map(|(key, image)| format!("{key}: \"{host}/{image}:sha-{{sha}}\"")).collect();
    format!(
        "tokenFile: {folder}/token
ledger: {{ url: \"memory:\", trustAfter: 1s }}
github: {{ api: \"{}\", auth: {{ tokenFile: {folder}/github }} }}
registries: [ {{ host: \"{host}\", plainHttp: true, pace: {{ perSecond: 20, concurrent: 8 }} }} ]
generators:
  preview:
    build:
      repository: {REPO}
      images: {{ {} }}
",
        sim.github_url(),
        images.join(", "),
    )
}
