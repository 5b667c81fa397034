//! The managed MongoDB as a replica set: initiated once, then grown member by member. The set itself elects, replicates and hands over.

use std::time::Duration;

use mongodb::{
    Client, Database,
    bson::{Document, doc},
    options::ClientOptions,
};

/// The name of the set.
pub const SET: &str = "rs0";
const PRIMARY: i32 = 1;
const SECONDARY: i32 = 2;

/// A set as it should be.
pub struct ReplicaSet {
    /// host:port of the members, in the order of their pods.
    pub hosts: Vec<String>,
    /// `user:password@`, or empty.
    pub login: String,
    /// How long a member may take to answer.
    pub patience: Duration,
}

fn text(error: mongodb::error::Error) -> String {
    error.to_string()
}

async fn admin(uri: &str, patience: Duration) -> Result<Database, String> {
    let mut options = ClientOptions::parse(uri).await.map_err(text)?;
    options.server_selection_timeout = Some(patience);
    options.connect_timeout = Some(patience);
    Ok(Client::with_options(options).map_err(text)?.database("admin"))
}

/// `hello` needs no login; this does.
async fn logged_in(admin: &Database) -> Result<(), String> {
    let ask = doc! { "usersInfo": 1, "showCredentials": false };
    admin.run_command(ask).await.map(|_| ()).map_err(text)
}

/// Asks a MongoDB that somebody else runs whether it lets us in.
///
/// # Errors
/// Why it does not.
pub async fn ask(uri: &str, patience: Duration) -> Result<(), String> {
    logged_in(&admin(uri, patience).await?).await
}

/// Connected to nothing, and in no set yet.
fn is_blank(hello: &Document) -> bool {
    hello.get_bool("isreplicaset").unwrap_or(false)
}

fn number(document: &Document, key: &str) -> i32 {
    document
        .get_i32(key)
        .ok()
        .or_else(|| document.get_i64(key).ok().and_then(|number| number.try_into().ok()))
        .or_else(|| document.get_f64(key).ok().map(|number| number as i32))
        .unwrap_or(0)
}

fn documents<'a>(document: &'a Document, key: &str) -> impl Iterator<Item = &'a Document> {
    document.get_array(key).into_iter().flatten().filter_map(mongodb::bson::Bson::as_document)
}

/// The first host that the configuration of a set lacks, and the configuration that has it.
fn grown(config: &Document, hosts: &[String]) -> Option<(String, Document)> {
    let there: Vec<&str> =
        documents(config, "members").filter_map(|member| member.get_str("host").ok()).collect();
    let missing = hosts.iter().find(|host| !there.contains(&host.as_str()))?;
    let id = documents(config, "members").map(|member| number(member, "_id")).max().unwrap_or(-1) + 1;
    let mut members = config.get_array("members").cloned().unwrap_or_default();
    members.push(doc! { "_id": id, "host": missing }.into());
    let mut grown = config.clone();
    grown.insert("version", number(config, "version") + 1);
    grown.insert("members", members);
    Some((missing.clone(), grown))
}

/// The first member that neither leads nor follows.
fn trouble(status: &Document) -> Option<String> {
    let member = documents(status, "members")
        .find(|member| ![PRIMARY, SECONDARY].contains(&number(member, "state")))?;
    let (name, state) =
        (member.get_str("name").unwrap_or("?"), member.get_str("stateStr").unwrap_or("unknown"));
    Some(format!("{name} is {state}"))
}

impl ReplicaSet {
    /// The connection string of the services.
    pub fn uri(&self) -> String {
        let way = if self.hosts.len() == 1 {
            "directConnection=true".to_owned()
        } else {
            format!("replicaSet={SET}")
        };
        format!("mongodb://{}{}/?authSource=admin&{way}", self.login, self.hosts.join(","))
    }

    async fn admin(&self, uri: &str) -> Result<Database, String> {
        admin(uri, self.patience).await
    }

    /// What a member says of itself; needs no login.
    async fn hello(&self, host: &str) -> Result<Document, String> {
        let admin = self.admin(&format!("mongodb://{host}/?directConnection=true")).await?;
        admin.run_command(doc! { "hello": 1 }).await.map_err(text)
    }

    /// Takes the next step to the set as it should be. `Ok` when it can be written to: what is still missing, or nothing.
    ///
    /// # Errors
    /// Why it cannot be written to.
    pub async fn ensure(&self) -> Result<String, String> {
        let first = &self.hosts[0];
        let hello = self.hello(first).await?;
        if is_blank(&hello) {
            return Err(self.initiate().await?);
        }
        if self.hosts.len() == 1 && !hello.get_bool("isWritablePrimary").unwrap_or(false) {
            return Err("there is no primary yet".into());
        }
        let admin = self.admin(&self.uri()).await?;
        logged_in(&admin).await?;
        if self.hosts.len() == 1 {
            return Ok(String::new());
        }
        let answer = admin.run_command(doc! { "replSetGetConfig": 1 }).await.map_err(text)?;
        let config = answer.get_document("config").map_err(|error| error.to_string())?;
        let status = admin.run_command(doc! { "replSetGetStatus": 1 }).await.map_err(text)?;
        // One after the other: the next is added when all others have all data.
        if let Some(trouble) = trouble(&status) {
            return Ok(trouble);
        }
        let Some((host, config)) = grown(config, &self.hosts) else { return Ok(String::new()) };
        match self.hello(&host).await {
            Ok(hello) if is_blank(&hello) => {
                admin.run_command(doc! { "replSetReconfig": config }).await.map_err(text)?;
                Ok(format!("{host} was added and copies the data"))
            }
            Ok(_) => Ok(format!("{host} is in another set and is not added: give it an empty volume")),
            Err(error) => Ok(format!("{host} is to be added: {error}")),
        }
    }

    /// Makes a set of the first member, which holds the users. Only while no member is in a set: the first one may have lost its volume,
    /// and gets a copy from the others.
    async fn initiate(&self) -> Result<String, String> {
        let first = &self.hosts[0];
        for host in &self.hosts[1..] {
            let hello =
                self.hello(host).await.map_err(|error| format!("waiting for {host} to begin: {error}"))?;
            if !is_blank(&hello) {
                return Err(format!(
                    "{first} is empty and {host} is not: waiting for {first} to copy the data"
                ));
            }
        }
        let admin = self
            .admin(&format!("mongodb://{}{first}/?authSource=admin&directConnection=true", self.login))
            .await?;
        let set = doc! { "_id": SET, "members": [{ "_id": 0, "host": first }] };
        admin.run_command(doc! { "replSetInitiate": set }).await.map_err(text)?;
        Ok("the replica set was initiated in this moment".into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mongodb::bson::{deserialize_from_slice, serialize_to_vec};
    use parking_lot::Mutex;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };
    use tokio_util::{sync::CancellationToken, task::TaskTracker};

    use super::*;

    const STARTUP2: i32 = 5;

    /// What three servers that speak MongoDB's protocol know. The first member of a set leads it; data is copied when a test says so.
    #[derive(Default)]
    struct World {
        hosts: Vec<String>,
        config: Option<Document>,
        /// Members that lost their volume since.
        blank: Vec<String>,
        copied: Vec<String>,
        initiated: usize,
    }

    impl World {
        fn members(&self) -> Vec<String> {
            let config = self.config.clone().unwrap_or_default();
            documents(&config, "members")
                .filter_map(|member| member.get_str("host").ok())
                .map(str::to_owned)
                .collect()
        }

        fn answer(&mut self, host: &str, command: &Document) -> Document {
            let (name, value) = command.iter().next().map(|(name, value)| (name.as_str(), value)).unwrap();
            let members = self.members();
            let inside =
                members.iter().any(|member| member == host) && !self.blank.iter().any(|blank| blank == host);
            let leads = inside && members.first().is_some_and(|first| first == host);
            let mut answer = doc! { "ok": 1.0 };
            match name {
                "hello" | "isMaster" | "ismaster" => {
                    answer.extend(
                        doc! { "maxWireVersion": 21, "minWireVersion": 0, "maxBsonObjectSize": 16_777_216,
                        "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000, "helloOk": true },
                    );
                    if inside {
                        answer.extend(doc! { "setName": SET, "hosts": &members, "me": host, "primary": &members[0], "setVersion": 1,
                            "isWritablePrimary": leads, "ismaster": leads, "secondary": !leads });
                    } else {
                        answer.extend(doc! { "isreplicaset": true, "isWritablePrimary": false, "ismaster": false, "secondary": false });
                    }
                }
                "replSetInitiate" => {
                    self.initiated += 1;
                    let mut config = value.as_document().unwrap().clone();
                    config.insert("version", 1);
                    self.copied = vec![host.to_owned()];
                    self.config = Some(config);
                }
                "replSetGetConfig" => {
                    answer.insert("config", self.config.clone().unwrap());
                }
                "replSetReconfig" => {
                    let config = value.as_document().unwrap().clone();
                    let version = number(&config, "version");
                    let ids: Vec<i32> =
                        documents(&config, "members").map(|member| number(member, "_id")).collect();
                    let mut unique = ids.clone();
                    unique.dedup();
                    if version != number(self.config.as_ref().unwrap(), "version") + 1
                        || unique != ids
                        || ids.len() != members.len() + 1
                    {
                        return doc! { "ok": 0.0, "errmsg": "refused", "code": 103 };
                    }
                    self.config = Some(config);
                }
                "replSetGetStatus" => {
                    let members: Vec<Document> = members
                        .iter()
                        .enumerate()
                        .map(|(place, name)| {
                            let state = match place {
                                0 => PRIMARY,
                                _ if self.copied.contains(name) => SECONDARY,
                                _ => STARTUP2,
                            };
                            doc! { "name": name, "state": state, "stateStr": if state == STARTUP2 { "STARTUP2" } else { "well" } }
                        })
                        .collect();
                    answer.insert("members", members);
                }
                _ => {}
            }
            answer
        }
    }

    /// OP_MSG both ways: 16 bytes of header, 4 of flags, a section of kind 0.
    async fn serve(mut stream: TcpStream, host: String, world: Arc<Mutex<World>>) -> std::io::Result<()> {
        loop {
            let mut header = [0; 16];
            stream.read_exact(&mut header).await?;
            let size = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
            let mut body = vec![0; size - 16];
            stream.read_exact(&mut body).await?;
            assert_eq!(header[12..16], 2013_u32.to_le_bytes(), "only OP_MSG is spoken here");
            let command: Document = deserialize_from_slice(&body[5..]).unwrap();
            let answer = serialize_to_vec(&world.lock().answer(&host, &command)).unwrap();
            let mut reply = Vec::new();
            reply.extend((21 + answer.len() as u32).to_le_bytes());
            reply.extend(1_u32.to_le_bytes());
            reply.extend(&header[4..8]);
            reply.extend(2013_u32.to_le_bytes());
            reply.extend(0_u32.to_le_bytes());
            reply.push(0);
            reply.extend(answer);
            stream.write_all(&reply).await?;
        }
    }

    struct Servers {
        world: Arc<Mutex<World>>,
        tasks: TaskTracker,
        stop: CancellationToken,
    }

    impl Servers {
        async fn start(count: usize) -> Self {
            let (world, tasks, stop) =
                (Arc::new(Mutex::new(World::default())), TaskTracker::new(), CancellationToken::new());
            for _ in 0..count {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let host = listener.local_addr().unwrap().to_string();
                world.lock().hosts.push(host.clone());
                let (world, connections) = (world.clone(), tasks.clone());
                let accepting = async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        connections.spawn(serve(stream, host.clone(), world.clone()));
                    }
                };
                let stop = stop.clone();
                tasks.spawn(async move {
                    tokio::select! { () = stop.cancelled() => {}, () = accepting => {} }
                });
            }
            Self { world, tasks, stop }
        }

        fn set(&self) -> ReplicaSet {
            let hosts = self.world.lock().hosts.clone();
            ReplicaSet { hosts, login: String::new(), patience: Duration::from_secs(5) }
        }

        fn copy_all(&self) {
            let mut world = self.world.lock();
            world.copied = world.members();
        }
    }

    impl Drop for Servers {
        fn drop(&mut self) {
            self.stop.cancel();
            self.tasks.close();
        }
    }

    #[tokio::test]
    async fn a_set_is_initiated_once_and_grows_member_by_member() {
        let servers = Servers::start(3).await;
        let set = servers.set();
        assert_eq!(set.ensure().await, Err("the replica set was initiated in this moment".into()));
        for added in [1, 2] {
            let said = set.ensure().await.unwrap();
            assert_eq!(said, format!("{} was added and copies the data", set.hosts[added]));
            // While it copies nothing else is changed.
            assert_eq!(set.ensure().await.unwrap(), format!("{} is STARTUP2", set.hosts[added]));
            assert_eq!(servers.world.lock().members().len(), added + 1);
            servers.copy_all();
        }
        assert_eq!(set.ensure().await, Ok(String::new()));
        assert_eq!(servers.world.lock().members(), set.hosts);
        assert_eq!(servers.world.lock().initiated, 1);
    }

    #[tokio::test]
    async fn a_first_member_that_lost_its_volume_does_not_make_a_second_set() {
        let servers = Servers::start(3).await;
        let set = servers.set();
        while set.ensure().await.is_err() {}
        servers.copy_all();
        servers.world.lock().blank = vec![set.hosts[0].clone()];
        assert!(set.ensure().await.unwrap_err().contains("waiting for"), "the others hold the data");
        assert_eq!(servers.world.lock().initiated, 1);
    }

    #[tokio::test]
    async fn a_set_of_one_is_initiated_and_reached_directly() {
        let servers = Servers::start(1).await;
        let set = servers.set();
        assert!(set.ensure().await.is_err());
        assert_eq!(set.ensure().await, Ok(String::new()));
        assert!(set.uri().ends_with("directConnection=true"));
    }

    #[tokio::test]
    async fn nothing_is_initiated_before_all_members_run() {
        let servers = Servers::start(2).await;
        let mut set = servers.set();
        set.patience = Duration::from_millis(300);
        set.hosts.push("127.0.0.1:1".into());
        assert!(set.ensure().await.unwrap_err().starts_with("waiting for 127.0.0.1:1 to begin"));
        assert_eq!(servers.world.lock().initiated, 0);
    }
}
