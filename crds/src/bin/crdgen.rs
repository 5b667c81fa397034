//! Writes the CustomResourceDefinitions into a directory and into the chart beside it, or with `--reference` prints the document about their fields; `make generate`
//! does both.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let to = std::env::args().nth(1).unwrap_or_else(|| "crds".into());
    if to == "--reference" {
        print!("{}", crds::reference_markdown());
        return Ok(());
    }
    // The chart has files of its own: what takes it from a repository may leave links out.
    let chart = Path::new(&to).join("../charts/openim-operator/definitions");
    let folders = [Path::new(&to).to_owned(), chart].into_iter().filter(|folder| folder.is_dir());
    folders
        .flat_map(|folder| crds::files().map(|(name, text)| (folder.join(name), text)))
        .try_for_each(|(path, text)| std::fs::write(path, text))
}
