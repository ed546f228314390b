//! Outputs to the same file, to locked files, to files that lose data, and to slow readers.

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

const SOON: Duration = Duration::from_millis(50);

fn folder() -> (TempDir, impl Fn(&str) -> PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    (folder, move |name| path.join(name))
}

/// Polls a condition without an event.
fn until(mut holds: impl FnMut() -> bool) {
    assert!((0..60_000).any(|_| holds() || {
        thread::sleep(Duration::from_millis(1));
        false
    }));
}

/// Opens an output. A file that was written before may be locked a little longer: its thread unlocks it after it has
/// reported completion, and a process that another test starts holds a copy for a moment.
fn output(path: &Path) -> Output {
    let mut opened = None;
    until(|| {
        opened = Output::open(Place::new("the capture", path)).ok();
        opened.is_some()
    });
    opened.expect("it can be opened")
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
}

/// A capture and a report to these paths.
fn two(first: &Path, second: &Path) -> Result<Opening, Refusal> {
    let mut claims = Claims::default();
    claims.output("--capture", "the capture", first);
    claims.output("--report-json", "the JSON report", second);
    claims.open()
}

fn collision<T: std::fmt::Debug>(opened: Result<T, Refusal>) -> String {
    match opened {
        Err(Refusal::Collision(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_file_by_two_names_lost_the_records_of_one() {
    let (_folder, path) = folder();
    let capture = path("s.jsonl");
    fs::write(&capture, "of an earlier run\n").expect("writable");
    fs::create_dir(path("sub")).expect("a folder");
    symlink(&capture, path("link")).expect("a link");
    fs::hard_link(&capture, path("hard")).expect("a link");
    for name in ["s.jsonl", "./s.jsonl", "sub/../s.jsonl", "link", "hard"] {
        let second = path(name);
        let text = collision(two(&capture, &second));
        let (flags, rest) = text.split_at("--report-json and --capture both write to ".len());
        assert_eq!(flags, "--report-json and --capture both write to ");
        assert!(
            rest.starts_with(&format!("{second:?}")) && rest.ends_with(": expected a file for each"),
            "{text}"
        );
    }
    let left = fs::read_to_string(&capture).expect("readable");
    assert_eq!(left, "of an earlier run\n", "nothing is emptied before all is compared");
    // The file does not exist yet, but both paths name it.
    collision(two(&path("new"), &path("sub/../new")));
    fifo(&path("fifo"));
    collision(two(&path("fifo"), &path("./fifo")));
    assert!(two(&capture, &path("other")).is_ok());
}

#[test]
fn any_number_of_outputs_go_to_a_device() {
    let null = Path::new("/dev/null");
    let mut opening = two(null, null).expect("both are thrown away");
    assert!(opening.take("the capture").is_some() && opening.take("the JSON report").is_some());
}

#[test]
fn standard_output_is_one_place_for_data_and_any_number_of_texts() {
    let mut claims = Claims::default();
    claims.text("--report");
    claims.text("--log");
    assert!(claims.open().is_ok() && !claims.has_standard_output());
    claims.output("--hlog", "the interval log", Path::new("-"));
    assert!(claims.has_standard_output());
    let text = collision(claims.open());
    assert_eq!(text, "--hlog and --report both write to standard output: expected a file for --hlog");
    let mut claims = Claims::default();
    claims.output("--hlog", "the interval log", Path::new("-"));
    claims.text("--report");
    let text = collision(claims.open());
    assert_eq!(text, "--report and --hlog both write to standard output: expected a file for --hlog");
}

#[test]
fn what_is_read_is_not_written_over() {
    let (_folder, path) = folder();
    let (config, link) = (path("c.toml"), path("link"));
    fs::write(&config, "port = 2525\n").expect("writable");
    symlink(&config, &link).expect("a link");
    for is_output_first in [true, false] {
        let mut claims = Claims::default();
        let output = |claims: &mut Claims| claims.output("--capture", "the capture", &link);
        let input = |claims: &mut Claims| claims.input("--config", &config);
        match is_output_first {
            true => (output(&mut claims), input(&mut claims)),
            false => (input(&mut claims), output(&mut claims)),
        };
        let expected = format!(
            "--capture would overwrite the file of --config, {link:?}, which is {config:?}: expected another file"
        );
        assert_eq!(collision(claims.open()), expected);
    }
    assert_eq!(fs::read_to_string(&config).expect("readable"), "port = 2525\n");
    // Two inputs may be the same file, and a file to be created may be missing.
    let mut claims = Claims::default();
    claims.input("--config", &config);
    claims.input("--merge-reports", &link);
    claims.input("--ready-file", &path("missing"));
    assert!(claims.open().is_ok());
}

#[test]
fn a_missing_folder_is_named() {
    let (_folder, path) = folder();
    let missing = path("none/x");
    let expected = format!(
        "can't write the capture to {}: there is no folder {}",
        missing.display(),
        path("none").display()
    );
    let refusal = two(&missing, &path("y")).expect_err("no folder");
    assert!(matches!(&refusal, Refusal::Failed(error) if error.to_string() == expected), "{refusal}");
}

#[test]
fn two_servers_with_one_capture_lost_half_of_it() {
    let (_folder, path) = folder();
    let capture = path("s.jsonl");
    let first = output(&capture);
    let Err(Refusal::Failed(error)) = two(&capture, &path("y")) else { panic!("it is locked") };
    let text = error.to_string();
    let holder = if cfg!(target_os = "linux") { "another output of this process" } else { "another process" };
    assert!(text.contains(&format!(": {holder} has it locked and writes to it")), "{text}");
    drop(first);
    assert!(two(&capture, &path("y")).is_ok());
}

#[test]
fn an_output_begins_empty_and_what_others_append_is_not_overwritten() {
    let (_folder, path) = folder();
    let capture = path("s.jsonl");
    fs::write(&capture, "of an earlier run\n").expect("writable");
    let writer = Writer::start(output(&capture), |_| {}).expect("a thread");
    assert_eq!(fs::read_to_string(&capture).expect("readable"), "");
    fs::write(&capture, "other\n").expect("writable");
    writer.put("own\n");
    assert_eq!(finish([&writer], PATIENCE), [""; 0]);
    assert_eq!(fs::read_to_string(&capture).expect("readable"), "other\nown\n");
}

#[test]
fn what_was_truncated_removed_or_replaced_passed_as_whole() {
    let (_folder, path) = folder();
    let file = path("report");
    let lost = |tamper: &dyn Fn()| {
        let writer = Writer::start(output(&file), |_| {}).expect("a thread");
        writer.put("first line\n");
        until(|| fs::metadata(&file).expect("a file").len() == 11);
        tamper();
        finish([&writer], PATIENCE)
    };
    let reason = |lost: &str| vec![format!("can't write the capture to {}: {lost}", file.display())];
    let truncate = || drop(OpenOptions::new().write(true).truncate(true).open(&file).expect("writable"));
    let truncated = reason("another program truncated it: 0 bytes are left of 11");
    assert_eq!(lost(&truncate), truncated);
    let remove = || fs::remove_file(&file).expect("a file");
    assert_eq!(lost(&remove), reason("another program removed the file while it was written to"));
    let replace = || {
        fs::write(path("other"), "").expect("writable");
        fs::rename(path("other"), &file).expect("a file");
    };
    assert_eq!(lost(&replace), reason("another program replaced the file while it was written to"));
    assert_eq!(lost(&|| {}), [""; 0]);
}

#[test]
fn a_truncated_file_is_noticed_by_the_next_write() {
    let (_folder, path) = folder();
    let mut output = output(&path("capture"));
    let pulse = Pulse::default();
    output.write(b"a record\n", &pulse).expect("writable");
    OpenOptions::new().write(true).truncate(true).open(path("capture")).expect("writable");
    let error = output.write(b"another\n", &pulse).expect_err("it is truncated").to_string();
    assert_eq!(error, "another program truncated it: 0 bytes are left of 9");
}

#[test]
fn a_renamed_file_is_followed_by_a_new_one_with_a_head() {
    let (_folder, path) = folder();
    let (file, old) = (path("log"), path("log.1"));
    let writer = Writer::start(output(&file), |_| {}).expect("a thread");
    writer.put("head\n1\n");
    // The file was not renamed: nothing changes.
    writer.reopen("head\n");
    until(|| fs::read_to_string(&file).expect("readable") == "head\n1\n");
    fs::rename(&file, &old).expect("a file");
    writer.reopen("head\n");
    // The new file appears without further writes.
    until(|| file.exists());
    writer.put("2\n");
    assert_eq!(finish([&writer], PATIENCE), [""; 0]);
    assert_eq!(fs::read_to_string(&old).expect("readable"), "head\n1\n");
    assert_eq!(fs::read_to_string(&file).expect("readable"), "head\n2\n");
}

#[test]
fn a_fifo_is_open_once_it_has_a_reader() {
    let (_folder, path) = folder();
    fifo(&path("fifo"));
    let mut opening = two(&path("fifo"), &path("file")).expect("nothing is waited for");
    assert!(!opening.wait_for_readers(|_| Ok::<_, OutputError>(false)).expect("nothing fails"));
    let expected = format!(
        "can't write the capture to {}: no process has opened it for reading",
        path("fifo").display()
    );
    assert_eq!(opening.unread(), [expected]);
    let reader = thread::spawn({
        let path = path("fifo");
        move || fs::read_to_string(path)
    });
    let pause = |time| {
        thread::sleep(time);
        Ok::<_, OutputError>(true)
    };
    assert!(opening.wait_for_readers(pause).expect("a reader"));
    let writer = Writer::start(opening.take("the capture").expect("an output"), |_| {}).expect("a thread");
    writer.put("line\n");
    assert_eq!(finish([&writer], PATIENCE), [""; 0]);
    assert_eq!(reader.join().expect("a thread").expect("readable"), "line\n");
}

/// A FIFO with a reader, a writer to it, and text that has filled it.
fn full_pipe(path: &Path) -> (fs::File, Writer) {
    fifo(path);
    let reader = OpenOptions::new().read(true).write(true).open(path).expect("a FIFO of its own");
    let writer = Writer::start(output(path), |_| {}).expect("a thread");
    writer.put(vec![b'x'; 1 << 20]);
    (reader, writer)
}

#[test]
fn readers_that_take_nothing_are_given_up_together_and_named() {
    let (_folder, path) = folder();
    let (_first, one) = full_pipe(&path("one"));
    let (_second, two) = full_pipe(&path("two"));
    let lost = finish([&one, &two], SOON);
    let expected = |name| {
        let path = path(name);
        format!("can't write the capture to {}: its reader took nothing for {SOON:?}", path.display())
    };
    assert_eq!(lost, [expected("one"), expected("two")]);
}

/// A regression: a pipe has room for a piece only after a whole page was read. A reader that reads less within each
/// patience, but always something, has never stopped.
#[test]
fn a_reader_that_took_a_byte_at_a_time_was_given_up() {
    let (_folder, path) = folder();
    let (mut reader, writer) = full_pipe(&path("fifo"));
    let patience = Duration::from_secs(2);
    let waiting = thread::spawn(move || finish([&writer], patience));
    for _ in 0..40 {
        thread::sleep(patience / 20);
        assert!(!waiting.is_finished(), "it was given up");
        reader.read_exact(&mut [0]).expect("a full pipe");
    }
    let mut left = (1 << 20) - 40;
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        left -= reader.read(&mut buffer).expect("a pipe with a writer");
    }
    assert_eq!(waiting.join().expect("a thread"), [""; 0]);
}

#[test]
fn those_who_wait_for_room_find_it_at_the_end() {
    let (_folder, path) = folder();
    let (_reader, writer) = full_pipe(&path("fifo"));
    thread::scope(|scope| {
        let pushed = scope.spawn(|| (0..20).filter(|_| writer.push(vec![b'y'; 1 << 20])).count());
        writer.widen();
        assert_eq!(pushed.join().expect("a thread"), 20);
    });
    assert!(!finish([&writer], SOON).is_empty());
    assert!(!writer.push("more"), "nobody would write it");
}

#[test]
fn text_that_found_no_room_is_named_though_the_rest_was_written() {
    let (_folder, path) = folder();
    let (mut reader, writer) = full_pipe(&path("fifo"));
    (0..20).for_each(|_| writer.put(vec![b'y'; 1 << 20]));
    let reading = thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while reader.read(&mut buffer).is_ok_and(|count| !buffer[..count].contains(&b'z')) {}
    });
    until(|| writer.offer("z"));
    let expected = format!(
        "can't write the capture to {}: its reader was too slow, and part of the output was lost",
        path("fifo").display()
    );
    assert_eq!(finish([&writer], PATIENCE), [expected]);
    reading.join().expect("the last of it was read");
}

#[test]
fn a_full_disk_is_named_and_told_of_at_once() {
    if !Path::new("/dev/full").exists() {
        println!("SKIPPED: this system has no full disk");
        return;
    }
    let (failed, failure) = std::sync::mpsc::channel();
    let on_failure = move |error: &OutputError| failed.send(error.to_string()).expect("a test that waits");
    let writer = Writer::start(output(Path::new("/dev/full")), on_failure).expect("a thread");
    writer.put("x");
    let why = failure.recv().expect("a failure");
    assert!(why.starts_with("can't write the capture to /dev/full: No space left"), "{why}");
    assert_eq!(finish([&writer], PATIENCE), [why]);
}
