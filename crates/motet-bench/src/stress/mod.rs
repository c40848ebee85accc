//! Whether one client's trouble stays its own: the same scene without and with a neighbour who asks too much.

mod flood;
mod stuck;
mod subscribe;

pub(crate) use flood::flood;
pub(crate) use stuck::stuck;
pub(crate) use subscribe::subscribe;

use crate::connection::ClientError;
use crate::options::{Options, Workload};
use crate::report::{Figures, Phase};
use crate::scene::{Outcome, setting};
use std::io;
use tokio::sync::oneshot;

/// Works on a thread and a runtime of its own: the neighbour shall trouble the server, and not us.
fn aside<T: Send + 'static>(
    work: impl Future<Output = Result<T, ClientError>> + Send + 'static,
) -> oneshot::Receiver<Result<T, ClientError>> {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result = runtime.map_err(ClientError::from).and_then(|runtime| runtime.block_on(work));
        // Nobody listens when what it was done for has failed already.
        let _ = tell.send(result);
    });
    told
}

/// What the neighbour says; its panic is ours and was told where it happened.
async fn answer<T>(told: oneshot::Receiver<Result<T, ClientError>>) -> Result<T, ClientError> {
    told.await.unwrap_or_else(|_| Err(io::Error::other("a thread of this program failed").into()))
}

/// Figures of the last of the scenes, with its comparison. What went wrong in any of them counts.
fn figures(workload: Workload, options: &Options, clients: &str, parts: &[(&'static str, &Outcome)]) -> Figures {
    let (_, last) = parts.last().expect("a workload has parts");
    let phases: Vec<Phase> = parts.iter().map(|(name, outcome)| outcome.phase(name)).collect();
    let mut more = Vec::new();
    if let Some(late) = last.lateness().quantiles() {
        more.push(("own lateness", late.p99, "us at p99, part of the last"));
    }
    let mut quality = last.quality();
    parts[..parts.len() - 1].iter().for_each(|(_, outcome)| quality.add(&outcome.quality()));
    Figures {
        workload: workload.name(),
        setting: setting(options, &format!("{clients} at {} a second", options.rate(workload))),
        qos: options.qos,
        unit: "messages",
        count: last.measured.delivered,
        elapsed: last.measured.elapsed,
        latency: None,
        phases,
        quality: Some(quality),
        server: last.measured.cost,
        more,
        errors: parts.iter().flat_map(|(_, outcome)| outcome.errors()).collect(),
    }
}
