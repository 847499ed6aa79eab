//! What every store must do, as checks that every store runs.
//!
//! A store's tests call [`conformance_tests!`](crate::conformance_tests) with a function that opens a [`Harness`],
//! and get one test for each check; and they run [`model::run`], which compares the store with a small model over
//! random histories, and [`alike::run`], which compares it with the store in memory.
//!
//! To add a check: write it in the module of its area, and name it in [`conformance_checks!`](crate::conformance_checks).

pub mod alike;
pub mod audit;
pub mod break_glass;
pub mod credentials;
pub mod directory;
pub mod erasure;
pub mod idempotency;
pub mod listener;
pub mod log;
pub mod measurements;
pub mod model;
pub mod notifications;
pub mod paging;
pub mod retention;
mod sample;
pub mod sign_ins;

use std::pin::Pin;
use std::sync::Arc;

use healthmate_care::ManualClock;
use healthmate_protocol::Timestamp;

use crate::Store;

/// Why a check failed without an assertion: an operation that had to work did not.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What a check returns.
pub type Outcome = Result<(), Failed>;

/// A check: it gets a fresh store.
pub type Check = fn(Harness) -> Pin<Box<dyn Future<Output = Outcome>>>;

/// Opens the store under test: the first time fresh, then the same one again.
pub type Open = Box<dyn FnMut(Arc<ManualClock>) -> Result<Arc<dyn Store>, Failed> + Send>;

/// A fresh store with a clock that stands until it is moved.
pub struct Harness {
    /// The store's clock; it starts at 2026-11-23T07:00:00Z.
    pub clock: Arc<ManualClock>,
    store: Option<Arc<dyn Store>>,
    open: Open,
}

impl Harness {
    /// A harness around the store that `open` opens.
    ///
    /// # Errors
    /// If it does not open.
    pub fn new(mut open: Open) -> Result<Self, Failed> {
        let clock = Arc::new(ManualClock::new(start()));
        let store = open(Arc::clone(&clock))?;
        Ok(Self { clock, store: Some(store), open })
    }

    /// The store.
    ///
    /// # Errors
    /// If the last [`Self::reopen`] failed.
    pub fn store(&self) -> Result<&Arc<dyn Store>, Failed> {
        self.store.as_ref().ok_or_else(|| "the store did not open again".into())
    }

    /// Closes the store and opens it again. No other reference to it may be left.
    ///
    /// # Errors
    /// If it does not open again.
    pub fn reopen(&mut self) -> Outcome {
        self.store = None;
        self.store = Some((self.open)(Arc::clone(&self.clock))?);
        Ok(())
    }
}

/// When every check begins.
fn start() -> Timestamp {
    Timestamp::from_micros(1_795_417_200_000_000)
}

/// Calls a macro with the list of all checks, as `area::name`, after the tokens it is given.
#[macro_export]
macro_rules! conformance_checks {
    ($callback:path; $($context:tt)*) => {
        $callback! { $($context)*;
            audit::records_come_back_as_they_were_and_chained,
            audit::each_change_of_the_directory_is_recorded_and_no_refused_one,
            audit::the_chain_goes_on_after_a_reopening,
            audit::checkpoints_are_kept,
            audit::the_records_of_a_patient_come_newest_first,
            audit::the_records_of_a_patient_are_found_in_a_long_trail,
            break_glass::a_patient_is_opened_and_everybody_told,
            break_glass::a_refused_opening_leaves_nothing_behind,
            break_glass::an_access_is_opened_once,
            break_glass::limits_of_openings_hold_and_end,
            break_glass::an_access_is_ended_once,
            break_glass::ends_are_recorded_once,
            credentials::a_password_is_set_and_changed,
            credentials::a_password_is_changed_only_where_it_was,
            credentials::a_user_has_only_so_many_api_tokens_and_passkeys,
            credentials::an_api_token_is_issued_listed_and_revoked_once,
            credentials::what_was_used_or_revoked_before_is_stored_so,
            credentials::the_last_use_of_an_api_token_is_kept,
            credentials::an_api_token_is_forgotten_some_time_after_it_ended,
            credentials::a_passkey_is_its_users_until_removed,
            credentials::a_passkeys_counter_never_goes_back,
            credentials::a_revocation_is_kept_until_the_token_has_ended,
            directory::a_user_is_found_as_it_was_added,
            directory::a_taken_id_is_refused_and_changes_nothing,
            directory::a_device_needs_a_patient,
            directory::users_come_by_id,
            directory::a_user_is_disabled_and_enabled_again,
            directory::a_user_gets_another_role,
            directory::a_care_relation_is_added_and_changed,
            directory::a_care_relation_needs_a_patient_and_a_member,
            directory::what_a_relation_says_comes_back,
            directory::a_care_relation_is_removed,
            directory::a_care_team_is_changed_by_who_still_manages_it,
            directory::care_teams_and_patients_come_in_order,
            directory::a_circle_holds_whoever_has_to_do_with_a_patient,
            directory::the_directory_outlives_a_reopening,
            directory::the_version_grows_with_every_change_of_the_directory,
            directory::the_version_stays_where_the_directory_does,
            erasure::nothing_is_found_of_an_erased_patient,
            erasure::an_erased_patient_does_not_come_back,
            erasure::an_erasure_is_on_record,
            erasure::what_let_an_erased_patient_in_is_gone,
            erasure::what_a_device_was_told_goes_with_its_patient,
            erasure::accesses_and_answers_of_an_erased_patient_are_gone,
            idempotency::a_repetition_gets_the_first_answer,
            idempotency::another_request_under_the_same_key_is_refused,
            idempotency::a_key_belongs_to_its_author,
            idempotency::a_refused_request_leaves_its_key_free,
            idempotency::forgotten_keys_may_be_used_again,
            idempotency::answers_outlive_a_reopening,
            listener::hears_each_event_once_in_order,
            listener::a_later_listener_replaces_the_earlier,
            listener::hears_nothing_of_duplicates_and_refusals,
            listener::order_holds_under_concurrent_recordings,
            log::a_fresh_log_is_empty,
            log::offsets_are_dense_for_each_topic,
            log::an_event_says_what_was_stored,
            log::reading_goes_on_after_an_offset_up_to_a_limit,
            log::the_log_outlives_a_reopening,
            log::the_epoch_stays_until_it_is_renewed,
            log::the_store_can_be_written,
            measurements::receipts_come_in_order,
            measurements::a_name_used_twice_in_a_batch_is_stored_once,
            measurements::a_name_used_before_gets_its_first_receipt,
            measurements::names_belong_to_their_author_and_patient,
            measurements::unknown_people_are_refused_and_nothing_is_stored,
            measurements::a_recording_is_on_record_once,
            measurements::a_conflict_stores_nothing_of_the_batch,
            measurements::a_full_batch_is_stored,
            measurements::concurrent_recordings_of_a_name_store_it_once,
            notifications::a_notification_is_an_event_and_a_row,
            notifications::nobody_is_told_where_one_is_unknown,
            notifications::a_name_is_used_once,
            notifications::pages_of_notifications_join,
            notifications::a_notification_is_seen_once,
            paging::a_history_is_empty_for_strangers,
            paging::newest_taken_comes_first,
            paging::every_field_comes_back,
            paging::pages_join_without_hole_or_repeat,
            paging::filters_hold_at_their_limits,
            paging::a_cursor_is_its_text,
            paging::the_newest_of_each_metric_is_found,
            retention::trim_forgets_what_is_old_and_keeps_heads_and_history,
            retention::trim_stops_at_its_limit_and_goes_on,
            retention::trim_leaves_no_hole_when_the_clock_went_back,
            retention::an_emptied_log_goes_on_at_its_head,
            sign_ins::a_sign_in_is_found_as_it_was_added,
            sign_ins::a_sign_in_needs_the_password_that_was_verified,
            sign_ins::a_refresh_token_is_exchanged_for_the_next,
            sign_ins::a_refresh_token_used_twice_ends_its_sign_in,
            sign_ins::a_lost_answer_locks_nobody_out,
            sign_ins::a_refresh_token_of_a_disabled_user_is_not_exchanged,
            sign_ins::a_made_up_refresh_token_ends_nothing,
            sign_ins::a_sign_in_ends_by_itself,
            sign_ins::sign_ins_are_ended,
            sign_ins::sign_ins_end_in_the_order_in_which_they_began,
            sign_ins::a_new_password_ends_sign_ins,
        }
    };
}

/// One `#[tokio::test]` for each check; `$harness` is a function that returns `Result<Harness, Failed>`.
#[macro_export]
macro_rules! conformance_tests {
    ($harness:path) => {
        $crate::conformance_checks! { $crate::conformance_test_functions; $harness }
    };
}

/// The functions that [`conformance_tests!`] makes.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_test_functions {
    ($harness:path; $($area:ident::$name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() -> $crate::conformance::Outcome {
            $crate::conformance::$area::$name($harness()?).await
        }
    )*};
}

macro_rules! list {
    (checks; $($area:ident::$name:ident),* $(,)?) => {
        /// Every check with its name.
        pub const CHECKS: &[(&str, Check)] =
            &[$((concat!(stringify!($area), "::", stringify!($name)), |harness| Box::pin($area::$name(harness)))),*];
    };
}
conformance_checks! { list; checks }
