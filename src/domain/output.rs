//! Output templates: further keys of an answer, made from what is known of its build.
//!
//! ```text
//! {sha} {sha7} {branch} {number}      the commit, its first 7 digits, the head branch, the pull request
//! {digestFront}                       the digest of an image, by its key
//! {digestFront.ref}                   host/name@digest, as `image:` lines and kustomize want it
//! {digestFront.tag}                   the tag that it was found under
//! {digestFront.label:NAME}            a label of the image
//! ```
//!
//! Every item of a generator has the same keys: what is not to be had renders as nothing.

use std::{collections::BTreeMap, fmt};

use super::{
    Branch, CommitSha, Digest, Tag,
    template::{Piece, TemplateError, pieces},
};

/// A text with placeholders for the facts of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputTemplate {
    source: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Fact(Fact),
    Image(String, Part),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    Sha,
    Sha7,
    Branch,
    Number,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Digest,
    Ref,
    Tag,
    Label(String),
}

/// The placeholders that name no image; no image can have such a key.
const FACTS: [(&str, Fact); 4] =
    [("sha", Fact::Sha), ("sha7", Fact::Sha7), ("branch", Fact::Branch), ("number", Fact::Number)];

/// What an output template is rendered with.
#[derive(Clone, Copy)]
pub struct OutputContext<'a> {
    /// The commit of the answer.
    pub commit: &'a CommitSha,
    /// The head branch.
    pub branch: &'a Branch,
    /// The pull request's number.
    pub number: Option<u64>,
    /// An image of the answer by its key.
    pub images: &'a dyn Fn(&str) -> Option<OutputImage<'a>>,
}

/// An image of the answer.
#[derive(Clone, Debug)]
pub struct OutputImage<'a> {
    /// `host/name@digest`.
    pub pinned: String,
    /// Its digest.
    pub digest: &'a Digest,
    /// The tag that it was found under.
    pub tag: Option<&'a Tag>,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

impl OutputTemplate {
    /// Parses a template that may name the images with these keys.
    pub fn parse(text: &str, images: &[&str]) -> Result<Self, TemplateError> {
        let mut segments = Vec::new();
        for piece in pieces(text)? {
            segments.push(match piece {
                Piece::Literal(literal) => Segment::Literal(literal.to_owned()),
                Piece::Place(name) => place(name, images)?,
            });
        }
        Ok(Self { source: text.to_owned(), segments })
    }

    /// The text for one build.
    pub fn render(&self, context: &OutputContext<'_>) -> String {
        let mut text = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::Fact(Fact::Sha) => text.push_str(context.commit.as_str()),
                Segment::Fact(Fact::Sha7) => text.push_str(context.commit.short(7)),
                Segment::Fact(Fact::Branch) => text.push_str(context.branch.as_str()),
                Segment::Fact(Fact::Number) => {
                    text.push_str(&context.number.map(|number| number.to_string()).unwrap_or_default());
                }
                Segment::Image(key, part) => {
                    if let Some(image) = (context.images)(key) {
                        text.push_str(part.of(&image));
                    }
                }
            }
        }
        text
    }

    /// The labels that it needs, as image key and label name.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Image(key, Part::Label(name)) => Some((key.as_str(), name.as_str())),
            _ => None,
        })
    }

    /// Whether an image cannot have this key, because its placeholder means something else.
    pub fn is_taken(key: &str) -> bool {
        FACTS.iter().any(|(name, _)| *name == key)
    }
}

impl fmt::Display for OutputTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Part {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "ref" => Some(Self::Ref),
            "tag" => Some(Self::Tag),
            _ => {
                let name = text.strip_prefix("label:")?;
                (!name.is_empty()).then(|| Self::Label(name.to_owned()))
            }
        }
    }

    fn of<'a>(&self, image: &'a OutputImage<'_>) -> &'a str {
        match self {
            Self::Digest => image.digest.as_str(),
            Self::Ref => &image.pinned,
            Self::Tag => image.tag.map(Tag::as_str).unwrap_or_default(),
            Self::Label(name) => image.labels.get(name).map(String::as_str).unwrap_or_default(),
        }
    }
}

fn place(name: &str, images: &[&str]) -> Result<Segment, TemplateError> {
    if let Some((_, fact)) = FACTS.iter().find(|(known, _)| *known == name) {
        return Ok(Segment::Fact(*fact));
    }
    let (key, part) = match name.split_once('.') {
        None => (name, Some(Part::Digest)),
        Some((key, part)) => (key, Part::parse(part)),
    };
    match part {
        Some(part) if images.contains(&key) => Ok(Segment::Image(key.to_owned(), part)),
        _ => {
            let parts = ["", ".ref", ".tag", ".label:NAME"];
            let of_images = images.iter().flat_map(|key| parts.map(|part| format!("{key}{part}")));
            let known: Vec<_> = FACTS.iter().map(|(name, _)| (*name).to_owned()).chain(of_images).collect();
            Err(TemplateError::unknown(name, known.iter().map(String::as_str)))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IMAGES: [&str; 2] = ["digestFront", "digestBack"];

    fn render(template: &str, number: Option<u64>) -> String {
        let commit: CommitSha = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let branch: Branch = "feature/x".parse().unwrap();
        let digest = Digest::of(b"front");
        let tag: Tag = "sha-0123456".parse().unwrap();
        let labels = BTreeMap::from([("org.opencontainers.image.version".to_owned(), "1.2".to_owned())]);
        let images = |key: &str| {
            let pinned = format!("ghcr.io/myorg/front@{digest}");
            (key == "digestFront").then_some(OutputImage { pinned, digest: &digest, tag: Some(&tag), labels: &labels })
        };
        let context = OutputContext { commit: &commit, branch: &branch, number, images: &images };
        OutputTemplate::parse(template, &IMAGES).unwrap().render(&context)
    }

    #[test]
    fn each_placeholder_has_its_fact_and_nothing_else_is_nothing() {
        let digest = Digest::of(b"front").to_string();
        for (template, text) in [
            ("", ""),
            ("plain", "plain"),
            ("{sha}", "0123456789abcdef0123456789abcdef01234567"),
            ("{sha7}-{number}", "0123456-7"),
            ("{branch}", "feature/x"),
            ("{digestFront}", &digest),
            ("<{digestFront.ref}>", &format!("<ghcr.io/myorg/front@{digest}>")),
            ("{digestFront.tag}", "sha-0123456"),
            ("v{digestFront.label:org.opencontainers.image.version}", "v1.2"),
            ("{digestFront.label:other}", ""),
            ("{digestBack}{digestBack.ref}{digestBack.tag}{digestBack.label:x}", ""),
        ] {
            assert_eq!(render(template, Some(7)), text, "{template}");
        }
        assert_eq!(render("pr-{number}", None), "pr-");
    }

    #[test]
    fn labels_are_told_and_the_source_is_kept() {
        let text = "{digestFront.label:a.b:c} {sha} {digestBack.label:d}";
        let template = OutputTemplate::parse(text, &IMAGES).unwrap();
        assert_eq!(template.labels().collect::<Vec<_>>(), [("digestFront", "a.b:c"), ("digestBack", "d")]);
        assert_eq!(template.to_string(), text);
    }

    #[test]
    fn what_is_unknown_is_refused_with_what_is_known() {
        let error = |text| OutputTemplate::parse(text, &["front"]).unwrap_err().to_string();
        let known = "known are {sha} {sha7} {branch} {number} {front} {front.ref} {front.tag} {front.label:NAME}";
        assert_eq!(error("{frnt}"), format!("unknown placeholder `{{frnt}}` (did you mean `{{front}}`?); {known}"));
        assert_eq!(
            error("{front.rev}"),
            format!("unknown placeholder `{{front.rev}}` (did you mean `{{front.ref}}`?); {known}")
        );
        for unknown in ["{sha12}", "{}", "{front.}", "{front.label:}", "{front.label}", "{sha.ref}", "{ sha }"] {
            assert!(error(unknown).starts_with("unknown placeholder"), "{unknown}");
        }
        assert_eq!(error("{sha"), "`{` without its partner in `{sha`");
        // Keys that are refused themselves are shown as any text is.
        let shown = OutputTemplate::parse("{fronts}", &["front\t", "\u{1b}[31m"]).unwrap_err().to_string();
        assert!(shown.contains(r"(did you mean `{front\t}`?)") && shown.contains(r"{\u{1b}[31m.ref}"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,40}") {
            if let Ok(template) = OutputTemplate::parse(&text, &IMAGES) {
                prop_assert_eq!(template.to_string(), text);
            }
        }
    }
}
