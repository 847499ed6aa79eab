//! A collector for tests: takes OTLP over HTTP and keeps what it decoded.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// What came.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) service: String,
    pub(super) spans: Vec<Span>,
    pub(super) records: Vec<LogRecord>,
}

/// A collector on a free port.
pub(super) struct Collector {
    pub(super) endpoint: String,
    requests: mpsc::Receiver<(String, Vec<u8>)>,
}

impl Collector {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // The test is over when nobody takes what came.
                if sender.send(take(stream.expect("a connection"))).is_err() {
                    return;
                }
            }
        });
        Self { endpoint, requests }
    }

    /// What has come so far.
    pub(super) fn received(self) -> Received {
        let mut received = Received::default();
        for (path, body) in self.requests.try_iter() {
            match path.as_str() {
                "/v1/traces" => {
                    let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("spans");
                    for resource in request.resource_spans {
                        received.service =
                            text(&resource.resource.expect("there is one").attributes, "service.name");
                        received.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
                    }
                }
                "/v1/logs" => {
                    let request = ExportLogsServiceRequest::decode(body.as_slice()).expect("records");
                    let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
                    received.records.extend(scopes.flat_map(|scope| scope.log_records));
                }
                other => panic!("{other}"),
            }
        }
        received
    }
}

/// Takes one request and answers that all is well.
fn take(stream: TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request");
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("POST"));
    let path = words.next().expect("a path").to_owned();
    let (mut length, mut kind) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).expect("a header");
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().expect("a length"),
            "content-type" => value.clone_into(&mut kind),
            _ => {}
        }
    }
    assert_eq!(kind, "application/x-protobuf");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    reader.get_mut().write_all(answer).expect("written");
    (path, body)
}

/// An attribute as text; empty if there is none.
pub(super) fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    found.and_then(|attribute| attribute.value.clone()).map(shown).unwrap_or_default()
}

/// A value as text.
pub(super) fn shown(value: AnyValue) -> String {
    match value.value {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}
