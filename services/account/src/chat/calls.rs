//! `/user/rtc/get_token`: a LiveKit token, only for the caller and for a room that he may enter: one named after a conversation of his, or
//! one with a random name (as the demo apps make it for each call), which two people can enter.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::DateTime;

use crate::{
    App,
    answer::{Answer, Error, Result, data},
    call::Call,
    limits::Limit,
};

/// Validity of a token in seconds.
const LIFETIME: i64 = 3600;
/// People in a call whose room has a random name.
const PAIR: usize = 2;
/// Such a name cannot be guessed; it has at least so many bytes.
const RANDOM: usize = 16;
/// How long a room of two stays theirs.
const ROOM_MS: i64 = 86_400_000;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TokenReq {
    room: String,
    identity: String,
}

#[derive(Serialize)]
struct Claims {
    iss: String,
    sub: String,
    nbf: i64,
    exp: i64,
    video: Video,
}

#[derive(Serialize)]
struct Video {
    #[serde(rename = "roomJoin")]
    room_join: bool,
    room: String,
}

pub(crate) async fn token(app: Arc<App>, call: Call, request: TokenReq) -> Result<Answer> {
    let settings = &app.settings().live_kit;
    if settings.url.is_empty() {
        return Err(Error::unavailable(
            "calls are not configured on this server; an administrator can set accounts.liveKit",
        ));
    }
    let user = call.caller()?.user_id.clone();
    if call.is_admin() || (!request.identity.is_empty() && request.identity != user) {
        return Err(Error::no_permission("identity must be the user of the token"));
    }
    protocol::check::at_most("room", &request.room, protocol::bounds::KEY_BYTES)?;
    app.spend(&[(Limit::CALLS, Some(user.clone()))]).await?;
    app.enter(&call, &request.room, &user).await?;
    let now = app.clock.now_ms() / 1000;
    let claims = Claims {
        iss: settings.key.clone(),
        sub: user,
        nbf: now,
        exp: now + LIFETIME,
        video: Video { room_join: true, room: request.room },
    };
    let key = EncodingKey::from_secret(settings.secret.as_bytes());
    let token =
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(Error::internal)?;
    data(json!({ "serverUrl": settings.url, "token": token }))
}

/// What a room's name says about who may enter.
#[derive(Debug, PartialEq, Eq)]
enum Room<'a> {
    Pair([&'a str; 2]),
    Group(&'a str),
    Random,
}

fn room(name: &str) -> Result<Room<'_>> {
    if let Some((one, other)) = name.strip_prefix("si_").and_then(|pair| pair.split_once('_')) {
        return Ok(Room::Pair([one, other]));
    }
    if let Some(group) = name.strip_prefix("sg_") {
        return Ok(Room::Group(group));
    }
    if name.len() < RANDOM {
        return Err(Error::args(format!(
            "room must be a conversation id (si_… or sg_…) or a random name of at least {RANDOM} bytes"
        )));
    }
    Ok(Room::Random)
}

impl App {
    async fn enter(&self, call: &Call, name: &str, user: &str) -> Result<()> {
        let may = match room(name)? {
            Room::Pair(pair) => pair.contains(&user),
            Room::Group(group) => self.im.is_member(&call.operation_id, group, user).await?,
            Room::Random => {
                let until = DateTime::from_millis(self.clock.now_ms() + ROOM_MS);
                self.accounts.join_call(name, user, PAIR, until).await?
            }
        };
        if may { Ok(()) } else { Err(Error::no_permission("the call is between other users")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn a_call_is_for_the_caller_and_the_two_who_are_in_it() {
        let world = World::with(|config| {
            config.accounts.live_kit.url = "wss://calls.example".into();
            config.accounts.live_kit.key = "key".into();
            config.accounts.live_kit.secret = "a secret of thirty-two characters".into();
        })
        .await;
        let (ann, [a, b, c]) = {
            let (ann, a) = world.register("ann@example.org").await;
            let (_, b) = world.register("ben@example.org").await;
            (ann, [a, b, world.register("eve@example.org").await.1])
        };
        let room = |room: &str, identity: &str| json!({ "room": room, "identity": identity });
        let uuid = "8c6b7c0e-6f0e-4a57-9b0a-5e1a7a3b9f10";
        for (token, request, expected) in [
            (&a, room(uuid, &ann), 0),
            (&b, room(uuid, &ann), 1002),
            (&b, room(uuid, ""), 0),
            (&c, room(uuid, ""), 1002),
            (&a, room(&format!("si_{ann}_x"), ""), 0),
            (&c, room(&format!("si_{ann}_x"), ""), 1002),
            (&c, room("sg_1", ""), 1002),
            (&c, room("lobby", ""), 1001),
        ] {
            let answer = world.chat("/user/rtc/get_token", token, request).await;
            assert_eq!(answer["errCode"], expected, "{answer}");
        }
    }

    #[test]
    fn a_room_is_a_conversation_or_cannot_be_guessed() {
        assert_eq!(room("si_1_2").unwrap(), Room::Pair(["1", "2"]));
        assert_eq!(room("sg_7").unwrap(), Room::Group("7"));
        assert_eq!(room("8c6b7c0e-6f0e-4a57-9b0a-5e1a7a3b9f10").unwrap(), Room::Random);
        assert!(room("").is_err() && room("lobby").is_err());
    }
}
