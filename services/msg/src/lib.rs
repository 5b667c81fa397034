//! The msg service: accepts messages (authorize, then Kafka), and serves everything about stored ones.

mod admin;
mod bounds;
mod edit;
mod facts;
mod metrics;
mod modify;
mod positions;
mod pull;
mod quote;
mod reactions;
mod read_state;
mod readers;
mod rewrite;
mod search;
mod searches;
mod send;

use std::sync::Arc;

use bus::Producer;
use config::{Config, Live, Service};
use model::Clock;
use presence::Routes;
use protocol::{
    Result,
    msg::{GetServerTimeReq, GetServerTimeResp},
};
use rpc::{Context, Peers};
use store::Store;
use webhooks::Webhooks;

pub use facts::Facts;
pub use metrics::{FactMetrics, MessageMetrics};
pub use searches::Searches;

/// The service.
pub struct Messages {
    /// Stored messages, seqs, conversations.
    pub store: Store,
    /// Cached users, relations and memberships.
    pub facts: Facts,
    /// Where accepted messages go.
    pub producer: Producer,
    /// Limits and topics.
    pub config: Arc<Config>,
    /// What may change meanwhile.
    pub live: Live,
    /// For notifications.
    pub peers: Peers,
    /// Outcomes of REST sends.
    pub routes: Routes,
    /// Calls to the integrator.
    pub webhooks: Webhooks,
    /// sendTime.
    pub clock: Arc<dyn Clock>,
    /// Counters of the contract.
    pub metrics: MessageMetrics,
    /// Concurrent searches.
    pub searches: Searches,
}

rpc::service! { Messages, Service::Msg, {
    msg::SendMsgReq => send,
    sdkws::GetMaxSeqReq => newest_seqs,
    sdkws::PullMessageBySeqsReq => pull_by_range,
    msg::GetSeqMessageReq => pull_by_seqs,
    msg::GetLastMessageReq => last_messages,
    msg::GetConversationsHasReadAndMaxSeqReq => read_and_max_seqs,
    msg::MarkMsgsAsReadReq => mark_messages_read,
    msg::MarkConversationAsReadReq => mark_conversation_read,
    msg::SetConversationHasReadSeqReq => set_read_seq,
    msg::RevokeMsgReq => revoke,
    msg::DeleteMsgsReq => delete,
    msg::ClearConversationsMsgReq => clear,
    msg::UserClearAllMsgReq => clear_all,
    msg::GetServerTimeReq => server_time,
    msg::SearchMessageReq => search_all,
    msg::DeleteMsgPhysicalBySeqReq => remove_by_seq,
    msg::DeleteMsgPhysicalReq => remove_older,
    msg::GetActiveUserReq => active_users,
    msg::GetActiveGroupReq => active_groups,
    msg::SetSendMsgStatusReq => set_send_status,
    msg::GetSendMsgStatusReq => send_status,
    extension::EditMsgReq => edit,
    extension::SetReactionReq => set_reaction,
    extension::GetReactionsReq => reactions,
    extension::GetReactionUsersReq => reaction_users,
    extension::GetGroupMsgReadersReq => group_readers,
    extension::SearchOwnMsgReq => search_own,
    extension::ModifyMessageReq => modify_message,
    extension::MarkConversationReadReq => mark_read_up_to,
    extension::GetConversationsUnreadCountReq => unread_count,
    extension::ClearConversationsUnreadCountReq => clear_unread,
    extension::ResetConversationUnreadReq => reset_unread,
} }

impl Messages {
    async fn server_time(&self, _: &Context, _: GetServerTimeReq) -> Result<GetServerTimeResp> {
        Ok(GetServerTimeResp { server_time: self.clock.now_ms() })
    }
}
