//! Which row is due when, and where an interrupted replay goes on.

use healthmate_protocol::{ClientId, Timestamp};

use super::recording::Recording;

/// How a recording is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// How many times faster than recorded; above 0.
    pub(crate) speed: f64,
    /// Begin again at the end.
    pub(crate) looped: bool,
    /// How much of the past to send first, in milliseconds; also how old a row may be to go on after it.
    pub(crate) history_ms: i64,
}

/// When a replay's first row of its first lap was taken, to the millisecond, and how fast it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Timeline {
    start: Timestamp,
    speed: f64,
}

/// One row of one lap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// 0 for the first time through the recording.
    pub(crate) lap: u32,
    /// The row's index.
    pub(crate) row: usize,
}

impl Place {
    const FIRST: Self = Self { lap: 0, row: 0 };

    /// The place after this one; `None` at the end of a recording that does not loop.
    pub(crate) fn next(self, recording: &Recording, looped: bool) -> Option<Self> {
        if self.row + 1 < recording.rows().len() {
            return Some(Self { row: self.row + 1, ..self });
        }
        looped.then_some(Self { lap: self.lap + 1, row: 0 })
    }
}

/// Where a replay begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Beginning {
    /// Its timeline.
    pub(crate) timeline: Timeline,
    /// The first row to send.
    pub(crate) place: Place,
}

impl Timeline {
    fn new(start: Timestamp, speed: f64) -> Self {
        // The client ids name the start in milliseconds, so it has no finer part.
        let whole_ms = start.as_micros().div_euclid(1000) * 1000;
        Self { start: Timestamp::from_micros(whole_ms), speed }
    }

    /// When the row at `place` was taken.
    pub(crate) fn taken_at(&self, recording: &Recording, place: Place) -> Timestamp {
        let row_ms = recording.rows().get(place.row).map_or(0, |row| row.at_ms);
        let recorded_ms = i64::from(place.lap).saturating_mul(recording.lap_ms()).saturating_add(row_ms);
        let micros = (recorded_ms as f64 * 1000.0 / self.speed).round() as i64;
        Timestamp::from_micros(self.start.as_micros().saturating_add(micros))
    }

    /// `<name>:<start in ms>:<lap>:<row>`: the same for the same row, however often it is sent.
    pub(crate) fn client_id(&self, recording: &Recording, place: Place) -> Option<ClientId> {
        let start_ms = self.start.as_micros() / 1000;
        ClientId::new(&format!("{}:{start_ms}:{}:{}", recording.name(), place.lap, place.row)).ok()
    }
}

/// Decides where to begin at `now`, given when the newest stored measurement was taken and what it is called.
///
/// If it is a row of this recording, younger than the history and on a timeline of this speed, that timeline goes on
/// after it. Otherwise a new timeline begins in the past, but never before what is stored already.
pub(crate) fn begin(
    recording: &Recording,
    pace: Pace,
    newest: Option<(Timestamp, Option<&ClientId>)>,
    now: Timestamp,
) -> Beginning {
    let history_start = now.plus_millis(-pace.history_ms);
    let going_on = newest
        .filter(|(taken_at, _)| *taken_at >= history_start)
        .and_then(|(taken_at, client_id)| resume(recording, pace, taken_at, client_id?));
    going_on.unwrap_or_else(|| {
        let after_newest = newest.map_or(history_start, |(taken_at, _)| taken_at.plus_millis(1));
        let start = history_start.max(after_newest).min(now);
        Beginning { timeline: Timeline::new(start, pace.speed), place: Place::FIRST }
    })
}

fn resume(
    recording: &Recording,
    replay: Pace,
    taken_at: Timestamp,
    client_id: &ClientId,
) -> Option<Beginning> {
    let mut parts = client_id.as_str().strip_prefix(recording.name())?.strip_prefix(':')?.split(':');
    let start_ms: i64 = parts.next()?.parse().ok()?;
    let newest = Place { lap: parts.next()?.parse().ok()?, row: parts.next()?.parse().ok()? };
    if parts.next().is_some() || newest.row >= recording.rows().len() {
        return None;
    }
    let timeline = Timeline::new(Timestamp::from_micros(start_ms.checked_mul(1000)?), replay.speed);
    // A replay of another speed, or of a file that has changed, had this row at another time.
    let same = timeline.taken_at(recording, newest).millis_since(taken_at).abs() <= 1;
    let next = newest.next(recording, replay.looped)?;
    same.then_some(Beginning { timeline, place: next })
}

#[cfg(test)]
mod tests {
    use healthmate_care::Metric;

    use super::*;
    use crate::replay::recording::Selection;

    fn recording() -> Recording {
        let csv = "t_ms,bpm\n500,70\n1500,71\n3500,72\n";
        let recording = Recording::read("test", csv.as_bytes(), &Selection::default()).expect("valid");
        assert_eq!(recording.metric(), Metric::HeartRate);
        recording
    }

    fn now() -> Timestamp {
        "2026-11-23T12:00:00.000500Z".parse().expect("valid")
    }

    const PACE: Pace = Pace { speed: 2.0, looped: true, history_ms: 600_000 };

    #[test]
    fn rows_fall_due_at_the_given_speed_lap_after_lap() {
        let recording = recording();
        let timeline = Timeline::new(now(), 2.0);
        let ms = |lap, row| timeline.taken_at(&recording, Place { lap, row }).millis_since(timeline.start);
        assert_eq!([ms(0, 0), ms(0, 1), ms(0, 2)], [0, 500, 1500]);
        // The lap is 3000 ms and a usual gap of 1500 ms long.
        assert_eq!([ms(1, 0), ms(1, 1), ms(2, 0)], [2250, 2750, 4500]);
    }

    #[test]
    fn the_end_is_the_end_unless_it_loops() {
        let recording = recording();
        let last = Place { lap: 0, row: 2 };
        assert_eq!(last.next(&recording, false), None);
        assert_eq!(last.next(&recording, true), Some(Place { lap: 1, row: 0 }));
    }

    #[test]
    fn without_history_a_new_timeline_begins_in_the_past() {
        let beginning = begin(&recording(), PACE, None, now());
        assert_eq!(beginning.place, Place::FIRST);
        assert_eq!(beginning.timeline.start.to_string(), "2026-11-23T11:50:00.000000Z");
    }

    #[test]
    fn a_young_row_of_the_same_recording_is_gone_on_after() {
        let recording = recording();
        let timeline = Timeline::new(now().plus_millis(-60_000), PACE.speed);
        for (at, next) in [((0, 1), (0, 2)), ((4, 2), (5, 0))] {
            let place = Place { lap: at.0, row: at.1 };
            let id = timeline.client_id(&recording, place);
            let newest = Some((timeline.taken_at(&recording, place), id.as_ref()));
            let beginning = begin(&recording, PACE, newest, now());
            assert_eq!(beginning, Beginning { timeline, place: Place { lap: next.0, row: next.1 } });
        }
    }

    #[test]
    fn anything_else_starts_a_new_timeline_after_what_is_stored() {
        let recording = recording();
        let timeline = Timeline::new(now().plus_millis(-60_000), PACE.speed);
        let place = Place { lap: 0, row: 2 };
        let taken_at = timeline.taken_at(&recording, place);
        let starts_anew = |pace: Pace, taken_at: Timestamp, id: Option<&str>| {
            let id = id.map(|text| ClientId::new(text).expect("valid"));
            let beginning = begin(&recording, pace, Some((taken_at, id.as_ref())), now());
            assert_eq!(beginning.place, Place::FIRST, "{id:?}");
            beginning.timeline.start.millis_since(now())
        };
        let mine = timeline.client_id(&recording, place).expect("valid");
        let mine = Some(mine.as_str());
        assert_eq!(starts_anew(Pace { looped: false, ..PACE }, taken_at, mine), -58_499, "it had ended");
        assert_eq!(starts_anew(Pace { speed: 3.0, ..PACE }, taken_at, mine), -58_499, "another speed");
        for other in [
            None,
            Some("a1"),
            Some("tester:1:0:2"),
            Some("test:x:0:2"),
            Some("test:1:0:99"),
            Some("test:1:0:2:3"),
        ] {
            assert_eq!(starts_anew(PACE, taken_at, other), -58_499);
        }
        assert_eq!(starts_anew(PACE, now().plus_millis(-600_001), mine), -600_000, "too old");
        assert_eq!(starts_anew(PACE, now().plus_millis(60_000), None), 0, "ahead of the clock");
    }
}
