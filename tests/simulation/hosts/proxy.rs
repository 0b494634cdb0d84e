//! A proxy between a host and the server. It can lose the server's next answer, and the connection with it: so a COMMIT
//! takes effect, and the one who asked for it does not hear.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

/// It ends when it is dropped.
pub(super) struct Proxy {
    loses: Arc<AtomicBool>,
    _ends: oneshot::Sender<()>,
}

impl Proxy {
    /// Passes connections with the socket `near` on to the server's, on a thread of its own.
    pub(super) fn start(near: &Path, server: &Path) -> Proxy {
        let listener = std::os::unix::net::UnixListener::bind(near).expect("a socket");
        listener.set_nonblocking(true).expect("a socket");
        let (ends, ended) = oneshot::channel::<()>();
        let loses = Arc::new(AtomicBool::new(false));
        let (server, loses_too) = (server.to_owned(), loses.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let serve = async move {
                let listener = UnixListener::from_std(listener).expect("a socket");
                while let Ok((near, _)) = listener.accept().await {
                    tokio::spawn(carry(near, server.clone(), loses_too.clone()));
                }
            };
            runtime.expect("a runtime").block_on(async {
                tokio::select! {
                    () = serve => {}
                    _ = ended => {}
                }
            });
        });
        Proxy { loses, _ends: ends }
    }

    /// When set, the next answer is lost, whichever connection it is for.
    pub(super) fn loses(&self) -> Arc<AtomicBool> {
        self.loses.clone()
    }
}

async fn carry(near: UnixStream, server: PathBuf, loses: Arc<AtomicBool>) {
    let Ok(far) = UnixStream::connect(server).await else { return };
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let back = async {
        let mut answer = vec![0; 16_384];
        loop {
            match from_far.read(&mut answer).await {
                Ok(length) if length > 0 && !loses.swap(false, Ordering::SeqCst) => {
                    if to_near.write_all(&answer[..length]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    };
    tokio::select! {
        _ = tokio::io::copy(&mut from_near, &mut to_far) => {}
        () = back => {}
    }
}
