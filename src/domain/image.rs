//! Names of a registry's things: image, tag, digest. A tag never flows where a digest is due.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use super::NameError;

/// The longest name of a repository.
const NAME_BYTES: usize = 255;

/// An image's repository in a registry: `host/name`, without tag or digest.
///
/// Grammar: the distribution specification's `<name>` and a host with an optional port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName {
    text: Arc<str>,
    /// Where the host ends.
    slash: usize,
}

impl ImageName {
    /// The registry's host, with its port where one was given.
    pub fn host(&self) -> &str {
        &self.text[..self.slash]
    }

    /// The repository's name inside the registry.
    pub fn name(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// The image pinned by digest, as `image:` lines and kustomize take it.
    pub fn pinned(&self, digest: &Digest) -> String {
        format!("{self}@{digest}")
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new("an image as `host/name`", text);
        let (host, name) = text.split_once('/').ok_or_else(error)?;
        // Before anything is known by its name: `Docker.io` is Docker Hub.
        let host = host.to_ascii_lowercase();
        // A host is told from a path component as Docker does; Docker Hub must be named too.
        let told = host.contains('.') || host.contains(':') || host == "localhost";
        // References do not know addresses in brackets.
        if !told || !is_host(&host) || host.starts_with('[') || !name.split('/').all(is_component) {
            return Err(error());
        }
        // Docker Hub's one-part names live below `library/`, and its API has a host of its own.
        let host = if host == "index.docker.io" { "docker.io".to_owned() } else { host };
        let is_official = host == "docker.io" && !name.contains('/');
        let name = if is_official { format!("library/{name}") } else { name.to_owned() };
        if name.len() > NAME_BYTES {
            return Err(error());
        }
        Ok(Self { text: format!("{host}/{name}").into(), slash: host.len() })
    }
}

/// Whether a text is one component of a repository's name: lower-case letters and digits, and between them one dot, one
/// or two underscores, or any number of hyphens.
///
/// By hand, and not by the library: compiling its regular expression takes longer than all else at the start, and more
/// memory than all else for good. A test holds the two together.
fn is_component(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_between = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    text.starts_with(plain) && text.ends_with(plain) && text.split(plain).all(is_between)
}

/// Whether a text is a host, with or without a port, as a URL takes it: what looks like a number is an address.
pub(crate) fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    if !port.is_none_or(|port| !port.starts_with('+') && port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return false;
    }
    if let Some(address) = name.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let plain = |label: &str| {
        !label.starts_with('-')
            && !label.ends_with('-')
            && (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let number = digits(&last) || last.strip_prefix("0x").is_some_and(hex);
    name.len() <= 253 && name.split('.').all(plain) && (!number || name.parse::<Ipv4Addr>().is_ok())
}

/// A tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let legal = text.len() <= 128
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
        if legal { Ok(Self(text.into())) } else { Err(NameError::new("a legal tag", text)) }
    }
}

/// A content digest: `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Arc<str>);

impl Digest {
    /// The digest with its algorithm.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        use std::fmt::Write as _;
        let mut text = "sha256:".to_owned();
        for byte in sha2::Sha256::digest(bytes) {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        Self(text.into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let legal = text
            .strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        if legal { Ok(Self(text.into())) } else { Err(NameError::new("a digest as `sha256:` and 64 hex digits", text)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, string::string_regex};

    use super::*;

    /// What the library makes of an image whose host is one.
    fn by_the_library(host: &str, name: &str) -> Option<String> {
        let parsed: oci_distribution::Reference = format!("{host}/{name}:x").parse().ok()?;
        let whole = parsed.tag() == Some("x") && parsed.digest().is_none();
        whole.then(|| format!("{}/{}", parsed.registry(), parsed.repository()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn names_are_those_of_the_library(
            host in prop::sample::select(vec!["ghcr.io", "docker.io", "index.docker.io", "localhost:5000", "1.2.3.4:1"]),
            name in string_regex("[a-c]{0,2}[._/-]{0,3}[a-cA0]{0,2}[._/-]{0,3}[a-c0:@é ]{0,2}").unwrap(),
        ) {
            let ours = format!("{host}/{name}").parse::<ImageName>().ok().map(|image| image.to_string());
            prop_assert_eq!(ours, by_the_library(host, &name));
        }
    }

    #[test]
    fn names_are_as_long_as_the_library_s() {
        for (host, long) in [("ghcr.io", 255), ("docker.io", 247)] {
            for length in [long, long + 1] {
                let name = "x".repeat(length);
                let ours = format!("{host}/{name}").parse::<ImageName>().ok().map(|image| image.to_string());
                assert_eq!(ours.is_some(), length == long);
                assert_eq!(ours, by_the_library(host, &name));
            }
        }
    }

    #[test]
    fn images_name_host_and_repository() {
        let image: ImageName = "ghcr.io/myorg/front".parse().unwrap();
        assert_eq!((image.host(), image.name()), ("ghcr.io", "myorg/front"));
        let image: ImageName = "localhost:5000/front".parse().unwrap();
        assert_eq!((image.host(), image.name()), ("localhost:5000", "front"));
        for hub in ["docker.io/nginx", "index.docker.io/nginx", "Docker.io/nginx", "INDEX.docker.io/library/nginx"] {
            let image: ImageName = hub.parse().unwrap();
            assert_eq!((image.host(), image.name()), ("docker.io", "library/nginx"), "{hub}");
        }
        for bad in [
            "",
            "front",
            "myorg/front",
            "ghcr.io/",
            "ghcr.io/Front",
            "ghcr.io/a/../b",
            "ghcr.io/a:tag",
            "ghcr.io/a@sha256:00",
            "ghcr.io//a",
            "ghcr.io/a?b",
            "user@ghcr.io/a",
        ] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_those_of_urls() {
        for good in ["a.b", "localhost", "a", "localhost:5000", "127.0.0.1:1", "[::1]", "[::1]:65535", "1.example"] {
            assert!(is_host(good), "{good}");
        }
        for bad in [
            "",
            ":1",
            "a.",
            ".a",
            "a..b",
            "a_b.c",
            "-a.b",
            "a-.b",
            "a.b:",
            "a.b:0",
            "a.b:+1",
            "a.b:65536",
            "a.b:x",
            "1.2.3",
            "256.1.1.1",
            "a.1",
            "a.0x1",
            "[::1",
            "::1",
            "[::1]:x",
            "[a.b]",
            "a b.c",
            "é.a",
            "u@a.b",
            "a.b?x",
        ] {
            assert!(!is_host(bad), "{bad}");
            assert!(format!("{bad}/x").parse::<ImageName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_and_digests_are_checked() {
        for bad in ["", "-a", ".a", "a/b", "a b", "é", &"x".repeat(129), "a?b", "a#b"] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
        assert!("sha-0123._-".parse::<Tag>().is_ok());
        assert_eq!(Digest::of(b"").as_str(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for bad in
            ["", "sha256:", "not a digest", "sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
