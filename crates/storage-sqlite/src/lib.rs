//! The SQLite store: one writer with group commit, readers beside it, migrations at start.
