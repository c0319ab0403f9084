//! All open pull requests at once: listed, and read together as far as they are not known.

use std::sync::Arc;

use futures_util::{StreamExt as _, future, stream};

use super::{BuildPart, hot::Due};
use crate::{
    clock::Moment,
    domain::{Listing, Pull},
    github::{Ask, By, Wanted},
    parts::part::{CannotSay, Values},
};

/// How many lines are looked for in memory at once.
const AT_ONCE: usize = 64;

/// The keys of a pull request in the list of them.
pub fn pull_keys() -> [String; 2] {
    ["number", "branch"].map(str::to_owned)
}

impl BuildPart {
    /// All open pull requests by number and branch, lowest number first, as listed no longer ago than a head may be old
    /// that is not final.
    pub async fn pulls_until(&self, until: Moment) -> Result<Vec<Values>, CannotSay> {
        let since = self.clock.now() - self.options.pending;
        let listing = tokio::select! {
            biased;
            listing = self.github.open_pulls(&self.options.repository, since) => listing.map_err(|error| error.to_string()),
            () = self.clock.sleep_until(until) => Err("GitHub did not list the open pull requests in time".to_owned()),
        };
        let listing = listing.map_err(|reason| CannotSay { reason })?;
        let [number, branch] = pull_keys();
        let values = |pull: &Pull| {
            Values::from([(number.clone(), pull.number.to_string()), (branch.clone(), pull.branch.to_string())])
        };
        let mut pulls: Vec<_> = listing.pulls().map(|listed| &listed.pull).collect();
        pulls.sort_by_key(|pull| pull.number);
        Ok(pulls.into_iter().map(values).collect())
    }

    /// The open pull requests as they were listed last.
    pub fn listing(&self) -> Option<Arc<Listing>> {
        self.github.listing(&self.options.repository)
    }

    /// Begins to read together what is listed and not known, or not fresh any more. Questions about it wait for that.
    pub async fn read_all(self: &Arc<Self>, listing: &Arc<Listing>) {
        let now = self.clock.now();
        let due = if self.options.ahead {
            self.hot.take_listed(listing, now)
        } else {
            self.unread_of(listing, now - self.options.settled).await
        };
        drop(self.begin_work(listing, &due));
    }

    /// What is listed and was not read since then.
    async fn unread_of(&self, listing: &Listing, since: Moment) -> Vec<Due> {
        let unread = listing.pulls().map(|listed| async move {
            let by = By::Number(listed.pull.number);
            let ask = Ask { repo: self.options.repository.clone(), by: by.clone(), walk: self.options.walk };
            let wanted = Wanted { by, walk: 0, renewable: false };
            let due = Due { wanted, branch: listed.pull.branch.clone(), is_final: false };
            (!self.github.is_fresh(&ask, since).await).then_some(due)
        });
        stream::iter(unread.collect::<Vec<_>>()).buffered(AT_ONCE).filter_map(future::ready).collect().await
    }
}
