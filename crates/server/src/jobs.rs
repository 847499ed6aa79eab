//! What is done now and then.

use std::sync::Arc;
use std::time::Duration;

use healthmate_storage::Error;

use crate::app::App;

/// How often the log is trimmed.
const TRIM_INTERVAL: Duration = Duration::from_mins(10);

/// How much one transaction forgets, so that no commit waits long.
const TRIM_STEP: u32 = 2_000;

const HOUR_MS: i64 = 3_600_000;

/// Forgets events and idempotency keys past their retention, now and every ten minutes.
pub(crate) async fn trim(app: Arc<App>) {
    let mut turns = tokio::time::interval(TRIM_INTERVAL);
    loop {
        turns.tick().await;
        match trim_once(&app).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "trimmed the log"),
            Err(error) => tracing::warn!(%error, "the log could not be trimmed"),
        }
    }
}

async fn trim_once(app: &App) -> Result<u64, Error> {
    let now = app.clock.now();
    let settings = &app.settings.storage;
    let oldest_event = now.plus_millis(-i64::from(settings.log_retention_days) * 24 * HOUR_MS);
    let oldest_key = now.plus_millis(-i64::from(settings.idempotency_hours) * HOUR_MS);
    let mut forgotten = 0;
    loop {
        let events = app.store.trim(oldest_event, TRIM_STEP).await?;
        let keys = app.store.forget_idempotency_keys(oldest_key, TRIM_STEP).await?;
        forgotten += events + keys;
        if events.max(keys) < u64::from(TRIM_STEP) {
            return Ok(forgotten);
        }
    }
}
