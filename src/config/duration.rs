//! Durations as people write them: `500ms`, `15s`, `5m`, `1h`, `7d`.

use std::time::Duration;

/// The units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// What a duration looks like, for errors.
pub(super) const FORM: &str = "a duration such as `500ms`, `15s`, `5m`, `1h` or `7d`";

/// The pattern of a duration, for the schema.
pub(super) const PATTERN: &str = "^[0-9]+(ms|s|m|h|d)$";

/// A whole number and its unit.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*millis)?))
}

/// A duration in the largest unit that tells it whole.
pub(super) fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (unit, factor) = UNITS
        .into_iter()
        .find(|(_, factor)| millis > 0 && millis.is_multiple_of(u128::from(*factor)))
        .unwrap_or(("s", 1_000));
    format!("{}{unit}", millis / u128::from(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("15s", 15_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("0s", 0),
            ("90s", 90_000),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse(text), Some(duration), "{text}");
            assert_eq!(show(duration), text);
        }
        for bad in
            ["", "5", "s", "5 s", "-5s", "5.5s", "1h30m", "5S", "99999999999999999999s", "999999999999999d", "५s"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(show(Duration::from_mins(2)), "2m");
    }
}
