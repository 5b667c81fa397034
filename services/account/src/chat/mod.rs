//! The routes for clients.

pub(crate) mod apps;
pub(crate) mod calls;
pub(crate) mod code;
pub(crate) mod login;
pub(crate) mod people;
pub(crate) mod register;
pub(crate) mod secret;
pub(crate) mod update;
