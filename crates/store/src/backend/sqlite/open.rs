//! Opening: the right file, the right owner, the right format, one writer, or a clear refusal.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{dialect, migrate};
use crate::errors::StoreError;
use crate::keys::Keys;

/// Name of the database in a store's folder; `keys` and `lock` lie beside it.
pub(crate) const DATABASE: &str = "store.db";
/// Name of the file with its keys.
pub(crate) const KEYS: &str = "keys";

/// A store's folder, locked for this process, with its keys and its writing connection.
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) keys: Keys,
    pub(crate) writer: Connection,
    /// Held as long as the store is open; another process that tries gets [`StoreError::InUse`].
    pub(crate) lock: File,
}

/// Opens or makes the store in `folder` for `owner`.
pub(crate) fn open(folder: &Path, owner: &str) -> Result<Opened, StoreError> {
    if rusqlite::version_number() < dialect::OLDEST_SQLITE {
        return Err(StoreError::OldSqlite);
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|_| StoreError::Io)?;
    let lock = lock(&folder.join("lock"))?;
    let path = folder.join(DATABASE);
    let fresh = fs::metadata(&path).map_or(true, |about| about.len() == 0);
    let keys = Keys::open(&folder.join(KEYS), fresh)?;
    private_file(&path)?;
    let writer = Connection::open_with_flags(
        &path,
        flags(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE),
    )?;
    stable(&writer)?;
    writer.set_prepared_statement_cache_capacity(96);
    let application: i64 = writer.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let format: i64 = writer.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 =
        writer.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, format, tables) {
        (0, 0, 0) => make(&writer, owner, &keys)?,
        (dialect::APPLICATION, dialect::FORMAT, _) => writer.execute_batch(dialect::WRITER)?,
        (dialect::APPLICATION, 1, _) => {
            writer.execute_batch(dialect::WRITER)?;
            // Nothing is written to another's store.
            check(&writer, owner, &keys)?;
            migrate::from_1(&writer, &keys)?;
        }
        (dialect::APPLICATION, found, _) if found > dialect::FORMAT => {
            return Err(StoreError::NewerFormat {
                found,
                known: dialect::FORMAT,
            });
        }
        _ => return Err(StoreError::Damaged("the file is not a store of Delt")),
    }
    check(&writer, owner, &keys)?;
    if fresh
        && let Some(parent) = folder
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
    {
        // So that the folder's own name survives a power cut; not every file system allows it.
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
    }
    Ok(Opened {
        path,
        keys,
        writer,
        lock,
    })
}

/// Another connection to an open store, for reading only.
pub(crate) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    stable(&connection)?;
    connection.execute_batch(dialect::READER)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A connection that copies a store while another process writes to it.
pub(crate) fn copier(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    connection.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA trusted_schema = OFF;")?;
    Ok(connection)
}

/// Plans do not depend on bound values: without this, SQLite (built with STAT4) compiles a statement anew each time a value
/// in its WHERE clause is bound, and our plans are written to be good for every value.
fn stable(connection: &Connection) -> Result<(), StoreError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Each connection stays with one thread, so SQLite's own mutexes are not needed.
fn flags(kind: OpenFlags) -> OpenFlags {
    kind | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|_| StoreError::Io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(fs::TryLockError::Error(_)) => Err(StoreError::Io),
    }
}

/// SQLite gives its side files the mode of the database, so the database is made private first.
fn private_file(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|_| StoreError::Io)
}

fn make(writer: &Connection, owner: &str, keys: &Keys) -> Result<(), StoreError> {
    writer.execute_batch(dialect::BEFORE)?;
    writer.execute_batch(dialect::WRITER)?;
    writer.execute_batch("BEGIN IMMEDIATE")?;
    writer.execute_batch(dialect::TABLES)?;
    writer.execute_batch(dialect::HANDLE)?;
    writer.execute(
        "INSERT INTO store(one, owner, key_check, updated, sequence, audited) VALUES (1, ?, ?, 0, 0, 0)",
        params![owner, key_check(keys, owner)],
    )?;
    writer.pragma_update(None, "application_id", dialect::APPLICATION)?;
    writer.pragma_update(None, "user_version", dialect::FORMAT)?;
    writer.execute_batch("COMMIT")?;
    Ok(())
}

fn check(writer: &Connection, owner: &str, keys: &Keys) -> Result<(), StoreError> {
    let mode: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let flush: i64 = writer.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") || flush != 2 {
        return Err(StoreError::Damaged(
            "the file system does not give write-ahead logging with full flush",
        ));
    }
    let row = writer
        .query_row(
            "SELECT owner, key_check FROM store WHERE one = 1",
            [],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)),
        )
        .optional()?;
    let (held, check) = row.ok_or(StoreError::Damaged("the store's first row is missing"))?;
    if held != owner {
        return Err(StoreError::OtherOwner);
    }
    if check != key_check(keys, owner) {
        return Err(StoreError::Keys("belongs to another store"));
    }
    Ok(())
}

fn key_check(keys: &Keys, owner: &str) -> [u8; 16] {
    keys.mac("delt key check", &[owner.as_bytes()])
}
