//! What is a file of services, and what is wrong in others. The example is tested here, since the keys are known here.

use std::collections::HashMap;

use super::*;

/// The example with every key.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/quatrain.toml");

fn parse(text: &str) -> Result<Config, Vec<String>> {
    Config::parse(text.as_bytes(), Path::new("/base"))
        .map_err(|flaws| Flaws::of(Path::new("F")).with(flaws).lines())
}

fn flaws(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(flaws) => flaws,
    }
}

/// A service with `keys`, whose first is in line 4.
fn with(role: &str, keys: &str) -> String {
    format!("[[service]]\nname = \"a\"\nrole = \"{role}\"\n{keys}")
}

#[test]
fn s26_keys_are_the_options_of_the_command_line_with_its_values() {
    let config = parse(&with(
        "poem",
        "listen = [10001, \"[::1]:0\"]\nfile = \"x/y.txt\"\nnum-bytes = 0x10\ndelay = 0.5\nmodel = \"streams\"\n\
         write-timeout = \"1m\"\nconnections-max = 1_000\n",
    ))
    .unwrap();
    let service = &config.services[0];
    let options = service.command.options(models::clock());
    assert_eq!(options.limits.write_timeout.as_secs(), 60);
    assert_eq!(options.limits.connections_max, 1_000);
    assert_eq!(service.command.server().model.model.name(), "streams");
    let ServeCommand::Poem(poem) = &service.command else {
        panic!("not a poem");
    };
    let pace = poetry::Pace::Slow {
        num_bytes: 16.try_into().unwrap(),
        delay: std::time::Duration::from_millis(500),
    };
    assert_eq!(
        (poem.pace(), poem.file.as_path()),
        (pace, Path::new("/base/x/y.txt"))
    );
    let listen: Vec<_> = service.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:10001", "[::1]:0"]);
    assert_eq!(config.connections_max(), 2_000);
}

#[test]
fn s26_a_flaw_has_its_line_and_column() {
    let (listen, mut others) = ("listen = 1\n", Vec::new());
    for (text, expected) in [
        ("[[service]", "F:1:"),
        ("a = 1\na = 2\n", "F:2:1: duplicate key"),
        ("", "F:1:1: the file has no [[service]]"),
        ("service = []", "F:1:1: the file has no [[service]]"),
        (
            "[service]\nname = 1",
            "F:1:2: write [[service]], with two brackets",
        ),
        ("service = [1]", "F:1:12: write [[service]]"),
        (
            &format!("stats = 1\n{}", with("transform", listen)),
            "F:1:1: unknown key stats",
        ),
        (
            &with("ode", listen),
            "F:3:8: write a role: poem, transform, library, proxy",
        ),
        (&with("transform", ""), "F:1:1: write where it listens"),
        (
            &with("poem", listen),
            "F:1:1: a service of the role poem needs the key file",
        ),
        (
            &with("transform", "listen = 1\n  num_bytes = 2"),
            "F:5:3: unknown key num_bytes for a service of the role transform",
        ),
        (
            &with("transform", "listen = 1\nkeepalive = true"),
            "F:5:1: unknown key keepalive for a service of the role transform (a similar key exists: keep-alive)",
        ),
        (
            &with("transform", "listen = 1\nfile = \"x\""),
            "F:5:1: unknown key file for a service of the role transform",
        ),
        (
            &with("transform", "listen = 1\n\"threads=2 --lab\" = 1"),
            "F:5:1: unknown key 'threads=2 --lab'",
        ),
        (
            &with("transform", "listen = 1\nport = 2"),
            "F:5:1: port is not a key: write listen",
        ),
        (
            &with("transform", "listen = 1\nend-with-parent = 2"),
            "F:5:1: unknown key 'end-with-parent'",
        ),
        (
            &with("transform", "listen = 1\nhelp = true"),
            "F:5:1: unknown key help",
        ),
        (
            &with("transform", "listen = 1\nthreads = 0"),
            "F:5:1: invalid value '0' for threads: 0 is not in 1..=256",
        ),
        (
            &with("transform", "listen = 1\nthreads = \"--lab\""),
            "F:5:1: invalid value '--lab' for threads",
        ),
        (
            &with("transform", "listen = 1\nmodel = \"actor\""),
            "F:5:1: invalid value 'actor' for model [possible values: callbacks, actors, streams, blocking] \
             (a similar value exists: 'actors')",
        ),
        (
            &with("transform", "listen = 1\nidle-timeout = 0"),
            "F:5:1: invalid value '0' for idle-timeout: it must be longer",
        ),
        (
            &with("transform", "listen = 1\nlab = \"yes\""),
            "F:5:7: lab is true or false",
        ),
        (
            &with("transform", "listen = 1\ngrace = [1]"),
            "F:5:9: invalid value for grace: write a string or a number",
        ),
        (
            &with("transform", "listen = 1\ngrace = nan"),
            "F:5:1: invalid value 'nan' for grace",
        ),
        (
            &with("transform", "listen = 1\ngrace = 1979-05-27"),
            "F:5:9: invalid value for grace",
        ),
        (
            &with("transform", "listen = [1, \"a\"]"),
            "F:4:14: invalid value for listen: write [host:]port",
        ),
        (
            &with("transform", "listen = [1, 1]"),
            "F:4:14: 127.0.0.1:1 is listed twice",
        ),
        (
            &with("transform", "listen = 1\nsocket = \"x\""),
            "F:4:10: a service has either listen or socket",
        ),
        (
            &with("transform", "listen = []"),
            "F:4:10: write 1 to 64 addresses",
        ),
        (
            &with("transform", "listen = 65536"),
            "F:4:10: invalid value for listen: a port is",
        ),
        (
            &with("poem", "listen = 1\nfile = \"x\"\nfast = true\ndelay = 1"),
            "F:7:1: the key delay cannot be used with fast",
        ),
        (
            &with("proxy", "listen = 1\nupstream = 0"),
            "F:5:1: invalid value '0' for upstream",
        ),
        (
            "[[service]]\nname = \"a b\"\nrole = \"transform\"\nlisten = 1",
            "F:2:8: write a name",
        ),
    ] {
        let found = flaws(text);
        let fits = |found: &str| found.starts_with(expected) && !found.contains("'--threads");
        if found.len() != 1 || !fits(&found[0]) {
            others.push(format!("{text}\n{found:#?}\n{expected}"));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n\n"));
}

#[test]
fn s26_columns_count_characters_and_bytes_that_are_not_utf_8_have_a_place() {
    let found = flaws("[[service]]\n\"ü\" = { ä = 1 } ! ");
    assert!(found[0].starts_with("F:2:17: "), "{found:?}");
    let found = Config::parse(b"# x\n# \xc3\xa4 \xff\n", Path::new(""));
    let lines = Flaws::of(Path::new("F")).with(found.err().unwrap()).lines();
    assert_eq!(lines, ["F:2:5: this is not UTF-8"]);
}

#[test]
fn s26_all_services_with_flaws_are_reported_in_the_order_of_the_file() {
    let one = |name: &str| {
        format!("[[service]]\nname = \"{name}\"\nrole = \"transform\"\nlisten = 0\nlab = 1\n")
    };
    let found = flaws(&format!("{}{}", one("a"), one("b")));
    assert_eq!(
        found,
        [
            "F:5:7: lab is true or false",
            "F:10:7: lab is true or false"
        ]
    );
    let many: String = (0..30).map(|index| one(&format!("s{index}"))).collect();
    let found = flaws(&many);
    assert_eq!(
        (found.len(), found[20].as_str()),
        (21, "F has 10 more flaws")
    );
}

#[test]
fn s26_two_services_have_neither_a_name_nor_an_address_in_common() {
    let one = |name: &str, port: u16| {
        format!("[[service]]\nname = \"{name}\"\nrole = \"transform\"\nlisten = {port}\n")
    };
    let found = flaws(&[one("a", 1), one("b", 1), one("a", 2)].concat());
    assert_eq!(
        found,
        [
            "F:8:1: service a listens on 127.0.0.1:1 too, in line 4",
            "F:10:1: the service of line 2 is called a too"
        ]
    );
    assert!(parse(&[one("a", 0), one("b", 0)].concat()).is_ok());
    let on_socket = |name: &str| one(name, 0).replace("listen = 0", "socket = \"s\"");
    let found = flaws(&[on_socket("a"), on_socket("b")].concat());
    assert_eq!(
        found,
        ["F:8:1: service a listens on socket s too, in line 4"]
    );
}

#[test]
fn s26_the_services_of_a_file_are_bounded() {
    let one = |index: usize| {
        format!("[[service]]\nname = \"{index}\"\nrole = \"transform\"\nlisten = 0\n")
    };
    let file = |services: usize| (0..services).map(one).collect::<String>();
    assert_eq!(
        parse(&file(SERVICES_MAX)).unwrap().services.len(),
        SERVICES_MAX
    );
    let found = flaws(&file(SERVICES_MAX + 1));
    assert_eq!(found, ["F:4001:1: a file has at most 1000 services"]);
}

/// The example with its commented keys switched on.
fn example_with_every_key() -> String {
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    let on = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(on).collect::<Vec<_>>().join("\n")
}

#[test]
fn s26_the_example_has_every_key() {
    let text = example_with_every_key();
    // A service has either listen or socket, so this is the only key that stays a comment.
    let text = text.replace("# socket = ", "socket = ");
    let keys: Vec<_> = text
        .lines()
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect();
    for role in keys::role_names() {
        for arg in keys::of(role).unwrap() {
            assert!(keys.contains(&keys::name(arg)), "{}", keys::name(arg));
        }
    }
    for key in keys::OWN {
        assert!(keys.contains(&key), "{key}");
    }
    // All together, they are a file of services; only a pool needs another model.
    let config = parse(&example_with_every_key()).unwrap();
    assert_eq!(config.services.len(), keys::role_names().len());
}

#[test]
fn s26_the_commented_keys_of_the_example_have_their_defaults() {
    let without_default = ["pool", "cache-ttl"];
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    let values = |config: Config| -> Vec<HashMap<_, _>> {
        let services = config.services.into_iter();
        services
            .map(|service| service.values.into_iter().collect())
            .collect()
    };
    let (plain, every) = (
        values(parse(&text).unwrap()),
        values(parse(&example_with_every_key()).unwrap()),
    );
    let mut compared = 0;
    for (plain, every) in plain.iter().zip(&every) {
        for (key, value) in every {
            let is_a_proxys_deadline = *key == "deadline" && every.contains_key("upstream");
            if without_default.contains(key) || is_a_proxys_deadline {
                assert_eq!(plain.get(key), None, "{key}");
            } else {
                assert_eq!(plain.get(key), Some(value), "{key}");
                compared += 1;
            }
        }
    }
    assert!(compared > 30, "{compared}");
}
