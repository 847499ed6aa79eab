//! The one spelling that nearly every message has, `2026-11-23T07:00:00.000000Z`, read and written in a few
//! nanoseconds: a message has two or three of them. All other spellings are jiff's.

const DAY: i64 = 24 * 60 * 60;

/// How long the text that we write is.
const LENGTH: usize = 27;

/// Reads `YYYY-MM-DDTHH:MM:SS` with up to six decimals and a `Z`; `None` for everything else, right or wrong. The
/// result is in microseconds since 1970.
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    let (whole, rest) = text.split_first_chunk::<19>()?;
    let number = |from: usize, to: usize| digits(whole.get(from..to)?);
    let marks = [whole[4], whole[7], whole[10], whole[13], whole[16]];
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_day = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    // A leap second is left to jiff.
    if marks != *b"--T::" || !is_day || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = match rest {
        b"Z" => 0,
        [b'.', decimals @ .., b'Z'] if (1..=6).contains(&decimals.len()) => {
            digits(decimals)? * 10_i64.pow(6 - decimals.len() as u32)
        }
        _ => return None,
    };
    let seconds = days_to(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    Some(seconds * 1_000_000 + micros)
}

/// Whether the text has the form of RFC 3339, whatever its numbers are.
pub(super) fn is_rfc_3339(text: &[u8]) -> bool {
    let Some((whole, rest)) = text.split_first_chunk::<19>() else { return false };
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        // A space may stand between the date and the time, for people's sake.
        b'T' => matches!(byte, b'T' | b't' | b' '),
        mark => byte == mark,
    };
    let offset = rest.strip_prefix(b".").map_or(rest, |decimals| {
        let after = decimals.iter().position(|byte| !byte.is_ascii_digit());
        after.map_or(&[], |at| &decimals[at..])
    });
    whole.iter().zip(b"0000-00-00T00:00:00").all(fits)
        && match offset {
            b"Z" | b"z" => true,
            [b'+' | b'-', hours @ .., b':', _, _] => hours.len() == 2 && hours <= b"23",
            _ => false,
        }
}

/// Writes a time of the years 0 to 9999 with six decimals.
pub(super) fn with_text<T>(micros: i64, take: impl FnOnce(&str) -> T) -> T {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = date_of(days);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    for (value, from, to) in [
        (year, 0, 4),
        (month, 5, 7),
        (day, 8, 10),
        (second / 3600, 11, 13),
        (second / 60 % 60, 14, 16),
        (second % 60, 17, 19),
        (fraction, 20, LENGTH - 1),
    ] {
        let mut rest = value;
        for digit in text[from..to].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    // Digits and marks are text.
    take(std::str::from_utf8(&text).unwrap_or_default())
}

fn digits(text: &[u8]) -> Option<i64> {
    let digit = |value: i64, byte: &u8| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'));
    text.iter().try_fold(0, digit)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to this date. As in Howard Hinnant's `days_from_civil`, a year begins in March, so that the
/// leap day is its last, and 400 of them are 146,097 days.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day, so many days after 1970-01-01: `civil_from_days` of the same author.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_jiff(text: &str) -> Option<i64> {
        text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
    }

    proptest! {
        #[test]
        fn writes_what_jiff_writes(micros in -62_000_000_000_000_000_i64..253_000_000_000_000_000) {
            let time = jiff::Timestamp::from_microsecond(micros).expect("in range");
            with_text(micros, |text| {
                assert_eq!(text, format!("{time:.6}"));
                assert_eq!(parse(text.as_bytes()), Some(micros));
            });
        }

        /// What is read here is read by jiff too, and as the same time.
        #[test]
        fn reads_as_jiff_does(
            text in "(1[89]|2[0-9])[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,7})?Z"
        ) {
            if let Some(micros) = parse(text.as_bytes()) {
                prop_assert_eq!(Some(micros), by_jiff(&text));
            }
        }
    }

    #[test]
    fn leaves_the_rest_to_jiff() {
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T07:00:60Z",
            "2026-11-23 07:00:00Z",
            "2026-11-23T07:00:00z",
            "2026-11-23T07:00:00+00:00",
            "2026-11-23T07:00:00.Z",
            "2026-11-23T07:00:00.1234567Z",
            "2026-11-23T07:00:0",
            "2026-11-23T07:00:+1Z",
            "",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        for text in ["2024-02-29T23:59:59Z", "2000-02-29T00:00:00.5Z", "1900-03-01T00:00:00.000001Z"] {
            assert_eq!(parse(text.as_bytes()), by_jiff(text), "{text}");
        }
    }
}
