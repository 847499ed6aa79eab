//! Keys behind an address: a server on this machine that answers as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// What publishes keys.
struct Publisher {
    url: String,
    /// The answer, whole; nothing for an answer that does not come.
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Publisher {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/certs?tenant=1", listener.local_addr().expect("bound"));
        let (answer, asked) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
        let (answers, count) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.expect("a request"));
                }
                assert!(head.starts_with(b"GET /certs?tenant=1 HTTP/1.1\r\n"), "{head:?}");
                count.fetch_add(1, Ordering::SeqCst);
                let answer: Option<String> = answers.lock().clone();
                match answer {
                    // It may be longer than is read.
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                    None => drop(tokio::spawn(async move { stream.read_u8().await })),
                }
            }
        });
        Self { url, answer, asked }
    }

    fn says(&self, status: &str, body: &str) {
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nLocation: /other\r\n\r\n{body}", body.len());
        *self.answer.lock() = Some(answer);
    }

    fn publishes(&self, keys: &[Value]) {
        self.says("200 OK", &json!({ "keys": keys }).to_string());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A key with a name.
struct Signer {
    kid: &'static str,
    pair: KeyPair,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        Self { kid, pair: KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key") }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.der_bytes();
        let [x, y] = [&point[1..33], &point[33..]].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        json!({ "kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig", "alg": "ES256", "x": x, "y": y })
    }

    fn token(&self) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_der(&self.pair.serialize_der());
        jsonwebtoken::encode(&header, &claims(), &key).expect("signed")
    }
}

fn taking(publisher: &Publisher, change: impl FnOnce(&mut AuthSettings)) -> TokenVerifier {
    let mut auth = settings(&["ES256"], &format!("jwks_url = \"{}\"", publisher.url));
    auth.jwks_timeout_s = 1;
    change(&mut auth);
    verifier(&auth)
}

/// Keeps the keys fresh, as a server does.
fn keep_fresh(verifier: &TokenVerifier) {
    for jwks in verifier.published() {
        tokio::spawn(Arc::clone(jwks).run(|_| {}));
    }
}

async fn patiently(verifier: &TokenVerifier, token: &str) -> Result<String, &'static str> {
    let verdict = verifier.verify_patiently(token, now()).await;
    verdict.map(|claims| claims.user.to_string()).map_err(|error| error.code().as_str())
}

#[tokio::test]
async fn a_key_that_is_new_is_fetched_once_and_one_that_is_gone_is_refused() {
    let (publisher, old, new) = (Publisher::start().await, Signer::new("old"), Signer::new("new"));
    publisher.publishes(&[old.jwk()]);
    let verifier = taking(&publisher, |auth| auth.jwks_min_interval_s = 0);
    assert_eq!(verify(&verifier, &old.token()), Err("keys_unavailable"), "nothing was fetched yet");
    keep_fresh(&verifier);
    assert_eq!(patiently(&verifier, &old.token()).await, Ok("ana".to_owned()));
    let asked = publisher.asked();
    assert_eq!(verify(&verifier, &old.token()), Ok("ana".to_owned()), "known: no question");
    assert_eq!(publisher.asked(), asked);
    publisher.publishes(&[new.jwk()]);
    assert_eq!(verify(&verifier, &new.token()), Err("token_key"));
    assert_eq!(patiently(&verifier, &new.token()).await, Ok("ana".to_owned()));
    assert_eq!(patiently(&verifier, &old.token()).await, Err("token_key"));
    // The name of a published key with another key behind it.
    assert_eq!(patiently(&verifier, &Signer::new("new").token()).await, Err("token_signature"));
}

#[tokio::test]
async fn unknown_keys_make_no_more_requests_than_the_setting_allows() {
    let (publisher, known) = (Publisher::start().await, Signer::new("known"));
    publisher.publishes(&[known.jwk()]);
    let verifier = taking(&publisher, |auth| auth.jwks_min_interval_s = 3600);
    keep_fresh(&verifier);
    assert_eq!(patiently(&verifier, &known.token()).await, Ok("ana".to_owned()));
    let stranger = Signer::new("stranger");
    for _ in 0..20 {
        assert_eq!(patiently(&verifier, &stranger.token()).await, Err("token_key"));
    }
    assert_eq!(publisher.asked(), 1);
}

/// Where keys are to be fresher than they may be fetched, the second setting holds, and nobody turns in circles until then.
#[tokio::test(start_paused = true)]
async fn keys_that_may_not_be_fetched_yet_are_waited_for() {
    let auth = AuthSettings { jwks_refresh_s: 10, jwks_min_interval_s: 60, ..AuthSettings::default() };
    // Nobody listens there: each attempt is over at once.
    let jwks = Jwks::new("elsewhere", "http://127.0.0.1:1/certs", &auth).expect("an address");
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let run = Arc::clone(&jwks).run(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let ended = tokio::time::timeout(std::time::Duration::from_secs(130), run).await;
    assert!(ended.is_err(), "it goes on");
    assert_eq!(attempts.load(Ordering::SeqCst), 3, "at 0, 60 and 120 s");
    assert_eq!(jwks.looks(), 3, "and not looked between them");
}

#[tokio::test]
async fn known_keys_stay_good_while_the_address_fails() {
    let (publisher, signer) = (Publisher::start().await, Signer::new("k"));
    publisher.publishes(&[signer.jwk()]);
    let verifier = taking(&publisher, |auth| auth.jwks_max_bytes = 1024);
    verifier.fetch_keys().await;
    assert_eq!(verify(&verifier, &signer.token()), Ok("ana".to_owned()));
    let fails: [(&str, &str, String); 6] = [
        ("an error", "500 Internal Server Error", String::new()),
        ("a redirect", "302 Found", json!({ "keys": [Signer::new("k").jwk()] }).to_string()),
        ("no JSON", "200 OK", "<html>".to_owned()),
        ("no keys", "200 OK", json!({ "keys": [] }).to_string()),
        ("an answer that is too long", "200 OK", json!({ "keys": [], "x": "x".repeat(2000) }).to_string()),
        ("too many keys", "200 OK", json!({ "keys": vec![json!(1); 65] }).to_string()),
    ];
    for (what, status, body) in fails {
        publisher.says(status, &body);
        let asked = publisher.asked();
        verifier.fetch_keys().await;
        assert_eq!(publisher.asked(), asked + 1, "{what}");
        assert_eq!(verify(&verifier, &signer.token()), Ok("ana".to_owned()), "{what}");
    }
    *publisher.answer.lock() = None;
    verifier.fetch_keys().await;
    assert_eq!(verify(&verifier, &signer.token()), Ok("ana".to_owned()), "no answer at all");
}

#[tokio::test]
async fn what_is_not_understood_in_a_document_is_left_out() {
    let (publisher, signer) = (Publisher::start().await, Signer::new("k"));
    let mut encrypting = signer.jwk();
    encrypting["use"] = json!("enc");
    let secret = json!({ "kty": "oct", "kid": "k", "k": URL_SAFE_NO_PAD.encode(SHARED) });
    let post_quantum = json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" });
    let cut = json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": "AA", "y": "AA" });
    publisher.publishes(&[
        secret.clone(),
        post_quantum.clone(),
        cut.clone(),
        encrypting.clone(),
        json!(7),
        signer.jwk(),
    ]);
    let verifier = taking(&publisher, |auth| auth.issuers[0].algorithms.push("HS256".to_owned()));
    verifier.fetch_keys().await;
    assert_eq!(verify(&verifier, &signer.token()), Ok("ana".to_owned()));
    let forged = forged(r#"{"alg":"HS256","kid":"k"}"#, claims().to_string().as_bytes(), SHARED.as_bytes());
    assert_eq!(verify(&verifier, &forged), Err("token_key"), "a published secret is none");

    let none = taking(&publisher, |_| {});
    publisher.publishes(&[secret, post_quantum, cut, encrypting]);
    none.fetch_keys().await;
    assert_eq!(verify(&none, &signer.token()), Err("keys_unavailable"));
}

#[tokio::test]
async fn a_p521_key_is_taken_too() {
    let publisher = Publisher::start().await;
    let x = "AWwqyRpGTiYDYAL0nuhiBjlQU7BwSlftcVWvszi7wIWLNPoAp7s_KGhafV8rDBXVTyGTGe0ZVGDirPgLI6zVbxLV";
    let y = "AYiN7MOHCUz9iRp07xdpOORPJlYOle5laRw4n5Cws7IXhokQvJsSUCnaDxY16kjtHKunKnlbzfEjYO9GkyKC9r8k";
    let jwk = json!({ "kty": "EC", "crv": "P-521", "use": "sig", "alg": "ES512", "x": x, "y": y });
    let mut off_the_curve = jwk.clone();
    off_the_curve["y"] = json!(x);
    publisher.publishes(&[off_the_curve, jwk]);
    let verifier = taking(&publisher, |auth| auth.issuers[0].algorithms = vec!["ES512".to_owned()]);
    verifier.fetch_keys().await;
    assert_eq!(verify(&verifier, P521_TOKEN.trim()), Ok("ana".to_owned()));
}
