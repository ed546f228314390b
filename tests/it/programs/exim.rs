//! Exim as a client: not installed as a package, which would take the place of another server; `.ci/run` unpacks it and says
//! where it is.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::clients::note_skipped;

/// Where `.ci/run` has unpacked Debian's packages.
pub(super) fn unpacked(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        note_skipped(variable, "see .ci/run for what to unpack");
    }
    folder
}

/// The only file of this name in a folder for libraries of any machine.
fn library(root: &Path, name: &str) -> PathBuf {
    let folders = fs::read_dir(root.join("usr/lib")).expect("libraries").flatten();
    let mut found = folders.map(|folder| folder.path().join(name)).filter(|path| path.exists());
    found.next().unwrap_or_else(|| panic!("no {name} in {}", root.display()))
}

/// Exim with what it needs in one folder, which the user it becomes can read: it looks up this user, and runs itself again.
pub(super) struct Exim {
    folder: tempfile::TempDir,
}

impl Exim {
    /// An id that no user has, for a test that runs as root; Exim refuses to stay it.
    const USER: u32 = 61_234;

    /// One that delivers to this port, by a transport with these settings.
    pub(super) fn new(root: &Path, port: u16, settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("a folder of ours");
        fs::copy(root.join("usr/sbin/exim4"), path.join("exim4")).expect("Exim");
        // It must not be setuid: then it would load no library from here.
        fs::set_permissions(path.join("exim4"), Permissions::from_mode(0o755)).expect("a file of ours");
        for name in ["libidn.so.12", "libnss_wrapper.so"] {
            fs::copy(library(root, name), path.join(name)).expect("a library");
        }
        let own = fs::metadata(path).expect("a folder").uid();
        let user = if own == 0 { Self::USER } else { own };
        let [passwd, group] =
            ["passwd", "group"].map(|name| fs::read_to_string(format!("/etc/{name}")).expect("users"));
        let entry = format!("Debian-exim:x:{user}:{user}::/:/bin/false\n");
        fs::write(path.join("passwd"), passwd + &entry).expect("a writable folder");
        fs::write(path.join("group"), group + &format!("Debian-exim:x:{user}:\n"))
            .expect("a writable folder");
        fs::create_dir(path.join("spool")).expect("a writable folder");
        if own == 0 {
            chown(path.join("spool"), Some(user), Some(user)).expect("root may");
        }
        let file = include_str!("exim.conf").replace("FOLDER", &path.display().to_string());
        let file = file.replace("PORT", &port.to_string()).replace("SETTINGS", settings);
        fs::write(path.join("exim.conf"), file).expect("a writable folder");
        Self { folder }
    }

    /// Gives it a session of SMTP and waits until it has tried to deliver what it took. Returns its log.
    pub(super) fn relay(&self, session: &str) -> String {
        let path = self.folder.path();
        let mut child = Command::new(path.join("exim4"))
            .arg("-C")
            .arg(path.join("exim.conf"))
            .args(["-odf", "-bs"])
            .env("LD_LIBRARY_PATH", path)
            .env("LD_PRELOAD", path.join("libnss_wrapper.so"))
            .env("NSS_WRAPPER_PASSWD", path.join("passwd"))
            .env("NSS_WRAPPER_GROUP", path.join("group"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Exim runs");
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), session.as_bytes())
            .expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let log = fs::read_to_string(path.join("spool/mainlog")).unwrap_or_default();
        assert!(output.status.success(), "{output:?}\n{log}");
        log
    }
}
