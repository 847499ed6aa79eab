//! Whose connections someone may see and steer.

use healthmate_care::{Action, Decision, Grants, User, decide};
use healthmate_protocol::{Timestamp, UserId};

/// Whose connections someone may see and steer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// An administrator's: everybody's, and those that are nobody's yet.
    Everyone,
    /// One's own.
    Own(UserId),
}

impl Reach {
    /// How far `user` reaches.
    pub(crate) fn of(user: &User) -> Self {
        // By who the user is, at whatever time.
        let now = Timestamp::from_micros(0);
        match decide(user, Action::Administer, &user.id, &Grants::NONE, now) {
            Decision::Allowed { .. } => Self::Everyone,
            Decision::Denied(_) => Self::Own(user.id.clone()),
        }
    }

    /// Whether it covers a connection of `user`.
    pub(crate) fn covers(&self, user: Option<&UserId>) -> bool {
        match self {
            Self::Everyone => true,
            Self::Own(own) => user == Some(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use healthmate_care::Role;

    use super::*;

    #[test]
    fn administrators_reach_everyone_and_others_themselves() {
        let id = |text: &str| UserId::new(text).expect("valid");
        let user = |role| User { id: id("u"), role, name: String::new(), device_of: None, active: true };
        for role in [Role::Patient, Role::Caregiver, Role::Nurse, Role::Doctor, Role::Device] {
            let reach = Reach::of(&user(role));
            assert!(reach.covers(Some(&id("u"))) && !reach.covers(Some(&id("v"))) && !reach.covers(None));
        }
        let reach = Reach::of(&user(Role::Admin));
        assert!(reach.covers(Some(&id("v"))) && reach.covers(None));
    }
}
