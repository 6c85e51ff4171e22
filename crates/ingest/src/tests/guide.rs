//! Turns the guide's pages into something that can be run, so that they work as printed.

use std::path::Path;

/// A fenced block of a page: its language and its text.
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
}

/// Returns the fenced blocks of a page in `docs/guide`.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(language) if !is_inside => {
                blocks.push(Block { language: language.to_owned(), text: String::new() });
                is_inside = true;
            }
            Some(_) => is_inside = false,
            None if is_inside => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

/// Returns one script of all Python blocks of a page; it fails where a block prints something else
/// than the `text` block behind it.
pub(crate) fn python(page: &str) -> String {
    let mut script = "import io, contextlib\n__room = {'__name__': 'guide'}\n".to_owned();
    let mut blocks = blocks(page).into_iter().peekable();
    while let Some(block) = blocks.next() {
        if block.language != "python" {
            continue;
        }
        let expected =
            blocks.next_if(|it| it.language == "text").map_or(String::new(), |it| it.text);
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        script += &format!(
            "__said = io.StringIO()\nwith contextlib.redirect_stdout(__said):\n    exec({}, __room)\n\
             assert __said.getvalue() == {expected}, __said.getvalue()\n",
            quoted(&block.text),
            expected = quoted(&expected),
        );
    }
    script
}
