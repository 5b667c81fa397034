//! The members of a group: a page of them, muted or removed.

use maud::{Markup, html};
use protocol::{
    Error, Result,
    sdkws::{GroupInfo, GroupMemberFullInfo},
};

use crate::{
    fields::{Fields, link},
    formatting::{said, time},
    groups::to_group,
    http::{Done, Visit},
    page,
    roles::Role,
    texts::Text,
    users::to_user,
};

/// Members in a page.
const ROWS: i32 = 20;
/// Last page that is shown; whoever is further behind is muted and removed through the REST API.
const LAST_PAGE: i32 = 500;
const OWNER: i32 = 100;
const ADMINISTRATOR: i32 = 60;
/// For how long a member can be muted, in minutes.
const MUTES: [(u32, Text); 4] =
    [(10, Text::TenMinutes), (60, Text::OneHour), (24 * 60, Text::OneDay), (30 * 24 * 60, Text::ThirtyDays)];

/// The members of a page of the group's page.
pub(crate) async fn table(visit: &Visit, group: &GroupInfo) -> Result<Markup> {
    let number = visit.page_number(LAST_PAGE);
    let id = &group.group_id;
    let listed = visit.app().im.members(&visit.context, id, number, ROWS).await?;
    let now = visit.app().clock.now_ms();
    let rows: Vec<Vec<Markup>> =
        listed.members.iter().map(|member| row(visit, member, member.mute_end_time > now)).collect();
    let columns = [Text::UserId, Text::Nickname, Text::Role, Text::Joined, Text::State, Text::Action]
        .map(|text| visit.text(text));
    let at = |number: i32| link("/group", &[("id", id), ("page", &number.to_string())]);
    let (first, next) =
        ((number > 1).then(|| to_group(id)), page::following(number, ROWS, LAST_PAGE, listed.total).map(at));
    Ok(html! {
        @if rows.is_empty() {
            p { (visit.text(Text::NothingFound)) }
        } @else {
            (page::table(visit.text(Text::Members), &columns, &rows))
        }
        (page::pages(visit, first.as_deref(), next.as_deref()))
    })
}

fn row(visit: &Visit, member: &GroupMemberFullInfo, is_muted: bool) -> Vec<Markup> {
    let role = match member.role_level {
        OWNER => Text::Owner,
        ADMINISTRATOR => Text::RoleAdministrator,
        _ => Text::Member,
    };
    vec![
        html! { a href=(to_user(&member.user_id)) { (said(&member.user_id)) } },
        said(&member.nickname),
        html! { (visit.text(role)) },
        time(member.join_time),
        html! {
            @if is_muted { (visit.text(Text::MutedUntil)) " " (time(member.mute_end_time)) }
            @else { (visit.text(Text::StateOrdinary)) }
        },
        html! {
            @if visit.may(Role::Support) { (actions(visit, member, is_muted)) } @else { "–" }
        },
    ]
}

fn actions(visit: &Visit, member: &GroupMemberFullInfo, is_muted: bool) -> Markup {
    let hidden = [("group", member.group_id.as_str()), ("user", member.user_id.as_str())];
    let nothing = html! {};
    let minutes = html! {
        label {
            (visit.text(Text::HowLong))
            select name="minutes" {
                @for (minutes, text) in MUTES { option value=(minutes) { (visit.text(text)) } }
            }
        }
    };
    html! {
        @if is_muted {
            (page::action(visit, "/group/member/unmute", Text::UnmuteMember, &hidden, &nothing))
        } @else {
            (page::action(visit, "/group/member/mute", Text::MuteMember, &hidden, &minutes))
        }
        @if member.role_level != OWNER {
            (page::action(visit, "/group/member/remove", Text::RemoveMember, &hidden, &nothing))
        }
    }
}

pub(crate) async fn mute(visit: Visit, form: Fields) -> Result<Done> {
    let (group, user) = (form.required("group")?, form.required("user")?);
    let minutes = form.number("minutes").and_then(|given| u32::try_from(given).ok());
    let known = minutes.filter(|given| MUTES.iter().any(|(minutes, _)| minutes == given));
    let minutes = known.ok_or_else(|| Error::args("minutes must be one of the form's"))?;
    visit.app().im.mute_member(&visit.context, &group, &user, minutes * 60).await?;
    Ok(Done { to: to_group(&group), notice: Text::DoneMemberMuted })
}

pub(crate) async fn unmute(visit: Visit, form: Fields) -> Result<Done> {
    let (group, user) = (form.required("group")?, form.required("user")?);
    visit.app().im.mute_member(&visit.context, &group, &user, 0).await?;
    Ok(Done { to: to_group(&group), notice: Text::DoneMemberUnmuted })
}

pub(crate) async fn remove(visit: Visit, form: Fields) -> Result<Done> {
    let (group, user) = (form.required("group")?, form.required("user")?);
    visit.app().im.remove_member(&visit.context, &group, &user).await?;
    Ok(Done { to: to_group(&group), notice: Text::DoneMemberRemoved })
}

#[cfg(test)]
mod tests {
    use crate::testing::World;

    #[tokio::test]
    async fn members_are_shown_page_by_page() {
        let world = World::new().await;
        let ids: Vec<String> = (0..45).map(|number| format!("m{number:02}")).collect();
        world.im.add_group("g1", "Team", &ids.iter().map(String::as_str).collect::<Vec<_>>());
        let admin = world.signed_in("imAdmin").await;
        let page = admin.page("/group?id=g1").await;
        assert!(page.contains("/user?id=m19") && !page.contains("/user?id=m20"), "{page}");
        assert!(page.contains("/group?id=g1&amp;page=2"), "{page}");
        let page = admin.page("/group?id=g1&page=3").await;
        assert!(page.contains("/user?id=m44") && !page.contains("page=4"), "{page}");
    }

    #[tokio::test]
    async fn a_member_is_muted_for_a_while_let_write_again_and_removed() {
        let world = World::new().await;
        world.im.add_group("g1", "Team", &["ann", "ben"]);
        let admin = world.signed_in("imAdmin").await;
        let ben = |more: &[(&'static str, &'static str)]| {
            [&[("group", "g1"), ("user", "ben"), ("reason", "spam")][..], more].concat()
        };
        let refused = admin.post("/group/member/mute", &ben(&[("minutes", "7")])).await;
        assert_eq!(refused.status(), 400);
        admin.done("/group/member/mute", &ben(&[("minutes", "60")])).await;
        assert!(admin.page("/group?id=g1").await.contains("Muted until"));
        admin.done("/group/member/unmute", &ben(&[])).await;
        assert!(!admin.page("/group?id=g1").await.contains("Muted until"));
        admin.done("/group/member/remove", &ben(&[])).await;
        let page = admin.page("/group?id=g1").await;
        assert!(!page.contains("/user?id=ben"), "{page}");
        // The owner cannot be removed, and no form offers it.
        assert!(!page.contains("/group/member/remove"), "{page}");
    }
}
