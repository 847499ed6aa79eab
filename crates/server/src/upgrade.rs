//! From an HTTP request to a WebSocket.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use healthmate_care::Rate;
use healthmate_protocol::{ErrorCode, SUBPROTOCOL};
use healthmate_session::{Endpoint, Input};
use healthmate_ws::Handshake;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_local;

use crate::app::App;
use crate::auth::token_from_headers;
use crate::config::Network;
use crate::connection::{Connection, Reader, Stream};
use crate::gate::Counted;
use crate::http::Problem;
use crate::listener::{self, Replayed, Visit};
use crate::shard::Shard;
use crate::telemetry::RefusalReason;

/// What the handshake settled.
pub(crate) struct Opening {
    endpoint: Endpoint,
    client: IpAddr,
    token: Option<String>,
    place: Place,
}

/// What a connection takes up; given back when it is dropped.
pub(crate) struct Place {
    /// One of the node's places.
    _node: OwnedSemaphorePermit,
    /// One of the address's.
    _address: Counted,
}

/// Why a request does not become a WebSocket.
pub(crate) struct Refusal {
    reason: RefusalReason,
    problem: Problem,
    /// What the status asks for beside it.
    headers: HeaderMap,
}

impl Refusal {
    fn new(reason: RefusalReason, problem: Problem) -> Box<Self> {
        Box::new(Self { reason, problem, headers: HeaderMap::new() })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        let mut response = self.problem.into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

/// Answers a request to an endpoint: with 101, or with the reason why not.
pub(crate) fn answer(
    shard: &Rc<Shard>,
    visit: &Visit,
    endpoint: Endpoint,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let parts = (request.method(), request.uri(), request.version(), request.headers());
    match check(shard, visit, endpoint, parts) {
        Ok((handshake, opening)) => {
            spawn_local(open(Rc::clone(shard), hyper::upgrade::on(&mut request), opening));
            handshake.response(Some(SUBPROTOCOL)).map(|()| Body::empty())
        }
        Err(refusal) => {
            shard.app().metrics.connections_refused.of(refusal.reason).inc();
            refusal.into_response()
        }
    }
}

/// Whether the request of these parts becomes a WebSocket.
pub(crate) fn check(
    shard: &Shard,
    visit: &Visit,
    endpoint: Endpoint,
    (method, uri, version, headers): (&Method, &Uri, Version, &HeaderMap),
) -> Result<(Handshake, Opening), Box<Refusal>> {
    let handshake = Handshake::check_head(method, uri, version, headers).map_err(|refusal| {
        let problem = Problem::new(ErrorCode::InvalidField, refusal.to_string());
        let problem = problem.with_status(refusal.status());
        Box::new(Refusal { reason: RefusalReason::Handshake, problem, headers: refusal.headers() })
    })?;
    if !shard.ground.origins.allows(handshake.origin(), Some(handshake.host())) {
        let detail = "pages of this origin may not connect: add it to server.allowed_origins";
        let problem = Problem::new(ErrorCode::AccessDenied, detail).at("Origin");
        return Err(Refusal::new(RefusalReason::Origin, problem));
    }
    let client = visit.client(shard, headers);
    let counted =
        visit.count(shard, client).map_err(|limit| Refusal::new(limit.reason(), limit.problem()))?;
    let place = match place(shard) {
        Ok(node) => Place { _node: node, _address: counted },
        Err(refusal) => {
            visit.keep(counted);
            return Err(refusal);
        }
    };
    let token = token_from_headers(headers).map(str::to_owned);
    Ok((handshake, Opening { endpoint, client, token, place }))
}

/// A place for one more connection, if the server takes it now.
fn place(shard: &Shard) -> Result<OwnedSemaphorePermit, Box<Refusal>> {
    let ground = &shard.ground;
    let limits = &ground.app.settings.limits;
    let full = |reason, detail: String| {
        let problem = Problem::new(ErrorCode::TooManyConnections, detail);
        Refusal::new(reason, problem.with_status(StatusCode::SERVICE_UNAVAILABLE))
    };
    if !ground.app.is_ready() {
        let detail = "the server is about to stop: come back after a moment".to_owned();
        return Err(full(RefusalReason::Stopping, detail));
    }
    let free = Arc::clone(&ground.places).try_acquire_owned();
    let place = free.map_err(|_| {
        let detail = format!("the server holds {} connections already", limits.max_connections);
        full(RefusalReason::NodeFull, detail)
    })?;
    // Twice a second's worth at once: enough for a ward that comes back after a cut.
    let rate =
        Rate::per_second(limits.connections_per_second, limits.connections_per_second.saturating_mul(2));
    let now = tokio::time::Instant::now().into_std();
    let taken = ground.opening.lock().take(rate, now);
    taken.map_err(|_| {
        let detail = format!("more than {} new connections a second", limits.connections_per_second);
        full(RefusalReason::Rate, detail)
    })?;
    Ok(place)
}

async fn open(shard: Rc<Shard>, upgrade: OnUpgrade, opening: Opening) {
    let upgraded: Upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "a client left in its handshake"),
    };
    // Out of hyper's hands, so that nothing of HTTP stays with the connection.
    let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Replayed>>() else {
        return tracing::error!("an upgraded connection is not the socket it came on");
    };
    let Replayed { first, stream, .. } = io.into_inner();
    let rest = [read_buf, first].concat();
    listener::read(opening.open(&shard, stream, Bytes::new(), &rest));
}

impl Opening {
    /// Opens the connection, with what its handshake brought, and returns what reads it. `answer` is the answer to the
    /// handshake, if it is not sent yet, and `rest` what came after the request.
    pub(crate) fn open(self, shard: &Rc<Shard>, stream: Stream, answer: Bytes, rest: &[u8]) -> Reader {
        let connection = Connection::open(shard, stream, self.endpoint, self.client, self.place, answer);
        if let Some(token) = self.token {
            connection.drive(shard, Input::Token(token));
        }
        Reader::new(Rc::clone(shard), connection, rest)
    }
}

/// An address as proxies write it, some with a port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    hop.parse().ok().or_else(|| hop.parse().ok().map(|hop: SocketAddr| hop.ip()))
}

/// Where the client of a request is.
pub(crate) fn client_address(app: &App, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    believed_address(peer, headers, &app.settings.server.trusted_proxies)
}

/// Where the client is: the peer, or, behind trusted proxies, the last address in `X-Forwarded-For` that is not one
/// of them. Anybody can write the header, so nothing is believed beyond the first address that is not trusted.
fn believed_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let lists = headers.get_all("x-forwarded-for").iter().rev();
    let mut hops = lists.filter_map(|value| value.to_str().ok()).flat_map(|list| list.rsplit(','));
    let mut address = peer;
    while is_trusted(address) {
        let Some(hop) = hops.next().and_then(hop_address) else {
            break;
        };
        address = hop;
    }
    address
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
        let trusted: Vec<Network> = vec!["10.0.0.0/8".parse().expect("valid")];
        let address = |peer: &str, forwarded: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            believed_address(peer.parse().expect("valid"), &headers, &trusted).to_string()
        };
        assert_eq!(address("192.0.2.1", &["203.0.113.9"]), "192.0.2.1", "nobody vouches");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(
            address("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"]),
            "203.0.113.9",
            "1.1.1.1 is a claim"
        );
        assert_eq!(address("10.0.0.1", &["1.1.1.1", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["[2001:db8::9]:4711"]), "2001:db8::9");
        assert_eq!(address("10.0.0.1", &["nonsense"]), "10.0.0.1");
    }
}
