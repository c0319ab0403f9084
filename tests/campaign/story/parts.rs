//! What happens to the other parts, and who asks for them: rows and items come, change and go, one or many at once; the
//! database and the other plugin fail; an operator lets go what the guard holds back.
//!
//! All of it is decided by dice of its own.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use serde_json::json;

use super::{Entry, Story};
use crate::{
    hub::At,
    mutations::Mutation,
    oracle::{Heard, Lists, Violation},
    parts::{
        Asked, Away, Condition, Generator, MAX_ROWS, PartRules, REGIONS, RowsFile, STATUSES, TEAMS, Tenant, Wrong,
    },
};

/// How long the other plugin may be left alone after it was away.
const LEFT_ALONE: Duration = Duration::from_secs(20);

/// How long, after it asked for half a minute.
const PAUSED: Duration = Duration::from_secs(60);

/// The other plugin is waited for so long.
const PATIENCE: Duration = Duration::from_secs(5);

const ROLES: [&str; 3] = ["owner", "dev", "guest"];

const TIERS: [&str; 3] = ["free", "gold", "silver"];

/// The parts of a story.
pub(super) struct Tale {
    pub(super) rng: Rng,
    rows: RowsFile,
    /// How many names were given.
    names: u32,
    /// What is wrong, and until when.
    database: Option<(At, Away)>,
    service: Option<(At, Wrong)>,
    /// What was asked for, to be asked for at the end.
    asked: Vec<Asked>,
}

impl Tale {
    pub(super) fn new(rng: Rng, folder: &std::path::Path) -> Self {
        let rows = RowsFile::new(folder);
        Self { rng, rows, names: 0, database: None, service: None, asked: Vec::new() }
    }

    fn name(&mut self, stem: &str) -> String {
        self.names += 1;
        format!("{stem}{:03}", self.names)
    }
}

impl Story<'_> {
    fn tale(&mut self) -> &mut Tale {
        self.tale.as_mut().expect("a story with parts")
    }

    fn lists(&mut self) -> &mut Lists {
        self.world.oracle.lists.as_mut().expect("a story with parts")
    }

    /// What is there when the story begins.
    pub(super) fn furnish_parts(&mut self, rules: PartRules) {
        self.world.oracle.lists = Some(Lists::new(rules));
        let count = self.tale().rng.usize(3..15);
        self.tenants_come(count);
        for team in TEAMS {
            let count = self.tale().rng.usize(0..9);
            self.members_come(team, count);
            self.tiers_change(team);
        }
        self.write_rows();
        self.write_items();
    }

    /// A little of it, after whatever else happened; and somebody may ask.
    pub(super) async fn beside(&mut self) -> Result<(), Violation> {
        if self.tale.is_none() {
            return Ok(());
        }
        self.stage.rest().await;
        self.troubles_of_parts_end(false).await;
        match self.tale().rng.u8(..100) {
            0..22 => self.somebody_changes_rows(),
            22..34 => self.somebody_changes_items(),
            34..42 => self.database_fails(),
            42..52 => self.service_fails().await,
            52..56 => self.troubles_of_parts_end(true).await,
            56..62 => self.operator_releases().await?,
            62..66 => self.hang_up_on_parts().await,
            _ => {}
        }
        for _ in 0..self.tale().rng.usize(..3) {
            let asked = self.some_question();
            self.ask_parts(&asked, None).await?;
        }
        Ok(())
    }

    /// The end of the story: all is well, what is held back is let go, and then all is answered as it is.
    pub(super) async fn parts_end(&mut self) -> Result<(), Violation> {
        if self.tale.is_none() {
            return Ok(());
        }
        self.troubles_of_parts_end(true).await;
        self.too_many_go();
        self.pass(PAUSED).await;
        let mut all = self.tale().asked.clone();
        all.retain(|asked| asked.number.is_none());
        for _ in 0..3 {
            for asked in &all {
                self.ask_parts(asked, None).await?;
            }
            self.operator_releases().await?;
        }
        Ok(())
    }

    fn some_question(&mut self) -> Asked {
        let rng = &mut self.tale().rng;
        let (generator, name, values) = if rng.bool() {
            (Generator::Tenants, "status", &STATUSES[..2])
        } else {
            (Generator::Members, "team", &TEAMS[..])
        };
        let value = values[rng.usize(..2)];
        let all = generator == Generator::Tenants && rng.bool();
        let inputs = if all { BTreeMap::new() } else { BTreeMap::from([(name, value)]) };
        Asked { generator, inputs, number: None }
    }

    /// The generator of all parts is asked about a pull request, too.
    pub(super) async fn ask_whole(&mut self, program: usize, entry: &Entry) -> Result<(), Violation> {
        let Some(number) = entry.question.number.filter(|_| self.tale.is_some()) else { return Ok(()) };
        let rng = &mut self.tale().rng;
        if rng.u8(..10) < 6 {
            return Ok(());
        }
        // Mostly everybody asks about a pull request with the same inputs.
        let nth = usize::try_from(number).unwrap_or_default() + usize::from(rng.u8(..20) == 0);
        let inputs = BTreeMap::from([("region", REGIONS[nth % 2]), ("team", TEAMS[nth / 2 % 2])]);
        let asked = Asked { generator: Generator::Whole, inputs, number: Some(number) };
        self.ask_parts(&asked, Some((program, &entry.question.branch))).await
    }

    async fn ask_parts(&mut self, asked: &Asked, of: Option<(usize, &str)>) -> Result<(), Violation> {
        let programs = self.stage.programs();
        let program = match of {
            Some((program, _)) => program,
            None => self.tale().rng.usize(..programs),
        };
        // Real time passes with each look at a locked file, and there are many where nothing is recorded.
        let locked = matches!(self.tale().database, Some((_, Away::Locked)));
        if locked && asked.generator != Generator::Members && !self.lists().is_recorded(asked) {
            return Ok(());
        }
        self.hear_of_others(program).await;
        let branch = of.map(|(_, branch)| branch);
        let tale = self.tale.as_mut().expect("a story with parts");
        if !tale.asked.contains(asked) {
            tale.asked.push(asked.clone());
        }
        let parameters = asked.parameters(branch, &mut tale.rng);
        let reply = self.stage.ask(program, asked.generator.name(), &parameters, &mut tale.rng).await;
        let now = self.now();
        if self.stage.took_its_time() {
            self.world.oracle.weather.spoke(now);
        }
        let heard = self.world.oracle.hears_parts(program, (asked, branch), &reply, now);
        self.tally.questions += 1;
        self.tally.count(heard.as_ref().map_or("lists wrong", Heard::word));
        let many = reply.body["output"]["parameters"].as_array().map_or(0, Vec::len);
        let (standing, reason) = (reply.header("x-lastgreen-standing"), reply.header("x-lastgreen-reason"));
        let message = reply.body["message"].as_str().unwrap_or_default();
        let text = format!(
            "ask {} of {program} -> {} {standing}, {many} items ({reason}{message}) in {}",
            asked.told(),
            reply.status,
            reply.took()
        );
        self.note(&text);
        if reason.contains("the guard holds back") {
            self.tally.count("answers that the guard held back");
        }
        heard.map(drop)
    }

    fn write_rows(&mut self) {
        let tenants = self.world.oracle.lists.as_ref().map(|lists| lists.sources.tenants.clone()).unwrap_or_default();
        let rows = tenants.iter().map(|(name, tenant)| (name.as_str(), tenant.status, tenant.region));
        self.tale().rows.set(rows);
    }

    fn write_items(&mut self) {
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

    fn tenants_come(&mut self, count: usize) {
        for _ in 0..count {
            let tale = self.tale();
            let name = tale.name("t");
            let status = STATUSES[[0, 0, 0, 1, 2][tale.rng.usize(..5)]];
            let region = REGIONS[tale.rng.usize(..2)];
            self.lists().sources.tenants.insert(name, Tenant { status, region });
        }
    }

    fn members_come(&mut self, team: &'static str, count: usize) {
        for _ in 0..count {
            let tale = self.tale();
            let (name, role) = (tale.name("m"), ROLES[tale.rng.usize(..3)]);
            self.lists().sources.members.entry(team).or_default().push((name, role));
        }
    }

    /// A team mostly has one tier; it may have several, or none.
    fn tiers_change(&mut self, team: &'static str) {
        let rng = &mut self.tale().rng;
        let count = [1, 1, 1, 1, 1, 2, 3, 0][rng.usize(..8)];
        let tiers = (0..count).map(|nth| (TIERS[nth], rng.u32(1..100))).collect();
        self.lists().sources.tiers.insert(team, tiers);
    }

    fn somebody_changes_rows(&mut self) {
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
                gone.iter().for_each(|name| drop(self.lists().sources.tenants.remove(*name)));
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
                format!("{} more tenants than may be", MAX_ROWS)
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

    fn too_many_go(&mut self) {
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

    fn somebody_changes_items(&mut self) {
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

    fn database_fails(&mut self) {
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

    async fn service_fails(&mut self) {
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
    async fn troubles_of_parts_end(&mut self, all: bool) {
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

    /// An operator looks at what the guards hold back, and lets it go.
    async fn operator_releases(&mut self) -> Result<(), Violation> {
        // While he can hardly reach the ledger he waits.
        let now = self.now();
        if self.world.oracle.is_ledger_garbage() || self.world.oracle.is_database_shaky(now) {
            return Ok(());
        }
        let programs = self.stage.programs();
        let program = self.tale().rng.usize(..programs);
        self.hear_of_others(program).await;
        let listed = self.stage.held_back(program).await;
        for generator in [Generator::Tenants, Generator::Members, Generator::Whole] {
            let (perhaps, surely) = self.lists().holds_back(generator);
            let is_listed = listed.iter().flatten().any(|view| view.generator == generator.name() && !view.released);
            self.world.oracle.operator_sees(generator, is_listed)?;
            if !perhaps {
                continue;
            }
            let released = self.stage.release(program, generator.name()).await;
            self.note(&format!("the operator lets go what the guard of {} holds back: {released:?}", generator.name()));
            self.world.oracle.operator_released(generator, (surely, released.is_ok()))?;
            self.tally.count("guards released");
        }
        Ok(())
    }

    /// Somebody asks and does not wait; or the program is killed meanwhile.
    async fn hang_up_on_parts(&mut self) {
        let programs = self.stage.programs();
        let program = self.tale().rng.usize(..programs);
        let numbers: Vec<_> = self.listed.iter().filter(|entry| entry.question.number.is_some()).cloned().collect();
        let rng = &mut self.tale().rng;
        let entry = numbers.get(rng.usize(..numbers.len().max(1))).filter(|_| rng.bool());
        let (asked, branch) = match entry {
            None => (self.some_question(), None),
            Some(entry) => {
                let number = entry.question.number;
                let nth = usize::try_from(number.unwrap_or_default()).unwrap_or_default();
                let inputs = BTreeMap::from([("region", REGIONS[nth % 2]), ("team", TEAMS[nth / 2 % 2])]);
                (Asked { generator: Generator::Whole, inputs, number }, Some(&*entry.question.branch))
            }
        };
        self.hear_of_others(program).await;
        let rng = &mut self.tale.as_mut().expect("a story with parts").rng;
        let (turns, kill) = (rng.u32(..400), rng.u8(..3) == 0);
        let parameters = asked.parameters(branch, rng);
        let ledger = self.stage.hang_up(program, asked.generator.name(), &parameters, turns).await;
        let now = self.now();
        self.lists().hung_up(&asked, now);
        self.tally.count("callers of parts that hung up");
        self.note(&format!("somebody asks for {} and hangs up", asked.told()));
        if kill && !self.world.oracle.is_ledger_garbage() && self.world.rules.ledger != crate::rules::LedgerKind::Memory
        {
            self.stage.restart(program, &ledger, None).await;
            self.world.oracle.restarts(program, now);
            if self.world.oracle.is_cut_off(program) {
                self.stage.reach_database(program, false);
            }
            self.tally.count("kills while parts were asked");
            self.note("killed meanwhile; the ledger is kept");
        } else {
            self.stage.rest().await;
        }
    }

    /// What one replica has recorded another one knows within a second.
    async fn hear_of_others(&mut self, program: usize) {
        if self.world.rules.ledger.is_shared() && program != self.asked {
            self.pass(Duration::from_secs(1)).await;
        }
        self.asked = program;
    }
}
