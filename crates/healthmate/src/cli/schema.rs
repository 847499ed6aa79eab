//! `healthmate schema`

use clap::{Args, ValueEnum};

use super::failure::Failure;
use super::output;

/// Print the interfaces for machines, as the types of this version define them
#[derive(Args)]
pub(crate) struct Schema {
    /// Which document
    #[arg(value_enum)]
    document: Document,
}

#[derive(Clone, Copy, ValueEnum)]
enum Document {
    /// OpenAPI 3.1: the REST routes
    Openapi,
    /// AsyncAPI 3: the WebSocket messages
    Asyncapi,
    /// JSON Schema 2020-12: every WebSocket message
    JsonSchema,
}

impl Schema {
    /// Prints the document.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let text = match self.document {
            Document::Openapi => healthmate_server::http::openapi(),
            Document::Asyncapi => healthmate_protocol::schema::asyncapi(),
            Document::JsonSchema => healthmate_protocol::schema::json_schema(),
        };
        output::line(text.trim_end())
    }
}
