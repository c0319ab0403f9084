//! Which lines were recorded under a branch's name: where a branch gains or loses its pull request, and where GitHub cannot
//! say whose a name is.

use std::sync::Arc;

use super::{Mirror, Newer, State};
use crate::{
    domain::{Branch, Line},
    ledger::{LineKey, record::Nothing},
};

impl Mirror {
    /// What was recorded for another line of the same own branch, if that is a later change than this one's.
    pub(in crate::ledger) fn newer_of_same_branch(&self, key: &LineKey, branch: &Branch) -> Option<Newer> {
        let name = (Arc::clone(&key.generator), key.repository, branch.clone());
        let entry = |line: &Line| self.lines.get(&LineKey { line: line.clone(), ..key.clone() });
        let since = entry(&key.line).map_or(0, |entry| entry.change);
        // Only a change between the two kinds is the same branch for sure: a later pull request is another one.
        let other_kind = |line: &&Line| {
            matches!((line, &key.line), (Line::Pull(_), Line::Branch(_)) | (Line::Branch(_), Line::Pull(_)))
        };
        let newer = self.by_name.get(&name)?.iter().filter(other_kind).filter_map(entry);
        let newer = newer.filter(|entry| entry.change > since).filter_map(|entry| match &entry.state {
            State::Item(record) if record.own => Some((entry.change, Newer::Item(Arc::clone(record), entry.as_of))),
            State::Unreadable(_) => Some((entry.change, Newer::Unreadable)),
            _ => None,
        });
        newer.max_by_key(|(change, _)| *change).map(|(_, newer)| newer)
    }

    /// The line under a branch's name that was recorded last with an item, an own one before a fork's, unless the item
    /// was withdrawn under another own line since; else one that is known to have nothing.
    pub(in crate::ledger) fn line_by_name(
        &self,
        generator: &Arc<str>,
        repository: u64,
        branch: &Branch,
    ) -> Option<Line> {
        let lines = self.by_name.get(&(Arc::clone(generator), repository, branch.clone()))?;
        let entries = lines.iter().filter_map(|line| {
            let key = LineKey { generator: Arc::clone(generator), repository, line: line.clone() };
            Some((self.lines.get(&key)?, line))
        });
        let (mut own, mut forks, mut empty): (Option<(i64, bool, &Line)>, _, _) = (None, None, None);
        for (entry, line) in entries {
            let (last, has_item) = match &entry.state {
                State::Item(record) => (if record.own { &mut own } else { &mut forks }, true),
                // Whose it was cannot be read; better to ask about it than to pass it over.
                State::Unreadable(_) => (&mut own, true),
                State::Nothing(Nothing { branch: Some((_, true)), withdrawn_by }) => match withdrawn_by {
                    Some(_) => (&mut own, false),
                    None => (&mut empty, false),
                },
                State::Nothing(_) | State::Never => continue,
            };
            if last.is_none_or(|(change, ..): (i64, bool, &Line)| change < entry.change) {
                *last = Some((entry.change, has_item, line));
            }
        }
        let own_item = own.filter(|(_, has_item, _)| *has_item);
        own_item.or(forks).or(own).or(empty).map(|(.., line)| line.clone())
    }
}
