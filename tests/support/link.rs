//! A network between the operator and the API server that can be cut.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::control_plane::ControlPlane;
use super::process::free_port;

/// A forwarded port. While it is cut, connections break, and new ones break at once.
pub struct Link {
    port: u16,
    state: Arc<Mutex<State>>,
    /// For a process that is to talk through the link, with all rights.
    pub kubeconfig: PathBuf,
}

#[derive(Default)]
struct State {
    cut: bool,
    ended: bool,
    connections: Vec<TcpStream>,
}

impl Link {
    /// A link to the API server.
    pub fn to(control_plane: &ControlPlane) -> Link {
        let port = free_port();
        let admin = control_plane.admin_kubeconfig();
        let text = std::fs::read_to_string(&admin).unwrap_or_else(|e| panic!("{}: {e}", admin.display()));
        let target = text
            .split_once("https://127.0.0.1:")
            .and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<u16>().ok())
            .unwrap_or_else(|| panic!("no port of the API server in {text}"));
        let kubeconfig = control_plane.dir().state().join(format!("kubeconfig-link-{port}"));
        let text = text.replace(&format!("127.0.0.1:{target}"), &format!("127.0.0.1:{port}"));
        std::fs::write(&kubeconfig, text).unwrap_or_else(|e| panic!("{}: {e}", kubeconfig.display()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = listener.unwrap_or_else(|e| panic!("port {port}: {e}"));
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        thread::spawn(move || {
            for from in listener.incoming() {
                if lock(&shared).ended {
                    return;
                }
                // A connection that fails is one that breaks.
                let _ = from.and_then(|from| forward(from, target, &shared));
            }
        });
        Link { port, state, kubeconfig }
    }

    /// Breaks all connections, and new ones until [`Link::mend`].
    pub fn cut(&self) {
        let mut state = lock(&self.state);
        state.cut = true;
        for connection in state.connections.drain(..) {
            // Fails for one that has ended already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        lock(&self.state).cut = false;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
        lock(&self.state).ended = true;
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forward(from: TcpStream, port: u16, state: &Mutex<State>) -> io::Result<()> {
    let mut state = lock(state);
    if state.cut {
        return Ok(());
    }
    let to = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    for (mut reader, mut writer) in
        [(from.try_clone()?, to.try_clone()?), (to.try_clone()?, from.try_clone()?)]
    {
        thread::spawn(move || {
            let _ = io::copy(&mut reader, &mut writer);
            // The end of one direction is the end of both.
            let _ = writer.shutdown(Shutdown::Both);
            let _ = reader.shutdown(Shutdown::Both);
        });
    }
    state.connections.extend([from, to]);
    Ok(())
}
