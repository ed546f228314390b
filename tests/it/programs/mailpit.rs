//! Clients of Mailpit and MailHog from the registries, unchanged, as far as they are installed.

use std::path::Path;
use std::process::Command;

use smtpmock::Config;

use super::clients::{note_skipped, run_or_skip};
use crate::support::client::Client;
use crate::support::http::{Plane, plane};

const MAIL: &str = "From: Ann <ann@example.com>\r\nTo: Bob <bob@example.com>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\
    Delivered-To: bob@example.com\r\nDate: Fri, 27 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nHall=C3=B6chen\r\n\
    --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<b>Hello</b>\r\n\
    --b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=\"a.csv\"\r\n\r\n1,2\r\n--b--\r\n";

fn with_mail() -> Plane {
    let plane = plane(Config::default());
    let mut client = Client::greeted(plane.smtp());
    client.ehlo();
    client.transaction("ann@example.com", "bob@example.com", MAIL);
    plane
}

fn has_package(name: &str) -> bool {
    let output = Command::new("node").args(["-e", &format!("require.resolve('{name}')")]).output();
    let has_it = output.is_ok_and(|output| output.status.success());
    if !has_it {
        note_skipped(name, &format!("npm install {name}, and NODE_PATH to find it"));
    }
    has_it
}

/// Runs a script of Node.js with the URL of the control plane.
fn run_script(package: &str, script: &str, plane: &Plane) -> Option<String> {
    let url = format!("http://{}", plane.http);
    let output = has_package(package)
        .then(|| run_or_skip("node", &["-e", script, &url], "").expect("it ran before"))?;
    Some(String::from_utf8(output.stdout).expect("text").trim().to_owned())
}

#[test]
fn mailpit_api_lists_waits_reads_marks_and_deletes() {
    const SCRIPT: &str = r#"
const { MailpitClient } = require("mailpit-api");
const assert = require("node:assert");
(async () => {
    const mailpit = new MailpitClient(process.argv.at(-1));
    const [first] = (await mailpit.listMessages()).messages;
    assert.equal(first.Subject, "Grüße");
    assert.equal((await mailpit.waitForMessage({ query: "subject:grüße" })).ID, first.ID);
    const summary = await mailpit.getMessageSummary();
    assert.equal(summary.Text.trim(), "Hallöchen");
    assert.equal((await mailpit.getMessageHeaders(first.ID))["Message-Id"][0], "<1@example.com>");
    assert.match(await mailpit.getMessageSource(first.ID), /Return-Path: <ann@example.com>/);
    assert.equal((await mailpit.renderMessageHTML(first.ID)).trim(), "<b>Hello</b>");
    assert.equal((await mailpit.renderMessageText()).trim(), "Hallöchen");
    const attachment = await mailpit.getMessageAttachment(first.ID, summary.Attachments[0].PartID);
    assert.equal((await attachment.text()).trim(), "1,2");
    await mailpit.setReadStatus({ IDs: [first.ID], Read: false });
    assert.equal((await mailpit.searchMessages({ query: "is:unread" })).messages_count, 1);
    await mailpit.setTags({ IDs: [first.ID], Tags: ["one"] });
    await mailpit.renameTag("one", "two");
    assert.deepEqual(await mailpit.getTags(), ["two"]);
    await mailpit.deleteTag("two");
    const sent = await mailpit.sendMessage({ From: { Email: "a@example.com" }, To: [{ Email: "b@example.com" }], Subject: "sent" });
    assert.equal((await mailpit.getMessageSummary(sent.ID)).Subject, "sent");
    assert.equal((await mailpit.setChaosTriggers({ Sender: { ErrorCode: 451, Probability: 5 } })).Sender.Probability, 5);
    assert.equal((await mailpit.setChaosTriggers({})).Sender.Probability, 0);
    assert.equal((await mailpit.getInfo()).Messages, 2);
    assert.equal((await mailpit.getConfiguration()).MessageRelay.Enabled, false);
    await mailpit.deleteMessagesBySearch({ query: "subject:sent" });
    assert.equal((await mailpit.listMessages()).total, 1);
    await mailpit.deleteMessages({ IDs: [first.ID] });
    assert.equal((await mailpit.listMessages()).total, 0);
    await mailpit.deleteMessages();
    console.log("done");
})().catch((error) => { console.error(error); process.exit(1); });
"#;
    let plane = with_mail();
    if let Some(printed) = run_script("mailpit-api", SCRIPT, &plane) {
        assert_eq!(printed, "done");
    }
}

#[test]
fn mailhog_for_node_lists_searches_decodes_and_deletes() {
    const SCRIPT: &str = r#"
const assert = require("node:assert");
const { hostname: host, port } = new URL(process.argv.at(-1));
const mailhog = require("mailhog")({ host, port });
(async () => {
    const all = await mailhog.messages();
    assert.equal(all.total, 1);
    const [mail] = all.items;
    assert.equal(mail.subject, "Grüße");
    assert.equal(mail.text.trim(), "Hallöchen");
    assert.equal(mail.html.trim(), "<b>Hello</b>");
    assert.equal(mail.attachments[0].name, "a.csv");
    assert.ok(Date.now() - mail.deliveryDate < 60_000);
    assert.equal((await mailhog.latestTo("bob@example.com")).ID, mail.ID);
    assert.equal((await mailhog.latestContaining("a.csv")).ID, mail.ID);
    assert.equal((await mailhog.search("nobody", "from")).total, 0);
    assert.equal((await mailhog.deleteMessage(mail.ID)).statusCode, 200);
    assert.equal((await mailhog.messages()).total, 0);
    assert.equal((await mailhog.deleteAll()).statusCode, 200);
    console.log("done");
})().catch((error) => { console.error(error); process.exit(1); });
"#;
    let plane = with_mail();
    if let Some(printed) = run_script("mailhog", SCRIPT, &plane) {
        assert_eq!(printed, "done");
    }
}

/// What the commands of cypress-mailhog and cypress-mailpit, which need a browser, request.
#[test]
fn the_requests_of_cypress_are_answered() {
    const SCRIPT: &str = r#"
const assert = require("node:assert");
const url = process.argv.at(-1);
const ask = async (method, path, body) => {
    const headers = body ? { "content-type": "application/json" } : {};
    const reply = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
    return { status: reply.status, text: await reply.text() };
};
const json = async (path) => JSON.parse((await ask("GET", path)).text);
(async () => {
    const [hog] = (await json("/api/v2/messages?limit=50")).items;
    assert.equal(hog.Content.Headers.Subject[0], "=?utf-8?Q?Gr=C3=BC=C3=9Fe?=");
    assert.deepEqual(hog.To.map((to) => `${to.Mailbox}@${to.Domain}`), ["bob@example.com"]);
    assert.equal(hog.Raw.From, "ann@example.com");
    assert.equal((await json("/api/v2/search?kind=to&query=bob&limit=50")).items.length, 1);
    const jim = async (method) => (await ask(method, "/api/v2/jim")).status;
    assert.deepEqual([await jim("GET"), await jim("POST"), await jim("GET"), await jim("DELETE")], [404, 201, 200, 200]);

    const list = await json("/api/v1/messages?start=0&limit=50");
    assert.deepEqual([list.count, list.messages_count], [1, 1]);
    const id = list.messages[0].ID;
    assert.equal((await json("/api/v1/message/latest")).ID, id);
    assert.equal((await json(`/api/v1/message/${id}`)).Attachments.length, 1);
    assert.equal((await json("/api/v1/search?query=subject%3Agr&start=0&limit=50")).messages[0].ID, id);
    assert.match((await ask("GET", `/view/${id}.html`)).text, /Hello/);
    assert.match((await ask("GET", `/view/${id}.txt`)).text, /Hallöchen/);
    assert.equal((await ask("PUT", "/api/v1/messages", { IDs: [id], Read: true })).text, "ok");
    const draft = { From: { Email: "a@example.com", Name: "A" }, To: [{ Email: "b@example.com", Name: "B" }], Subject: "sent", Text: "x", HTML: "<i>x</i>" };
    assert.equal((await ask("POST", "/api/v1/send", draft)).status, 200);
    assert.equal((await ask("DELETE", "/api/v1/search?query=subject%3Asent")).status, 200);
    assert.equal((await ask("DELETE", "/api/v1/messages")).status, 200);
    assert.equal((await json("/api/v1/messages")).messages_count, 0);
    console.log("done");
})().catch((error) => { console.error(error); process.exit(1); });
"#;
    let plane = with_mail();
    let url = format!("http://{}", plane.http);
    if let Some(output) = run_or_skip("node", &["-e", SCRIPT, &url], "") {
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "done");
    }
}

#[test]
fn mailpit_api_client_for_python_reads_and_deletes() {
    const SCRIPT: &str = r#"
import sys
from mailpit.client.api import API
api = API(sys.argv[1])
[mail] = api.get_messages().messages
assert mail.subject == "Grüße", mail
assert api.get_message_attachment(mail.id, "3").strip() == "1,2"
api.get_message_headers(mail.id)
whole = api.get_message(mail.id)
assert (whole.subject, whole.read, len(whole.attachments)) == ("Grüße", True, 1), whole
api.put_messages([mail.id], "Read", False)
api.delete_messages([mail.id + "x"])
assert api.get_messages().total == 1
api.delete_messages([mail.id])
assert api.get_messages().total == 0
api.delete_messages([])
"#;
    let Some(python) = std::env::var_os("MAILPIT_PYTHON").filter(|path| Path::new(path).exists()) else {
        return note_skipped(
            "mailpit-api-client",
            "pip install mailpit-api-client, and MAILPIT_PYTHON names its Python",
        );
    };
    let plane = with_mail();
    let url = format!("http://{}", plane.http);
    run_or_skip(&python.to_string_lossy(), &["-c", SCRIPT, &url], "");
}
