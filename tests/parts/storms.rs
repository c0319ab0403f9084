//! The same hours with another plugin beside the rows, which says something else, nothing, or nonsense: each part is held
//! for itself, and whatever fails takes no tenant away.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, http::StatusCode};
use serde_json::{Value, json};

use crate::{
    stage::{Process, Stage},
    weather::Dice,
};

type Tenants = BTreeSet<String>;

/// Another plugin: the tier that it gives everybody, or what it says instead.
#[derive(Clone)]
struct Tiers(Arc<Mutex<(StatusCode, String)>>);

impl Tiers {
    /// What says nothing, in one way or another.
    const NOTHING: [(u16, &'static str); 5] = [
        (502, ""),
        (200, ""),
        (200, "<html>"),
        (200, r#"{"output":{}}"#),
        (200, r#"{"output":{"parameters":[{"tier":"a"},{"other":"b"}]}}"#),
    ];

    async fn start() -> (Self, String) {
        let this = Self(Arc::new(Mutex::new((StatusCode::OK, String::new()))));
        let says = this.clone();
        let router = Router::new().fallback(move || {
            let said = says.0.lock().unwrap().clone();
            async move { said }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (this, url)
    }

    fn give(&self, tier: &str) {
        let body = json!({"output": {"parameters": [{ "tier": tier }]}}).to_string();
        *self.0.lock().unwrap() = (StatusCode::OK, body);
    }

    fn fail(&self, how: usize) {
        let (status, body) = Self::NOTHING[how];
        *self.0.lock().unwrap() = (StatusCode::from_u16(status).unwrap(), body.to_owned());
    }
}

/// What is there, and what was answered.
struct Account {
    rows: Tenants,
    tier: String,
    /// What each part said last that was answered.
    recorded: Option<(Tenants, String)>,
    answered: Option<(Tenants, String)>,
    /// Whether the database is away.
    away: bool,
    /// Whether the plugin says nothing.
    silent: bool,
    /// Whether it did so a moment ago: that is believed for a while.
    shaky: bool,
}

impl Account {
    /// Holds one answer against it; whether the guard holds something back explains what nothing else does.
    fn judge(&mut self, step: usize, standing: &str, items: &[Value], guarded: bool) {
        let tenants: Tenants = items.iter().map(|item| item["tenant"].as_str().unwrap().to_owned()).collect();
        let tiers: Tenants = items.iter().map(|item| item["tier"].as_str().unwrap().to_owned()).collect();
        assert_eq!((tenants.len(), tiers.len()), (items.len(), 1), "step {step}");
        let now = (tenants, tiers.into_iter().next().unwrap());
        let recorded = self.recorded.clone();
        let said = |quiet: bool| {
            let (old_tenants, old_tier) = recorded.clone().unwrap_or_default();
            let tenants = if self.away { old_tenants } else { self.rows.clone() };
            (tenants, if quiet { old_tier } else { self.tier.clone() })
        };
        let is_said = now == said(self.silent) || self.shaky && now == said(true);
        match standing {
            "fresh" => {
                assert!(!self.away && !self.silent, "step {step}: fresh, with somebody away");
                assert!(is_said, "step {step}: {now:?}");
            }
            "held" if is_said && (self.away || self.silent || self.shaky) => {}
            "held" => {
                assert_eq!(Some(&now), self.answered.as_ref(), "step {step}: what is held is what was answered");
                assert!(guarded, "step {step}: held, and nobody is away");
                return;
            }
            other => panic!("step {step}: {other}"),
        }
        self.recorded = Some(now.clone());
        self.answered = Some(now);
    }
}

async fn hours(seed: u64, steps: usize) -> (usize, usize, usize) {
    let mut stage = Stage::sqlite().await;
    let (tiers, url) = Tiers::start().await;
    stage.generator = format!("plugins:\n  tiers: {{ url: \"{url}\" }}\n");
    tiers.give("t0");
    let mut dice = Dice(seed);
    let mut process: Process = stage.process();
    stage.tenants(12).await;
    let rows = (0..12).map(|number| format!("{number:03}")).collect();
    let (recorded, answered) = (None, None);
    let mut account =
        Account { rows, tier: "t0".to_owned(), recorded, answered, away: false, silent: false, shaky: false };
    let (mut outages, mut silences, mut guarded) = (0, 0, 0);
    for step in 0..steps {
        match dice.below(14) {
            0 | 1 => {
                let tenant = format!("{:03}", 100 + step);
                stage.execute(&format!("INSERT INTO organization VALUES ('{tenant}', 'active')")).await;
                account.rows.insert(tenant);
            }
            2 | 3 => {
                // One, or by mistake many; never all, so that the answer shows the tier.
                let many = dice.below(3) == 0;
                let gone: Vec<_> = account.rows.iter().filter(|_| many && dice.below(2) == 0).cloned().collect();
                let one = account.rows.first().cloned();
                for tenant in if many { gone } else { one.into_iter().collect() } {
                    if account.rows.len() > 6 {
                        stage.execute(&format!("DELETE FROM organization WHERE tenant = '{tenant}'")).await;
                        account.rows.remove(&tenant);
                    }
                }
            }
            4 => {
                account.away = !account.away;
                outages += usize::from(account.away);
                stage.away(&process, account.away);
            }
            5 | 6 => {
                account.silent = !account.silent;
                if account.silent {
                    silences += 1;
                    tiers.fail(dice.below(Tiers::NOTHING.len()));
                } else {
                    account.shaky = true;
                    tiers.give(&account.tier);
                }
            }
            7 => {
                account.tier = format!("t{step}");
                if !account.silent {
                    tiers.give(&account.tier);
                }
            }
            8 => {
                let url = std::fs::read_to_string(stage.folder.path().join("url")).unwrap();
                process = stage.restarted(process).await;
                std::fs::write(stage.folder.path().join("url"), url).unwrap();
            }
            9 if !process.held_back().await.is_empty() && !account.away && !account.silent => {
                process.pass(Duration::from_mins(1));
                process.all().await;
                process.release().await.unwrap();
                process.all().await.has(account.rows.len(), "fresh");
                account.recorded = Some((account.rows.clone(), account.tier.clone()));
                account.answered.clone_from(&account.recorded);
                account.shaky = false;
            }
            other => {
                process.pass(if other == 10 { Duration::from_mins(11) } else { Duration::from_mins(1) });
                account.shaky = false;
            }
        }
        if account.answered.is_none() && (account.away || account.silent || account.shaky) {
            process.pass(Duration::from_mins(1));
            account.shaky = false;
            if account.away || account.silent {
                assert!(process.ask_through(json!({})).await.is_refused(503).contains("cannot say"));
                continue;
            }
        }
        let reply = process.all().await;
        let held_back = !process.held_back().await.is_empty();
        guarded += usize::from(held_back);
        account.judge(step, reply.standing(), reply.items(), held_back);
    }
    (outages, silences, guarded)
}

#[tokio::test]
async fn each_part_is_held_for_itself_whatever_the_other_does() {
    let mut all = (0, 0, 0);
    for seed in 1..=6 {
        let (outages, silences, guarded) = hours(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed), 120).await;
        all = (all.0 + outages, all.1 + silences, all.2 + guarded);
    }
    // All of it did happen.
    assert!(all.0 > 10 && all.1 > 20 && all.2 > 10, "{all:?}");
}
