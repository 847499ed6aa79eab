use std::future::Future;

use healthmate_protocol::Delivery;
use tokio::time::timeout;

use super::*;

const GRACE: Duration = Duration::from_secs(10);

const HEARS: Interest = Interest { delivery: Delivery::Durable, waveform: false, presence: false };

const LISTENS: Interest = Interest { presence: true, ..HEARS };

fn user(name: &str) -> UserId {
    UserId::new(name).expect("valid")
}

fn topic(name: &str) -> Topic {
    Topic::health(user(name))
}

/// The time on tokio's clock, which stands still unless somebody waits.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A book in which `nora` listens to `health:p`, and that has been announced.
async fn listened_to() -> PresenceBook {
    let book = PresenceBook::new(GRACE);
    book.subscribed(&user("nora"), &topic("p"), None, LISTENS);
    assert_eq!(told(book.changes()).await, [("nora".to_owned(), true)]);
    book
}

async fn told(changes: impl Future<Output = Vec<PresenceChange>>) -> Vec<(String, bool)> {
    let changes = timeout(Duration::from_secs(1000), changes).await.expect("something comes");
    changes.into_iter().map(|change| (change.user.to_string(), change.joined)).collect()
}

/// Whether nothing is announced within `seconds`.
async fn quiet(book: &PresenceBook, seconds: u64) -> bool {
    timeout(Duration::from_secs(seconds), book.changes()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn who_comes_and_goes_is_announced_after_the_grace_time() {
    let book = listened_to().await;
    book.subscribed(&user("ana"), &topic("p"), None, HEARS);
    assert_eq!(told(book.changes()).await, [("ana".to_owned(), true)]);
    book.unsubscribed(&user("ana"), &topic("p"), HEARS, Ending::Left(now()));
    let left = now();
    assert_eq!(told(book.changes()).await, [("ana".to_owned(), false)]);
    let waited = now() - left;
    assert!(waited >= GRACE && waited < GRACE + Duration::from_secs(1), "{waited:?}");
    assert!(quiet(&book, 1000).await);
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_is_no_event() {
    let book = listened_to().await;
    let (ana, p) = (user("ana"), topic("p"));
    book.connected(&ana, Timestamp::from_micros(1));
    book.subscribed(&ana, &p, None, HEARS);
    assert_eq!(told(book.changes()).await, [("ana".to_owned(), true)]);
    book.disconnected(&ana, &[(p.clone(), HEARS)], now());
    assert!(quiet(&book, 9).await);
    book.connected(&ana, Timestamp::from_micros(2));
    book.subscribed(&ana, &p, None, HEARS);
    assert!(quiet(&book, 1000).await);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_hears_of_what_comes_while_waiting() {
    let book = listened_to().await;
    let (heard, ()) = tokio::join!(told(book.changes()), async {
        tokio::task::yield_now().await;
        book.subscribed(&user("ana"), &topic("p"), None, HEARS);
    });
    assert_eq!(heard, [("ana".to_owned(), true)]);
    book.subscribed(&user("ben"), &topic("p"), None, HEARS);
    assert_eq!(told(book.changes()).await, [("ben".to_owned(), true)]);
    // The first who goes, while nobody's time runs; and one who goes while the first is waited for.
    let (heard, ()) = tokio::join!(told(book.changes()), async {
        tokio::task::yield_now().await;
        book.unsubscribed(&user("ana"), &topic("p"), HEARS, Ending::Left(now()));
        tokio::time::advance(Duration::from_secs(5)).await;
        book.unsubscribed(&user("ben"), &topic("p"), HEARS, Ending::Left(now()));
    });
    assert_eq!(heard, [("ana".to_owned(), false)]);
    assert_eq!(told(book.changes()).await, [("ben".to_owned(), false)]);
}

#[tokio::test(start_paused = true)]
async fn who_loses_access_is_gone_at_once() {
    let book = listened_to().await;
    book.subscribed(&user("ana"), &topic("p"), None, HEARS);
    book.unsubscribed(&user("ana"), &topic("p"), HEARS, Ending::Revoked);
    let before = now();
    assert_eq!(told(book.changes()).await, [("ana".to_owned(), true), ("ana".to_owned(), false)]);
    assert_eq!(now(), before);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_announced_where_nobody_listens() {
    let book = listened_to().await;
    book.subscribed(&user("ana"), &topic("q"), None, HEARS);
    book.unsubscribed(&user("ana"), &topic("q"), HEARS, Ending::Revoked);
    book.subscribed(&user("ana"), &topic("q"), None, HEARS);
    book.unsubscribed(&user("ana"), &topic("q"), HEARS, Ending::Left(now()));
    assert!(quiet(&book, 1000).await);
    // The last one who listens has gone, and nothing is kept of it.
    book.unsubscribed(&user("nora"), &topic("p"), LISTENS, Ending::Left(now()));
    book.subscribed(&user("ana"), &topic("p"), None, HEARS);
    assert!(quiet(&book, 1000).await);
    assert!(book.book.lock().listeners.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_replaced_is_still_one() {
    let book = listened_to().await;
    let (nora, p) = (user("nora"), topic("p"));
    book.subscribed(&nora, &p, Some(LISTENS), LISTENS);
    book.subscribed(&nora, &p, Some(LISTENS), HEARS);
    assert!(book.book.lock().listeners.is_empty(), "it wants to hear of nobody any more");
    book.subscribed(&nora, &p, Some(HEARS), LISTENS);
    book.subscribed(&user("ana"), &p, None, LISTENS);
    assert_eq!(told(book.changes()).await, [("ana".to_owned(), true)]);
    book.unsubscribed(&nora, &p, LISTENS, Ending::Left(now()));
    assert_eq!(told(book.changes()).await, [("nora".to_owned(), false)]);
}
