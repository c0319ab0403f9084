//! The words of the field and the rules between them. No I/O, no clock, no protocol.
//!
//! * *head*: the newest commit of a line; *line*: a pull request, or an own branch that has none.
//! * *check run*, *status*: what CI reports of a commit; their newest by source and name decide the *verdict*.
//! * *walk*: a line's own commits from the head back, never past the *merge base*.
//! * *test merge*: GitHub's merge of head and base (`refs/pull/N/merge`), which most CI builds.
//! * *tag*, *digest*, *reference*: as in the OCI distribution specification.

mod allowed;
mod answer;
mod checks;
mod image;
mod line;
mod list;
mod listing;
mod names;
mod output;
mod plugin;
mod question;
mod selector;
mod slug;
mod snapshot;
mod statement;
mod template;
mod verdict;
mod walk;

pub use self::{
    allowed::ApplicationSets,
    answer::{Answer, Build, BuiltImage, Images, Item, Standing, WhyNothing},
    checks::{Check, CheckState, Source},
    image::{Digest, ImageName, Tag},
    line::{Chosen, Line, NoLine, choose, lines_of_name},
    list::{Contribution, List, Misfit, READY, TAKEN_KEYS, product, vanished},
    listing::{Listed, Listing},
    names::{Branch, CommitSha, NameError, Repo, excerpt, looks_unrendered},
    output::{OutputContext, OutputImage, OutputTemplate},
    plugin::{Inputs, PluginPath, PluginTimeout, SecretKey, ServicePort, is_label},
    question::{Question, QuestionError, inputs, wants_all},
    selector::{Condition, Requirement, Selector},
    slug::Slug,
    snapshot::{Commit, CommitFacts, Commits, Pull, Repository, Snapshot, Tip},
    statement::{Dialect, Statement, StatementError},
    template::{CandidateError, IllegalTag, ImageSpec, Names, TagContext, TagTemplate, TemplateError, Unrenderable},
    verdict::{CheckPattern, CiPolicy, GreenBuild, JudgedCheck, Pending, ReadTime, Role, Verdict, judge, roles},
    walk::{Chain, ChainEnd, Route, chain},
};
pub(crate) use self::{image::is_host, question::unrendered};

pub(crate) use self::template::{did_you_mean, nearest};
