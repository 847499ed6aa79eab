//! Reading the log for subscriptions that are not live.

use std::rc::Rc;
use std::time::Duration;

use healthmate_care::Metric;
use healthmate_hub::ReadRequest;
use healthmate_protocol::server::{GapReason, RecordedMeasurement, Resumed, SubscriptionSuccess};
use healthmate_protocol::{Delivery, Envelope, Offset, ServerMessage};
use healthmate_storage::{Error, Event, Series};
use healthmate_ws::Frame;
use tokio::task::spawn_local;

use super::Shard;
use crate::publish::{event_frame, series};

/// How many events one read of the log brings.
const PAGE: u32 = 256;

/// How long a subscription waits after the log could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// A page of the log.
struct Page {
    /// The log holds nothing between the position asked for and this one.
    start: Offset,
    /// Where the log ends, if `start` is later than asked for.
    head: Offset,
    events: Vec<Event>,
}

impl Shard {
    /// Starts a read for every subscription that asks for one.
    pub(super) fn start_reads(self: &Rc<Self>) {
        loop {
            let Some(request) = self.hub.borrow_mut().next_read() else {
                return;
            };
            let shard = Rc::clone(self);
            spawn_local(async move { shard.read(request).await });
        }
    }

    async fn read(self: Rc<Self>, request: ReadRequest) {
        let read = match request.delivery {
            Delivery::Durable => self.page(&request).await.map(|page| self.supply(&request, &page)),
            Delivery::Latest => self.newest(&request).await,
        };
        match read {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(%error, "the log could not be read; trying again");
                self.hub.borrow_mut().fail(&request);
                tokio::time::sleep(RETRY).await;
                self.hub.borrow_mut().retry_reads();
            }
        }
        self.wake();
    }

    /// Begins a subscription to newest values with those there are.
    async fn newest(&self, request: &ReadRequest) -> Result<(), Error> {
        let newest = self.app().store.newest(request.topic.id()).await?;
        let value = |RecordedMeasurement { offset, data }: RecordedMeasurement| {
            // A metric that this version does not know is of no series.
            let metric: Metric = data.metric.parse().ok()?;
            let series = series(Series { metric, taken_at: data.taken_at });
            let event = Envelope {
                topic: Some(request.topic.clone()),
                offset: Some(offset),
                ..Envelope::new(data.recorded_at, ServerMessage::HealthUpdate(data))
            };
            Some((series, Frame::text(&event.to_text())))
        };
        self.hub.borrow_mut().supply_newest(request, newest.into_iter().filter_map(value));
        self.release(request.connection);
        Ok(())
    }

    async fn page(&self, request: &ReadRequest) -> Result<Page, Error> {
        let store = &self.app().store;
        let events = store.read_after(&request.topic, request.after, PAGE).await?;
        if events.first().is_some_and(|first| first.offset == request.after.next()) {
            return Ok(Page { start: request.after, head: request.after, events });
        }
        // Either the log ends here, or retention has taken what comes next.
        let range = store.range(&request.topic).await?;
        let before_oldest = Offset(range.oldest.0.saturating_sub(1));
        let first = events.first().map_or(before_oldest, |first| Offset(first.offset.0 - 1));
        Ok(Page { start: request.after.max(first), head: range.head, events })
    }

    fn supply(&self, request: &ReadRequest, page: &Page) {
        let mut hub = self.hub.borrow_mut();
        if page.start > request.after && hub.is_waiting(request) {
            hub.send(request.connection, Frame::text(&self.gap(request, page).to_text()));
        }
        let at_end = page.events.len() < PAGE as usize;
        let frames = page.events.iter().map(|event| (event.offset, event_frame(event)));
        self.app().metrics.deliveries.inc_by(page.events.len() as u64);
        hub.supply(request, page.start, frames, at_end);
    }

    /// Tells a reader that fell so far behind that retention overtook it what is gone.
    fn gap(&self, request: &ReadRequest, page: &Page) -> Envelope {
        let told = SubscriptionSuccess {
            topic: request.topic.clone(),
            epoch: self.app().store.epoch(),
            head: page.head,
            delivery: Delivery::Durable,
            resumed: Some(Resumed::Gap),
            from: Some(request.after.next()),
            to: Some(page.start),
            reason: Some(GapReason::Retention),
        };
        Envelope::new(self.app().clock.now(), ServerMessage::SubscriptionSuccess(told))
    }
}
