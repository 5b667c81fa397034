//! The fields of a form or of an address.

use std::collections::BTreeMap;

use url::form_urlencoded;

/// Fields by name; of one that comes twice the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(BTreeMap<String, String>);

impl Fields {
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        let mut fields = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            fields.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(fields)
    }

    /// A field; empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A field without the blanks around it.
    pub(crate) fn trimmed(&self, name: &str) -> &str {
        self.get(name).trim()
    }

    /// A whole number; `None` where there is none.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.trimmed(name).parse().ok()
    }

    /// A field that must not be empty.
    ///
    /// # Errors
    /// `Args` naming the field.
    pub(crate) fn required(&self, name: &str) -> protocol::Result<String> {
        match self.get(name) {
            "" => Err(protocol::Error::args(format!("{name} is required"))),
            value => Ok(value.to_owned()),
        }
    }

    /// All but some, encoded.
    pub(crate) fn without(&self, names: &[&str]) -> String {
        let kept = self.0.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish()
    }
}

/// An address with fields, without those that are empty.
pub(crate) fn link(path: &str, fields: &[(&str, &str)]) -> String {
    let given = fields.iter().filter(|(_, value)| !value.is_empty());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_what_was_typed() {
        let fields = Fields::parse(b"id=a%26b%3D%3Cscript%3E&name=x+y&id=second&n=%207%20");
        assert_eq!((fields.get("id"), fields.get("name"), fields.get("none")), ("a&b=<script>", "x y", ""));
        assert_eq!((fields.number("n"), fields.number("name")), (Some(7), None));
        assert!(fields.required("none").unwrap_err().detail.contains("none"));
        assert_eq!(fields.without(&["id", "n"]), "name=x+y");
        let address = link("/user", &[("id", "a&b=<script>"), ("after", "")]);
        assert_eq!(address, "/user?id=a%26b%3D%3Cscript%3E");
        assert_eq!(link("/", &[]), "/");
    }
}
