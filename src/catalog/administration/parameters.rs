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

/// Whether a global parameter may be set while there are so many.
pub(in crate::catalog) fn check_parameter(
    name: &str,
    value: Option<&str>,
    is_new: bool,
    there: usize,
) -> Result<(), AdministrationError> {
    check_name("parameter", name)?;
    match value {
        Some(value) if value.len() > LONGEST => {
            let length = value.len();
            Err(AdministrationError::Invalid(format!(
                "global parameter '{name}' is {length} bytes long; at most {LONGEST} are allowed"
            )))
        }
        Some(_) if is_new && there >= MOST => {
            Err(AdministrationError::Invalid(format!("there are {MOST} global parameters already")))
        }
        _ => Ok(()),
    }
}

impl Catalog {
    pub(in crate::catalog) fn set_global_parameter(
        state: &mut ViewState,
        name: Name,
        value: Option<String>,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        let was_there = state.global_parameter(&name).is_some();
        check_parameter(&name, value.as_deref(), !was_there, state.global_parameters().count())?;
        let op = match &value {
            Some(value) => Record::GlobalParameter { name: name.clone(), value: value.clone() }.put(),
            None => records::delete_global_parameter(&name),
        };
        fx.ops.push(op);
        state.set_global_parameter(name, value);
        Ok(applied(was_there))
    }
}
