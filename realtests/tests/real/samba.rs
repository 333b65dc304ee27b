//! Samba's programs: a whole domain made and looked at, its tools, and smbd serving files.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tmempool_realtests::comparison::comparison;
use tmempool_realtests::lab::{Lab, Step, Trouble};

pub fn trials() -> Vec<Trial> {
    vec![
        comparison("samba domain", &["samba-tool", "ldbsearch"], domain),
        comparison("samba tools", &["testparm", "net", "pdbedit", "smbclient", "wbinfo"], tools),
        comparison("smbd", &["smbd", "smbclient", "smbtorture"], served_files),
    ]
}

/// Provisions an Active Directory: the largest trees that are made here, by way of Python, ldb's
/// modules and NDR.
fn domain(lab: &mut Lab) -> Step<()> {
    lab.mask.add(r"S-1-5-21-\d+-\d+-\d+", "SID");
    lab.mask.add(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "GUID");
    lab.mask.add(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ pid:\d+", "TIME");
    lab.mask.add(r"\d{14}\.0Z", "TIME");
    lab.mask.add(r"(lastLogon|pwdLastSet|badPasswordTime|whenChanged|whenCreated): \d+", "$1: TIME");
    lab.mask.add(r"\b1[0-9]{17}\b", "NTTIME");
    // tdb keeps records in an order that depends on the random identities above.
    lab.in_any_order();
    lab.mask.add(r"(Repacking database from .*) \(first record .*\)", "$1");
    let database = "sam/private/sam.ldb";
    lab.run(&[
        "samba-tool",
        "domain",
        "provision",
        "--realm=EXAMPLE.TEST",
        "--domain=EXAMPLE",
        "--server-role=dc",
        "--host-name=testhost",
        "--host-ip=192.0.2.1",
        "--adminpass=Passw0rd!x",
        "--targetdir=sam",
    ])?;
    lab.run(&["samba-tool", "user", "create", "anna", "Secr3t!word", "-H", database])?;
    lab.run(&["samba-tool", "group", "add", "millers", "-H", database])?;
    lab.run(&["samba-tool", "group", "addmembers", "millers", "anna", "-H", database])?;
    lab.run(&["samba-tool", "group", "listmembers", "millers", "-H", database])?;
    lab.run(&["samba-tool", "user", "list", "-H", database])?;
    lab.run(&["samba-tool", "dbcheck", "-H", database, "--cross-ncs"])?;
    lab.run(&["ldbsearch", "-H", database, "(objectClass=group)", "cn", "member", "groupType"])?;
    Ok(())
}

fn tools(lab: &mut Lab) -> Step<()> {
    configure(lab, 445)?;
    let config = "--configfile=smb.conf";
    lab.run(&["testparm", "-sv", "smb.conf"])?;
    lab.write("passdb/keep", "")?;
    lab.run(&["net", config, "registry", "createkey", "HKLM\\Software\\Mill"])?;
    lab.run(&[
        "net",
        config,
        "registry",
        "setvalue",
        "HKLM\\Software\\Mill",
        "stones",
        "multi_sz",
        "a",
        "b",
    ])?;
    lab.run(&["net", config, "registry", "setvalue", "HKLM\\Software\\Mill", "wheels", "dword", "7"])?;
    lab.run(&["net", config, "registry", "enumerate_recursive", "HKLM\\Software\\Mill"])?;
    lab.run(&["net", config, "registry", "export", "HKLM\\Software\\Mill", "mill.reg"])?;
    lab.run(&["net", config, "conf", "import", "smb.conf", "share"])?;
    lab.run(&["net", config, "conf", "list"])?;
    lab.run(&["net", config, "conf", "addshare", "more", "/tmp", "writeable=y"])?;
    lab.run(&["net", config, "conf", "listshares"])?;
    lab.try_run(&["net", config, "registry", "getsd", "HKLM"])?;
    lab.run(&["net", "help", "registry"])?;
    lab.run(&["pdbedit", config, "-L", "-v"])?;
    lab.run(&["smbclient", "--help"])?;
    lab.try_run(&["smbclient", config, "-N", "-L", "nowhere.invalid"])?;
    lab.try_run(&["wbinfo", "--ping"])?;
    Ok(())
}

/// smbd forks a process for each client, each of which goes on with the parent's whole heap.
fn served_files(lab: &mut Lab) -> Step<()> {
    let port = free_port();
    lab.mask.add(r"\([0-9.a-z]+ (kb/s|KiloBytes/sec)\) \(average [0-9.a-z]+ (kb/s|KiloBytes/sec)\)", "SPEED");
    lab.mask.add(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d( [AP]M)? \d{4}( UTC)?", "TIME");
    lab.mask.add(r"\d+ blocks of size \d+\. \d+ blocks available", "SPACE");
    lab.mask.add(r"(Using seed|time:) .*", "$1");
    lab.mask.add(r"\b(pid|file_id:|unique_id:)\s+\d+", "$1 NUMBER");
    lab.mask.add(&format!("{port}"), "PORT");
    configure(lab, port)?;
    lab.write("share/note", "the mill, the lantern and the sea\n".repeat(20_000))?;
    let smbd = lab.start(&[
        "smbd",
        "--configfile=smb.conf",
        "--foreground",
        "--no-process-group",
        "--debug-stdout",
    ])?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > deadline {
            smbd.process.signal(libc::SIGTERM);
            let said = smbd.process.stderr_so_far() + &smbd.process.stdout_so_far();
            return Err(Trouble::Unable(format!("smbd does not answer: {said}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let port = port.to_string();
    let share = "//127.0.0.1/share";
    lab.run(&[
        "smbclient",
        "--configfile=smb.conf",
        "-N",
        "-p",
        &port,
        share,
        "-c",
        "get note; mkdir d; cd d; put note again; ls; rename again more; cd ..; ls d\\*; \
         allinfo d\\more; rm d\\more; rmdir d",
    ])?;
    for suite in ["smb2.connect", "smb2.read", "smb2.lock"] {
        lab.run(&["smbtorture", "--configfile=smb.conf", "-p", &port, "-Unobody-at-all%x", share, suite])?;
    }
    smbd.process.signal(libc::SIGTERM);
    lab.finish(smbd)?;
    Ok(())
}

/// Writes a configuration whose whole state lies in the lab.
fn configure(lab: &Lab, port: u16) -> Step<()> {
    let folder = lab.folder().display();
    // SAFETY: reads the process's id only.
    let guest = if unsafe { libc::getuid() } == 0 { "root" } else { "nobody" };
    lab.write("state/keep", "")?;
    lab.write("share/keep", "")?;
    lab.write(
        "smb.conf",
        format!(
            "[global]\n\
             netbios name = testhost\n\
             smb ports = {port}\n\
             interfaces = lo\n\
             bind interfaces only = yes\n\
             private dir = {folder}/state\n\
             lock directory = {folder}/state\n\
             state directory = {folder}/state\n\
             cache directory = {folder}/state\n\
             pid directory = {folder}/state\n\
             ncalrpc dir = {folder}/state/ncalrpc\n\
             log file = {folder}/state/log\n\
             map to guest = Bad User\n\
             guest account = {guest}\n\
             disable spoolss = yes\n\
             load printers = no\n\
             [share]\n\
             path = {folder}/share\n\
             guest ok = yes\n\
             read only = no\n"
        ),
    )
}

/// A port that nobody listened on a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback network works");
    listener.local_addr().expect("it is bound").port()
}
