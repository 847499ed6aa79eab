//! The log: lines on standard error, for people or for machines; and to a collector, where one is set.

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogFormat, LogSettings, Settings};
#[cfg(feature = "otel")]
use crate::telemetry::otel::{Export, ExportError};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.level` is neither a level nor a list of levels by module.
    #[error("log.level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The process has a log already.
    #[error("the log was started twice")]
    Twice,
    /// What is to be exported cannot be.
    #[cfg(feature = "otel")]
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// The log of this process, while it runs.
#[derive(Debug)]
#[must_use = "what waits to be exported is sent when it is stopped"]
pub struct Log {
    #[cfg(feature = "otel")]
    export: Option<Export>,
}

impl Log {
    /// Sends what waits to be exported. Lines go on to standard error.
    pub fn stop(self) {
        #[cfg(feature = "otel")]
        if let Some(export) = self.export {
            export.stop();
        }
    }
}

/// Starts the log of this process on standard error, and its export where that is set.
///
/// # Errors
/// If the level cannot be understood, the export cannot be made, or the process has a log already.
pub fn start(settings: &Settings) -> Result<Log, LogError> {
    #[cfg(feature = "otel")]
    if let Some(endpoint) = &settings.telemetry.otlp_endpoint {
        let export = Export::start(endpoint)?;
        let subscriber = exporting(&settings.log, std::io::stderr, &export)?;
        tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
        return Ok(Log { export: Some(export) });
    }
    let subscriber = subscriber(&settings.log, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    Ok(Log {
        #[cfg(feature = "otel")]
        export: None,
    })
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

/// What writes the log to `writer`, and exports it and the spans.
#[cfg(feature = "otel")]
pub(super) fn exporting<W>(
    settings: &LogSettings,
    writer: W,
    export: &Export,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    use tracing_subscriber::{Layer, Registry, fmt, layer::SubscriberExt};

    let filter = || EnvFilter::builder().parse(&settings.level);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        LogFormat::Text => fmt::layer().with_writer(writer).with_filter(filter()?).boxed(),
        LogFormat::Json => {
            fmt::layer().json().flatten_event(true).with_writer(writer).with_filter(filter()?).boxed()
        }
    };
    Ok(Box::new(tracing_subscriber::registry().with(lines).with(export.layer(filter()?))))
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
