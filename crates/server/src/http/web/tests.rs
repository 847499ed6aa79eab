use std::fs;

use tempfile::TempDir;

use crate::config::Settings;
use crate::http::tests::World;

const PAGE: &[(&str, &str)] = &[("accept", "text/html,application/xhtml+xml")];

async fn world(built: bool) -> (World, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    if built {
        fs::create_dir(folder.path().join("assets")).expect("made");
        fs::write(folder.path().join("index.html"), "<!doctype html>the app").expect("written");
        fs::write(folder.path().join("assets/app-1a2b.js"), "start()").expect("written");
        fs::write(folder.path().join(".hidden"), "hidden").expect("written");
    }
    let mut settings = Settings::default();
    settings.server.web_dir = Some(folder.path().to_owned());
    (World::with(settings).await, folder)
}

#[tokio::test]
async fn the_app_is_served_and_its_hashed_files_are_kept() {
    let (world, _folder) = world(true).await;
    let index = world.get("/", None).await;
    assert_eq!((index.status, index.body.as_str()), (200, "<!doctype html>the app"));
    assert_eq!(index.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(index.header("cache-control"), "no-cache");
    let script = world.get("/assets/app-1a2b.js", None).await;
    assert_eq!((script.status, script.body.as_str()), (200, "start()"));
    assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(script.header("cache-control"), "public, max-age=31536000, immutable");
}

#[tokio::test]
async fn what_the_browser_holds_is_not_sent_again() {
    let (world, folder) = world(true).await;
    let etag = world.get("/", None).await.header("etag").to_owned();
    for held in [etag.clone(), format!("\"other\", W/{etag}")] {
        let reply = world.get_with("/", &[("if-none-match", &held)]).await;
        assert_eq!((reply.status, reply.body.as_str(), reply.header("etag")), (304, "", etag.as_str()));
    }
    fs::write(folder.path().join("index.html"), "changed").expect("written");
    assert_eq!(world.get_with("/", &[("if-none-match", &etag)]).await.body, "changed");
}

#[tokio::test]
async fn a_page_of_the_app_is_its_index_and_a_missing_file_is_missing() {
    let (world, _folder) = world(true).await;
    assert_eq!(world.get_with("/patients/ada", PAGE).await.body, "<!doctype html>the app");
    for (path, headers) in [("/patients/ada", &[][..]), ("/missing.js", PAGE), ("/v1/missing", PAGE)] {
        assert_eq!(world.get_with(path, headers).await.code(), "not_found", "{path}");
    }
}

#[tokio::test]
async fn nothing_outside_the_folder_and_nothing_hidden_is_served() {
    let (world, folder) = world(true).await;
    let outside = folder.path().with_extension("outside");
    fs::write(&outside, "outside").expect("written");
    let name = outside.file_name().expect("named").to_str().expect("UTF-8").to_owned();
    for path in [
        "/.hidden".to_owned(),
        format!("/../{name}"),
        format!("/assets/../../{name}"),
        format!("/%2e%2e/{name}"),
    ] {
        assert_eq!(world.get(&path, None).await.code(), "not_found", "{path}");
    }
    fs::remove_file(outside).expect("removed");
}

#[tokio::test]
async fn without_the_app_the_page_says_how_to_build_it() {
    let (world, _folder) = world(false).await;
    let reply = world.get_with("/", PAGE).await;
    assert_eq!((reply.status, reply.header("content-type")), (404, "text/html; charset=utf-8"));
    assert!(reply.body.contains("make run") && reply.body.contains("npm ci &amp;&amp; npm run build"));
}
