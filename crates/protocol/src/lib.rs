//! What goes over the wire: commands, events, replies and codes, and their JSON.
