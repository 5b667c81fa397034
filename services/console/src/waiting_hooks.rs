//! *After* hooks that were set aside because their receiver did not accept them (docs/adr/0026): which, and trying them now.

use maud::{Markup, html};
use protocol::{Result, extension::ListedHook};

use crate::{
    fields::{Fields, link},
    formatting::{number, said, time},
    http::{Done, Visit},
    page,
    roles::Role,
    texts::Text,
    users::ROWS,
};

const PATH: &str = "/webhooks/set-aside";

pub(crate) async fn list(visit: Visit) -> Result<Markup> {
    let after = visit.query().get("after");
    let hooks = visit.app().im.hooks_aside(&visit.context, after, ROWS).await?;
    let rows: Vec<Vec<Markup>> = hooks.iter().map(|hook| row(&visit, after, hook)).collect();
    let columns =
        [Text::Hook, Text::Since, Text::NextAttempt, Text::Size, Text::Action].map(|text| visit.text(text));
    let first = (!after.is_empty()).then(|| PATH.to_owned());
    let last = hooks.last().filter(|_| hooks.len() == ROWS as usize);
    let next = last.map(|last| link(PATH, &[("after", &last.id)]));
    let body = html! {
        p { a href="/webhooks" { (visit.text(Text::Webhooks)) } }
        @if rows.is_empty() {
            p { (visit.text(Text::NothingFound)) }
        } @else {
            (page::table(visit.text(Text::HooksSetAside), &columns, &rows))
            @if visit.may(Role::Administrator) {
                div.actions { (page::action(&visit, "/webhooks/replay", Text::ReplayAll, &[("after", after)], &html! {})) }
            }
        }
        (page::pages(&visit, first.as_deref(), next.as_deref()))
    };
    Ok(page::shown(&visit, visit.text(Text::HooksSetAside), &body))
}

fn row(visit: &Visit, after: &str, hook: &ListedHook) -> Vec<Markup> {
    let hidden = [("after", after), ("id", hook.id.as_str())];
    vec![
        html! { (said(&hook.hook)) br; span.small { (said(&hook.id)) } },
        time(hook.since_time),
        time(hook.next_time),
        html! { (number(hook.bytes.unsigned_abs())) " B" },
        html! {
            @if visit.may(Role::Administrator) {
                (page::action(visit, "/webhooks/replay", Text::Replay, &hidden, &html! {}))
            } @else { "–" }
        },
    ]
}

/// One, or all of a page: then it is read again, because a form with their ids would be longer than the audit log keeps.
pub(crate) async fn replay(visit: Visit, form: Fields) -> Result<Done> {
    let (id, after) = (form.get("id"), form.get("after"));
    let im = &visit.app().im;
    let ids = match id {
        "" => im.hooks_aside(&visit.context, after, ROWS).await?.into_iter().map(|hook| hook.id).collect(),
        id => vec![id.to_owned()],
    };
    if !ids.is_empty() {
        im.replay_hooks(&visit.context, ids).await?;
    }
    Ok(Done { to: link(PATH, &[("after", after)]), notice: Text::DoneReplayed })
}

#[cfg(test)]
mod tests {
    use crate::testing::World;

    #[tokio::test]
    async fn hooks_that_were_set_aside_are_listed_by_key_and_tried_again() {
        let world = World::new().await;
        for number in 0..60 {
            world.im.set_aside(&format!("hook/afterSendGroupMsg/{number:02}"));
        }
        let helper = world.signed_in("reader").await;
        let page = helper.page("/webhooks/set-aside").await;
        assert!(page.contains("afterSendGroupMsg/49") && !page.contains("afterSendGroupMsg/50"), "{page}");
        assert!(page.contains("after=hook%2FafterSendGroupMsg%2F49") && !page.contains("<details"), "{page}");
        let admin = world.signed_in("imAdmin").await;
        let one = [("id", "hook/afterSendGroupMsg/07"), ("reason", "receiver is fixed")];
        assert_eq!(admin.done("/webhooks/replay", &one).await, "/webhooks/set-aside?done=replayed");
        assert_eq!(world.im.replayed(), ["hook/afterSendGroupMsg/07"]);
        let page = [("after", "hook/afterSendGroupMsg/49"), ("reason", "receiver is fixed")];
        admin.done("/webhooks/replay", &page).await;
        assert_eq!(world.im.replayed().len(), 11, "those of the second page too");
    }
}
