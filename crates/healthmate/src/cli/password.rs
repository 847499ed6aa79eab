//! `healthmate user password`: sets a user's password, read from the terminal or from stdin, never from an argument.

use std::io::{self, BufRead, IsTerminal, Write};

use healthmate_protocol::UserId;
use healthmate_server::auth::password::{self, Passwords};
use healthmate_storage::{Credentials, Error, NewPassword, SignInEnd, SignIns};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde::Serialize;

use super::admin::{AdminArgs, by};
use super::block_on;
use super::failure::Failure;
use super::settings::{open_store, system_clock};

/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 4 * password::MAX_CHARS as u64 + 2;

/// Sets the password of a user, and ends the user's sign-ins.
pub(crate) fn set(id: &UserId, common: &AdminArgs) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Set<'a> {
        user: &'a UserId,
        ended_sign_ins: usize,
    }
    let settings = common.settings.load()?;
    let (clock, by) = (system_clock(), by());
    let store = open_store(&settings, &clock)?;
    let password = read()?;
    password::check(&password, id.as_str())
        .map_err(|weak| Failure::failed(format!("the password {weak}")))?;
    let seconds = settings.sign_in.access_token_s + settings.auth.leeway_s;
    let access_until = by.at.plus_millis(i64::from(seconds) * 1000);
    let end = SignInEnd { user: id.clone(), which: SignIns::All, reason: "password_changed", access_until };
    let ended = block_on(async {
        let passwords = Passwords::new(&settings.sign_in, clock);
        let hash = passwords.hash(password).await.map_err(Failure::failed)?;
        store.set_password(NewPassword::anyway(hash), end, by).await.map_err(|error| match error {
            Error::NotFound(_) => Failure::failed(format!("there is no user {id}")),
            error => Failure::failed(error),
        })
    })?;
    common.answer(&Set { user: id, ended_sign_ins: ended.len() }, || format!("password of {id} set"))
}

/// One line of stdin; at a terminal, without showing it, and twice.
fn read() -> Result<String, Failure> {
    let unreadable = |error: io::Error| Failure::failed(format!("cannot read the password: {error}"));
    if !io::stdin().is_terminal() {
        return line(&mut io::stdin().lock()).map_err(unreadable);
    }
    let first = ask("New password: ").map_err(unreadable)?;
    let again = ask("The same again: ").map_err(unreadable)?;
    if first == again { Ok(first) } else { Err(Failure::failed("the two are not the same")) }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    io::Read::take(from, MAX_LINE).read_line(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks at the terminal, which shows nothing of the answer.
fn ask(question: &str) -> io::Result<String> {
    let stdin = io::stdin();
    let shown = tcgetattr(&stdin)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    let mut out = io::stderr().lock();
    write!(out, "{question}").and_then(|()| out.flush())?;
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let answer = line(&mut stdin.lock());
    tcsetattr(&stdin, OptionalActions::Flush, &shown)?;
    writeln!(out)?;
    answer
}
