//! The HealthMate under load: a process of this very binary with a folder of its own, or a server that runs already.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::Context;
use healthmate_care::Clock;
use healthmate_server::auth::{TokenVerifier, secret};
use healthmate_server::config::Settings;

use super::leftovers::Folder;
use super::people::{self, Census};
use super::process::{Cores, Process};

/// A setting: its section, its name and its value.
pub(crate) type Told = (&'static str, &'static str, &'static str);

/// What the server of a benchmark is told, where the environment says nothing else: limits far
/// above the load.
const SETTINGS: &[Told] = &[
    ("limits", "max_connections", "20000"),
    ("limits", "connections_per_user", "20000"),
    ("limits", "connections_per_second", "100000"),
    ("limits", "commands_per_second", "1000000"),
    ("limits", "pending_requests_per_connection", "10000"),
    ("log", "level", "warn"),
];

/// Where a benchmark finds its HealthMate.
#[derive(Clone, Debug)]
pub(crate) enum Site {
    /// A process of its own, with these settings, which it reads from the file if there is one, and its database in a new
    /// folder below this one.
    Own(Box<Settings>, Option<PathBuf>, PathBuf),
    /// One that runs, with its settings, its address and, if it runs here, its process.
    Running(Box<Settings>, SocketAddr, Option<u32>),
}

/// A HealthMate, and the means to sign in there as anyone. Ends with its process and its folder.
pub(crate) struct House {
    // Dropped in this order: the folder goes when nobody writes to it any more.
    process: Process,
    settings: Settings,
    config: Option<PathBuf>,
    told: &'static [Told],
    cores: Cores,
    signer: TokenVerifier,
    clock: Arc<dyn Clock>,
    _folder: Option<Folder>,
}

impl House {
    /// Opens a house where these people live.
    pub(crate) async fn open(
        site: &Site,
        clock: &Arc<dyn Clock>,
        census: &Census,
        cores: Cores,
    ) -> anyhow::Result<Self> {
        Self::open_with(site, clock, census, cores, &[]).await
    }

    /// Opens one whose own server is told these settings too.
    pub(crate) async fn open_with(
        site: &Site,
        clock: &Arc<dyn Clock>,
        census: &Census,
        cores: Cores,
        told: &'static [Told],
    ) -> anyhow::Result<Self> {
        let (settings, folder) = match site {
            Site::Own(settings, _, parent) => {
                let folder = Folder::below(parent)?;
                let mut settings = (**settings).clone();
                folder.path().clone_into(&mut settings.server.data);
                (settings, Some(folder))
            }
            Site::Running(settings, ..) => ((**settings).clone(), None),
        };
        let config = match site {
            Site::Own(_, config, _) => config.clone(),
            Site::Running(..) => None,
        };
        people::settle(&settings, clock, census).await?;
        let secret = secret::load_or_create(&settings, clock.as_ref())?;
        let process = match site {
            Site::Own(..) => {
                let command = serve(&settings, config.as_deref(), told, ([127, 0, 0, 1], 0).into())?;
                Process::start(command, cores)?
            }
            Site::Running(_, address, pid) => Process::running(*address, *pid),
        };
        let signer = TokenVerifier::new(&settings.auth, &secret);
        let clock = Arc::clone(clock);
        Ok(Self { process, settings, config, told, cores, signer, clock, _folder: folder })
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Asks the server to stop.
    pub(crate) fn ask_to_stop(&self) -> anyhow::Result<()> {
        self.process.ask_to_stop()
    }

    /// Whether the server has ended.
    pub(crate) fn has_ended(&mut self) -> anyhow::Result<bool> {
        self.process.has_ended()
    }

    /// Starts a server in the place of one that has ended: the same port, the same folder.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        let (config, address) = (self.config.as_deref(), self.process.address());
        let (command, cores) = (serve(&self.settings, config, self.told, address)?, self.cores);
        // Beside the clients, who go on meanwhile.
        self.process = tokio::task::spawn_blocking(move || Process::start(command, cores)).await??;
        Ok(())
    }

    /// The value of one of the server's own metrics; 0 if it has none of that name.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let mut stream = TcpStream::connect(self.process.address())?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        let mut pairs = page.lines().filter_map(|line| line.split_once(' '));
        let found = pairs.find_map(|(known, value)| (known == name).then(|| value.trim().parse().ok()));
        Ok(found.flatten().unwrap_or(0.0))
    }

    /// A token for the user with this id.
    pub(crate) fn token(&self, id: &str) -> anyhow::Result<String> {
        people::token(&self.signer, id, self.clock.now())
    }
}

fn serve(
    settings: &Settings,
    config: Option<&Path>,
    told: &[Told],
    listen: SocketAddr,
) -> anyhow::Result<Command> {
    let binary = std::env::current_exe().context("cannot find this program's file")?;
    let mut command = Command::new(binary);
    command.args(["serve", "--listen", &listen.to_string(), "--data"]).arg(&settings.server.data);
    if let Some(file) = config {
        command.arg("--config").arg(file);
    }
    let known = settings.redacted();
    for (section, field, value) in SETTINGS.iter().chain(told) {
        let name = format!("HEALTHMATE_{section}__{field}").to_uppercase();
        if std::env::var_os(&name).is_none() && !known[section][field].is_null() {
            command.env(name, value);
        }
    }
    command.stderr(Stdio::inherit());
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_its_own_reads_the_same_file() {
        let arguments = |config| {
            let listen = ([127, 0, 0, 1], 0).into();
            let command = serve(&Settings::default(), config, &[], listen).expect("this program has a file");
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(arguments(None), "serve --listen 127.0.0.1:0 --data healthmate-data");
        let told = arguments(Some(Path::new("healthmate.toml")));
        assert_eq!(told, "serve --listen 127.0.0.1:0 --data healthmate-data --config healthmate.toml");
    }
}
