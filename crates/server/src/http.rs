//! HTTP: everything a server answers besides WebSockets.
