use healthmate_care::{By, Clock, ManualClock, Role};
use healthmate_protocol::Timestamp;
use healthmate_storage::MemoryStore;

use super::*;

fn id(text: &str) -> UserId {
    UserId::new(text).expect("valid")
}

fn by() -> By {
    By::command_line(Timestamp::from_micros(0))
}

struct World {
    store: MemoryStore,
    people: People,
    /// When the directory was looked at last.
    start: Instant,
}

impl World {
    async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
        let store = MemoryStore::new(clock);
        for (name, role) in [("ana", Role::Patient), ("nora", Role::Nurse)] {
            let user = User { id: id(name), role, name: name.to_owned(), device_of: None, active: true };
            store.add_user(user, by()).await.expect("new");
        }
        let people = People::new();
        let start = tokio::time::Instant::now().into_std();
        people.changed(start);
        Self { store, people, start }
    }

    async fn relate(&self) {
        let starts_at = Timestamp::from_micros(0);
        let relation = CareRelation::new(id("ana"), id("nora"), starts_at);
        self.store.add_care_relation(relation, by()).await.expect("known users");
    }

    async fn find_relation(&self) -> Option<Arc<CareRelation>> {
        self.people.find_relation(&self.store, &id("ana"), &id("nora")).await.expect("read")
    }

    fn knows_relation(&self) -> bool {
        self.people.relation(&id("ana"), &id("nora"), self.start).is_some()
    }
}

#[tokio::test]
async fn who_was_found_is_known_until_the_directory_changes() {
    let World { store, people, start } = World::new().await;
    assert_eq!(people.user(&id("nora"), start), None);
    let found = people.find_user(&store, &id("nora"), start).await.expect("read").expect("there");
    assert_eq!(people.user(&id("nora"), start), Some(Arc::clone(&found)));
    store.set_active(&id("nora"), false, by()).await.expect("known");
    // Not seen yet.
    assert_eq!(people.find_user(&store, &id("nora"), start).await, Ok(Some(found)));
    people.changed(start);
    assert_eq!(people.user(&id("nora"), start), None);
    let now = people.find_user(&store, &id("nora"), start).await.expect("read").expect("there");
    assert!(!now.active);
    assert_eq!(people.user(&id("nora"), start), None, "who is disabled is asked for again");
}

#[tokio::test]
async fn what_opens_no_door_is_asked_again() {
    let world = World::new().await;
    assert_eq!(world.find_relation().await, None);
    assert!(!world.knows_relation());
    world.relate().await;
    let relation = world.find_relation().await;
    assert_eq!(world.people.relation(&id("ana"), &id("nora"), world.start), relation);
    assert!(relation.is_some());
    assert_eq!(world.people.find_user(&world.store, &id("nobody"), world.start).await, Ok(None));
    assert_eq!(world.people.user(&id("nobody"), world.start), None);
}

#[tokio::test]
async fn what_is_known_counts_for_a_second_after_the_last_look() {
    let world = World::new().await;
    world.relate().await;
    world.find_relation().await;
    let (ana, nora) = (id("ana"), id("nora"));
    let known = |after| world.people.relation(&ana, &nora, world.start + after).is_some();
    assert!(known(GOOD_FOR.checked_sub(Duration::from_nanos(1)).expect("longer")));
    assert!(!known(GOOD_FOR));
    world.people.unchanged(world.start + GOOD_FOR);
    assert!(known(GOOD_FOR));
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept() {
    let world = World::new().await;
    world.relate().await;
    let user =
        world.people.find_user(&world.store, &id("nora"), world.start).await.expect("read").expect("there");
    let before = world.people.change();
    world.people.changed(world.start);
    let relation = CareRelation::new(id("ana"), id("nora"), Timestamp::from_micros(0));
    world.people.keep_relation(before, &Arc::new(relation));
    world.people.keep_user(before, &user);
    assert!(!world.knows_relation());
    assert_eq!(world.people.user(&id("nora"), world.start), None);
}
