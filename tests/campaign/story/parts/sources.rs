//! What is done to the sources of the parts: rows and items come, change and go, one or many at once; the database and the
//! other plugin fail, and are well again.

use std::time::Duration;

use serde_json::json;

use super::{PAUSED, Story};
use crate::{
    hub::At,
    mutations::Mutation,
    parts::{Away, Condition, MAX_ROWS, REGIONS, STATUSES, TEAMS, Tenant, Wrong},
};

/// How long the other plugin may be left alone after it was away.
const LEFT_ALONE: Duration = Duration::from_secs(20);

/// The other plugin is waited for so long.
const PATIENCE: Duration = Duration::from_secs(5);

const ROLES: [&str; 3] = ["owner", "dev", "guest"];

const TIERS: [&str; 3] = ["free", "gold", "silver"];

impl Story<'_> {
    pub(super) fn write_rows(&mut self) {
        let tenants = self.world.oracle.lists.as_ref().map(|lists| lists.sources.tenants.clone()).unwrap_or_default();
        let rows = tenants.iter().map(|(name, tenant)| (name.as_str(), tenant.status, tenant.region));
        self.tale().rows.set(rows);
    }

    pub(super) fn write_items(&mut self) {
        let sources = &self.world.oracle.lists.as_ref().expect("a story with parts").sources;
        let members = sources.members.iter().map(|(team, members)| {
            let items = members.iter().map(|(name, role)| json!({ "member": name, "role": role }));
            (("/members", (*team).to_owned()), items.collect())
        });
        // Numbers become texts.
        let tiers = sources.tiers.iter().map(|(team, tiers)| {
            let items = tiers.iter().map(|(tier, quota)| json!({ "tier": tier, "quota": quota }));
            (("/tiers", (*team).to_owned()), items.collect())
        });
        let lists = members.chain(tiers).collect();
        if let Some(service) = &self.stage.service {
            service.say(lists);
        }
    }

    pub(super) fn tenants_come(&mut self, count: usize) {
        for _ in 0..count {
            let tale = self.tale();
            let name = tale.name("t");
            let status = STATUSES[[0, 0, 0, 1, 2][tale.rng.usize(..5)]];
            let region = REGIONS[tale.rng.usize(..2)];
            self.lists().sources.tenants.insert(name, Tenant { status, region });
        }
    }

    pub(super) fn members_come(&mut self, team: &'static str, count: usize) {
        for _ in 0..count {
            let tale = self.tale();
            let (name, role) = (tale.name("m"), ROLES[tale.rng.usize(..3)]);
            self.lists().sources.members.entry(team).or_default().push((name, role));
        }
    }

    /// A team mostly has one tier; it may have several, or none.
    pub(super) fn tiers_change(&mut self, team: &'static str) {
        let rng = &mut self.tale().rng;
        let count = [1, 1, 1, 1, 1, 2, 3, 0][rng.usize(..8)];
        let tiers = (0..count).map(|nth| (TIERS[nth], rng.u32(1..100))).collect();
        self.lists().sources.tiers.insert(team, tiers);
    }

    pub(super) fn somebody_changes_rows(&mut self) {
        // What is away cannot be written to.
        if self.tale().database.is_some() {
            return;
        }
        let names: Vec<_> = self.lists().sources.tenants.keys().cloned().collect();
        let rng = &mut self.tale().rng;
        let one = names.get(rng.usize(..names.len().max(1))).cloned();
        let what = match (rng.u8(..12), one) {
            (0..3, Some(name)) => {
                self.lists().sources.tenants.remove(&name);
                format!("the tenant {name} goes")
            }
            (3 | 4, Some(name)) => {
                let (status, region) = (STATUSES[rng.usize(..3)], REGIONS[rng.usize(..2)]);
                self.lists().sources.tenants.insert(name.clone(), Tenant { status, region });
                format!("the tenant {name} is {status} in {region} now")
            }
            (5 | 6, _) => {
                // By mistake, perhaps.
                let percent = rng.u8(30..101);
                let gone: Vec<_> = names.iter().filter(|_| rng.u8(..100) < percent).collect();
                for name in &gone {
                    self.lists().sources.tenants.remove(*name);
                }
                self.tally.count("rows deleted by the many");
                format!("{} of {} tenants go", gone.len(), names.len())
            }
            (7, _) => {
                let count = names.len().clamp(1, 15);
                self.lists().sources.tenants.clear();
                self.tenants_come(count);
                format!("{count} other tenants in the place of {}", names.len())
            }
            (8, _) if names.len() < MAX_ROWS => {
                self.tenants_come(2 * MAX_ROWS);
                self.tally.fault("too many rows");
                format!("{MAX_ROWS} more tenants than may be")
            }
            _ => {
                let count = self.tale().rng.usize(1..4);
                self.tenants_come(count);
                format!("{count} tenants come")
            }
        };
        self.too_many_go_some_day();
        self.write_rows();
        self.note(&what);
    }

    /// Too many rows are somebody's mistake, and do not stay for long.
    fn too_many_go_some_day(&mut self) {
        let count = self.lists().sources.tenants.len();
        if count > 2 * MAX_ROWS && self.tale().rng.bool() {
            self.drop_all_but(15);
        }
    }

    pub(super) fn too_many_go(&mut self) {
        if self.lists().sources.tenants.len() > MAX_ROWS {
            self.drop_all_but(15);
            self.write_rows();
            self.note("the tenants that were too many go");
        }
    }

    fn drop_all_but(&mut self, count: usize) {
        let tenants = &mut self.lists().sources.tenants;
        while tenants.len() > count {
            tenants.pop_last();
        }
    }

    pub(super) fn somebody_changes_items(&mut self) {
        let rng = &mut self.tale().rng;
        let team = TEAMS[rng.usize(..2)];
        let what = match rng.u8(..8) {
            0 | 1 => {
                let count = rng.usize(1..4);
                self.members_come(team, count);
                format!("{count} members come to team {team}")
            }
            2 | 3 => {
                let nth = rng.usize(..100);
                let members = self.lists().sources.members.entry(team).or_default();
                if !members.is_empty() {
                    members.remove(nth % members.len());
                }
                format!("one leaves team {team}")
            }
            4 => {
                let (nth, role) = (rng.usize(..100), ROLES[rng.usize(..3)]);
                let members = self.lists().sources.members.entry(team).or_default();
                let count = members.len();
                if let Some((_, is)) = members.get_mut(nth % count.max(1)) {
                    *is = role;
                }
                format!("one of team {team} is {role} now")
            }
            5 => {
                let keep = rng.usize(..3);
                self.lists().sources.members.entry(team).or_default().truncate(keep);
                format!("all but {keep} leave team {team}")
            }
            _ => {
                self.tiers_change(team);
                format!("the tiers of team {team} are others")
            }
        };
        self.write_items();
        self.note(&what);
    }

    fn lasts(&mut self) -> Duration {
        let rng = &mut self.tale().rng;
        Duration::from_secs(if rng.bool() { rng.u64(1..120) } else { rng.u64(120..7200) })
    }

    pub(super) fn database_fails(&mut self) {
        if self.tale().database.is_some() {
            return;
        }
        let (now, lasts) = (self.now(), self.lasts());
        let ways = [
            ("table gone", Away::TableGone),
            ("column gone", Away::ColumnGone),
            ("file gone", Away::FileGone),
            ("file is no database", Away::Garbage),
            ("query that never ends", Away::Endless),
            ("file locked", Away::Locked),
        ];
        // A locked file takes real time.
        let rng = &mut self.tale().rng;
        let (name, away) = ways[[0, 0, 1, 2, 2, 3, 3, 4, 4, 4, 5][rng.usize(..11)]];
        let lasts = if away == Away::Locked { Duration::from_secs(rng.u64(1..30)) } else { lasts };
        self.tale().rows.goes(away);
        self.stage.endless = away == Away::Endless;
        self.tale().database = Some((now + lasts, away));
        self.lists().sources.database = Condition::Silent;
        self.tally.fault(name);
        self.note(&format!("tenants: {name} for {} s", lasts.as_secs()));
    }

    pub(super) async fn service_fails(&mut self) {
        if self.tale().service.is_some() {
            return;
        }
        let (now, lasts) = (self.now(), self.lasts());
        let rng = &mut self.tale().rng;
        let slow = Duration::from_secs(rng.u64(1..9));
        let ways = [
            ("other plugin down", Wrong::Down),
            ("other plugin resets", Wrong::Reset),
            ("other plugin hangs", Wrong::Hang),
            ("other plugin slow", Wrong::Slow(slow)),
            ("other plugin 500", Wrong::Status(500, None)),
            ("other plugin 404", Wrong::Status(404, None)),
            ("other plugin 403", Wrong::Status(403, None)),
            ("other plugin 204", Wrong::Status(204, None)),
            ("other plugin 429", Wrong::Status(429, Some("30"))),
            ("other plugin says nothing", Wrong::Says("")),
            ("other plugin says HTML", Wrong::Says("<!doctype html><html></html>")),
            ("other plugin says no list", Wrong::Says(r#"{"output":{"parameters":null}}"#)),
            ("other plugin says no output", Wrong::Says("{}")),
            ("other plugin says 5 MB", Wrong::Huge),
            ("other plugin is cut off", Wrong::CutOff),
            ("other plugin has other keys", Wrong::OtherKeys),
        ];
        let (name, wrong) = ways[rng.usize(..ways.len())].clone();
        let condition = match wrong {
            Wrong::Slow(by) if by < PATIENCE => Condition::Shaky,
            _ => Condition::Silent,
        };
        let does = if self.mutation == Some(Mutation::OutageIsEmpty) {
            Wrong::Says(r#"{"output":{"parameters":[]}}"#)
        } else {
            wrong.clone()
        };
        self.set_wrong(Some(does)).await;
        self.tale().service = Some((now + lasts, wrong));
        self.lists().sources.service = condition;
        self.tally.fault(name);
        self.note(&format!("{name} for {} s", lasts.as_secs()));
    }

    async fn set_wrong(&mut self, wrong: Option<Wrong>) {
        if let Some(service) = &mut self.stage.service {
            service.set_wrong(wrong).await;
        }
    }

    /// What was wrong for long enough, or all of it, ends.
    pub(super) async fn troubles_of_parts_end(&mut self, all: bool) {
        let now = self.now();
        if self.tale().database.is_some_and(|(until, _)| all || until <= now) {
            self.tale().database = None;
            self.tale().rows.returns();
            self.stage.endless = false;
            self.lists().sources.database = Condition::Well { from: At::ZERO };
            self.note("the tenants are there again");
        }
        if self.tale().service.as_ref().is_some_and(|(until, _)| all || *until <= now) {
            let was = self.tale().service.take();
            let limited = matches!(was, Some((_, Wrong::Status(429, _))));
            self.set_wrong(None).await;
            let from = now + if limited { PAUSED } else { LEFT_ALONE };
            self.lists().sources.service = Condition::Well { from };
            self.note("the other plugin is well again");
        }
    }
}
