//! Vhosts, users and permissions: added and changed (semantics.md section 16). Checking them is the port's.

use crate::model::ids::Name;

use super::records::Record;
use super::{Catalog, CatalogEffects};
use crate::broker::access::Permissions;
use crate::broker::command::{PermissionSpec, UserSpec};
use crate::broker::login::PasswordHash;
use crate::broker::view::{User, ViewState};

impl Catalog {
    /// The vhost `/` and the user guest, as a new broker has them.
    pub(super) fn first_start(&mut self, state: &mut ViewState, fx: &mut CatalogEffects) {
        let (vhost, guest): (Name, Name) = ("/".into(), "guest".into());
        self.add_vhost(state, &vhost, fx);
        let user =
            UserSpec { password: "guest".into(), tags: vec!["administrator".into()], loopback_only: true };
        self.put_user(state, guest.clone(), user, fx);
        let all = PermissionSpec { configure: ".*".into(), write: ".*".into(), read: ".*".into() };
        self.put_permissions(state, &vhost, guest, &all, fx);
    }

    pub(super) fn add_vhost(&mut self, state: &mut ViewState, name: &Name, fx: &mut CatalogEffects) -> bool {
        if state.vhost(name).is_some() {
            return false;
        }
        fx.ops.push(Record::Vhost { name: name.clone() }.put());
        self.restore_vhost(state, name);
        true
    }

    pub(super) fn restore_vhost(&mut self, state: &mut ViewState, name: &Name) {
        state.add_vhost(name.clone());
        self.predeclare(state, name);
    }

    pub(super) fn put_user(
        &mut self,
        state: &mut ViewState,
        name: Name,
        user: UserSpec,
        fx: &mut CatalogEffects,
    ) -> bool {
        let UserSpec { password, tags, loopback_only } = user;
        let password = PasswordHash::new(self.salt(&name), &password);
        let record = Record::User {
            name: name.clone(),
            password: password.as_bytes().to_vec(),
            tags: tags.clone(),
            loopback_only,
        };
        fx.ops.push(record.put());
        state.put_user(User { name, password, tags, loopback_only });
        true
    }

    /// Sets permissions; nothing happens where the vhost does not exist.
    pub(super) fn put_permissions(
        &mut self,
        state: &mut ViewState,
        vhost: &Name,
        user: Name,
        spec: &PermissionSpec,
        fx: &mut CatalogEffects,
    ) -> bool {
        if state.vhost(vhost).is_none() {
            return false;
        }
        let record = Record::Permissions {
            vhost: vhost.clone(),
            user: user.clone(),
            configure: spec.configure.clone(),
            write: spec.write.clone(),
            read: spec.read.clone(),
        };
        fx.ops.push(record.put());
        state.put_permissions(vhost, user, Permissions::new(spec));
        true
    }

    /// A salt of its own for every user and broker.
    fn salt(&self, user: &str) -> [u8; 4] {
        use sha2::{Digest, Sha256};
        let digest = Sha256::new()
            .chain_update(b"salt")
            .chain_update(self.seed.to_be_bytes())
            .chain_update(user)
            .finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }
}
