//! Whether there is real room on the disk, as far as one can know without writing what is to be kept.

use rusqlite::Connection;

/// How much must fit, in bytes: some hundred measurements with their events.
const ROOM_BYTES: u32 = 256 * 1024;

const FILL: &str = "INSERT INTO room (only_row, filler) VALUES (1, zeroblob(?1))";
const CLEAR: &str = "DELETE FROM room";
const COPY_BACK: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// Fills [`ROOM_BYTES`] and frees them again. Each statement is a transaction: what is freed in the one that filled
/// it never reaches the disk. Fails as any write on a full disk does.
pub(super) fn probe(conn: &Connection) -> rusqlite::Result<()> {
    // A process that was killed between the two may have left it filled.
    conn.execute(CLEAR, [])?;
    conn.execute(FILL, [ROOM_BYTES])?;
    conn.execute(CLEAR, [])?;
    // Without it, the probe would pass in what is left of the journal, and use that up. SQLite keeps it to itself
    // when a commit's own copying finds no room.
    conn.query_row(COPY_BACK, [], |_| Ok(()))
}
