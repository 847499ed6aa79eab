//! One socket while it speaks HTTP: whose it is, and what it has asked for.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use healthmate_protocol::ErrorCode;
use healthmate_session::Endpoint;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use tower::ServiceExt;

use crate::gate::{Counted, Limit};
use crate::http::{ClientAddress, Problem, headers};
use crate::shard::Shard;
use crate::telemetry::RequestRefusal;
use crate::tls::Shown;
use crate::upgrade::{self, client_address};

/// A socket whose client may still ask for anything.
#[derive(Debug)]
pub(crate) struct Visit {
    /// Who is at the other end: the client, or a proxy.
    peer: IpAddr,
    /// Whether that is a trusted proxy: it speaks for many, and is not counted.
    is_proxy: bool,
    /// The socket as one of its client's.
    counted: RefCell<Option<Counted>>,
    /// The certificate that the client showed.
    shown: Shown,
    /// How many requests there were.
    requests: Cell<u32>,
}

impl Visit {
    /// Counts a new socket.
    ///
    /// # Errors
    /// If its address has, or opens, as many as it may.
    pub(super) fn begin(shard: &Shard, peer: SocketAddr) -> Result<Self, Limit> {
        let peer = peer.ip();
        let trusted = &shard.app().settings.server.trusted_proxies;
        let is_proxy = trusted.iter().any(|network| network.contains(peer));
        let counted = if is_proxy { None } else { Some(shard.ground.gate.enter(peer, shard.now().instant)?) };
        Ok(Self {
            peer,
            is_proxy,
            counted: RefCell::new(counted),
            shown: Shown::default(),
            requests: Cell::new(0),
        })
    }

    /// Notes the certificate that the client showed.
    pub(super) fn show(&mut self, shown: Shown) {
        self.shown = shown;
    }

    /// Where the client of a request with these headers is.
    pub(crate) fn client(&self, shard: &Shard, headers: &HeaderMap) -> IpAddr {
        client_address(shard.app(), self.peer, headers)
    }

    /// The socket as one of `client`, for a WebSocket, which it will be and stay.
    ///
    /// # Errors
    /// If a proxy brings a client that has, or opens, as many as it may.
    pub(crate) fn count(&self, shard: &Shard, client: IpAddr) -> Result<Counted, Limit> {
        match self.counted.take() {
            Some(counted) => Ok(counted),
            None => shard.ground.gate.enter(client, shard.now().instant),
        }
    }

    /// Takes back what [`Visit::count`] gave: the socket stays with HTTP.
    pub(crate) fn keep(&self, counted: Counted) {
        if !self.is_proxy {
            self.counted.replace(Some(counted));
        }
    }
}

/// Answers a request, and lets the client know when it was the last of this connection.
pub(super) async fn answer(
    shard: Rc<Shard>,
    visit: Rc<Visit>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    visit.requests.set(visit.requests.get() + 1);
    let last = visit.requests.get() >= shard.app().settings.limits.requests_per_connection;
    // What comes after such a request is not HTTP, or was not read as it.
    let other = request.headers().contains_key(UPGRADE) || request.method() == Method::CONNECT;
    let mut response = answer_one(&shard, &visit, request).await;
    let refused = response.status() == StatusCode::TOO_MANY_REQUESTS;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS && (last || other || refused) {
        response.headers_mut().append(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

async fn answer_one(shard: &Rc<Shard>, visit: &Visit, mut request: Request<Incoming>) -> Response<Body> {
    let app = shard.app();
    let path = request.uri().path().to_owned();
    let secured = |mut response: Response<Body>| {
        headers::add(response.headers_mut(), &path, &app.settings.server);
        response
    };
    let client = visit.client(shard, request.headers());
    if shard.ground.gate.request(client, shard.now().instant).is_err() {
        app.metrics.requests_refused.of(RequestRefusal::AddressRate).inc();
        app.metrics.errors.of(ErrorCode::TooManyRequests).inc();
        let limit = app.settings.limits.requests_per_second_per_address;
        let detail = format!("more than {limit} requests a second from this address");
        return secured(Problem::new(ErrorCode::TooManyRequests, detail).into_response());
    }
    if let Some(endpoint) = Endpoint::at_path(request.uri().path()) {
        let response = upgrade::answer(shard, visit, endpoint, request);
        return if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            response
        } else {
            secured(response)
        };
    }
    let most = app.settings.limits.body_bytes.max(app.settings.limits.small_body_bytes);
    if request.body().size_hint().lower() > u64::from(most) {
        let detail = format!("the body must be at most {most} bytes");
        app.metrics.requests_refused.of(RequestRefusal::TooLarge).inc();
        let problem = Problem::new(ErrorCode::InvalidField, detail);
        return secured(problem.with_status(StatusCode::PAYLOAD_TOO_LARGE).into_response());
    }
    request.extensions_mut().insert(ClientAddress(client));
    request.extensions_mut().insert(visit.shown.clone());
    let answering = shard.ground.router.clone().oneshot(request.map(Body::new));
    let seconds = app.settings.limits.request_timeout_s;
    match tokio::time::timeout(Duration::from_secs(seconds.into()), answering).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => {
            app.metrics.requests_refused.of(RequestRefusal::Slow).inc();
            app.metrics.errors.of(ErrorCode::RequestTimeout).inc();
            let detail = format!("the request was not there, and answered, within {seconds} s");
            secured(Problem::new(ErrorCode::RequestTimeout, detail).into_response())
        }
    }
}
