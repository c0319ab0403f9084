//! All open pull requests of a repository, for whoever needs every one of them.

use std::sync::Arc;

use super::{GitHub, read::Page};
use crate::{
    clock::Moment,
    domain::{Listing, Repo},
    upstream::{Kind, UpstreamError},
};

impl GitHub {
    /// All open pull requests, as listed by a request at `not_before` or later.
    ///
    /// # Errors
    /// If they cannot be listed to the end: a part of them is none of them.
    pub async fn open_pulls(self: &Arc<Self>, repo: &Repo, not_before: Moment) -> Result<Arc<Listing>, UpstreamError> {
        self.notice_rotation();
        if let Some(listing) = self.listing(repo).filter(|listing| listing.complete && listing.began >= not_before) {
            return Ok(listing);
        }
        let (this, owned) = (Arc::clone(self), repo.clone());
        let load = move || {
            let (this, repo) = (Arc::clone(&this), owned.clone());
            async move { this.list(&repo).await }
        };
        self.listings.get(repo.clone(), not_before, load).await
    }

    async fn list(&self, repo: &Repo) -> Result<Arc<Listing>, UpstreamError> {
        let page = self.page(repo, None).await?;
        let mut listing = Listing::new(page.began, page.repository);
        let mut next = page.next;
        listing.add(page.listed);
        while let Some(after) = next {
            let page = self.page(repo, Some(&after)).await?;
            listing.add(page.listed);
            next = page.next;
        }
        listing.complete = true;
        let listing = Arc::new(listing);
        self.listed(repo, &listing);
        Ok(listing)
    }

    /// A page, as large as GitHub manages.
    pub(super) async fn page(&self, repo: &Repo, after: Option<&str>) -> Result<Page, UpstreamError> {
        loop {
            match self.reader.page(repo, self.sizes.page(), after).await {
                Ok(page) => return Ok(page),
                Err(error) => {
                    let smaller = error.kind == Kind::Unavailable && self.reader.sender.breaker.well_since().is_some();
                    if !(self.sizes.shrink_page() && smaller) {
                        return Err(error);
                    }
                }
            }
        }
    }
}
