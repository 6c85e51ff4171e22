//! The console in a real Chromium, over the shop under made-up traffic.

use std::process::Command;

use crate::program::{Program, is_required, root};

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
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
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
