//! AMQP 0-9-1 on the wire: bytes to frames, methods, content headers, properties and field tables, and back.
//! Knows no sockets and no words of a broker. What a client sends is checked here for shape (lengths, nesting,
//! UTF-8 where the protocol asks for it) before anything is allocated for it; what it means is decided elsewhere.

pub mod frame;
mod growing;
pub mod method;
pub mod properties;
mod shape;
pub mod table;
pub mod write;
