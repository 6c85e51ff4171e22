//! Files that somebody still writes, as their names say it.

/// How programs end the names of files that they have not finished, whatever the case; what ends in
/// `~` is the copy that an editor keeps.
const ENDINGS: &[&str] = &[
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".crdownload",
    ".download",
    ".filepart",
    ".upload",
    ".uploading",
    "._copying_",
    ".swp",
    "~",
];

/// How office programs begin the name of a file beside one that is open.
const BEGINNING: &str = "~$";

/// Returns why a file of this name counts as unfinished; nothing if it does not.
///
/// `name` is the last part of a path.
pub fn unfinished(name: &str) -> Option<String> {
    if name.starts_with(BEGINNING) {
        return Some(format!("its name begins with `{BEGINNING}`"));
    }
    let ending = ENDINGS.iter().find(|it| ends_with(name, it))?;
    Some(format!("its name ends in `{ending}`"))
}

fn ends_with(name: &str, ending: &str) -> bool {
    let end = name.len().checked_sub(ending.len()).and_then(|it| name.get(it..));
    end.is_some_and(|it| it.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::unfinished;

    #[test]
    fn names_of_files_that_are_still_written_are_known() {
        for name in
            ["a.csv.part", "A.CSV.PART", "x._COPYING_", "notes.txt~", "~$plan.xlsx", "é.tmp"]
        {
            assert!(unfinished(name).is_some(), "{name}");
        }
        for name in ["a.csv", "part", "tmp", "é", "", "temperature", "a.party", "$~x"] {
            assert_eq!(unfinished(name), None, "{name}");
        }
        assert_eq!(unfinished("a.Part").as_deref(), Some("its name ends in `.part`"));
    }
}
