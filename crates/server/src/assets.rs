//! The files of the web app: inside the binary, or from a folder.

use std::borrow::Cow;
use std::path::PathBuf;

use axum::body::Bytes;
use sha2::{Digest, Sha256};

/// The page that stands for the app.
pub(crate) const INDEX: &str = "index.html";

/// The built app. A debug build reads the folder when it is asked; a release build holds the files.
#[derive(rust_embed::Embed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Embedded;

/// Where the app's files come from.
#[derive(Debug)]
pub(crate) enum Assets {
    /// The binary.
    Embedded,
    /// This folder, read anew each time.
    Folder(PathBuf),
}

/// One file of the app.
pub(crate) struct Asset {
    /// What is in it.
    pub(crate) content: Bytes,
    /// Its `Content-Type`.
    pub(crate) content_type: &'static str,
    /// A name for exactly this content.
    pub(crate) etag: String,
}

impl Assets {
    /// The files of `folder`, or of the binary if none is named.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        folder.map_or(Self::Embedded, Self::Folder)
    }

    /// The file at `path`, which has no `/` at its start.
    pub(crate) async fn get(&self, path: &str) -> Option<Asset> {
        if !is_inside(path) {
            return None;
        }
        let content = match self {
            Self::Embedded => match Embedded::get(path)?.data {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => Bytes::from(bytes),
            },
            Self::Folder(folder) => {
                let file = folder.join(path);
                let read = tokio::task::spawn_blocking(move || std::fs::read(file)).await;
                Bytes::from(read.ok()?.ok()?)
            }
        };
        let etag = format!("\"{}\"", hex(&Sha256::digest(&content)[..16]));
        Some(Asset { content, content_type: content_type(path), etag })
    }
}

/// Whether a path stays inside the folder and names nothing hidden.
fn is_inside(path: &str) -> bool {
    path.split('/')
        .all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0', ':']))
}

/// The types of the files that a built app is made of.
fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        for path in
            ["", "/", "..", "../a", "a/../b", "a//b", "/etc/passwd", ".git/config", "a/.env", "a\\b", "c:a"]
        {
            assert!(!is_inside(path), "{path}");
        }
        assert!(is_inside("index.html") && is_inside("assets/app-1a2b.js"));
    }
}
