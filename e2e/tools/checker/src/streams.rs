//! Streams beside the messages: each has a writer and a reader. A text is written packet by packet, with each call repeated until it is
//! acknowledged; then writer and reader must find it in one message, the same for both.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::Context;
use protocol::{go_json, sdkws::PullMessageBySeqsResp};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{history::Anomaly, run::Run};

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(200);

/// How many streams there are, and how fast they grow.
#[derive(Debug, Clone, clap::Args)]
pub struct StreamLoad {
    /// Pairs of users in which one writes streams to the other, one after the other.
    #[arg(long, default_value_t = 0)]
    pub streams: usize,
    /// Packets of a stream.
    #[arg(long, default_value_t = 200)]
    pub packets: u64,
    /// Packets that are appended to a stream in a second.
    #[arg(long, default_value_t = 30)]
    pub packets_per_second: u64,
    /// Milliseconds between two appends to a stream, in which its packets are collected.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub append_ms: u64,
}

impl StreamLoad {
    /// No streams.
    pub fn none() -> Self {
        Self { streams: 0, packets: 200, packets_per_second: 30, append_ms: 200 }
    }
}

/// A conversation in which one stream follows another.
pub(crate) struct Streams {
    writer: String,
    reader: String,
    conversation: String,
    /// How many have ended: the seq of the last one.
    ended: i64,
}

impl Streams {
    pub(crate) fn new(writer: &str, reader: &str) -> Self {
        let conversation = model::conversation_id::single(writer, reader);
        Self { writer: writer.to_owned(), reader: reader.to_owned(), conversation, ended: 0 }
    }

    /// Writes and checks until it is enough.
    pub(crate) async fn live(mut self, run: &Run) -> anyhow::Result<()> {
        while !run.enough.is_cancelled() {
            let id = format!("{}-stream-{}", self.writer, self.ended + 1);
            let text = self.write(run, &id).await?;
            self.ended += 1;
            let anomalies = self.verify(run, &id, &text).await?;
            run.found(&self.conversation, anomalies);
            run.counts.streams.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn write(&self, run: &Run, id: &str) -> anyhow::Result<String> {
        let begin = json!({
            "sendID": self.writer, "recvID": self.reader, "sessionType": 1, "contentType": 143, "clientMsgID": id,
            "content": { "type": "text", "content": "" },
        });
        insist(run, "/msg/send_msg", &begin).await?;
        let load = &run.load.streams;
        let pause = Duration::from_millis(load.append_ms);
        let at_once = (load.packets_per_second * load.append_ms / 1000).max(1);
        let (mut text, mut next) = (String::new(), 0_u64);
        while next < load.packets {
            let until = (next + at_once).min(load.packets);
            let packets: Vec<String> = (next..until).map(|number| format!("{number} of {id}, ")).collect();
            let append = json!({
                "conversationID": self.conversation, "clientMsgID": id, "startIndex": next,
                "packets": packets, "end": until == load.packets,
            });
            let begun = Instant::now();
            insist(run, "/msg/append_stream_msg", &append).await?;
            run.counts.packets.fetch_add(until - next, Ordering::Relaxed);
            text.extend(packets);
            next = until;
            // Where appending takes longer than the pause, the server decides the speed.
            sleep(pause.saturating_sub(begun.elapsed())).await;
        }
        Ok(text)
    }

    /// What both see, as soon as it is there or the time for it is over.
    async fn verify(&self, run: &Run, id: &str, text: &str) -> anyhow::Result<Vec<Anomaly>> {
        let deadline = Instant::now() + run.checks.settle();
        loop {
            let mut anomalies = vec![];
            for user in [&self.writer, &self.reader] {
                anomalies.extend(check(&self.read(run, user).await?, id, text));
            }
            anomalies.sort();
            anomalies.dedup();
            let may_come = anomalies.contains(&Anomaly::Lost(id.to_owned()));
            if !may_come || Instant::now() > deadline {
                return Ok(anomalies);
            }
            sleep(AGAIN).await;
        }
    }

    /// The messages from the newest stream's on: clientMsgID and text.
    async fn read(&self, run: &Run, user: &str) -> anyhow::Result<Vec<(String, String)>> {
        let range = json!({ "conversationID": self.conversation, "begin": self.ended, "end": self.ended + 10, "num": 10 });
        let data =
            insist(run, "/msg/pull_msg_by_seq", &json!({ "userID": user, "seqRanges": [range] })).await?;
        let mut pulled: PullMessageBySeqsResp =
            go_json::from_slice(data.to_string().as_bytes()).context("/msg/pull_msg_by_seq")?;
        let messages = pulled.msgs.remove(&self.conversation).map(|pulled| pulled.msgs).unwrap_or_default();
        let text = |content: &[u8]| {
            let content: Value = serde_json::from_slice(content).unwrap_or_default();
            content["content"].as_str().unwrap_or_default().to_owned()
        };
        Ok(messages.into_iter().map(|message| (message.client_msg_id, text(&message.content))).collect())
    }
}

/// What is wrong with what somebody reads from the place on where the stream is expected.
fn check(read: &[(String, String)], id: &str, text: &str) -> Vec<Anomaly> {
    let own = read.iter().filter(|(client_msg_id, _)| client_msg_id == id);
    let mut anomalies = match own.clone().count() {
        0 => vec![Anomaly::Lost(id.to_owned())],
        1 => vec![],
        _ => vec![Anomaly::Duplicate(id.to_owned())],
    };
    let others = read.iter().filter(|(client_msg_id, _)| client_msg_id != id);
    anomalies.extend(others.map(|(client_msg_id, _)| Anomaly::Alien(client_msg_id.clone())));
    anomalies.extend(own.filter(|(_, found)| found != text).map(|(id, _)| Anomaly::OtherText(id.clone())));
    anomalies
}

/// Repeats a call until it is answered with success.
async fn insist(run: &Run, path: &str, body: &Value) -> anyhow::Result<Value> {
    loop {
        match run.admin.call(path, body).await {
            Err(_) if run.is_patient() => {
                run.counts.retried.fetch_add(1, Ordering::Relaxed);
                sleep(AGAIN).await;
            }
            answered => return answered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_missing_cut_or_doubled_is_found() {
        let read = |all: &[(&str, &str)]| -> Vec<(String, String)> {
            all.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect()
        };
        let id = || "s-1".to_owned();
        for (all, expected) in [
            (&[("s-1", "whole")][..], vec![]),
            (&[], vec![Anomaly::Lost(id())]),
            (&[("s-1", "who")], vec![Anomaly::OtherText(id())]),
            (&[("s-1", "whole"), ("s-1", "whole")], vec![Anomaly::Duplicate(id())]),
            (&[("s-1", "whole"), ("s-0", "old")], vec![Anomaly::Alien("s-0".into())]),
        ] {
            assert_eq!(check(&read(all), "s-1", "whole"), expected, "{all:?}");
        }
    }
}
