//! FreeRADIUS: a configuration parsed and checked, and a pool of threads answering radclient.

use std::fmt::Write;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tmempool_realtests::comparison::comparison;
use tmempool_realtests::lab::{Lab, Step, Trouble};

const USERS: usize = 100;

pub fn trials() -> Vec<Trial> {
    vec![comparison("freeradius", &["freeradius", "radclient"], freeradius)]
}

fn freeradius(lab: &mut Lab) -> Step<()> {
    let port = free_port();
    lab.mask.add(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}", "TIME");
    lab.mask.add(&port.to_string(), "PORT");
    lab.mask.add(r"0\.0\.0\.0:\d+", "CLIENT");
    lab.mask.add(r"to 127\.0\.0\.1:\d+", "to CLIENT");
    lab.mask.add(r"Id \d+", "Id NUMBER");
    // Threads answer in any order, and start when they are needed.
    lab.mask.add(r"(?m)^.* : Auth: .*\n", "");
    // A late answer meets a new question with the same number.
    lab.mask.add(r"(?m)^.* : Error: Received conflicting packet .*\n", "");
    lab.mask.add(r"\b[Tt]hread \d+", "Thread NUMBER");
    configure(lab, port)?;
    let folder = lab.folder().display().to_string();
    lab.run(&["freeradius", "-C", "-X", "-d", &folder])?;

    let daemon = lab.start(&["freeradius", "-f", "-m", "-l", "stdout", "-d", &folder])?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !daemon.process.stdout_so_far().contains("Ready to process requests") {
        if Instant::now() > deadline {
            return Err(Trouble::Unable(daemon.process.stdout_so_far()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let server = format!("127.0.0.1:{port}");
    lab.run(&["radclient", "-q", "-s", "-c", "5", "-p", "20", "-f", "many", &server, "auth", "mill"])?;
    lab.run(&["radclient", "-x", "-f", "one", &server, "auth", "mill"])?;
    lab.try_run(&["radclient", "-x", "-f", "wrong", &server, "auth", "mill"])?;
    daemon.process.signal(libc::SIGTERM);
    lab.finish(daemon)?;
    Ok(())
}

fn configure(lab: &Lab, port: u16) -> Step<()> {
    let folder = lab.folder().display();
    let mut users = String::new();
    let mut many = String::new();
    for number in 0..USERS {
        let _ = writeln!(users, "user{number} Cleartext-Password := \"secret{number}\"");
        let _ = writeln!(users, "\tFramed-IP-Address = 10.0.0.{number}\n");
        let _ = writeln!(many, "User-Name = user{number}\nUser-Password = secret{number}");
        let _ = writeln!(many, "Class = 0x6162, Class = 0x6364\n");
    }
    lab.write("users", users)?;
    lab.write("many", many)?;
    lab.write("one", "User-Name = user7, User-Password = secret7, Class = 0x6162\n")?;
    lab.write("wrong", "User-Name = user8, User-Password = wrong\n")?;
    lab.write(
        "radiusd.conf",
        format!(
            r#"prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = {folder}
logdir = {folder}
run_dir = {folder}
correct_escapes = true
max_request_time = 30
cleanup_delay = 0
log {{
    destination = stdout
    auth = yes
}}
client here {{
    ipaddr = 127.0.0.1
    secret = mill
}}
thread pool {{
    start_servers = 4
    max_servers = 8
    min_spare_servers = 2
    max_spare_servers = 4
    max_requests_per_server = 50
    auto_limit_acct = no
}}
modules {{
    files {{
        filename = {folder}/users
    }}
    pap {{
    }}
    expr {{
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {port}
    }}
    authorize {{
        if (&User-Name =~ /^user([0-9]+)$/) {{
            update reply {{
                Reply-Message := "number %{{1}}, twice %{{expr:%{{1}} * 2}}, %{{toupper:%{{User-Name}}}}"
            }}
        }}
        foreach &Class {{
            update reply {{
                Filter-Id += "%{{Foreach-Variable-0}}"
            }}
        }}
        files
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
    }}
}}
"#
        ),
    )
}

/// A port that nobody listened on a moment ago.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("the loopback network works");
    socket.local_addr().expect("it is bound").port()
}
