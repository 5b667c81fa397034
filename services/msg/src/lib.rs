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
    "sendMsg" => send,
    "GetMaxSeq" => newest_seqs,
    "PullMessageBySeqs" => pull_by_range,
    "GetSeqMessage" => pull_by_seqs,
    "GetLastMessage" => last_messages,
    "GetConversationsHasReadAndMaxSeq" => read_and_max_seqs,
    "MarkMsgsAsRead" => mark_messages_read,
    "MarkConversationAsRead" => mark_conversation_read,
    "SetConversationHasReadSeq" => set_read_seq,
    "RevokeMsg" => revoke,
    "DeleteMsgs" => delete,
    "ClearConversationsMsg" => clear,
    "UserClearAllMsg" => clear_all,
    "GetServerTime" => server_time,
    "SearchMessage" => search_all,
    "DeleteMsgPhysicalBySeq" => remove_by_seq,
    "DeleteMsgPhysical" => remove_older,
    "GetActiveUser" => active_users,
    "GetActiveGroup" => active_groups,
    "SetSendMsgStatus" => set_send_status,
    "GetSendMsgStatus" => send_status,
    "EditMsg" => edit,
    "SetReaction" => set_reaction,
    "GetReactions" => reactions,
    "GetReactionUsers" => reaction_users,
    "GetGroupMsgReaders" => group_readers,
    "SearchOwnMsg" => search_own,
    "ModifyMessage" => modify_message,
    "MarkConversationRead" => mark_read_up_to,
    "GetConversationsUnreadCount" => unread_count,
    "ClearConversationsUnreadCount" => clear_unread,
    "ResetConversationUnread" => reset_unread,
} }

impl Messages {
    async fn server_time(&self, _: &Context, _: GetServerTimeReq) -> Result<GetServerTimeResp> {
        Ok(GetServerTimeResp { server_time: self.clock.now_ms() })
    }
}
