//! Who lives in a benchmark: patients, their devices, and readers in their care teams.

use std::sync::Arc;

use futures_util::future::try_join_all;
use healthmate_care::{By, CareRelation, Clock, Role, User};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_server::auth::TokenVerifier;
use healthmate_server::config::Settings;
use healthmate_storage::{Directory, Error};
use healthmate_storage_sqlite::{Options, SqliteStore};

/// How many are added at once, so that they share commits.
const TOGETHER: usize = 512;

/// How long tokens are good, in seconds.
const TTL_S: u32 = 12 * 3600;

/// How many there are, and who reads whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Patients.
    pub(crate) patients: usize,
    /// For each device, whose it is.
    pub(crate) devices: Vec<usize>,
    /// For each reader, the patients whose care team it is in.
    pub(crate) readers: Vec<Vec<usize>>,
    /// Whether there is an administrator.
    pub(crate) operator: bool,
}

/// The id of the administrator.
pub(crate) const OPERATOR: &str = "bench-operator";

/// The id of a patient.
pub(crate) fn patient(number: usize) -> String {
    format!("bench-patient-{number}")
}

/// The id of a device.
pub(crate) fn device(number: usize) -> String {
    format!("bench-device-{number}")
}

/// The id of a reader.
pub(crate) fn reader(number: usize) -> String {
    format!("bench-reader-{number}")
}

/// Adds them to the database of these settings. Who is there already stays.
pub(crate) async fn settle(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    census: &Census,
) -> anyhow::Result<()> {
    let options = Options { exclusive: false, keys: Some(settings.key_source()), ..Options::default() };
    let store = SqliteStore::open(&settings.server.data, &options, Arc::clone(clock))?;
    let now = clock.now();
    let patients = (0..census.patients).map(|n| person(&patient(n), Role::Patient, None));
    let by = &By::command_line(now);
    add_all(&store, patients, by).await?;
    let devices = census.devices.iter().enumerate();
    let devices = devices.map(|(n, of)| person(&device(n), Role::Device, Some(&patient(*of))));
    add_all(&store, devices, by).await?;
    let readers = (0..census.readers.len()).map(|n| person(&reader(n), Role::Nurse, None));
    add_all(&store, readers, by).await?;
    let operators = census.operator.then(|| person(OPERATOR, Role::Admin, None));
    add_all(&store, operators.into_iter(), by).await?;
    let cared = census.readers.iter().enumerate();
    let relations: Vec<_> =
        cared.flat_map(|(n, read)| read.iter().map(move |of| relation(*of, n, now))).collect();
    for some in relations.chunks(TOGETHER) {
        let added = some.iter().map(|relation| async {
            let relation = relation.clone().map_err(|error| anyhow::anyhow!("{error}"))?;
            store.add_care_relation(relation, by.clone()).await?;
            Ok::<_, anyhow::Error>(())
        });
        try_join_all(added).await?;
    }
    Ok(())
}

/// A token for the user with this id.
pub(crate) fn token(signer: &TokenVerifier, id: &str, now: Timestamp) -> anyhow::Result<String> {
    Ok(signer.issue(&id.parse()?, TTL_S, now))
}

async fn add_all(
    store: &SqliteStore,
    people: impl Iterator<Item = anyhow::Result<User>>,
    by: &By,
) -> anyhow::Result<()> {
    let people = people.collect::<Result<Vec<_>, _>>()?;
    for some in people.chunks(TOGETHER) {
        let added = some.iter().map(|user| async {
            match store.add_user(user.clone(), by.clone()).await {
                Ok(()) | Err(Error::Exists(_)) => Ok(()),
                Err(error) => Err(error),
            }
        });
        try_join_all(added).await?;
    }
    Ok(())
}

fn person(id: &str, role: Role, device_of: Option<&str>) -> anyhow::Result<User> {
    let device_of = device_of.map(str::parse::<UserId>).transpose()?;
    Ok(User { id: id.parse()?, role, name: id.to_owned(), device_of, active: true })
}

fn relation(of: usize, member: usize, now: Timestamp) -> Result<CareRelation, String> {
    let id = |text: String| text.parse::<UserId>().map_err(|error| error.to_string());
    Ok(CareRelation::new(id(patient(of))?, id(reader(member))?, now))
}
