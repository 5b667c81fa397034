//! The managed MongoDB as a replica set: initiated once, then grown or made smaller member by member. The set itself elects, replicates and hands over.

use std::{path::PathBuf, time::Duration};

use mongodb::{
    Client, Database,
    bson::{Document, doc},
    options::ClientOptions,
};
use sha2::{Digest, Sha256};

/// The name of the set.
pub const SET: &str = "rs0";
/// What a service needs to know of TLS.
const SERVICES_TLS: &str = "&tls=true&tlsCAFile=/config/ca.crt";
const PRIMARY: i32 = 1;
const SECONDARY: i32 = 2;

/// A set as it should be.
pub struct ReplicaSet {
    /// host:port of the members, in the order of their pods.
    pub hosts: Vec<String>,
    /// Those that are to leave it, if they are in it still.
    pub leaving: Vec<String>,
    /// `user:password@`, or empty.
    pub login: String,
    /// Certificate of the authority that vouches for the members; empty: they do not speak TLS.
    pub authority: String,
    /// How long a member may take to answer.
    pub patience: Duration,
}

/// What a set that can be written to looks like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// What is not as it should be yet, or nothing.
    pub remark: String,
    /// Members, whether they serve or not.
    pub members: i32,
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

/// The last member that is to leave, and the configuration without it.
fn without_last(config: &Document, leaving: &[String]) -> Option<(String, Document)> {
    let host_of = |member: &Document| member.get_str("host").unwrap_or_default().to_owned();
    let there: Vec<String> = documents(config, "members").map(host_of).collect();
    let last = leaving.iter().rfind(|host| there.contains(host))?;
    let rest: Vec<mongodb::bson::Bson> = documents(config, "members")
        .filter(|member| host_of(member) != *last)
        .map(|member| member.clone().into())
        .collect();
    let mut smaller = config.clone();
    smaller.insert("version", number(config, "version") + 1);
    smaller.insert("members", rest);
    Some((last.clone(), smaller))
}

/// The first member that neither leads nor follows, but for those that leave.
fn trouble(status: &Document, leaving: &[String]) -> Option<String> {
    let name_of = |member: &Document| member.get_str("name").unwrap_or("?").to_owned();
    let member = documents(status, "members").find(|member| {
        ![PRIMARY, SECONDARY].contains(&number(member, "state")) && !leaving.contains(&name_of(member))
    })?;
    Some(format!("{} is {}", name_of(member), member.get_str("stateStr").unwrap_or("unknown")))
}

/// Whether a member is the one that is written to.
fn leads(status: &Document, host: &str) -> bool {
    documents(status, "members").any(|member| {
        number(member, "state") == PRIMARY && member.get_str("name").is_ok_and(|name| name == host)
    })
}

impl ReplicaSet {
    /// The hosts of all members, those that leave among them.
    pub fn all_hosts(&self) -> Vec<String> {
        self.hosts.iter().chain(&self.leaving).cloned().collect()
    }

    /// The connection string of the services, which find the authority's certificate beside their configuration.
    pub fn uri(&self) -> String {
        format!("{}{}", self.plain_uri(), if self.authority.is_empty() { "" } else { SERVICES_TLS })
    }

    fn plain_uri(&self) -> String {
        let hosts = self.all_hosts();
        let way =
            if hosts.len() == 1 { "directConnection=true".to_owned() } else { format!("replicaSet={SET}") };
        format!("mongodb://{}{}/?authSource=admin&{way}", self.login, hosts.join(","))
    }

    async fn admin(&self, uri: &str) -> Result<Database, String> {
        if self.authority.is_empty() {
            return admin(uri, self.patience).await;
        }
        let path = self.authority_file().map_err(|error| format!("the authority's certificate: {error}"))?;
        admin(&format!("{uri}&tls=true&tlsCAFile={}", path.display()), self.patience).await
    }

    /// The driver takes the certificate from a file alone. Whoever is second finds the same one.
    fn authority_file(&self) -> std::io::Result<PathBuf> {
        let digest = hex::encode(Sha256::digest(&self.authority));
        let path = std::env::temp_dir().join(format!("openim-ca-{}.crt", &digest[..16]));
        if !path.exists() {
            let part = path.with_extension(format!("{:x}", rand::random::<u64>()));
            std::fs::write(&part, &self.authority)?;
            std::fs::rename(&part, &path)?;
        }
        Ok(path)
    }

    /// What a member says of itself; needs no login.
    async fn hello(&self, host: &str) -> Result<Document, String> {
        let admin = self.admin(&format!("mongodb://{host}/?directConnection=true")).await?;
        admin.run_command(doc! { "hello": 1 }).await.map_err(text)
    }

    /// Takes the next step to the set as it should be. `Ok` when it can be written to.
    ///
    /// # Errors
    /// Why it cannot be written to.
    pub async fn ensure(&self) -> Result<Seen, String> {
        let first = &self.hosts[0];
        let hello = self.hello(first).await?;
        if is_blank(&hello) {
            return Err(self.initiate().await?);
        }
        let alone = self.hosts.len() + self.leaving.len() == 1;
        if alone && !hello.get_bool("isWritablePrimary").unwrap_or(false) {
            return Err("there is no primary yet".into());
        }
        let admin = self.admin(&self.plain_uri()).await?;
        logged_in(&admin).await?;
        if alone {
            return Ok(Seen { remark: String::new(), members: 1 });
        }
        let answer = admin.run_command(doc! { "replSetGetConfig": 1 }).await.map_err(text)?;
        let config = answer.get_document("config").map_err(|error| error.to_string())?;
        let status = admin.run_command(doc! { "replSetGetStatus": 1 }).await.map_err(text)?;
        let members = documents(config, "members").count() as i32;
        let seen = |remark: String, members: i32| Ok(Seen { remark, members });
        // One after the other: the next is added when all others have all data.
        if let Some(trouble) = trouble(&status, &self.leaving) {
            return seen(trouble, members);
        }
        if let Some((host, config)) = without_last(config, &self.leaving) {
            if leads(&status, &host) {
                // It closes its connections when it does: that is no failure. What it refuses is asked for again in the next pass.
                let asked = admin.run_command(doc! { "replSetStepDown": 60 }).await;
                tracing::info!(host, outcome = ?asked.err().map(text), "mongodb.steps_down");
                return seen(format!("{host} is to leave the set and leads it: another takes over"), members);
            }
            admin.run_command(doc! { "replSetReconfig": config }).await.map_err(text)?;
            return seen(format!("{host} has left the set"), members - 1);
        }
        let Some((host, config)) = grown(config, &self.hosts) else { return seen(String::new(), members) };
        match self.hello(&host).await {
            Ok(hello) if is_blank(&hello) => {
                admin.run_command(doc! { "replSetReconfig": config }).await.map_err(text)?;
                seen(format!("{host} was added and copies the data"), members + 1)
            }
            Ok(_) => {
                seen(format!("{host} is in another set and is not added: give it an empty volume"), members)
            }
            Err(error) => seen(format!("{host} is to be added: {error}"), members),
        }
    }

    /// Lets another user do everything, as ours may, and sees that it can.
    ///
    /// # Errors
    /// What the server refused.
    pub async fn admit(&self, other: &Self, user: &str, password: &str) -> Result<(), String> {
        let admin = self.admin(&self.plain_uri()).await?;
        let with =
            |verb: &str| doc! { verb: user, "pwd": password, "roles": [{ "role": "root", "db": "admin" }] };
        if let Err(refused) = admin.run_command(with("createUser")).await {
            // It may be there, from a pass that broke off.
            admin.run_command(with("updateUser")).await.map_err(|_| text(refused))?;
        }
        logged_in(&self.admin(&other.plain_uri()).await?).await
    }

    /// Lets a user in no more.
    ///
    /// # Errors
    /// What the server refused.
    pub async fn dismiss(&self, user: &str) -> Result<(), String> {
        let admin = self.admin(&self.plain_uri()).await?;
        let known = admin.run_command(doc! { "usersInfo": user }).await.map_err(text)?;
        if documents(&known, "users").next().is_some() {
            admin.run_command(doc! { "dropUser": user }).await.map_err(text)?;
        }
        Ok(())
    }

    /// Makes a set of the first member, which holds the users. Only while no member is in a set: the first one may have lost its volume,
    /// and gets a copy from the others.
    async fn initiate(&self) -> Result<String, String> {
        let first = &self.hosts[0];
        for host in &self.all_hosts()[1..] {
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
        /// Who leads, where it is not the first.
        leader: Option<String>,
        /// Members that lost their volume since.
        blank: Vec<String>,
        copied: Vec<String>,
        initiated: usize,
        /// Users and their passwords.
        users: std::collections::BTreeMap<String, String>,
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
            let leader = self.leader.clone().or_else(|| members.first().cloned());
            let leads = inside && leader.as_deref() == Some(host);
            let mut answer = doc! { "ok": 1.0 };
            match name {
                "hello" | "isMaster" | "ismaster" => {
                    answer.extend(
                        doc! { "maxWireVersion": 21, "minWireVersion": 0, "maxBsonObjectSize": 16_777_216,
                        "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000, "helloOk": true },
                    );
                    if inside {
                        answer.extend(doc! { "setName": SET, "hosts": &members, "me": host, "primary": &leader, "setVersion": 1,
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
                        || ids.len().abs_diff(members.len()) != 1
                        || !leads
                    {
                        return doc! { "ok": 0.0, "errmsg": "refused", "code": 103 };
                    }
                    self.config = Some(config);
                }
                "createUser" | "updateUser" => {
                    let user = value.as_str().unwrap().to_owned();
                    if self.users.contains_key(&user) == (name == "createUser") {
                        return doc! { "ok": 0.0, "errmsg": "it is there already, or is not", "code": 51003 };
                    }
                    self.users.insert(user, command.get_str("pwd").unwrap().to_owned());
                }
                "usersInfo" => {
                    let user = value.as_str().filter(|user| self.users.contains_key(*user));
                    answer.insert(
                        "users",
                        user.map(|user| doc! { "user": user }).into_iter().collect::<Vec<_>>(),
                    );
                }
                "dropUser" => {
                    let known = self.users.remove(value.as_str().unwrap());
                    if known.is_none() {
                        return doc! { "ok": 0.0, "errmsg": "no such user", "code": 11 };
                    }
                }
                "replSetStepDown" => {
                    self.leader = members.iter().find(|member| *member != host).cloned();
                }
                "replSetGetStatus" => {
                    let members: Vec<Document> = members
                        .iter()
                        .map(|name| {
                            let state = match name {
                                name if Some(name) == leader.as_ref() => PRIMARY,
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
            ReplicaSet {
                hosts,
                leaving: vec![],
                login: String::new(),
                authority: String::new(),
                patience: Duration::from_secs(5),
            }
        }

        /// A set of all of them, grown to its end.
        async fn whole(&self) -> ReplicaSet {
            let set = self.set();
            self.grow(&set).await;
            set
        }

        async fn grow(&self, set: &ReplicaSet) {
            while set.ensure().await != well(set.hosts.len() as i32) {
                self.copy_all();
            }
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
            let said = set.ensure().await.unwrap().remark;
            assert_eq!(said, format!("{} was added and copies the data", set.hosts[added]));
            // While it copies nothing else is changed.
            assert_eq!(set.ensure().await.unwrap().remark, format!("{} is STARTUP2", set.hosts[added]));
            assert_eq!(servers.world.lock().members().len(), added + 1);
            servers.copy_all();
        }
        assert_eq!(set.ensure().await, well(3));
        assert_eq!(servers.world.lock().members(), set.hosts);
        assert_eq!(servers.world.lock().initiated, 1);
    }

    fn well(members: i32) -> Result<Seen, String> {
        Ok(Seen { remark: String::new(), members })
    }

    #[tokio::test]
    async fn members_leave_one_by_one_and_one_that_leads_hands_over_first() {
        let servers = Servers::start(3).await;
        let mut set = servers.whole().await;
        set.leaving = set.hosts.split_off(1);
        servers.world.lock().leader = Some(set.leaving[0].clone());
        let next = async || set.ensure().await.unwrap();
        // One that leaves may be dead: that must not keep it.
        servers.world.lock().copied.retain(|host| *host != set.leaving[1]);
        let gone = Seen { remark: format!("{} has left the set", set.leaving[1]), members: 2 };
        assert_eq!(next().await, gone);
        let leads = format!("{} is to leave the set and leads it: another takes over", set.leaving[0]);
        assert_eq!(next().await, Seen { remark: leads, members: 2 });
        assert_eq!(servers.world.lock().leader.as_ref(), Some(&set.hosts[0]));
        assert_eq!(next().await.members, 1);
        assert_eq!(set.ensure().await, well(1));
        assert_eq!(servers.world.lock().members(), set.hosts);
        // It comes back as a member that knows nothing of the set.
        set.hosts.append(&mut set.leaving);
        servers.grow(&set).await;
    }

    #[tokio::test]
    async fn no_second_set_is_made_while_those_that_leave_hold_the_data() {
        let servers = Servers::start(3).await;
        let mut set = servers.whole().await;
        set.leaving = set.hosts.split_off(1);
        servers.world.lock().blank = vec![set.hosts[0].clone()];
        assert!(set.ensure().await.unwrap_err().contains("waiting for"));
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
        assert_eq!(set.ensure().await, well(1));
        assert!(set.uri().ends_with("directConnection=true"));
    }

    #[tokio::test]
    async fn users_come_and_go_and_both_can_be_asked_twice() {
        let servers = Servers::start(1).await;
        let set = servers.whole().await;
        for password in ["first", "second"] {
            set.admit(&set, "openim-b", password).await.unwrap();
            assert_eq!(servers.world.lock().users["openim-b"], password);
        }
        for _ in 0..2 {
            set.dismiss("openim-b").await.unwrap();
            assert!(servers.world.lock().users.is_empty());
        }
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
