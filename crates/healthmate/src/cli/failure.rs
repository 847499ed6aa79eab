//! How a command fails: one sentence on stderr, and an exit code.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command or the settings are wrong: exit code 2.
    Usage(String),
    /// It could not be done: exit code 1.
    Failed(String),
    /// It is said already; only the exit code is left, 2.
    Told,
}

impl Failure {
    /// The command or the settings are wrong.
    pub(crate) fn usage(sentence: impl Display) -> Self {
        Self::Usage(sentence.to_string())
    }

    /// It could not be done.
    pub(crate) fn failed(sentence: impl Display) -> Self {
        Self::Failed(sentence.to_string())
    }

    /// Says it, and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (sentence, code) = match self {
            Self::Usage(sentence) => (sentence, 2),
            Self::Failed(sentence) => (sentence, 1),
            Self::Told => return ExitCode::from(2),
        };
        // Nobody reads stderr: the exit code tells.
        let _ = writeln!(std::io::stderr(), "healthmate: {sentence}");
        ExitCode::from(code)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}
