//! Where a request carries its token.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};

/// What the subprotocol that carries a browser's token starts with.
const SUBPROTOCOL_PREFIX: &str = "bearer.";

/// The token of a request: from `Authorization: Bearer …`, or, for browsers, which cannot set that header on a
/// WebSocket, from the subprotocol `bearer.<JWT>`. Never from the URL, which ends in logs.
pub fn token_from_headers(headers: &HeaderMap) -> Option<&str> {
    authorization(headers).or_else(|| subprotocol(headers))
}

/// The token after `Bearer`, whose spelling is free in case (RFC 9110, 11.1).
pub(crate) fn authorization(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

fn subprotocol(headers: &HeaderMap) -> Option<&str> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut names = lists.flat_map(|list| list.split(',')).map(str::trim);
    names.find_map(|name| name.strip_prefix(SUBPROTOCOL_PREFIX)).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("valid"));
        }
        token_from_headers(&map).map(str::to_owned)
    }

    #[test]
    fn a_token_is_found_in_either_place() {
        assert_eq!(token(&[("authorization", "Bearer a.b.c")]).as_deref(), Some("a.b.c"));
        assert_eq!(token(&[("authorization", "bearer  a.b.c ")]).as_deref(), Some("a.b.c"));
        let offered = ("sec-websocket-protocol", "healthmate.v1, bearer.d.e.f");
        assert_eq!(token(&[offered]).as_deref(), Some("d.e.f"));
        let apart = [("sec-websocket-protocol", "healthmate.v1"), ("sec-websocket-protocol", "bearer.d.e.f")];
        assert_eq!(token(&apart).as_deref(), Some("d.e.f"));
        assert_eq!(token(&[("authorization", "Bearer a.b.c"), offered]).as_deref(), Some("a.b.c"));
    }

    #[test]
    fn what_is_no_bearer_token_is_none() {
        assert_eq!(token(&[]), None);
        assert_eq!(token(&[("authorization", "Basic dXNlcg==")]), None);
        assert_eq!(token(&[("authorization", "Bearer")]), None);
        assert_eq!(token(&[("authorization", "Bearer ")]), None);
        assert_eq!(token(&[("sec-websocket-protocol", "healthmate.v1, bearer.")]), None);
    }
}
