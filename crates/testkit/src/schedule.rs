//! One schedule: people send to each other and to a group while processes die and steps fail; then everything calms down, has time to
//! catch up, and is judged.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use protocol::{msg::SendMsgReq, sdkws::MsgData};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Plan, Role, World, add_group, add_users,
    cluster::Doors,
    device::{self, Seen},
    oracle::{Oracle, Sent},
    people::user_context,
};

const USERS: [&str; 4] = ["ann", "ben", "cat", "dan"];
/// Of the group.
const MEMBERS: [&str; 3] = ["ann", "ben", "cat"];
const GROUP: &str = "g";
const MESSAGES_EACH: usize = 3;
/// A process that died starts again within this.
const RESTART_MS: u64 = 4000;
/// When all went well, everything has caught up long before.
const PATIENCE: Duration = Duration::from_secs(180);

/// What may go wrong.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// This role's first process dies at this step, and nothing else happens; otherwise all is drawn.
    pub only: Option<(Role, u64)>,
}

/// How a schedule went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What must not be; empty when all is well.
    pub wrong: Vec<String>,
    /// What happened to the processes, in order.
    pub journal: Vec<String>,
    /// How many steps the first process of each role took.
    pub steps: Vec<(Role, u64)>,
}

const ROLES: [Role; 5] = [Role::Msg, Role::Transfer, Role::Push, Role::Gateway(0), Role::Gateway(1)];

/// Runs one schedule on a runtime of its own.
///
/// # Panics
/// When the runtime cannot be made.
pub fn run(settings: Settings) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap_or_else(|error| panic!("{error}")).block_on(schedule(settings))
}

async fn schedule(settings: Settings) -> Outcome {
    let world = World::new(2).await;
    add_users(&world, &USERS).await;
    add_group(&world, GROUP, &MEMBERS).await;
    let (tasks, doors): (TaskTracker, Doors) = (TaskTracker::new(), Arc::new(Mutex::new(vec![None, None])));
    let mut chance = StdRng::seed_from_u64(settings.seed);
    let steps: Arc<Mutex<Vec<(Role, u64)>>> = Arc::default();
    for role in ROLES {
        let keeper =
            Keeper { world: world.clone(), doors: doors.clone(), role, settings, steps: steps.clone() };
        tasks.spawn(keeper.run(chance.random()));
    }
    let devices: Vec<(&str, Seen)> = USERS.iter().map(|user| (*user, Seen::default())).collect();
    for (user, seen) in &devices {
        let first = chance.random_range(0..2);
        tasks.spawn(device::run(world.clone(), doors.clone(), (*user).to_owned(), first, seen.clone()));
    }
    let senders = TaskTracker::new();
    for user in USERS {
        senders.spawn(send_all(world.clone(), user, chance.random()));
    }
    senders.close();
    senders.wait().await;
    world.weather.clears();
    let deadline = Instant::now() + PATIENCE;
    let is_quiet = || world.has_caught_up() && Oracle::untold(&world, &MEMBERS, &devices).is_empty();
    while !is_quiet() && Instant::now() < deadline {
        sleep(Duration::from_millis(500)).await;
    }
    if !world.has_caught_up() {
        world.journal.lock().push("the log was not read to its end".into());
    }
    world.oracle.judge_store(&world.memory);
    world.oracle.judge_readers(&world, &USERS, &MEMBERS).await;
    world.oracle.judge_devices(&world, &MEMBERS, &devices);
    let (journal, steps) = (world.journal.lock().clone(), steps.lock().clone());
    Outcome { wrong: world.oracle.verdict(), journal, steps }
}

/// Keeps a role running: when its process dies, another one starts after a while.
#[derive(Clone)]
struct Keeper {
    world: World,
    doors: Doors,
    role: Role,
    settings: Settings,
    steps: Arc<Mutex<Vec<(Role, u64)>>>,
}

impl Keeper {
    async fn run(self, seed: u64) {
        let mut chance = StdRng::seed_from_u64(seed);
        for life in 0.. {
            let plan = self.plan(life, &mut chance);
            let process = self.world.process(format!("{:?}/{life}", self.role), plan, chance.random());
            let stop = CancellationToken::new();
            self.world.start(self.role, &process, &self.doors, stop.clone());
            let count = async {
                loop {
                    sleep(Duration::from_millis(500)).await;
                    if life == 0 {
                        let mut steps = self.steps.lock();
                        steps.retain(|(role, _)| *role != self.role);
                        steps.push((self.role, process.steps()));
                    }
                }
            };
            tokio::select! {
                biased;
                () = process.died() => {}
                _ = count => {}
            }
            stop.cancel();
            if let Role::Gateway(number) = self.role {
                self.doors.lock()[number] = None;
            }
            sleep(Duration::from_millis(chance.random_range(0..RESTART_MS))).await;
        }
    }

    fn plan(&self, life: u64, chance: &mut StdRng) -> Plan {
        match self.settings.only {
            Some((role, step)) if role == self.role && life == 0 => {
                Plan { dies_at: Some(step), trouble: 0, slow_ms: 3 }
            }
            Some(_) => Plan { dies_at: None, trouble: 0, slow_ms: 3 },
            None => Plan {
                dies_at: (life < 3 && chance.random_bool(0.6)).then(|| chance.random_range(1..60)),
                trouble: [0, 10, 60, 150][chance.random_range(0..4)],
                slow_ms: [1, 20, 200][chance.random_range(0..3)],
            },
        }
    }
}

/// Sends some messages, one after the other; each is retried with its clientMsgID until it is acknowledged, or given up.
async fn send_all(world: World, user: &'static str, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    for number in 0..MESSAGES_EACH {
        sleep(Duration::from_millis(chance.random_range(0..1500))).await;
        let to_group = MEMBERS.contains(&user) && chance.random_bool(0.5);
        let others: Vec<&str> = USERS.into_iter().filter(|other| *other != user).collect();
        let to = others[chance.random_range(0..others.len())];
        let patience = if chance.random_bool(0.2) { 1 } else { 100 };
        let message = message(user, (to, to_group), number);
        let place = {
            let mut sent = world.oracle.sent.lock();
            sent.push(Sent {
                conversation: model::conversation_id::of_message(&message).unwrap_or_default(),
                sender: user.to_owned(),
                client_msg_id: message.client_msg_id.clone(),
                text: String::from_utf8_lossy(&message.content).into_owned(),
                acknowledged: false,
            });
            sent.len() - 1
        };
        let request = SendMsgReq { msg_data: Some(message) };
        for _attempt in 0..patience {
            let answer = world.call(&user_context(user), &request).await;
            if answer.is_ok() {
                world.oracle.sent.lock()[place].acknowledged = true;
                break;
            }
            sleep(Duration::from_millis(chance.random_range(50..600))).await;
        }
    }
}

fn message(user: &str, (to, to_group): (&str, bool), number: usize) -> MsgData {
    MsgData {
        send_id: user.to_owned(),
        recv_id: if to_group { String::new() } else { to.to_owned() },
        group_id: if to_group { GROUP.to_owned() } else { String::new() },
        session_type: if to_group { 3 } else { 1 },
        content_type: 101,
        client_msg_id: format!("{user}-{number}"),
        content: format!("{{\"content\":\"{user} says {number}\"}}").into_bytes().into(),
        sender_platform_id: 5,
        ..Default::default()
    }
}
