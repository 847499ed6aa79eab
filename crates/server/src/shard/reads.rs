//! Reading the log for subscriptions that are not live.

use std::rc::Rc;
use std::time::Duration;

use healthmate_care::Metric;
use healthmate_hub::{ReadRequest, Run};
use healthmate_protocol::server::{GapReason, RecordedMeasurement, Resumed, SubscriptionSuccess};
use healthmate_protocol::{Delivery, Envelope, Offset, ServerMessage};
use healthmate_storage::{Error, Event, Series};
use healthmate_ws::Frame;
use tokio::task::spawn_local;

use super::Shard;
use super::runs::Block;
use crate::publish::{event_frame, series};

/// How many events one read of the log brings.
pub(super) const PAGE: u32 = 256;

/// How many requests are looked at between two looks at the inputs.
const CHUNK: usize = 64;

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
    /// Starts a read for some of the subscriptions that ask for one, or gives them what is here already.
    pub(super) fn start_reads(self: &Rc<Self>) {
        for _ in 0..CHUNK {
            let Some(request) = self.hub.borrow_mut().next_read() else {
                return;
            };
            // Who is known to miss something shares it with others; a new subscription mostly misses nothing.
            if request.delivery == Delivery::Durable && request.after < request.head {
                self.share(request);
            } else {
                spawn_local(Rc::clone(self).read(request));
            }
        }
    }

    /// Gives a request what it wants of the block it is in, once that is here.
    fn share(self: &Rc<Self>, request: ReadRequest) {
        let page = u64::from(PAGE);
        let first = request.after.0 / page * page;
        let (block, end) = ((request.topic.clone(), Offset(first)), Offset(first + page));
        if let Some(run) = self.runs.find(&block, &request, end) {
            // It may have been read before this subscription began, which then reads once more to be at the end.
            return self.supply_run(&request, &run, false);
        }
        if !self.runs.join(&block, request) {
            let shard = Rc::clone(self);
            spawn_local(async move { shard.read_block(block).await });
        }
    }

    /// Reads a block for everyone who waits for it by then.
    async fn read_block(self: Rc<Self>, block: Block) {
        let (topic, after) = &block;
        let in_time = self.runs.count(&block);
        let read = self.app().store.read_after(topic, *after, PAGE).await;
        let waiting = self.runs.come(&block);
        match read {
            Ok(events) if events.first().is_some_and(|first| first.offset == after.next()) => {
                let run = Rc::new(Run::new(*after, events.iter().map(event_frame)));
                self.runs.keep(&block, &run);
                // Who came while it was read may have subscribed after an event that it does not hold.
                let at_end = events.len() < PAGE as usize;
                for (number, request) in waiting.iter().enumerate() {
                    self.supply_run(request, &run, at_end && number < in_time);
                }
            }
            // Retention has taken a part of it: each is told what it misses. Or it cannot be read, as each will find.
            _ => waiting.into_iter().for_each(|request| {
                spawn_local(Rc::clone(&self).read(request));
            }),
        }
        self.wake();
    }

    fn supply_run(&self, request: &ReadRequest, run: &Run, at_end: bool) {
        let count = self.hub.borrow_mut().supply_run(request, run, at_end);
        self.app().metrics.deliveries.inc_by(count as u64);
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
            Some((offset, series, Frame::text(&event.to_text())))
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
        if events.is_empty() && request.after >= request.head {
            // Nothing is known to be missing.
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
