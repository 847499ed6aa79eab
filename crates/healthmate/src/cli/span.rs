//! Spans of time as people write them: `90s`, `10m`, `12h`, `7d`.

/// A span of whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// How many seconds.
    pub(crate) seconds: u32,
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write a number and a unit: 90s, 10m, 12h or 7d".to_owned();
        let unit = text.chars().last().ok_or_else(wrong)?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
        let seconds = number.checked_mul(factor).ok_or("must be less than 136 years")?;
        Ok(Self { seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_in_every_unit() {
        let seconds = |text: &str| text.parse::<Span>().map(|span| span.seconds);
        assert_eq!(
            [seconds("90s"), seconds("10m"), seconds("12h"), seconds("7d")],
            [Ok(90), Ok(600), Ok(43_200), Ok(604_800)]
        );
        for wrong in ["", "s", "10", "-1m", "1.5h", "10 m", "10µ"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert!(seconds("99999999d").is_err());
    }
}
