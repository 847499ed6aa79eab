//! Acknowledged measurements per second: the store beside plain SQLite doing the same rows in the same group sizes
//! with the same fsyncs. The two take turns; the middle one of five rounds is printed.
//!
//! `cargo run --release -p healthmate-storage-sqlite --example ingest --features bench [-- FOLDER [LOAD]]`
//!
//! FOLDER says which disk to measure; by default that of temporary files. LOAD is one line of the table, such as
//! `10x100` for ten senders of batches of 100.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use healthmate_care::{By, Clock, Measurement, Metric, Role, SystemClock, User};
use healthmate_protocol::{ClientId, UserId};
use healthmate_storage::{Directory, Measurements, Recording};
use healthmate_storage_sqlite::baseline::{Failed, raw_ingest};
use healthmate_storage_sqlite::{Options, SqliteStore};

const ROUNDS: usize = 5;

/// How measurements come: `senders` at once, each waiting for its answer before its next batch.
struct Load {
    rows: usize,
    senders: usize,
    batch: usize,
}

fn main() -> Result<(), Failed> {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let only = std::env::args().nth(2);
    let loads = [
        Load { rows: 2_000, senders: 1, batch: 1 },
        Load { rows: 20_000, senders: 10, batch: 1 },
        Load { rows: 50_000, senders: 1, batch: 100 },
        Load { rows: 200_000, senders: 10, batch: 100 },
        Load { rows: 200_000, senders: 1, batch: 1000 },
        Load { rows: 200_000, senders: 10, batch: 1000 },
    ];
    println!("senders  batch  store/s    raw/s      store/raw");
    for load in loads
        .into_iter()
        .filter(|load| only.as_ref().is_none_or(|only| *only == format!("{}x{}", load.senders, load.batch)))
    {
        let (mut store, mut raw) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            store.push(load.rows as f64 / store_seconds(&folder, &load)?);
            raw.push(load.rows as f64 / raw_seconds(&folder, &load)?);
        }
        let (store, raw) = (median(store), median(raw));
        println!("{:<8} {:<6} {store:<10.0} {raw:<10.0} {:.2}", load.senders, load.batch, store / raw);
    }
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn sample(rows: usize) -> Result<Vec<Measurement>, Failed> {
    let now = SystemClock::default().now();
    (0..rows)
        .map(|n| {
            Ok(Measurement {
                metric: Metric::HeartRate,
                value: 60.0 + (n % 40) as f64,
                taken_at: now.plus_millis(n as i64 * 10),
                client_id: Some(ClientId::new(&format!("run-7-{n}"))?),
                device: Some("Polar H10".to_owned()),
                original: None,
            })
        })
        .collect()
}

fn raw_seconds(folder: &Path, load: &Load) -> Result<f64, Failed> {
    let dir = tempfile::tempdir_in(folder)?;
    // All that waits while a group is written is the next group.
    let ingest = raw_ingest(dir.path(), sample(load.rows)?, (load.senders * load.batch).min(4096))?;
    let start = Instant::now();
    ingest()?;
    Ok(start.elapsed().as_secs_f64())
}

fn store_seconds(folder: &Path, load: &Load) -> Result<f64, Failed> {
    let dir = tempfile::tempdir_in(folder)?;
    let clock = Arc::new(SystemClock::default());
    let by = By::command_line(clock.now());
    let store = SqliteStore::open(dir.path(), &Options::default(), clock)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let patient = UserId::new("p")?;
    let user =
        User { id: patient.clone(), role: Role::Patient, name: "p".into(), device_of: None, active: true };
    runtime.block_on(store.add_user(user, by))?;
    let measurements = sample(load.rows)?;
    let batches: Vec<_> = measurements.chunks(load.batch).map(<[Measurement]>::to_vec).collect();
    let shares = batches.chunks(batches.len().div_ceil(load.senders)).map(<[_]>::to_vec);
    let shares: Vec<_> = shares.collect();
    let start = Instant::now();
    runtime.block_on(async {
        let mut senders = tokio::task::JoinSet::new();
        for share in shares {
            let (store, patient) = (Arc::clone(&store), patient.clone());
            senders.spawn(async move {
                for measurements in share {
                    let (patient, author) = (patient.clone(), patient.clone());
                    store
                        .record(Recording { patient, author, measurements, idempotency: None, audit: None })
                        .await?;
                }
                Ok::<_, healthmate_storage::Error>(())
            });
        }
        while let Some(sender) = senders.join_next().await {
            sender??;
        }
        Ok(start.elapsed().as_secs_f64())
    })
}
