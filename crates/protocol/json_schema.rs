// Included by build.rs: JSON Schemas of the messages, in the shape that `go_json` gives them.

use protox::prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

/// All schemas by the message's full name.
fn json_schemas(pool: &DescriptorPool) -> Value {
    let messages = pool.all_messages().filter(has_go_json);
    messages.map(|message| (message.full_name().to_owned(), schema(&message))).collect::<Map<_, _>>().into()
}

fn schema(message: &MessageDescriptor) -> Value {
    let properties: Map<String, Value> =
        message.fields().map(|field| (field.name().to_owned(), field_schema(&field))).collect();
    json!({ "type": "object", "properties": properties })
}

fn field_schema(field: &FieldDescriptor) -> Value {
    if field.is_map()
        && let Some(entry) = field.kind().as_message()
    {
        let values = kind_schema(&entry.map_entry_value_field().kind());
        return json!({ "type": ["object", "null"], "additionalProperties": values });
    }
    let one = kind_schema(&field.kind());
    if field.is_list() {
        json!({ "type": ["array", "null"], "items": one })
    } else if field.kind().as_message().is_some() || field.supports_presence() {
        json!({ "anyOf": [one, { "type": "null" }] })
    } else {
        one
    }
}

fn integer(minimum: i64, maximum: u64) -> Value {
    json!({ "type": "integer", "minimum": minimum, "maximum": maximum })
}

fn kind_schema(kind: &Kind) -> Value {
    match kind {
        Kind::Double | Kind::Float => json!({ "type": "number" }),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Enum(_) => {
            integer(i32::MIN.into(), i32::MAX as u64)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(i64::MIN, i64::MAX as u64),
        Kind::Uint32 | Kind::Fixed32 => integer(0, u32::MAX.into()),
        Kind::Uint64 | Kind::Fixed64 => integer(0, u64::MAX),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::String => json!({ "type": "string" }),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64",
            "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$" }),
        // A wrapper is its bare value.
        Kind::Message(message) if message.package_name() == "openim.protobuf" => {
            message.get_field_by_name("value").map_or(json!({}), |value| kind_schema(&value.kind()))
        }
        Kind::Message(message) => {
            json!({ "$ref": format!("#/components/schemas/{}", message.full_name()) })
        }
    }
}
