//! What is done now and then.

use std::sync::Arc;
use std::time::Duration;

use healthmate_hub::PresenceChange;
use healthmate_protocol::server::{Presence, PresenceUpdate};
use healthmate_protocol::{Envelope, Ephemeral, ServerMessage};
use healthmate_storage::Error;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use crate::app::App;
use crate::break_glass;
use crate::node::{SAMPLE_EVERY, Sample};
use crate::publish::Broadcast;
use crate::shard::ShardHandle;
use crate::telemetry::labels::KeyFetch;

/// How often the log is trimmed.
const TRIM_INTERVAL: Duration = Duration::from_mins(10);

/// How much one transaction forgets, so that no commit waits long.
const TRIM_STEP: u32 = 2_000;

/// How often it is written when API tokens were used last.
const USES_INTERVAL: Duration = Duration::from_mins(1);

const HOUR_MS: i64 = 3_600_000;

/// How often changes of users and care teams are looked for.
const ACCESS_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is looked whether a checkpoint is due.
const CHECKPOINT_LOOK: Duration = Duration::from_secs(5);

/// How often refusals that were left out are counted.
const LEFT_OUT_INTERVAL: Duration = Duration::from_mins(1);

/// Starts everything that is done beside the shards, until it is aborted.
pub(crate) fn start(app: &Arc<App>, shards: &[Arc<ShardHandle>]) -> Vec<AbortHandle> {
    let keys = app.verifier.published().map(|jwks| {
        let (jwks, metrics) = (Arc::clone(jwks), Arc::clone(&app.metrics));
        let count = move |fetched| {
            metrics.key_fetches.of(KeyFetch::of(fetched)).inc();
        };
        tokio::spawn(jwks.run(count)).abort_handle()
    });
    let mut tasks = vec![
        tokio::spawn(watch_access(Arc::clone(app), shards.to_vec())).abort_handle(),
        tokio::spawn(announce_presence(Arc::clone(app), shards.to_vec())).abort_handle(),
        tokio::spawn(trim(Arc::clone(app))).abort_handle(),
        tokio::spawn(sign_checkpoints(Arc::clone(app))).abort_handle(),
        tokio::spawn(break_glass::record_ends(Arc::clone(app))).abort_handle(),
        tokio::spawn(count_left_out(Arc::clone(app))).abort_handle(),
        tokio::spawn(sample(Arc::clone(app))).abort_handle(),
        tokio::spawn(clean_up(Arc::clone(app))).abort_handle(),
        tokio::spawn(recover(Arc::clone(app))).abort_handle(),
        tokio::spawn(write_uses(Arc::clone(app))).abort_handle(),
    ];
    tasks.extend(keys);
    tasks
}

/// Tells those who asked who began and who ceased to watch a topic.
async fn announce_presence(app: Arc<App>, shards: Vec<Arc<ShardHandle>>) {
    loop {
        for change in app.presence.changes().await {
            let PresenceChange { topic, user: user_id, joined } = change;
            let presence = if joined { Presence::Joined } else { Presence::Left };
            app.metrics.presence_updates.of(presence).inc();
            let update = ServerMessage::PresenceUpdate(PresenceUpdate { user_id, presence });
            let event = Envelope::ephemeral(app.clock.now(), topic.clone(), update);
            let event = Arc::new(Broadcast::new(topic, Ephemeral::Presence, &event.to_text()));
            for shard in &shards {
                shard.broadcast(Arc::clone(&event));
            }
        }
    }
}

/// Has access decided again on every open connection within a second of a change of users or care teams, whoever
/// made it: the command line changes them while the server runs. What this server changed itself is looked at at once.
async fn watch_access(app: Arc<App>, shards: Vec<Arc<ShardHandle>>) {
    let mut turns = tokio::time::interval(ACCESS_INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = None;
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = app.access_change() => {}
        }
        if app.take_undecided() {
            known = None;
        }
        let now = tokio::time::Instant::now().into_std();
        match app.store.directory_version().await {
            Ok(version) if known != Some(version) => {
                // Before anybody is told to decide again.
                if let Err(error) = app.revocations.load(&*app.store, app.clock.now()).await {
                    known = None;
                    tracing::warn!(%error, "what was taken back cannot be seen");
                    continue;
                }
                known = Some(version);
                app.people.changed(now);
                app.api_tokens.changed(now);
                for shard in &shards {
                    shard.recheck();
                }
            }
            Ok(_) => {
                app.people.unchanged(now);
                app.api_tokens.unchanged(now);
            }
            Err(error) => {
                // Whatever was missed is made up for when the store can be read again.
                known = None;
                tracing::warn!(%error, "changes of access cannot be seen");
            }
        }
    }
}

/// Writes when API tokens were used last.
async fn write_uses(app: Arc<App>) {
    loop {
        tokio::time::sleep(USES_INTERVAL).await;
        if let Err(error) = app.api_tokens.write_uses(&*app.store).await {
            tracing::warn!(%error, "the last use of API tokens could not be written");
        }
    }
}

/// Forgets events, idempotency keys and ended sign-ins past their retention, now and every ten minutes.
async fn trim(app: Arc<App>) {
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

/// Keeps what is counted every few seconds, for the rates that operators see.
async fn sample(app: Arc<App>) {
    let mut turns = tokio::time::interval(SAMPLE_EVERY);
    loop {
        turns.tick().await;
        app.node.rates.keep(Sample::now(&app.metrics));
    }
}

/// Ends the sessions whose clients did not come back in time. They could not go on since; this frees their memory.
async fn clean_up(app: Arc<App>) {
    let every = Duration::from_secs(app.settings.sessions.cleanup_interval_s.into());
    loop {
        tokio::time::sleep(every).await;
        app.node.lost.expire();
    }
}

/// Tries to recover the sessions whose connections are lost: looks whether their users may still come back, and ends
/// those of users who may not, and those that were tried as often as the setting says.
async fn recover(app: Arc<App>) {
    let every = Duration::from_secs(app.settings.sessions.recovery_interval_s.into());
    loop {
        tokio::time::sleep(every).await;
        for user in app.node.lost.attempt() {
            match app.store.user(&user).await {
                Ok(Some(found)) if found.active => {}
                Ok(_) => app.node.lost.end(|lost| lost.user.id == user),
                // It is tried again in the next turn.
                Err(error) => tracing::warn!(%error, "the user of a lost session could not be looked up"),
            }
        }
    }
}

/// Signs where the trail stands, after so many records or minutes as the settings say.
async fn sign_checkpoints(app: Arc<App>) {
    let mut turns = tokio::time::interval(CHECKPOINT_LOOK);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if let Err(error) = app.sign_checkpoint(false).await {
            tracing::warn!(%error, "a checkpoint of the audit trail could not be signed");
        }
    }
}

/// Records how many refusals were left out of the trail, each minute in which there were any.
async fn count_left_out(app: Arc<App>) {
    loop {
        tokio::time::sleep(LEFT_OUT_INTERVAL).await;
        app.record_left_out().await;
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
        if events > 0 {
            app.heads.forget();
        }
        let keys = app.store.forget_idempotency_keys(oldest_key, TRIM_STEP).await?;
        let ended = app.store.forget_ended(now, TRIM_STEP).await?;
        forgotten += events + keys + ended;
        if events.max(keys).max(ended) < u64::from(TRIM_STEP) {
            return Ok(forgotten);
        }
    }
}
