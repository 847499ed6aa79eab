//! `healthmate serve`

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use healthmate_server::config::{Overrides, Settings};
use healthmate_server::telemetry::log;

use super::failure::Failure;
use super::settings::{SettingsArgs, open_or_make_store, signer, system_clock};
use super::{StopSignals, block_on, output};
use crate::demo;

/// Serve devices, screens and the web app until Ctrl-C
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Add people and devices that send recordings, and offer their sign-ins to anyone on this machine
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

const EXAMPLES: &str = "\
Examples:
  healthmate serve --demo
  healthmate serve --listen 0.0.0.0:8080 --data /var/lib/healthmate --config /etc/healthmate.toml";

impl Serve {
    /// Serves until SIGINT or SIGTERM; a second one ends the process at once.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let overrides = Overrides { listen: self.listen, demo: self.demo, ..Overrides::default() };
        let settings = self.settings.load_with(overrides).map_err(Failure::usage)?;
        if settings.demo && settings.server.tls_certificate.is_some() {
            let sentence =
                "the demo speaks plain, and only to this machine: leave out server.tls_certificate";
            return Err(Failure::usage(sentence));
        }
        let log = log::start(&settings).map_err(Failure::usage)?;
        let served = block_on(serve(settings));
        log.stop();
        served
    }
}

async fn serve(settings: Settings) -> Result<(), Failure> {
    let clock = system_clock();
    let (stopping, _) = tokio::sync::watch::channel(false);
    let mut devices = None;
    if settings.demo {
        // The store is closed again before the server opens it as its own.
        let store = open_or_make_store(&settings, &clock)?;
        demo::seed(store.as_ref(), clock.now()).await.map_err(Failure::failed)?;
        devices = Some(signer(&settings, clock.as_ref())?);
    }
    let mut running = None;
    let on_ready = |address| {
        // Whoever reads stdout may have gone; the server runs on.
        let _ = output::line(&greeting(&settings, address));
        if let Some(signer) = devices.take() {
            running = Some(demo::start_devices(address, signer, Arc::clone(&clock), stopping.subscribe()));
        }
    };
    let mut signals = StopSignals::listen();
    let shutdown = async {
        signals.next().await;
        stopping.send_replace(true);
        // Whoever asks twice does not want to wait.
        tokio::spawn(async move {
            signals.next().await;
            std::process::exit(130);
        });
    };
    let served = healthmate_server::serve(settings.clone(), Arc::clone(&clock), on_ready, shutdown).await;
    if let Some(running) = running {
        running.map_err(Failure::failed)?.join();
    }
    served.map_err(Failure::failed)
}

/// What the person who started it should know.
fn greeting(settings: &Settings, address: SocketAddr) -> String {
    let scheme = if settings.server.tls_certificate.is_some() { "https" } else { "http" };
    let mut text = format!(
        "HealthMate {} listens on {scheme}://{address}\nIts data lie in {}\n",
        env!("CARGO_PKG_VERSION"),
        settings.server.data.display()
    );
    if settings.demo {
        text.push_str("Sign in there as one of the demo's people:\n");
        text.push_str(&demo::sign_ins());
    }
    text.push_str("Ctrl-C stops it");
    text
}
