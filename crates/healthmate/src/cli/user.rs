//! `healthmate user`

use clap::{Args, Subcommand};
use healthmate_care::{Role, User as Person};
use healthmate_protocol::UserId;
use healthmate_storage::{Directory, Error};
use healthmate_storage_sqlite::SqliteStore;
use serde::Serialize;

use super::admin::{AdminArgs, by};
use super::failure::Failure;
use super::settings::{open_or_make_store, system_clock};
use super::{block_on, output, password};

/// The longest name, in characters.
const MAX_NAME_CHARS: usize = 128;

/// Add, list, disable and enable users, set their passwords and change their roles, also while a server runs
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct User {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  healthmate user add patient-1 --role patient --name 'Ana Ruiz'
  healthmate user add watch-1 --role device --device-of patient-1
  healthmate user password patient-1
  healthmate user role nurse-1 doctor
  healthmate user disable watch-1";

#[derive(Subcommand)]
enum Action {
    /// Add a user
    Add {
        /// Id: the `sub` of the user's tokens
        id: UserId,
        /// patient, caregiver, nurse, doctor, admin or device
        #[arg(long, value_name = "ROLE")]
        role: Role,
        /// What people call the user [default: the id]
        #[arg(long, value_name = "NAME", value_parser = name)]
        name: Option<String>,
        /// For a device: the patient whose measurements it sends
        #[arg(long, value_name = "PATIENT")]
        device_of: Option<UserId>,
        #[command(flatten)]
        common: AdminArgs,
    },
    /// Give a user another role; it counts on open connections within a second
    Role {
        /// The user: neither a patient nor a device, who keep theirs
        id: UserId,
        /// caregiver, nurse, doctor or admin
        role: Role,
        #[command(flatten)]
        common: AdminArgs,
    },
    /// List all users
    List {
        #[command(flatten)]
        common: AdminArgs,
    },
    /// Refuse a user everywhere from now on
    Disable {
        /// The user
        id: UserId,
        #[command(flatten)]
        common: AdminArgs,
    },
    /// Set a user's password, read from the terminal or stdin, and end the user's sign-ins
    Password {
        /// The user
        id: UserId,
        #[command(flatten)]
        common: AdminArgs,
    },
    /// Let a disabled user in again
    Enable {
        /// The user
        id: UserId,
        #[command(flatten)]
        common: AdminArgs,
    },
}

/// A user as `--json` prints it.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a UserId,
    role: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_of: Option<&'a UserId>,
    active: bool,
}

impl<'a> From<&'a Person> for Shown<'a> {
    fn from(user: &'a Person) -> Self {
        let Person { id, role, name, device_of, active } = user;
        Self { id, role: role.as_str(), name, device_of: device_of.as_ref(), active: *active }
    }
}

impl User {
    /// Does what is asked.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Add { id, role, name, device_of, common } => {
                let name = name.unwrap_or_else(|| id.to_string());
                add(&Person { id, role, name, device_of, active: true }, &common)
            }
            Action::Role { id, role, common } => set_role(&id, role, &common),
            Action::List { common } => list(&common),
            Action::Disable { id, common } => set_active(&id, false, &common),
            Action::Password { id, common } => password::set(&id, &common),
            Action::Enable { id, common } => set_active(&id, true, &common),
        }
    }
}

fn add(user: &Person, common: &AdminArgs) -> Result<(), Failure> {
    match (user.role, &user.device_of) {
        (Role::Device, None) => return Err(Failure::usage("a device needs --device-of, its patient")),
        (role, Some(_)) if role != Role::Device => {
            return Err(Failure::usage(format!("--device-of is for devices, and this is a {role}")));
        }
        _ => {}
    }
    let store = open_or_make_store(&common.settings.load()?, &system_clock())?;
    block_on(async { store.add_user(user.clone(), by()).await.map_err(|error| refused(&error, user)) })?;
    show(user, "added", common)
}

fn refused(error: &Error, user: &Person) -> Failure {
    match (error, &user.device_of) {
        (Error::Exists(_), _) => Failure::failed(format!("user {} exists already", user.id)),
        (Error::NotFound(_), Some(patient)) => Failure::failed(format!("there is no patient {patient}")),
        _ => Failure::failed(error),
    }
}

fn list(common: &AdminArgs) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Users<'a> {
        users: Vec<Shown<'a>>,
    }
    let store = common.store()?;
    let users = block_on(async { store.users().await.map_err(Failure::failed) })?;
    let row = |user: &Person| {
        let patient = user.device_of.as_ref().map(UserId::to_string).unwrap_or_default();
        let state = if user.active { "active" } else { "disabled" };
        [user.id.to_string(), user.role.to_string(), state.to_owned(), patient, user.name.clone()]
    };
    common.answer(&Users { users: users.iter().map(Shown::from).collect() }, || {
        let rows: Vec<_> = users.iter().map(row).collect();
        output::table(["id", "role", "state", "device of", "name"], &rows)
    })
}

fn set_active(id: &UserId, active: bool, common: &AdminArgs) -> Result<(), Failure> {
    let user = changed(id, common, async |store| store.set_active(id, active, by()).await)?;
    show(&user, if active { "enabled" } else { "disabled" }, common)
}

fn set_role(id: &UserId, role: Role, common: &AdminArgs) -> Result<(), Failure> {
    let user = changed(id, common, async |store| store.set_role(id, role, by()).await)?;
    common.answer(&Shown::from(&user), || format!("{} is {} now", user.id, user.role))
}

/// Changes a user who is there, and returns the user as it is after it.
fn changed(
    id: &UserId,
    common: &AdminArgs,
    change: impl AsyncFnOnce(&SqliteStore) -> Result<(), Error>,
) -> Result<Person, Failure> {
    let store = common.store()?;
    let unknown = || Failure::failed(format!("there is no user {id}"));
    block_on(async {
        match change(&store).await {
            Err(Error::NotFound(_)) => return Err(unknown()),
            changed => changed.map_err(Failure::failed)?,
        }
        store.user(id).await.map_err(Failure::failed)?.ok_or_else(unknown)
    })
}

fn show(user: &Person, done: &str, common: &AdminArgs) -> Result<(), Failure> {
    common.answer(&Shown::from(user), || format!("{done} {} {}", user.role, user.id))
}

fn name(text: &str) -> Result<String, String> {
    let chars = text.trim().chars().count();
    if (1..=MAX_NAME_CHARS).contains(&chars) && !text.chars().any(char::is_control) {
        Ok(text.trim().to_owned())
    } else {
        Err(format!("must be 1 to {MAX_NAME_CHARS} characters, without control characters"))
    }
}
