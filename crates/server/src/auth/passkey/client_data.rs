//! What a browser says of a ceremony (WebAuthn, 5.8.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::Refused;

/// What a browser says of a ceremony; other members may be there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    /// The page around a frame. There is none: no page may frame the app.
    #[serde(default)]
    top_origin: Option<String>,
}

/// What a browser says of a ceremony that it began by itself, in no frame of another page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientData {
    pub(super) challenge: Vec<u8>,
    /// The page, or app, that asked.
    pub(super) origin: String,
}

impl ClientData {
    /// Reads what was said of a ceremony of this `kind`: `webauthn.create` or `webauthn.get`.
    ///
    /// # Errors
    /// `Malformed` if it is none, or of another kind; `Origin` if the page was in a frame of another.
    pub(super) fn read(bytes: &[u8], kind: &str) -> Result<Self, Refused> {
        // serde would take a list of a type's fields as well.
        if bytes.first() != Some(&b'{') {
            return Err(Refused::Malformed);
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(|_| Refused::Malformed)?;
        if raw.r#type != kind {
            return Err(Refused::Malformed);
        }
        if raw.cross_origin || raw.top_origin.is_some() {
            return Err(Refused::Origin);
        }
        let challenge = URL_SAFE_NO_PAD.decode(raw.challenge).map_err(|_| Refused::Challenge)?;
        Ok(Self { challenge, origin: raw.origin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ClientData, Refused> {
        ClientData::read(text.as_bytes(), "webauthn.get")
    }

    #[test]
    fn what_a_browser_says_is_read_and_what_it_adds_later_is_not() {
        let said = read(
            r#"{"type":"webauthn.get","challenge":"AQI","origin":"https://a.example","crossOrigin":false,"new":1}"#,
        );
        assert_eq!(said, Ok(ClientData { challenge: vec![1, 2], origin: "https://a.example".to_owned() }));
        for (text, refused) in [
            (r#"{"type":"webauthn.create","challenge":"AQI","origin":"o"}"#, Refused::Malformed),
            (r#"{"type":"webauthn.get","challenge":"AQI=","origin":"o"}"#, Refused::Challenge),
            (r#"{"type":"webauthn.get","challenge":"AQI","origin":"o","crossOrigin":true}"#, Refused::Origin),
            (r#"{"type":"webauthn.get","challenge":"AQI","origin":"o","topOrigin":"p"}"#, Refused::Origin),
            (r#"{"type":"webauthn.get","challenge":"AQI"}"#, Refused::Malformed),
            (
                r#"{"type":"webauthn.get","type":"webauthn.get","challenge":"AQI","origin":"o"}"#,
                Refused::Malformed,
            ),
            (r#"["webauthn.get","AQI","o",false,null]"#, Refused::Malformed),
            ("", Refused::Malformed),
        ] {
            assert_eq!(read(text), Err(refused), "{text}");
        }
        assert_eq!(read(&"[".repeat(100_000)), Err(Refused::Malformed));
    }
}
