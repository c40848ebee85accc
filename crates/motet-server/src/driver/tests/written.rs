//! What one poll writes at most, and who goes on afterwards.

use super::*;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Bytes of what `flood` is answered with, and of one delivery of it.
const FLOOD: usize = 1000 * DELIVERY;
const DELIVERY: usize = 1004;

#[test]
fn who_is_sent_very_much_lets_the_others_go_first_and_comes_back_by_itself() {
    let output = 16 << 10;
    let limits = Limits { output_buffer_bytes: ByteSize(output), ..Limits::default() };
    let mut bench = bench_with(limits, 2 << 20, Framing::Plain, &[]);
    bench.send(&frame(b"flood"));
    let (woken, mut back, mut polls) = (Arc::new(Counting::default()), 0, 0);
    let waker = std::task::Waker::from(woken.clone());
    while back < FLOOD {
        let before = woken.0.load(Ordering::Relaxed);
        assert!(bench.connection.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_pending());
        let written = bench.receive().len();
        // The turn in which the bound is met is finished.
        let most = WRITTEN_MAX + output as usize + DELIVERY;
        assert!(written <= most, "{written} bytes in one poll");
        back += written;
        polls += 1;
        let goes_on = woken.0.load(Ordering::Relaxed) > before;
        assert!(goes_on || back >= FLOOD, "nobody else would wake it after {back} bytes");
    }
    assert!(polls > FLOOD / (WRITTEN_MAX + output as usize + DELIVERY), "{polls}");
}
