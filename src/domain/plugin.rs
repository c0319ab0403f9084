//! What is said of a plugin service, by the configuration or by a Service's annotations: parsed at the door, for both
//! may be wrong and the second may be hostile.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use serde_json::{Map, Value};

use super::NameError;

/// The longest path, name of an input, and list of those.
const MAX_BYTES: usize = 1024;

/// The path of a plugin's question below its address: no query, nothing that could lead to another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginPath(String);

impl PluginPath {
    /// Where Argo CD asks a plugin.
    pub const USUAL: &str = "/api/v1/getparams.execute";

    /// The path, from its slash on.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for PluginPath {
    fn default() -> Self {
        Self(Self::USUAL.to_owned())
    }
}

impl FromStr for PluginPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@".contains(&byte);
        let well = text.starts_with('/')
            && text.len() <= MAX_BYTES
            && text.bytes().all(plain)
            && !text.split('/').skip(1).any(|part| part == "." || part == "..")
            && !text.starts_with("//");
        if well {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::new("a path as `/api/v1/getparams.execute`", text))
        }
    }
}

impl fmt::Display for PluginPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A port of a Service, by its number or by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServicePort {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

impl FromStr for ServicePort {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new("a port's number from 1 to 65535, or its name", text);
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().filter(|port| *port > 0).map(Self::Number).ok_or_else(error);
        }
        if is_label(text) { Ok(Self::Name(text.to_owned())) } else { Err(error()) }
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "`{name}`"),
        }
    }
}

/// Which of the question's parameters a plugin is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// All that there are.
    All,
    /// Those with these names.
    Named(BTreeSet<String>),
}

impl Inputs {
    /// The inputs of a list of names, in which `*` stands for all.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, NameError> {
        let mut known = BTreeSet::new();
        let mut all = false;
        for name in names {
            if name.is_empty() || name.len() > MAX_BYTES || name.chars().any(char::is_control) {
                return Err(NameError::new("the name of an input parameter, or `*` for all", name));
            }
            all |= name == "*";
            known.insert(name.to_owned());
        }
        Ok(if all { Self::All } else { Self::Named(known) })
    }

    /// What of `parameters` is passed on.
    pub fn select(&self, parameters: &Map<String, Value>) -> Map<String, Value> {
        match self {
            Self::All => parameters.clone(),
            Self::Named(names) => {
                let passed = parameters.iter().filter(|(name, _)| names.contains(*name));
                passed.map(|(name, value)| (name.clone(), value.clone())).collect()
            }
        }
    }
}

impl FromStr for Inputs {
    type Err = NameError;

    /// Names with commas between them.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_BYTES {
            return Err(NameError::new("names of input parameters, shorter ones", text));
        }
        let text = text.trim();
        if text.is_empty() { Self::of([]) } else { Self::of(text.split(',').map(str::trim)) }
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Named(names) => {
                for (index, name) in names.iter().enumerate() {
                    write!(f, "{}{name}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

/// A key of a Secret, as `secret:key`. Its namespace is never said: it is that of whoever names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretKey {
    /// The Secret's name.
    pub secret: String,
    /// The key in its `data`.
    pub key: String,
}

impl FromStr for SecretKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new("a Secret and its key as `my-secret:token`", text);
        let (secret, key) = text.split_once(':').ok_or_else(error)?;
        let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let well = secret.len() <= 253
            && secret.split('.').all(is_label)
            && (1..=253).contains(&key.len())
            && key.bytes().all(is_key);
        if well { Ok(Self { secret: secret.to_owned(), key: key.to_owned() }) } else { Err(error()) }
    }
}

impl fmt::Display for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.secret, self.key)
    }
}

/// How long a plugin may be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginTimeout(Duration);

impl PluginTimeout {
    /// The shortest and the longest.
    pub const BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

    /// A time within the bounds.
    pub fn new(time: Duration) -> Option<Self> {
        (Self::BOUNDS.0..=Self::BOUNDS.1).contains(&time).then_some(Self(time))
    }

    /// The time.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl Default for PluginTimeout {
    fn default() -> Self {
        Self(Duration::from_secs(5))
    }
}

impl FromStr for PluginTimeout {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let millis = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(number), _) => whole(number),
            (None, Some(number)) => whole(number).and_then(|seconds| seconds.checked_mul(1000)),
            (None, None) => None,
        };
        let time = millis.map(Duration::from_millis).and_then(Self::new);
        time.ok_or_else(|| NameError::new("a time from 100ms to 10s", text))
    }
}

fn whole(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Whether a text is a name as Kubernetes gives to Services, namespaces and ports.
pub fn is_label(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inside) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_nowhere_else() {
        for good in ["/api/v1/getparams.execute", "/", "/a%20b/c:d", "/a//b"] {
            assert_eq!(good.parse::<PluginPath>().unwrap().as_str(), good);
        }
        for bad in ["", "api", "//evil.example", "/a?b", "/a#b", "/a/../b", "/.", "/a b", "/\\evil", "/é", "/a\n", "@b"]
        {
            assert!(bad.parse::<PluginPath>().is_err(), "{bad}");
        }
        assert!(format!("/{}", "a".repeat(MAX_BYTES)).parse::<PluginPath>().is_err());
        assert!(PluginPath::USUAL.parse::<PluginPath>().unwrap() == PluginPath::default());
    }

    #[test]
    fn ports_have_a_number_or_a_name() {
        assert_eq!("8080".parse(), Ok(ServicePort::Number(8080)));
        assert_eq!("http".parse(), Ok(ServicePort::Name("http".to_owned())));
        for bad in ["", "0", "65536", "-1", "Http", "a b", "-a", "99999999999999999999"] {
            assert!(bad.parse::<ServicePort>().is_err(), "{bad}");
        }
    }

    #[test]
    fn inputs_are_chosen_by_name() {
        let all = json!({"branch": "b", "number": 7, "secret": [1]});
        let all = all.as_object().unwrap();
        assert_eq!("*".parse::<Inputs>().unwrap().select(all), *all);
        assert_eq!("a, *".parse(), Ok(Inputs::All));
        let some = " number , absent".parse::<Inputs>().unwrap();
        assert_eq!(Value::from(some.select(all)), json!({"number": 7}));
        assert_eq!(some.to_string(), "absent,number");
        assert!("".parse::<Inputs>().unwrap().select(all).is_empty());
        for bad in ["a,,b", ",", "a,\u{7}", &"a".repeat(MAX_BYTES + 1)] {
            assert!(bad.parse::<Inputs>().is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_are_named_without_their_namespace() {
        let key = "my-secret.v1:plugin.token".parse::<SecretKey>().unwrap();
        assert_eq!((key.secret.as_str(), key.key.as_str()), ("my-secret.v1", "plugin.token"));
        assert_eq!(key.to_string(), "my-secret.v1:plugin.token");
        for bad in ["", "a", ":b", "a:", "a/b:c", "../a:b", "a:b/c", "A:b", "a:b:c", "a..b:c", "a:b\n"] {
            assert!(bad.parse::<SecretKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_bounded() {
        assert_eq!("5s".parse(), Ok(PluginTimeout::default()));
        assert_eq!("100ms".parse::<PluginTimeout>().unwrap().get(), Duration::from_millis(100));
        for bad in
            ["", "5", "99ms", "11s", "0s", "1m", "-1s", "+1s", "1.5s", "99999999999999999999s", "18446744073709551615s"]
        {
            assert!(bad.parse::<PluginTimeout>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_too_odd(text in "\\PC{0,60}|[/a.:,*0-9 -]{0,30}") {
            let _ = (text.parse::<Inputs>(), text.parse::<SecretKey>(), text.parse::<PluginTimeout>());
            if let Ok(path) = text.parse::<PluginPath>() {
                let uri = format!("http://plugin{path}").parse::<http::Uri>();
                let uri = uri.unwrap();
                prop_assert_eq!(uri.host(), Some("plugin"));
            }
        }
    }
}
