//! What storage must do, an in-memory store, and the conformance suite every store passes.
