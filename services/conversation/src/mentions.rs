//! At-marks: `groupAtType` of members' rows (docs/protocol/messages.md#sending).

use std::collections::{HashMap, HashSet};

use bson::doc;
use futures::{StreamExt, TryStreamExt};
use model::conversation_id;
use notification::To;
use protocol::{
    Result,
    content_type::{AT_ALL, CONVERSATION_CHANGED},
    internal::{MarkMentionsReq, MarkMentionsResp},
    sdkws::ConversationUpdateTips,
};
use rpc::Context;

use crate::Conversations;

const AT_ME: i32 = 1;
const AT_ALL_MARK: i32 = 2;
const AT_ALL_AND_ME: i32 = 3;
const ANNOUNCEMENT: i32 = 4;
/// Most rows one message marks. In larger groups everybody's mark is left to the clients, which find it in the message itself:
/// writing 100 000 rows for one message would hold up all others.
const MAX_MARKS: usize = 1000;

/// The mentioned users, with their mark.
fn marks(named: &[String], everybody: Option<&[String]>, sender: &str) -> Vec<(String, i32)> {
    let mut seen = HashSet::from([sender, AT_ALL]);
    let named: Vec<&String> = named.iter().filter(|user| seen.insert(user)).collect();
    let direct = if everybody.is_some() { AT_ALL_AND_ME } else { AT_ME };
    let others = everybody.unwrap_or_default().iter().filter(|user| seen.insert(user));
    let others = others.map(|user| (user.clone(), AT_ALL_MARK));
    named.into_iter().map(|user| (user.clone(), direct)).chain(others).collect()
}

/// Those whose rows change: who has the mark already is not written and not told again, however often a group is named or the call repeated.
fn to_write(marks: Vec<(String, i32)>, there: &HashMap<String, i32>) -> Vec<(String, i32)> {
    let changes = |(user, mark): &(String, i32)| there.get(user).is_some_and(|known| known != mark);
    marks.into_iter().filter(changes).collect()
}

impl Conversations {
    pub(crate) async fn mark_mentions(
        &self,
        context: &Context,
        request: MarkMentionsReq,
    ) -> Result<MarkMentionsResp> {
        context.require_system()?;
        let group = &request.group_id;
        let at_all = request.announcement || request.at_user_ids.iter().any(|user| user == AT_ALL);
        let small = at_all && self.store.member_count(group).await? as usize <= MAX_MARKS;
        let everybody = if small { Some(self.store.member_ids(group).await?) } else { None };
        let mut named = request.at_user_ids;
        named.truncate(MAX_MARKS);
        let mut marks = if request.announcement {
            let others = everybody.unwrap_or_default().into_iter().filter(|user| *user != request.send_id);
            others.map(|user| (user, ANNOUNCEMENT)).collect()
        } else {
            let at_all_of_large_group: &[String] = &[];
            let everybody = everybody.as_deref().or(at_all.then_some(at_all_of_large_group));
            marks(&named, everybody, &request.send_id)
        };
        if !small {
            let users: Vec<String> = marks.iter().map(|(user, _)| user.clone()).collect();
            let members = self.store.members(group, &users).await?;
            let members: HashSet<String> = members.into_iter().map(|member| member.user_id).collect();
            marks.retain(|(user, _)| members.contains(user));
        }
        let id = conversation_id::group(group);
        let owners: Vec<String> = marks.iter().map(|(user, _)| user.clone()).collect();
        let marks = to_write(marks, &self.store.at_marks(&id, &owners).await?);
        futures::stream::iter(&marks)
            .map(Ok)
            .try_for_each_concurrent(16, |(user, mark)| self.mark(context, user, &id, *mark))
            .await?;
        Ok(MarkMentionsResp {})
    }

    async fn mark(&self, context: &Context, user: &str, id: &str, mark: i32) -> Result<()> {
        if self.store.update_conversation(user, id, &doc! { "group_at_type": mark }).await? {
            let tips = ConversationUpdateTips {
                user_id: user.to_owned(),
                conversation_id_list: vec![id.to_owned()],
            };
            notification::tell(&self.peers, context, user, To::User(user), CONVERSATION_CHANGED, &tips).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn who_is_marked_already_is_left_alone() {
        let wanted = [("a", AT_ME), ("b", AT_ALL_MARK), ("c", AT_ME), ("d", AT_ME)];
        let wanted = wanted.map(|(user, mark)| (user.to_owned(), mark)).to_vec();
        // d has no row.
        let there = HashMap::from([("a".to_owned(), AT_ME), ("b".to_owned(), AT_ME), ("c".to_owned(), 0)]);
        let written = to_write(wanted, &there);
        assert_eq!(written, [("b".to_owned(), AT_ALL_MARK), ("c".to_owned(), AT_ME)]);
    }

    #[test]
    fn everybody_and_the_named_get_their_own_marks() {
        let members = ids(&["a", "b", "c"]);
        assert_eq!(marks(&ids(&["b", "b"]), None, "a"), [("b".to_owned(), AT_ME)]);
        assert_eq!(
            marks(&ids(&[AT_ALL, "b"]), Some(&members), "a"),
            [("b".to_owned(), AT_ALL_AND_ME), ("c".to_owned(), AT_ALL_MARK)]
        );
        assert_eq!(
            marks(&ids(&[AT_ALL]), Some(&members), "a"),
            [("b".to_owned(), AT_ALL_MARK), ("c".to_owned(), AT_ALL_MARK)]
        );
        assert!(marks(&ids(&["a"]), None, "a").is_empty());
    }
}
