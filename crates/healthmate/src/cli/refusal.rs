//! How arguments are refused: in one sentence, as everything else is, and without repeating what may be a secret.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::failure::Failure;

/// How much of a wrong value is repeated, in characters.
const MAX_SHOWN: usize = 80;

/// Prints the help or the version, if that is what was asked for, and ends the process; otherwise says what is wrong.
pub(super) fn of_arguments(error: clap::Error) -> Failure {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => Failure::usage(sentence(error)),
    }
}

fn sentence(mut error: clap::Error) -> String {
    if is_too_many(&error) {
        // It may be a password or a token that was meant for stdin.
        return "an argument too many was given; try --help".to_owned();
    }
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        if let Some(ContextValue::String(long)) = error.get(kind)
            && let Some((end, _)) = long.char_indices().nth(MAX_SHOWN)
        {
            let short = format!("{}…", &long[..end]);
            error.insert(kind, ContextValue::String(short));
        }
    }
    let told = error.render().to_string();
    let said =
        told.split("\n\n").take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
    let words = said.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let sentence = words.collect::<Vec<_>>().join("; ");
    let sentence: String = sentence.chars().map(|char| if char.is_control() { '?' } else { char }).collect();
    format!("{}; try --help", sentence.strip_prefix("error: ").unwrap_or(&sentence))
}

/// Whether what is not expected is no option: it stands where nothing does.
fn is_too_many(error: &clap::Error) -> bool {
    let found = error.get(ContextKind::InvalidArg);
    error.kind() == ErrorKind::UnknownArgument
        && matches!(found, Some(ContextValue::String(found)) if !found.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::super::command;
    use super::*;

    fn said(arguments: &[&str]) -> String {
        let all = ["healthmate"].iter().chain(arguments);
        sentence(command().try_get_matches_from(all).expect_err("refused"))
    }

    #[test]
    fn what_is_wrong_is_one_sentence() {
        for (arguments, expected) in [
            (&["nope"][..], "unrecognized subcommand 'nope'; try --help"),
            (
                &["user", "add"],
                "the following required arguments were not provided: --role <ROLE> <ID>; try --help",
            ),
            (
                &["user", "add", "x", "--rolle", "nurse"],
                "unexpected argument '--rolle' found; tip: a similar argument exists: '--role'; try --help",
            ),
            (&["user", "password", "p1", "MARKER"], "an argument too many was given; try --help"),
            (
                &["audit", "export", "--format", "x\n\ny\u{1b}[31m"],
                "invalid value 'x; y?[31m' for '--format <FORMAT>' [possible values: ndjson, fhir]; try --help",
            ),
        ] {
            assert_eq!(said(arguments), expected);
        }
    }

    #[test]
    fn a_long_value_is_repeated_in_part() {
        let long = "é".repeat(100_000);
        let said = said(&["user", "add", &long, "--role", "nurse"]);
        assert!(said.contains(&format!("'{}…'", "é".repeat(MAX_SHOWN))), "{said}");
        assert!(said.chars().count() < 300, "{said}");
    }
}
