//! Generates the protobuf types, with serde attributes that give them Go's JSON shape (docs/protocol/json.md), and for each request of
//! `services.proto` its service, method and response.

use prost_build::Config;

include!("json_schema.rs");
include!("methods.rs");

type Descriptor = protox::prost_reflect::MessageDescriptor;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=json_schema.rs");
    println!("cargo:rerun-if-changed=methods.rs");
    let mut files: Vec<_> =
        std::fs::read_dir("proto")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    let mut descriptors = protox::compile(&files, ["proto"])?;
    let pool = protox::prost_reflect::DescriptorPool::from_file_descriptor_set(descriptors.clone())?;

    let mut config = Config::new();
    config.bytes(["."]).btree_map(["."]).include_file("openim.rs").enable_type_names();
    config.service_generator(Box::new(Methods::default()));
    for message in pool.all_messages() {
        if has_go_json(&message) {
            let path = format!(".{}", message.full_name());
            // prost matches nested types by their parent's path too.
            if message.parent_message().is_none() {
                config.type_attribute(
                    &path,
                    "#[derive(serde::Serialize, serde::Deserialize)] #[serde(default)]",
                );
            }
            for field in message.fields() {
                let name = rust_name(field.name());
                config.field_attribute(format!("{path}.{name}"), field_attribute(&field));
            }
        }
    }
    descriptors.file.iter_mut().flat_map(|file| &mut file.message_type).for_each(rename_fields);
    config.compile_fds(descriptors)?;
    let schemas = std::path::Path::new(&std::env::var("OUT_DIR")?).join("schemas.json");
    std::fs::write(schemas, serde_json::to_vec(&json_schemas(&pool))?)?;
    Ok(())
}

/// The name from which prost makes that of the field in Rust, where `userIDs` would become `user_ids`. JSON keeps the name of the contract.
fn rust_name(name: &str) -> String {
    name.replace("IDs", "Ids").replace("URLs", "Urls").replace("iOS", "ios")
}

fn rename_fields(message: &mut protox::prost_reflect::prost_types::DescriptorProto) {
    for field in &mut message.field {
        field.name = field.name.as_deref().map(rust_name);
    }
    message.nested_type.iter_mut().for_each(rename_fields);
}

/// Wrapper messages are bare values in JSON and have hand-written impls; internal messages never become JSON.
fn has_go_json(message: &Descriptor) -> bool {
    !matches!(message.package_name(), "openim.protobuf" | "openim.internal") && !message.is_map_entry()
}

fn field_attribute(field: &protox::prost_reflect::FieldDescriptor) -> String {
    let name = field.name();
    let null = "deserialize_with = \"crate::go_json::null_as_default\"";
    let shape = if field.is_map() {
        format!("{null}, skip_serializing_if = \"std::collections::BTreeMap::is_empty\"")
    } else if field.is_list() {
        format!("{null}, serialize_with = \"crate::go_json::list\"")
    } else if field.kind() == protox::prost_reflect::Kind::Bytes {
        "with = \"crate::go_json::base64_bytes\"".to_owned()
    } else {
        // The reader itself leaves a field as it is where `null` stands.
        return format!("#[serde(rename = \"{name}\")]");
    };
    format!("#[serde(rename = \"{name}\", {shape})]")
}
