//! What reading and framing cost: `cargo run --release -p healthmate-ws --example throughput`
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement reads the clock and says what it found"
)]

use std::hint::black_box;
use std::time::Instant;

use healthmate_ws::fuzzing::client_frame;
use healthmate_ws::{Frame, Inbound, Limits, Violation};

fn main() -> Result<(), Violation> {
    for length in [100, 200, 1_000, 60_000] {
        let text = "x".repeat(length);
        let message = client_frame(0x81, [1, 2, 3, 4], text.as_bytes());
        let count = (64 * 1024 / message.len()).max(1);
        let received = message.repeat(count);
        let whole = read(&received, received.len(), count)?;
        // Segments of a usual network: most messages arrive in two pieces.
        let cut = read(&received, 1_448, count)?;
        let framed = time(1, 100_000_000 / (length + 1_000), || {
            black_box(Frame::text(black_box(&text)));
        });
        println!(
            "{length:>6} bytes: read whole {whole:>6.0} ns, read in segments {cut:>6.0} ns, framed {framed:>6.0} ns"
        );
    }
    Ok(())
}

/// Nanoseconds a message, received in reads of `read_bytes`; the copy into the scratch buffer stands for the socket.
fn read(received: &[u8], read_bytes: usize, messages: usize) -> Result<f64, Violation> {
    let mut scratch = vec![0; read_bytes];
    let mut inbound = Inbound::new(Limits::default());
    let mut result = Ok(());
    let nanos = time(messages, 3_000, || {
        for bytes in received.chunks(read_bytes) {
            let scratch = &mut scratch[..bytes.len()];
            scratch.copy_from_slice(bytes);
            let mut events = inbound.feed(scratch);
            while let Some(event) = events.next().unwrap_or_else(|violation| {
                result = Err(violation);
                None
            }) {
                black_box(&event);
            }
        }
    });
    result.map(|()| nanos)
}

/// Nanoseconds for one of `items` that a call of `work` does.
fn time(items: usize, calls: usize, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed().as_secs_f64() * 1e9 / (calls * items) as f64
}
