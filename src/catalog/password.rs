//! Passwords, as they are kept and compared (semantics 1.14, 16.7). Who may log in with one is `login`'s.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

use crate::model::administration::{AdministrationError, HashingAlgorithm, PASSWORD_SALT};

/// A salted SHA-256 of a password (or another hash that an administrator gave), as RabbitMQ keeps it: four bytes of
/// salt, then the hash of salt and password. Its length tells which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PasswordHash(Vec<u8>);

const SALT: usize = PASSWORD_SALT;

impl PasswordHash {
    /// The hash of a password. An empty password gives a hash that no password fits (semantics 1.14).
    pub(crate) fn new(salt: [u8; SALT], password: &str) -> PasswordHash {
        if password.is_empty() {
            return PasswordHash(Vec::new());
        }
        let mut bytes = salt.to_vec();
        bytes.extend_from_slice(&digest(&salt, password.as_bytes()));
        PasswordHash(bytes)
    }

    /// A hash that an administrator gives.
    pub(crate) fn checked(bytes: Vec<u8>) -> Result<PasswordHash, AdministrationError> {
        if bytes.is_empty() || HashingAlgorithm::of(&bytes).is_some() {
            return Ok(PasswordHash(bytes));
        }
        Err(AdministrationError::Invalid(format!(
            "a password hash has {} bytes (salt and SHA-256), {} (salt and SHA-512) or {} (salt and MD5), not {}",
            HashingAlgorithm::Sha256.length(),
            HashingAlgorithm::Sha512.length(),
            HashingAlgorithm::Md5.length(),
            bytes.len()
        )))
    }

    /// A hash that was kept.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> PasswordHash {
        PasswordHash(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// More bytes than any password has. What is longer is no password, and costs nothing to say so.
pub(crate) const MOST_PASSWORD: usize = 4096;

/// What a password is compared with where there is no hash.
const NOBODYS: [u8; SALT + 32] = [0; SALT + 32];

/// Whether a password is that of a hash. Takes the same time wherever the difference is, and where there is no hash: how
/// long it took must not tell who exists.
pub(crate) fn fits(hash: Option<&PasswordHash>, password: &[u8]) -> bool {
    let known = hash.map(PasswordHash::as_bytes).filter(|hash| HashingAlgorithm::of(hash).is_some());
    let compared = known.unwrap_or(&NOBODYS);
    let Some((salt, hash)) = compared.split_first_chunk::<SALT>().filter(|_| password.len() <= MOST_PASSWORD)
    else {
        return false;
    };
    let wanted = match HashingAlgorithm::of(compared) {
        Some(HashingAlgorithm::Sha512) => {
            Sha512::new().chain_update(salt).chain_update(password).finalize().to_vec()
        }
        Some(HashingAlgorithm::Md5) => {
            Md5::new().chain_update(salt).chain_update(password).finalize().to_vec()
        }
        Some(HashingAlgorithm::Sha256) | None => digest(salt, password).to_vec(),
    };
    let difference = wanted.iter().zip(hash).fold(0, |all, (a, b)| all | (a ^ b));
    known.is_some() && !password.is_empty() && hash.len() == wanted.len() && difference == 0
}

fn digest(salt: &[u8; SALT], password: &[u8]) -> [u8; 32] {
    #[cfg(test)]
    tests::DIGESTED.set(tests::DIGESTED.get() + password.len());
    Sha256::new().chain_update(salt).chain_update(password).finalize().into()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Bytes of passwords that went into SHA-256.
        pub(crate) static DIGESTED: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn a_hash_fits_its_password_and_an_empty_one_fits_none() {
        let hash = PasswordHash::new([1, 2, 3, 4], "secret");
        assert_eq!(hash.as_bytes().len(), 36);
        assert!(fits(Some(&hash), b"secret"));
        assert!(!fits(Some(&hash), b"Secret") && !fits(Some(&hash), b""));
        assert!(!fits(Some(&PasswordHash::new([1, 2, 3, 4], "")), b""));
        assert!(!fits(Some(&PasswordHash::from_bytes(vec![1, 2, 3, 4])), b"x"));
    }

    #[test]
    fn a_given_hash_is_of_a_known_kind_and_nothing_else() {
        let salt = [9, 8, 7, 6];
        let long = Sha512::new().chain_update(salt).chain_update(b"secret").finalize().to_vec();
        let old = Md5::new().chain_update(salt).chain_update(b"secret").finalize().to_vec();
        for digest in [long, old] {
            let hash = PasswordHash::checked([&salt[..], &digest].concat()).unwrap();
            assert!(fits(Some(&hash), b"secret") && !fits(Some(&hash), b"other"));
        }
        let refused = PasswordHash::checked(vec![0; 21]).unwrap_err().to_string();
        assert!(
            refused
                .ends_with("36 bytes (salt and SHA-256), 68 (salt and SHA-512) or 20 (salt and MD5), not 21")
        );
        assert!(!fits(Some(&PasswordHash::checked(Vec::new()).unwrap()), b""));
    }
}
