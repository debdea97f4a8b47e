//! A real Synapse, as `setup-interop.sh` installs it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Stdio,
    time::Duration,
};

use rand::Rng;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    ReachedServer, TestUser,
    certificates::{ServerCertificate, certificate_authority},
    script::installed,
};

/// Its start takes some seconds of computing, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// On an address of its own of this machine: federation with TLS at the usual port, so that its server
/// name is that address alone; clients over plain HTTP. Anybody may register, nothing is rate-limited. It
/// is killed when it is dropped.
pub struct Synapse {
    name: String,
    folder: TempDir,
    process: Option<Child>,
    reached: ReachedServer,
}

impl Synapse {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut random = rand::rng();
        // 127.0.0.0/8 is all ours, and other tests are elsewhere in it.
        let address = Ipv4Addr::new(
            127,
            random.random_range(1..=254),
            random.random(),
            random.random_range(2..=254),
        );
        let certificate = ServerCertificate::for_address(IpAddr::V4(address));
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("the folder is ours");
        };
        write("ca.crt", &certificate_authority());
        write("tls.crt", &certificate.certificate);
        write("tls.key", &certificate.key);
        write("log.yaml", LOG);
        write("homeserver.yaml", &configuration(address, &folder.path().display().to_string()));
        let clients = SocketAddr::from((address, 8008));
        let mut synapse = Self {
            name: address.to_string(),
            folder,
            process: None,
            reached: ReachedServer::unrecorded(clients),
        };
        let generated = synapse.command().arg("--generate-keys").status().await;
        assert!(generated.expect("Synapse is installed").success(), "no keys were made");
        synapse.start_again().await;
        synapse
    }

    /// After [`Synapse::stop`]: with the same data, at the same address.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let mut process = self.command().spawn().expect("Synapse starts");
        let nobody = self.reached.anonymous();
        let answers = tokio::time::timeout(PATIENCE, async {
            while nobody.try_get("versions").await.is_none_or(|answer| answer.status != 200) {
                let ended = process.try_wait().expect("it is ours");
                assert!(ended.is_none(), "Synapse ended\n{}", self.said());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        assert!(answers.await.is_ok(), "Synapse does not answer\n{}", self.said());
        self.process = Some(process);
    }

    /// SIGKILL: it loses nothing that it answered.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.expect("it was running");
        }
    }

    /// `127.1.2.3`
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where clients reach it: `http://127.1.2.3:8008`
    pub fn url(&self) -> String {
        format!("http://{}:8008", self.name)
    }

    pub async fn register(&self, localpart: &str) -> TestUser {
        self.reached.register(localpart).await
    }

    /// What it wrote to its log and said before it had one.
    pub fn said(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name));
        let texts = ["said", "homeserver.log"].map(|name| read(name).unwrap_or_default());
        texts.concat()
    }

    fn command(&self) -> Command {
        let said = std::fs::File::create(self.folder.path().join("said")).expect("our folder");
        let packages = installed("synapse/packages");
        let mut command = Command::new("python3");
        command.args(["-m", "synapse.app.homeserver", "-c", "homeserver.yaml"]);
        command.env("PYTHONPATH", packages).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).kill_on_drop(true);
        command
    }
}

const LOG: &str = "
version: 1
formatters: {p: {format: '%(asctime)s %(levelname)s %(name)s %(message)s'}}
handlers: {f: {class: logging.FileHandler, formatter: p, filename: homeserver.log}}
root: {level: WARNING, handlers: [f]}
disable_existing_loggers: false
";

fn configuration(address: Ipv4Addr, folder: &str) -> String {
    let limits = ["message", "registration", "registration_token_validity", "key_requests"]
        .into_iter()
        .chain(["admin_redaction", "joins_per_room", "3pid_validation", "third_party_invite"])
        .chain(["media_create", "delayed_event_mgmt", "room_creation", "reports"])
        .chain(["user_directory", "profile"])
        .map(|name| format!("rc_{name}: {{per_second: 1000000, burst_count: 1000000}}\n"))
        .collect::<String>();
    let most = "{per_second: 1000000, burst_count: 1000000}";
    format!(
        "server_name: \"{address}\"
public_baseurl: \"http://{address}:8008/\"
pid_file: homeserver.pid
listeners:
  - {{port: 8008, bind_addresses: ['{address}'], type: http, tls: false,
      resources: [{{names: [client], compress: false}}]}}
  - {{port: 8448, bind_addresses: ['{address}'], type: http, tls: true,
      resources: [{{names: [federation, keys], compress: false}}]}}
tls_certificate_path: tls.crt
tls_private_key_path: tls.key
federation_custom_ca_list: [ca.crt]
ip_range_blacklist: []
federation_ip_range_blacklist: []
# Its usual ten minutes would be all that a test sees.
federation: {{destination_min_retry_interval: 500, destination_retry_multiplier: 2,
  destination_max_retry_interval: 2000}}
trusted_key_servers: []
suppress_key_server_warning: true
report_stats: false
signing_key_path: signing.key
log_config: log.yaml
database: {{name: sqlite3, args: {{database: '{folder}/homeserver.db'}}}}
media_store_path: media
url_preview_enabled: false
enable_registration: true
enable_registration_without_verification: true
allow_public_rooms_over_federation: true
room_list_publication_rules: [{{action: allow}}]
macaroon_secret_key: tests
form_secret: tests
bcrypt_rounds: 4
# A question asked again is to be answered anew.
caches: {{sync_response_cache_duration: 0s}}
presence: {{enabled: true}}
rc_federation: {{window_size: 1000, sleep_limit: 1000000, sleep_delay: 1, reject_limit: 1000000,
  concurrent: 100}}
federation_rr_transactions_per_room_per_second: 1000000
rc_login: {{address: {most}, account: {most}, failed_attempts: {most}}}
rc_joins: {{local: {most}, remote: {most}}}
rc_invites: {{per_room: {most}, per_user: {most}, per_issuer: {most}}}
rc_presence: {{per_user: {most}}}
{limits}"
    )
}
