//! Prints the CustomResourceDefinition, or with `--reference` the document about its fields; `make generate` writes both.

fn main() {
    if std::env::args().nth(1).as_deref() == Some("--reference") {
        print!("{}", crds::reference_markdown());
    } else {
        print!("{}", crds::definition_yaml());
    }
}
