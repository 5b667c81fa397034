//! Why a text was refused.

use std::fmt;

/// Why a text was refused, with the field. Boxed: what succeeds should not carry its size.
#[derive(Debug)]
pub struct ReadError(Box<Reason>);

#[derive(Debug)]
enum Reason {
    /// The one pass cannot tell: the text is to be read by the slower way.
    Again,
    Wrong(String),
}

impl ReadError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(Box::new(Reason::Wrong(text.into())))
    }

    pub(super) fn again() -> Self {
        Self(Box::new(Reason::Again))
    }

    pub(super) fn is_again(&self) -> bool {
        matches!(*self.0, Reason::Again)
    }

    /// Names the field that the value was for.
    pub(super) fn within(self, key: &str) -> Self {
        let Reason::Wrong(text) = *self.0 else { return self };
        // `a: b: why` reads worse than `a.b: why`.
        let nested = text.split_once(": ").is_some_and(|(path, _)| !path.contains(' '));
        Self::new(if nested { format!("{key}.{text}") } else { format!("{key}: {text}") })
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Reason::Again => out.write_str("a key comes twice, or in another case"),
            Reason::Wrong(text) => out.write_str(text),
        }
    }
}

impl std::error::Error for ReadError {}

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(text.to_string())
    }

    fn duplicate_field(_field: &'static str) -> Self {
        Self::again()
    }
}
