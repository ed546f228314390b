//! Starts a server, sends it a mail as any program would, and shows what arrived.

use std::error::Error;
use std::time::Duration;

use lettre::{Message, SmtpTransport, Transport};
use smtpmock::{Config, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::start(Config::default())?;
    println!("listening on {}\n", server.local_addr());

    let mail = Message::builder()
        .from("Ann <ann@example.com>".parse()?)
        .to("Bob <bob@example.com>".parse()?)
        .subject("The first one")
        .body("Hello, Bob!".to_owned())?;
    SmtpTransport::builder_dangerous("127.0.0.1").port(server.port()).build().send(&mail)?;

    for message in server.wait_for_messages(1, Duration::from_secs(5))? {
        println!("{}", String::from_utf8_lossy(&message.content()));
    }
    Ok(())
}
