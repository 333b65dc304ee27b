//! notmuch over a generated maildir: indexing, searching, tagging, dumping.

use std::fmt::Write;

use libtest_mimic::Trial;
use tmempool_realtests::comparison::comparison;
use tmempool_realtests::lab::{Lab, Step};

/// Mails in the maildir. One in five begins a thread of five.
const MAILS: usize = 500;

pub fn trials() -> Vec<Trial> {
    vec![
        comparison("notmuch", &["notmuch"], notmuch),
        comparison("notmuch from Python", &["notmuch", "python3"], from_python),
    ]
}

fn notmuch(lab: &mut Lab) -> Step<()> {
    index(lab)?;
    lab.run(&["notmuch", "count"])?;
    lab.run(&["notmuch", "search", "--sort=oldest-first", "subject:harvest"])?;
    lab.run(&["notmuch", "search", "--output=files", "from:anna"])?;
    lab.run(&["notmuch", "search", "--output=messages", "date:2024-01-01..2024-01-20"])?;
    lab.run(&["notmuch", "search", "--format=text0", "--output=tags", "*"])?;
    lab.run(&["notmuch", "tag", "+field", "-unread", "--", "subject:harvest"])?;
    lab.run(&["notmuch", "search", "tag:field", "and", "not", "tag:unread"])?;
    lab.run(&["notmuch", "show", "--format=json", "--entire-thread=true", "id:mail40@example.test"])?;
    lab.run(&["notmuch", "show", "--format=mbox", "subject:lantern"])?;
    lab.run(&["notmuch", "reply", "id:mail41@example.test"])?;
    lab.run(&["notmuch", "address", "--output=sender", "--output=count", "*"])?;
    lab.run(&["notmuch", "dump"])?;
    // Mails that go and mails that move are found by the next `new`.
    for number in 0..50 {
        let _ = std::fs::remove_file(lab.folder().join(path_of(number)));
    }
    lab.run(&["notmuch", "new"])?;
    lab.run(&["notmuch", "count"])?;
    lab.run(&["notmuch", "compact", "--quiet"])?;
    lab.try_run(&["notmuch", "search", "and and ("])?;
    lab.try_run(&["notmuch", "show", "--part=77", "id:mail60@example.test"])?;
    Ok(())
}

fn from_python(lab: &mut Lab) -> Step<()> {
    index(lab)?;
    lab.write(
        "walk.py",
        "import notmuch2\n\
         with notmuch2.Database(mode=notmuch2.Database.MODE.READ_WRITE) as db:\n\
         \x20   for message in db.messages('subject:harvest'):\n\
         \x20       with message.frozen():\n\
         \x20           message.tags.add('seen-by-python')\n\
         \x20   print(sorted(db.tags), db.count_messages('tag:seen-by-python'))\n\
         \x20   for thread in db.threads('from:anna'):\n\
         \x20       print(thread.subject, thread.authors, thread.first, len(list(thread)))\n",
    )?;
    lab.run(&["python3", "walk.py"])?;
    Ok(())
}

/// Writes the mails and indexes them.
fn index(lab: &mut Lab) -> Step<()> {
    // The time of the run, and the database's identity.
    lab.mask.add(r"in (almost no time|[0-9a-z ]+?)( \(\d+ files/sec\.\))?\.", "in TIME.");
    lab.mask.add(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "UUID");
    // Mails are indexed, and threads numbered, in the order of inode numbers.
    lab.in_any_order();
    lab.mask.add(r"thread:[0-9a-f]{16}", "THREAD");
    lab.mask.add(r#""thread": "[0-9a-f]{16}""#, "THREAD");
    for number in 0..MAILS {
        lab.write(&path_of(number), mail(number))?;
    }
    let config = format!(
        "[database]\npath={}/mail\n[user]\nname=Test\nprimary_email=test@example.test\n\
         [new]\ntags=unread;inbox\n",
        lab.folder().display()
    );
    lab.write("config", config)?;
    let config = lab.folder().join("config").display().to_string();
    lab.set("NOTMUCH_CONFIG", &config);
    lab.run(&["notmuch", "new"])?;
    Ok(())
}

fn path_of(number: usize) -> String {
    format!("mail/box{}/cur/{number:04}.example:2,S", number % 4)
}

fn mail(number: usize) -> String {
    const PEOPLE: [&str; 5] = ["anna", "bela", "chiara", "dmitri", "eun"];
    const SUBJECTS: [&str; 6] = ["harvest", "lantern", "bridge", "winter", "cello", "ferry"];
    let (thread, place) = (number / 5, number % 5);
    let mut text = String::new();
    let _ = writeln!(text, "From: {0} <{0}@example.test>", PEOPLE[number % PEOPLE.len()]);
    let _ = writeln!(text, "To: list@example.test, {}@example.test", PEOPLE[thread % PEOPLE.len()]);
    let reply = if place > 0 { "Re: " } else { "" };
    let _ = writeln!(text, "Subject: {reply}{} {thread}", SUBJECTS[thread % SUBJECTS.len()]);
    let (day, hour) = (1 + thread % 28, thread / 28);
    let _ = writeln!(text, "Date: {day} Jan 2024 {hour:02}:{place:02}:00 +0000");

    let _ = writeln!(text, "Message-ID: <mail{number}@example.test>");
    if place > 0 {
        let _ = writeln!(text, "In-Reply-To: <mail{}@example.test>", number - 1);
    }
    if number % 10 == 1 {
        text += "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=cut\n\n\
                 --cut\nContent-Type: text/plain; charset=utf-8\n\nGrüße aus der Mühle.\n\
                 --cut\nContent-Type: text/html\n\n<p>the <b>mill</b></p>\n--cut--\n";
        return text;
    }
    text += "\n";
    for line in 0..(number % 17) {
        let _ = writeln!(
            text,
            "Line {line} of letter {number}: the mill, the {} and the sea.",
            SUBJECTS[line % 6]
        );
    }
    text
}
