// The layout of schema version 2, as databases in the field have it.
#pragma once

namespace fleet::server {

inline constexpr char kSchemaV2[] = R"sql(
CREATE TABLE meta (
 key TEXT PRIMARY KEY,
 value INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE device (
 device INTEGER PRIMARY KEY,
 id TEXT NOT NULL UNIQUE,
 epoch INTEGER NOT NULL,
 started_unix_ms INTEGER NOT NULL,
 version TEXT NOT NULL,
 state TEXT NOT NULL,
 reason TEXT NOT NULL,
 state_since_unix_ms INTEGER NOT NULL,
 last_seen_unix_ms INTEGER NOT NULL
);
CREATE TABLE entity (
 device INTEGER NOT NULL,
 entity_id INTEGER NOT NULL,
 x_mm INTEGER NOT NULL,
 y_mm INTEGER NOT NULL,
 angle_mdeg INTEGER NOT NULL,
 vx_mm_s INTEGER NOT NULL,
 vy_mm_s INTEGER NOT NULL,
 received_unix_ms INTEGER NOT NULL,
 PRIMARY KEY (device, entity_id)
) WITHOUT ROWID;
CREATE TABLE state_history (
 block INTEGER PRIMARY KEY,
 device INTEGER NOT NULL,
 first_unix_ms INTEGER NOT NULL,
 last_unix_ms INTEGER NOT NULL,
 reports INTEGER NOT NULL,
 samples BLOB NOT NULL
);
CREATE INDEX state_history_of_device ON state_history (device, last_unix_ms);
CREATE TABLE liveness (
 change INTEGER PRIMARY KEY,
 device INTEGER NOT NULL,
 at_unix_ms INTEGER NOT NULL,
 state TEXT NOT NULL,
 reason TEXT NOT NULL
);
CREATE INDEX liveness_of_device ON liveness (device);
CREATE TABLE loss (
 device INTEGER NOT NULL,
 stream TEXT NOT NULL,
 epoch INTEGER NOT NULL,
 highest INTEGER NOT NULL,
 seen INTEGER NOT NULL,
 expected INTEGER NOT NULL,
 stored INTEGER NOT NULL,
 duplicate INTEGER NOT NULL,
 reordered INTEGER NOT NULL,
 PRIMARY KEY (device, stream)
) WITHOUT ROWID;
CREATE TABLE command (
 id INTEGER PRIMARY KEY,
 device INTEGER NOT NULL,
 kind INTEGER NOT NULL,
 body BLOB NOT NULL,
 issued_unix_ms INTEGER NOT NULL,
 ttl_ms INTEGER NOT NULL,
 ended INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX command_open ON command (id) WHERE ended = 0;
CREATE INDEX command_of_device ON command (device, id);
CREATE TABLE command_step (
 command INTEGER NOT NULL,
 number INTEGER NOT NULL,
 state INTEGER NOT NULL,
 reason TEXT NOT NULL,
 detail TEXT NOT NULL,
 at_unix_ms INTEGER NOT NULL,
 since_issue_ms INTEGER NOT NULL,
 PRIMARY KEY (command, number)
) WITHOUT ROWID;
CREATE TABLE event (
 number INTEGER PRIMARY KEY,
 device INTEGER NOT NULL,
 epoch INTEGER NOT NULL,
 seq INTEGER NOT NULL,
 kind INTEGER NOT NULL,
 entity_id INTEGER NOT NULL,
 name TEXT NOT NULL,
 detail TEXT NOT NULL,
 at_unix_ms INTEGER NOT NULL,
 received_unix_ms INTEGER NOT NULL,
 backlog INTEGER NOT NULL
);
CREATE INDEX event_of_device ON event (device, number);
CREATE TABLE telemetry (
 block INTEGER PRIMARY KEY,
 device INTEGER NOT NULL,
 epoch INTEGER NOT NULL,
 first_seq INTEGER NOT NULL,
 samples INTEGER NOT NULL,
 first_unix_ms INTEGER NOT NULL,
 last_unix_ms INTEGER NOT NULL,
 received_unix_ms INTEGER NOT NULL,
 backlog INTEGER NOT NULL,
 batch BLOB NOT NULL
);
CREATE INDEX telemetry_of_device ON telemetry (device, last_unix_ms);
CREATE TABLE stream_account (
 device INTEGER NOT NULL,
 stream INTEGER NOT NULL,
 epoch INTEGER NOT NULL,
 made INTEGER NOT NULL,
 duplicate INTEGER NOT NULL,
 waiting INTEGER NOT NULL,
 reported_unix_ms INTEGER NOT NULL,
 ranges BLOB NOT NULL,
 PRIMARY KEY (device, stream, epoch)
) WITHOUT ROWID;
CREATE TABLE stream_totals (
 device INTEGER NOT NULL,
 stream INTEGER NOT NULL,
 reason INTEGER NOT NULL,
 settled_below INTEGER NOT NULL,
 sent INTEGER NOT NULL,
 stored INTEGER NOT NULL,
 duplicate INTEGER NOT NULL,
 dropped INTEGER NOT NULL,
 PRIMARY KEY (device, stream, reason)
) WITHOUT ROWID;
CREATE TABLE quarantine (
 number INTEGER PRIMARY KEY,
 received_unix_ms INTEGER NOT NULL,
 topic BLOB NOT NULL,
 reason TEXT NOT NULL,
 detail TEXT NOT NULL,
 payload BLOB NOT NULL,
 payload_bytes INTEGER NOT NULL
);
)sql";

}  // namespace fleet::server
