use super::*;

fn load(text: &str, environment: &[(&str, &str)], overrides: Overrides) -> Result<Settings, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("healthmate.toml");
    std::fs::write(&path, text).expect("written");
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(Some(&path), environment, overrides)
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

fn from_file(text: &str) -> Result<Settings, String> {
    load(text, &[], Overrides::default())
}

fn from_environment(name: &str, value: &str) -> Result<Settings, String> {
    load("", &[(name, value)], Overrides::default())
}

fn refused(result: Result<Settings, String>) -> String {
    result.expect_err("refused")
}

#[test]
fn the_default_file_holds_the_defaults_and_every_name() {
    assert_eq!(from_file(DEFAULT_FILE), Ok(Settings::default()));
    assert_eq!(Settings::load(None, std::iter::empty(), Overrides::default()), Ok(Settings::default()));
    for key in known::settings().into_keys() {
        let field = key.rsplit('.').next().expect("a name");
        let line = |line: &str| line.strip_prefix("# ").unwrap_or(line).starts_with(&format!("{field} = "));
        assert!(DEFAULT_FILE.lines().any(line), "{key} is not in config.default.toml");
    }
    // What is commented out can be used.
    let without_secret = DEFAULT_FILE.replace("\n# jwt_secret = \"…\"", "");
    let export = if cfg!(feature = "otel") { "" } else { "\n# otlp_endpoint = \"http://127.0.0.1:4318\"" };
    let without_secret = without_secret.replace(export, "");
    let without_secret =
        without_secret.replace("tls_client_certificates = \"off\"", "tls_client_certificates = \"required\"");
    let used = without_secret.lines().map(|line| {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_setting = bare.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '));
        format!("{}\n", if is_setting { bare } else { line })
    });
    let used = from_file(&used.collect::<String>()).expect("valid");
    assert_eq!(used.auth.audience.as_deref(), Some("healthmate"));
    assert_eq!(used.server.tls_key, Some(PathBuf::from("key.pem")));
}

#[test]
fn a_flag_outweighs_a_variable_and_a_variable_the_file() {
    let file = "demo = false\n[server]\nlisten = \"127.0.0.1:1\"\ndata = \"of-file\"\nshards = 3\n";
    let environment =
        [("HEALTHMATE_SERVER__LISTEN", "127.0.0.1:2"), ("HEALTHMATE_SERVER__DATA", "of-variable")];
    let overrides = Overrides { listen: Some("127.0.0.1:3".to_owned()), data: None, demo: true };
    let settings = load(file, &environment, overrides).expect("valid");
    assert_eq!(settings.server.listen.port(), 3);
    assert_eq!(settings.server.data, PathBuf::from("of-variable"));
    assert_eq!(settings.server.shards, 3);
    assert!(settings.demo);
}

#[test]
fn a_variable_is_read_as_its_setting_needs_it() {
    let digits = "12345678901234567890123456789012";
    let environment = [
        ("HEALTHMATE_AUTH__JWT_SECRET", digits),
        ("HEALTHMATE_AUTH__ISSUER", "true"),
        ("HEALTHMATE_LIMITS__MAX_CONNECTIONS", "5"),
        ("HEALTHMATE_SERVER__TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("HEALTHMATE_DEMO", "true"),
    ];
    let settings = load("", &environment, Overrides::default()).expect("valid");
    assert_eq!(settings.auth.jwt_secret.expect("set").expose(), digits);
    assert_eq!(settings.auth.issuer.as_deref(), Some("true"));
    assert_eq!(settings.limits.max_connections, 5);
    assert_eq!(settings.server.trusted_proxies.len(), 2);
    assert!(settings.demo);
}

#[test]
fn an_unknown_name_is_told_the_nearest() {
    insta::assert_snapshot!(refused(from_file("[server]\nlisen = \"127.0.0.1:1\"")),
        @"server.lisen (file FILE): no such setting; did you mean server.listen?");
    insta::assert_snapshot!(refused(from_file("[limit]\nmax_connections = 1")),
        @"limit.max_connections (file FILE): no such setting; did you mean limits.max_connections?");
    insta::assert_snapshot!(refused(from_file("listen = \"127.0.0.1:1\"")),
        @"listen (file FILE): no such setting; did you mean server.listen?");
    insta::assert_snapshot!(refused(from_file("[auth]\nquux = 1")),
        @"auth.quux (file FILE): no such setting; `healthmate config show` lists all");
    insta::assert_snapshot!(refused(from_file("[auth.passkeys]\nrpid = \"a.example\"")),
        @"auth.passkeys.rpid (file FILE): no such setting; did you mean auth.passkeys.rp_id?");
    insta::assert_snapshot!(refused(from_file("[auth.passkey]\nrp_id = \"a.example\"")),
        @"auth.passkey.rp_id (file FILE): no such setting; did you mean auth.passkeys.rp_id?");
    insta::assert_snapshot!(refused(from_environment("HEALTHMATE_SERVER__LISEN", "127.0.0.1:1")),
        @"environment variable HEALTHMATE_SERVER__LISEN: no such setting; did you mean HEALTHMATE_SERVER__LISTEN?");
    insta::assert_snapshot!(refused(from_environment("HEALTHMATE_SERVER_LISTEN", "127.0.0.1:1")),
        @"environment variable HEALTHMATE_SERVER_LISTEN: no such setting; did you mean HEALTHMATE_SERVER__LISTEN?");
    insta::assert_snapshot!(refused(from_environment("HEALTHMATE_server__listen", "127.0.0.1:1")),
        @"environment variable HEALTHMATE_server__listen: no such setting; did you mean HEALTHMATE_SERVER__LISTEN?");
}

#[test]
fn a_variable_that_is_no_setting_is_left_to_others() {
    assert_eq!(from_environment("HEALTHMATE_TOKEN", "x"), Ok(Settings::default()));
    assert_eq!(from_environment("PATH", "x"), Ok(Settings::default()));
}

#[test]
fn a_wrong_kind_of_value_is_named_with_its_source() {
    insta::assert_snapshot!(refused(from_environment("HEALTHMATE_SERVER__SHARDS", "many")),
        @r#"server.shards (environment variable HEALTHMATE_SERVER__SHARDS): invalid type: found string "many", expected u32"#);
    insta::assert_snapshot!(refused(from_file("[server]\nlisten = \"localhost\"")),
        @"server.listen (file FILE): `localhost` must be an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080");
    insta::assert_snapshot!(refused(from_file("server = 1")),
        @"server (file FILE): invalid type: found signed int `1`, expected struct ServerSettings");
    insta::assert_snapshot!(refused(from_file("[log]\nformat = \"xml\"")),
        @"log.format (file FILE): unknown variant: found `xml`, expected ``text` or `json``");
    insta::assert_snapshot!(refused(from_file("[server]\nlisten = \n")), @r#"file FILE: line 2 is not valid TOML: invalid string, expected `"`, `'`"#);
    let missing =
        Settings::load(Some(Path::new("no-such-file.toml")), std::iter::empty(), Overrides::default());
    let missing = missing.expect_err("refused").to_string();
    assert!(missing.starts_with("file no-such-file.toml: cannot be read: "), "{missing}");
}

#[test]
fn each_number_is_taken_at_its_limits_and_refused_past_them() {
    let limits = [
        ("server.shards", 0, 256),
        ("server.shutdown_grace_s", 0, 600),
        ("server.reconnects_per_second", 1, 100_000),
        ("auth.leeway_s", 0, 60),
        ("sign_in.access_token_s", 60, 86_400),
        ("sign_in.refresh_token_days", 1, 365),
        ("sign_in.idle_days", 1, 365),
        ("sign_in.refresh_grace_s", 0, 300),
        ("sign_in.attempts_per_account", 1, 1000),
        ("sign_in.attempts_per_address", 1, 100_000),
        ("sign_in.longest_wait_s", 1, 86_400),
        ("sign_in.argon2_memory_kib", 8192, 1_048_576),
        ("sign_in.argon2_passes", 1, 100),
        ("sign_in.argon2_lanes", 1, 16),
        ("sign_in.hashes_at_once", 1, 64),
        ("access.break_glass_minutes", 1, 1440),
        ("access.break_glass_max_minutes", 1, 1440),
        ("access.break_glass_at_once", 1, 100),
        ("access.break_glass_per_day", 1, 1000),
        ("auth.warn_before_s", 0, 3600),
        ("auth.expiry_grace_s", 0, 600),
        ("auth.jwks_refresh_s", 10, 86_400),
        ("auth.jwks_min_interval_s", 1, 3600),
        ("auth.jwks_timeout_s", 1, 60),
        ("auth.jwks_max_bytes", 1024, 4 << 20),
        ("auth.jwks_max_keys", 1, 1000),
        ("auth.passkeys.fresh_sign_in_s", 0, 86_400),
        ("limits.max_message_bytes", 1024, 16 << 20),
        ("limits.authenticate_within_s", 1, 300),
        ("limits.heartbeat_interval_s", 1, 300),
        ("limits.idle_timeout_s", 31, 86_400),
        ("limits.ping_after_s", 1, 1800),
        ("limits.gone_after_s", 2, 3600),
        ("limits.connections_per_user", 1, 100_000),
        ("limits.connections_per_second", 1, 100_000),
        ("limits.commands_per_second", 1, 1_000_000),
        ("limits.handshake_timeout_s", 1, 60),
        ("limits.request_timeout_s", 1, 300),
        ("limits.topics_per_connection", 1, 10_000),
        ("limits.pending_requests_per_connection", 1, 10_000),
        ("limits.queued_bytes_per_connection", 65_536, 1 << 30),
        ("limits.max_connections", 1, 1_000_000),
        ("limits.presence_grace_s", 0, 300),
        ("limits.body_bytes", 1024, 64 << 20),
        ("limits.small_body_bytes", 1024, 64 << 20),
        ("limits.head_bytes", 8192, 65_536),
        ("limits.headers_per_request", 16, 1000),
        ("limits.url_bytes", 256, 8192),
        ("limits.requests_per_connection", 1, 1_000_000),
        ("limits.connections_per_address", 1, 1_000_000),
        ("limits.connections_per_second_per_address", 1, 100_000),
        ("limits.requests_per_second_per_address", 1, 1_000_000),
        ("sessions.resume_window_s", 0, 3600),
        ("sessions.resumable_bytes", 65_536, 1 << 30),
        ("sessions.cleanup_interval_s", 1, 3600),
        ("sessions.recovery_interval_s", 1, 3600),
        ("sessions.recovery_attempts", 1, 1000),
        ("sessions.redelivery_after_s", 1, 300),
        ("sessions.redelivery_max_s", 1, 3600),
        ("sessions.redelivery_attempts", 1, 100),
        ("storage.log_retention_days", 1, 3650),
        ("storage.idempotency_hours", 1, 720),
        ("storage.max_group", 1, 65_536),
        ("audit.checkpoint_records", 1, 1_000_000),
        ("audit.checkpoint_minutes", 1, 1440),
        ("audit.refusals_per_minute_each", 1, 10_000),
        ("audit.refusals_per_minute", 1, 100_000),
    ];
    let numbers = known::settings().into_values().filter(|kind| *kind == known::Kind::Number).count();
    assert_eq!(limits.len(), numbers, "a number has no test");
    for (key, low, high) in limits {
        let set = |value: i64| {
            // What other limits depend on leaves them room: the budget of a connection holds the largest message.
            let value = value.to_string();
            let variables = [
                ("HEALTHMATE_ACCESS__BREAK_GLASS_MINUTES", "1"),
                ("HEALTHMATE_ACCESS__BREAK_GLASS_MAX_MINUTES", "1440"),
                ("HEALTHMATE_LIMITS__QUEUED_BYTES_PER_CONNECTION", "1073741824"),
                ("HEALTHMATE_LIMITS__PING_AFTER_S", "1"),
                ("HEALTHMATE_LIMITS__GONE_AFTER_S", "3600"),
                ("HEALTHMATE_SESSIONS__REDELIVERY_AFTER_S", "1"),
                ("HEALTHMATE_SESSIONS__REDELIVERY_MAX_S", "3600"),
                (&known::variable(key), &value),
            ];
            load("", &variables, Overrides::default())
        };
        assert!(set(low).is_ok() && set(high).is_ok(), "{key}");
        for past in [low - 1, high + 1] {
            let error = refused(set(past));
            assert!(error.contains(key) && error.contains(&known::variable(key)), "{key} {past}: {error}");
        }
    }
    insta::assert_snapshot!(refused(from_file("[limits]\nmax_message_bytes = 16777217")), @r"
    2 problems with the settings
      limits.max_message_bytes (file FILE): is 16777217, must be 1024 to 16777216 bytes
      limits.queued_bytes_per_connection (default): is 1048576, must be at least limits.max_message_bytes, which is 16777217
    ");
}

#[test]
fn contradictions_stop_the_start() {
    insta::assert_snapshot!(refused(from_file("[server]\ntls_key = \"key.pem\"")),
        @"server.tls_key (file FILE): needs server.tls_certificate beside it");
    insta::assert_snapshot!(refused(from_file("[server]\ntls_certificate = \"c.pem\"")),
        @"server.tls_certificate (file FILE): needs server.tls_key beside it");
    insta::assert_snapshot!(refused(from_file("[server]\ntls_client_certificates = \"required\"")),
        @"server.tls_client_certificates (file FILE): needs server.tls_client_ca and server.tls_certificate beside it");
    insta::assert_snapshot!(refused(from_file("[server]\ntls_client_ca = \"ca.pem\"")),
        @r#"server.tls_client_ca (file FILE): needs server.tls_client_certificates = "optional" or "required" beside it"#);
    insta::assert_snapshot!(refused(from_file("demo = true\n[server]\nlisten = \"0.0.0.0:8080\"")),
        @"server.listen (file FILE): is 0.0.0.0:8080, must be a loopback address such as 127.0.0.1 with demo = true, which gives its tokens to anyone who can reach it");
    insta::assert_snapshot!(refused(from_file("[server]\nallowed_origins = [\"https://a.example/path\"]")),
        @"server.allowed_origins (file FILE): origin `https://a.example/path` must be scheme://host or scheme://host:port, without path");
    insta::assert_snapshot!(refused(from_file("[limits]\nheartbeat_interval_s = 60\nidle_timeout_s = 60")),
        @"limits.idle_timeout_s (file FILE): is 60, must be more than limits.heartbeat_interval_s, which is 60");
    insta::assert_snapshot!(refused(from_file("[sessions]\nredelivery_after_s = 61")),
        @"sessions.redelivery_max_s (default): is 60, must be at least sessions.redelivery_after_s, which is 61");
    insta::assert_snapshot!(refused(from_file("[access]\nbreak_glass_max_minutes = 59")),
        @"access.break_glass_minutes (default): is 60, must be at most access.break_glass_max_minutes, which is 59");
    insta::assert_snapshot!(refused(from_file("[auth]\nissuer = \"\"")),
        @"auth.issuer (file FILE): must not be empty; leave it out to take any");
    insta::assert_snapshot!(refused(from_environment("HEALTHMATE_LOG__LEVEL", "loud")),
        @"log.level (environment variable HEALTHMATE_LOG__LEVEL): `loud` must be error, warn, info, debug or trace, or a list by module such as info,healthmate_server=debug");
}

#[test]
fn a_section_inside_another_is_set_like_any() {
    let settings = from_environment("HEALTHMATE_AUTH__PASSKEYS__RP_ID", "a.example").expect("valid");
    assert_eq!(settings.auth.passkeys.rp_id.as_deref(), Some("a.example"));
    assert_eq!(from_file(&settings.redacted_toml()), Ok(settings));
    insta::assert_snapshot!(refused(from_file("[auth]\npasskeys = true")),
        @"auth.passkeys (file FILE): invalid type: found bool true, expected struct PasskeySettings");
    insta::assert_snapshot!(refused(from_file("[auth.passkeys]\nrp_id = \"https://a.example\"")),
        @"auth.passkeys.rp_id (file FILE): `https://a.example` must be a domain such as health.example.org, in lower case, without scheme, port and path");
    insta::assert_snapshot!(refused(from_file("[auth.passkeys]\nrp_id = \"a.example\"\norigins = [\"https://b.example\"]")),
        @"auth.passkeys.origins (file FILE): `https://b.example` must be https:// and a.example, or a name below it, as browsers write it, or android:apk-key-hash:…");
}

#[test]
fn a_secret_is_shown_nowhere() {
    let secret = "MARKER-secret-of-more-than-32-bytes-length";
    let settings = from_file(&format!("[auth]\njwt_secret = \"{secret}\"")).expect("valid");
    let shown = format!("{settings:?} {} {}", settings.redacted(), settings.redacted_toml());
    assert!(!shown.contains("MARKER"), "{shown}");
    assert_eq!(settings.redacted()["auth"]["jwt_secret"], "(redacted)");
    let settings = from_file(&format!("[storage]\nkeys = \"{secret}\"")).expect("valid");
    assert_eq!(settings.redacted()["storage"]["keys"], "(redacted)");
    assert!(!format!("{settings:?} {:?}", settings.key_source()).contains("MARKER"));
    for wrong in
        ["[auth]\njwt_secret = \"MARKER\"", "[auth]\njwt_secret = \"MARKER", "[auth]\njwt_secret = 4242"]
    {
        let error = refused(from_file(wrong));
        assert!(!error.contains("MARKER") && !error.contains("4242"), "{error}");
    }
}

#[test]
fn what_is_shown_as_toml_can_be_read_again() {
    let settings = from_file("[server]\nshards = 2\ntrusted_proxies = [\"10.0.0.0/8\"]").expect("valid");
    assert_eq!(from_file(&settings.redacted_toml()), Ok(settings));
}

/// A file with one issuer, in which each of these lines stands.
fn with_issuer(lines: &str) -> Result<Settings, String> {
    let plain = [
        ("name", "\"clinic\""),
        ("iss", "\"https://id.example\""),
        ("audience", "\"healthmate\""),
        ("algorithms", "[\"RS256\"]"),
        ("pem_file", "\"keys.pem\""),
    ];
    let given = |name: &str| lines.lines().any(|line| line.starts_with(&format!("{name} =")));
    let source = ["secret", "jwks_url"].iter().any(|name| given(name));
    let plain = plain.iter().filter(|(name, _)| !(given(name) || source && *name == "pem_file"));
    let plain: Vec<_> = plain.map(|(name, value)| format!("{name} = {value}")).collect();
    from_file(&format!("[[auth.issuers]]\n{}\n{lines}", plain.join("\n")))
}

#[test]
fn issuers_are_checked_whole() {
    let settings = with_issuer("").expect("valid");
    assert_eq!(from_file(&settings.redacted_toml()), Ok(settings));
    let secret = |bytes: usize, algorithm: &str| {
        with_issuer(&format!("secret = \"{}\"\nalgorithms = [\"{algorithm}\"]", "s".repeat(bytes)))
    };
    for (algorithm, least) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        assert!(secret(least, algorithm).is_ok());
        let error = refused(secret(least - 1, algorithm));
        assert!(error.contains(&format!("secret must be at least {least} bytes for {algorithm}")), "{error}");
    }
    assert!(with_issuer("leeway_s = 60").is_ok());
    assert!(with_issuer("jwks_url = \"http://127.0.0.1:9/keys\"").is_ok());
    insta::assert_snapshot!(refused(with_issuer("leeway_s = 61")),
        @"auth.issuers (file FILE): issuer `clinic`: leeway_s is 61, must be 0 to 60 seconds");
    insta::assert_snapshot!(refused(with_issuer("algorithms = [\"HS256\"]")),
        @"auth.issuers (file FILE): issuer `clinic`: HS256 needs a secret, and public keys are none");
    insta::assert_snapshot!(refused(with_issuer("algorithms = [\"none\"]")),
        @"auth.issuers (file FILE): issuer `clinic`: `none` must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA with public keys");
    insta::assert_snapshot!(refused(with_issuer("jwks_url = \"http://id.example/keys\"")),
        @"auth.issuers (file FILE): issuer `clinic`: jwks_url must be https://host/path, or http:// on a loopback address, without user and fragment");
    insta::assert_snapshot!(refused(with_issuer("jwks_url = \"https://a/b\"\nsecret = \"s\"")),
        @"auth.issuers (file FILE): issuer `clinic`: must have one of secret, pem_file and jwks_url");
    insta::assert_snapshot!(refused(with_issuer("role_claim = \"r\"\nroles = { x = \"device\" }")),
        @"auth.issuers (file FILE): issuer `clinic`: a token gives nobody the role device: add it, with its patient");
    insta::assert_snapshot!(refused(with_issuer("on_unknown_user = \"create\"")),
        @r#"auth.issuers (file FILE): issuer `clinic`: on_unknown_user = "create" needs role_claim or default_role"#);
    insta::assert_snapshot!(refused(with_issuer("algoritms = []")),
        @"auth.issuers.0.algoritms (file FILE): no such setting; did you mean algorithms?");
    insta::assert_snapshot!(refused(from_environment("HEALTHMATE_AUTH__ISSUERS", "MARKER")),
        @"auth.issuers.0 (environment variable HEALTHMATE_AUTH__ISSUERS): must be tables, each an issuer, as config.default.toml shows");
    let marked = with_issuer(&format!("secret = \"MARKER{}\"\nalgorithms = [\"HS256\"]", "s".repeat(32)));
    let shown = marked.expect("valid");
    let shown = format!("{shown:?} {} {}", shown.redacted(), shown.redacted_toml());
    assert!(!shown.contains("MARKER"), "{shown}");
    let error = refused(with_issuer("secret = 4242\nalgorithms = [\"HS256\"]"));
    assert!(!error.contains("4242"), "{error}");
}
