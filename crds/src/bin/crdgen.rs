//! Prints the CustomResourceDefinition; `make generate` writes it to crds/openimclusters.yaml.

fn main() {
    print!("{}", crds::definition_yaml());
}
