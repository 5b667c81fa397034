//! How contents are served. A browser runs pages and scripts with the rights of the site they come from, and uploaders choose the
//! type: only pictures, sounds, videos, plain texts and PDFs are shown inline, everything else is downloaded.

/// The `Content-Disposition` of what must not open in place.
pub(crate) const ATTACHMENT: &str = "attachment";

/// Whether a browser may show contents of this type in place. Nothing is left to its guesses: lists of types and odd characters are
/// not known, and pictures written in XML may hold scripts.
pub(crate) fn opens_in_place(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-".contains(&byte))
    };
    if content_type.contains(',') || content_type.bytes().any(|byte| byte.is_ascii_control()) {
        return false;
    }
    match kind.split_once('/') {
        Some(("image" | "audio" | "video", format)) => is_token(format) && !format.ends_with("xml"),
        Some(("text", "plain") | ("application", "pdf")) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_run_is_saved_instead_of_opened() {
        for shown in [
            "image/png",
            "IMAGE/JPEG",
            "audio/mpeg",
            "video/mp4",
            "text/plain; charset=utf-8",
            "application/pdf",
        ] {
            assert!(opens_in_place(shown), "{shown}");
        }
        for saved in [
            "text/html",
            "Text/HTML; charset=utf-8",
            "image/svg+xml",
            " image/svg+xml ;x",
            "application/xhtml+xml",
            "text/xml",
            "application/javascript",
            "text/css",
            "image/png,text/html",
            "image/png;a=b,text/html",
            "image/png\r\nx: y",
            "image/<script>",
            "image/",
            "application/octet-stream",
            "",
        ] {
            assert!(!opens_in_place(saved), "{saved}");
        }
    }
}
