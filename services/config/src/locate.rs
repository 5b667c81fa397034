//! Where a key stands in a file, for messages that a person can act on.

use saphyr::{LoadableYamlNode, MarkedYaml, YamlData};

/// The line of the deepest part of `path` that the text has; lines count from 1.
pub(crate) fn line_of<'a>(text: &str, path: impl IntoIterator<Item = &'a str>) -> Option<usize> {
    let documents = MarkedYaml::load_from_str(text).ok()?;
    let mut node = documents.first()?;
    let mut line = None;
    for part in path {
        match &node.data {
            YamlData::Mapping(map) => {
                let Some((key, value)) = map.iter().find(|(key, _)| key.data.as_str() == Some(part)) else {
                    break;
                };
                line = Some(key.span.start.line());
                node = value;
            }
            YamlData::Sequence(list) => {
                let Some(value) = part.parse::<usize>().ok().and_then(|index| list.get(index)) else { break };
                line = Some(value.span.start.line());
                node = value;
            }
            _ => break,
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_where_they_stand() {
        let text = "secret: x\nmongo:\n  uri: y\n  # a note\n  database: z\nkafka: {address: [a,\n  b]}\n";
        for (path, line) in [
            (vec!["secret"], Some(1)),
            (vec!["mongo", "database"], Some(5)),
            (vec!["mongo", "missing"], Some(2)),
            (vec!["kafka", "address", "1"], Some(7)),
            (vec!["nothing"], None),
        ] {
            assert_eq!(line_of(text, path.iter().copied()), line, "{path:?}");
        }
        assert_eq!(line_of("a: [", ["a"]), None);
    }
}
