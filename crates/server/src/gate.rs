//! How much one client address may ask for, before anything is done for it.
//!
//! An address takes what a household or a hospital takes: many people may share one, so the limits are wide, and
//! networks that are known can be left alone (`limits.exempt_networks`). What one person may ask for is decided later,
//! when it is known who it is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use healthmate_care::{Bucket, Rate};
use parking_lot::Mutex;

use crate::config::{LimitSettings, Network};
use crate::recent::Recent;

/// How many addresses are remembered that asked for something lately, at most twice that: about two megabytes. Who has
/// more addresses than that is held by the limits of the node.
const REMEMBERED: usize = 16_384;

/// What one client counts as: an IPv4 address, or the /64 that an IPv6 client can choose any address of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Origin(IpAddr);

impl Origin {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

/// What an address has used of its rates.
#[derive(Debug, Default)]
struct Used {
    opening: Bucket,
    requests: Bucket,
}

/// Which limit an address is past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// It holds as many connections as it may: `limits.connections_per_address`.
    AtOnce,
    /// It opens more a second: `limits.connections_per_second_per_address`.
    Opening,
    /// It sends more requests a second: `limits.requests_per_second_per_address`.
    Requests,
}

/// Counts what each client address has and asks for. Its memory is bounded: an entry for each address that has a
/// connection, and [`REMEMBERED`] others.
#[derive(Debug)]
pub(crate) struct Gate {
    exempt: Vec<Network>,
    at_once: u32,
    opening: Rate,
    requests: Rate,
    open: Mutex<HashMap<Origin, u32>>,
    used: Mutex<Recent<Origin, Used>>,
}

impl Gate {
    /// A gate that nobody has come through yet.
    pub(crate) fn new(limits: &LimitSettings) -> Self {
        // Twice a second's worth at once: a ward that comes back after a cut.
        let rate = |per_second: u32| Rate::per_second(per_second, per_second.saturating_mul(2));
        Self {
            exempt: limits.exempt_networks.clone(),
            at_once: limits.connections_per_address,
            opening: rate(limits.connections_per_second_per_address),
            requests: rate(limits.requests_per_second_per_address),
            open: Mutex::default(),
            used: Mutex::new(Recent::new(REMEMBERED)),
        }
    }

    /// Counts a connection of `address` until what is returned is dropped.
    ///
    /// # Errors
    /// If the address has as many as it may, or opened as many lately.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Counted, Limit> {
        if self.is_exempt(address) {
            return Ok(Counted::default());
        }
        let origin = Origin::of(address);
        let mut open = self.open.lock();
        let count = open.get(&origin).copied().unwrap_or_default();
        if count >= self.at_once {
            return Err(Limit::AtOnce);
        }
        self.take(origin, |used| used.opening.take(self.opening, now)).map_err(|_| Limit::Opening)?;
        open.insert(origin, count + 1);
        Ok(Counted(Some(Box::new((Arc::clone(self), origin)))))
    }

    /// Counts a request of `address`.
    ///
    /// # Errors
    /// If it sent as many lately as it may.
    pub(crate) fn request(&self, address: IpAddr, now: Instant) -> Result<(), Limit> {
        if self.is_exempt(address) {
            return Ok(());
        }
        let taken = self.take(Origin::of(address), |used| used.requests.take(self.requests, now));
        taken.map_err(|_| Limit::Requests)
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(address))
    }

    fn take<T>(&self, origin: Origin, take: impl FnOnce(&mut Used) -> T) -> T {
        let mut used = self.used.lock();
        if let Some(used) = used.get(&origin) {
            return take(used);
        }
        let mut fresh = Used::default();
        let taken = take(&mut fresh);
        used.insert(origin, fresh);
        taken
    }
}

/// A connection that counts as one of its address. Empty where the address is exempt, or not known yet.
#[derive(Debug, Default)]
pub(crate) struct Counted(Option<Box<(Arc<Gate>, Origin)>>);

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((gate, origin)) = self.0.take().map(|counted| *counted) else { return };
        if let Entry::Occupied(mut open) = gate.open.lock().entry(origin) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn gate(adjust: impl FnOnce(&mut LimitSettings)) -> Arc<Gate> {
        let mut limits = LimitSettings {
            connections_per_address: 3,
            connections_per_second_per_address: 10,
            requests_per_second_per_address: 2,
            ..LimitSettings::default()
        };
        adjust(&mut limits);
        Arc::new(Gate::new(&limits))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn an_address_holds_so_many_and_a_free_place_is_given_again() {
        let (gate, now) = (gate(|_| {}), start());
        let (one, other) = (address("203.0.113.9"), address("203.0.113.10"));
        let mut held: Vec<_> = (0..3).map(|_| gate.enter(one, now).expect("a place")).collect();
        assert_eq!(gate.enter(one, now).err(), Some(Limit::AtOnce));
        assert!(gate.enter(other, now).is_ok(), "others are not held to it");
        held.pop();
        held.push(gate.enter(one, now).expect("the place that became free"));
        assert_eq!(gate.enter(one, now).err(), Some(Limit::AtOnce));
        drop(held);
        assert!(gate.open.lock().is_empty(), "nothing stays of those who left");
    }

    #[test]
    fn an_address_opens_and_asks_so_often_and_again_after_a_while() {
        let (gate, now) = (gate(|limits| limits.connections_per_address = 1000), start());
        let one = address("203.0.113.9");
        for _ in 0..20 {
            assert!(gate.enter(one, now).is_ok());
        }
        assert_eq!(gate.enter(one, now).err(), Some(Limit::Opening));
        assert!(gate.enter(one, now + Duration::from_millis(100)).is_ok());
        for _ in 0..4 {
            assert_eq!(gate.request(one, now), Ok(()));
        }
        assert_eq!(gate.request(one, now), Err(Limit::Requests));
        assert_eq!(gate.request(one, now + Duration::from_millis(499)), Err(Limit::Requests));
        assert_eq!(gate.request(one, now + Duration::from_millis(500)), Ok(()));
    }

    #[test]
    fn an_ipv6_client_is_its_64_and_a_mapped_address_is_its_ipv4() {
        let (gate, now) = (gate(|_| {}), start());
        let held: Vec<_> = ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff:ffff:ffff:ffff"]
            .map(|text| gate.enter(address(text), now).expect("a place"))
            .into();
        assert_eq!(gate.enter(address("2001:db8:1:2:3:4:5:6"), now).err(), Some(Limit::AtOnce));
        assert!(gate.enter(address("2001:db8:1:3::1"), now).is_ok(), "another /64");
        for _ in 0..4 {
            assert_eq!(gate.request(address("::ffff:203.0.113.9"), now), Ok(()));
        }
        assert_eq!(gate.request(address("203.0.113.9"), now), Err(Limit::Requests));
        drop(held);
    }

    #[test]
    fn exempt_networks_are_left_alone_and_this_machine_is_by_default() {
        let (gate, now) = (gate(|limits| limits.connections_per_address = 1), start());
        for text in ["127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"] {
            let held: Vec<_> = (0..10_000).map(|_| gate.enter(address(text), now)).collect();
            assert!(held.iter().all(Result::is_ok), "{text}");
            assert_eq!(gate.request(address(text), now), Ok(()));
        }
        assert!(gate.open.lock().is_empty());
    }

    #[test]
    fn however_many_addresses_ask_the_memory_is_bounded() {
        let (gate, now) = (gate(|_| {}), start());
        for number in 0..(4 * REMEMBERED as u32) {
            let _ = gate.request(IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(gate.used.lock().len() <= 2 * REMEMBERED);
    }
}
