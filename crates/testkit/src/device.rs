//! A client: it connects, pulls what is stored, and then collects what is pushed; when its connection ends it starts again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use gateway::testing::Socket;
use parking_lot::Mutex;
use prost::Message;
use protocol::{
    Result,
    sdkws::{GetMaxSeqReq, MsgData, PullMessageBySeqsReq, PushMessages, SeqRange},
};

use crate::{World, cluster::Doors, people::user_context};

/// Before a client connects again.
const PAUSE: Duration = Duration::from_millis(300);

/// What a client has of each conversation, by seq.
pub(crate) type Known = BTreeMap<String, BTreeSet<i64>>;

/// What a device knows on the connection that is open now; `None`: none is.
pub(crate) type Seen = Arc<Mutex<Option<Known>>>;

/// Everything that a user can read, as the service answers it.
pub(crate) async fn read_all(world: &World, user: &str) -> Result<BTreeMap<String, Vec<MsgData>>> {
    let context = user_context(user);
    let request = GetMaxSeqReq { user_id: user.to_owned() };
    let newest = world.call(&context, &request).await?;
    let ranges = newest.max_seqs.into_iter().map(|(conversation_id, end)| SeqRange {
        conversation_id,
        begin: 1,
        end,
        num: 1000,
    });
    let request =
        PullMessageBySeqsReq { user_id: user.to_owned(), seq_ranges: ranges.collect(), ..Default::default() };
    if request.seq_ranges.is_empty() {
        return Ok(BTreeMap::new());
    }
    let pulled = world.call(&context, &request).await?;
    let all = pulled.msgs.into_iter().chain(pulled.notification_msgs);
    Ok(all.map(|(conversation, messages)| (conversation, messages.msgs)).collect())
}

/// Runs a device for ever.
pub(crate) async fn run(world: World, doors: Doors, user: String, first: usize, seen: Seen) {
    for attempt in first.. {
        let number = attempt % world.gateways.len();
        let door = doors.lock()[number].clone();
        if let Some((process, gateway)) = door {
            let socket = gateway.open(&user);
            tokio::select! {
                biased;
                () = process.died() => {}
                () = stay(&world, &user, &socket, &seen) => {}
            }
            *seen.lock() = None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Until the connection is closed. What is pushed while the device pulls waits in the queue.
async fn stay(world: &World, user: &str, socket: &Socket, seen: &Seen) {
    let pulled = loop {
        match read_all(world, user).await {
            Ok(pulled) => break pulled,
            Err(_again) => tokio::time::sleep(PAUSE).await,
        }
    };
    let seqs = |messages: Vec<MsgData>| messages.into_iter().map(|message| message.seq).collect();
    let known: Known = pulled.into_iter().map(|(id, messages)| (id, seqs(messages))).collect();
    *seen.lock() = Some(known);
    while let Some(data) = socket.next().await {
        let Ok(told) = PushMessages::decode(data) else { continue };
        let mut seen = seen.lock();
        let Some(known) = seen.as_mut() else { continue };
        for (id, messages) in told.msgs.into_iter().chain(told.notification_msgs) {
            known.entry(id).or_default().extend(messages.msgs.iter().map(|message| message.seq));
        }
    }
}
