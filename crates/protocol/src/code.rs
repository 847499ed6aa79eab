//! The registries of error codes and close codes. `docs/protocol.md` holds the same tables, written from here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($variant:ident, $code:literal, $retry:literal, $meaning:literal, $remedy:literal;)*) => {
        /// Why something was refused: stable words for programs; the message beside them is for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum ErrorCode {
            $(#[doc = $meaning] #[serde(rename = $code)] $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the table in the docs.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// Whether the same request can succeed later without being changed.
            pub fn retry(self) -> bool {
                match self { $(Self::$variant => $retry,)* }
            }

            /// What happened, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What the client should do about it, in a sentence.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

error_codes! {
    MalformedJson, "malformed_json", false, "The message is not one JSON object.", "Mend the client.";
    UnknownType, "unknown_type", false, "The server knows no message of this `type`.", "Compare it with the list of messages.";
    InvalidField, "invalid_field", false, "A field is missing, of the wrong kind, or past its limit; `field` names it.", "Mend the field.";
    NotAuthenticated, "not_authenticated", false, "The connection or request has no valid token yet.", "Send `authenticate` first.";
    AlreadyAuthenticated, "already_authenticated", false, "The connection already belongs to another user.", "Open a second connection for a second user.";
    AccessDenied, "access_denied", false, "This user may not do this.", "Ask the patient, or an administrator, for access.";
    UnknownMetric, "unknown_metric", false, "No metric has this name.", "Use a name from the table of metrics.";
    UnknownUnit, "unknown_unit", false, "The metric cannot be given in this unit.", "Use a unit from the table of metrics.";
    ImplausibleValue, "implausible_value", false, "No living person has this value.", "Check the sensor and the unit; do not send it again.";
    TimeInFuture, "time_in_future", false, "`taken_at` lies more than five minutes ahead of the server.", "Set the device's clock.";
    TooManyTopics, "too_many_topics", false, "The connection holds as many subscriptions as it may.", "Unsubscribe from one, or open a second connection.";
    NotSubscribed, "not_subscribed", false, "The connection has no such subscription.", "Nothing to undo.";
    NotAcknowledged, "not_acknowledged", true, "Events were sent as often as they may be and stayed unacknowledged; their delivery ended.", "Subscribe again with `since`, the last event you have, and acknowledge what comes.";
    UnknownWaveform, "unknown_waveform", false, "No waveform has this name.", "Use a name from the table of waveforms.";
    TopicNotServed, "topic_not_served", false, "This endpoint does not carry topics of this kind.", "Use the endpoint that does.";
    TooManyRequests, "too_many_requests", true, "This client asks more often than it may, or does not wait for answers.", "Wait, then send again.";
    TooManyConnections, "too_many_connections", true, "The user, or the server, has as many connections as it may.", "Close one that is not needed, or come back later.";
    IdempotencyConflict, "idempotency_conflict", false, "The `Idempotency-Key` was used for a different request.", "Use a new key for a new request.";
    NotFound, "not_found", false, "There is no such thing here.", "Check the address.";
    MethodNotAllowed, "method_not_allowed", false, "The resource has no such method.", "Compare it with the OpenAPI document.";
    RequestTimeout, "request_timeout", true, "The request did not arrive, or was not answered, in time.", "Send it again, all at once.";
    StorageUnavailable, "storage_unavailable", true, "The store cannot be written or read now; nothing was stored.", "Send the same request again, after a pause that grows.";
    StorageFull, "storage_full", true, "The disk is full; nothing was stored.", "Send the same request again later; an operator must make room.";
    Internal, "internal", true, "The server made a mistake; it is in its log under this time.", "Send the same request again once; then report it.";
    TokenMissing, "token_missing", false, "The request carries no token.", "Send `Authorization: Bearer …`.";
    TokenMalformed, "token_malformed", false, "The token is neither a signed JWT nor an API token.", "Sign in for one, or ask your identity system or an administrator.";
    TokenTooLarge, "token_too_large", false, "The token is longer than 8 KiB.", "Put less into the token.";
    TokenAlgorithm, "token_algorithm", false, "The token is signed with an algorithm that is not allowed here.", "Sign with an allowed algorithm.";
    TokenSignature, "token_signature", false, "The token's signature does not match.", "Sign with the key the server knows.";
    TokenExpired, "token_expired", false, "The token's `exp` has passed.", "Get a fresh token.";
    TokenNotYetValid, "token_not_yet_valid", true, "The token's `nbf` lies ahead.", "Wait, or set the issuer's clock.";
    TokenIssuer, "token_issuer", false, "The token's `iss` is no configured one.", "Use a token of the right issuer.";
    TokenRevoked, "token_revoked", false, "The token, or the sign-in it belongs to, was taken back.", "Sign in again.";
    SignInRefused, "sign_in_refused", false, "User and password, or passkey, do not let anyone in.", "Ask the person to try again.";
    SignInTooOld, "sign_in_too_old", false, "This needs a sign-in of the last minutes, or the password.", "Ask for the password, or have the person sign in again.";
    TokenAudience, "token_audience", false, "The token's `aud` does not name this server.", "Use a token made for this server.";
    TokenKey, "token_key", false, "The token's issuer has no key that it names and that fits its algorithm.", "Use a token that its issuer signed with a key it publishes.";
    TokenUser, "token_user", false, "The token's claim for the user is no user id: 1 to 64 letters, digits, '-', '_', '.' and '@'.", "Have another claim name the user, in the settings of the issuer.";
    TokenRole, "token_role", false, "The token's claim for the role names none that it may give, or more than one.", "Mend the roles at the issuer, or in its settings.";
    KeysUnavailable, "keys_unavailable", true, "The keys of the token's issuer could not be fetched yet.", "Send the same token again, after a pause that grows.";
    UserUnknown, "user_unknown", false, "No user has the token's `sub`.", "Add the user first.";
    UserInactive, "user_inactive", false, "The user is disabled.", "Ask an administrator.";
}

macro_rules! close_codes {
    ($($variant:ident, $code:literal, $meaning:literal;)*) => {
        /// Why the server ends a connection. 4000 to 4499: come back; 4500 to 4999: do not, and neither after a
        /// message that would be refused again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CloseCode {
            $(#[doc = $meaning] $variant,)*
        }

        impl CloseCode {
            /// Every code, in the order of the table in the docs.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number in the close frame.
            pub fn as_u16(self) -> u16 {
                match self { $(Self::$variant => $code,)* }
            }

            /// What happened, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// Whether the client should connect again.
            pub fn come_back(self) -> bool {
                !matches!(self.as_u16(), 1002 | 1003 | 1007 | 1009 | 4500..=4999)
            }
        }
    };
}

close_codes! {
    Normal, 1000, "The client closed, and the server answered.";
    GoingAway, 1001, "The server stops.";
    ProtocolError, 1002, "The client broke RFC 6455.";
    Unsupported, 1003, "A binary message came where only text is understood.";
    InvalidText, 1007, "A text message is not UTF-8.";
    MessageTooBig, 1009, "A frame or message is larger than the limit.";
    ServerRestart, 4000, "The server restarts; come back after a moment.";
    IdleTimeout, 4001, "Nothing came from the client for longer than the idle limit.";
    Unresponsive, 4002, "The client did not answer a WebSocket ping in time.";
    TryAgainLater, 4003, "The token could not be checked now, or is not valid yet; come back after a moment.";
    AuthenticationFailed, 4500, "The token was refused; get another one before coming back.";
    AuthenticationTimeout, 4501, "No token came within the time to authenticate.";
    TooManyConnections, 4502, "The user has as many connections as one may.";
    Replaced, 4503, "A newer connection of the same user took this one's place.";
    ClosedByOperator, 4504, "An administrator, or the user from elsewhere, closed the connection.";
    TokenEnded, 4505, "The token ended, and no fresh one came in time; come back with one.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_its_own_word_and_number() {
        let mut words: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ErrorCode::ALL.len());
        let mut numbers: Vec<_> = CloseCode::ALL.iter().map(|code| code.as_u16()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), CloseCode::ALL.len());
    }

    #[test]
    fn refused_clients_do_not_come_back_and_restarted_ones_do() {
        assert!(CloseCode::ServerRestart.come_back());
        assert!(!CloseCode::AuthenticationFailed.come_back());
        assert!(!CloseCode::MessageTooBig.come_back(), "the same message would be too big again");
    }
}
