//! Conversations as one of their users sees them: a list, and messages by seq. Whoever looks at messages is in the audit log.

use std::ops::RangeInclusive;

use maud::{Markup, html};
use protocol::{
    Error, Result,
    content_type::{self as kind, status},
    sdkws::MsgData,
};
use serde_json::Value;

use crate::{
    audit,
    fields::{Fields, link},
    formatting::{said, time},
    http::{Done, Visit},
    page,
    texts::Text,
    users::to_user,
};

/// Conversations in a page.
const CHATS: i32 = 50;
/// Last page of conversations that is shown.
const LAST_PAGE: i32 = 200;
/// Messages in a page.
const MESSAGES: i64 = 50;
const REVOKED: i32 = 2101;

pub(crate) async fn list(visit: Visit) -> Result<Markup> {
    let user = visit.query().required("user")?;
    let number = visit.page_number(LAST_PAGE);
    let found = visit.app().im.conversations(&visit.context, &user, number, CHATS).await?;
    audit::listed(&visit, &user);
    let rows: Vec<Vec<Markup>> = found
        .conversations
        .iter()
        .map(|chat| {
            let with = if chat.group_id.is_empty() { &chat.user_id } else { &chat.group_id };
            let to = link("/chat", &[("user", &user), ("conversation", &chat.conversation_id)]);
            vec![html! { a href=(to) { (said(&chat.conversation_id)) } }, said(with)]
        })
        .collect();
    let columns = [Text::Conversation, Text::With].map(|text| visit.text(text));
    let at = |number: i32| link("/chats", &[("user", &user), ("page", &number.to_string())]);
    let (first, next) =
        ((number > 1).then(|| at(1)), page::following(number, CHATS, LAST_PAGE, found.total).map(at));
    let body = html! {
        p { (visit.text(Text::SeenBy)) ": " a href=(to_user(&user)) { (said(&user)) } }
        @if rows.is_empty() {
            p { (visit.text(Text::NothingFound)) }
        } @else {
            (page::table(visit.text(Text::Conversations), &columns, &rows))
        }
        (page::pages(&visit, first.as_deref(), next.as_deref()))
    };
    Ok(page::shown(&visit, visit.text(Text::Conversations), &body))
}

/// The seqs of a page that ends at one, or at the newest.
fn range(newest: i64, until: Option<i64>) -> RangeInclusive<i64> {
    let last = until.unwrap_or(newest).clamp(0, newest);
    (last - MESSAGES + 1).max(1)..=last
}

pub(crate) async fn one(visit: Visit) -> Result<Markup> {
    let (user, conversation) = (visit.query().required("user")?, visit.query().required("conversation")?);
    let im = &visit.app().im;
    let newest = im.newest_seq(&visit.context, &user, &conversation).await?;
    let range = range(newest, visit.query().number("until"));
    let (first, last) = (*range.start(), *range.end());
    let messages = match last {
        0 => vec![],
        _ => im.messages(&visit.context, &user, &conversation, range).await?,
    };
    // One message or placeholder for each seq that was read: of large ones fewer than asked for, and the older page goes on from there.
    let first = messages.first().map_or(first, |message| message.seq.max(first));
    audit::viewed(&visit, &user, &conversation, first, last);
    let wanted = visit.query().trimmed("text").to_lowercase();
    let rows: Vec<Vec<Markup>> = messages
        .iter()
        .filter(|message| message.status != status::DELETED)
        .filter(|message| wanted.is_empty() || text_of(message).to_lowercase().contains(&wanted))
        .map(|message| row(&visit, &user, &conversation, message))
        .collect();
    let columns =
        [Text::Seq, Text::Time, Text::Sender, Text::Message, Text::Action].map(|text| visit.text(text));
    let at = |until: i64| {
        link("/chat", &[("user", &user), ("conversation", &conversation), ("until", &until.to_string())])
    };
    let body = html! {
        p { (visit.text(Text::SeenBy)) ": " a href=(to_user(&user)) { (said(&user)) } }
        (search(&visit, &user, &conversation))
        @if rows.is_empty() {
            p { (visit.text(Text::NothingFound)) }
        } @else {
            (page::table(visit.text(Text::Messages), &columns, &rows))
        }
        nav.pages aria-label=(visit.text(Text::Pages)) {
            @if first > 1 { a href=(at(first - 1)) { (visit.text(Text::Older)) } }
            @if last < newest { a href=(at((last + MESSAGES).min(newest))) { (visit.text(Text::Newer)) } }
        }
    };
    Ok(page::shown(&visit, &conversation, &body))
}

fn search(visit: &Visit, user: &str, conversation: &str) -> Markup {
    html! {
        form.search method="get" action="/chat" role="search" {
            input type="hidden" name="user" value=(user);
            input type="hidden" name="conversation" value=(conversation);
            @if let Some(until) = visit.query().number("until") { input type="hidden" name="until" value=(until); }
            label for="search" { (visit.text(Text::FindInThese)) }
            input #search type="search" name="text" value=(visit.query().get("text")) maxlength="200" autocomplete="off";
            button { (visit.text(Text::Search)) }
        }
    }
}

/// What a person reads of a message; of other kinds than texts their content as it is.
fn text_of(message: &MsgData) -> String {
    let content = String::from_utf8_lossy(&message.content);
    let field = match message.content_type {
        kind::TEXT | kind::MARKDOWN => "content",
        kind::AT_TEXT | kind::QUOTE => "text",
        _ => return content.into_owned(),
    };
    let value = serde_json::from_str::<Value>(&content).ok();
    let text = value.as_ref().and_then(|value| value.get(field)).and_then(Value::as_str);
    text.map_or_else(|| content.into_owned(), str::to_owned)
}

fn kind_of(visit: &Visit, message: &MsgData) -> Markup {
    let text = match message.content_type {
        kind::TEXT | kind::MARKDOWN | kind::AT_TEXT | kind::QUOTE => return html! {},
        102 => Text::KindPicture,
        103 => Text::KindSound,
        104 => Text::KindVideo,
        105 => Text::KindFile,
        REVOKED => Text::KindRevoked,
        other => return html! { span.kind { (visit.text(Text::KindOther)) " " (other) } " " },
    };
    html! { span.kind { (visit.text(text)) } " " }
}

fn row(visit: &Visit, user: &str, conversation: &str, message: &MsgData) -> Vec<Markup> {
    let seq = message.seq.to_string();
    let hidden = [("user", user), ("conversation", conversation), ("seq", seq.as_str())];
    vec![
        html! { (message.seq) },
        time(message.send_time),
        html! { a href=(to_user(&message.send_id)) { (said(&message.send_id)) } " " (said(&message.sender_nickname)) },
        html! { (kind_of(visit, message)) span.text { (said(&text_of(message))) } },
        html! {
            @if kind::is_notification(message.content_type) {
                "–"
            } @else {
                (page::action(visit, "/chat/revoke", Text::Revoke, &hidden, &html! {}))
            }
        },
    ]
}

pub(crate) async fn revoke(visit: Visit, form: Fields) -> Result<Done> {
    let (user, conversation) = (form.required("user")?, form.required("conversation")?);
    let seq = form.number("seq").ok_or_else(|| Error::args("seq must be a number"))?;
    visit.app().im.revoke(&visit.context, &conversation, seq).await?;
    let to = link("/chat", &[("user", &user), ("conversation", &conversation)]);
    Ok(Done { to, notice: Text::DoneRevoked })
}

#[cfg(test)]
mod tests {
    use protocol::sdkws::PullMessageBySeqsReq;

    use super::*;
    use crate::testing::World;

    #[test]
    fn a_page_ends_where_it_is_asked_to() {
        assert_eq!(range(120, None), 71..=120);
        assert_eq!(range(120, Some(70)), 21..=70);
        assert_eq!(range(120, Some(20)), 1..=20);
        assert!(range(120, Some(-5)).is_empty());
        assert_eq!(range(120, Some(i64::MAX)), 71..=120);
        assert!(range(0, None).is_empty());
    }

    #[tokio::test]
    async fn large_messages_hide_none_before_them() {
        let world = World::new().await;
        for seq in 1..=41 {
            world.im.write("si_ann_ben", seq, if seq == 41 { "the threat" } else { "hi" });
        }
        let large = "x".repeat(500 << 10);
        for seq in 42..=50 {
            world.im.write("si_ann_ben", seq, &large);
        }
        let admin = world.signed_in("imAdmin").await;
        let page = admin.page("/chat?user=ann&conversation=si_ann_ben").await;
        assert!(!page.contains("the threat") && page.contains("until=42"));
        assert!(admin.page("/chat?user=ann&conversation=si_ann_ben&until=42").await.contains("the threat"));
    }

    #[tokio::test]
    async fn messages_are_read_by_seq_searched_and_revoked() {
        let world = World::new().await;
        for seq in 1..=120 {
            world.im.write("si_ann_ben", seq, &format!("hello {seq} <i>"));
        }
        let admin = world.signed_in("imAdmin").await;
        let page = admin.page("/chats?user=ann").await;
        assert!(page.contains("/chat?user=ann&amp;conversation=si_ann_ben"), "{page}");
        let page = admin.page("/chat?user=ann&conversation=si_ann_ben").await;
        assert!(page.contains("hello 71 &lt;i&gt;") && page.contains("hello 120 "), "{page}");
        assert!(!page.contains("hello 70 ") && page.contains("until=70"), "{page}");
        let older = admin.page("/chat?user=ann&conversation=si_ann_ben&until=20").await;
        assert!(
            older.contains("hello 1 ") && older.contains("until=70") && !older.contains("until=0"),
            "{older}"
        );
        let found = admin.page("/chat?user=ann&conversation=si_ann_ben&text=HELLO+99").await;
        assert!(found.contains("hello 99 ") && !found.contains("hello 98 "), "{found}");

        let fields = [("user", "ann"), ("conversation", "si_ann_ben"), ("seq", "99")];
        let refused = admin.post("/chat/revoke", &fields).await;
        assert_eq!(refused.status(), 400, "a reason is required");
        let reason = [&fields[..], &[("reason", "insult")]].concat();
        admin.done("/chat/revoke", &reason).await;
        assert_eq!(world.im.revoked(), [("si_ann_ben".to_owned(), 99, "imAdmin".to_owned())]);
    }

    #[tokio::test]
    async fn who_may_only_look_sees_no_messages() {
        let world = World::new().await;
        world.im.write("si_ann_ben", 1, "a secret");
        let reader = world.signed_in("reader").await;
        for path in ["/chats?user=ann", "/chat?user=ann&conversation=si_ann_ben"] {
            let refused = reader.get(path).await;
            assert_eq!(refused.status(), 403, "{path}");
        }
        assert_eq!(world.im.calls::<PullMessageBySeqsReq>(), 0);
    }

    #[test]
    fn a_text_is_found_in_what_apps_send() {
        let message = |content_type: i32, content: &'static str| MsgData {
            content_type,
            content: content.into(),
            ..Default::default()
        };
        for (message, text) in [
            (message(101, r#"{"content":"hi"}"#), "hi"),
            (message(106, r#"{"text":"@ann hi","atUserList":["ann"]}"#), "@ann hi"),
            (message(101, "not json"), "not json"),
            (message(102, r#"{"sourcePicture":1}"#), r#"{"sourcePicture":1}"#),
        ] {
            assert_eq!(text_of(&message), text);
        }
    }
}
