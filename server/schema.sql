-- Schema version 3 (PRAGMA user_version). Times are Unix milliseconds by the server's wall clock. Also run to bring an
-- older database up to date: what it has not is made.

CREATE TABLE IF NOT EXISTS meta (
  key   TEXT PRIMARY KEY,              -- server_epoch, first_command, boot, steady_offset_ms
  value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS device (
  device              INTEGER PRIMARY KEY,  -- in the order they were first heard
  id                  TEXT NOT NULL UNIQUE,
  epoch               INTEGER NOT NULL,
  started_unix_ms     INTEGER NOT NULL,
  version             TEXT NOT NULL,
  state               TEXT NOT NULL,        -- unknown, online, stale, offline
  reason              TEXT NOT NULL,
  state_since_unix_ms INTEGER NOT NULL,
  last_seen_unix_ms   INTEGER NOT NULL      -- 0: never
);

-- Latest state of each entity.
CREATE TABLE IF NOT EXISTS entity (
  device           INTEGER NOT NULL,
  entity_id        INTEGER NOT NULL,
  x_mm             INTEGER NOT NULL,
  y_mm             INTEGER NOT NULL,
  angle_mdeg       INTEGER NOT NULL,
  vx_mm_s          INTEGER NOT NULL,
  vy_mm_s          INTEGER NOT NULL,
  received_unix_ms INTEGER NOT NULL,
  PRIMARY KEY (device, entity_id)
) WITHOUT ROWID;

-- Every state report, about a second of one device per row: appending a row is cheap, indexing each report is not.
CREATE TABLE IF NOT EXISTS state_history (
  block         INTEGER PRIMARY KEY,
  device        INTEGER NOT NULL,
  first_unix_ms INTEGER NOT NULL,
  last_unix_ms  INTEGER NOT NULL,
  reports       INTEGER NOT NULL,
  samples       BLOB NOT NULL               -- a StateBlock of storage.proto
);
CREATE INDEX IF NOT EXISTS state_history_of_device ON state_history (device, last_unix_ms);

CREATE TABLE IF NOT EXISTS liveness (
  change     INTEGER PRIMARY KEY,
  device     INTEGER NOT NULL,
  at_unix_ms INTEGER NOT NULL,
  state      TEXT NOT NULL,
  reason     TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS liveness_of_device ON liveness (device);

-- expected = stored + missing for each numbered stream of a device, written in the transaction that stores the data.
CREATE TABLE IF NOT EXISTS loss (
  device    INTEGER NOT NULL,
  stream    TEXT NOT NULL,                  -- heartbeat, state
  epoch     INTEGER NOT NULL,
  highest   INTEGER NOT NULL,
  seen      INTEGER NOT NULL,               -- bit i: highest - i was stored
  expected  INTEGER NOT NULL,
  stored    INTEGER NOT NULL,
  duplicate INTEGER NOT NULL,
  reordered INTEGER NOT NULL,
  PRIMARY KEY (device, stream)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS command (
  id             INTEGER PRIMARY KEY,
  device         INTEGER NOT NULL,
  kind           INTEGER NOT NULL,          -- field number of the body in Command of to_device.proto: 4 segment, 5 cancel,
                                            -- 6 can_send, 7 can_tap, 8 clear_dtcs, 9 modbus
  body           BLOB NOT NULL,             -- that message
  issued_unix_ms INTEGER NOT NULL,          -- on the server's steady clock
  ttl_ms         INTEGER NOT NULL,
  ended          INTEGER NOT NULL DEFAULT 0 -- 1: nothing follows; unknown is no end until it is given up
);
CREATE INDEX IF NOT EXISTS command_open ON command (id) WHERE ended = 0;
CREATE INDEX IF NOT EXISTS command_of_device ON command (device, id);

CREATE TABLE IF NOT EXISTS command_step (
  command        INTEGER NOT NULL,
  number         INTEGER NOT NULL,          -- 0, 1, 2, ... within the command
  state          INTEGER NOT NULL,          -- a CommandState of common.proto
  reason         TEXT NOT NULL,
  detail         TEXT NOT NULL,
  at_unix_ms     INTEGER NOT NULL,
  since_issue_ms INTEGER NOT NULL,
  PRIMARY KEY (command, number)
) WITHOUT ROWID;

-- The durable streams of docs/protocol.md section 9. Each (device, epoch, seq) is here at most once, unless
-- the device lost its disk and counts its epochs anew.
CREATE TABLE IF NOT EXISTS event (
  number           INTEGER PRIMARY KEY,
  device           INTEGER NOT NULL,
  epoch            INTEGER NOT NULL,
  seq              INTEGER NOT NULL,
  kind             INTEGER NOT NULL,        -- an EventKind of to_server.proto
  entity_id        INTEGER NOT NULL,
  name             TEXT NOT NULL,
  detail           TEXT NOT NULL,
  at_unix_ms       INTEGER NOT NULL,        -- by the device's clock
  received_unix_ms INTEGER NOT NULL,
  backlog          INTEGER NOT NULL         -- 1: it waited before it was sent
);
CREATE INDEX IF NOT EXISTS event_of_device ON event (device, number);

-- The names that telemetry refers to, each with its newest value by the device's clock. At most 4096 of a device.
CREATE TABLE IF NOT EXISTS signal (
  number       INTEGER PRIMARY KEY,         -- 1 or more; 0 in a TelemetryBlock: past that bound, its name is not kept
  device       INTEGER NOT NULL,
  name         TEXT NOT NULL,
  last_value   REAL,                        -- NULL: invalid
  last_unix_ms INTEGER NOT NULL,
  UNIQUE (device, name)
);

-- Consecutive samples of one device per row. A block number is never given again: readers go on behind one.
CREATE TABLE IF NOT EXISTS telemetry (
  block            INTEGER PRIMARY KEY AUTOINCREMENT,
  device           INTEGER NOT NULL,
  epoch            INTEGER NOT NULL,
  first_seq        INTEGER NOT NULL,
  samples          INTEGER NOT NULL,
  first_unix_ms    INTEGER NOT NULL,        -- by the device's clock, of the earliest and the latest
  last_unix_ms     INTEGER NOT NULL,
  received_unix_ms INTEGER NOT NULL,
  backlog          INTEGER NOT NULL,
  data             BLOB NOT NULL            -- a TelemetryBlock of storage.proto; its times count from first_unix_ms
);
CREATE INDEX IF NOT EXISTS telemetry_of_device ON telemetry (device, block, first_unix_ms, last_unix_ms);

-- What the newest event of each trouble code says of it, written in the transaction that stores the event. At most 1024
-- of a device: past that the cleared ones are forgotten.
CREATE TABLE IF NOT EXISTS dtc (
  change           INTEGER PRIMARY KEY,     -- a new number with every change: the order in which they came
  device           INTEGER NOT NULL,
  bus              TEXT NOT NULL,
  protocol         TEXT NOT NULL,
  ecu              INTEGER NOT NULL,
  code             TEXT NOT NULL,
  status           TEXT NOT NULL,
  active           INTEGER NOT NULL,        -- 0: cleared; 2: not a code, but the last scan of its controller
  first_unix_ms    INTEGER NOT NULL,        -- by the device's clock; since when it is or was active without a pause
  last_unix_ms     INTEGER NOT NULL,        -- seen last, or cleared
  count            INTEGER NOT NULL,
  epoch            INTEGER NOT NULL,        -- of the event, as are the next three; 0: from before the device lost its disk
  seq              INTEGER NOT NULL,
  at_unix_ms       INTEGER NOT NULL,
  received_unix_ms INTEGER NOT NULL,
  UNIQUE (device, bus, protocol, ecu, code)
);
CREATE INDEX IF NOT EXISTS dtc_cleared ON dtc (received_unix_ms) WHERE active = 0;

-- What became of every number of a stream, by epochs that are not settled; written in the transaction that stores the data.
CREATE TABLE IF NOT EXISTS stream_account (
  device           INTEGER NOT NULL,
  stream           INTEGER NOT NULL,        -- a Stream of common.proto
  epoch            INTEGER NOT NULL,
  made             INTEGER NOT NULL,
  duplicate        INTEGER NOT NULL,
  waiting          INTEGER NOT NULL,        -- as the device reported last
  reported_unix_ms INTEGER NOT NULL,        -- 0: not yet
  ranges           BLOB NOT NULL,           -- a StreamRanges of storage.proto
  PRIMARY KEY (device, stream, epoch)
) WITHOUT ROWID;

-- Settled epochs, summed up. `reason`: a DropReason of common.proto; 0 has the counts of the stream itself.
CREATE TABLE IF NOT EXISTS stream_totals (
  device        INTEGER NOT NULL,
  stream        INTEGER NOT NULL,
  reason        INTEGER NOT NULL,
  settled_below INTEGER NOT NULL,
  sent          INTEGER NOT NULL,           -- 0 unless reason is 0, as are stored and duplicate
  stored        INTEGER NOT NULL,
  duplicate     INTEGER NOT NULL,
  dropped       INTEGER NOT NULL,           -- 0 when reason is 0
  PRIMARY KEY (device, stream, reason)
) WITHOUT ROWID;

-- Messages that could not be understood; the newest 1000.
CREATE TABLE IF NOT EXISTS quarantine (
  number           INTEGER PRIMARY KEY,
  received_unix_ms INTEGER NOT NULL,
  topic            BLOB NOT NULL,
  reason           TEXT NOT NULL,
  detail           TEXT NOT NULL,
  payload          BLOB NOT NULL,           -- the first 4096 bytes
  payload_bytes    INTEGER NOT NULL
);
