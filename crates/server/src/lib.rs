//! The only performer: listener, connections, HTTP routes, authentication, configuration, telemetry, lifecycle.
