//! RFC 6455, the server's side, over any byte stream: handshake, inbound parser, pre-framed outbound, close.
//!
//! Nothing here reads a socket, waits, or keeps time. The caller moves the bytes:
//!
//! - [`Handshake`] decides whether a request may become a WebSocket, and writes the 101; [`OriginPolicy`]
//!   decides whether its browser origin may.
//! - [`Inbound`] turns received bytes into [`Event`]s. It reads a scratch buffer in place and owns memory only
//!   while a frame or a fragmented message is incomplete, so that an idle connection costs 24 bytes.
//! - [`Frame`] is one outbound frame, encoded once, shared by every connection that sends it.
//! - [`CloseCode`] is the number in a Close frame.
//!
//! Extensions are not negotiated, so reserved bits are refused. What RFC 7692 (compression) would touch is the
//! reserved-bit check of the frame header, the message kept by [`Inbound`], and a second body beside [`Frame`]'s.
//!
//! # Example
//!
//! ```
//! use healthmate_ws::{Event, Frame, Inbound, Limits};
//!
//! let mut inbound = Inbound::new(Limits::default());
//! // "Hi", as a client sends it: FIN and text, masked, 2 bytes, key 01 02 03 04.
//! let mut scratch = [0x81, 0x82, 1, 2, 3, 4, b'H' ^ 1, b'i' ^ 2];
//! let mut events = inbound.feed(&mut scratch);
//! while let Some(event) = events.next()? {
//!     if let Event::Text(text) = event {
//!         assert_eq!(text, "Hi");
//!         assert_eq!(Frame::text(text).as_bytes().as_ref(), b"\x81\x02Hi");
//!     }
//! }
//! # Ok::<(), healthmate_ws::Violation>(())
//! ```

mod close;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod inbound;

pub use close::CloseCode;
pub use frame::{Frame, MAX_CLOSE_REASON_BYTES, MAX_CONTROL_BYTES, NotText, TextFrameBuilder};
pub use handshake::{Handshake, InvalidOrigin, MAX_SUBPROTOCOLS, OriginPolicy, Refusal};
pub use inbound::{Event, Events, Inbound, Limits, Violation};
