//! `healthmate status`

mod page;

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use healthmate_care::Role;
use serde_json::{Value, json};

use self::page::{Connections, Node, page};
use super::failure::Failure;
use super::settings::system_clock;
use super::sign_in::SignInArgs;
use super::{asked_to_stop, block_on, output};
use crate::client::{Rest, TokenSource};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(2);

/// Clears a terminal and begins at its top.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Show what a server does now: connections, users, rates
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Status {
    /// Look again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// How many connections to list, the oldest first
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sign_in: SignInArgs,
}

const EXAMPLES: &str = "\
Administrators see the whole node, others whether it is up and their own connections.
Without a token and --as, the data folder's first administrator signs in.

Examples:
  healthmate status --watch
  healthmate status --server wss://health.example --token-file admin.token --json | jq .status.rates";

impl Status {
    /// Looks once, or until Ctrl-C.
    pub(crate) fn run(self) -> Result<(), Failure> {
        block_on(async move {
            let first_administrator = |users: &[healthmate_care::User]| {
                let found = users.iter().find(|user| user.role == Role::Admin && user.active);
                found.map(|user| user.id.clone())
            };
            let (rest, token) = self.sign_in.rest(&system_clock(), first_administrator).await?;
            self.show(&look(&rest, &token, self.limit).await?, &rest)?;
            if !self.watch {
                return Ok(());
            }
            tokio::select! {
                ended = self.keep_looking(&rest, &token) => ended,
                () = asked_to_stop() => Ok(()),
            }
        })
    }

    async fn keep_looking(&self, rest: &Rest, token: &TokenSource) -> Result<(), Failure> {
        let mut turns = tokio::time::interval(EVERY);
        turns.tick().await;
        loop {
            turns.tick().await;
            // A server that restarts comes back: look on.
            match look(rest, token, self.limit).await {
                Ok(seen) => self.show(&seen, rest)?,
                Err(failure) => drop(failure.report()),
            }
        }
    }

    fn show(&self, seen: &Seen, rest: &Rest) -> Result<(), Failure> {
        if self.json {
            return output::json(&json!({ "status": seen.status, "connections": seen.connections }));
        }
        let read = |error| Failure::failed(format!("the server's answer cannot be read: {error}"));
        let node: Node = serde_json::from_value(seen.status.clone()).map_err(read)?;
        let connections: Connections = serde_json::from_value(seen.connections.clone()).map_err(read)?;
        let text = page(rest.url(), &node, &connections, system_clock().now());
        let clear = if self.watch && std::io::stdout().is_terminal() { CLEAR } else { "" };
        output::line(&format!("{clear}{text}"))
    }
}

/// What the server says, as it came.
struct Seen {
    status: Value,
    connections: Value,
}

async fn look(rest: &Rest, token: &TokenSource, limit: u32) -> Result<Seen, Failure> {
    let token = token()?;
    let status = rest.get("/ws/status", &token).await.map_err(Failure::failed)?;
    let path = format!("/ws/connections?limit={limit}");
    let connections = rest.get(&path, &token).await.map_err(Failure::failed)?;
    Ok(Seen { status, connections })
}
