//! Profiles as others see them: only the user himself and administrators see how he can be reached.

use serde_json::{Value, json};
use store::{accounts::Attribute, millis};

/// Who looks at a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Viewer<'a> {
    /// The user himself, or an administrator.
    Trusted,
    /// Somebody else, who may have found him by a number or address that he knows.
    Other {
        /// What he looked for.
        knows: &'a str,
    },
}

/// `UserFullInfo`.
pub(crate) fn full(profile: &Attribute, viewer: Viewer<'_>) -> Value {
    let shown = |value: &str| match viewer {
        Viewer::Trusted => value.to_owned(),
        Viewer::Other { knows } if !value.is_empty() && knows == value => value.to_owned(),
        Viewer::Other { .. } => String::new(),
    };
    let phone = shown(&profile.phone_number);
    let area = if phone.is_empty() { String::new() } else { profile.area_code.clone() };
    let trusted = viewer == Viewer::Trusted;
    json!({
        "userID": profile.user_id, "password": "", "account": shown(&profile.account), "phoneNumber": phone, "areaCode": area,
        "email": shown(&profile.email), "nickname": profile.nickname, "faceURL": profile.face_url, "gender": profile.gender,
        "level": profile.level, "birth": if trusted { millis(profile.birth_time) } else { 0 },
        "allowAddFriend": profile.allow_add_friend, "allowBeep": profile.allow_beep, "allowVibration": profile.allow_vibration,
        "globalRecvMsgOpt": if trusted { profile.global_recv_msg_opt } else { 0 }, "registerType": profile.register_type,
    })
}

/// `UserPublicInfo`.
pub(crate) fn public(profile: &Attribute, viewer: Viewer<'_>) -> Value {
    let full = full(profile, viewer);
    let mut public = json!({});
    for field in ["userID", "account", "email", "nickname", "faceURL", "gender", "level"] {
        public[field] = full[field].clone();
    }
    public
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_to_reach_somebody_is_for_himself_and_for_those_who_know() {
        let row = bson::doc! { "user_id": "7", "area_code": "+86", "phone_number": "138", "email": "a@b.org", "nickname": "Ann" };
        let ann: Attribute = bson::deserialize_from_document(row).unwrap();
        let own = full(&ann, Viewer::Trusted);
        assert_eq!((own["phoneNumber"].as_str(), own["email"].as_str()), (Some("138"), Some("a@b.org")));
        let stranger = full(&ann, Viewer::Other { knows: "" });
        assert_eq!((stranger["phoneNumber"].as_str(), stranger["areaCode"].as_str()), (Some(""), Some("")));
        assert_eq!((stranger["email"].as_str(), stranger["nickname"].as_str()), (Some(""), Some("Ann")));
        let knows = full(&ann, Viewer::Other { knows: "138" });
        assert_eq!((knows["phoneNumber"].as_str(), knows["email"].as_str()), (Some("138"), Some("")));
        assert_eq!(public(&ann, Viewer::Other { knows: "" })["email"], "");
        assert_eq!(own["password"], "");
    }
}
