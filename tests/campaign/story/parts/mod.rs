//! The other parts of a story: what happens to them, who asks for them, who hangs up, and an operator who lets go what the
//! guard holds back.
//!
//! All of it is decided by dice of its own.

mod sources;

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;

use super::{Entry, Story};
use crate::{
    hub::At,
    oracle::{Heard, Lists, Violation},
    parts::{Asked, Away, Generator, PartRules, REGIONS, RowsFile, STATUSES, TEAMS, Wrong},
};

/// How long the other plugin may be left alone after it asked for half a minute.
const PAUSED: Duration = Duration::from_mins(1);

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
