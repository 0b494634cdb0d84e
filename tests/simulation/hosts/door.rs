//! The way of a host to the server: a link to its socket, in a folder of the host's own. Without the link nobody gets in,
//! and each host has a lock file of its own for the database, as on machines of their own.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::hosts::proxy::Proxy;
use crate::postgres;
use crate::server::Server;

pub(crate) struct Door {
    link: PathBuf,
    socket: PathBuf,
    url: String,
    lock: String,
    proxy: Option<Proxy>,
}

/// Whether such histories can be run here. If not, it says why.
pub(crate) async fn is_possible() -> bool {
    if std::env::var_os("UNLOCKD_TEST_POSTGRES").is_some() {
        println!(
            "SKIPPED: the hosts of a simulation need a server on this machine, in a folder of the test's"
        );
        return false;
    }
    // Says so itself where there are no programs.
    postgres::database().await.is_some()
}

impl Door {
    /// `is_proxied`: answers of the server can be lost on the way.
    pub(crate) async fn open(server: &Server, home: &Path, number: usize, is_proxied: bool) -> Door {
        let (folder, port, database) = server.socket().await;
        let home = home.join(format!("h{number}"));
        std::fs::create_dir_all(&home).expect("a folder");
        let name = format!(".s.PGSQL.{port}");
        let host = home.display().to_string();
        let url = format!(
            "postgres://unlockd@{}:{port}/{database}?application_name=h{number}",
            host.replace('/', "%2F")
        );
        let plain =
            |text: String| text.replace(|char: char| !char.is_ascii_alphanumeric() && char != '.', "-");
        let lock = plain(format!("unlockd-{host}-{port}-{database}.lock"));
        let (link, mut socket, mut proxy) = (home.join(&name), folder.join(name), None);
        if is_proxied {
            let near = home.join("proxy");
            proxy = Some(Proxy::start(&near, &socket));
            socket = near;
        }
        let door = Door { link, socket, url, lock, proxy };
        door.set_open(true);
        door
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether new connections come through.
    pub(crate) fn set_open(&self, is_open: bool) {
        if is_open && !self.link.is_symlink() {
            symlink(&self.socket, &self.link).expect("a link");
        } else if !is_open {
            shut(&self.link);
        }
    }

    /// What [`shut`] removes.
    pub(super) fn link(&self) -> &Path {
        &self.link
    }

    /// When set, the next answer of the server is lost; without a proxy nothing is.
    pub(super) fn loses(&self) -> Arc<AtomicBool> {
        self.proxy.as_ref().map(Proxy::loses).unwrap_or_default()
    }
}

/// Nobody gets in any more.
pub(super) fn shut(link: &Path) {
    let _ = std::fs::remove_file(link);
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(std::env::temp_dir().join(&self.lock));
    }
}
