//! The line of a key in a file, for useful error messages.

use saphyr::{LoadableYamlNode, MarkedYaml, YamlData};

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counts from 1.
    pub(crate) line: usize,
    /// How many parts of the key were found, from the first on.
    pub(crate) depth: usize,
}

/// Where the deepest part of `path` that the text has stands; `None` when it has not even the first.
pub(crate) fn find<'a>(text: &str, path: impl IntoIterator<Item = &'a str>) -> Option<Place> {
    let documents = MarkedYaml::load_from_str(text).ok()?;
    let mut node = documents.first()?;
    let mut place = None;
    for (depth, part) in (1..).zip(path) {
        match &node.data {
            YamlData::Mapping(map) => {
                let Some((key, value)) = map.iter().find(|(key, _)| key.data.as_str() == Some(part)) else {
                    break;
                };
                place = Some(Place { line: key.span.start.line(), depth });
                node = value;
            }
            YamlData::Sequence(list) => {
                let Some(value) = part.parse::<usize>().ok().and_then(|index| list.get(index)) else { break };
                place = Some(Place { line: value.span.start.line(), depth });
                node = value;
            }
            _ => break,
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_where_they_stand() {
        let text = "secret: x\nmongo:\n  uri: y\n  # a note\n  database: z\nkafka: {address: [a,\n  b]}\n";
        for (path, line, depth) in [
            (vec!["secret"], 1, 1),
            (vec!["mongo", "database"], 5, 2),
            (vec!["mongo", "missing"], 2, 1),
            (vec!["kafka", "address", "1"], 7, 3),
        ] {
            assert_eq!(find(text, path.iter().copied()), Some(Place { line, depth }), "{path:?}");
        }
        assert_eq!(find(text, ["nothing"]), None);
        assert_eq!(find("a: [", ["a"]), None);
    }
}
