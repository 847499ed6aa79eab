//! How a client finds the server and signs in.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use healthmate_care::{Clock, User};
use healthmate_protocol::UserId;
use healthmate_storage::Directory;

use super::failure::Failure;
use super::settings::{SettingsArgs, existing_signer, open_store};
use crate::client::{Backoff, Reconnect, Rest, Target, Token, TokenSource, seed};

/// How long a token signed with the server's own secret is good, in seconds. A client that comes back signs anew.
const TTL_S: u32 = 3600;

/// How a client finds the server and signs in.
#[derive(Args)]
pub(crate) struct SignInArgs {
    /// Address of the server
    #[arg(
        long,
        value_name = "URL",
        default_value = "ws://127.0.0.1:8080",
        env = "HEALTHMATE_SERVER",
        help_heading = "Server"
    )]
    server: String,
    /// Token to sign in with; without one, the secret in the data folder signs it
    #[arg(
        long,
        value_name = "TOKEN",
        env = "HEALTHMATE_TOKEN",
        hide_env_values = true,
        help_heading = "Server"
    )]
    token: Option<String>,
    /// File that holds the token; read again at each connection
    #[arg(long, value_name = "FILE", conflicts_with = "token", help_heading = "Server")]
    token_file: Option<PathBuf>,
    /// User to sign in as with the data folder's secret
    #[arg(long = "as", value_name = "USER", conflicts_with_all = ["token", "token_file"], help_heading = "Server")]
    user: Option<UserId>,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl SignInArgs {
    /// Prepares connections to `path` of the server. Without a token and `--as`, `choose` says who signs in.
    pub(crate) async fn reconnect(
        &self,
        path: &str,
        clock: &Arc<dyn Clock>,
        choose: impl Fn(&[User]) -> Option<UserId>,
    ) -> Result<Reconnect, Failure> {
        let target = Target::new(&self.server, path).map_err(Failure::usage)?;
        let token = self.token_source(Arc::clone(clock), choose).await?;
        Ok(Reconnect::new(target, token, Backoff::new(seed(clock.as_ref()))))
    }

    /// Prepares requests to the server. Without a token and `--as`, `choose` says who signs in.
    pub(crate) async fn rest(
        &self,
        clock: &Arc<dyn Clock>,
        choose: impl Fn(&[User]) -> Option<UserId>,
    ) -> Result<(Rest, TokenSource), Failure> {
        let rest = Rest::new(&self.server).map_err(Failure::usage)?;
        Ok((rest, self.token_source(Arc::clone(clock), choose).await?))
    }

    async fn token_source(
        &self,
        clock: Arc<dyn Clock>,
        choose: impl Fn(&[User]) -> Option<UserId>,
    ) -> Result<TokenSource, Failure> {
        // A named data folder or user outranks the token of the environment.
        let asks_to_sign = self.settings.names_data() || self.user.is_some();
        if let Some(token) = self.token.as_deref().filter(|_| !asks_to_sign) {
            let token = Token::new(token);
            return Ok(Box::new(move || Ok(token.clone())));
        }
        if let Some(file) = self.token_file.clone() {
            return Ok(Box::new(move || {
                let text = std::fs::read_to_string(&file);
                let text = text.map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
                Ok(Token::new(&text))
            }));
        }
        self.sign(clock, choose).await
    }

    /// Signs with the secret of the data folder.
    async fn sign(
        &self,
        clock: Arc<dyn Clock>,
        choose: impl Fn(&[User]) -> Option<UserId>,
    ) -> Result<TokenSource, Failure> {
        let settings = self.settings.load()?;
        let Some(signer) = existing_signer(&settings)? else {
            return Err(Failure::usage(format!(
                "no token: give --token, --token-file or HEALTHMATE_TOKEN, or with --data the data folder of the \
                 server (there is no secret in {})",
                settings.server.data.display()
            )));
        };
        let users = open_store(&settings, &clock)?.users().await.map_err(Failure::failed)?;
        let user = match &self.user {
            Some(id) => users.iter().find(|user| user.id == *id).map(|user| user.id.clone()),
            None => choose(&users),
        };
        let user = user.ok_or_else(|| match &self.user {
            Some(id) => Failure::failed(format!("there is no user {id}")),
            None => Failure::usage("name with --as the user to sign in as"),
        })?;
        Ok(Box::new(move || Ok(Token::new(&signer.issue(&user, TTL_S, clock.now())))))
    }
}
