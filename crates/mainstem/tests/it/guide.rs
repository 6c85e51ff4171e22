//! The guide's sessions are tests: every command printed there is run, and must answer as printed.
//!
//! A page is walked from top to bottom, in a folder of its own that holds a copy of `examples`:
//! - `<!-- file: PATH -->` above a block: the block is that file; a file named again grows.
//! - `<!-- run: PROJECT -->`: from here on the program runs on that project; its addresses take the
//!   place of the default ones. `<!-- stop -->` stops it.
//! - `<!-- set: NAME=VALUE -->`: the program and all commands have this environment variable.
//! - A `console` block holds commands after `$ ` and what they print; a `sh` block with a `text`
//!   block right below it is one command and what it prints. `cd` holds for the rest of the page.
//! - The `python` blocks of a page are one program; each prints the `text` block right below it.
//!
//! `…` stands for any text, on a line of its own for any lines. A question (`mainstem sql`, `psql`,
//! `dead list`) is asked again for a while, as tables follow records by themselves.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program::{Program, peers, root};

/// How often a question is asked again, with 250 ms between.
const TRIES: u32 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_the_guide_work_as_printed() {
    let mut files: Vec<_> =
        fs::read_dir(root().join("docs/guide")).unwrap().map(|it| it.unwrap().path()).collect();
    files.push(root().join("README.md"));
    files.sort();
    let wanted = std::env::var("PAGE").unwrap_or_default();
    let (mut commands, mut problems) = (0, String::new());
    for file in files.iter().filter(|it| it.extension().is_some_and(|it| it == "md")) {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        if !name.contains(&wanted) {
            continue;
        }
        let text = fs::read_to_string(file).unwrap();
        tokio::task::block_in_place(|| {
            let mut page = Page::new(name);
            parts(&text).iter().for_each(|part| page.follow(part));
            commands += page.commands;
            problems += &page.problems;
        });
    }
    assert!(problems.is_empty(), "{problems}");
    assert!(0 < commands, "no session found in docs/guide");
}

/// What a page asks to be done.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    File { path: String, text: String },
    Run(String),
    Stop,
    Set { name: String, value: String },
    Step(Step),
    Python { line: usize, script: String },
}

/// A command and what it prints.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    line: usize,
    command: String,
    expected: String,
}

/// A page that is being followed.
struct Page {
    name: String,
    folder: tempfile::TempDir,
    program: Option<Program>,
    variables: Vec<(String, String)>,
    commands: u32,
    problems: String,
}

impl Page {
    fn new(name: String) -> Page {
        let folder = tempfile::tempdir().unwrap();
        let copied = Command::new("cp")
            .args(["-r"])
            .arg(root().join("examples"))
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(copied.success());
        fs::remove_dir_all(folder.path().join("examples/shop/.mainstem")).unwrap_or_default();
        let (variables, problems) = (Vec::new(), String::new());
        Page { name, folder, program: None, variables, commands: 0, problems }
    }

    fn follow(&mut self, part: &Part) {
        match part {
            Part::File { path, text } => {
                let path = self.folder.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let before = fs::read_to_string(&path).unwrap_or_default();
                let gap = if before.is_empty() { "" } else { "\n" };
                fs::write(path, format!("{before}{gap}{text}")).unwrap();
            }
            Part::Run(project) => {
                let project = self.folder.path().join(project);
                let data = project.join(".mainstem");
                self.program = Some(Program::start_in(&project, &data, &[], &self.variables));
            }
            Part::Set { name, value } => self.variables.push((name.clone(), value.clone())),
            Part::Stop => self.program.take().unwrap().stop(),
            Part::Step(step) => self.step(step.line, &step.command, &step.expected),
            Part::Python { line, script } => {
                let file = self.folder.path().join("guide.py");
                fs::write(&file, self.with_addresses(script)).unwrap();
                self.step(*line, &format!("python {}", file.display()), "");
            }
        }
    }

    fn step(&mut self, line: usize, command: &str, expected: &str) {
        let place = format!("{}:{line}", self.name);
        if command.contains("python ") && peers("boto3").is_none() {
            return;
        }
        if command.contains("psql ") && which("psql").is_none() {
            eprintln!("SKIPPED: {place}: there is no psql here");
            return;
        }
        self.commands += 1;
        let is_question =
            ["mainstem sql", "psql ", "dead list"].iter().any(|it| command.contains(it));
        let mut printed = self.run(command);
        for _ in 0..if is_question { TRIES } else { 0 } {
            if matches(expected, printed.trim_end()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(250));
            printed = self.run(command);
        }
        if !matches(expected, printed.trim_end()) {
            let told = format!("{place}: $ {command}\nexpected:\n{expected}\nprinted:\n{printed}");
            writeln!(self.problems, "{told}").unwrap();
        }
    }

    /// Puts the addresses of the running program where the page has the usual ones.
    fn with_addresses(&self, text: &str) -> String {
        let Some(program) = &self.program else { return text.to_owned() };
        let (host, port) = program.postgres.rsplit_once(':').unwrap();
        text.replace("127.0.0.1:7070", &program.http)
            .replace("127.0.0.1:7432", &program.postgres)
            .replace("-h 127.0.0.1 -p 7432", &format!("-h {host} -p {port}"))
    }

    fn run(&self, command: &str) -> String {
        let here = self.folder.path().join(".here");
        let folder = fs::read_to_string(&here)
            .map_or_else(|_| self.folder.path().to_owned(), |it| PathBuf::from(it.trim_end()));
        let programs = Path::new(env!("CARGO_BIN_EXE_mainstem")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let peers = root().join("target/peers/bin");
        let command = self.with_addresses(command);
        let output = Command::new("bash")
            .arg("-c")
            .arg(format!("exec 2>&1\n{command}\npwd > '{}'", here.display()))
            .current_dir(folder)
            .env("PATH", format!("{}:{}:{path}", peers.display(), programs.display()))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        match &self.program {
            Some(program) => printed
                .replace(&program.http, "127.0.0.1:7070")
                .replace(&program.postgres, "127.0.0.1:7432"),
            None => printed,
        }
    }
}

/// Returns where a program of this machine is.
fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|it| it.join(program))
        .find(|it| it.is_file())
}

/// A fenced block of a page: the line it begins on, its language, its text.
struct Block {
    line: usize,
    language: String,
    text: String,
}

/// Takes a page apart.
fn parts(text: &str) -> Vec<Part> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut parts, mut file, mut python) = (Vec::new(), None, None);
    let mut at = 0;
    while let Some(&line) = lines.get(at) {
        at += 1;
        let said = line.strip_prefix("<!-- ").and_then(|it| it.strip_suffix(" -->"));
        match said.map(|it| it.split_once(": ").unwrap_or((it, ""))) {
            Some(("file", path)) => file = Some(path.to_owned()),
            Some(("run", project)) => parts.push(Part::Run(project.to_owned())),
            Some(("stop", "")) => parts.push(Part::Stop),
            Some(("set", said)) => {
                let (name, value) = said.split_once('=').unwrap_or((said, ""));
                parts.push(Part::Set { name: name.to_owned(), value: value.to_owned() });
            }
            _ => {}
        }
        let Some(block) = block(&lines, &mut at, line) else { continue };
        let answer = |at: &mut usize| match lines.get(*at) {
            Some(&line @ "```text") => {
                *at += 1;
                self::block(&lines, at, line).map(|it| it.text)
            }
            _ => None,
        };
        match (file.take(), block.language.as_str()) {
            (Some(path), _) => parts.push(Part::File { path, text: block.text }),
            (None, "console") => parts.extend(steps(&block).into_iter().map(Part::Step)),
            (None, "sh") => parts.extend(answer(&mut at).map(|expected| {
                Part::Step(Step { line: block.line, command: block.text, expected })
            })),
            (None, "python") => {
                let expected = answer(&mut at).unwrap_or_default();
                let place = *python.get_or_insert(parts.len());
                if place == parts.len() {
                    let script = "import io, contextlib\nroom = {'__name__': 'guide'}\n".to_owned();
                    parts.push(Part::Python { line: block.line, script });
                }
                let Some(Part::Python { script, .. }) = parts.get_mut(place) else { continue };
                *script += &python_step(&block.text, &expected);
            }
            _ => {}
        }
    }
    parts
}

/// Reads the block that `line` opens, if it opens one, and moves behind it.
fn block(lines: &[&str], at: &mut usize, line: &str) -> Option<Block> {
    let language = line.strip_prefix("```")?.to_owned();
    let begin = *at;
    let mut text = String::new();
    for line in lines.iter().skip(begin).take_while(|it| **it != "```") {
        text += line;
        text.push('\n');
        *at += 1;
    }
    *at += 1;
    Some(Block { line: begin, language, text })
}

/// Runs one block of Python and compares what it prints.
fn python_step(text: &str, expected: &str) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    format!(
        "said = io.StringIO()\nwith contextlib.redirect_stdout(said):\n    exec({}, room)\n\
         assert said.getvalue() == {expected}, said.getvalue()\n",
        quoted(text),
        expected = quoted(expected),
    )
}

/// Takes a `console` block apart.
fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_open = false;
    for (index, line) in block.text.lines().enumerate() {
        match (steps.last_mut(), line.strip_prefix("$ ")) {
            (Some(step), None) if is_open => {
                step.command.push('\n');
                step.command.push_str(line.strip_prefix("> ").unwrap_or(line));
            }
            (Some(step), None) => {
                step.expected.push_str(line);
                step.expected.push('\n');
            }
            (_, command) => {
                let command = command.unwrap_or(line).to_owned();
                let line = block.line + index + 1;
                steps.push(Step { line, command, expected: String::new() });
            }
        }
        is_open =
            steps.last().is_some_and(|it| it.expected.is_empty() && is_unfinished(&it.command));
    }
    steps
}

/// Whether the shell would wait for more lines: a here-document, a quote or a backslash is open.
fn is_unfinished(command: &str) -> bool {
    if let Some((_, after)) = command.split_once("<<") {
        let word = after.trim_start_matches('-').split_whitespace().next().unwrap_or_default();
        let word = word.trim_matches(['\'', '"']);
        return !command.lines().skip(1).any(|it| it == word);
    }
    command.ends_with(['\\', '|']) || !command.matches('\'').count().is_multiple_of(2)
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

#[test]
fn a_page_is_taken_apart_in_its_order() {
    let page = "<!-- file: p/a.toml -->\n```toml\na = 1\n```\n<!-- run: p -->\n```console\n$ echo 'x\n> y'\nx\ny\n$ cd p\n```\n\
                ```sh\nls\n```\n```text\na.toml\n```\n```sh\nnot run\n```\n<!-- stop -->\n";
    let step = |line, command: &str, expected: &str| {
        Part::Step(Step { line, command: command.to_owned(), expected: expected.to_owned() })
    };
    let expected = [
        Part::File { path: "p/a.toml".to_owned(), text: "a = 1\n".to_owned() },
        Part::Run("p".to_owned()),
        step(7, "echo 'x\ny'", "x\ny\n"),
        step(11, "cd p", ""),
        step(13, "ls\n", "a.toml\n"),
        Part::Stop,
    ];
    assert_eq!(parts(page), expected);
}
