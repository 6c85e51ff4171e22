use super::{Addresses, Home, find};

#[test]
fn a_second_writer_is_refused_with_the_owner_named() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(folder.path()).unwrap();
    let message = Home::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("in use by another mainstem"), "{message}");
    assert!(message.contains(&std::process::id().to_string()), "{message}");
    drop(home);
    Home::open(folder.path()).unwrap();
}

#[test]
fn addresses_are_found_only_while_the_program_runs() {
    let folder = tempfile::tempdir().unwrap();
    assert!(find(folder.path()).is_none());
    let home = Home::open(folder.path()).unwrap();
    let http = "127.0.0.1:1".to_owned();
    home.announce(&Addresses { http: http.clone(), postgres: String::new(), process: 1 }).unwrap();
    assert_eq!(find(folder.path()).unwrap().http, http);
    drop(home);
    assert!(find(folder.path()).is_none());
}
