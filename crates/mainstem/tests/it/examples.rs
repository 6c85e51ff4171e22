//! Every example is whole: it checks without a word, and its own tests pass.

use crate::program::{printed, root};

#[test]
fn every_example_checks_and_passes_its_own_tests() {
    let mut examples = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        let folder = folder.to_str().unwrap();
        assert!(printed(&["check", folder]).contains("all well"), "{folder}");
        let said = printed(&["test", folder]);
        assert!(said.contains(" 0 failed") && !said.contains("0 passed"), "{folder}\n{said}");
        examples += 1;
    }
    assert!(3 <= examples);
}
