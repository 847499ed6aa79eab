//! How often one may try to sign in: so many wrong attempts, then a wait before each, twice as long every time.
//!
//! Counted per account, known or not, and per address. An attempt counts when it begins, so that many at once are no way
//! around; one that succeeds is taken back. Nobody is locked out for longer than the longest wait, and nobody who is
//! signed in already: refresh tokens are not throttled.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::config::SignInSettings;
use crate::recent::Recent;

/// How many accounts, and how many addresses, are remembered: half of them at least the ones used last.
const HALF: usize = 8192;

/// After how many of the longest waits without an attempt one begins anew.
const FORGET: u32 = 4;

/// Who tries, as far as it is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    account: Option<[u8; 32]>,
    address: Option<IpAddr>,
}

impl Attempt {
    /// At `account`, from `address`. The account's name is not kept: it may be a password in the wrong field.
    pub(crate) fn new(account: Option<&str>, address: Option<IpAddr>) -> Self {
        Self { account: account.map(|name| Sha256::digest(name).into()), address: address.map(block) }
    }
}

/// Everybody in an IPv6 block of /64 is one: its owner has all of them.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The attempts there were.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_account: u32,
    per_address: u32,
    longest: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    accounts: Recent<[u8; 32], Tries>,
    addresses: Recent<IpAddr, Tries>,
}

#[derive(Clone, Copy, Debug)]
struct Tries {
    failed: u32,
    last: Instant,
}

impl Throttle {
    pub(crate) fn new(settings: &SignInSettings) -> Self {
        Self {
            per_account: settings.attempts_per_account,
            per_address: settings.attempts_per_address,
            longest: settings.longest_wait(),
            state: Mutex::new(State { accounts: Recent::new(HALF), addresses: Recent::new(HALF) }),
        }
    }

    /// Begins an attempt, which counts as wrong until [`Throttle::succeeded`].
    ///
    /// # Errors
    /// How long to wait first. Asking too soon makes it no longer.
    pub(crate) fn begin(&self, attempt: &Attempt, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock();
        let State { accounts, addresses } = &mut *state;
        let account =
            attempt.account.map(|account| (self.tries(accounts.get(&account).copied(), now), account));
        let address =
            attempt.address.map(|address| (self.tries(addresses.get(&address).copied(), now), address));
        let waits = [
            account.map(|(tries, _)| self.wait(tries, self.per_account, now)),
            address.map(|(tries, _)| self.wait(tries, self.per_address, now)),
        ];
        let wait = waits.into_iter().flatten().max().unwrap_or_default();
        if !wait.is_zero() {
            return Err(wait);
        }
        if let Some((tries, account)) = account {
            accounts.insert(account, Tries { failed: tries.failed.saturating_add(1), last: now });
        }
        if let Some((tries, address)) = address {
            addresses.insert(address, Tries { failed: tries.failed.saturating_add(1), last: now });
        }
        Ok(())
    }

    /// The attempt was a good one: the account begins anew; the address has it back, and no other, so that nobody clears
    /// an address by signing in with an account of their own.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        let mut state = self.state.lock();
        if let Some(tries) = attempt.account.and_then(|account| state.accounts.get(&account)) {
            tries.failed = 0;
        }
        if let Some(tries) = attempt.address.and_then(|address| state.addresses.get(&address)) {
            tries.failed = tries.failed.saturating_sub(1);
        }
    }

    /// The attempt was not looked at: both have it back.
    pub(crate) fn undone(&self, attempt: &Attempt) {
        let mut state = self.state.lock();
        if let Some(tries) = attempt.account.and_then(|account| state.accounts.get(&account)) {
            tries.failed = tries.failed.saturating_sub(1);
        }
        if let Some(tries) = attempt.address.and_then(|address| state.addresses.get(&address)) {
            tries.failed = tries.failed.saturating_sub(1);
        }
    }

    fn tries(&self, found: Option<Tries>, now: Instant) -> Tries {
        let fresh = Tries { failed: 0, last: now };
        found
            .filter(|tries| now.saturating_duration_since(tries.last) < self.longest * FORGET)
            .unwrap_or(fresh)
    }

    fn wait(&self, tries: Tries, free: u32, now: Instant) -> Duration {
        let Some(past) = tries.failed.checked_sub(free) else { return Duration::ZERO };
        let whole = Duration::from_secs(1_u64.checked_shl(past).unwrap_or(u64::MAX)).min(self.longest);
        whole.saturating_sub(now.saturating_duration_since(tries.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> Throttle {
        Throttle::new(&SignInSettings {
            attempts_per_account: 3,
            attempts_per_address: 5,
            ..SignInSettings::default()
        })
    }

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn at(account: &str, address: &str) -> Attempt {
        Attempt::new(Some(account), Some(address.parse().expect("an address")))
    }

    #[test]
    fn past_the_limit_each_wait_is_twice_the_last_up_to_the_longest() {
        let (throttle, mut now) = (throttle(), now());
        let attempt = Attempt::new(Some("ana"), None);
        for _ in 0..3 {
            assert_eq!(throttle.begin(&attempt, now), Ok(()), "at the limit");
        }
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(throttle.begin(&attempt, now), Err(s(wait)), "past it");
            assert_eq!(throttle.begin(&attempt, now), Err(s(wait)), "asking again costs nothing");
            now += s(wait);
            assert_eq!(throttle.begin(&attempt, now), Ok(()));
        }
        now += s(300 * 4);
        assert_eq!(throttle.begin(&attempt, now), Ok(()));
        assert_eq!(throttle.begin(&attempt, now), Ok(()), "forgotten");
    }

    #[test]
    fn an_address_is_held_to_its_own_limit_over_all_accounts() {
        let (throttle, now) = (throttle(), now());
        for n in 0..5 {
            assert_eq!(throttle.begin(&at(&format!("user-{n}"), "192.0.2.1"), now), Ok(()));
        }
        assert_eq!(throttle.begin(&at("user-9", "::ffff:192.0.2.1"), now), Err(s(1)));
        assert_eq!(throttle.begin(&at("user-9", "192.0.2.2"), now), Ok(()), "others go on");
        for n in 0..5 {
            assert_eq!(throttle.begin(&at(&format!("six-{n}"), &format!("2001:db8::{n}")), now), Ok(()));
        }
        assert_eq!(throttle.begin(&at("six-9", "2001:db8::ffff:1"), now), Err(s(1)), "one block");
        assert_eq!(throttle.begin(&at("six-9", "2001:db8:0:1::1"), now), Ok(()));
    }

    #[test]
    fn who_signs_in_clears_the_account_and_not_the_address() {
        let (throttle, now) = (throttle(), now());
        for n in 0..4 {
            assert_eq!(throttle.begin(&at(&format!("victim-{n}"), "192.0.2.1"), now), Ok(()));
        }
        let own = at("mallory", "192.0.2.1");
        for _ in 0..9 {
            assert_eq!(throttle.begin(&own, now), Ok(()));
            throttle.succeeded(&own);
        }
        assert_eq!(throttle.begin(&at("victim-4", "192.0.2.1"), now), Ok(()));
        assert_eq!(throttle.begin(&at("victim-5", "192.0.2.1"), now), Err(s(1)));
        let busy = at("ana", "192.0.2.9");
        for _ in 0..9 {
            assert_eq!(throttle.begin(&busy, now), Ok(()));
            throttle.undone(&busy);
        }
    }
}
