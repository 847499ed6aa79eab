//! The number that says why a connection ends.

use std::fmt;

/// A WebSocket close code: any number of 16 bits; [`CloseCode::is_sendable`] tells those that may be on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the endpoint goes away: a server stops, a page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data that the endpoint does not take, such as binary where only text is spoken.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005, never sent: what a Close frame without a code means.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006, never sent: the connection ended without a Close frame.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: the content contradicts its kind, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: against the endpoint's policy, for want of a better code.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a frame or message above the limit.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: the client missed an extension in the handshake.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: the server failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the service is overloaded; come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got a bad answer from behind it.
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015, never sent: the TLS handshake failed.
    pub const TLS_HANDSHAKE: Self = Self(1015);

    /// The code with this number. Every number is taken; see [`CloseCode::is_sendable`].
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether a Close frame may carry this code: those that the RFC and IANA define for the wire
    /// (1000–1003, 1007–1014), those of libraries (3000–3999) and of applications (4000–4999).
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<u16> for CloseCode {
    fn from(number: u16) -> Self {
        Self(number)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::CloseCode;

    #[test]
    fn the_sendable_codes_are_exactly_the_ranges_of_the_rfc_and_iana() {
        let ranges = [(1000, 1003), (1007, 1014), (3000, 4999)];
        for number in 0..=u16::MAX {
            let expected = ranges.iter().any(|&(from, to)| (from..=to).contains(&number));
            assert_eq!(CloseCode::new(number).is_sendable(), expected, "{number}");
        }
    }

    #[test]
    fn a_code_prints_as_its_number() {
        assert_eq!(CloseCode::MESSAGE_TOO_BIG.to_string(), "1009");
        assert_eq!(format!("{:?}", CloseCode::from(4501)), "CloseCode(4501)");
        assert_eq!(u16::from(CloseCode::NORMAL), 1000);
    }
}
