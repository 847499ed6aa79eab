//! Comes back after every cut that allows it.

use healthmate_protocol::SessionId;

use super::backoff::Backoff;
use super::connection::{Connection, Offsets, Target};
use super::error::ClientError;
use super::token::TokenSource;

/// Hears about cuts, so that the person at the terminal does.
pub(crate) trait Link: Send {
    /// The connection could not be made, or ended; the next attempt starts after `pause`.
    fn cut(&mut self, error: &ClientError, pause: std::time::Duration);

    /// The connection stands again after it was cut.
    fn restored(&mut self);
}

/// Makes connections to one server, one after the other.
pub(crate) struct Reconnect {
    target: Target,
    token: TokenSource,
    backoff: Backoff,
    cut: bool,
    /// Of the connection before, to come back to.
    session: Option<SessionId>,
}

impl Reconnect {
    /// Connects to `target` with the tokens of `token`, pausing between attempts as `backoff` says.
    pub(crate) fn new(target: Target, token: TokenSource, backoff: Backoff) -> Self {
        Self { target, token, backoff, cut: false, session: None }
    }

    /// Connects, as often as it takes, and back to the session of the connection before if the server still has it:
    /// `offsets` are the last events held of its topics.
    ///
    /// # Errors
    /// If coming back cannot help: the token or the address is refused.
    pub(crate) async fn connect(
        &mut self,
        link: &mut dyn Link,
        offsets: &Offsets,
    ) -> Result<Connection, ClientError> {
        loop {
            let token = (self.token)().map_err(ClientError::NoToken)?;
            let session = self.session.as_ref().map(|session_id| (session_id, offsets));
            match Connection::open(&self.target, &token, session).await {
                Ok(connection) => {
                    self.session = Some(connection.session_id.clone());
                    if std::mem::take(&mut self.cut) {
                        link.restored();
                    }
                    return Ok(connection);
                }
                Err(error) => self.pause_after(error, link).await?,
            }
        }
    }

    /// Waits for the moment to come back after `error`: the one the server named, or the backoff's.
    ///
    /// # Errors
    /// With `error` itself, if coming back cannot help.
    pub(crate) async fn pause_after(
        &mut self,
        error: ClientError,
        link: &mut dyn Link,
    ) -> Result<(), ClientError> {
        if !error.come_back() {
            return Err(error);
        }
        let pause = error.come_back_after().unwrap_or_else(|| self.backoff.pause());
        self.cut = true;
        link.cut(&error, pause);
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Waits before a request is repeated that the server could not serve now.
    pub(crate) async fn pause(&mut self) {
        let pause = self.backoff.pause();
        tokio::time::sleep(pause).await;
    }

    /// The connection is of use, so the next pause is short. Signing in alone proves nothing: a server may accept
    /// and cut again and again.
    pub(crate) fn progressed(&mut self) {
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests;
