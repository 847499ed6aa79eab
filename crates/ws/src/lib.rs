//! RFC 6455 over any byte stream: handshake, inbound parser, pre-framed outbound, close.
