//! What the parts beside a build said last, and how lists were answered, for people: by what they are about.
//!
//! A line's answer is in the [`Book`](super::Book) of its generator; here is what its other parts said to it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Refusal, book::Stood};
use crate::{clock::Moment, domain::Answer, ledger::ListKey, parts::part::CannotSay};

/// Of how many lists something is noted.
const CAPACITY: usize = 20_000;

/// The longest text of inputs that is noted, in bytes.
const LONGEST: usize = 4 * 1024;

/// The notes of one generator's parts.
pub struct Heard {
    notes: Mutex<HashMap<ListKey, Arc<ListNoted>>>,
    capacity: usize,
}

/// What was said and answered last of one list.
#[derive(Clone, Debug, Default)]
pub struct ListNoted {
    /// The inputs of the latest question, where they are not too long.
    pub inputs: Option<Arc<str>>,
    /// What each part said last.
    pub parts: BTreeMap<Arc<str>, PartSaid>,
    /// How it was answered last; of a line its own note says that.
    pub answered: Option<ListAnswered>,
    /// When something was noted last.
    at: Moment,
}

/// What one part said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSaid {
    /// When it was asked.
    pub at: Moment,
    /// How many items it gave, or why it could not say.
    pub said: Result<usize, CannotSay>,
}

/// How a list was answered last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListAnswered {
    /// How.
    pub stood: Stood,
    /// Since when it is answered like this.
    pub since: Moment,
    /// When it was answered last.
    pub at: Moment,
    /// How many items it had; none where it was refused.
    pub items: Option<usize>,
    /// Why it is as it is.
    pub reason: Arc<str>,
}

impl Default for Heard {
    fn default() -> Self {
        Self { notes: Mutex::default(), capacity: CAPACITY }
    }
}

impl Heard {
    /// Notes what parts said.
    pub(super) fn said(
        &self,
        key: &ListKey,
        inputs: Option<&str>,
        parts: impl Iterator<Item = (Arc<str>, PartSaid)>,
        now: Moment,
    ) {
        self.change(key, now, |noted| {
            noted.parts = parts.collect();
            noted.inputs = inputs.filter(|inputs| inputs.len() <= LONGEST).map(Arc::from);
        });
    }

    /// Notes an answer, or that there was none. A question that is no good is nothing to note.
    pub(super) fn answered(&self, key: &ListKey, answer: Result<&Answer, &Refusal>, now: Moment) {
        let (stood, items, reason) = match answer {
            Ok(answer) => {
                let items = match answer {
                    Answer::List { list, .. } => list.len(),
                    Answer::Item { .. } => 1,
                    Answer::Nothing { .. } => 0,
                };
                (Stood::Answered(answer.standing()), Some(items), answer.reason().to_owned())
            }
            Err(Refusal::Bad(_)) => return,
            Err(refusal) => (Stood::Refused, None, refusal.to_string()),
        };
        self.change(key, now, |noted| {
            let before = noted.answered.as_ref().filter(|before| before.stood == stood);
            let since = before.map_or(now, |before| before.since);
            noted.answered = Some(ListAnswered { stood, since, at: now, items, reason: reason.into() });
        });
    }

    /// What is noted of one list.
    pub fn of(&self, key: &ListKey) -> Option<Arc<ListNoted>> {
        self.notes().get(key).cloned()
    }

    /// All that were answered for themselves, in no order.
    pub fn all(&self) -> Vec<(ListKey, Arc<ListNoted>)> {
        let notes = self.notes();
        let answered = notes.iter().filter(|(_, noted)| noted.answered.is_some());
        answered.map(|(key, noted)| (key.clone(), Arc::clone(noted))).collect()
    }

    fn change(&self, key: &ListKey, now: Moment, change: impl FnOnce(&mut ListNoted)) {
        let mut notes = self.notes();
        if notes.len() >= self.capacity && !notes.contains_key(key) {
            let mut times: Vec<_> = notes.values().map(|noted| noted.at).collect();
            let middle = times.len() / 2;
            let half = *times.select_nth_unstable(middle).1;
            notes.retain(|_, noted| noted.at > half);
        }
        let list = Arc::make_mut(notes.entry(key.clone()).or_default());
        list.at = now;
        change(list);
    }

    fn notes(&self) -> MutexGuard<'_, HashMap<ListKey, Arc<ListNoted>>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{List, QuestionError, Standing};

    fn second(second: u64) -> Moment {
        Moment::after_start(Duration::from_secs(second))
    }

    fn key(number: u64) -> ListKey {
        ListKey::of_inputs(&"tenants".into(), &number.to_string())
    }

    fn list(standing: Standing, reason: &str) -> Answer {
        Answer::List { list: List::said(vec![BTreeMap::new()]), standing, commit: None, reason: reason.to_owned() }
    }

    #[test]
    fn what_stays_as_it_is_began_when_it_became_so() {
        let heard = Heard::default();
        for (at, standing) in [(10, Standing::Fresh), (20, Standing::Held), (30, Standing::Held)] {
            heard.answered(&key(1), Ok(&list(standing, "a")), second(at));
        }
        let answered = || heard.of(&key(1)).unwrap().answered.clone().unwrap();
        assert_eq!((answered().since, answered().at, answered().items), (second(20), second(30), Some(1)));
        heard.answered(&key(1), Err(&Refusal::Unavailable("`sql` is away".to_owned())), second(40));
        assert_eq!((answered().stood, answered().since, answered().items), (Stood::Refused, second(40), None));
        assert_eq!(&*answered().reason, "no answer yet: `sql` is away");
        heard.answered(&key(2), Err(&Refusal::Bad(QuestionError::new("status", "is wrong"))), second(50));
        assert!(heard.of(&key(2)).is_none());
        // What was only said to a line is no answer of its own.
        let said = PartSaid { at: second(1), said: Ok(3) };
        heard.said(&key(3), Some("{}"), [("sql".into(), said)].into_iter(), second(60));
        assert_eq!((heard.all().len(), heard.of(&key(3)).unwrap().parts.len()), (1, 1));
    }

    #[test]
    fn the_oldest_notes_go() {
        let heard = Heard { capacity: 10, ..Heard::default() };
        for number in 1..=60 {
            heard.answered(&key(number), Ok(&list(Standing::Fresh, "")), second(number));
            assert!(heard.all().len() <= 10 && heard.of(&key(number)).is_some(), "{number}");
        }
        assert!(heard.of(&key(40)).is_none());
        heard.said(&key(60), Some(&"x".repeat(LONGEST + 1)), std::iter::empty(), second(61));
        assert_eq!(heard.of(&key(60)).unwrap().inputs, None);
    }
}
