//! How to measure.

/// How long the server takes for request `number`, in milliseconds: it stalls once.
fn service(number: u64) -> u64 {
    if number == 500 { 1_000 } else { 1 }
}

/// The latencies of a client that sends a request when it has the reply to the one before.
fn closed_loop(requests: u64) -> Vec<u64> {
    (0..requests).map(service).collect()
}

/// The latencies of requests that come due every `gap` milliseconds, whatever the server does, each from the moment when it
/// was due.
fn open_loop(requests: u64, gap: u64) -> Vec<u64> {
    let mut free = 0_u64;
    let latency = |number: u64| {
        let due = number * gap;
        free = due.max(free) + service(number);
        free - due
    };
    (0..requests).map(latency).collect()
}

/// The value that `percent` of the values do not exceed.
fn percentile(mut values: Vec<u64>, percent: usize) -> u64 {
    values.sort_unstable();
    values[(values.len() * percent).div_ceil(100) - 1]
}

#[test]
fn a_closed_loop_hides_the_stall() {
    let (closed, open) = (closed_loop(1_000), open_loop(1_000, 2));
    assert_eq!(closed.iter().max(), open.iter().max());
    assert_eq!(percentile(closed, 99), 1);
    assert!(percentile(open, 99) > 900);
}

/// The middle one of an odd number of values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What a subject costs when it is measured as number `time` on a machine that grows slower.
fn measured(cost: f64, time: usize) -> f64 {
    cost * (1.0 + 0.03 * time as f64)
}

#[test]
fn rounds_cancel_a_drift() {
    const ROUNDS: usize = 5;
    let (old, new) = (5.0, 4.75);

    // First all of one, then all of the other.
    let first = (0..ROUNDS).map(|time| measured(old, time)).collect();
    let then = (ROUNDS..2 * ROUNDS).map(|time| measured(new, time));
    let apart = median(then.collect()) / median(first);
    assert!(apart > 1.05, "the better one looks worse: {apart}");

    // Both in each round, in an order that changes.
    let ratio = |round| {
        let swapped = round % 2;
        let one = measured(old, 2 * round + swapped);
        let other = measured(new, 2 * round + 1 - swapped);
        other / one
    };
    let by_round = median((0..ROUNDS).map(ratio).collect());
    assert!(by_round < 0.99, "the better one: {by_round}");
}

/// The slope of the line through `points` that is nearest to them: least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let of_both = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y));
    let of_x = points.iter().map(|(x, _)| (x - mean_x).powi(2));
    of_both.sum::<f64>() / of_x.sum::<f64>()
}

#[test]
fn a_slope_leaves_out_the_server_itself() {
    // The server has 5 MB before its first connection, and needs 1,500 bytes for each.
    let memory = [1_000.0, 5_000.0, 10_000.0].map(|open| (open, 5e6 + 1_500.0 * open));
    assert!((slope(&memory) - 1_500.0).abs() < 1e-6);
    let shares = memory.map(|(open, bytes)| bytes / open);
    assert_eq!(shares, [6_500.0, 2_500.0, 2_000.0]);
}
