//! Users and their permissions: added, changed, deleted (semantics section 16). Checking them is the port's.

use crate::model::administration::{
    AdministrationError, Applied, Password, PermissionSpec, TopicPermissionSpec, UserLimits, UserSpec,
    of_new_broker,
};
use crate::model::event::SessionEvent;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::Name;

use super::{applied, check_expression, check_name, known_vhost};
use crate::catalog::access::{Permissions, TopicPermissions};
use crate::catalog::events::{Fields, text, texts};
use crate::catalog::password::{MOST_PASSWORD, PasswordHash};
use crate::catalog::pattern::Pattern;
use crate::catalog::records::{self, Record};
use crate::catalog::view::{User, ViewState};
use crate::catalog::{Catalog, CatalogEffects};

impl Catalog {
    /// The vhost `/` and the user guest, as a new broker has them.
    pub(in crate::catalog) fn first_start(&mut self, state: &mut ViewState, fx: &mut CatalogEffects) {
        for change in of_new_broker() {
            let made = self.apply(state, change, Ok(Pattern::Nothing), fx);
            debug_assert!(made.is_ok(), "names and expressions are sound: {made:?}");
        }
    }

    pub(in crate::catalog) fn put_user(
        &mut self,
        state: &mut ViewState,
        name: Name,
        user: UserSpec,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        check_name("user", &name)?;
        let UserSpec { password, tags, loopback_only } = user;
        let password = match password {
            Password::Plain(password) if password.len() > MOST_PASSWORD => {
                return Err(AdministrationError::Invalid(format!(
                    "a password is {} bytes long; at most {MOST_PASSWORD} are allowed",
                    password.len()
                )));
            }
            Password::Plain(password) => PasswordHash::new(self.salt(&name), &password),
            Password::Hash(bytes) => PasswordHash::checked(bytes)?,
        };
        let record = Record::User {
            name: name.clone(),
            password: password.as_bytes().to_vec(),
            tags: tags.clone(),
            loopback_only,
        };
        fx.ops.push(record.put());
        let before = state.user(&name).map(|user| user.limits);
        let limits = before.unwrap_or_default();
        let key = if before.is_some() { "user.password.changed" } else { "user.created" };
        fx.event(state, key, || vec![("name", text(&*name))]);
        if before.is_some() || !tags.is_empty() {
            fx.event(state, "user.tags.set", || {
                vec![("name", text(&*name)), ("tags", texts(tags.iter().map(|tag| &**tag)))]
            });
        }
        state.put_user(User { name, password, tags, loopback_only, limits });
        Ok(applied(before.is_some()))
    }

    /// Its permissions go with it, and so do its connections.
    pub(in crate::catalog) fn delete_user(
        &mut self,
        state: &mut ViewState,
        name: &Name,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        let user = state.remove_user(name).ok_or_else(|| AdministrationError::NoUser(name.clone()))?;
        for vhost in state.vhosts_mut() {
            if vhost.permissions.remove(name).is_some() {
                fx.ops.push(records::delete_permissions(&vhost.name, name));
            }
            let topics = vhost.topic_permissions.remove(name).unwrap_or_default();
            let removed =
                topics.keys().map(|exchange| records::delete_topic_permissions(&vhost.name, name, exchange));
            fx.ops.extend(removed);
        }
        if user.limits != UserLimits::default() {
            fx.ops.push(records::delete_user_limits(name));
        }
        fx.ops.push(records::delete_user(name));
        fx.event(state, "user.deleted", || vec![("name", text(&**name))]);
        let fault = Fault::new(ReplyCode::ConnectionForced, format!("user '{name}' is deleted"));
        let closed = self.clients.of_user(name).into_iter();
        fx.to_connections.extend(closed.map(|connection| (connection, SessionEvent::Close(fault.clone()))));
        Ok(Applied::Changed)
    }

    pub(in crate::catalog) fn put_permissions(
        state: &mut ViewState,
        vhost: &Name,
        user: &Name,
        spec: &PermissionSpec,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        check_user(state, user)?;
        [&spec.configure, &spec.write, &spec.read]
            .into_iter()
            .try_for_each(|expression| check_expression(expression))?;
        let vhost = known_vhost(state, vhost)?;
        let record = Record::Permissions {
            vhost: vhost.name.clone(),
            user: user.clone(),
            configure: spec.configure.clone(),
            write: spec.write.clone(),
            read: spec.read.clone(),
        };
        fx.ops.push(record.put());
        let before = vhost.permissions.insert(user.clone(), Permissions::new(spec).into());
        let of_vhost = vhost.name.clone();
        fx.event(state, "permission.created", || {
            let mut fields = described(&of_vhost, user);
            let more = [("configure", &spec.configure), ("write", &spec.write), ("read", &spec.read)];
            fields.extend(more.map(|(name, value)| (name, text(&**value))));
            fields
        });
        Ok(applied(before.is_some()))
    }

    pub(in crate::catalog) fn clear_permissions(
        state: &mut ViewState,
        vhost: &Name,
        user: &Name,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        check_user(state, user)?;
        let vhost = known_vhost(state, vhost)?;
        vhost.permissions.remove(user).ok_or_else(|| no_permissions(&vhost.name, user))?;
        fx.ops.push(records::delete_permissions(&vhost.name, user));
        let of_vhost = vhost.name.clone();
        fx.event(state, "permission.deleted", || described(&of_vhost, user));
        Ok(Applied::Changed)
    }

    pub(in crate::catalog) fn put_topic_permissions(
        state: &mut ViewState,
        vhost: &Name,
        user: &Name,
        exchange: &Name,
        spec: &TopicPermissionSpec,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        check_user(state, user)?;
        check_expression(&spec.write)?;
        check_expression(&spec.read)?;
        let vhost = known_vhost(state, vhost)?;
        if vhost.exchanges.get(exchange).is_none() {
            let (vhost, exchange) = (vhost.name.clone(), exchange.clone());
            return Err(AdministrationError::NoExchange { vhost, exchange });
        }
        let record = Record::TopicPermissions {
            vhost: vhost.name.clone(),
            user: user.clone(),
            exchange: exchange.clone(),
            write: spec.write.clone(),
            read: spec.read.clone(),
        };
        fx.ops.push(record.put());
        let permissions = TopicPermissions::new(spec, user, &vhost.name);
        let of_user = vhost.topic_permissions.entry(user.clone()).or_default();
        let before = of_user.insert(exchange.clone(), permissions);
        let of_vhost = vhost.name.clone();
        fx.event(state, "topic.permission.created", || {
            let mut fields = described(&of_vhost, user);
            let more = [("exchange", exchange), ("write", &spec.write), ("read", &spec.read)];
            fields.extend(more.map(|(name, value)| (name, text(&**value))));
            fields
        });
        Ok(applied(before.is_some()))
    }

    pub(in crate::catalog) fn clear_topic_permissions(
        state: &mut ViewState,
        vhost: &Name,
        user: &Name,
        exchange: Option<&str>,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        check_user(state, user)?;
        let vhost = known_vhost(state, vhost)?;
        let missing = || no_permissions(&vhost.name, user);
        let of_user = vhost.topic_permissions.get_mut(user).ok_or_else(missing)?;
        let cleared: Vec<Name> =
            of_user.keys().filter(|name| exchange.is_none_or(|only| *only == ***name)).cloned().collect();
        if cleared.is_empty() {
            return Err(missing());
        }
        for exchange in cleared {
            of_user.remove(&exchange);
            fx.ops.push(records::delete_topic_permissions(&vhost.name, user, &exchange));
        }
        if of_user.is_empty() {
            vhost.topic_permissions.remove(user);
        }
        let of_vhost = vhost.name.clone();
        fx.event(state, "topic.permission.deleted", || described(&of_vhost, user));
        Ok(Applied::Changed)
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

/// Permissions of a user on a vhost, as events name them.
pub(in crate::catalog) fn described(vhost: &Name, user: &Name) -> Fields {
    vec![("user", text(&**user)), ("vhost", text(&**vhost))]
}

fn check_user(state: &ViewState, user: &Name) -> Result<(), AdministrationError> {
    match state.user(user) {
        Some(_) => Ok(()),
        None => Err(AdministrationError::NoUser(user.clone())),
    }
}

fn no_permissions(vhost: &Name, user: &Name) -> AdministrationError {
    AdministrationError::NoPermissions { vhost: vhost.clone(), user: user.clone() }
}
