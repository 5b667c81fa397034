//! Offline push: which vendors, and their credentials.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Offline push.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Push {
    /// A YAML file with the same keys, to keep credentials separate; empty: none.
    pub file: String,
    /// `fcm`, `apns`, `webPush`, `jpush`, `getui`; empty: offline users are not notified. With `apns`, Apple devices use it; otherwise FCM.
    /// With `webPush`, browsers use their own push services; otherwise FCM.
    pub enable: Vec<PushVendor>,
    /// Firebase Cloud Messaging.
    pub fcm: FcmPush,
    /// Apple Push Notification service.
    pub apns: ApnsPush,
    /// Browsers, through their own push services.
    pub web_push: WebPush,
    /// JPush.
    pub jpush: JpushPush,
    /// Getui.
    pub getui: GetuiPush,
    /// Sound on Apple devices, unless the message names one.
    pub ios_push_sound: String,
    /// Count messages on the app icon of Apple devices, unless the message says otherwise.
    pub ios_badge_count: bool,
}

impl Default for Push {
    fn default() -> Self {
        Self {
            file: String::new(),
            enable: vec![],
            fcm: FcmPush::default(),
            apns: ApnsPush::default(),
            web_push: WebPush::default(),
            jpush: JpushPush::default(),
            getui: GetuiPush::default(),
            ios_push_sound: "default".into(),
            ios_badge_count: true,
        }
    }
}

/// A vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum PushVendor {
    Fcm,
    Apns,
    WebPush,
    Jpush,
    Getui,
}

/// Firebase Cloud Messaging, HTTP v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FcmPush {
    /// The JSON key of a service account.
    pub service_account_file: String,
    /// Base URL of FCM.
    #[serde(rename = "baseURL")]
    pub base_url: String,
}

impl Default for FcmPush {
    fn default() -> Self {
        Self { service_account_file: String::new(), base_url: "https://fcm.googleapis.com".into() }
    }
}

/// Apple Push Notification service, by token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApnsPush {
    /// The `.p8` key.
    pub key_file: String,
    /// Its id.
    #[serde(rename = "keyID")]
    pub key_id: String,
    /// The team it belongs to.
    #[serde(rename = "teamID")]
    pub team_id: String,
    /// The app's bundle id.
    pub topic: String,
    /// Use Apple's production service, not the sandbox. Also applies to JPush.
    pub production: bool,
    /// Base URL; empty: Apple's.
    #[serde(rename = "baseURL")]
    pub base_url: String,
}

impl Default for ApnsPush {
    fn default() -> Self {
        Self {
            key_file: String::new(),
            key_id: String::new(),
            team_id: String::new(),
            topic: String::new(),
            production: true,
            base_url: String::new(),
        }
    }
}

/// Web Push with VAPID. A client's token is its subscription, as `PushSubscription.toJSON()` gives it, stored by
/// `/third/fcm_update_token` with platformID 5.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WebPush {
    /// The VAPID private key: 32 bytes as URL-safe base64, as every generator of VAPID keys prints it.
    pub private_key: String,
    /// `mailto:` or `https:` address where push services reach you.
    pub subject: String,
    /// Hosts of push services that can be called, including subdomains.
    pub hosts: Vec<String>,
}

impl Default for WebPush {
    fn default() -> Self {
        let hosts = [
            "fcm.googleapis.com",
            "updates.push.services.mozilla.com",
            "web.push.apple.com",
            "notify.windows.com",
        ];
        Self { private_key: String::new(), subject: String::new(), hosts: hosts.map(String::from).to_vec() }
    }
}

/// JPush.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct JpushPush {
    pub app_key: String,
    pub master_secret: String,
    #[serde(rename = "pushURL")]
    pub push_url: String,
    pub push_intent: String,
}

impl Default for JpushPush {
    fn default() -> Self {
        Self {
            app_key: String::new(),
            master_secret: String::new(),
            push_url: "https://api.jpush.cn/v3/push".into(),
            push_intent: String::new(),
        }
    }
}

/// Getui, version 2.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct GetuiPush {
    /// With the app id: `https://restapi.getui.com/v2/<appId>`.
    pub push_url: String,
    pub app_key: String,
    pub master_secret: String,
    pub intent: String,
    #[serde(rename = "channelID")]
    pub channel_id: String,
    pub channel_name: String,
}
