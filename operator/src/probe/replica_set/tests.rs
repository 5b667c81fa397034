use std::sync::Arc;

use mongodb::bson::{deserialize_from_slice, serialize_to_vec};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::*;
use planner::model::replica_set::{ReplicaSet, SET};

use crate::probe::replica_set::config::{PRIMARY, SECONDARY};

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
    /// Members that did not find themselves in the configuration when they started.
    removed: Vec<String>,
    /// Whoever asks may do nothing but read the services' database, or not even that.
    reads: Option<bool>,
    /// Collections that somebody removed.
    lost: Vec<&'static str>,
    /// How many changes are refused because the last one is not everywhere yet.
    busy: usize,
    copied: Vec<String>,
    initiated: usize,
    /// Users and their passwords.
    users: std::collections::BTreeMap<String, String>,
    /// What they may do.
    roles: std::collections::BTreeMap<String, Vec<mongodb::bson::Bson>>,
}

fn refusal(code: i32) -> Document {
    doc! { "ok": 0.0, "errmsg": "refused", "code": code }
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
        let is_one_of = |list: &[String]| list.iter().any(|other| other == host);
        let inside = is_one_of(&members) && !is_one_of(&self.blank) && !is_one_of(&self.removed);
        let leader = self.leader.clone().or_else(|| members.first().cloned());
        let leaderless =
            !self.removed.is_empty() || leader.as_ref().is_none_or(|leader| self.blank.contains(leader));
        let leads = inside && leader.as_deref() == Some(host);
        let mut answer = doc! { "ok": 1.0 };
        match name {
            "hello" | "isMaster" | "ismaster" => {
                answer.extend(
                    doc! { "maxWireVersion": 21, "minWireVersion": 0, "maxBsonObjectSize": 16_777_216,
                    "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000, "helloOk": true },
                );
                if inside {
                    answer.extend(doc! { "setName": SET, "hosts": &members, "me": host, "setVersion": 1,
                    "isWritablePrimary": leads, "ismaster": leads, "secondary": !leads });
                    if let Some(leader) = leader.filter(|_| !leaderless) {
                        answer.insert("primary", leader);
                    }
                } else {
                    answer.extend(doc! { "isreplicaset": true, "isWritablePrimary": false, "ismaster": false, "secondary": false });
                }
            }
            "find" if self.reads == Some(false) => return refusal(13),
            "listIndexes" => {
                let collection = value.as_str().unwrap();
                if self.lost.contains(&collection) {
                    return refusal(26);
                }
                let field = if collection == "messages" { "k" } else { "user_id" };
                let all = [doc! { "key": { "_id": 1 } }, doc! { "key": { field: 1 }, "unique": true }];
                let ns = format!("openim_v3.$cmd.listIndexes.{collection}");
                answer.insert("cursor", doc! { "id": 0_i64, "ns": ns, "firstBatch": all.to_vec() });
            }
            "usersInfo" if self.reads.is_some() => return refusal(13),
            "replSetGetStatus" if is_one_of(&self.removed) => return refusal(93),
            "replSetGetStatus" if !inside => return refusal(94),
            "replSetInitiate" if self.config.is_some() => return refusal(23),
            "replSetReconfig" if self.busy > 0 => {
                self.busy -= 1;
                return refusal(308);
            }
            "replSetReconfig" if command.get_bool("force").unwrap_or(false) => {
                let config = value.as_document().unwrap().clone();
                assert_eq!(config.get("members"), self.config.as_ref().unwrap().get("members"));
                self.config = Some(config);
                self.removed.clear();
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
                    return refusal(103);
                }
                self.config = Some(config);
            }
            "createUser" | "updateUser" => {
                let user = value.as_str().unwrap().to_owned();
                if self.users.contains_key(&user) == (name == "createUser") {
                    return doc! { "ok": 0.0, "errmsg": "it is there already, or is not", "code": 51003 };
                }
                self.roles.insert(user.clone(), command.get_array("roles").unwrap().clone());
                self.users.insert(user, command.get_str("pwd").unwrap().to_owned());
            }
            "usersInfo" => {
                let user = value.as_str().filter(|user| self.users.contains_key(*user));
                answer
                    .insert("users", user.map(|user| doc! { "user": user }).into_iter().collect::<Vec<_>>());
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
                        let text = if state == STARTUP2 { "STARTUP2" } else { "well" };
                        doc! { "name": name, "state": state, "stateStr": text }
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
    /// In the order of the hosts.
    each: Vec<CancellationToken>,
}

impl Servers {
    async fn start(count: usize) -> Self {
        let (world, tasks, stop) =
            (Arc::new(Mutex::new(World::default())), TaskTracker::new(), CancellationToken::new());
        let mut each = Vec::new();
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let host = listener.local_addr().unwrap().to_string();
            world.lock().hosts.push(host.clone());
            let (world, connections) = (world.clone(), tasks.clone());
            let one: CancellationToken = stop.child_token();
            each.push(one.clone());
            let stop = one.clone();
            let accepting = async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (host, world, one) = (host.clone(), world.clone(), one.clone());
                    connections
                        .spawn(async move { one.run_until_cancelled(serve(stream, host, world)).await });
                }
            };
            tasks.spawn(async move {
                tokio::select! { () = stop.cancelled() => {}, () = accepting => {} }
            });
        }
        Self { world, tasks, stop, each }
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
        while Members(set).ensure().await != well(set.hosts.len() as i32) {
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
    assert_eq!(Members(&set).ensure().await, Err("the replica set has just been initiated".into()));
    for added in [1, 2] {
        let said = Members(&set).ensure().await.unwrap().remark;
        assert_eq!(said, format!("{} was added and is copying the data", set.hosts[added]));
        // While it copies nothing else is changed.
        assert_eq!(Members(&set).ensure().await.unwrap().remark, format!("{} is STARTUP2", set.hosts[added]));
        assert_eq!(servers.world.lock().members().len(), added + 1);
        servers.copy_all();
    }
    assert_eq!(Members(&set).ensure().await, well(3));
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
    let next = async || Members(&set).ensure().await.unwrap();
    // One that leaves may be dead: that must not keep it.
    servers.world.lock().copied.retain(|host| *host != set.leaving[1]);
    let gone = Seen { remark: format!("{} has left the set", set.leaving[1]), members: 2 };
    assert_eq!(next().await, gone);
    let leads = format!("{} is leaving the set and is its primary: stepping down", set.leaving[0]);
    assert_eq!(next().await, Seen { remark: leads, members: 2 });
    assert_eq!(servers.world.lock().leader.as_ref(), Some(&set.hosts[0]));
    assert_eq!(next().await.members, 1);
    assert_eq!(Members(&set).ensure().await, well(1));
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
    assert!(Members(&set).ensure().await.unwrap_err().contains("waiting for"));
    assert_eq!(servers.world.lock().initiated, 1);
}

#[tokio::test]
async fn a_first_member_that_lost_its_volume_does_not_make_a_second_set() {
    let servers = Servers::start(3).await;
    let set = servers.set();
    while Members(&set).ensure().await.is_err() {}
    servers.copy_all();
    servers.world.lock().blank = vec![set.hosts[0].clone()];
    assert!(Members(&set).ensure().await.unwrap_err().contains("waiting for"), "the others hold the data");
    assert_eq!(servers.world.lock().initiated, 1);
}

#[tokio::test]
async fn one_member_may_be_away_be_it_the_first() {
    let servers = Servers::start(3).await;
    let mut set = servers.whole().await;
    set.patience = Duration::from_millis(500);
    servers.world.lock().leader = Some(set.hosts[1].clone());
    servers.each[0].cancel();
    assert_eq!(Members(&set).ensure().await, well(3));
}

#[tokio::test]
async fn members_that_started_before_their_names_resolved_are_told_again_who_they_are() {
    for count in [1, 3] {
        let servers = Servers::start(count).await;
        let set = servers.whole().await;
        servers.world.lock().removed = set.hosts.clone();
        assert!(Members(&set).ensure().await.unwrap_err().contains("were reconfigured"));
        assert_eq!(Members(&set).ensure().await, well(count as i32));
        assert_eq!(servers.world.lock().initiated, 1);
    }
}

#[tokio::test]
async fn nobody_is_told_anything_while_a_member_is_silent_that_may_know_better() {
    let servers = Servers::start(3).await;
    let mut set = servers.whole().await;
    set.patience = Duration::from_millis(300);
    servers.world.lock().removed = set.hosts.clone();
    servers.each[2].cancel();
    assert!(Members(&set).ensure().await.unwrap_err().starts_with("waiting for"));
    assert_eq!(servers.world.lock().removed.len(), 3);
}

#[tokio::test]
async fn a_change_of_members_that_is_refused_for_now_leaves_the_set_reachable() {
    let servers = Servers::start(3).await;
    let mut set = servers.whole().await;
    set.leaving = set.hosts.split_off(2);
    servers.world.lock().busy = 1;
    let seen = Members(&set).ensure().await.unwrap();
    assert!(seen.remark.contains("rejects a change") && seen.members == 3, "{seen:?}");
    assert_eq!(Members(&set).ensure().await.unwrap().members, 2);
}

#[tokio::test]
async fn a_user_of_one_database_is_enough_and_one_who_may_not_read_it_hears_which_role_he_needs() {
    let servers = Servers::start(1).await;
    let uri = format!("mongodb://{}/?directConnection=true", servers.world.lock().hosts[0]);
    servers.world.lock().reads = Some(true);
    assert_eq!(ask(&uri, "openim_v3", Duration::from_secs(5)).await, Ok(vec![]));
    servers.world.lock().reads = Some(false);
    let refused = ask(&uri, "openim_v3", Duration::from_secs(5)).await.unwrap_err();
    assert!(refused.contains("readWrite on openim_v3"), "{refused}");
}

#[tokio::test]
async fn a_set_of_one_is_initiated_and_reached_directly() {
    let servers = Servers::start(1).await;
    let set = servers.set();
    assert!(Members(&set).ensure().await.is_err());
    assert_eq!(Members(&set).ensure().await, well(1));
    assert!(set.uri().ends_with("directConnection=true"));
}

#[tokio::test]
async fn users_come_and_go_and_both_can_be_asked_twice() {
    let servers = Servers::start(1).await;
    let set = servers.whole().await;
    for password in ["first", "second"] {
        Members(&set).admit(&set, "openim-b", password).await.unwrap();
        assert_eq!(servers.world.lock().users["openim-b"], password);
    }
    for _ in 0..2 {
        Members(&set).dismiss("openim-b").await.unwrap();
        assert!(servers.world.lock().users.is_empty());
    }
}

#[tokio::test]
async fn the_user_of_the_services_may_use_one_database() {
    let servers = Servers::start(1).await;
    let set = servers.whole().await;
    // The server of these tests asks nobody for a password: the role is looked at, as MongoDB documents it.
    Members(&set)
        .make_user("openim-app", "p", doc! { "role": "readWrite", "db": "openim_v3" })
        .await
        .unwrap();
    let roles = servers.world.lock().roles["openim-app"].clone();
    assert_eq!(roles, [doc! { "role": "readWrite", "db": "openim_v3" }.into()]);
    Members(&set).admit_application(&set, "openim-app", "p", "openim_v3").await.unwrap();
}

#[tokio::test]
async fn nothing_is_initiated_before_all_members_run() {
    let servers = Servers::start(2).await;
    let mut set = servers.set();
    set.patience = Duration::from_millis(300);
    set.hosts.push("127.0.0.1:1".into());
    assert!(Members(&set).ensure().await.unwrap_err().starts_with("waiting for 127.0.0.1:1 to start"));
    assert_eq!(servers.world.lock().initiated, 0);
}

#[tokio::test]
async fn collections_that_lost_their_unique_index_are_named() {
    let servers = Servers::start(3).await;
    let set = servers.whole().await;
    assert_eq!(Members(&set).lacking_indexes().await, Ok(vec![]));
    servers.world.lock().lost = vec!["messages"];
    assert_eq!(Members(&set).lacking_indexes().await, Ok(vec!["messages"]));
    assert!(!has_unique(&doc! {}, "k"));
    let not_unique = doc! { "cursor": { "firstBatch": [{ "key": { "k": 1 } }] } };
    assert!(!has_unique(&not_unique, "k"));
}
