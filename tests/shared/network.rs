//! Hosts on a network of their own, which can be cut without telling anybody: packets are dropped, and no end of a
//! connection hears of it. A connection that is closed or reset, as most tests have it, tells both ends at once.
//!
//! A test that needs one runs as a process of its own in a new network namespace, which holds the servers. Each host is
//! another namespace, behind a router that drops what it is told to. A host reaches the servers by their usual address,
//! 127.0.0.1. All of it is gone when the processes are. It takes root, and `ip`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Set in the process that has the network for itself.
const INSIDE: &str = "UNLOCKD_TEST_NETWORK";

/// Runs a test where it has the network for itself. `name`: as the test harness knows it.
pub(crate) fn alone(name: &str, test: impl Future<Output = ()>) {
    if is_alone() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(test);
    }
    if let Some(lacks) = lack() {
        // Not println: what a test prints is shown only when it fails.
        let said = writeln!(std::io::stderr(), "SKIPPED {name}: {lacks}");
        return drop(said);
    }
    let ended =
        again().args(["--exact", name, "--nocapture", "--test-threads=1"]).output().expect("it starts");
    print!("{}", String::from_utf8_lossy(&ended.stdout));
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// Whether this process has the network for itself.
pub(crate) fn is_alone() -> bool {
    let is_alone = std::env::var_os(INSIDE).is_some();
    if is_alone {
        run("ip link set lo up");
    }
    is_alone
}

/// This program once more, with the network for itself; its arguments are still to be given.
pub(crate) fn again() -> Command {
    let mut again = Command::new("setpriv");
    again
        .args(["--pdeathsig=KILL", "unshare", "--net", "--"])
        .arg(std::env::current_exe().expect("this program"))
        .env(INSIDE, "1")
        // It is not reached from there.
        .env_remove("UNLOCKD_TEST_POSTGRES");
    again
}

/// What is missing here for a network.
pub(crate) fn lack() -> Option<&'static str> {
    let works = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        done.is_ok_and(|done| done.success())
    };
    if !works("unshare", &["--net", "--", "true"]) {
        return Some("a network of its own takes root");
    }
    (!works("ip", &["-Version"])).then_some("there is no program ip (Debian: apt-get install iproute2)")
}

/// A shell in a namespace, which ends with this process.
struct Namespace {
    shell: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

const SHELL: &str = r#"while read -r line; do eval "$line" >/dev/null && echo done || echo failed; done"#;

impl Namespace {
    fn new() -> Namespace {
        let mut shell = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", SHELL])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let commands = shell.stdin.take().expect("piped");
        let answers = BufReader::new(shell.stdout.take().expect("piped"));
        let mut namespace = Namespace { shell, commands, answers };
        // It is in its namespace once it answers. Its loopback device stays down: 127.0.0.1 is elsewhere.
        namespace.run("true");
        namespace
    }

    fn run(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the shell lives");
        let mut told = String::new();
        self.answers.read_line(&mut told).expect("an answer");
        assert_eq!(told, "done\n", "{command}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// The servers' side is this process's own namespace, which has room for one network.
pub(crate) struct Network {
    router: Namespace,
    hosts: Vec<Namespace>,
    /// What the router drops of each host.
    rules: Vec<Vec<String>>,
}

fn run(command: &str) {
    let done = Command::new("sh").args(["-c", command]).status().expect("a shell");
    assert!(done.success(), "{command}");
}

impl Network {
    pub(crate) fn new(hosts: usize) -> Network {
        assert!(std::env::var_os(INSIDE).is_some(), "not in a namespace of its own: see `alone`");
        let mut router = Namespace::new();
        let pid = router.shell.id();
        // Packets from and to 127.0.0.1 may leave a machine.
        let route_local = "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet";
        run(&format!(
            "{route_local} && ip link add router type veth peer name servers netns {pid} &&
             ip address add 10.0.0.1/24 dev router && ip link set router up && ip route add 10.0.0.0/8 via 10.0.0.2"
        ));
        router.run(&format!(
            "{route_local} && echo 1 >/proc/sys/net/ipv4/ip_forward && ip address add 10.0.0.2/24 dev servers && \
             ip link set servers up && ip route add 127.0.0.1 via 10.0.0.1"
        ));
        // The router's own: a path that takes no large packets does not say so.
        router.run("ip rule add iif lo ipproto icmp blackhole");
        let hosts: Vec<Namespace> = (1..=hosts)
            .map(|at| {
                let mut host = Namespace::new();
                let pid = host.shell.id();
                router.run(&format!(
                    "ip link add host{at} type veth peer name eth0 netns {pid} && \
                     ip address add 10.{at}.0.1/24 dev host{at} && ip link set host{at} up"
                ));
                host.run(&format!(
                    "{route_local} && ip address add 10.{at}.0.2/24 dev eth0 && \
                     ip link set eth0 up && ip route add 127.0.0.1 via 10.{at}.0.1 src 10.{at}.0.2"
                ));
                host
            })
            .collect();
        let rules = hosts.iter().map(|_| Vec::new()).collect();
        Network { router, hosts, rules }
    }

    /// A program that runs on a host.
    pub(crate) fn command(&self, host: usize, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.hosts[host].shell.id())).arg("--").arg(program);
        command
    }

    fn add(&mut self, host: usize, rule: String) {
        self.router.run(&format!("ip rule add {rule}"));
        self.rules[host].push(rule);
    }

    fn drop_packets(&mut self, host: usize, which: &str) {
        self.add(host, format!("{which} blackhole"));
    }

    fn requests(host: usize, port: u16) -> String {
        format!("iif host{} ipproto tcp dport {port}", host + 1)
    }

    fn answers(host: usize, port: u16) -> String {
        format!("iif servers to 10.{}.0.2 ipproto tcp sport {port}", host + 1)
    }

    /// Nothing passes any more between a host and a server.
    pub(crate) fn cut(&mut self, host: usize, port: u16) {
        self.drop_packets(host, &Network::requests(host, port));
        self.cut_answers(host, port);
    }

    /// A server hears a host, and the host does not hear it.
    pub(crate) fn cut_answers(&mut self, host: usize, port: u16) {
        self.drop_packets(host, &Network::answers(host, port));
    }

    /// One connection is forgotten, as by a firewall between; others are not hindered. `from`: the host's port.
    pub(crate) fn forget(&mut self, host: usize, port: u16, from: u16) {
        self.drop_packets(host, &format!("{} sport {from}", Network::requests(host, port)));
        self.drop_packets(host, &format!("{} dport {from}", Network::answers(host, port)));
    }

    /// Connections can be made, and packets longer than `bytes` are lost on their way to a server.
    pub(crate) fn lose_larger_than(&mut self, bytes: u16, host: usize, port: u16) {
        self.router.run(&format!("ip route replace 127.0.0.1 via 10.0.0.1 mtu lock {bytes} table 100"));
        self.add(host, format!("{} lookup 100", Network::requests(host, port)));
    }

    /// All passes again.
    pub(crate) fn heal(&mut self, host: usize) {
        for rule in std::mem::take(&mut self.rules[host]) {
            self.router.run(&format!("ip rule del {rule}"));
        }
    }

    /// Whether a host's kernel still tries to deliver something to a server.
    pub(crate) fn delivers(&self, host: usize, port: u16) -> bool {
        let table = format!("/proc/{}/net/tcp", self.hosts[host].shell.id());
        let table = std::fs::read_to_string(table).expect("its connections");
        table.lines().skip(1).any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_there = fields[2].ends_with(&format!(":{port:04X}"));
            is_there && !fields[4].starts_with("00000000:")
        })
    }
}
