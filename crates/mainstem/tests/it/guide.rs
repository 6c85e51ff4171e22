//! The guide's sessions are tests: every command printed there is run, and must answer as printed.
//!
//! A block of kind `console` holds commands after `$ ` and what they print; `…` stands for any
//! text, on a line of its own for any lines. A block's commands run in one shell, one after the
//! other, in the root of the repository. `<!-- run: PROJECT -->` above the first block starts a
//! program on that project; its addresses take the place of the default ones.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{Program, root};

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_the_guide_work_as_printed() {
    let mut pages: Vec<_> =
        fs::read_dir(root().join("docs/guide")).unwrap().map(|it| it.unwrap().path()).collect();
    pages.push(root().join("README.md"));
    pages.sort();
    let mut sessions = 0;
    let mut problems = String::new();
    for page in pages.iter().filter(|it| it.extension().is_some_and(|it| it == "md")) {
        let text = fs::read_to_string(page).unwrap();
        sessions += tokio::task::block_in_place(|| check(page, &text, &mut problems));
    }
    assert!(problems.is_empty(), "{problems}");
    assert!(0 < sessions, "no session found in docs/guide");
}

/// Runs the sessions of one page and returns how many there were.
fn check(page: &Path, text: &str, problems: &mut String) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let project = text.lines().find_map(|it| it.strip_prefix("<!-- run: ")?.strip_suffix(" -->"));
    let sessions = sessions(text);
    if sessions.is_empty() {
        return 0;
    }
    let program = project.map(|it| Program::start(&root().join(it), folder.path()));
    for session in &sessions {
        for step in &session.steps {
            let place = format!("{}:{}", page.strip_prefix(root()).unwrap().display(), step.line);
            if needs_peers(&step.command) && !root().join("target/peers/bin/python").exists() {
                eprintln!("SKIPPED: {place}: no target/peers (cargo xtask peers)");
                continue;
            }
            let printed = run(&step.command, program.as_ref(), folder.path());
            if !matches(&step.expected, printed.trim_end()) {
                writeln!(
                    problems,
                    "{place}: $ {}\nexpected:\n{}\nprinted:\n{printed}",
                    step.command, step.expected
                )
                .unwrap();
            }
        }
    }
    sessions.len()
}

struct Session {
    steps: Vec<Step>,
}

struct Step {
    line: usize,
    command: String,
    expected: String,
}

/// Takes the `console` blocks out of a page.
fn sessions(text: &str) -> Vec<Session> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        if line.trim_start() != "```console" {
            continue;
        }
        let mut steps: Vec<Step> = Vec::new();
        let mut is_open = false;
        for (index, line) in lines.by_ref().take_while(|(_, it)| it.trim_start() != "```") {
            let is_command = line.starts_with("$ ");
            match (steps.last_mut(), is_command) {
                (Some(step), false) if is_open => {
                    step.command.push('\n');
                    step.command.push_str(line.strip_prefix("> ").unwrap_or(line));
                }
                (Some(step), false) => {
                    step.expected.push_str(line);
                    step.expected.push('\n');
                }
                _ => {
                    let command = line.trim_start_matches("$ ").to_owned();
                    steps.push(Step { line: index + 1, command, expected: String::new() });
                }
            }
            is_open =
                steps.last().is_some_and(|it| it.expected.is_empty() && is_unfinished(&it.command));
        }
        found.push(Session { steps });
    }
    found
}

/// Whether the shell would wait for more lines: a here-document, a quote or a backslash is open.
fn is_unfinished(command: &str) -> bool {
    if let Some((_, after)) = command.split_once("<<") {
        let word = after.trim_start_matches('-').split_whitespace().next().unwrap_or_default();
        let word = word.trim_matches(['\'', '"']);
        return !command.lines().skip(1).any(|it| it == word);
    }
    command.ends_with('\\') || !command.matches('\'').count().is_multiple_of(2)
}

fn needs_peers(command: &str) -> bool {
    command.contains("python") || command.starts_with("aws ")
}

fn run(command: &str, program: Option<&Program>, data: &Path) -> String {
    let mut text = command.replace(".mainstem", data.to_str().unwrap());
    if let Some(program) = program {
        let (host, port) = program.postgres.rsplit_once(':').unwrap();
        text = text
            .replace("127.0.0.1:7070", &program.http)
            .replace("127.0.0.1:7432", &program.postgres)
            .replace("-h 127.0.0.1 -p 7432", &format!("-h {host} -p {port}"));
    }
    let program_folder = Path::new(env!("CARGO_BIN_EXE_mainstem")).parent().unwrap();
    let path = format!(
        "{}:{}:{}",
        root().join("target/peers/bin").display(),
        program_folder.display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new("bash")
        .arg("-c")
        .arg(format!("exec 2>&1\n{text}"))
        .current_dir(root())
        .env("PATH", path)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    match program {
        Some(program) => printed
            .replace(&program.http, "127.0.0.1:7070")
            .replace(&program.postgres, "127.0.0.1:7432"),
        None => printed,
    }
}

/// Whether `printed` is what `expected` says, where `…` stands for anything.
fn matches(expected: &str, printed: &str) -> bool {
    let normal = |it: &str| it.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let (expected, printed) = (normal(expected.trim_end()), normal(printed));
    let mut parts = expected.split('…');
    let Some(mut rest) = parts.next().and_then(|first| printed.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        let found = if parts.peek().is_none() {
            rest.ends_with(part).then(|| rest.len() - part.len())
        } else {
            rest.find(part)
        };
        let Some(at) = found else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[test]
fn dots_stand_for_any_text() {
    assert!(matches("a\n…\nz\n", "a\nb\nc\nz"));
    assert!(matches("took … ms", "took 12 ms"));
    assert!(matches("…", "anything"));
    assert!(!matches("a … c", "a b d"));
    assert!(!matches("a", "a b"));
}
