//! Demo regions: one that quiet stories share, and regions of their own for stories that break things.

use super::DELT;
use std::process::{Command, Stdio};
use testkit::region::{Region, Start};
use tokio::sync::OnceCell;

/// A region of a story's own, and the folder that it keeps.
pub struct Own {
    /// The region.
    pub region: Region,
    /// Its folder goes with this.
    pub folder: tempfile::TempDir,
}

/// Starts a region of a story's own.
pub async fn own(arguments: &[&str]) -> Own {
    let folder = tempfile::tempdir().unwrap();
    let start = Start::new(DELT, folder.path().join("region")).with(arguments);
    Own {
        region: start.start().await.expect("a region"),
        folder,
    }
}

/// The region that stories share which only add readings and look up. It ends with this test process.
pub async fn shared() -> &'static Region {
    static SHARED: OnceCell<&'static Region> = OnceCell::const_new();
    SHARED.get_or_init(async || kept(own(&[]).await)).await
}

/// A region that several stories use, until this test process ends.
pub fn kept(own: Own) -> &'static Region {
    let Own { region, folder } = own;
    end_with_us(region.pid().expect("running"), &folder.keep());
    Box::leak(Box::new(region))
}

/// Statics are never dropped: a shell that waits for our end (its standard input closes) stops the region and clears up.
fn end_with_us(pid: u32, folder: &std::path::Path) {
    const WATCH: &str = r#"cat >/dev/null; kill -TERM "$0"; n=0
        while kill -0 "$0" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done; rm -rf "$1""#;
    let watch = Command::new("sh")
        .args(["-c", WATCH, &pid.to_string()])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::mem::forget(watch);
}
