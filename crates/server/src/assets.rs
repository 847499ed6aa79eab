//! The files of the web app: inside the binary, or from a folder.
