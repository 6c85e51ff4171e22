//! Answers in XML, as SNS writes them.

use crate::aws::fault::Fault;

const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// Returns an element with a text in it.
pub(super) fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escaped(text))
}

/// Returns a list, each of whose members holds XML.
pub(super) fn list(name: &str, members: &[String]) -> String {
    let members: String = members.iter().map(|it| format!("<member>{it}</member>")).collect();
    format!("<{name}>{members}</{name}>")
}

pub(super) fn answer(operation: &str, result: &str, id: &str) -> String {
    // Only operations that exist come here.
    let result = if result.is_empty() && ["DeleteTopic", "Unsubscribe"].contains(&operation) {
        String::new()
    } else {
        format!("<{operation}Result>{result}</{operation}Result>")
    };
    format!(
        "<{operation}Response xmlns=\"{NAMESPACE}\">{result}<ResponseMetadata>{}</ResponseMetadata></{operation}Response>",
        element("RequestId", id)
    )
}

pub(super) fn fault(fault: &Fault, id: &str) -> String {
    let kind = if fault.status < 500 { "Sender" } else { "Receiver" };
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error>{}{}{}</Error>{}</ErrorResponse>",
        element("Type", kind),
        element("Code", fault.name),
        element("Message", &fault.message),
        element("RequestId", id)
    )
}

/// Characters that XML 1.0 does not know at all become the sign for those.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => {
                out.push(it);
            }
            _ => out.push('\u{fffd}'),
        }
    }
    out
}
