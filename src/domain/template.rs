//! Tag templates: under which tags the images of a commit are looked for.
//!
//! ```text
//! ghcr.io/myorg/front:sha-{sha7}      ImageTemplate::candidate → (NameTemplate, TagTemplate)
//!                                     TagTemplate::render(TagContext) → Tag | Unrenderable
//! ```
//!
//! Nothing of a branch stands before the tag, and what was rendered is parsed as a [`Tag`] again: nothing that a branch's
//! name contains can reach another repository or registry. What can never be a legal tag is refused when the template
//! is parsed; what a branch's name makes illegal is [`Unrenderable`].

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{Branch, CommitSha, ImageName, Slug, Tag, excerpt};

/// The longest tag.
const TAG_MAX: usize = 128;

/// An image of a build: its name in questions and answers, and where its digest is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSpec {
    /// The key under which its digest is answered.
    pub key: String,
    /// Images and tag templates, tried in order.
    pub candidates: Vec<(ImageName, TagTemplate)>,
}

/// A tag with placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagTemplate {
    source: String,
    segments: Vec<Segment>,
    names: Names,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    Literal(String),
    Place(Place),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Sha(usize),
    MergeSha(usize),
    Number,
    Branch,
    Slug(Slug),
}

/// Each placeholder of a tag, and the shortest that it renders to.
const PLACES: [(&str, Place, usize); 11] = [
    ("sha", Place::Sha(40), 40),
    ("sha7", Place::Sha(7), 7),
    ("sha8", Place::Sha(8), 8),
    ("sha12", Place::Sha(12), 12),
    ("merge_sha", Place::MergeSha(40), 40),
    ("merge_sha7", Place::MergeSha(7), 7),
    ("number", Place::Number, 1),
    ("branch", Place::Branch, 1),
    ("branch:docker", Place::Slug(Slug::Docker), 1),
    ("branch:gitlab", Place::Slug(Slug::Gitlab), 0),
    ("branch:argo", Place::Slug(Slug::Argo), 0),
];

/// What the tags of a template name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Names {
    /// The commit itself (`{sha}`, …): what is found under such a tag was built from it.
    Head,
    /// The commit's test merge (`{merge_sha}`, …).
    TestMerge,
    /// Neither: the tag moves from build to build.
    Moving,
}

/// What a tag template is rendered with.
#[derive(Clone, Copy, Debug)]
pub struct TagContext<'a> {
    /// The commit under judgment.
    pub commit: &'a CommitSha,
    /// Its test merge.
    pub test_merge: Option<&'a CommitSha>,
    /// The pull request's number.
    pub number: Option<u64>,
    /// The head branch.
    pub branch: &'a Branch,
}

impl TagTemplate {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut segments = Vec::new();
        for piece in pieces(text)? {
            segments.push(match piece {
                Piece::Literal(literal) => Segment::Literal(literal.to_owned()),
                Piece::Place(name) => Segment::Place(place(name)?),
            });
        }
        let has = |wanted: fn(&Place) -> bool| {
            segments.iter().any(|segment| matches!(segment, Segment::Place(place) if wanted(place)))
        };
        let names =
            match (has(|place| matches!(place, Place::Sha(_))), has(|place| matches!(place, Place::MergeSha(_)))) {
                (true, true) => return Err(TemplateError::TwoCommits),
                (true, false) => Names::Head,
                (false, true) => Names::TestMerge,
                (false, false) => Names::Moving,
            };
        possible(&segments).map_err(TemplateError::NeverLegal)?;
        Ok(Self { source: text.to_owned(), segments, names })
    }

    /// What its tags name.
    pub fn names(&self) -> Names {
        self.names
    }

    /// The tag for one commit.
    pub fn render(&self, context: &TagContext<'_>) -> Result<Tag, Unrenderable> {
        let mut text = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::Place(Place::Sha(digits)) => text.push_str(context.commit.short(*digits)),
                Segment::Place(Place::MergeSha(digits)) => {
                    text.push_str(context.test_merge.ok_or(Unrenderable::NoTestMerge)?.short(*digits));
                }
                Segment::Place(Place::Number) => {
                    text.push_str(&context.number.ok_or(Unrenderable::NoNumber)?.to_string());
                }
                Segment::Place(Place::Branch) => text.push_str(context.branch.as_str()),
                Segment::Place(Place::Slug(slug)) => text.push_str(&slug.of(context.branch)),
            }
        }
        let illegal = |why| Unrenderable::Illegal { template: self.source.clone(), why };
        legal(&text).map_err(illegal)?;
        text.parse().map_err(|_| illegal(IllegalTag::Other))
    }
}

impl fmt::Display for TagTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl FromStr for TagTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text)
    }
}

fn place(name: &str) -> Result<Place, TemplateError> {
    let known = || PLACES.iter().map(|(known, ..)| *known);
    let found = PLACES.iter().find(|(known, ..)| *known == name);
    found.map(|(_, place, _)| *place).ok_or_else(|| TemplateError::unknown(name, known()))
}

/// Whether some commit could give these segments a legal tag.
fn possible(segments: &[Segment]) -> Result<(), IllegalTag> {
    let mut shortest = 0;
    for segment in segments {
        match segment {
            Segment::Literal(literal) => {
                literal.chars().try_for_each(legal_char)?;
                shortest += literal.len();
            }
            Segment::Place(place) => {
                shortest += PLACES.iter().find(|(_, known, _)| known == place).map_or(0, |(.., shortest)| *shortest);
            }
        }
    }
    match segments.first() {
        None => Err(IllegalTag::Empty),
        _ if shortest > TAG_MAX => Err(IllegalTag::TooLong),
        Some(Segment::Literal(literal)) => legal_start(literal),
        Some(Segment::Place(_)) => Ok(()),
    }
}

fn legal(text: &str) -> Result<(), IllegalTag> {
    if text.is_empty() {
        return Err(IllegalTag::Empty);
    }
    text.chars().try_for_each(legal_char)?;
    legal_start(text)?;
    if text.len() > TAG_MAX { Err(IllegalTag::TooLong) } else { Ok(()) }
}

fn legal_char(c: char) -> Result<(), IllegalTag> {
    if c.is_ascii_alphanumeric() || "._-".contains(c) { Ok(()) } else { Err(IllegalTag::Character(c)) }
}

fn legal_start(text: &str) -> Result<(), IllegalTag> {
    match text.chars().next() {
        Some(c @ ('.' | '-')) => Err(IllegalTag::Start(c)),
        _ => Ok(()),
    }
}

/// Why a text is no legal tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IllegalTag {
    /// Nothing is left.
    #[error("a tag cannot be empty")]
    Empty,
    /// More than a tag may hold.
    #[error("a tag has at most 128 characters")]
    TooLong,
    /// The first character.
    #[error("a tag cannot start with `{0}`")]
    Start(char),
    /// A character that no tag contains.
    #[error("a tag cannot contain {}", shown(*.0))]
    Character(char),
    /// A rule of the grammar beyond these.
    #[error("it is no legal tag")]
    Other,
}

/// A character as ASCII text.
fn shown(c: char) -> String {
    if c.is_ascii_graphic() { format!("`{c}`") } else { format!("U+{:04X}", u32::from(c)) }
}

/// Why a template gives no tag for a commit. The text is the same for the same cause.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unrenderable {
    /// `{merge_sha}`, and there is none.
    #[error("the tag names the test merge, and none is known for this commit")]
    NoTestMerge,
    /// `{number}`, and the branch has no pull request.
    #[error("the tag names the pull request's number, and the branch has no pull request")]
    NoNumber,
    /// The branch's name makes an illegal tag.
    #[error("the tag template `{template}` gives no legal tag for this branch: {why}")]
    Illegal {
        /// The template.
        template: String,
        /// What is wrong with the tag.
        why: IllegalTag,
    },
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A brace without its partner.
    #[error("`{0}` without its partner in `{1}`")]
    Unbalanced(char, String),
    /// A placeholder that does not exist.
    #[error("unknown placeholder `{{{name}}}`{}; known are {known}", did_you_mean(nearest.as_deref()))]
    Unknown {
        /// What stands between the braces.
        name: String,
        /// The known placeholder that looks most like it, with its braces.
        nearest: Option<String>,
        /// All known placeholders.
        known: String,
    },
    /// A sha of the commit and a sha of its test merge.
    #[error("a tag names the commit or its test merge, not both")]
    TwoCommits,
    /// No commit and no branch could make a legal tag of it.
    #[error("it can never be a legal tag: {0}")]
    NeverLegal(IllegalTag),
}

impl TemplateError {
    /// An unknown placeholder among the `known` ones.
    pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Self {
        // Those of images are named by the configuration, whatever it says.
        let braced = |name| format!("{{{}}}", excerpt(name));
        let nearest = nearest(name, known.clone()).map(braced);
        let braced: Vec<_> = known.map(braced).collect();
        Self::Unknown { name: excerpt(name), nearest, known: braced.join(" ") }
    }
}

/// The hint behind what is unknown.
pub(crate) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!(" (did you mean `{nearest}`?)")).unwrap_or_default()
}

/// The known word that looks most like an unknown one, if any does.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let length = word.chars().count();
    known
        .map(|known| (strsim::osa_distance(&word, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= 1.max(length.max(known.len()) / 3) && *distance < known.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// A template's text, or the name between two braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Literal(&'a str),
    Place(&'a str),
}

/// Splits a template at its braces, which cannot be escaped.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let unbalanced = |brace| TemplateError::Unbalanced(brace, excerpt(text));
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(brace) = rest.find(['{', '}']) {
        let (literal, from_brace) = rest.split_at(brace);
        let Some(inside) = from_brace.strip_prefix('{') else { return Err(unbalanced('}')) };
        let end = inside.find(['{', '}']).filter(|&end| inside[end..].starts_with('}')).ok_or(unbalanced('{'))?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        pieces.push(Piece::Place(&inside[..end]));
        rest = &inside[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests;
