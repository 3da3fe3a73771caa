//! Builds the WASI context of a guest. The guest gets only the files, variables and hosts that the manifest allows.

use std::net::SocketAddr;
use std::sync::Arc;

use epilogue_manifest::manifest::Mount;
use epilogue_manifest::outbound::AllowedHosts;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use super::heard::{Ear, Printed};
use super::last_words::LastWords;
use crate::budget::disk::Disk;
use crate::budget::instance::MAX_RANDOM;
use crate::budget::lookups::Lookups;
use crate::contract::bindings::TaskId;
use crate::interfaces::warnings::Warnings;
use crate::tasks::scope::Scope;
use crate::tasks::timeline::Stream;
use crate::telemetry::guest_lines::Origin;
use crate::telemetry::otlp::{GuestLog, GuestStream};
use crate::telemetry::output::{GuestOutput, Lines, STDERR, STDOUT};

/// The destination of a component's stdout and stderr.
#[derive(Debug, Clone, Default)]
pub enum Output {
    /// The guest's text goes to the host's own stdout and stderr.
    #[default]
    Inherit,
    /// The host converts each line of the guest's text to an event in JSON, and writes the event to its own stdout or
    /// stderr.
    Json,
    /// The host drops the guest's output.
    Silent,
    /// The host keeps the guest's output in memory.
    Captured {
        /// The text that the guest wrote to stdout.
        stdout: MemoryOutputPipe,
        /// The text that the guest wrote to stderr.
        stderr: MemoryOutputPipe,
    },
}

/// The WASI settings of a component, which all instances of the component share.
#[derive(Default)]
pub(crate) struct WasiConfig {
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) mounts: Vec<Mount>,
    /// True if the guest may write to the files and folders that the manifest mounts.
    pub(crate) writable: bool,
    pub(crate) allowed_hosts: Arc<AllowedHosts>,
    pub(crate) output: Output,
    /// Sends the guest's lines to an OpenTelemetry collector. The value is `None` if the host exports no logs.
    pub(crate) guest_log: Option<GuestLog>,
    pub(crate) warnings: Arc<Warnings>,
    /// Limits the disk space of the guest's files. The value is `None` if the guest may not write.
    pub(crate) disk: Option<Arc<Disk>>,
}

/// The WASI state of one instance.
pub(crate) struct Wasi {
    pub(crate) ctx: WasiCtx,
    component: String,
    allowed_hosts: Arc<AllowedHosts>,
    warnings: Arc<Warnings>,
    pub(crate) disk: Option<Arc<Disk>>,
    lookups: Lookups,
    /// Turns each line of the guest's stdout and stderr into an event. The value is `None` if the host's log is not
    /// JSON.
    lines: Option<[Lines; 2]>,
    /// Sends each line of the guest's stdout and stderr to a collector. The value is `None` if the host exports no
    /// logs.
    logs: Option<[GuestStream; 2]>,
    /// The ids of the current request and task, which `lines` and `logs` add to each line that the guest prints.
    origin: Option<Arc<Origin>>,
    /// The last text that the guest wrote to stderr.
    pub(crate) last_words: LastWords,
    /// Copies the guest's output to the timeline of the current request, if there is a timeline.
    pub(crate) printed: Printed,
}

impl Wasi {
    /// Reports whether the guest may open a socket of the kind `scheme`, which is `tcp` or `udp`. The result is true if
    /// the guest may connect or send to at least one address with a socket of this kind.
    pub(crate) fn may_open_socket(&self, scheme: &'static str) -> bool {
        let allowed = self.allowed_hosts.allows_sockets(scheme);
        if !allowed {
            let id = self.component.clone();
            self.warnings.sockets_denied.log(scheme, move |times| {
                tracing::error!(
                    target: "epilogue::component",
                    component = id,
                    times,
                    "a {scheme} socket is not allowed: add \"{scheme}://<host>:<port>\" to allowed_outbound_hosts of [component.{id}]"
                );
            });
        }
        allowed
    }

    /// Returns the value that looks up names for the guest. Returns `None` if the guest may not connect to any address,
    /// because such a guest needs no lookups, and could leak data through the names that it looks up.
    pub(crate) fn lookups(&self) -> Option<Lookups> {
        (!self.allowed_hosts.is_empty()).then(|| self.lookups.clone())
    }

    /// From now on, adds the ids of this request to the lines that the guest prints. If `scope` is `None`, the lines
    /// get no ids.
    pub(crate) fn belong_to(&mut self, scope: Option<&Scope>) {
        if self.lines.is_some() || self.logs.is_some() {
            self.print_for(scope.map(Scope::origin));
        }
    }

    /// From now on, adds the number of `task` to each line that the guest prints. If `task` is `None`, these lines get
    /// no task number.
    pub(crate) fn belong_to_task(&mut self, task: Option<(TaskId, &Arc<str>)>) {
        if let Some(origin) = &self.origin {
            let (task, component) = task.map(|(task, component)| (task, component.clone())).unzip();
            self.print_for(Some(Origin { task, component, ..Origin::clone(origin) }));
        }
    }

    /// From now on, adds the ids in `origin` to the lines that the guest prints.
    fn print_for(&mut self, origin: Option<Origin>) {
        self.origin = origin.map(Arc::new);
        self.lines.iter().flatten().for_each(|lines| lines.belong_to(self.origin.clone()));
        self.logs.iter().flatten().for_each(|log| log.belong_to(self.origin.clone()));
    }
}

impl WasiConfig {
    /// Makes the WASI state of a new instance of this component.
    ///
    /// # Errors
    ///
    /// Returns an error if the host cannot open a file or folder that the manifest mounts.
    pub(crate) fn open(&self, component: &str, lookups: Lookups) -> wasmtime::Result<Wasi> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.envs(&self.environment).max_random_size(MAX_RANDOM);
        let permissions = if self.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        for Mount { host, guest } in &self.mounts {
            wasi.preopened_dir(host, guest, permissions)
                .map_err(|error| error.context(format!("cannot mount {} at {guest:?}", host.display())))?;
        }
        let (last_words, printed) = (LastWords::default(), Printed::default());
        let logs = self.guest_log.as_ref().map(|log| [log.of(component, "stdout"), log.of(component, "stderr")]);
        let [out, err] = logs.clone().map_or([None, None], |logs| logs.map(Some));
        let out = Ear { words: None, printed: printed.clone(), log: out, stream: Stream::Stdout };
        let err = Ear { words: Some(last_words.clone()), printed: printed.clone(), log: err, stream: Stream::Stderr };
        let lines = self.print(&mut wasi, component, out, err);
        self.connect(&mut wasi, component);
        let (component, allowed_hosts, warnings) =
            (component.to_owned(), self.allowed_hosts.clone(), self.warnings.clone());
        Ok(Wasi {
            ctx: wasi.build(),
            component,
            allowed_hosts,
            warnings,
            disk: self.disk.clone(),
            lookups,
            lines,
            logs,
            origin: None,
            last_words,
            printed,
        })
    }

    /// Connects the guest's stdout and stderr with the destination in `output`. For [`Output::Json`], returns the two
    /// streams that convert the guest's lines to events. For all other destinations, returns `None`.
    fn print(&self, wasi: &mut WasiCtxBuilder, component: &str, out: Ear, err: Ear) -> Option<[Lines; 2]> {
        match &self.output {
            Output::Inherit => _ = wasi.stdout(out.of(GuestOutput(&STDOUT))).stderr(err.of(GuestOutput(&STDERR))),
            Output::Json => {
                let lines = [Lines::new(component, &STDOUT), Lines::new(component, &STDERR)];
                wasi.stdout(out.of(lines[0].clone())).stderr(err.of(lines[1].clone()));
                return Some(lines);
            }
            Output::Silent => _ = wasi.stdout(out.of(tokio::io::empty())).stderr(err.of(tokio::io::empty())),
            Output::Captured { stdout, stderr } => {
                wasi.stdout(out.of(stdout.clone())).stderr(err.of(stderr.clone()));
            }
        }
        None
    }

    fn connect(&self, wasi: &mut WasiCtxBuilder, component: &str) {
        let (hosts, id, warnings) = (self.allowed_hosts.clone(), component.to_owned(), self.warnings.clone());
        let check = move |scheme, address: SocketAddr| {
            let allowed = hosts.allows_socket(scheme, address);
            if !allowed {
                let advice = hosts.advice(&id, scheme, &address.ip().to_canonical().to_string(), Some(address.port()));
                let (component, target) = (id.clone(), format!("{scheme}://{address}"));
                warnings.sockets_denied.log(&target.clone(), move |times| {
                    tracing::error!(
                        target: "epilogue::component", component, times, "a connection to {target} is not allowed: {advice}"
                    );
                });
            }
            allowed
        };
        let allowed = self.allowed_hosts.clone();
        wasi.socket_addr_check(move |address, usage| {
            let allowed = match usage {
                SocketAddrUse::TcpConnect => check("tcp", address),
                SocketAddrUse::UdpSend => check("udp", address),
                // Any program can send a datagram to the socket. The component is not the cause of this datagram, so
                // the host logs no error.
                SocketAddrUse::UdpReceive => allowed.allows_socket("udp", address),
                // wasmtime makes this check first if a guest connects or sends without a `bind`.
                SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => address.ip().is_unspecified() && address.port() == 0,
                // A component gets its requests from the host, so a component need not listen on a socket.
                SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
            };
            Box::pin(async move { allowed })
        });
        // Without these two permissions, wasmtime refuses each socket and never calls the check above.
        wasi.allow_tcp(true).allow_udp(true);
    }
}
