//! One host without Kubernetes (compose.yaml): the files with generated secrets that the servers and services start with, MongoDB's
//! replica set, and what tells whether a container is healthy. The images of the servers need no shell for any of it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bson::doc;
use mongodb::{Client, options::ClientOptions};

/// The users that the images run as.
const OPENIM: u32 = 65532;
const MONGODB: u32 = 999;
const REDIS: u32 = 999;
const KAFKA: u32 = 1000;

/// What is left in the directory for others to run.
const PROGRAM: &str = "bin/openim-server";
/// Written last: once it is there, so is everything else.
const CONFIG: &str = "openim/config.yaml";

const REPLICA_SET: &str = "rs0";
/// How long MongoDB may take to start.
const LONGEST: Duration = Duration::from_secs(300);
const ASK_EVERY: Duration = Duration::from_millis(500);
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// A file that only one user can read.
struct Private {
    path: &'static str,
    owner: u32,
    text: String,
}

/// The files of a new host, [`CONFIG`] last.
fn files() -> Vec<Private> {
    let secret = model::random_id;
    let (mongodb, redis, kafka) = (secret(), secret(), secret());
    let jaas = format!(
        "KafkaServer {{\n  org.apache.kafka.common.security.plain.PlainLoginModule required\n  \
         username=\"openim\" password=\"{kafka}\" user_openim=\"{kafka}\";\n}};\n"
    );
    let redis_conf = format!(
        "requirepass {redis}\nbind * -::*\nprotected-mode no\nsave \"\"\nappendonly yes\nappendfsync always\n\
         dir /data\nmaxmemory-policy noeviction\n"
    );
    let config = format!(
        "secret: {}\napiSecret: {}\n\
         mongo: {{uri: \"mongodb://openim:{mongodb}@mongodb:27017/?authSource=admin&directConnection=true\"}}\n\
         redis: {{address: \"redis:6379\", password: {redis}}}\n\
         kafka: {{address: [\"kafka:9092\"], username: openim, password: {kafka}}}\n",
        secret(),
        secret()
    );
    vec![
        // Hexadecimal digits are base64 too, which mongod wants.
        Private { path: "mongodb/key-file", owner: MONGODB, text: secret() + &secret() },
        Private { path: "mongodb/password", owner: MONGODB, text: mongodb },
        Private { path: "redis/redis.conf", owner: REDIS, text: redis_conf },
        Private { path: "kafka/jaas.conf", owner: KAFKA, text: jaas },
        Private { path: CONFIG, owner: OPENIM, text: config },
    ]
}

/// Fills a directory that all containers share: secrets once, each for the user that needs it, and this program every time.
///
/// # Errors
/// When a file cannot be written or given to its user, for which this has to run as root.
pub(crate) fn write_files(to: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("where this program is")?;
    place(&to.join(PROGRAM), &std::fs::read(program)?, 0o555, None)?;
    if to.join(CONFIG).exists() {
        println!("{} exists: all secrets are kept", to.join(CONFIG).display());
        return Ok(());
    }
    for file in files() {
        place(&to.join(file.path), file.text.as_bytes(), 0o400, Some(file.owner))?;
    }
    println!("secrets were generated in {}", to.display());
    Ok(())
}

/// Writes a file as a whole or not at all. One with an owner lies in a directory that nobody else may enter.
fn place(path: &Path, content: &[u8], mode: u32, owner: Option<u32>) -> anyhow::Result<()> {
    let at = || format!("writing {}", path.display());
    let new = PathBuf::from(format!("{}.new", path.display()));
    let directory = path.parent().context("a file needs a directory")?;
    std::fs::create_dir_all(directory).with_context(at)?;
    if new.exists() {
        std::fs::remove_file(&new).with_context(at)?;
    }
    std::fs::write(&new, content).with_context(at)?;
    std::fs::set_permissions(&new, PermissionsExt::from_mode(mode)).with_context(at)?;
    if let Some(owner) = owner {
        chown(&new, Some(owner), Some(owner)).with_context(at)?;
        chown(directory, Some(owner), Some(owner)).with_context(at)?;
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o700)).with_context(at)?;
    }
    std::fs::File::open(&new).and_then(|file| file.sync_all()).with_context(at)?;
    std::fs::rename(&new, path).with_context(at)
}

/// Waits for MongoDB and makes a replica set of the one server, unless it is in one.
///
/// # Errors
/// What MongoDB last said when it is not ready after five minutes.
pub(crate) async fn initiate_replica_set(directory: &Path) -> anyhow::Result<()> {
    let config = config::Live::load(directory)?.now();
    let mut options = ClientOptions::parse(&config.mongo.uri).await.context("mongo.uri")?;
    options.server_selection_timeout = Some(ANSWERS_WITHIN);
    let host = options.hosts.first().context("mongo.uri names no host")?.to_string();
    let client = Client::with_options(options)?;
    let begun = Instant::now();
    loop {
        match step(&client, &host).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if begun.elapsed() > LONGEST => return Err(error.context("mongo.uri")),
            Err(_) => {}
        }
        ensure!(
            begun.elapsed() <= LONGEST,
            "MongoDB's replica set has no primary after {LONGEST:?}: see its log"
        );
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Whether there is a set with a primary. Where there is none yet it is initiated.
async fn step(client: &Client, host: &str) -> anyhow::Result<bool> {
    let admin = client.database("admin");
    let hello = admin.run_command(doc! { "hello": 1 }).await?;
    if hello.contains_key("setName") {
        return Ok(hello.get_bool("isWritablePrimary").unwrap_or_default());
    }
    let set = doc! { "_id": REPLICA_SET, "members": [{ "_id": 0, "host": host }] };
    admin.run_command(doc! { "replSetInitiate": set }).await?;
    Ok(false)
}

/// Whether something on this host listens on a port, or, for the services, is ready.
///
/// # Errors
/// When it is not.
pub(crate) fn check(port: u16, ready: bool) -> anyhow::Result<()> {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut connection =
        TcpStream::connect_timeout(&address, ANSWERS_WITHIN).with_context(|| format!("port {port}"))?;
    if !ready {
        return Ok(());
    }
    connection.set_read_timeout(Some(ANSWERS_WITHIN))?;
    connection.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).context("/readyz does not answer")?;
    match &answer {
        [b'H', b'T', b'T', b'P', .., b'2', b'0', b'0'] => Ok(()),
        other => bail!("/readyz answered {}", String::from_utf8_lossy(other)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_generated_configuration_is_one_that_the_services_take() {
        let directory = std::env::temp_dir().join(format!("openim-host-{}", model::random_id()));
        std::fs::create_dir_all(&directory).unwrap();
        let files = files();
        let config = &files.last().unwrap().text;
        std::fs::write(directory.join("config.yaml"), config).unwrap();
        let taken = config::Live::load(&directory).unwrap().now();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(taken.redis.address, "redis:6379");
        assert_eq!(taken.kafka.username, "openim");
        assert_ne!(taken.secret, taken.api_secret);
        // Each server takes the password that the services have.
        let told = |path: &str| &files.iter().find(|file| file.path == path).unwrap().text;
        assert!(taken.mongo.uri.contains(&format!("openim:{}@mongodb", told("mongodb/password"))));
        assert!(told("redis/redis.conf").contains(&format!("requirepass {}\n", taken.redis.password)));
        assert!(told("kafka/jaas.conf").contains(&format!("user_openim=\"{}\"", taken.kafka.password)));
    }

    #[test]
    fn no_two_hosts_have_the_same_secrets() {
        let (first, second) = (files(), files());
        for (one, other) in first.iter().zip(&second) {
            assert_eq!(one.path, other.path);
            assert_ne!(one.text, other.text, "{}", one.path);
        }
    }

    #[test]
    fn a_file_is_readable_for_its_user_alone_and_can_be_replaced() {
        let directory = std::env::temp_dir().join(format!("openim-host-{}", model::random_id()));
        let path = directory.join("part/file");
        for text in ["one", "another"] {
            place(&path, text.as_bytes(), 0o400, None).unwrap();
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        let content = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!((mode & 0o777, content.as_str()), (0o400, "another"));
    }

    /// Answers one request with a status line.
    fn server(line: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = [0; 22];
            connection.read_exact(&mut request).unwrap();
            connection.write_all(line.as_bytes()).unwrap();
        });
        port
    }

    #[test]
    fn healthy_is_who_listens_and_for_the_services_who_is_ready() {
        check(server("HTTP/1.0 200 OK\r\n\r\n"), true).unwrap();
        let error = check(server("HTTP/1.0 503 Service Unavailable\r\n\r\n"), true).unwrap_err();
        assert_eq!(error.to_string(), "/readyz answered HTTP/1.0 503");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        check(listener.local_addr().unwrap().port(), false).unwrap();
        // Bound, so that nobody else gets the port, and not listening.
        let silent = tokio::net::TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        check(silent.local_addr().unwrap().port(), false).unwrap_err();
    }
}
