//! A piece of work in a process of its own (this test binary again, told by the environment), killed after ever more turns of an
//! empty loop. Where it was by then is not known, and need not be.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says that the child stands ready, and waits until it may begin. Killed while it waits, it has not begun.
pub fn ready() {
    println!("\nready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Says that it has come to its end.
pub fn done() {
    println!("\ndone");
}

/// Starts the test `child`; kills it after so many turns (none: before it begins), or lets it end; gives how many turns were made meanwhile.
pub fn after(child: &str, variable: &str, folder: &Path, turns: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture"])
        .env(variable, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"));
    let ended = Arc::new(AtomicBool::new(false));
    let told = ended.clone();
    let listener = std::thread::spawn(move || {
        // To "done", or to the end of a killed child.
        let done = lines.any(|line| line.is_ok_and(|line| line == "done"));
        told.store(true, Ordering::Release);
        done
    });
    let mut go = child.stdin.take().unwrap();
    if turns > 0 {
        go.write_all(b"go\n").unwrap();
    }
    let mut made = 0;
    while made < turns && !ended.load(Ordering::Acquire) {
        std::hint::spin_loop();
        made += 1;
    }
    let _ = child.kill();
    child.wait().unwrap();
    let done = listener.join().unwrap();
    assert!(turns != u64::MAX || done, "left alone, it is done");
    made
}

/// What lies in a folder, copied to another.
pub fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
