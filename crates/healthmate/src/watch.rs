//! Tails a topic: one line an event, and after a cut it goes on without a hole or a repeat.

mod curve;
mod screen;
mod tail;

#[cfg(test)]
mod tests;

use healthmate_protocol::client::GetPresence;
use healthmate_protocol::server::{Heartbeat, PresenceResponse, SubscriptionSuccess};
use healthmate_protocol::{ClientMessage, Command, Ephemeral, ErrorCode, ServerMessage, TopicName};

use crate::client::{ClientError, Connection, Link, Received, Reconnect};

pub(crate) use screen::{Format, Screen};
pub(crate) use tail::{Gap, Tail, Wanted};

use tail::Step;

/// Of notifications: there is no newest one of each metric.
const NO_METRIC: &str = "";

/// What `get_presence` is called.
const PRESENCE_REQUEST: &str = "presence";

/// Shows what comes.
pub(crate) trait Viewer: Link {
    /// An event: durable ones in order, ephemeral ones as they come.
    ///
    /// # Errors
    /// If nobody reads any more.
    fn event(&mut self, received: &Received) -> std::io::Result<()>;

    /// An event came again, and is passed over.
    fn repeated(&mut self) {}

    /// The subscription stands.
    fn subscribed(&mut self, tail: &Tail);

    /// Events are gone.
    fn gap(&mut self, gap: &Gap);

    /// So many events were replaced by newer ones before they were sent.
    fn merged(&mut self, merged: u64);

    /// Who is there already.
    fn present(&mut self, present: &PresenceResponse);

    /// The server does not tell who is there.
    fn absent(&mut self, code: ErrorCode);
}

/// Why watching ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    /// Coming back cannot help.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The topic is refused.
    #[error("the server refuses {topic}: {} ({message})", code.as_str())]
    Denied { topic: String, code: ErrorCode, message: String },
    /// The request is refused.
    #[error("the server refuses: {} ({message})", code.as_str())]
    Refused { code: ErrorCode, message: String },
    /// The lines cannot be written.
    #[error("cannot write: {0}")]
    Output(std::io::Error),
}

/// Why one connection's part ended before the watcher had enough.
enum Interruption {
    Cut(ClientError),
    Busy,
    Fatal(WatchError),
    /// Whoever read the lines has gone.
    NobodyReads,
}

impl From<ClientError> for Interruption {
    fn from(error: ClientError) -> Self {
        Self::Cut(error)
    }
}

/// A topic being watched.
pub(crate) struct Watch {
    /// Where the watcher is.
    pub(crate) tail: Tail,
    /// Stop after so many events; `None` to go on for ever.
    pub(crate) count: Option<u64>,
    /// Makes the connections.
    pub(crate) reconnect: Reconnect,
    /// Shows what comes.
    pub(crate) viewer: Box<dyn Viewer>,
}

impl Watch {
    /// Watches until `count` events came, nobody reads them any more, or `stop` completes; says good-bye, and returns
    /// where it stopped.
    ///
    /// # Errors
    /// If the token, the address or the topic is refused, or the server breaks the protocol.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<Tail, WatchError> {
        let mut connection = None;
        let ended = tokio::select! {
            ended = self.until_enough(&mut connection) => ended,
            () = stop => Ok(()),
        };
        if let Some(connection) = connection {
            connection.close().await;
        }
        ended.map(|()| self.tail)
    }

    /// Connects and shows what comes; `open` is kept up to date.
    async fn until_enough(&mut self, open: &mut Option<Connection>) -> Result<(), WatchError> {
        while self.count != Some(0) {
            let offsets = self.tail.offsets();
            let connection = open.insert(self.reconnect.connect(self.viewer.as_mut(), &offsets).await?);
            match self.on_connection(connection).await {
                Ok(()) | Err(Interruption::NobodyReads) => return Ok(()),
                Err(Interruption::Cut(error)) => {
                    *open = None;
                    self.reconnect.pause_after(error, self.viewer.as_mut()).await?;
                }
                Err(Interruption::Busy) => {
                    self.tail.refused();
                    if let Some(connection) = open.take() {
                        connection.close().await;
                    }
                    self.reconnect.pause().await;
                }
                Err(Interruption::Fatal(error)) => return Err(error),
            }
        }
        Ok(())
    }

    async fn on_connection(&mut self, connection: &mut Connection) -> Result<(), Interruption> {
        if let Some(request) = self.tail.connected(connection.resumed) {
            connection.send(&request).await?;
        }
        while self.count != Some(0) {
            let received = connection.next().await?;
            self.take(connection, &received).await?;
        }
        Ok(())
    }

    async fn take(&mut self, connection: &mut Connection, received: &Received) -> Result<(), Interruption> {
        match &received.envelope.message {
            ServerMessage::HealthUpdate(data) => self.event(received, &data.metric)?,
            ServerMessage::Notification(_) => self.event(received, NO_METRIC)?,
            ServerMessage::HealthWaveform(_) | ServerMessage::PresenceUpdate(_) => self.show(received)?,
            ServerMessage::EventsMerged(replaced) => self.viewer.merged(replaced.merged),
            ServerMessage::PresenceResponse(response) => self.viewer.present(response),
            ServerMessage::SubscriptionSuccess(success) => self.subscribed(connection, success).await?,
            ServerMessage::SubscriptionDenied(denied) if !denied.retry => {
                let (topic, code, message) = (denied.topic.clone(), denied.code, denied.message.clone());
                return Err(Interruption::Fatal(WatchError::Denied { topic, code, message }));
            }
            ServerMessage::SubscriptionDenied(_) => return Err(Interruption::Busy),
            ServerMessage::Error(error) if asked_who_is_there(received) => self.viewer.absent(error.code),
            ServerMessage::Error(error) if error.retry => return Err(Interruption::Busy),
            ServerMessage::Error(error) => {
                let (code, message) = (error.code, error.message.clone());
                return Err(Interruption::Fatal(WatchError::Refused { code, message }));
            }
            ServerMessage::Heartbeat(heartbeat) => self.heartbeat(connection, heartbeat).await?,
            _ => {}
        }
        Ok(())
    }

    async fn subscribed(
        &mut self,
        connection: &mut Connection,
        success: &SubscriptionSuccess,
    ) -> Result<(), Interruption> {
        if let Some(gap) = self.tail.subscribed(success) {
            self.viewer.gap(&gap);
        }
        self.viewer.subscribed(&self.tail);
        self.reconnect.progressed();
        if self.tail.includes(Ephemeral::Presence) {
            connection.send(&who_is_there(success)).await?;
        }
        Ok(())
    }

    async fn heartbeat(
        &mut self,
        connection: &mut Connection,
        heartbeat: &Heartbeat,
    ) -> Result<(), Interruption> {
        if self.tail.is_behind(heartbeat) {
            let missing = "the server's newest event has not come".to_owned();
            return Err(Interruption::Cut(ClientError::Broken(missing)));
        }
        // A watcher says nothing else, and the server closes connections that say nothing for long. A topic that the
        // session should have brought back by now is asked for.
        let ping = ClientMessage { correlation_id: None, command: Command::Ping };
        let answered = self.tail.is_answered();
        connection.send(&if answered { ping } else { self.tail.subscribe() }).await?;
        Ok(())
    }

    fn event(&mut self, received: &Received, metric: &str) -> Result<(), Interruption> {
        let Some((topic, offset)) = received.envelope.position() else { return Ok(()) };
        match self.tail.event(topic, offset, metric) {
            Step::Show => self.show(received),
            Step::PassOver => {
                self.viewer.repeated();
                Ok(())
            }
            Step::Hole(hole) => Err(Interruption::Cut(ClientError::Broken(hole.to_string()))),
        }
    }

    fn show(&mut self, received: &Received) -> Result<(), Interruption> {
        match self.viewer.event(received) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                return Err(Interruption::NobodyReads);
            }
            Err(error) => return Err(Interruption::Fatal(WatchError::Output(error))),
        }
        self.reconnect.progressed();
        if let Some(count) = &mut self.count {
            *count -= 1;
        }
        Ok(())
    }
}

fn who_is_there(success: &SubscriptionSuccess) -> ClientMessage {
    let command = Command::GetPresence(GetPresence { topic: TopicName::Full(success.topic.clone()) });
    ClientMessage { correlation_id: PRESENCE_REQUEST.parse().ok(), command }
}

fn asked_who_is_there(received: &Received) -> bool {
    received.envelope.correlation_id.as_ref().is_some_and(|id| id.as_str() == PRESENCE_REQUEST)
}
