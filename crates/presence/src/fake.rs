//! As much of Redis as the tests of this crate and of the gateway need, on loopback.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::Routes;

#[derive(Default)]
struct Data {
    texts: HashMap<String, String>,
    hashes: HashMap<String, HashMap<String, String>>,
    /// How often it has failed over.
    failovers: u32,
    is_away: bool,
}

pub(crate) struct Redis {
    data: Arc<Mutex<Data>>,
    address: String,
    stop: CancellationToken,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (data, stop, tasks) =
            (Arc::<Mutex<Data>>::default(), CancellationToken::new(), TaskTracker::new());
        let (served, ended) = (data.clone(), stop.clone());
        let each = tasks.clone();
        tasks.spawn(ended.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                each.spawn(ended.clone().run_until_cancelled_owned(serve(stream, served.clone())));
            }
        }));
        Self { data, address, stop }
    }

    /// A process of its own.
    pub(crate) fn routes(&self) -> Routes {
        Routes::connect(&config::Redis { address: self.address.clone(), ..Default::default() }).unwrap()
    }

    pub(crate) fn flush(&self) {
        let mut data = self.data.lock();
        data.texts.clear();
        data.hashes.clear();
    }

    /// Another server has taken over, which lacks this hash.
    pub(crate) fn fail_over(&self, lost: &str) {
        let mut data = self.data.lock();
        data.failovers += 1;
        data.hashes.remove(lost);
    }

    /// Answers nothing but errors, or answers again.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.data.lock().is_away = is_away;
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.data.lock().texts.contains_key(key)
    }

    pub(crate) fn expire(&self, key: &str) {
        self.data.lock().texts.remove(key).unwrap();
    }

    pub(crate) fn set(&self, key: &str, value: &str) {
        self.data.lock().texts.insert(key.into(), value.into());
    }

    pub(crate) fn set_field(&self, key: &str, field: &str, value: &str) {
        self.data.lock().hashes.entry(key.into()).or_default().insert(field.into(), value.into());
    }

    pub(crate) fn fields(&self, key: &str) -> usize {
        self.data.lock().hashes.get(key).map_or(0, HashMap::len)
    }
}

async fn serve(stream: TcpStream, data: Arc<Mutex<Data>>) {
    let mut stream = BufReader::new(stream);
    while let Some(words) = command(&mut stream).await {
        let answer = data.lock().answer(&words.iter().map(String::as_str).collect::<Vec<_>>());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn number(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim().get(1..)?.parse().ok()
}

async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..number(stream).await? {
        let mut word = vec![0; number(stream).await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8(word).ok()?);
    }
    Some(words)
}

fn text(value: Option<&String>) -> String {
    value.map_or_else(|| "$-1\r\n".to_owned(), |value| format!("${}\r\n{value}\r\n", value.len()))
}

fn list(values: impl ExactSizeIterator<Item = String>) -> String {
    let count = values.len();
    values.fold(format!("*{count}\r\n"), |all, value| all + &value)
}

/// Whether a user with [`Routes::RIGHTS`] may do this.
fn may(words: &[&str]) -> bool {
    let rights: Vec<&str> = Routes::RIGHTS.split(' ').collect();
    let is_of = |kind: char, name: &str| {
        rights
            .iter()
            .filter_map(|right| right.strip_prefix(kind))
            .any(|pattern| pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start)))
    };
    let [command, rest @ ..] = words else { return false };
    if ["HELLO", "AUTH", "CLIENT", "PING", "SELECT"].contains(command) {
        return rights.contains(&"+@connection");
    }
    let kind = if ["PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE"].contains(command) { '&' } else { '~' };
    let names = match *command {
        "INFO" | "ROLE" => &[][..],
        "MGET" | "RENAME" | "SUBSCRIBE" | "UNSUBSCRIBE" => rest,
        _ => &rest[..rest.len().min(1)],
    };
    rights.contains(&format!("+{}", command.to_lowercase()).as_str())
        && names.iter().all(|name| is_of(kind, name))
}

impl Data {
    fn answer(&mut self, words: &[&str]) -> String {
        const OK: &str = "+OK\r\n";
        if !may(words) {
            return format!("-NOPERM the user of the services may not do this: {words:?}\r\n");
        }
        if self.is_away {
            return "-LOADING not there yet\r\n".into();
        }
        match *words {
            ["SET", key, _, "XX", ..] if !self.texts.contains_key(key) => text(None),
            ["SET", key, value, ..] => {
                self.texts.insert(key.into(), value.into());
                OK.into()
            }
            ["SETEX", key, _, value] => {
                self.texts.insert(key.into(), value.into());
                OK.into()
            }
            ["MGET", ref keys @ ..] => list(keys.iter().map(|key| text(self.texts.get(*key)))),
            ["DEL", key] => format!(":{}\r\n", u8::from(self.texts.remove(key).is_some())),
            ["RENAME", from, to] => match self.texts.remove(from) {
                Some(value) => {
                    self.texts.insert(to.into(), value);
                    OK.into()
                }
                None => "-ERR no such key\r\n".into(),
            },
            ["HSET", key, field, value] => {
                self.hashes.entry(key.into()).or_default().insert(field.into(), value.into());
                ":1\r\n".into()
            }
            ["HGETALL", key] => {
                let none = HashMap::new();
                let hash = self.hashes.get(key).unwrap_or(&none);
                let words: Vec<String> =
                    hash.iter().flat_map(|(field, value)| [text(Some(field)), text(Some(value))]).collect();
                list(words.into_iter())
            }
            ["HDEL", key, field] => {
                let removed = self.hashes.get_mut(key).and_then(|hash| hash.remove(field));
                format!(":{}\r\n", u8::from(removed.is_some()))
            }
            ["HEXISTS", key, field] => {
                let there = self.hashes.get(key).is_some_and(|hash| hash.contains_key(field));
                format!(":{}\r\n", u8::from(there))
            }
            ["HVALS", key] => {
                let none = HashMap::new();
                list(self.hashes.get(key).unwrap_or(&none).values().map(|value| text(Some(value))))
            }
            ["EXPIRE" | "PUBLISH", ..] => ":1\r\n".into(),
            ["INFO", ..] => text(Some(&format!("run_id:a\r\nmaster_replid:{}\r\n", self.failovers))),
            _ => OK.into(),
        }
    }
}
