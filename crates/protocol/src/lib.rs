//! The OpenIM v3.8 wire contract: protobuf messages and their JSON form, the gob and JSON frame codecs, error codes,
//! content types. Pure: nothing here performs I/O or knows a server.

pub mod bounds;
pub mod check;
pub mod content_type;
pub mod error;
pub mod frame;
pub mod go_json;
pub mod gob;
pub mod lists;
pub mod operation_id;
pub mod request;

mod generated {
    #![allow(clippy::all, rust_2018_idioms)]
    include!(concat!(env!("OUT_DIR"), "/openim.rs"));
}

/// JSON Schemas of the messages by full name, as one JSON object.
pub const JSON_SCHEMAS: &str = include_str!(concat!(env!("OUT_DIR"), "/schemas.json"));

pub use error::{Error, ErrorCode, Result};
pub use generated::openim::{
    auth, conversation, extension, group, internal, jssdk, msg, msggateway, protobuf as wrappers, push,
    relation, sdkws, services, third, user,
};
pub use request::Request;
