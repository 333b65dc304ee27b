//! A small server in which everything that a request needs belongs to the request.
//!
//! Each request gets a pool of its own: its text, its headers, its answer. When it is done they go at once,
//! whatever became of the request. Sessions come from a cache; what all requests share belongs to the server.
//! At the end the server prints the tree of what it has.
//!
//!     cargo run --example http_server
//!
//! It listens on a free port of the loopback interface, asks itself a few questions, and ends.

use std::cell::Cell;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tmempool::{Cache, CacheBox, Context, CtxString, CtxVec, format_in};

/// What the client asks for, all of it in the request's memory.
struct Request<'r> {
    method: &'r str,
    path: &'r str,
    headers: CtxVec<'r, (&'r str, &'r str)>,
}

struct Session {
    visits: u32,
}

/// What lives as long as the server.
struct Server<'s> {
    memory: &'s Context,
    sessions: &'s Cache<'s, Session>,
    served: Cell<u32>,
}

impl<'r> Request<'r> {
    /// Reads a request into `memory`. Lines longer than 4 KiB, or more than 32 of them, are refused.
    fn read(memory: &'r Context, stream: &mut impl BufRead) -> Result<Request<'r>, Box<dyn Error>> {
        let mut line = String::new();
        let mut next = |memory: &'r Context| -> Result<&'r str, Box<dyn Error>> {
            line.clear();
            stream.by_ref().take(4096).read_line(&mut line)?;
            Ok(memory.alloc_str(line.trim_end()))
        };
        let mut first = next(memory)?.split(' ');
        let (method, path) = (first.next().unwrap_or(""), first.next().ok_or("no path")?);
        let mut headers = CtxVec::new_in(memory);
        while let Some((name, value)) = next(memory)?.split_once(": ") {
            if headers.len() == 32 {
                return Err("too many headers".into());
            }
            headers.push((name, value));
        }
        Ok(Request { method, path, headers })
    }

    fn header(&self, name: &str) -> Option<&'r str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|&(_, value)| value)
    }
}

impl<'s> Server<'s> {
    /// Answers one request, in memory that goes when this returns, with an error too.
    fn serve(
        &self,
        stream: TcpStream,
        known: &mut CtxVec<'s, (&'s str, CacheBox<'s, Session>)>,
    ) -> Result<(), Box<dyn Error>> {
        let memory: &Context = &self.memory.pool_named("request", 16 << 10);
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut reader = BufReader::new(&stream);
        let request = Request::read(memory, &mut reader)?;
        let body = match (request.method, request.path) {
            ("GET", "/tree") => format_in!(memory, "{}", self.memory.report()),
            ("GET", path) => {
                let visits = request.header("User").map(|user| self.visit(known, user));
                format_in!(memory, "{path} for {:?}, visit {}\n", request.header("User"), visits.unwrap_or(0))
            }
            (method, _) => format_in!(memory, "no such method: {method}\n"),
        };
        let mut answer = CtxString::new_in(memory);
        answer.push_str("HTTP/1.0 200 OK\r\n");
        answer.push_str(&format_in!(memory, "Content-Length: {}\r\n\r\n", body.len()));
        answer.push_str(&body);
        (&stream).write_all(answer.as_bytes())?;
        self.served.set(self.served.get() + 1);
        Ok(())
    }

    /// Counts a visit of `user`, whose session outlives the request.
    fn visit(&self, known: &mut CtxVec<'s, (&'s str, CacheBox<'s, Session>)>, user: &str) -> u32 {
        let at = known.iter().position(|(name, _)| *name == user).unwrap_or_else(|| {
            known.push((self.memory.alloc_str(user), self.sessions.alloc(Session { visits: 0 })));
            known.len() - 1
        });
        known[at].1.visits += 1;
        known[at].1.visits
    }
}

/// Asks for `path`, and gives back what the server says.
fn ask(port: u16, path: &str, user: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nUser: {user}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn main() -> Result<(), Box<dyn Error>> {
    const QUESTIONS: [(&str, &str); 5] = [
        ("/mill/1", "gretel"),
        ("/mill/2", "hans"),
        ("/mill/3", "gretel"),
        ("/tree", "hans"),
        ("/end", "gretel"),
    ];
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    let client = std::thread::spawn(move || {
        QUESTIONS.map(|(path, user)| ask(port, path, user).unwrap_or_else(|error| error.to_string()))
    });

    let memory = Context::new("server");
    let sessions = memory.cache("sessions");
    let server = Server { memory: &memory, sessions: &sessions, served: Cell::new(0) };
    let mut known = CtxVec::new_in(&memory);
    for stream in listener.incoming().take(QUESTIONS.len()) {
        if let Err(error) = server.serve(stream?, &mut known) {
            eprintln!("a request failed: {error}");
        }
    }

    for answer in client.join().map_err(|_| "the client panicked")? {
        println!("{}", answer.split("\r\n\r\n").nth(1).unwrap_or(&answer));
    }
    println!("{} requests, {} sessions, and what the server has now:", server.served.get(), known.len());
    print!("{}", memory.report());
    if server.served.get() != QUESTIONS.len() as u32 || known.len() != 2 {
        return Err("not every request was served".into());
    }
    Ok(())
}
