//! Images whose names hang on the repository: `ghcr.io/{owner}/{repo}-front:sha-{sha}`.
//!
//! `{owner}` and `{repo}` stand in the path only, in lower case as registries want it, and what was rendered is parsed
//! as an [`ImageName`] again. A repository's name has neither `/` nor `:` nor `@`: it reaches no other host, no other
//! folder, and no tag.

use std::fmt;

use thiserror::Error;

use super::{ImageName, ImageSpec, NameError, Repo, TagTemplate, TemplateError};

/// An image of a build, of whichever repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageTemplate {
    /// The key under which its digest is answered.
    pub key: String,
    /// Images and tag templates, tried in order.
    pub candidates: Vec<(NameTemplate, TagTemplate)>,
}

impl ImageTemplate {
    /// Parses one candidate, `host/name:tag-template`.
    pub fn candidate(text: &str) -> Result<(NameTemplate, TagTemplate), CandidateError> {
        // The first `:` may be the host's port: the tag follows the one in the name.
        let colon = text.find('/').and_then(|slash| Some(slash + text[slash..].find(':')?));
        let (name, template) = match colon {
            Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
            None => (text, None),
        };
        let name = NameTemplate::parse(name)?;
        Ok((name, TagTemplate::parse(template.ok_or(CandidateError::NoTag)?)?))
    }

    /// The image of one repository.
    pub fn of(&self, repo: &Repo) -> Result<ImageSpec, NameError> {
        let candidate = |(name, tag): &(NameTemplate, TagTemplate)| Ok((name.of(repo)?, tag.clone()));
        let candidates = self.candidates.iter().map(candidate).collect::<Result<_, _>>()?;
        Ok(ImageSpec { key: self.key.clone(), candidates })
    }

    /// Whether each repository has one of its own.
    pub fn names_repository(&self) -> bool {
        self.candidates.iter().any(|(name, _)| name.names_repository())
    }
}

/// The name of an image with `{owner}` and `{repo}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTemplate {
    text: String,
    /// What it is with a plain letter in place of each placeholder.
    example: ImageName,
}

const OWNER: &str = "{owner}";
const REPO: &str = "{repo}";

impl NameTemplate {
    fn parse(text: &str) -> Result<Self, CandidateError> {
        let (host, _) = text.split_once('/').unwrap_or((text, ""));
        let example = text.replace(OWNER, "x").replace(REPO, "x");
        if host.contains(['{', '}']) || example.contains(['{', '}']) {
            return Err(CandidateError::Placeholder);
        }
        let example = example.parse().map_err(|error| NameError { got: super::excerpt(text), ..error })?;
        Ok(Self { text: text.to_owned(), example })
    }

    /// The registry's host, with its port where one was given.
    pub fn host(&self) -> &str {
        self.example.host()
    }

    /// Whether each repository has a name of its own.
    pub fn names_repository(&self) -> bool {
        self.text.contains(REPO)
    }

    /// The name for one repository; an error where no image can have it.
    pub fn of(&self, repo: &Repo) -> Result<ImageName, NameError> {
        let owner = repo.owner().to_ascii_lowercase();
        let name = repo.name().to_ascii_lowercase();
        self.text.replace(OWNER, &owner).replace(REPO, &name).parse()
    }
}

impl fmt::Display for NameTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is no candidate of an image.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CandidateError {
    /// Nothing after the name.
    #[error("expected `host/name:tag-template`, got no tag template")]
    NoTag,
    /// A placeholder before the tag.
    #[error("before the tag there can be `{{owner}}` and `{{repo}}` only, and none in the host")]
    Placeholder,
    /// The part before the tag.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The tag template.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(template: &str, repo: &str) -> Result<String, String> {
        let (name, _) = ImageTemplate::candidate(&format!("{template}:{{sha}}")).unwrap();
        name.of(&repo.parse().unwrap()).map(|name| name.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn candidates_have_a_name_and_a_tag_template() {
        let (name, template) = ImageTemplate::candidate("localhost:5000/front:{branch:docker}").unwrap();
        let texts = (name.to_string(), template.to_string());
        assert_eq!(texts, ("localhost:5000/front".to_owned(), "{branch:docker}".to_owned()));
        assert_eq!((name.host(), name.names_repository()), ("localhost:5000", false));
        let (name, _) = ImageTemplate::candidate("GHCR.io/{owner}/{repo}-front:{sha}").unwrap();
        assert_eq!((name.host(), name.names_repository()), ("ghcr.io", true));
        let placeholder = "before the tag there can be `{owner}` and `{repo}` only, and none in the host";
        for (text, error) in [
            ("ghcr.io/myorg/front", "expected `host/name:tag-template`, got no tag template"),
            ("ghcr.io/{sha}/front:{sha}", placeholder),
            ("ghcr.io/{Repo}/front:{sha}", placeholder),
            ("ghcr.io/{{repo}}/front:{sha}", placeholder),
            ("ghcr.io/{repo/front:{sha}", placeholder),
            ("{owner}.ghcr.io/front:{sha}", placeholder),
            ("{owner}/front:{sha}", placeholder),
            ("{repo}:{sha}", placeholder),
            ("ghcr.io/front{branch:docker}", placeholder),
            ("ghcr.io/-{repo}:{sha}", "expected an image as `host/name`, got `ghcr.io/-{repo}`"),
            ("myorg/front:{sha}", "expected an image as `host/name`, got `myorg/front`"),
            ("myorg/{repo}:{sha}", "expected an image as `host/name`, got `myorg/{repo}`"),
            ("ghcr.io/front:", "it can never be a legal tag: a tag cannot be empty"),
            ("ghcr.io/front:a@sha256:b", "it can never be a legal tag: a tag cannot contain `@`"),
            ("", "expected an image as `host/name`, got ``"),
        ] {
            assert_eq!(ImageTemplate::candidate(text).unwrap_err().to_string(), error, "{text}");
        }
    }

    #[test]
    fn names_are_in_lower_case_and_legal() {
        for (template, repo, name) in [
            ("ghcr.io/{owner}/{repo}", "MyOrg/Repo.js", "ghcr.io/myorg/repo.js"),
            ("ghcr.io/{owner}/{repo}-front", "myorg/app", "ghcr.io/myorg/app-front"),
            ("localhost:5000/x-{owner}/{repo}/{repo}_back", "a/b", "localhost:5000/x-a/b/b_back"),
            ("ghcr.io/myorg/front", "myorg/app", "ghcr.io/myorg/front"),
        ] {
            assert_eq!(of(template, repo), Ok(name.to_owned()));
        }
        for (template, repo, name) in [
            ("ghcr.io/{owner}/{repo}", "myorg/.github", "ghcr.io/myorg/.github"),
            ("ghcr.io/{owner}/{repo}", "myorg/a..b", "ghcr.io/myorg/a..b"),
            ("ghcr.io/{owner}/{repo}", "myorg/-", "ghcr.io/myorg/-"),
            ("ghcr.io/{owner}/{repo}-front", "myorg/_", "ghcr.io/myorg/_-front"),
            ("ghcr.io/{owner}/app", "my_/app", "ghcr.io/my_/app"),
        ] {
            assert_eq!(of(template, repo), Err(format!("expected an image as `host/name`, got `{name}`")));
        }
        let long = "r".repeat(100);
        assert!(of("ghcr.io/{repo}/{repo}", &format!("o/{long}")).is_ok());
        assert!(of("ghcr.io/{repo}/{repo}/{repo}", &format!("o/{long}")).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_repository_reaches_another_host_or_folder(
            template in "(ghcr\\.io|localhost:5000)(/[a-c]{0,2}-?(\\{owner\\}|\\{repo\\}|[a-c])[_.-]?(\\{repo\\}|[a-c])?){1,3}",
            repo in "\\PC{1,4}/\\PC{1,6}|[a-cA-C_-]{1,3}/[a-cA-C._-]{1,6}|myorg/[./@:%?#{}a\\\\]{1,6}",
        ) {
            let (Ok((template, _)), Ok(repo)) = (ImageTemplate::candidate(&format!("{template}:{{sha}}")), repo.parse::<Repo>())
            else { return Ok(()) };
            let Ok(name) = template.of(&repo) else { return Ok(()) };
            prop_assert_eq!(name.host(), template.host());
            // Component by component it is what is written there, with the repository's own words in it.
            let text = template.to_string();
            let written: Vec<_> = text.split('/').collect();
            let rendered = name.to_string();
            let rendered: Vec<_> = rendered.split('/').collect();
            prop_assert_eq!(written.len(), rendered.len());
            for (written, rendered) in written.into_iter().zip(rendered) {
                let literals: Vec<_> = written.split(['{', '}']).step_by(2).collect();
                prop_assert!(rendered.starts_with(literals[0]) && rendered.ends_with(literals[literals.len() - 1]));
                prop_assert!(literals.len() > 1 || written == rendered);
                prop_assert!(!rendered.is_empty() && rendered != "." && rendered != "..");
                prop_assert!(!rendered.contains(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "._-:".contains(c))));
            }
            prop_assert!(!name.name().contains(':'));
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,40}") {
            let _ = ImageTemplate::candidate(&text);
        }
    }
}
