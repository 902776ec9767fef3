//! Global parameters: named JSON texts that the broker keeps for others. What is in them means nothing here.

use super::{applied, check_name};
use crate::catalog::records::{self, Record};
use crate::catalog::view::ViewState;
use crate::catalog::{Catalog, CatalogEffects};
use crate::model::administration::{AdministrationError, Applied};
use crate::model::ids::Name;

/// How many there may be, and bytes of one: a body of the management API is no larger.
const MOST: usize = 1000;
const LONGEST: usize = 1 << 20;

impl Catalog {
    pub(in crate::catalog) fn set_global_parameter(
        state: &mut ViewState,
        name: Name,
        value: Option<String>,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        check_name("parameter", &name)?;
        let was_there = state.global_parameter(&name).is_some();
        let op = match &value {
            Some(value) if value.len() > LONGEST => {
                let why = format!(
                    "global parameter '{name}' is {} bytes long; at most {LONGEST} are allowed",
                    value.len()
                );
                return Err(AdministrationError::Invalid(why));
            }
            Some(_) if !was_there && state.global_parameters().count() >= MOST => {
                let why = format!("there are {MOST} global parameters already");
                return Err(AdministrationError::Invalid(why));
            }
            Some(value) => Record::GlobalParameter { name: name.clone(), value: value.clone() }.put(),
            None => records::delete_global_parameter(&name),
        };
        fx.ops.push(op);
        state.set_global_parameter(name, value);
        Ok(applied(was_there))
    }
}
