//! The program ends, well or not, and what becomes of its ledger until it runs again.

use std::time::Duration;

use super::{PREVIEW, Story, asking::asked};
use crate::{ledgers::Snapshot, mutations::Mutation, rules::LedgerKind, world::Event};

impl Story<'_> {
    /// The program ends and is started again; perhaps in the middle of a question.
    pub(super) async fn restart(&mut self, under_way: bool) {
        let program = self.rng.usize(..self.stage.programs());
        let ledger = if under_way {
            self.tally.count("kills while a question was under way");
            self.hang_up_on(program, 600).await
        } else if self.rng.bool() {
            self.tally.count("kills");
            self.stage.snapshot(program).await
        } else {
            self.tally.count("orderly ends");
            self.flush(program).await;
            self.stage.snapshot(program).await
        };
        if self.world.rules.ledger == LedgerKind::Memory {
            return self.restart_without(program, "restart: the ledger was in memory").await;
        }
        // Every process has its own with this mutation, a ledger that cannot be used stays so, and one that is shared is
        // there all the time.
        let shared = self.world.rules.ledger.is_shared();
        let fate = if shared || self.mutation.is_some() || self.world.oracle.is_ledger_garbage() {
            0
        } else {
            self.rng.u8(..16)
        };
        match fate {
            1 | 2 => self.restart_without(program, "restart: the ledger is lost").await,
            3 => {
                let choice = self.rng.usize(..100);
                let broken = self.stage.restart(program, &ledger, Some(choice)).await;
                self.world.oracle.restarts(program, self.now());
                if let Some(line) = broken {
                    self.tally.count("records broken");
                    self.note(&format!("restart: the record of {line} is broken"));
                    self.world.oracle.record_is_broken(line);
                }
            }
            4 => {
                self.stage.restart(program, &Snapshot::garbage(), None).await;
                self.tally.count("ledgers turned into garbage");
                self.world.oracle.ledger_is_garbage();
                self.note("restart: the ledger is garbage");
                let lasts = Duration::from_secs(self.rng.u64(10..3000));
                self.world.later(self.now() + lasts, Event::LedgerIsTakenAway);
            }
            _ => {
                self.stage.restart(program, &ledger, None).await;
                self.tally.count("restarts that keep the ledger");
                self.world.oracle.restarts(program, self.now());
                if self.world.oracle.is_cut_off(program) {
                    self.stage.reach_database(program, false);
                }
                self.note("restart: the ledger is kept");
            }
        }
    }

    async fn restart_without(&mut self, program: usize, what: &str) {
        self.stage.restart(program, &Snapshot::default(), None).await;
        self.tally.count("ledgers lost");
        self.world.oracle.ledger_is_lost();
        self.note(what);
    }

    /// What no answer waits for is written.
    pub(super) async fn flush(&mut self, program: usize) {
        self.stage.flush(program).await;
        self.world.oracle.flushed();
        self.note("what no answer waits for is written");
    }

    /// The ledger as it is before a question, where that is to come back.
    pub(super) async fn before_record(&self, program: usize) -> Option<Snapshot> {
        if self.mutation == Some(Mutation::RecordAfterSend) { Some(self.stage.snapshot(program).await) } else { None }
    }

    /// Somebody asks and does not wait for the answer.
    pub(super) async fn hang_up(&mut self) {
        let program = self.rng.usize(..self.stage.programs());
        self.hang_up_on(program, 60).await;
        self.tally.count("callers that hung up");
    }

    async fn hang_up_on(&mut self, program: usize, turns: u32) -> Snapshot {
        if self.listed.is_empty() {
            self.list();
        }
        let entry = self.listed[self.rng.usize(..self.listed.len())].clone();
        let (question, parameters) = asked(&entry);
        let turns = self.rng.u32(..turns);
        let ledger = self.stage.hang_up(program, PREVIEW, &parameters, turns).await;
        let now = self.now();
        self.world.oracle.hung_up(&question, now);
        self.note(&format!("somebody asks for {} and hangs up", question.branch));
        ledger
    }
}
