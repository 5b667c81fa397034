//! Prints `config/config.schema.json`; `make generate` runs it.

fn main() -> Result<(), serde_json::Error> {
    println!("{}", serde_json::to_string_pretty(&schemars::schema_for!(config::Config))?);
    Ok(())
}
