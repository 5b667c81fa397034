//! The msg service: accepts messages (authorize, then Kafka), and serves everything about stored ones.

mod admin;
mod bounds;
mod clear;
mod delete;
mod edit;
mod fact_cache;
mod facts;
mod metrics;
mod modify;
mod positions;
mod pull;
mod quote;
mod reactions;
mod read_state;
mod readers;
mod revoke;
mod rewrite;
mod search;
mod searches;
mod send;
mod streams;

use std::sync::Arc;

use bus::Producer;
use config::{Config, Live, Service};
use deps::Deps;
use model::Clock;
use presence::Routes;
use prometheus_client::registry::Registry;
use protocol::{
    Result,
    msg::{GetServerTimeReq, GetServerTimeResp},
};
use rpc::{Context, Peers};
use store::Store;
use webhooks::Webhooks;

use metrics::MessageMetrics;
use searches::Searches;

pub use facts::Facts;
pub use metrics::FactMetrics;
pub use streams::Streams;

/// The service.
pub struct Messages {
    /// Stored messages, seqs, conversations.
    store: Store,
    /// Cached users, relations and memberships.
    facts: Facts,
    /// Where accepted messages go.
    producer: Producer,
    /// Limits and topics.
    config: Arc<Config>,
    /// What may change meanwhile.
    live: Live,
    /// For notifications.
    peers: Peers,
    /// Outcomes of REST sends.
    routes: Routes,
    /// Calls to the integrator.
    webhooks: Webhooks,
    /// sendTime.
    clock: Arc<dyn Clock>,
    /// Counters of the contract.
    metrics: MessageMetrics,
    /// Concurrent searches.
    searches: Searches,
    /// What readers of streams are to be notified of.
    streams: Streams,
}

impl Messages {
    /// The service of a process, which sends accepted messages to `producer`; `registry` gets its counters.
    pub fn new(
        deps: &Deps,
        facts: Facts,
        producer: Producer,
        streams: Streams,
        registry: &mut Registry,
    ) -> Self {
        Self {
            facts,
            producer,
            config: deps.config.clone(),
            live: deps.live.clone(),
            metrics: MessageMetrics::register(registry),
            searches: Searches::default(),
            streams,
            store: deps.store.clone(),
            routes: deps.routes.clone(),
            peers: deps.peers.clone(),
            webhooks: deps.webhooks.clone(),
            clock: deps.clock.clone(),
        }
    }
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
    extension::AppendStreamMsgReq => append_stream,
    extension::GetStreamMsgReq => get_stream,
    extension::GetStreamMsgsReq => get_streams,
    internal::EndStreamsReq => end_streams,
} }

impl Messages {
    async fn server_time(&self, _: &Context, _: GetServerTimeReq) -> Result<GetServerTimeResp> {
        Ok(GetServerTimeResp { server_time: self.clock.now_ms() })
    }
}
