//! The console in a real Chromium, over the shop under made-up traffic; and the examples' own pages.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::program::{Program, is_required, peers, root};

#[tokio::test(flavor = "multi_thread")]
async fn the_console_works_in_a_real_browser() {
    let has = |path: &str| root().join(path).exists();
    let has_chromium = Command::new("chromium").arg("--version").output().is_ok();
    if !has("web/dist/index.html") || !has("web/node_modules/playwright-core") || !has_chromium {
        assert!(!is_required(), "CI needs the console's bundle, playwright-core and chromium");
        eprintln!(
            "SKIPPED: no bundle, no playwright-core or no chromium (cargo xtask test has them)"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let project = root().join("examples/shop");
    let program = Program::start_with(&project, folder.path(), &["--env", "demo"]);
    // Charts and dead letters need some orders first.
    for _ in 0..240 {
        if 4_000 < program.count("SELECT count(*) FROM orders_clean").await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let url = program.url("");
    let output = tokio::task::block_in_place(|| {
        Command::new("npm")
            .args(["run", "--silent", "browser", "--", &url])
            .current_dir(root().join("web"))
            .output()
            .unwrap()
    });
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("FAILED"), "{said}{errors}");
}

/// Whether there is a browser, and what drives it.
fn has_browser() -> bool {
    let has_chromium = Command::new("chromium").arg("--version").output().is_ok();
    let found = has_chromium && root().join("web/node_modules/playwright-core").exists();
    assert!(found || !is_required(), "CI needs playwright-core and chromium");
    if !found {
        eprintln!("SKIPPED: no playwright-core or no chromium (cargo xtask test has them)");
    }
    found
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server of pages beside the program; it ends with this.
struct Pages(Child);

impl Pages {
    fn serve(folder: &Path, arguments: &[&str], port: u16) -> Pages {
        let mut command = Command::new("python3");
        command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        let pages = Pages(command.spawn().unwrap());
        for _ in 0..300 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return pages;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the pages are not served");
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn visit(scenario: &str, program: &Program, page: &str) {
    let output = Command::new("node")
        .args(["tests/pages.mjs", scenario, &program.url(""), page])
        .current_dir(root().join("web"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_on_the_shops_page_arrive_also_when_it_is_closed() {
    if !has_browser() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(root().join("examples/shop"))
        .arg(folder.path())
        .status()
        .unwrap();
    assert!(copied.success());
    let project = folder.path().join("shop");
    let edit = |file: &str, from: &str, to: &str| {
        let path = project.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    };
    let port = free_port();
    edit("clicks.toml", "127.0.0.1:8000", &format!("127.0.0.1:{port}"));
    let program = Program::start(&project, &folder.path().join("data"));
    edit("page.html", "127.0.0.1:7070", &program.http);
    tokio::task::block_in_place(|| {
        let address = port.to_string();
        let _pages =
            Pages::serve(&project, &["-m", "http.server", &address, "--bind", "127.0.0.1"], port);
        visit("shop", &program, &format!("http://127.0.0.1:{port}/page.html"));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customers_orders_are_looked_up_on_a_phone() {
    if !has_browser() {
        return;
    }
    let Some(python) = peers("boto3") else { return };
    let folder = tempfile::tempdir().unwrap();
    let project = root().join("examples/order-history");
    let program = Program::start(&project, folder.path());
    tokio::task::block_in_place(|| {
        let written = Command::new(python)
            .arg(project.join("history.py"))
            .arg(program.url(""))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .unwrap();
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
        let port = free_port();
        let address = port.to_string();
        let _pages = Pages::serve(&project, &["lookup.py", &address, &program.url("")], port);
        visit("lookup", &program, &format!("http://127.0.0.1:{port}/lookup.html"));
    });
}
