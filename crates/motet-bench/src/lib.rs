//! Measures a server from outside, with clients of its own: rate, latency, loss, duplicates, order, and what it costs
//! the server's process.
//!
//! ```text
//!   workload ──▶ publishers ──▶ the server ──▶ subscribers ──▶ ledger: lost, twice, out of order
//!      │             ▲ window: what is not acknowledged            histogram: how late
//!      │             └ flow: what has not arrived yet ◀───────────────┘
//!      └──▶ report ◀── process: CPU and memory of a local server, before and after
//! ```
//! | room | what |
//! |---|---|
//! | [`options`] | what is measured and how |
//! | [`report`] | what came out of it |
//! | `pipe`, `websocket`, `connection` | bytes over TCP, TLS or WebSocket; a client's end of MQTT |
//! | [`amqp`] | a client's end of AMQP 0-9-1, and its workloads |
//! | `plan` | when a publisher goes on, in any protocol |
//! | `scene`, `measure` | publishers and subscribers at work for a while |
//! | `traffic` | pairs, fan-out, fan-in, latency |
//! | `stress` | whether one client's trouble stays its own |
//! | `connects`, `idle`, `retained`, `offline` | the other workloads, a file each |

pub mod amqp;
mod clock;
mod connection;
mod connects;
mod flow;
mod histogram;
mod idle;
mod ledger;
mod measure;
mod offline;
pub mod options;
mod payload;
mod pipe;
mod plan;
mod process;
mod publisher;
pub mod report;
mod retained;
mod scene;
mod stress;
mod subscriber;
mod traffic;
mod websocket;

pub use connection::ClientError;
pub use options::{Options, Workload};
pub use report::Figures;

/// Runs one workload against the server. Must be called inside of a tokio runtime with time and IO.
///
/// # Errors
/// The server cannot be reached, refuses a client, or breaks the protocol: then there is nothing to report.
pub async fn run(workload: Workload, options: &Options) -> Result<Figures, ClientError> {
    match workload {
        Workload::Pairs | Workload::FanOut | Workload::FanIn | Workload::Latency => {
            traffic::run(workload, options).await
        }
        Workload::Connect => connects::run(options).await,
        Workload::Idle => idle::run(options).await,
        Workload::Retained => retained::run(options).await,
        Workload::Offline => offline::run(options).await,
        Workload::StressFlood => stress::flood(options).await,
        Workload::StressStuck => stress::stuck(options).await,
        Workload::StressSubscribe => stress::subscribe(options).await,
    }
}

/// Asks the system for as many open files as it allows: thousands of connections are that many files.
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What is not granted shows when a connection is refused, with its reason.
    let _ = setrlimit(Resource::Nofile, limit);
}
