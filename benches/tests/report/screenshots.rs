//! The page in headless Chromium: in light, in dark and as wide as a phone. The pictures are for people; the tests check what a
//! browser can tell. Without Chromium they are skipped, and say so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use measure::report;
use measure::results::ScenarioResults;

use crate::sample;

/// The names of the program in distributions.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

/// Returns a command of the browser, or says that there is none.
fn browser() -> Option<Command> {
    let found = PROGRAMS.into_iter().find(|program| {
        let mut version = Command::new(program);
        version
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    });
    let Some(program) = found else {
        println!("skipped: there is no Chromium");
        return None;
    };
    let mut command = Command::new(program);
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
    ]);
    command.stderr(Stdio::null());
    Some(command)
}

/// Writes the page.
fn write(name: &str) -> PathBuf {
    let page = report::page(&sample::results(), &sample::histograms());
    let path = Path::new(FOLDER).join(name);
    fs::write(&path, page).unwrap();
    path
}

#[test]
fn is_no_wider_than_a_phone_and_shows_each_figure_once() {
    let Some(mut browser) = browser() else { return };
    // A phone's width is that of a frame, since a window of Chromium has a least width of its own.
    let inner = write("report-inner.html");
    let frame = format!(
        "<!doctype html><iframe id=f width=390 height=2000 src=\"{}\"></iframe><script>
         f.onload = () => {{
           const page = f.contentDocument, root = page.documentElement;
           const shown = [...page.querySelectorAll('figure svg')].filter(svg => svg.getBoundingClientRect().width > 0);
           const cut = shown.flatMap(svg => {{
             const edge = svg.getBoundingClientRect();
             return [...svg.querySelectorAll('text')].filter(text => {{
               const box = text.getBoundingClientRect();
               return box.left < edge.left - 1 || box.right > edge.right + 1;
             }}).map(text => text.textContent.trim());
           }});
           document.body.innerText = JSON.stringify({{
             wide: root.scrollWidth, shown: shown.length, cut: cut,
           }});
         }};
         </script>",
        inner.file_name().unwrap().display()
    );
    let path = Path::new(FOLDER).join("report-frame.html");
    fs::write(&path, frame).unwrap();
    let profile = Path::new(FOLDER).join("chromium-frame");
    browser.arg(format!("--user-data-dir={}", profile.display()));
    browser.args([
        "--allow-file-access-from-files",
        "--virtual-time-budget=10000",
        "--dump-dom",
    ]);
    let output = browser
        .arg(format!("file://{}", path.display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = |scenario: &ScenarioResults| scenario.figures.len();
    let figures: usize = sample::results().scenarios.iter().map(figures).sum();
    let expected = format!("{{\"wide\":390,\"shown\":{figures},\"cut\":[]}}");
    assert!(text.contains(&expected), "not {expected}, but: {text}");
}

/// Run by `cargo test -p quatrain-benches --test report -- --ignored`; the pictures are in `target/tmp`.
#[test]
#[ignore = "takes pictures for people to look at"]
fn takes_pictures_in_light_in_dark_and_on_a_phone() {
    let page = write("report.html");
    let phone = Path::new(FOLDER).join("report-phone.html");
    fs::write(&phone, "<!doctype html><body style=margin:0><iframe width=390 height=6000 frameborder=0 src=report.html>").unwrap();
    for (name, page, size, dark) in [
        ("light", &page, "1000,6000", false),
        ("dark", &page, "1000,6000", true),
        ("phone", &phone, "500,6000", false),
    ] {
        let Some(mut browser) = browser() else { return };
        let picture = Path::new(FOLDER).join(format!("report-{name}.png"));
        let profile = Path::new(FOLDER).join(format!("chromium-{name}"));
        browser.arg(format!("--user-data-dir={}", profile.display()));
        browser.arg(format!("--window-size={size}"));
        browser.arg(format!("--screenshot={}", picture.display()));
        if dark {
            browser.arg("--blink-settings=preferredColorScheme=0");
        }
        let status = browser
            .arg(format!("file://{}", page.display()))
            .status()
            .unwrap();
        assert!(status.success() && picture.exists(), "{name}: {status}");
        println!("{}", picture.display());
    }
}
