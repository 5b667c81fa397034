//! The language of a page: the one that was chosen, else the best of `Accept-Language`.

/// A language of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Chinese,
}

impl Language {
    /// The other one, to switch to.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::English => Self::Chinese,
            Self::Chinese => Self::English,
        }
    }

    /// As cookies and addresses have it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// As HTML has it.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// Its own name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "中文",
        }
    }

    pub(crate) fn of_key(key: &str) -> Option<Self> {
        [Self::English, Self::Chinese].into_iter().find(|language| language.key() == key)
    }

    /// The best of a list such as `zh-CN,zh;q=0.9,en;q=0.8`.
    pub(crate) fn accepted(list: &str) -> Self {
        let mut best = (Self::English, 0.0);
        for part in list.split(',').take(50) {
            let (tag, quality) = part.split_once(';').unwrap_or((part, "q=1"));
            let quality: f32 = quality.trim().strip_prefix("q=").and_then(|q| q.parse().ok()).unwrap_or(0.0);
            let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
            if let Some(language) = Self::of_key(&primary)
                && quality > best.1
            {
                best = (language, quality);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_language_that_there_is_is_taken() {
        for (list, language) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en-US,en;q=0.9,zh-CN;q=0.8", Language::English),
            ("de,zh;q=0.5", Language::Chinese),
            ("en;q=0.1, ZH-tw;q=0.2", Language::Chinese),
            ("de", Language::English),
            ("", Language::English),
            (";;;q=,zh;q=x", Language::English),
        ] {
            assert_eq!(Language::accepted(list), language, "{list}");
        }
        assert_eq!(Language::of_key("zh").unwrap().other(), Language::English);
    }
}
