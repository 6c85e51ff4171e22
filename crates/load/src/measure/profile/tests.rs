use expect_test::expect;

use super::*;

#[test]
fn samples_are_counted_to_the_part_they_hit() {
    let report = "# Overhead;Command;Symbol\n#\n\
        20.50%;tokio-rt-worker;[.] serde_json::read::SliceRead::parse_str\n\
        10.00%;tokio-rt-worker;[.] base64::engine::general_purpose::decode::decode_helper\n\
        30.00%;journal-commit;[k] copy_user_generic\n\
        15.00%;tokio-rt-worker;[k] copy_user_generic\n\
        5.00%;tokio-rt-worker;[.] md5::compress::compress\n\
        3.00%;tokio-rt-worker;[.] something::else\n\n";
    expect!["journal 30 %, JSON 20 %, system calls, most of them HTTP's 15 %, base64 10 %, MD5 5 %, the rest 3 %, sealing the journal 0 %, memory 0 %, HTTP 0 %"]
        .assert_eq(&shares_of(report));
}
