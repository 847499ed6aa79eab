//! Points in time, as the wire writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::Text;

mod plain;

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
///
/// On the wire it is RFC 3339 in UTC with six decimals, `2026-11-23T07:00:00.000000Z`; any offset is accepted
/// from outside. Storage keeps the integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Years 1900 to 2200: what a health record can plausibly hold, and far inside every conversion's range.
const MIN_MICROS: i64 = -2_208_988_800_000_000;
const MAX_MICROS: i64 = 7_258_118_400_000_000;

impl Timestamp {
    /// The last time there is.
    pub const MAX: Self = Self(MAX_MICROS);

    /// The point `micros` microseconds after the Unix epoch, held to the years 1900 to 2200.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(MIN_MICROS, MAX_MICROS))
    }

    /// Microseconds since the Unix epoch.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// This point moved by `millis` milliseconds, back if negative.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_micros(self.0.saturating_add(millis.saturating_mul(1000)))
    }

    /// Milliseconds from `earlier` to this point; negative if `earlier` is later.
    pub fn millis_since(self, earlier: Self) -> i64 {
        (self.0 - earlier.0) / 1000
    }
}

/// Why a text is no timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not RFC 3339.
    #[error("not an RFC 3339 time with an offset, such as 2026-11-23T07:00:00Z")]
    Malformed,
    /// Before 1900 or after 2200.
    #[error("outside the years 1900 to 2200")]
    OutOfRange,
}

/// Every spelling of RFC 3339, and none besides: jiff passes over a time zone or calendar in brackets, and takes offsets of
/// more than a day. What is finer than a microsecond is left out.
fn read(text: &str) -> Option<i64> {
    let time = plain::is_rfc_3339(text.as_bytes()).then(|| text.parse::<jiff::Timestamp>().ok())??;
    i64::try_from(time.as_nanosecond().div_euclid(1000)).ok()
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let micros = match plain::parse(text.as_bytes()) {
            Some(micros) => micros,
            None => read(text).ok_or(TimestampError::Malformed)?,
        };
        if !(MIN_MICROS..=MAX_MICROS).contains(&micros) {
            return Err(TimestampError::OutOfRange);
        }
        Ok(Self(micros))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        plain::with_text(self.0, |text| f.write_str(text))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        plain::with_text(self.0, |text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339; written in UTC with microseconds, any offset accepted."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_utc_with_six_decimals() {
        let time: Timestamp = "2026-11-23T08:00:00+01:00".parse().expect("valid");
        assert_eq!(time.to_string(), "2026-11-23T07:00:00.000000Z");
    }

    #[test]
    fn refuses_what_is_no_time() {
        assert_eq!("yesterday".parse::<Timestamp>(), Err(TimestampError::Malformed));
        assert_eq!("2026-11-23T08:00:00".parse::<Timestamp>(), Err(TimestampError::Malformed));
        assert_eq!("1776-07-04T00:00:00Z".parse::<Timestamp>(), Err(TimestampError::OutOfRange));
        assert_eq!("1899-12-31T23:59:59.9999999Z".parse::<Timestamp>(), Err(TimestampError::OutOfRange));
    }

    #[test]
    fn reads_every_spelling_of_rfc_3339_and_none_besides() {
        let seven = "2026-11-23T07:00:00Z".parse::<Timestamp>();
        for text in [
            "2026-11-23t07:00:00z",
            "2026-11-23 07:00:00.000000999Z",
            "2026-11-23T07:00:00-00:00",
            "2026-11-24T06:59:00+23:59",
            "2026-11-22T07:01:00.0-23:59",
        ] {
            assert_eq!(text.parse::<Timestamp>(), seven, "{text}");
        }
        for text in [
            "2026-11-23T07:00:00+24:00",
            "2026-11-23T07:00:00+01:60",
            "2026-11-23T07:00:00+01",
            "2026-11-23T07:00:00+0100",
            "2026-11-23T07:00:00+01:00:30",
            "2026-11-23T08:00:00+01:00[America/New_York]",
            "2026-11-23T07:00:00Z[u-ca=japanese]",
            "2026-11-23T07:00:00,5Z",
            "2026-11-23T07:00:00.Z",
            "2026-11-23T07:00Z",
            "20261123T070000Z",
            "+002026-11-23T07:00:00Z",
            "2026-11-23T07:00:00Z ",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError::Malformed), "{text}");
        }
    }

    #[test]
    fn what_is_finer_than_a_microsecond_is_left_out_before_1970_too() {
        let time: Timestamp = "1969-12-31T23:59:59.9999999Z".parse().expect("valid");
        assert_eq!(time.to_string(), "1969-12-31T23:59:59.999999Z");
    }

    proptest::proptest! {
        #[test]
        fn printed_and_parsed_is_the_same(micros in MIN_MICROS..MAX_MICROS) {
            let time = Timestamp::from_micros(micros);
            proptest::prop_assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time));
        }
    }
}
