use super::{Bind, Frames, Greeting, Message};

const BYTES_MAX: usize = 1 << 16;

async fn read(bytes: &[u8]) -> Result<Vec<Message>, String> {
    let mut frames = Frames::new(bytes);
    let mut messages = Vec::new();
    loop {
        match frames.message(BYTES_MAX).await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return Ok(messages),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], length.as_slice(), body].concat()
}

#[tokio::test]
async fn messages_are_read() {
    let parse = [b"s\0SELECT $1\0".as_slice(), &[0, 1], &[0, 0, 0, 23]].concat();
    let bind = [
        b"p\0s\0".as_slice(),
        &[0, 1, 0, 1],
        &[0, 2, 0, 0, 0, 2, 7, 8, 255, 255, 255, 255],
        &[0, 0],
    ]
    .concat();
    let bytes = [
        framed(b'P', &parse),
        framed(b'B', &bind),
        framed(b'E', b"p\0\0\0\0\x05"),
        framed(b'E', b"p\0\xff\xff\xff\xff"),
        framed(b'S', b""),
        framed(b'Q', b"SELECT 1\0"),
        framed(b'X', b""),
    ]
    .concat();
    let bind = Bind {
        portal: "p".to_owned(),
        statement: "s".to_owned(),
        formats: vec![1],
        values: vec![Some(bytes::Bytes::from_static(&[7, 8])), None],
        results: Vec::new(),
    };
    let expected = vec![
        Message::Parse { name: "s".to_owned(), sql: "SELECT $1".to_owned(), types: vec![23] },
        Message::Bind(bind),
        Message::Execute { name: "p".to_owned(), rows_max: 5 },
        Message::Execute { name: "p".to_owned(), rows_max: 0 },
        Message::Sync,
        Message::Query("SELECT 1".to_owned()),
        Message::Terminate,
    ];
    assert_eq!(read(&bytes).await.unwrap(), expected);
}

#[tokio::test]
async fn what_is_too_long_is_refused_before_it_is_read() {
    for bytes in [[b'Q', 0, 2, 0, 0], [b'Q', 255, 255, 255, 255], [b'Q', 0, 0, 0, 3]] {
        assert!(read(&bytes).await.is_err(), "{bytes:?} was read");
    }
    let mut frames = Frames::new([0, 1, 0, 0].as_slice());
    assert!(frames.greeting().await.is_err());
}

#[tokio::test]
async fn greetings_are_read() {
    let start = b"\0\0\0\x15\0\x03\0\0user\0mainstem\0\0\0";
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 1].to_vec();
    let mut start = start.to_vec();
    let length = u8::try_from(start.len()).unwrap() - 1;
    start[3] = length;
    let start = cut(&start);
    let settings = vec![("user".to_owned(), "mainstem".to_owned())];
    let mut frames = Frames::new(start.as_slice());
    let greeting = frames.greeting().await.unwrap();
    assert_eq!(greeting, Some(Greeting::Start { minor: 0, settings }));
    let cancel = [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2];
    let mut frames = Frames::new(cancel.as_slice());
    let greeting = frames.greeting().await.unwrap();
    assert_eq!(greeting, Some(Greeting::Cancel { process: 1, secret: 2 }));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0_u8.., 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            drop(read(&bytes).await);
            drop(Frames::new(bytes.as_slice()).greeting().await);
            for kind in *b"pQPBDCEHSXdcf" {
                drop(read(&framed(kind, &bytes)).await);
            }
        });
    }
}
