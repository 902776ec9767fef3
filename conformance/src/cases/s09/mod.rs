//! Section 9: publishing and what comes back (`publish`), and confirms (`confirms`).

pub(super) mod confirms;
pub(super) mod publish;
