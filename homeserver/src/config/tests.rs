use std::{io::Write, path::Path};

use super::*;

const EXAMPLE: &str = include_str!("../../../docs/kith.toml");

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("written");
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(file.path()), environment).map_err(|error| {
        let path = file.path().display().to_string();
        error.to_string().replace(&path, "kith.toml")
    })
}

fn with(environment: &[(&str, &str)]) -> Result<Config, String> {
    load("", environment)
}

/// What `kith serve` does without a file.
#[test]
fn nothing_configured_is_a_local_team() {
    let config = Config::load(None, []).expect("the defaults are valid");
    assert_eq!(config, Config::default());
    assert_eq!(config.server_name, "localhost");
    assert_eq!(config.registration.open, OpenRegistration::Loopback);
    assert!(config.is_loopback_only());
    assert!(config.warnings().is_empty());
    let teams = config.teams();
    let url = teams[0].public_base_url.as_ref().expect("filled in");
    assert_eq!(url.as_str(), "http://localhost:8008/");
}

#[test]
fn the_documented_example_shows_every_default() {
    assert_eq!(load(EXAMPLE, &[]).expect("valid"), Config::default());
}

/// In the example, settings without a default stand behind `#`, prose behind `# `.
#[test]
fn the_documented_examples_commented_settings_are_valid() {
    let uncommented: Vec<&str> = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .collect();
    let config = load(&uncommented.join("\n"), &[]).expect("valid");
    assert_eq!(config.additional_teams.len(), 1);
    assert!(config.registration.shared_secret.is_some());
    assert!(config.metrics.listen.is_some());
}

#[test]
fn an_unknown_key_is_an_error_that_names_key_and_line() {
    let top = load("server_name = \"a.example\"\n\nserver_nam = 1\n", &[]);
    let error = top.expect_err("unknown key");
    assert!(error.starts_with("kith.toml, line 3: unknown field `server_nam`"));

    for (text, key, line) in [
        ("[registration]\nopen = \"never\"\nopne = 1", "opne", 3),
        ("[rate_limits]\nlogins = \"off\"", "logins", 2),
        ("[rate_limits.login]\nper_second = 1.0\nburst = 1\nper_minute = 1", "per_minute", 4),
        ("\n[[teams]]\nserver_name = \"a\"\nkey = 1", "key", 4),
        ("[[listeners]]\naddress = \"[::1]:80\"\nserve = []", "serve", 3),
        ("[loging]", "loging", 1),
    ] {
        let error = load(text, &[]).expect_err(text);
        assert!(error.contains(&format!("unknown field `{key}`")), "{text}: {error}");
        assert!(error.contains(&format!("line {line}:")), "{text}: {error}");
    }
}

#[test]
fn a_wrong_value_names_its_line_and_what_is_expected() {
    for (text, line, part) in [
        ("data_dir = \"a\"\nserver_name = \"no spaces\"", 2, "server"),
        ("[log]\njson = \"yes\"", 2, "expected a boolean"),
        (
            "[registration]\nopen = \"sometimes\"",
            2,
            "expected one of `never`, `loopback`, `anyone`",
        ),
        ("[limits]\nupload = \"5 apples\"", 2, "50 MiB"),
        ("[limits]\nstop_wait = 5", 2, "expected a string"),
        ("[rate_limits]\nlogin = \"slow\"", 2, "expected \"off\" or { per_second"),
        ("trusted_proxies = [\"proxy\"]", 1, "10.0.0.7"),
        ("[storage]\nengine = \"redb\"", 2, "`sled`"),
        ("a = [", 1, ""),
    ] {
        let error = load(text, &[]).expect_err(text);
        assert!(error.contains(&format!("line {line}:")), "{text}: {error}");
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = "server_name = \"file.example\"\ndata_dir = \"/srv/kith\"\n[log]\njson = true";
    let config = load(
        file,
        &[
            ("KITH_SERVER_NAME", "env.example"),
            ("KITH_REGISTRATION__OPEN", "anyone"),
            ("KITH_REGISTRATION__GUESTS", "true"),
            (
                "KITH_REGISTRATION__TOKENS",
                "[{ token = 'abc', uses_allowed = 3, expires = 2027-01-31T12:00:00+02:00 }]",
            ),
            ("KITH_RATE_LIMITS__LOGIN", "off"),
            ("KITH_RATE_LIMITS__JOIN__BURST", "7"),
            ("KITH_RATE_LIMITS__JOIN__PER_SECOND", "2"),
            ("KITH_TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
            ("KITH_LIMITS__UPLOAD", "7 MiB"),
            ("PATH", "/bin"),
        ],
    );
    let config = config.expect("valid");
    assert_eq!(config.server_name, "env.example");
    assert_eq!(config.data_dir, Path::new("/srv/kith"));
    assert!(config.log.json && config.registration.guests);
    assert_eq!(config.registration.open, OpenRegistration::Anyone);
    let token = &config.registration.tokens[0];
    assert_eq!(token.token.expose(), "abc");
    assert_eq!((token.uses_allowed, token.expires), (Some(3), Some(1_801_389_600_000)));
    assert_eq!(config.rate_limits.login, RateLimit::Off);
    let join = RateLimit::On { per_second: 2.0, burst: 7 };
    assert_eq!(config.rate_limits.join, join);
    assert_eq!(config.trusted_proxies[0].to_string(), "10.0.0.0/8");
    assert_eq!(config.limits.upload, 7 << 20);
}

#[test]
fn text_in_a_variable_needs_no_quotes() {
    let config = with(&[
        ("KITH_REGISTRATION__SHARED_SECRET", "12345"),
        ("KITH_LOG__FILTER", "\"debug\""),
        ("KITH_DATA_DIR", "true"),
    ]);
    let config = config.expect("valid");
    let secret = config.registration.shared_secret.expect("set");
    assert_eq!(secret.expose(), "12345");
    assert_eq!(config.log.filter, "debug");
    assert_eq!(config.data_dir, Path::new("true"));
}

#[test]
fn a_wrong_variable_is_an_error_that_names_it() {
    for (variable, value, part) in [
        ("KITH_SERVRE_NAME", "a.example", "unknown field `servre_name`"),
        ("KITH_LOG__JSON", "perhaps", "expected a boolean"),
        ("KITH_RATE_LIMITS__JOIN__BURST", "7", "per_second"),
        ("KITH_SERVER_NAME__LENGTH", "7", "expected"),
        ("KITH_LISTENERS", "[{ address = \"nowhere\" }]", "address"),
    ] {
        let error = with(&[(variable, value)]).expect_err(variable);
        assert!(error.starts_with(&format!("environment variable {variable}:")), "{error}");
        assert!(error.contains(part), "{variable}: {error}");
    }
}

/// Neither the configuration's `Debug` nor an error shows a secret.
#[test]
fn secrets_are_never_shown() {
    let config = with(&[
        ("KITH_REGISTRATION__SHARED_SECRET", "hunter2"),
        ("KITH_REGISTRATION__TOKENS", "[{ token = 'swordfish' }]"),
    ]);
    let shown = format!("{:?}", config.expect("valid"));
    assert!(shown.contains("[secret]"));
    assert!(!shown.contains("hunter2") && !shown.contains("swordfish"));

    let wrong_type = load("[registration]\nshared_secret = 424242", &[]);
    assert!(!wrong_type.expect_err("not text").contains("424242"));
    let unclosed = load("[registration]\nshared_secret = \"hunter2", &[]);
    assert!(!unclosed.expect_err("no end").contains("hunter2"));
    let wrong_token = load("[[registration.tokens]]\ntoken = \"sword fish\"", &[]);
    assert!(!wrong_token.expect_err("a space").contains("fish"));
}

#[test]
fn settings_that_make_no_sense_are_all_named() {
    let error = load(
        "server_name = \"a.example\"
         default_room_version = \"5\"
         public_base_url = \"https://user:pw@a.example/path\"
         listeners = [{ address = \"127.0.0.1:80\", serves = [\"federation\"] }, { address = \"127.0.0.1:80\" , optional = true }]
         password_hash = { memory = 4, iterations = 1 }
         rate_limits = { login = { per_second = 0, burst = 1 } }
         limits = { request_body = 1000 }
         [[teams]]
         server_name = \"a.example\"
         [[registration.tokens]]
         token = \"\"
         [[support.contacts]]
         role = \"admin\"",
        &[],
    );
    let error = error.expect_err("much");
    for part in [
        "team a.example is listed twice",
        "default_room_version: 5",
        "public_base_url of a.example",
        "listener 127.0.0.1:80 is listed twice",
        "no listener that is not optional",
        "password_hash.memory",
        "rate_limits.login",
        "limits.request_body",
        "registration token 1",
        "support.contacts",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("pw"), "{error}");
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let error = Config::load(Some(Path::new("/nowhere/kith.toml")), []);
    let error = error.expect_err("no such file").to_string();
    assert!(error.starts_with("cannot read /nowhere/kith.toml"), "{error}");
}

#[test]
fn each_team_gets_a_base_url() {
    let config = load(
        "server_name = \"a.example\"
         [[teams]]
         server_name = \"b.example:8448\"
         [[teams]]
         server_name = \"c.example\"
         public_base_url = \"https://matrix.c.example\"
         [[teams]]
         server_name = \"127.0.0.1\"",
        &[],
    );
    let urls: Vec<String> = config
        .expect("valid")
        .teams()
        .into_iter()
        .map(|team| team.public_base_url.expect("filled in").into())
        .collect();
    assert_eq!(
        urls,
        [
            "https://a.example/",
            "https://b.example:8448/",
            "https://matrix.c.example/",
            "http://127.0.0.1:8008/"
        ]
    );
}

#[test]
fn private_networks_are_denied_by_default() {
    let outgoing = Outgoing::default();
    let denied = |ip: &str| {
        let ip: std::net::IpAddr = ip.parse().expect("an address");
        outgoing.denied_ranges.iter().any(|range| range.contains(&ip))
    };
    for ip in [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "192.168.1.1",
        "172.31.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "224.0.0.1",
    ] {
        assert!(denied(ip), "{ip}");
    }
    for ip in ["9.9.9.9", "172.32.0.1", "2620:fe::fe"] {
        assert!(!denied(ip), "{ip}");
    }
}

#[test]
fn each_team_may_have_a_federation_policy_of_its_own() {
    let config = load(
        "[federation]\npolicy = { allow = [\"partner.example\"] }\n\
         [[teams]]\nserver_name = \"a.example\"\nfederation_policy = \"closed\"\n\
         [[teams]]\nserver_name = \"b.example\"\n",
        &[],
    );
    let config = config.expect("valid");
    let policy = |name: &str| config.federation_policy(name.try_into().expect("a name"));
    let partner = FederationPolicy::Allow(vec![ruma::owned_server_name!("partner.example")]);
    assert_eq!(policy("localhost"), &partner);
    assert_eq!(policy("a.example"), &FederationPolicy::Closed);
    assert_eq!(policy("b.example"), &partner);
    let closed = with(&[("KITH_FEDERATION__POLICY", "closed")]).expect("valid");
    assert_eq!(closed.federation.policy, FederationPolicy::Closed);
}

#[test]
fn a_federation_policy_that_makes_no_sense_is_an_error() {
    for (text, words) in [
        ("policy = \"allow\"", "write \"open\", \"closed\" or { allow"),
        ("policy = { allow = [] }", "federation.policy: the list is empty"),
        ("policy = { allow = [\"A.example\"] }", "write A.example in lower case"),
        ("policy = { allow = [\"https://a.example\"] }", "with server names"),
        ("policy = { deny = [] }", "with server names"),
        ("trusted_key_servers = [\"localhost\"]", "localhost is this server itself"),
    ] {
        let error = load(&format!("[federation]\n{text}\n"), &[]).expect_err(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}
