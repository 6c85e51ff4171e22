//! Mail servers and mailboxes, right and wrong.

use expect_test::expect;

use super::*;
use crate::load::tests::{check, load};
use crate::load_texts;

fn server(text: &str) -> String {
    match MailServer::parse(text) {
        Ok(MailServer { host, port, safety, login }) => {
            let login = login.map(|(user, password)| format!(" {user}|{}", password.reveal()));
            format!("{host} {port} {safety:?}{}", login.unwrap_or_default())
        }
        Err(wrong) => wrong.to_owned(),
    }
}

#[test]
fn a_server_is_written_as_its_address() {
    assert_eq!(server("smtps://a:b@mail.example.com"), "mail.example.com 465 Tls a|b");
    assert_eq!(server("smtp://mail.example.com:25"), "mail.example.com 25 StartTls");
    assert_eq!(server("smtp://mail.example.com/"), "mail.example.com 587 StartTls");
    assert_eq!(server("smtp://localhost"), "localhost 25 Plain");
    assert_eq!(server("smtp://127.0.0.1:1025"), "127.0.0.1 1025 Plain");
    assert_eq!(server("smtp://[::1]:1025"), "::1 1025 Plain");
    // A password may hold what an address could not.
    assert_eq!(server("smtps://me@example.com:p@ss:/%41@h"), "h 465 Tls me@example.com|p@ss:/%41");
    for (text, wrong) in [
        ("mail.example.com", "it must begin with `smtps://`"),
        ("https://h", "it must begin with `smtps://` or `smtp://`"),
        ("smtps://user@h", "what stands before the `@` must be `USER:PASSWORD`"),
        ("smtps://", "it names no host"),
        ("smtps://h:port", "its port is no number"),
        ("smtps://h:0", "its port is no number"),
        ("smtps://[::1", "`[` without `]`"),
    ] {
        assert_eq!(server(text), wrong);
    }
}

#[test]
fn a_mailbox_may_have_a_name() {
    let read = |text: &str| match Mailbox::parse(text) {
        Ok(it) => format!("{}|{}", it.name.unwrap_or_default(), it.address),
        Err(wrong) => wrong.to_owned(),
    };
    assert_eq!(read("a.b+c@example.com"), "|a.b+c@example.com");
    assert_eq!(read(" Shop alerts <a@b.c> "), "Shop alerts|a@b.c");
    assert_eq!(read("\"Shop, Paris\" <a@localhost>"), "Shop, Paris|a@localhost");
    for text in ["a", "@b", "a@", "a@b..c", "a b@c", "a@b c", "a,b@c", "x <a@b", "a\r\n@b", "a@b@c"]
    {
        assert!(Mailbox::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn what_is_wrong_with_mail_is_told() {
    check(
        r#"
[project.mail]
smtp = "https://h"
from = "alerts"
link = "stream.example.com"
[notify.a]
email = ["a@b.c", "a@b.c"]
[notify.b]
email = "b"
[notify.c]
email = []
"#,
        &expect![[r#"
            mainstem.toml:3:8: this is no address of a mail server: it must begin with `smtps://` or `smtp://`; write `"smtps://USER:${PASSWORD}@HOST:465"`
            mainstem.toml:4:8: `alerts` is no address of mail: it has no `@`; write it as `name@example.com`
            mainstem.toml:5:8: `link` is no web address; it must begin with `https://` or `http://`
            mainstem.toml:7:19: `a@b.c` is named twice; keep one
            mainstem.toml:9:9: `b` is no address of mail: it has no `@`; write it as `name@example.com`
            mainstem.toml:10:9: `c` tells nobody; add `webhook = "${NAME}"`, `email = "name@example.com"` or `log = true`
        "#]],
    );
    let told = |toml: &str| match load(&[("a.toml", toml)], None) {
        Ok(_) => String::new(),
        Err(faults) => faults.to_string(),
    };
    let only_from = told("[project.mail]\nfrom = 'a@b.c'\n");
    assert!(only_from.contains("a.toml:2:8: `project.mail` has no `smtp`"), "{only_from}");
    let nothing = told("[project.mail]\n");
    assert!(nothing.contains("no `smtp`") && nothing.contains("no `from`"), "{nothing}");
    let no_server = told("[notify.a]\nemail = 'a@b.c'\n");
    let wanted = "`a` has addresses of mail, and there is no mail server";
    assert!(no_server.contains(wanted), "{no_server}");
    let not_set = told("[project.mail]\nsmtp = 'smtp://me:${PASSWORD}@h'\nfrom = 'a@b.c'\n");
    assert!(not_set.contains("the secret `PASSWORD` is not set"), "{not_set}");
}

#[test]
fn a_project_says_once_how_mail_is_sent() {
    let toml = r#"
[project.mail]
smtp = "smtps://me:${PASSWORD}@mail.example.com"
from = "Shop <alerts@example.com>"
link = "https://stream.example.com/"
[notify.team]
email = ["one@example.com", "Two <two@example.com>"]
"#;
    let secrets = |name: &str| (name == "PASSWORD").then(|| "p@ss".to_owned());
    let project = load_texts(&[("a.toml", toml)], None, &secrets);
    let project = project.unwrap_or_else(|it| panic!("{it}"));
    let mail = project.mail.expect("it is declared");
    assert_eq!(server(mail.smtp.reveal()), "mail.example.com 465 Tls me|p@ss");
    assert_eq!(mail.link.as_deref(), Some("https://stream.example.com"));
    let email: Vec<_> =
        project.notifies["team"].email.iter().map(|it| it.address.as_str()).collect();
    assert_eq!(email, ["one@example.com", "two@example.com"]);
    // Where no secret is needed, none is asked for.
    let toml = "[project.mail]\nsmtp = '${SMTP}'\nfrom = 'a@b.c'\n";
    let project = load_texts(&[("a.toml", toml)], None, &crate::placeholder);
    assert!(project.is_ok_and(|it| it.mail.is_some()));
}
