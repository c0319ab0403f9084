//! Who asks: what Argo CD lists, and how it asks for it, one branch after the other; and callers that do not wait.

use std::{rc::Rc, time::Duration};

use serde_json::{Value, json};

use super::{Entry, PREVIEW, Story};
use crate::{
    hub::{Line, Question},
    mutations::Mutation,
    oracle::{Standing, Violation},
    stage::Reply,
};

impl Story<'_> {
    /// What whoever asks lists: open pull requests, and branches that were named.
    pub(super) fn list(&mut self) {
        let hub = &self.world.oracle.hub;
        let forms = self.forms.iter().filter(|(line, ..)| match line {
            Line::Pull(number) => hub.pulls[number].open,
            Line::Branch(_) => true,
        });
        let forms: Vec<_> = forms.cloned().collect();
        // Where a branch is named, what it has is kept whatever line it is: by the name it is the same application.
        let mut lines: Vec<_> = forms.iter().map(|(line, ..)| line.clone()).collect();
        let named: Vec<_> = lines.iter().filter(|line| matches!(line, Line::Branch(_))).cloned().collect();
        lines.extend(
            hub.pulls.keys().map(|number| Line::Pull(*number)).filter(|line| {
                !hub.is_fork(line) && named.iter().any(|name| hub.branch_of(name) == hub.branch_of(line))
            }),
        );
        self.listed = forms
            .iter()
            .map(|(line, number, head)| Entry {
                question: Question {
                    branch: hub.branch_of(line).expect("a line of the story"),
                    number: if let Line::Pull(number) = line { Some(*number) } else { None },
                    head: hub.head(line),
                },
                number: *number,
                head: *head,
            })
            .collect();
        self.world.oracle.listed(&lines);
    }

    /// Every line is asked, one after the other.
    pub(super) async fn sweep(&mut self) -> Result<(), Violation> {
        self.stage.sim.take_seen();
        if self.rng.u8(..10) < 8 || self.listed.is_empty() {
            self.list();
        }
        for entry in self.listed.clone() {
            let program = self.rng.usize(..self.stage.programs());
            self.ask(program, &entry).await?;
            if self.mutation == Some(Mutation::HeardTooLate) {
                self.ask(1 - program, &entry).await?;
            }
            self.ask_whole(program, &entry).await?;
            let now = self.now();
            self.catch_up(now).await;
        }
        Ok(())
    }

    async fn ask(&mut self, program: usize, entry: &Entry) -> Result<(), Violation> {
        let (question, parameters) = asked(entry);
        // What one replica has recorded another one knows within a second.
        let soon = self.mutation == Some(Mutation::HeardTooLate);
        if self.world.rules.ledger.is_shared() && program != self.asked && !soon {
            self.pass(Duration::from_secs(1)).await;
        }
        self.asked = program;
        let before = self.before_record(program).await;
        let reply = self.stage.ask(program, PREVIEW, &parameters, &mut self.rng).await;
        let reply = if self.mutation == Some(Mutation::GoesBack) { self.gone_back(&question, reply) } else { reply };
        let now = self.now();
        if self.stage.took_its_time() {
            self.world.oracle.weather.spoke(now);
        }
        let heard = self.world.oracle.hears(program, &question, &reply, now);
        self.tell_answer(program, &question, &reply, heard.as_ref().ok().map(|answer| answer.standing));
        heard?;
        // Somebody ends the program the moment that an answer is there that was recorded.
        if let Some(before) = before
            && before != self.stage.snapshot(program).await
            && self.rng.u8(..4) == 0
        {
            self.stage.restart(program, &before, None).await;
            self.world.oracle.restarts(program, self.now());
            self.note("a crash, after which the ledger is as it was before the question");
        }
        Ok(())
    }

    /// At times a question's former build in the place of its last one.
    fn gone_back(&mut self, question: &Question, reply: Reply) -> Reply {
        if reply.header("x-lastgreen-standing") != "fresh" {
            return reply;
        }
        let before = self.answered.entry(format!("{} {:?}", question.branch, question.number)).or_default();
        let is_last = before.last().is_some_and(|last| last.body == reply.body);
        if !is_last {
            before.push(reply.clone());
        }
        match before.as_slice() {
            [.., former, _] if is_last && self.rng.u8(..4) == 0 => former.clone(),
            _ => reply,
        }
    }

    fn tell_answer(&mut self, program: usize, question: &Question, reply: &Reply, standing: Option<Standing>) {
        self.tally.questions += 1;
        if let Some(standing) = standing {
            self.tally.answer(standing);
        }
        let commit = reply.header("x-lastgreen-commit");
        let commit = if commit.is_empty() { String::new() } else { format!(" {}", self.world.name(commit)) };
        let number = question.number.map(|number| format!(" #{number}")).unwrap_or_default();
        let head = question.head.as_ref().map(|head| format!(" at {}", self.world.name(head))).unwrap_or_default();
        let asked = format!("{}{number}{head}", question.branch);
        let standing = if reply.status == 200 { reply.header("x-lastgreen-standing") } else { "" };
        let message = reply.body["message"].as_str().unwrap_or_default();
        let of = if self.stage.programs() > 1 { format!(" of {program}") } else { String::new() };
        let text = format!(
            "ask {asked}{of} -> {} {standing}{commit} ({}{message}) in {}",
            reply.status,
            reply.header("x-lastgreen-reason"),
            reply.took()
        );
        self.note(&text);
    }
}

/// The question of an entry, and its parameters.
pub(super) fn asked(entry: &Entry) -> (Question, Value) {
    let Question { branch, number, head } = &entry.question;
    let question = Question {
        branch: Rc::clone(branch),
        number: number.filter(|_| entry.number),
        head: head.clone().filter(|_| entry.head),
    };
    let mut parameters = json!({ "branch": &*question.branch });
    if let Some(number) = question.number {
        parameters["number"] = number.to_string().into();
    }
    if let Some(head) = &question.head {
        parameters["head_sha"] = (**head).into();
    }
    (question, parameters)
}
