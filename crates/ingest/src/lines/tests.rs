use super::*;

async fn said(path: &Path) -> Vec<String> {
    Lines::open(path.to_owned()).await.unwrap().1
}

#[tokio::test]
async fn what_was_added_is_there_after_any_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below").join("book");
    let (mut lines, before) = Lines::open::<String>(path.clone()).await.unwrap();
    assert!(before.is_empty());
    lines.add(vec!["one".to_owned()]).await.unwrap();
    lines.add(vec!["two".to_owned(), "thrée\n".to_owned()]).await.unwrap();
    drop(lines);
    let whole = std::fs::read(&path).unwrap();
    let all = ["one", "two", "thrée\n"];
    assert_eq!(said(&path).await, all);
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let kept = whole[..cut].iter().filter(|it| **it == b'\n').count();
        assert_eq!(said(&path).await, all[..kept], "cut at {cut}");
        // What is added stands behind whole lines.
        let (mut lines, _) = Lines::open::<String>(path.clone()).await.unwrap();
        lines.add(vec!["more".to_owned()]).await.unwrap();
        let found = said(&path).await;
        assert_eq!(found.len(), kept + 1, "cut at {cut}");
        assert_eq!(found[kept], "more");
    }
}

#[tokio::test]
async fn lines_can_be_replaced_and_damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    let (mut lines, _) = Lines::open::<String>(path.clone()).await.unwrap();
    lines.add((0..100).map(|it| it.to_string()).collect()).await.unwrap();
    lines.replace(vec!["all".to_owned()]).await.unwrap();
    lines.add(vec!["more".to_owned()]).await.unwrap();
    assert_eq!(said(&path).await, ["all", "more"]);
    std::fs::write(&path, "\"all\"\n{broken\n\"more\"\n").unwrap();
    let error = Lines::open::<String>(path).await.unwrap_err().to_string();
    assert!(error.contains("book:2:"), "{error}");
}

#[tokio::test]
async fn what_a_failed_write_left_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    let (mut lines, _) = Lines::open::<String>(path.clone()).await.unwrap();
    lines.add(vec!["one".to_owned()]).await.unwrap();
    // As after a write of several lines that failed at its sync.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"\"a line that was not added\"\n\"and half of ano");
    std::fs::write(&path, bytes).unwrap();
    lines.is_torn = true;
    lines.add(vec!["two".to_owned()]).await.unwrap();
    assert_eq!(said(&path).await, ["one", "two"]);
}
