//! What can go wrong at the boundary of the store.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use super::damage::DamageReport;

/// Why a commit or a read failed. Whatever the error, the outcome of the commit is unknown and the store takes
/// nothing more: it has to be opened again.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    #[error("no space left on the device of the data directory")]
    NoSpace,
    #[error("input or output failed: {0}")]
    Io(Arc<io::Error>),
    #[error("the data directory was changed from outside while it was in use: {0}")]
    Displaced(String),
    #[error("the database is damaged: {0}")]
    Damaged(String),
    #[error("a message of {0} bytes is too large to be stored")]
    MessageTooLarge(u64),
    #[error("an earlier operation of the store failed ({0}); the store has to be opened again")]
    Latched(Arc<StoreError>),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::NoSpace
            }
            _ => StoreError::Io(Arc::new(error)),
        }
    }
}

/// Why a data directory could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("the data directory is in use by another process")]
    Locked,
    #[error(
        "the data directory has format {found}, newer than format {known}, the newest this version reads"
    )]
    NewerFormat { found: u64, known: u64 },
    #[error("the data directory cannot be written: {0}")]
    NotWritable(io::Error),
    #[error("{0}")]
    NoDirectory(io::Error),
    #[error("{file} is damaged: {why}")]
    Damaged { file: String, why: String },
    #[error("{0}; to go on without what is lost, start once with --accept-loss")]
    Lost(DamageReport),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                OpenError::NotWritable(error)
            }
            io::ErrorKind::NotADirectory => OpenError::NoDirectory(error),
            _ => OpenError::Store(error.into()),
        }
    }
}
