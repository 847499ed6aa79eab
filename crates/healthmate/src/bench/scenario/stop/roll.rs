//! Who is there, who was away how long, and what each has heard. Pure.

/// One second, in nanoseconds.
const SECOND_NS: u64 = 1_000_000_000;

/// Something that happened to a client, and when, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) client: usize,
    pub(super) at: u64,
    pub(super) word: Word,
}

/// What happened to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Its subscription stands.
    Subscribed,
    /// It heard the event of this offset.
    Event(u64),
    /// It heard an event again.
    Repeated,
    /// The server said that events are gone.
    Gap,
    /// Its connection ended, or could not be made.
    Cut,
}

#[derive(Clone, Copy, Debug, Default)]
struct Client {
    inside: bool,
    /// The offset heard last.
    last: u64,
    away_since: Option<u64>,
}

/// All clients.
#[derive(Debug)]
pub(super) struct Roll {
    clients: Vec<Client>,
    inside: usize,
    /// When somebody who had been away came back.
    returns: Vec<u64>,
    longest_ns: u64,
    wrong: u64,
    repeated: u64,
}

impl Roll {
    /// So many clients, none of them there.
    pub(super) fn of(clients: usize) -> Self {
        let clients = vec![Client::default(); clients];
        Self { clients, inside: 0, returns: Vec::new(), longest_ns: 0, wrong: 0, repeated: 0 }
    }

    /// Takes down what happened.
    pub(super) fn take(&mut self, report: Report) {
        let Some(client) = self.clients.get_mut(report.client) else { return };
        match report.word {
            Word::Event(offset) => {
                self.wrong += offset.abs_diff(client.last + 1);
                client.last = offset;
            }
            Word::Repeated => self.repeated += 1,
            Word::Gap => self.wrong += 1,
            Word::Subscribed => {
                self.inside += usize::from(!client.inside);
                client.inside = true;
                if let Some(since) = client.away_since.take() {
                    self.returns.push(report.at);
                    self.longest_ns = self.longest_ns.max(report.at.saturating_sub(since));
                }
            }
            // One that was never there is not away.
            Word::Cut if client.inside => {
                self.inside -= 1;
                client.inside = false;
                client.away_since = Some(report.at);
            }
            Word::Cut => {}
        }
    }

    /// How many are there.
    pub(super) fn inside(&self) -> usize {
        self.inside
    }

    /// How many came back.
    pub(super) fn returned(&self) -> usize {
        self.returns.len()
    }

    /// When the last one came back, in nanoseconds.
    pub(super) fn last_return(&self) -> u64 {
        self.returns.iter().copied().max().unwrap_or(0)
    }

    /// The most returns within any second.
    pub(super) fn busiest_second(&self) -> usize {
        let mut returns = self.returns.clone();
        returns.sort_unstable();
        let within =
            |(index, at): (usize, &u64)| returns.partition_point(|other| *other < at + SECOND_NS) - index;
        returns.iter().enumerate().map(within).max().unwrap_or(0)
    }

    /// The longest time that one of them heard nothing, in seconds.
    pub(super) fn longest_silence_s(&self) -> f64 {
        self.longest_ns as f64 / SECOND_NS as f64
    }

    /// Whether all have heard everything up to this offset.
    pub(super) fn have_all(&self, head: u64) -> bool {
        self.clients.iter().all(|client| client.last >= head)
    }

    /// Events not heard, of as many as `head` for each client, or heard out of turn.
    pub(super) fn lost(&self, head: u64) -> u64 {
        self.wrong + self.clients.iter().map(|client| head.abs_diff(client.last)).sum::<u64>()
    }

    /// Events heard again.
    pub(super) fn repeated(&self) -> u64 {
        self.repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(roll: &mut Roll, client: usize, at_ms: u64, word: Word) {
        roll.take(Report { client, at: at_ms * 1_000_000, word });
    }

    #[test]
    fn absences_are_counted_from_the_cut_to_the_subscription() {
        let mut roll = Roll::of(3);
        tell(&mut roll, 0, 0, Word::Cut);
        (0..3).for_each(|client| tell(&mut roll, client, 5, Word::Subscribed));
        assert_eq!((roll.inside(), roll.returned()), (3, 0), "nobody was away");
        (0..3).for_each(|client| tell(&mut roll, client, 100, Word::Cut));
        tell(&mut roll, 0, 200, Word::Cut);
        assert_eq!(roll.inside(), 0);
        tell(&mut roll, 0, 1000, Word::Subscribed);
        tell(&mut roll, 1, 1999, Word::Subscribed);
        tell(&mut roll, 2, 2000, Word::Subscribed);
        assert_eq!((roll.inside(), roll.returned(), roll.busiest_second()), (3, 3, 2));
        assert_eq!(roll.last_return(), 2_000_000_000);
        assert!((roll.longest_silence_s() - 1.9).abs() < 1e-9);
    }

    #[test]
    fn whatever_is_not_heard_once_and_in_turn_is_found() {
        let mut roll = Roll::of(2);
        (1..=4).for_each(|offset| tell(&mut roll, 0, 1, Word::Event(offset)));
        (1..=3).for_each(|offset| tell(&mut roll, 1, 1, Word::Event(offset)));
        assert!(roll.have_all(3) && !roll.have_all(4));
        assert_eq!((roll.lost(4), roll.repeated()), (1, 0));
        tell(&mut roll, 1, 2, Word::Repeated);
        tell(&mut roll, 1, 2, Word::Event(5));
        assert_eq!(
            (roll.lost(5), roll.repeated()),
            (2, 1),
            "4 came to the second, and 5 to the first, never"
        );
        tell(&mut roll, 0, 2, Word::Gap);
        assert_eq!(roll.lost(5), 3);
    }
}
