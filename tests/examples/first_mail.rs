//! Starts a server, sends it a mail as any program would, and shows what arrived.

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use smtpmock::{Config, Server};

const MAIL: &str = "From: Ann <ann@example.com>\r\n\
    To: Bob <bob@example.com>\r\n\
    Subject: The first one\r\n\
    \r\n\
    Hello, Bob!\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::start(Config::default())?;
    println!("listening on {}\n", server.local_addr());

    send(server.local_addr())?;

    for message in server.wait_for_messages(1, Duration::from_secs(5))? {
        println!("\n{}", String::from_utf8_lossy(&message.content()));
    }
    Ok(())
}

/// Like a mail library, waits for the reply to each command.
fn send(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let mut replies = BufReader::new(stream.try_clone()?).lines();
    let commands = ["EHLO app.example", "MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.com>", "DATA"];
    let end_of_mail = format!("{MAIL}.");
    for line in commands.into_iter().chain([end_of_mail.as_str(), "QUIT"]) {
        println!("server: {}", replies.next().ok_or(io::ErrorKind::UnexpectedEof)??);
        println!("client: {line}");
        write!(stream, "{line}\r\n")?;
    }
    println!("server: {}", replies.next().ok_or(io::ErrorKind::UnexpectedEof)??);
    Ok(())
}
