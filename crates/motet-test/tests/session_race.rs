//! Connections of one client that come and go at the same moment, on threads of their own.

use motet_core::core::{Core, CoreLimits};
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::session::{CloseSession, Expiry, OpenSession};
use motet_core::time::Now;
use motet_test::wire::{Durability, MemoryEngine};

/// Once, a session was let go of before its queue was: who opened it in between met the old consumer, or lost its own.
#[test]
fn a_session_is_opened_while_it_is_being_let_go_of() {
    let core = Core::new(MemoryEngine::new(Durability::AtOnce), CoreLimits::default());
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                for _ in 0..60_000 {
                    let mailbox = Mailbox::new(1 << 16, Overflow::DropNewest);
                    let open = OpenSession {
                        owner: &std::sync::Arc::from(""),
                        vhost: core.vhost(),
                        client: "one",
                        clean_start: false,
                        expiry: Expiry::Never,
                        credit: 10,
                        will: None,
                        mailbox: &mailbox,
                    };
                    let opened = core.open_session(Now::default(), open).expect("there is room for one session");
                    let close = CloseSession { publish_will: false, expiry: None };
                    core.close_session(Now::default(), &opened.handle, close);
                }
            });
        }
    });
    assert_eq!(core.session_count(), 1);
}
