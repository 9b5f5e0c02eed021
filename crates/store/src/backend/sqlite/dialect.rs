//! The tables, in SQLite's words. Format 2 (format 1 had no table `handle`; see `migrate`).
//!
//! * Times are UTC microseconds. `t` is minus the start of a resource's time, so that newest comes first; `span` is
//!   its length, NULL for a resource without time (which sorts last and meets no date).
//! * `kind` is a resource type with one exact set of codings; a search for a code is a search in the kinds that carry it.
//! * 16-byte `mac`s are HMACs under the store's own key; person numbers stand in clear only in `patient` and in bodies.

/// Marks the file as Delt's ("Delt" in ASCII).
pub(crate) const APPLICATION: i64 = 0x4465_6c74;

/// Newest format that this program reads and writes.
pub(crate) const FORMAT: i64 = 2;

/// Oldest SQLite that may be used (threats-and-faults section 12).
pub(crate) const OLDEST_SQLITE: i32 = 3_051_003;

/// Settings before the first table is made.
pub(crate) const BEFORE: &str = "PRAGMA page_size = 8192; PRAGMA auto_vacuum = NONE;";

/// Settings of the connection that writes. Secure delete: what is taken out is written over where that costs no other page;
/// a purge rewrites the whole file besides.
/// FULL: a commit returns after the flush of the write-ahead log.
pub(crate) const WRITER: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;
    PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;
    PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA busy_timeout = 5000;
    PRAGMA secure_delete = FAST;";

/// Settings of a connection that reads. Not by memory mapping: a page that cannot be read is then an error of one question and
/// not the end of the process (docs/decisions/0022).
pub(crate) const READER: &str =
    "PRAGMA query_only = ON; PRAGMA cache_size = -4096; PRAGMA mmap_size = 0;
    PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA busy_timeout = 5000;";

/// The index of what resources are taken hold of by.
pub(crate) const HANDLE: &str = "
CREATE TABLE handle(
  key BLOB NOT NULL,               -- keyed hash of type and handle, see store/src/handle.rs
  patient INTEGER NOT NULL,        -- the series in which something has it
  kind INTEGER NOT NULL,
  id BLOB NOT NULL,                -- the resource; x'' where the series is all that is told
  PRIMARY KEY(key, patient, kind, id)
) STRICT, WITHOUT ROWID;
";

/// Tables, but for [`HANDLE`].
pub(crate) const TABLES: &str = "
CREATE TABLE store(
  one INTEGER PRIMARY KEY CHECK (one = 1),
  owner TEXT NOT NULL,
  key_check BLOB NOT NULL,
  updated INTEGER NOT NULL,        -- newest lastUpdated ever given; never goes back
  sequence INTEGER NOT NULL,       -- turns of presence so far
  audited INTEGER NOT NULL         -- audit records so far
) STRICT;

CREATE TABLE patient(
  n INTEGER PRIMARY KEY,
  mac BLOB NOT NULL UNIQUE,
  id BLOB NOT NULL UNIQUE,         -- logical id of the Patient resource
  system TEXT NOT NULL,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE kind(
  n INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE,        -- hash of type, codings, categories
  type TEXT NOT NULL
) STRICT;
CREATE TABLE kind_coding(
  kind INTEGER NOT NULL,
  role INTEGER NOT NULL,           -- 0 code, 1 category
  system TEXT NOT NULL,            -- '' for none
  code TEXT NOT NULL,
  PRIMARY KEY(kind, role, system, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE record(
  patient INTEGER NOT NULL,        -- 0 for what is about nobody
  kind INTEGER NOT NULL,
  t INTEGER NOT NULL,
  id BLOB NOT NULL,
  span INTEGER,
  version INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  status INTEGER NOT NULL,         -- word.n, 0 for none
  body BLOB NOT NULL,
  PRIMARY KEY(patient, kind, t, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE record_id(
  id BLOB PRIMARY KEY,
  patient INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  t INTEGER NOT NULL,
  version INTEGER NOT NULL,
  gone INTEGER NOT NULL,           -- 1 once withdrawn
  digest BLOB NOT NULL             -- first 16 bytes of the content's digest
) STRICT, WITHOUT ROWID;
CREATE TABLE identity(
  mac BLOB PRIMARY KEY,            -- begins with the handle of the first identifier, if there is one
  id BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE history(
  id BLOB NOT NULL,
  version INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  gone INTEGER NOT NULL,           -- 1: this version is the withdrawal
  until INTEGER,                   -- when the next version came; NULL for a withdrawal, which counts nowhere
  patient INTEGER NOT NULL,        -- where it lay in record: patient, kind, t, span, status
  kind INTEGER NOT NULL,
  t INTEGER NOT NULL,
  span INTEGER,
  status INTEGER NOT NULL,
  digest BLOB NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY(id, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX history_until ON history(until, patient, kind) WHERE until IS NOT NULL;
CREATE TABLE series(
  patient INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  widest INTEGER NOT NULL,         -- longest span ever in the series: bounds the scan of a date search
  PRIMARY KEY(patient, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE presence(
  patient INTEGER NOT NULL,
  service INTEGER NOT NULL,
  present INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  PRIMARY KEY(patient, service)
) STRICT, WITHOUT ROWID;
CREATE TABLE word(
  n INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE dictionary(
  n INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL,           -- 0: the audit trail
  made INTEGER NOT NULL,
  bytes BLOB NOT NULL
) STRICT;

CREATE TABLE ledger(
  ledger TEXT NOT NULL,
  key BLOB NOT NULL,
  version INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY(ledger, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE replay(
  hash BLOB PRIMARY KEY,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE parcel(
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  topic TEXT NOT NULL,
  key TEXT NOT NULL,
  made INTEGER NOT NULL,
  body BLOB                        -- NULL once every receiver has it
) STRICT;
CREATE INDEX parcel_key ON parcel(key);
CREATE TABLE receiver(
  n INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE delivery(
  receiver INTEGER NOT NULL,
  state INTEGER NOT NULL,          -- 0 pending, 1 dead, 2 delivered
  parcel INTEGER NOT NULL,
  part INTEGER NOT NULL,           -- keyed hash of the partition
  attempts INTEGER NOT NULL,
  next INTEGER NOT NULL,           -- not before; 0 for one never tried
  at INTEGER NOT NULL,             -- when it got its state
  reason TEXT,
  PRIMARY KEY(receiver, state, parcel)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_parcel ON delivery(parcel);
CREATE INDEX delivery_wait ON delivery(receiver, part, parcel) WHERE state = 0 AND next > 0;

CREATE TABLE audit(
  seq INTEGER PRIMARY KEY,
  made INTEGER NOT NULL,
  prev BLOB NOT NULL,
  hash BLOB NOT NULL,
  body BLOB NOT NULL
) STRICT;
CREATE TABLE audit_patient(
  mac BLOB NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY(mac, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit_request(
  request BLOB NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY(request, seq)
) STRICT, WITHOUT ROWID;
";
