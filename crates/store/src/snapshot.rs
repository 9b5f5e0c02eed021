//! A whole copy of a store as it is at one moment, made beside a service that goes on: database and keys, so that another
//! house can go on where this one stops.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::backend::sqlite::open::{DATABASE, KEYS, copier};
use crate::errors::StoreError;

/// The files of a store, by name; all of them are needed, and none of them says anything without the others.
pub const SNAPSHOT_FILES: [&str; 2] = [DATABASE, KEYS];

/// Copies the store in `folder` to the new folder `to` (mode 0700). What is committed while it is made may be missing; what is
/// there is whole. Free pages, in which erased things may lie, are left out.
///
/// # Errors
/// Input/output; [`StoreError::Damaged`] for a folder that holds no store, or one that is there already.
pub fn snapshot(folder: &Path, to: &Path) -> Result<(), StoreError> {
    let io = |_| StoreError::Io;
    let database = folder.join(DATABASE);
    if !database.is_file() {
        return Err(StoreError::Damaged("the folder holds no store"));
    }
    DirBuilder::new().mode(0o700).create(to).map_err(io)?;
    let copy = to.join(DATABASE);
    // Made first and empty, so that nobody else may read it meanwhile.
    let mut private = fs::OpenOptions::new();
    private.write(true).create_new(true).mode(0o600);
    private.open(&copy).map_err(io)?;
    let name = copy.to_str().ok_or(StoreError::Io)?;
    let connection = copier(&database)?;
    connection.execute("VACUUM INTO ?", [name])?;
    drop(connection);
    fs::copy(folder.join(KEYS), to.join(KEYS)).map_err(io)?;
    for file in SNAPSHOT_FILES {
        let path = to.join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(io)?;
        File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(io)?;
    }
    File::open(to)
        .and_then(|folder| folder.sync_all())
        .map_err(io)
}
