//! The log: lines on standard error, for people or for machines.

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogFormat, LogSettings};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.level` is neither a level nor a list of levels by module.
    #[error("log.level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The process has a log already.
    #[error("the log was started twice")]
    Twice,
}

/// Starts the log of this process on standard error.
///
/// # Errors
/// If the level cannot be understood, or the process has a log already.
pub fn start(settings: &LogSettings) -> Result<(), LogError> {
    let subscriber = subscriber(settings, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)
}

/// What writes the log to `writer`.
///
/// # Errors
/// If the level cannot be understood.
pub fn subscriber<W>(settings: &LogSettings, writer: W) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(&settings.level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match settings.format {
        LogFormat::Text => Box::new(builder.finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, format: LogFormat) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let settings = LogSettings { level: level.to_owned(), format };
        let subscriber = subscriber(&settings, move || writer.clone()).expect("valid");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(shards = 2, "the server listens");
            tracing::debug!("a detail");
        });
        let bytes = lines.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn people_read_lines_and_machines_objects() {
        let text = logged("info", LogFormat::Text);
        assert!(text.contains("INFO") && text.contains("the server listens shards=2"), "{text}");
        let line: serde_json::Value =
            serde_json::from_str(&logged("info", LogFormat::Json)).expect("one object");
        assert_eq!(
            (&line["message"], &line["shards"], &line["level"]),
            (&"the server listens".into(), &2.into(), &"INFO".into())
        );
    }

    #[test]
    fn the_level_decides_how_much() {
        assert_eq!(logged("debug", LogFormat::Text).lines().count(), 2);
        assert_eq!(logged("info", LogFormat::Text).lines().count(), 1);
        assert_eq!(logged("error,healthmate_server=debug", LogFormat::Text).lines().count(), 2);
        assert_eq!(logged("off", LogFormat::Text), "");
    }
}
