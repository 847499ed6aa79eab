//! What every connection, route and task of one server shares.
