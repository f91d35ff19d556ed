//! Random files of services: the example with every key, damaged. Whatever a file holds, it is read without a panic, and what is
//! wrong in it is reported at a place that it has, in lines that a terminal can show.
//!
//! ```sh
//! QUATRAIN_INPUTS=100_000 cargo test -p quatrain-cli --bin quatrain config::fuzz -- --nocapture
//! ```

use std::collections::HashSet;

use fastrand::Rng;
use poetry::panics;
use simulation::seed;

use super::*;

/// Files of a usual run: two seconds without optimisation.
const INPUTS: u64 = 1_000;

/// The example, with the keys that are comments in it.
const EXAMPLE: &str = include_str!("../../../packaging/quatrain.toml");

#[test]
fn s26_any_file_is_read_or_its_flaws_have_places() {
    panics::silence_contained();
    let first = seed::from_environment();
    let inputs = seed::number("QUATRAIN_INPUTS").unwrap_or(INPUTS);
    let (mut read, mut flawed) = (0, 0);
    for seed in (0..inputs).map(|index| first.wrapping_add(index)) {
        let file = damaged(&mut Rng::with_seed(seed));
        match panics::contain(|| check(&file))
            .unwrap_or_else(|panic| Err(format!("a panic: {panic}")))
        {
            Ok(true) => read += 1,
            Ok(false) => flawed += 1,
            Err(why) => panic!(
                "{why}\n{}\nTo replay: QUATRAIN_SEED={seed} QUATRAIN_INPUTS=1 cargo test -p quatrain-cli --bin quatrain config::fuzz",
                file.escape_ascii()
            ),
        }
    }
    println!("{inputs} files from seed {first}: {read} read, {flawed} with flaws");
    let rarer: u64 = std::cmp::min(read, flawed);
    assert!(
        rarer >= inputs / 20,
        "{read} files were read, {flawed} were not"
    );
}

/// Returns whether the file is good.
fn check(file: &[u8]) -> Result<bool, String> {
    let flaws = match Config::parse(file, Path::new("/base")) {
        Ok(config) => return check_services(&config).map(|()| true),
        Err(flaws) => flaws,
    };
    if flaws.is_empty() {
        return Err("it is refused without a flaw".to_owned());
    }
    let lines = file.iter().filter(|&&byte| byte == b'\n').count() + 1;
    for line in Flaws::of(Path::new("F")).with(flaws).lines() {
        if line.contains(|character: char| character.is_control()) {
            return Err(format!("a flaw with control characters: {line:?}"));
        }
        if line.len() > 2_000 {
            return Err(format!("a flaw of {} bytes: {line:.200}", line.len()));
        }
        if line.starts_with("F has ") {
            continue;
        }
        let mut parts = line.split(':').skip(1).map(str::parse::<usize>);
        match (parts.next(), parts.next()) {
            (Some(Ok(at)), Some(Ok(column))) if at >= 1 && at <= lines && column >= 1 => {}
            place => return Err(format!("{line}: a place {place:?} of {lines} lines")),
        }
    }
    Ok(false)
}

/// Names and addresses are unique, and limits are limits.
fn check_services(config: &Config) -> Result<(), String> {
    let names: HashSet<_> = config
        .services
        .iter()
        .map(|service| &service.name)
        .collect();
    if names.len() != config.services.len() || names.is_empty() || names.len() > SERVICES_MAX {
        return Err(format!("services are called {names:?}"));
    }
    let listen = config.services.iter().flat_map(|service| &service.listen);
    let listen: Vec<_> = listen.filter(|address| address.port > 0).collect();
    let addresses: HashSet<_> = listen.iter().map(ToString::to_string).collect();
    if addresses.len() < listen.len() {
        return Err(format!("services listen on {listen:?}"));
    }
    for service in &config.services {
        let options = service.command.options(models::clock());
        if options.threads.get() > poetry::limits::THREADS_MAX {
            return Err(format!("{} threads", options.threads));
        }
        if service.listen.is_empty() {
            return Err(format!("{} listens nowhere", service.name));
        }
    }
    Ok(())
}

/// Keys of every role, of none, and of TOML.
const KEYS: &[&str] = &[
    "name",
    "role",
    "listen",
    "file",
    "num-bytes",
    "delay",
    "fast",
    "model",
    "threads",
    "pool",
    "connections-max",
    "write-timeout",
    "grace",
    "directory",
    "keep-alive",
    "idle-timeout",
    "deadline",
    "frame-bytes-max",
    "lab",
    "offload",
    "upstream",
    "cache-ttl",
    "connect-timeout",
    "poem-bytes-max",
    "service",
    "\"\\u001b[2J\"",
    "a.b",
    "\"\"",
    "Name",
    "help",
];
/// Values, good and bad for some key.
const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "256",
    "257",
    "18446744073709551615",
    "9223372036854775807",
    "-9223372036854775808",
    "1e309",
    "inf",
    "nan",
    "0.7",
    "-0.0",
    "1e-300",
    "0x10",
    "1_000",
    "true",
    "false",
    "\"\"",
    "\"1m\"",
    "\"-1s\"",
    "\"1e30s\"",
    "\"99999999999999999999h\"",
    "\"700ms\"",
    "\"127.0.0.1:0\"",
    "\"127.0.0.1:65536\"",
    "\"[::1]:1\"",
    "\"[::1\"",
    "\":\"",
    "\"-\"",
    "\"--help\"",
    "\"a\\u0000b\"",
    "\"\\u001b[2J\"",
    "\"../x\"",
    "[]",
    "[1, \"2\"]",
    "[1, 1]",
    "[[1]]",
    "{}",
    "{ a = 1 }",
    "1979-05-27",
    "'''\n'''",
    "\"poem\"",
    "\"transform\"",
    "\"library\"",
    "\"proxy\"",
    "\"blocking\"",
    "\"actors\"",
    "\"streams\"",
    "\"fibres\"",
];

/// The example after a few damages: often none that matters.
fn damaged(rng: &mut Rng) -> Vec<u8> {
    let mut lines: Vec<String> = EXAMPLE.lines().map(str::to_owned).collect();
    // Most comments make a file long and change nothing.
    lines.retain(|line| !line.starts_with("# "));
    for _ in 0..rng.u32(0..4) {
        damage_line(&mut lines, rng);
    }
    let mut file = (lines.join("\n") + "\n").into_bytes();
    if rng.u8(0..4) == 0 {
        damage_byte(&mut file, rng);
    }
    if rng.u8(0..40) == 0 {
        let nested = rng.usize(1..5_000);
        file.extend("x = ".bytes().chain("[".repeat(nested).bytes()));
    }
    file
}

fn damage_line(lines: &mut Vec<String>, rng: &mut Rng) {
    let at = rng.usize(..lines.len());
    let pick = |rng: &mut Rng, from: &[&'static str]| from[rng.usize(..from.len())];
    match rng.u8(0..10) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at].clone()),
        2 => {
            let other = rng.usize(..lines.len());
            lines.swap(at, other);
        }
        3..6 => {
            // A key that is a comment in the example.
            if let Some(key) = lines[at].strip_prefix('#') {
                lines[at] = key.to_owned();
            }
        }
        6..8 => {
            if let Some((key, _)) = lines[at].split_once(" = ") {
                lines[at] = format!("{} = {}", key.trim_start_matches('#'), pick(rng, VALUES));
            }
        }
        8 => lines.insert(at, format!("{} = {}", pick(rng, KEYS), pick(rng, VALUES))),
        _ => lines.insert(at, "[[service]]".to_owned()),
    }
}

fn damage_byte(file: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.usize(..file.len());
    match rng.u8(0..4) {
        0 => file[at] = rng.u8(..),
        1 => file.insert(
            at,
            *b"\"'[]{}=.,#\\\n\r\0\x1b\xff"
                .get(rng.usize(0..16))
                .unwrap_or(&b'x'),
        ),
        2 => drop(file.remove(at)),
        _ => file.truncate(at),
    }
}
