//! The manual page and the completions, by the programs that read them.

use std::fs;

use crate::programs::clients::run_or_skip;
use crate::support::program::run;

fn printed(arguments: &[&str]) -> String {
    let ended = run(arguments);
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    ended.stdout
}

#[test]
fn man_reads_the_page_without_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("smtpmock.1");
    fs::write(&path, printed(&["man"])).expect("a file");
    let path = path.to_str().expect("UTF-8");
    let groff = ["-man", "-ww", "-Tutf8", path];
    let Some(output) = run_or_skip("groff", &groff, "") else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(text.contains("A mock SMTP server"), "{text}");
    assert!(text.contains("smtpmock --port 2525 --log"), "the examples");
}

#[test]
fn mandoc_finds_nothing_to_warn_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("smtpmock.1");
    // The day is that of the build, which only those of releases have.
    let page = printed(&["man"]).replacen(".TH smtpmock 1 \"\"", ".TH smtpmock 1 2026-11-27", 1);
    fs::write(&path, page).expect("a file");
    let lint = ["-T", "lint", "-W", "warning", path.to_str().expect("UTF-8")];
    let Some(output) = run_or_skip("mandoc", &lint, "") else { return };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

/// What bash offers behind these words; the last is what is typed so far.
fn offered(words: &[&str]) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("completions");
    fs::write(&script, printed(&["completions", "bash"])).expect("a file");
    let quoted = words.join(" ");
    let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
    let ask = format!(
        "source {}; COMP_WORDS=({quoted}{}); COMP_CWORD={}; _smtpmock smtpmock '{last}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        if last.is_empty() { " ''" } else { "" },
        words.len() - 1,
    );
    let output = run_or_skip("bash", &["--noprofile", "--norc", "-c", &ask], "")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().map(str::to_owned).collect())
}

#[test]
fn bash_completes_flags_commands_and_words() {
    for (words, expected) in [
        (&["smtpmock", "--response-delay-h"][..], &["--response-delay-helo"][..]),
        (&["smtpmock", "--auth-clear", ""], &["allow", "refuse"]),
        (&["smtpmock", "--tls-min", ""], &["1.2", "1.3"]),
        (&["smtpmock", "comp"], &["completions"]),
        (&["smtpmock", "completions", "f"], &["fish"]),
    ] {
        let Some(offered) = offered(words) else { return };
        assert_eq!(offered, expected, "{words:?}");
    }
}

#[test]
fn fish_completes_flags_commands_and_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("smtpmock.fish");
    fs::write(&script, printed(&["completions", "fish"])).expect("a file");
    for (typed, expected) in [
        ("smtpmock --response-delay-h", "--response-delay-helo"),
        ("smtpmock --tls-min ", "1.3"),
        ("smtpmock comp", "completions"),
        ("smtpmock completions f", "fish"),
    ] {
        let ask = format!("source {}; complete --do-complete '{typed}'", script.display());
        let Some(output) = run_or_skip("fish", &["--no-config", "--command", &ask], "") else { return };
        let offered = String::from_utf8_lossy(&output.stdout);
        let words: Vec<_> = offered.lines().filter_map(|line| line.split('\t').next()).collect();
        assert!(words.contains(&expected), "{typed}: {words:?}");
    }
}

#[test]
fn shells_accept_their_completions() {
    for (shell, checks) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("completions");
        fs::write(&script, printed(&["completions", shell])).expect("a file");
        let path = script.to_str().expect("UTF-8");
        if let Some(output) = run_or_skip(shell, &[checks, path], "") {
            assert!(output.stderr.is_empty(), "{shell}");
        }
    }
}
