//! Groups: found by the beginning of their id, what they are and what can be done.

use maud::{Markup, html};
use protocol::{Result, sdkws::GroupInfo};

use crate::{
    fields::{Fields, link},
    formatting::{number, said, time},
    http::{Done, Visit},
    members, page,
    roles::Role,
    texts::Text,
    users::{ROWS, to_user},
};

const DISMISSED: i32 = 2;
const MUTED: i32 = 3;

pub(crate) fn to_group(id: &str) -> String {
    link("/group", &[("id", id)])
}

pub(crate) async fn list(visit: Visit) -> Result<Markup> {
    let (prefix, after) = (visit.query().trimmed("prefix"), visit.query().get("after"));
    let groups = visit.app().im.groups(&visit.context, prefix, after, ROWS).await?;
    let rows: Vec<Vec<Markup>> = groups.iter().map(|group| row(&visit, group)).collect();
    let columns = [Text::GroupId, Text::Name, Text::Owner, Text::Members, Text::Created, Text::State]
        .map(|text| visit.text(text));
    let first = (!after.is_empty()).then(|| link("/groups", &[("prefix", prefix)]));
    let last = groups.last().filter(|_| groups.len() == ROWS as usize);
    let next = last.map(|last| link("/groups", &[("prefix", prefix), ("after", &last.group_id)]));
    let body = html! {
        (page::search(&visit, "/groups", visit.text(Text::GroupIdBegins)))
        @if rows.is_empty() {
            p { (visit.text(Text::NothingFound)) }
        } @else {
            (page::table(visit.text(Text::Groups), &columns, &rows))
        }
        (page::pages(&visit, first.as_deref(), next.as_deref()))
    };
    Ok(page::shown(&visit, visit.text(Text::Groups), &body))
}

fn row(visit: &Visit, group: &GroupInfo) -> Vec<Markup> {
    vec![
        html! { a href=(to_group(&group.group_id)) { (said(&group.group_id)) } },
        said(&group.group_name),
        said(&group.owner_user_id),
        html! { (number(group.member_count.into())) },
        time(group.create_time),
        html! { (visit.text(state(group))) },
    ]
}

fn state(group: &GroupInfo) -> Text {
    match group.status {
        DISMISSED => Text::StateDismissed,
        MUTED => Text::StateMuted,
        1 => Text::StateBanned,
        _ => Text::StateOrdinary,
    }
}

pub(crate) async fn one(visit: Visit) -> Result<Markup> {
    let id = visit.query().required("id")?;
    let group = visit.app().im.group(&visit.context, &id).await?;
    let members = members::table(&visit, &group).await?;
    let facts = page::facts(&[
        (visit.text(Text::GroupId), said(&group.group_id)),
        (visit.text(Text::Name), said(&group.group_name)),
        (
            visit.text(Text::Owner),
            html! {
                a href=(to_user(&group.owner_user_id)) { (said(&group.owner_user_id)) }
            },
        ),
        (visit.text(Text::Members), html! { (number(group.member_count.into())) }),
        (visit.text(Text::Created), time(group.create_time)),
        (visit.text(Text::State), html! { (visit.text(state(&group))) }),
        (visit.text(Text::Introduction), said(&group.introduction)),
        (visit.text(Text::Announcement), said(&group.notification)),
        (visit.text(Text::Extra), said(&group.ex)),
    ]);
    let body = html! {
        (facts)
        (actions(&visit, &group))
        h2 { (visit.text(Text::Members)) }
        (members)
    };
    Ok(page::shown(&visit, &format!("{} {id}", visit.text(Text::Group)), &body))
}

fn actions(visit: &Visit, group: &GroupInfo) -> Markup {
    let (id, nothing) = (group.group_id.as_str(), html! {});
    let conversation = model::conversation_id::group(id);
    html! {
        @if visit.may(Role::Support) && !group.owner_user_id.is_empty() {
            p {
                a href=(link("/chat", &[("user", &group.owner_user_id), ("conversation", &conversation)])) {
                    (visit.text(Text::MessagesAsOwner))
                }
            }
        }
        @if group.status != DISMISSED {
            div.actions {
                @if visit.may(Role::Support) {
                    @if group.status == MUTED {
                        (page::action(visit, "/group/unmute", Text::UnmuteGroup, &[("group", id)], &nothing))
                    } @else {
                        (page::action(visit, "/group/mute", Text::MuteGroup, &[("group", id)], &nothing))
                    }
                }
                @if visit.may(Role::Administrator) {
                    (page::action(visit, "/group/dismiss", Text::Dismiss, &[("group", id)], &nothing))
                }
            }
        }
    }
}

pub(crate) async fn mute(visit: Visit, form: Fields) -> Result<Done> {
    let group = form.required("group")?;
    visit.app().im.mute_group(&visit.context, &group, true).await?;
    Ok(Done { to: to_group(&group), notice: Text::DoneGroupMuted })
}

pub(crate) async fn unmute(visit: Visit, form: Fields) -> Result<Done> {
    let group = form.required("group")?;
    visit.app().im.mute_group(&visit.context, &group, false).await?;
    Ok(Done { to: to_group(&group), notice: Text::DoneGroupUnmuted })
}

pub(crate) async fn dismiss(visit: Visit, form: Fields) -> Result<Done> {
    let group = form.required("group")?;
    visit.app().im.dismiss(&visit.context, &group).await?;
    Ok(Done { to: to_group(&group), notice: Text::DoneDismissed })
}

#[cfg(test)]
mod tests {
    use protocol::group::DismissGroupReq;

    use crate::testing::World;

    #[tokio::test]
    async fn groups_are_listed_muted_and_dismissed() {
        let world = World::new().await;
        let admin = world.signed_in("imAdmin").await;
        world.im.add_group("g1", "<b>Team</b>", &["ann", "ben"]);
        let page = admin.page("/groups?prefix=g").await;
        assert!(page.contains("&lt;b&gt;Team&lt;/b&gt;") && page.contains("/group?id=g1"), "{page}");
        let page = admin.page("/group?id=g1").await;
        assert!(page.contains("/chat?user=ann&amp;conversation=sg_g1"), "{page}");

        admin.done("/group/mute", &[("group", "g1"), ("reason", "quarrel")]).await;
        assert!(admin.page("/group?id=g1").await.contains("Let all members write"));
        admin.done("/group/unmute", &[("group", "g1"), ("reason", "calm")]).await;
        let to = admin.done("/group/dismiss", &[("group", "g1"), ("reason", "spam")]).await;
        let page = admin.page(&to).await;
        assert!(page.contains("has been dismissed"), "{page}");
        assert!(!page.contains("/group/dismiss"), "nothing is left to do: {page}");
        assert_eq!(admin.get("/group?id=nothing").await.status(), 404);
    }

    #[tokio::test]
    async fn support_may_mute_a_group_but_not_dismiss_it() {
        let world = World::new().await;
        world.im.add_group("g1", "Team", &["ann"]);
        let support = world.signed_in("helper").await;
        let page = support.page("/group?id=g1").await;
        assert!(page.contains("/group/mute") && !page.contains("/group/dismiss"), "{page}");
        let refused = support.post("/group/dismiss", &[("group", "g1"), ("reason", "spam")]).await;
        assert_eq!(refused.status(), 403);
        assert_eq!(world.im.calls::<DismissGroupReq>(), 0);
    }
}
