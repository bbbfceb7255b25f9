// The tables of the spool.
#pragma once

namespace fleet::device {

inline constexpr int kSpoolSchemaVersion = 1;
inline constexpr int kSpoolApplicationId = 0x466c7370;  // "Flsp": tells our files from those of other programs

// Of a new file. Small pages, for each change of a page is written whole: an event costs 3 of them. The space of
// removed rows is used again, so the file stays near the bound of its payloads and needs no more disk when that is
// full.
inline constexpr char kSpoolPageSize[] =
    "PRAGMA journal_mode=DELETE; PRAGMA page_size=1024; VACUUM; PRAGMA journal_mode=WAL";
// A log of 1 MiB.
inline constexpr char kSpoolPragmas[] = "PRAGMA wal_autocheckpoint=1024";

inline constexpr char kSpoolSchema[] = R"sql(
CREATE TABLE batch (       -- what the server does not have yet, in the order of making
  row INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  records INTEGER NOT NULL,
  made_unix_ms INTEGER NOT NULL,
  payload BLOB NOT NULL
);
CREATE TABLE account (     -- epochs that are not settled
  epoch INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  made INTEGER NOT NULL,
  PRIMARY KEY (epoch, stream)
) WITHOUT ROWID;
CREATE TABLE dropped (     -- ranges of numbers that were given up
  epoch INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  PRIMARY KEY (epoch, stream, first_seq)
) WITHOUT ROWID;
CREATE TABLE command (     -- what was taken, and how far it came
  id INTEGER PRIMARY KEY,
  expires_ms INTEGER NOT NULL,
  entity INTEGER NOT NULL,
  is_barrier INTEGER NOT NULL,
  is_cancel INTEGER NOT NULL,
  state INTEGER NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL
);
CREATE TABLE meta (        -- forgotten_up_to, memory_began_ms
  key TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;
)sql";

}  // namespace fleet::device
