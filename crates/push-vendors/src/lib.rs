//! Push through vendors. A vendor gets devices and a notification, and reports which devices no longer exist and which it could
//! not serve now.

mod apns;
mod fcm;
mod getui;
mod jpush;
#[cfg(test)]
mod testing;
mod webpush;

use std::time::Duration;

use async_trait::async_trait;
use config::{Push, PushVendor};
use futures::StreamExt;

/// Requests to a vendor in flight at a time.
const AT_A_TIME: usize = 50;
const DEADLINE: Duration = Duration::from_secs(10);

/// A phone, or with vendors that know users by their ids, a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Whose it is.
    pub user: String,
    /// Platform number (contract).
    pub platform: i32,
    /// The vendor's token; empty where users are known by their ids.
    pub token: String,
    /// Number on the app's icon, when it is to be shown.
    pub badge: Option<i32>,
}

/// What is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// First line.
    pub title: String,
    /// Text.
    pub body: String,
    /// Data for the app.
    pub ex: String,
    /// Sound on Apple devices.
    pub sound: String,
    /// Identifies this message: 32 hexadecimal digits. A repeated notification with it replaces the first, where the vendor
    /// can do that.
    pub key: String,
}

/// What became of the devices; those not named here were served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Their tokens are not valid any more.
    pub gone: Vec<Device>,
    /// The vendor could not take them now; trying again may help.
    pub retry: Vec<Device>,
    /// The vendor refused them; trying again does not help.
    pub refused: Vec<Device>,
}

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    Yes,
    Gone,
    Retry,
    Refused,
}

impl Outcome {
    /// Asks for each device by itself, many at a time.
    pub(crate) async fn of_each<F: Future<Output = Served> + Send>(
        devices: &[Device],
        push_one: impl Fn(Device) -> F,
    ) -> Self {
        let requests = devices.iter().map(|device| {
            let sent = push_one(device.clone());
            let device = device.clone();
            async move { (device, sent.await) }
        });
        let requests: Vec<_> = requests.collect();
        let mut outcome = Self::default();
        let mut sent = futures::stream::iter(requests).buffer_unordered(AT_A_TIME);
        while let Some((device, served)) = sent.next().await {
            outcome.add(served, &device);
        }
        outcome
    }

    pub(crate) fn add(&mut self, served: Served, device: &Device) {
        match served {
            Served::Yes => {}
            Served::Gone => self.gone.push(device.clone()),
            Served::Retry => self.retry.push(device.clone()),
            Served::Refused => self.refused.push(device.clone()),
        }
    }
}

/// A vendor's credentials cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("push.{vendor}: {problem}")]
pub struct VendorError {
    vendor: &'static str,
    problem: String,
}

/// A vendor of push notifications.
#[async_trait]
pub trait Vendor: Send + Sync {
    /// Its name in logs.
    fn name(&self) -> &'static str;

    /// Whether it serves a platform by device tokens; `None`: by user ids, every platform.
    fn tokens_of(&self, platform: i32) -> Option<bool>;

    /// Shows a note on devices.
    async fn push(&self, devices: &[Device], note: &Note) -> Outcome;
}

/// The vendors of the configuration.
///
/// # Errors
/// When credentials are malformed.
pub fn vendors(config: &Push) -> Result<Vec<Box<dyn Vendor>>, VendorError> {
    // Who is served by a vendor of its own is left out by FCM.
    let apple = !config.enable.contains(&PushVendor::Apns);
    let web = !config.enable.contains(&PushVendor::WebPush);
    let mut vendors: Vec<Box<dyn Vendor>> = Vec::new();
    for vendor in &config.enable {
        vendors.push(match vendor {
            PushVendor::Fcm => Box::new(fcm::Fcm::new(&config.fcm, apple, web)?),
            PushVendor::Apns => Box::new(apns::Apns::new(&config.apns)?),
            PushVendor::Jpush => Box::new(jpush::Jpush::new(&config.jpush, config.apns.production)?),
            PushVendor::WebPush => Box::new(webpush::WebPush::new(&config.web_push)?),
            PushVendor::Getui => Box::new(getui::Getui::new(&config.getui)?),
        });
    }
    Ok(vendors)
}

pub(crate) fn client(vendor: &'static str) -> Result<reqwest::Client, VendorError> {
    let built = reqwest::Client::builder().timeout(DEADLINE).build();
    built.map_err(|error| VendorError { vendor, problem: error.to_string() })
}

/// Whether trying again later may help.
pub(crate) fn is_temporary(status: reqwest::StatusCode) -> bool {
    status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS
}

/// Browsers.
pub(crate) const WEB: i32 = 5;

/// iOS and iPadOS.
pub(crate) fn is_apple(platform: i32) -> bool {
    platform == 1 || platform == 9
}
