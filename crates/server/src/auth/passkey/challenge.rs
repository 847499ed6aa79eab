//! Challenges: what a passkey signs, so that a signature is good once.
//!
//! A challenge carries its own end and a MAC, by which this process knows it again: to ask for one takes no memory, and
//! nobody who asks for many drives out those of others. One that came back is remembered until it has ended by itself.

use std::collections::BTreeSet;

use healthmate_care::Clock;
use healthmate_protocol::{Timestamp, UserId};
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

use super::Refused;

/// How long a challenge is good, in milliseconds.
pub(crate) const GOOD_FOR_MS: i64 = 5 * 60 * 1000;

/// How many that came back are remembered. Past it, none is taken until the oldest have ended: see `auth/throttle.rs` for
/// how often one address may try.
const MAX_USED: usize = 65_536;

const NONCE_BYTES: usize = 16;
const MESSAGE_BYTES: usize = NONCE_BYTES + 8;

/// What a challenge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ceremony<'a> {
    /// For this user to register a passkey.
    Register(&'a UserId),
    /// For anybody to sign in.
    SignIn,
}

/// The challenges of this process.
pub(crate) struct Challenges {
    key: [u8; 32],
    /// When each ends, and its nonce.
    used: Mutex<BTreeSet<(Timestamp, [u8; NONCE_BYTES])>>,
    max_used: usize,
}

impl Challenges {
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&clock.random());
        key[16..].copy_from_slice(&clock.random());
        Self { key, used: Mutex::default(), max_used: MAX_USED }
    }

    /// A new challenge: 56 bytes.
    pub(crate) fn issue(&self, ceremony: Ceremony<'_>, clock: &dyn Clock) -> Vec<u8> {
        let ends_at = clock.now().plus_millis(GOOD_FOR_MS);
        let mut challenge = clock.random().to_vec();
        challenge.extend(ends_at.as_micros().to_be_bytes());
        let mac = self.mac(ceremony, &challenge).finalize().into_bytes();
        challenge.extend(mac);
        challenge
    }

    /// Takes a challenge back, once.
    ///
    /// # Errors
    /// `Challenge` if it is not one of this process for this ceremony, has ended, or came back before; `Busy` if too many
    /// came back lately.
    pub(super) fn take(
        &self,
        ceremony: Ceremony<'_>,
        challenge: &[u8],
        now: Timestamp,
    ) -> Result<(), Refused> {
        let (message, mac) = challenge.split_at_checked(MESSAGE_BYTES).ok_or(Refused::Challenge)?;
        self.mac(ceremony, message).verify_slice(mac).map_err(|_| Refused::Challenge)?;
        let (nonce, ends_at) = message.split_first_chunk().ok_or(Refused::Challenge)?;
        let ends_at = ends_at.iter().fold(0, |number: i64, byte| number << 8 | i64::from(*byte));
        let ends_at = Timestamp::from_micros(ends_at);
        if ends_at <= now {
            return Err(Refused::Challenge);
        }
        let mut used = self.used.lock();
        // Only what can still come is remembered.
        while used.first().is_some_and(|(ends_at, _)| *ends_at <= now) {
            used.pop_first();
        }
        if used.len() >= self.max_used {
            return Err(Refused::Busy);
        }
        if used.insert((ends_at, *nonce)) { Ok(()) } else { Err(Refused::Challenge) }
    }

    fn mac(&self, ceremony: Ceremony<'_>, message: &[u8]) -> Hmac<Sha256> {
        let (purpose, user) = match ceremony {
            Ceremony::Register(user) => (b'r', user.as_str()),
            Ceremony::SignIn => (b's', ""),
        };
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key");
        mac.update(&[purpose]);
        // Of a fixed length, so that nothing moves between it and the user.
        mac.update(message);
        mac.update(user.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use healthmate_care::ManualClock;

    use super::*;

    fn clock() -> ManualClock {
        ManualClock::new("2026-11-23T07:00:00Z".parse().expect("valid"))
    }

    fn user(id: &str) -> UserId {
        UserId::new(id).expect("valid")
    }

    #[test]
    fn a_challenge_is_good_once_and_for_what_it_is_for() {
        let clock = clock();
        let (challenges, other) = (Challenges::new(&clock), Challenges::new(&clock));
        let (ana, bea) = (user("ana"), user("bea"));
        let challenge = challenges.issue(Ceremony::Register(&ana), &clock);
        assert_eq!(challenge.len(), 56);
        let take = |by: &Challenges, ceremony, challenge: &[u8]| by.take(ceremony, challenge, clock.now());
        let refused = Err(Refused::Challenge);
        assert_eq!(take(&challenges, Ceremony::SignIn, &challenge), refused);
        assert_eq!(take(&challenges, Ceremony::Register(&bea), &challenge), refused);
        assert_eq!(take(&other, Ceremony::Register(&ana), &challenge), refused, "of another process");
        for at in 0..challenge.len() {
            let mut changed = challenge.clone();
            changed[at] ^= 1;
            assert_eq!(take(&challenges, Ceremony::Register(&ana), &changed), refused, "{at}");
            assert_eq!(take(&challenges, Ceremony::Register(&ana), &challenge[..at]), refused, "{at}");
        }
        assert_eq!(take(&challenges, Ceremony::Register(&ana), &challenge), Ok(()));
        assert_eq!(take(&challenges, Ceremony::Register(&ana), &challenge), refused, "again");
    }

    #[test]
    fn a_challenge_ends_after_five_minutes() {
        let clock = clock();
        let challenges = Challenges::new(&clock);
        let (in_time, late) =
            (challenges.issue(Ceremony::SignIn, &clock), challenges.issue(Ceremony::SignIn, &clock));
        clock.advance_millis(GOOD_FOR_MS - 1);
        assert_eq!(challenges.take(Ceremony::SignIn, &in_time, clock.now()), Ok(()));
        clock.advance_millis(1);
        assert_eq!(challenges.take(Ceremony::SignIn, &late, clock.now()), Err(Refused::Challenge));
        assert_eq!(challenges.take(Ceremony::SignIn, &in_time, clock.now()), Err(Refused::Challenge));
    }

    #[test]
    fn what_came_back_is_bounded_and_forgotten_in_time() {
        let clock = clock();
        let challenges = Challenges { max_used: 2, ..Challenges::new(&clock) };
        let take = || {
            let challenge = challenges.issue(Ceremony::SignIn, &clock);
            challenges.take(Ceremony::SignIn, &challenge, clock.now())
        };
        assert_eq!([take(), take(), take()], [Ok(()), Ok(()), Err(Refused::Busy)]);
        clock.advance_millis(GOOD_FOR_MS + 1);
        assert_eq!(take(), Ok(()));
        assert_eq!(challenges.used.lock().len(), 1);
    }
}
