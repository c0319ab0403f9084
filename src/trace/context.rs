//! W3C trace context: `traceparent` and `tracestate`, as a caller sends them and as they are passed on.
//!
//! Both are a stranger's text until they are read here, and what is read is of a known size. A `traceparent` that is not
//! to the letter is none: a new trace begins. A `tracestate` that is not is left away, and the trace goes on.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that names a trace and the span that asks.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The header with what tracing systems keep with it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of a `traceparent` of the version that is known: `00-<32>-<16>-<2>`.
const LENGTH: usize = 55;

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 0b01;

/// The flag of a trace whose id is random.
const RANDOM: u8 = 0b10;

/// The longest `tracestate` that is passed on; no less is due.
const STATE_BYTES: usize = 512;

/// The most entries of a `tracestate`.
const STATE_ENTRIES: usize = 32;

/// The id of a trace, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

/// A `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span that asks, never zero.
    pub span: [u8; 8],
    /// The flags, of those that are known.
    pub flags: u8,
}

/// What a caller said of its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The trace, and the caller's span.
    pub parent: TraceParent,
    /// What tracing systems keep with it, as it came.
    pub state: Option<HeaderValue>,
}

impl Caller {
    /// What a request's headers say, if they do.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = TraceParent::parse(parents.next()?.as_bytes())?;
        if parents.next().is_some() {
            return None;
        }
        Some(Self { parent, state: state(headers) })
    }
}

impl TraceParent {
    /// Reads a header's value. Of a later version what is known of this one is read.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(LENGTH)?;
        let (version, rest) = field(known)?;
        let (trace, rest) = field(rest)?;
        let (span, rest) = field(rest)?;
        let flags: [u8; 1] = hex(rest)?;
        let (version, trace, span): ([u8; 1], _, _) = (hex(version)?, hex(trace)?, hex(span)?);
        let is_whole = match version[0] {
            0 => more.is_empty(),
            0xff => false,
            _ => more.first().is_none_or(|next| *next == b'-'),
        };
        let is_given = trace != [0; 16] && span != [0; 8];
        (is_whole && is_given).then(|| Self { trace: TraceId(trace), span, flags: flags[0] & (SAMPLED | RANDOM) })
    }

    /// This span of ours, going on with what a caller sent, if one did: its id is as random as it said, and ours are.
    pub(super) fn going_on(self, caller: Option<Self>) -> Self {
        let random = caller.map_or(RANDOM, |caller| caller.flags & RANDOM);
        Self { flags: self.flags & SAMPLED | random, ..self }
    }

    /// The same as a header's value.
    pub fn header(self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.to_string()).ok()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-", self.trace)?;
        self.span.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", self.flags)
    }
}

/// What stands before the next hyphen, and what behind it.
fn field(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'-')?;
    Some((&text[..at], &text[at + 1..]))
}

/// Lower-case hexadecimal of exactly that many bytes.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The `tracestate` of a request: several headers are one list.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut all = String::new();
    for value in headers.get_all(TRACESTATE) {
        let value = value.to_str().ok()?;
        if !all.is_empty() {
            all.push(',');
        }
        if all.len() + value.len() > STATE_BYTES {
            return None;
        }
        all.push_str(value);
    }
    let mut keys = Vec::new();
    for entry in all.split(',') {
        let entry = entry.trim_matches([' ', '\t']);
        if entry.is_empty() {
            continue;
        }
        let (key, value) = entry.split_once('=')?;
        let is_good = is_key(key) && is_value(value) && !keys.contains(&key) && keys.len() < STATE_ENTRIES;
        if !is_good {
            return None;
        }
        keys.push(key);
    }
    if keys.is_empty() { None } else { HeaderValue::from_str(&all).ok() }
}

/// A tracing system's name, or a tenant's at one.
fn is_key(key: &str) -> bool {
    let is_first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_good = |c: char| is_first(c) || "_-*/@".contains(c);
    key.starts_with(is_first) && key.len() <= 256 && key.chars().all(is_good)
}

fn is_value(value: &str) -> bool {
    let is_good = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && !value.ends_with(' ') && value.bytes().all(is_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_to_the_letter_is_read_and_written_again() {
        for (text, again) in [
            (GOOD, GOOD),
            (&GOOD.replace("-01", "-00"), &GOOD.replace("-01", "-00")),
            // Of flags that nobody knows yet nothing is passed on.
            (&GOOD.replace("-01", "-ff"), &GOOD.replace("-01", "-03")),
            (&GOOD.replace("-01", "-08"), &GOOD.replace("-01", "-00")),
            // A later version may have more, behind a hyphen, and is answered in this one.
            (&GOOD.replace("00-4", "01-4"), GOOD),
            (&(GOOD.replace("00-4", "cc-4") + "-what-the-future-will-be-like"), GOOD),
            (&(GOOD.replace("00-4", "fe-4") + "-"), GOOD),
        ] {
            let read = TraceParent::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.to_string(), again, "{text}");
            assert_eq!(read.trace.to_string(), TRACE);
            assert_eq!(read.header().unwrap(), again);
        }
    }

    #[test]
    fn whatever_else_is_no_traceparent() {
        let zero = |length| "0".repeat(length);
        for text in [
            "",
            "-",
            "00",
            TRACE,
            &GOOD[..54],
            &format!("{GOOD}0"),
            &format!("{GOOD}-"),
            &format!("{GOOD}-00"),
            &format!(" {GOOD}"),
            &format!("{GOOD},{GOOD}"),
            &GOOD.replace("00-4", "ff-4"),
            &GOOD.replace("00-4", "0-04"),
            &GOOD.replace("00-4", ".0-4"),
            &GOOD.replace("00-4", "0A-4"),
            &(GOOD.replace("00-4", "01-4") + "x"),
            &(GOOD.replace("00-4", "01-4") + ".x"),
            &GOOD.replace(TRACE, &zero(32)),
            &GOOD.replace("00f067aa0ba902b7", &zero(16)),
            &GOOD.replace("4bf9", "4BF9"),
            &GOOD.replace("4bf9", "4bg9"),
            &GOOD.replace("4bf9", "4b 9"),
            &GOOD.replace("00f0", "00F0"),
            &GOOD.replace("-01", "-0x"),
            &GOOD.replace("-01", "-1"),
            &GOOD.replace("-01", "-0G"),
            &GOOD.replace('-', "_"),
            // A hyphen that moved: as long, but cut elsewhere.
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-701",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7\u{e9}1",
            &"0".repeat(60_000),
        ] {
            assert_eq!(TraceParent::parse(text.as_bytes()), None, "{text:.80}");
        }
    }

    #[test]
    fn a_span_of_ours_says_of_the_trace_s_id_what_the_caller_said() {
        let of = |flags: &str| TraceParent::parse(GOOD.replace("-01", flags).as_bytes()).unwrap();
        for (own, caller, flags) in [
            ("-01", None, "-03"),
            ("-00", None, "-02"),
            ("-01", Some("-01"), "-01"),
            ("-01", Some("-02"), "-03"),
            ("-00", Some("-03"), "-02"),
            ("-03", Some("-00"), "-01"),
        ] {
            assert_eq!(of(own).going_on(caller.map(of)), of(flags), "{own} after {caller:?}");
        }
    }

    fn read(headers: &[(HeaderName, &str)]) -> Option<Caller> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        Caller::read(&map)
    }

    #[test]
    fn a_caller_has_one_trace() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[(TRACESTATE, "a=1")]), None);
        let caller = read(&[(TRACEPARENT, GOOD)]).unwrap();
        assert_eq!((caller.parent.to_string().as_str(), caller.state), (GOOD, None));
        assert_eq!(read(&[(TRACEPARENT, GOOD), (TRACEPARENT, GOOD)]), None);
    }

    #[test]
    fn the_state_is_passed_on_as_it_came_or_not_at_all() {
        let of = |states: &[&str]| {
            let states = states.iter().map(|state| (TRACESTATE, *state));
            let headers: Vec<_> = [(TRACEPARENT, GOOD)].into_iter().chain(states).collect();
            let state = read(&headers).expect("the trace goes on").state?;
            Some(state.to_str().unwrap().to_owned())
        };
        let entries = |count: usize| (0..count).map(|n| format!("a{n}=1")).collect::<Vec<_>>().join(",");
        let longest_key = "k".repeat(256);
        for good in [
            "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
            "a=1 , b=2,\tc=3",
            "a=1,,b=2,",
            "fw529a3039@dt=FfYn dWV",
            "0a=1",
            "a@b@c=1",
            "a_-*/@0=!\"#$%&'()*+-./:;<>?@[]^_`{|}~",
            &entries(32),
            &format!("{longest_key}=1"),
            &format!("a={}", "v".repeat(256)),
        ] {
            assert_eq!(of(&[good]).as_deref(), Some(good));
        }
        assert_eq!(of(&["a=1", "b=2,c=3"]).as_deref(), Some("a=1,b=2,c=3"));
        for bad in [
            "",
            ",",
            "a",
            "a=",
            "=1",
            "a =1",
            "A=1",
            "_a=1",
            "a=1=2",
            "a=1,a=2",
            "a=\u{e9}",
            "@b=1",
            "a.b=1",
            &entries(33),
            &format!("{longest_key}k=1"),
            &format!("a={}", "v".repeat(257)),
            &format!("a={},b={},c=1", "v".repeat(250), "v".repeat(260)),
        ] {
            assert_eq!(of(&[bad]), None, "{bad}");
        }
        // Together they are too long.
        let (half, more) = (format!("a={}", "v".repeat(253)), format!("b={}", "v".repeat(254)));
        assert_eq!(of(&[&half, &more]).map(|state| state.len()), Some(STATE_BYTES));
        assert_eq!(of(&[&half, &more, "c=1"]), None);
        assert_eq!(of(&[&half, &(more + "v")]), None);
        assert_eq!(of(&["a=1", "a=2"]), None);
    }
}
