//! Users with their passwords, and what they may do, as administrators give it. Hashing and the check are the broker's.

use crate::model::ids::Name;

/// A user as an administrator gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSpec {
    pub password: Password,
    pub tags: Vec<Name>,
    /// May log in from loopback addresses only (semantics 1.16).
    pub loopback_only: bool,
}

/// How a user's password is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// Empty: cannot log in by password (semantics 1.14).
    Plain(String),
    /// Salt, and the hash of salt and password (semantics 16.7), or nothing: cannot log in by password.
    Hash(Vec<u8>),
}

/// Bytes of salt before a password's hash.
pub const PASSWORD_SALT: usize = 4;

/// What a password was hashed with (semantics 16.7). MD5 is of times past, and still in old definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashingAlgorithm {
    Md5,
    Sha256,
    Sha512,
}

impl HashingAlgorithm {
    /// The one that made a salted hash, told by its length.
    #[must_use]
    pub fn of(hash: &[u8]) -> Option<HashingAlgorithm> {
        use HashingAlgorithm::{Md5, Sha256, Sha512};
        [Md5, Sha256, Sha512].into_iter().find(|algorithm| algorithm.length() == hash.len())
    }

    /// Reads the word; None where there is none such.
    #[must_use]
    pub fn parse(word: &str) -> Option<HashingAlgorithm> {
        use HashingAlgorithm::{Md5, Sha256, Sha512};
        [Md5, Sha256, Sha512].into_iter().find(|algorithm| algorithm.as_str() == word)
    }

    /// The bytes of a salted hash.
    #[must_use]
    pub fn length(self) -> usize {
        let digest = match self {
            HashingAlgorithm::Md5 => 16,
            HashingAlgorithm::Sha256 => 32,
            HashingAlgorithm::Sha512 => 64,
        };
        PASSWORD_SALT + digest
    }

    /// The word in definitions and listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HashingAlgorithm::Md5 => "rabbit_password_hashing_md5",
            HashingAlgorithm::Sha256 => "rabbit_password_hashing_sha256",
            HashingAlgorithm::Sha512 => "rabbit_password_hashing_sha512",
        }
    }
}

/// Three regular expressions, searched for without anchors (semantics 16.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionSpec {
    pub configure: Name,
    pub write: Name,
    pub read: Name,
}

/// Two regular expressions over routing keys, in which `{username}` and `{vhost}` stand for the user's (semantics
/// 16.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermissionSpec {
    pub write: Name,
    pub read: Name,
}
