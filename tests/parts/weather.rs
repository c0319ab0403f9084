//! Hours of polling over a database that changes, is away, is emptied by mistake, under a process that is restarted: each
//! answer is held against what may be answered.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;

use crate::stage::{Process, Stage};

/// A generator of numbers that gives the same ones each time (`xorshift64*`).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap() % limit
    }
}

type Tenants = BTreeSet<String>;

fn of(items: &[serde_json::Value]) -> Tenants {
    items.iter().map(|item| item["tenant"].as_str().unwrap().to_owned()).collect()
}

/// What the database holds, and what was answered.
struct Account {
    rows: Tenants,
    answered: Option<Tenants>,
    /// Whether the database is away.
    away: bool,
}

impl Account {
    /// Whether so many of what was answered last are gone that the guard must look up at once.
    fn is_a_mass(&self) -> bool {
        self.answered.as_ref().is_some_and(|last| {
            let gone = last.difference(&self.rows).count();
            last.len() >= 5 && gone * 5 > last.len()
        })
    }

    /// Holds one answer against it.
    fn judge(&mut self, step: usize, standing: &str, now: Tenants) {
        let last = self.answered.clone();
        match (standing, last) {
            ("fresh", _) => {
                assert!(!self.away, "step {step}: fresh, with the database away");
                assert_eq!(now, self.rows, "step {step}");
                assert!(!self.is_a_mass(), "step {step}: a mass vanished unseen");
            }
            ("held", Some(last)) => assert_eq!(now, last, "step {step}: what is held is what was answered"),
            other => panic!("step {step}: {other:?}"),
        }
        self.answered = Some(now);
    }
}

async fn hours(seed: u64, steps: usize) -> (usize, usize, usize) {
    let stage = Stage::sqlite().await;
    let mut dice = Dice(seed);
    let mut process: Process = stage.process();
    stage.tenants(12).await;
    let rows = (0..12).map(|number| format!("{number:03}")).collect();
    let mut account = Account { rows, answered: None, away: false };
    let (mut outages, mut held, mut released, mut next) = (0, 0, 0, 12);
    for step in 0..steps {
        match dice.below(12) {
            0 | 1 => {
                let tenant = format!("{next:03}");
                next += 1;
                stage.execute(&format!("INSERT INTO organization VALUES ('{tenant}', 'active')")).await;
                account.rows.insert(tenant);
            }
            2 => {
                if let Some(tenant) = account.rows.iter().nth(dice.below(account.rows.len().max(1))).cloned() {
                    stage.execute(&format!("DELETE FROM organization WHERE tenant = '{tenant}'")).await;
                    account.rows.remove(&tenant);
                }
            }
            3 => {
                // By mistake, perhaps.
                let half: Vec<_> = account.rows.iter().filter(|_| dice.below(2) == 0).cloned().collect();
                for tenant in half {
                    stage.execute(&format!("DELETE FROM organization WHERE tenant = '{tenant}'")).await;
                    account.rows.remove(&tenant);
                }
            }
            4 | 5 => {
                account.away = !account.away;
                outages += usize::from(account.away);
                stage.away(&process, account.away);
            }
            6 => {
                let url = std::fs::read_to_string(stage.folder.path().join("url")).unwrap();
                process = stage.restarted(process).await;
                std::fs::write(stage.folder.path().join("url"), url).unwrap();
            }
            7 if !process.held_back().await.is_empty() && !account.away => {
                // Somebody has looked: what is in the database is what is meant, as far as it was held back.
                process.all().await;
                process.release().await.unwrap();
                released += 1;
                process.all().await.has(account.rows.len(), "fresh");
                account.answered = Some(account.rows.clone());
            }
            8 => process.pass(Duration::from_mins(11)),
            _ => process.pass(Duration::from_secs(30)),
        }
        if account.answered.is_none() && account.away {
            assert!(process.ask_through(json!({})).await.is_refused(503).contains("cannot say"));
            continue;
        }
        let reply = process.all().await;
        let standing = reply.standing().to_owned();
        held += usize::from(standing == "held" && !account.away);
        account.judge(step, &standing, of(reply.items()));
    }
    // In the end the weather is fine, and what is there is answered.
    if account.away {
        stage.away(&process, false);
    }
    if process.all().await.standing() == "held" {
        process.release().await.unwrap();
    }
    let reply = process.all().await;
    assert_eq!((reply.standing(), of(reply.items())), ("fresh", account.rows));
    (outages, held, released)
}

#[tokio::test]
async fn no_tenant_is_lost_by_an_outage_and_one_that_is_deleted_goes() {
    let mut all = (0, 0, 0);
    for seed in 1..=6 {
        let (outages, held, released) = hours(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed), 120).await;
        all = (all.0 + outages, all.1 + held, all.2 + released);
    }
    // All of it did happen.
    assert!(all.0 > 20 && all.1 > 20 && all.2 > 3, "{all:?}");
}
