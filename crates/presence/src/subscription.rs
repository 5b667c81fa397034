//! A subscription that notices when the other end is gone.

use std::time::Duration;

use futures::StreamExt;
use redis::{
    Value,
    aio::{PubSub, PubSubSink, PubSubStream},
};
use tokio::time::{sleep, timeout};

/// A server that was silent for this time is pinged.
const SILENCE: Duration = Duration::from_secs(5);
/// A server that does not answer in this time is not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Messages published on a channel.
pub struct Changes {
    sink: PubSubSink,
    stream: PubSubStream,
    silence: Duration,
    patience: Duration,
}

impl Changes {
    pub(crate) fn new(subscription: PubSub) -> Self {
        let (sink, stream) = subscription.split();
        Self { sink, stream, silence: SILENCE, patience: PATIENCE }
    }

    /// The next message; `None` when the connection has ended, or the server is silent even when asked. Whoever drops this future
    /// loses nothing.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            let (sink, silence, patience) = (&mut self.sink, self.silence, self.patience);
            let asked = async move {
                sleep(silence).await;
                matches!(timeout(patience, sink.ping::<Value>()).await, Ok(Ok(_)))
            };
            tokio::select! {
                biased;
                message = self.stream.next() => return Some(message?.get_payload().unwrap_or_default()),
                answered = asked => if !answered { return None },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::Client;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Reads until a word has come that is part of a command.
    async fn hear(stream: &mut TcpStream, word: &str) {
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains(word) {
            assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0, "waiting for {word}");
        }
    }

    #[tokio::test]
    async fn a_server_that_falls_silent_ends_the_subscription() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::open(format!("redis://{}", listener.local_addr().unwrap())).unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 4096];
            // What the client says of itself, as far as it does, is answered command by command.
            loop {
                let read = stream.read(&mut heard).await.unwrap();
                let text = String::from_utf8_lossy(&heard[..read]).into_owned();
                if text.contains("SUBSCRIBE") {
                    break;
                }
                for _ in 0..text.matches('*').count() {
                    stream.write_all(b"+OK\r\n").await.unwrap();
                }
            }
            stream.write_all(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n").await.unwrap();
            stream.write_all(b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n").await.unwrap();
            stream
        };
        let subscribed = async {
            let mut subscription = client.get_async_pubsub().await.unwrap();
            subscription.subscribe("c").await.unwrap();
            let (silence, patience) = (Duration::from_millis(10), Duration::from_secs(2));
            Changes { silence, patience, ..Changes::new(subscription) }
        };
        let (mut stream, mut changes) = tokio::join!(server, subscribed);
        assert_eq!(changes.next().await.as_deref(), Some("hi"));
        let answered = async {
            hear(&mut stream, "PING").await;
            stream.write_all(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n").await.unwrap();
            // From here on it says nothing, and the connection stays open.
            hear(&mut stream, "PING").await;
        };
        let (ended, ()) = tokio::join!(changes.next(), answered);
        assert_eq!(ended, None);
    }
}
