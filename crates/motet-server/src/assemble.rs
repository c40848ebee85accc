//! From a configuration to the parts of a server: the store is opened, the core recovered, the doors get their keys.
//! The one place that knows which engine stores.

use crate::backup::{BackupError, JOURNAL_DIR};
use crate::clock::Clock;
use crate::config::{Config, Limits};
use crate::definitions;
use crate::doors::Doors;
use crate::error::ServerError;
use crate::house::Parts;
use crate::reload::ReloadHook;
use crate::users::{self, Users};
use motet_auth::{Clocks, Front};
use motet_core::core::{Core, CoreLimits, Recovered};
use motet_core::engine::Engine;
use motet_mqtt::packet::QoS;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What stores.
pub type Store = motet_store::EmbeddedEngine;

/// Opens the store and puts everything together. Blocks while the journal is read.
pub(crate) fn assemble(config: &Config) -> Result<(Parts<Store>, Recovered), ServerError> {
    // Before anything is opened: what is wrong with an account is told at once.
    users::configured(config)?;
    let journal = config.data_dir.join(JOURNAL_DIR);
    // Nobody else's business, unless an operator has made it before and decided otherwise.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&journal).map_err(|error| ServerError::File {
        key: "data_dir".into(),
        file: journal.clone(),
        what: format!("cannot be made: {error}"),
    })?;
    let (engine, recovery) = Store::open(&journal, journal_config(config)).map_err(|error| match error {
        motet_store::OpenError::InUse(_) => ServerError::InUse(with_sources(&error)),
        error => ServerError::Store(with_sources(&error)),
    })?;
    let core = Arc::new(Core::new(engine, core_limits(&config.limits)));
    // Weak: the core owns the engine that calls it.
    let hears = Arc::downgrade(&core);
    core.engine().set_sink(Box::new(move |completion| {
        if let Some(core) = hears.upgrade() {
            core.complete(completion);
        }
    }));
    crate::quotas::apply(&core, &config.limits);
    let recovered = core.recover(Clock::new().now(), recovery);
    let users = Arc::new(Users::open(config, core.clone())?);
    users.renew_foreign()?;
    definitions::load(config, &core, &users)?;
    let clock = Clock::new();
    let clocks: Clocks = Arc::new(move || {
        let now = clock.now();
        (now.instant, now.wall)
    });
    let front = Arc::new(Front::new(users.directory().clone(), clocks.clone()));
    let doors = Doors::new(core.clone(), front.clone(), clocks);
    doors.apply(config)?;
    let mqtt = Arc::new(mqtt_config(config));
    let amqp = Arc::new(amqp_config(config));
    let parts = Parts {
        auth: front.clone(),
        front: Some(front),
        accounts: users.clone(),
        mqtt: Arc::new(move || Box::new(motet_mqtt::Connection::new(mqtt.clone()))),
        amqp: Arc::new(move || Box::new(motet_amqp::Connection::new(amqp.clone()))),
        store: Box::new(StoreOf(core.clone())),
        reload: vec![
            ReloadHook::new("users", &users::RELOADED, move |config| users.reload(config)),
            ReloadHook::new("access", &["access", "jwt", "hook"], move |config| doors.apply(config)),
        ],
        core,
    };
    Ok((parts, recovered))
}

/// What a server must know of its store beyond the core's engine.
pub trait StoreControl: Send + Sync {
    /// The disk takes nothing at the moment.
    fn is_failing(&self) -> bool;
    /// Accepted and not yet durable.
    fn pending_bytes(&self) -> u64;
    /// Copies everything durable into an empty folder and answers up to where in the log, in bytes. Blocks; the store
    /// goes on meanwhile.
    fn backup(&self, to: &Path) -> Result<u64, BackupError>;
    /// Makes everything durable and stops. Blocks.
    fn close(&self);
}

struct StoreOf(Arc<Core<Store>>);

impl StoreControl for StoreOf {
    fn is_failing(&self) -> bool {
        self.0.engine().is_failing()
    }
    fn pending_bytes(&self) -> u64 {
        self.0.engine().pending_bytes()
    }
    fn backup(&self, to: &Path) -> Result<u64, BackupError> {
        Ok(self.0.engine().journal().backup(to)?.0)
    }
    fn close(&self) {
        self.0.engine().shutdown();
    }
}

fn journal_config(config: &Config) -> motet_store::Config {
    motet_store::Config {
        segment_bytes: config.store.segment_bytes.bytes(),
        pending_bytes_max: config.limits.pending_durable_bytes.bytes(),
        max_delay: config.store.commit_delay,
        ..motet_store::Config::default()
    }
}

fn core_limits(limits: &Limits) -> CoreLimits {
    CoreLimits {
        session_queue_messages: limits.session_queue_messages,
        session_queue_bytes: limits.session_queue_bytes.bytes(),
        session_queue_high_percent: limits.session_queue_slow_percent,
        slow_subscriber_wait: limits.slow_subscriber_wait,
        session_expiry_max_secs: u32::try_from(limits.session_expiry_max.as_secs()).unwrap_or(u32::MAX),
        subscriptions_per_session: limits.subscriptions_per_session as usize,
        sessions: limits.sessions,
        sessions_per_user: limits.sessions_per_user,
        retained_messages: limits.retained_messages,
        retained_bytes: limits.retained_bytes.bytes(),
        queues: limits.queues,
        consumers_per_queue: limits.consumers_per_queue,
        vhosts: limits.vhosts as usize,
    }
}

fn mqtt_config(config: &Config) -> motet_mqtt::Config {
    let limits = &config.limits;
    let keep_alive_max = config.mqtt.keep_alive_max.unwrap_or(Duration::ZERO);
    motet_mqtt::Config {
        packet_bytes_max: u32::try_from(limits.packet_bytes_max.bytes()).unwrap_or(u32::MAX),
        receive_maximum: limits.receive_maximum,
        topic_alias_maximum: limits.topic_alias_maximum,
        keep_alive_max_secs: u16::try_from(keep_alive_max.as_secs()).unwrap_or(u16::MAX),
        topic_levels_max: limits.topic_levels,
        qos_max: match config.mqtt.qos_max {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        },
        retain_available: config.mqtt.retain_available,
        outbound_aliases_max: limits.topic_aliases_sent,
        payload_format_checked: config.mqtt.payload_format_checked,
        delay_max_secs: u32::try_from(config.mqtt.delay_max.as_secs()).unwrap_or(u32::MAX),
        response_prefix: Some(config.mqtt.response_prefix.as_str()).filter(|p| !p.is_empty()).map(Into::into),
        server_reference: config.mqtt.server_reference.as_deref().map(Into::into),
        server_moved: config.mqtt.server_moved,
        // The store refuses at the whole of it; who is not read from in time is not refused.
        pending_bytes_high: limits.pending_durable_bytes.bytes() / 2,
        connect_timeout: limits.connect_timeout,
        ..motet_mqtt::Config::default()
    }
}

fn amqp_config(config: &Config) -> motet_amqp::Config {
    let (amqp, limits) = (&config.amqp, &config.limits);
    motet_amqp::Config {
        frame_bytes_max: u32::try_from(amqp.frame_bytes_max.bytes()).unwrap_or(u32::MAX),
        channels_max: amqp.channels_max,
        heartbeat_secs: u16::try_from(amqp.heartbeat.as_secs()).unwrap_or(u16::MAX),
        message_bytes_max: amqp.message_bytes_max.bytes(),
        consumers_per_channel: amqp.consumers_per_channel as usize,
        unacked_per_channel: amqp.unacked_per_channel as usize,
        delivery_ack_timeout: amqp.delivery_ack_timeout,
        pending_bytes_high: limits.pending_durable_bytes.bytes() / 2,
        connect_timeout: limits.connect_timeout,
        ..motet_amqp::Config::default()
    }
}

/// An error and what caused it, in one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn configured(keys: &[&str]) -> Config {
        let mut sources = Sources::default();
        keys.iter().for_each(|key| sources.set(key).unwrap());
        load(&sources).unwrap().config
    }

    #[test]
    fn bounds_reach_those_who_keep_them() {
        let config = configured(&[
            "limits.topic_levels=9",
            "limits.sessions=8",
            "limits.retained_messages=7",
            "limits.retained_bytes=6KiB",
            "limits.pending_durable_bytes=2MiB",
            "mqtt.qos_max=1",
            "mqtt.retain_available=false",
        ]);
        let mqtt = mqtt_config(&config);
        assert_eq!((mqtt.topic_levels_max, mqtt.qos_max, mqtt.retain_available), (9, QoS::AtLeastOnce, false));
        assert_eq!(mqtt.pending_bytes_high, 1 << 20);
        let core = core_limits(&config.limits);
        assert_eq!((core.sessions, core.retained_messages, core.retained_bytes), (8, 7, 6 << 10));
        assert_eq!(journal_config(&config).pending_bytes_max, 2 << 20);
    }
}
