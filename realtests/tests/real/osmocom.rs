//! osmo-hlr, a daemon that shows its trees on its terminal, in a signal handler, and when it ends:
//! several thousand lines of talloc's reports, which must be the same.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tmempool_realtests::comparison::comparison;
use tmempool_realtests::lab::{Lab, Step, Trouble};

/// Where the daemon's terminal listens; it cannot be told another port.
const TERMINAL: (&str, u16) = ("127.0.0.1", 4258);

const PROMPT: &[u8] = b"OsmoHLR# ";

pub fn trials() -> Vec<Trial> {
    vec![comparison("osmo-hlr", &["osmo-hlr"], osmo_hlr)]
}

fn osmo_hlr(lab: &mut Lab) -> Step<()> {
    lab.write(
        "hlr.cfg",
        "log stderr\n logging filter all 1\n logging color 0\n logging timestamp 0\n\
         line vty\n bind 127.0.0.1\nctrl\n bind 127.0.0.1\nhlr\n gsup\n  bind ip 127.0.0.1\n",
    )?;
    let daemon = lab.start(&["osmo-hlr", "-c", "hlr.cfg", "-l", "hlr.db"])?;
    let shown = talk().map_err(|error| {
        let said = daemon.process.stderr_so_far();
        Trouble::Unable(format!("its terminal: {error}; it said: {said}"))
    })?;
    lab.note(&shown);
    // The daemon prints a report in its handler.
    let before = daemon.process.stderr_so_far().len();
    daemon.process.signal(libc::SIGUSR1);
    let deadline = Instant::now() + Duration::from_secs(10);
    while daemon.process.stderr_so_far().len() == before && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    daemon.process.signal(libc::SIGTERM);
    lab.finish(daemon)?;
    Ok(())
}

/// Enters subscribers at the daemon's terminal; returns all that it answers.
fn talk() -> std::io::Result<String> {
    let mut terminal = connect()?;
    terminal.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut shown = String::new();
    terminal.write_all(b"enable\n")?;
    shown += &answer(&mut terminal)?;
    let mut lines = Vec::new();
    for number in 0..50 {
        let imsi = format!("subscriber imsi 90170000000{number:04}");
        lines.push(format!("{imsi} create"));
        lines.push(format!("{imsi} update msisdn 4{number:04}"));
    }
    lines.push("subscriber imsi 901700000000003 show".to_owned());
    lines.push("subscriber imsi 901700000000999 show".to_owned());
    lines.push("show talloc-context application brief".to_owned());
    lines.push("show talloc-context all full".to_owned());
    for line in lines {
        terminal.write_all(format!("{line}\n").as_bytes())?;
        shown += &answer(&mut terminal)?;
    }
    Ok(shown)
}

/// Connects as soon as the daemon listens.
fn connect() -> std::io::Result<TcpStream> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(TERMINAL) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            outcome => return outcome,
        }
    }
}

/// Reads up to the next prompt.
fn answer(terminal: &mut TcpStream) -> std::io::Result<String> {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    while !text.ends_with(PROMPT) {
        match terminal.read(&mut part)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => text.extend_from_slice(&part[..length]),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
