//! Writes the CustomResourceDefinitions into a directory, or with `--reference` prints the document about their fields; `make generate`
//! does both.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let to = std::env::args().nth(1).unwrap_or_else(|| "crds".into());
    if to == "--reference" {
        print!("{}", crds::reference_markdown());
        return Ok(());
    }
    crds::files().into_iter().try_for_each(|(name, text)| std::fs::write(Path::new(&to).join(name), text))
}
