//! Users and care teams.

use async_trait::async_trait;
use healthmate_care::{By, CareRelation, Role, User};
use healthmate_protocol::UserId;

use crate::Error;

/// Somebody of a patient's circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircleMember {
    /// The user.
    pub user: User,
    /// The place in the patient's care team, if there is one.
    pub relation: Option<CareRelation>,
}

/// Who changes a care team, and what the change was decided by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Who.
    pub user: UserId,
    /// The user's role.
    pub role: Role,
    /// The user's place in the care team, where that is what lets them manage it.
    pub place: Option<CareRelation>,
}

/// Users and care teams.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Adds a user.
    ///
    /// # Errors
    /// `Exists("user")` if the id is taken, `NotFound("patient")` if a device's patient is missing, unknown or no
    /// patient, `NotFound("device")` if `device_of` is given for another role; or the store cannot be written.
    async fn add_user(&self, user: User, by: By) -> Result<(), Error>;

    /// The user with this id.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn user(&self, id: &UserId) -> Result<Option<User>, Error>;

    /// All users, by id.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn users(&self) -> Result<Vec<User>, Error>;

    /// Enables or disables a user.
    ///
    /// # Errors
    /// `NotFound("user")` if there is no such user; or the store cannot be written.
    async fn set_active(&self, id: &UserId, active: bool, by: By) -> Result<(), Error>;

    /// Gives a user another role. Patients and devices keep theirs, and nobody becomes a device: measurements, care teams
    /// and devices hang on it.
    ///
    /// # Errors
    /// `NotFound("user")` if there is no such user, `RoleStays` if the role, or the one it has, is not to be changed; or
    /// the store cannot be written.
    async fn set_role(&self, id: &UserId, role: Role, by: By) -> Result<(), Error>;

    /// Lets a member into a patient's care team, or changes everything about the member's place there.
    ///
    /// # Errors
    /// `NotFound("patient")` if the patient is unknown or no patient, `NotFound("user")` if the member or who grants
    /// it is unknown; or the store cannot be written.
    async fn add_care_relation(&self, relation: CareRelation, by: By) -> Result<(), Error>;

    /// Takes a member out of a patient's care team. The other members stay.
    ///
    /// # Errors
    /// `NotFound("care relation")` if the two have none; or the store cannot be written.
    async fn remove_care_relation(&self, patient: &UserId, member: &UserId, by: By) -> Result<(), Error>;

    /// [`Self::add_care_relation`], asked for by a user: only if that one is still active, with the role and the place in
    /// the care team by which it was decided.
    ///
    /// # Errors
    /// `Changed("manager")` if not; or as [`Self::add_care_relation`].
    async fn grant_access(&self, relation: CareRelation, manager: Manager, by: By) -> Result<(), Error>;

    /// [`Self::remove_care_relation`], asked for by a user: only if that one is still active, with the role and the place
    /// in the care team by which it was decided.
    ///
    /// # Errors
    /// `Changed("manager")` if not; or as [`Self::remove_care_relation`].
    async fn end_access(
        &self,
        patient: &UserId,
        member: &UserId,
        manager: Manager,
        by: By,
    ) -> Result<(), Error>;

    /// The member's place in the patient's care team.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn care_relation(&self, patient: &UserId, member: &UserId) -> Result<Option<CareRelation>, Error>;

    /// The relations of a patient's care team, by member.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn care_team(&self, patient: &UserId) -> Result<Vec<CareRelation>, Error>;

    /// The patient's circle, each once, by id: the patient, the patient's devices, and the members of the care team,
    /// also those whose time there has not begun or is over. Empty for a user who is unknown or no patient.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn circle(&self, patient: &UserId) -> Result<Vec<CircleMember>, Error>;

    /// The relations in which this user is the member, by patient.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn patients_of(&self, member: &UserId) -> Result<Vec<CareRelation>, Error>;

    /// A number that grows with every change of a user or a care relation, whichever process made it, and stays the
    /// same while there is none, also over a reopening. Access that was decided at another number must be decided
    /// again. It costs one small read, so that it can be asked every second.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn directory_version(&self) -> Result<u64, Error>;
}
