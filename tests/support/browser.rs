//! Checks in a browser, if one is installed, that a page is readable.

use std::process::{Command, Stdio};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Inspects the page: nothing exceeds its container, lines have colours, nothing was fetched. The result replaces the
/// page.
const INSPECTION: &str = r#"<script>
addEventListener("load", () => {
  const found = [];
  const check = (holds, problem) => { if (!holds) found.push(problem); };
  check(document.documentElement.scrollWidth <= innerWidth, "the page is wider than its window");
  check(performance.getEntriesByType("resource").length === 0, "something was fetched");
  for (const name of document.querySelectorAll(".tile span")) check(name.getClientRects().length === 1, `${name.textContent} wraps`);
  const card = getComputedStyle(document.querySelector("figure")).backgroundColor;
  for (const svg of document.querySelectorAll(".plot > svg")) {
    const box = svg.getBoundingClientRect();
    const scale = box.width / 960;
    check(box.width > 300 && box.height > 100, "a plot is too small to be read");
    for (const part of svg.querySelectorAll("text, polyline, circle")) {
      if (getComputedStyle(part).display === "none") continue;
      const own = part.getBoundingClientRect();
      const inside = own.left >= box.left && own.right <= box.right && own.top >= box.top && own.bottom <= box.bottom;
      check(inside, part.outerHTML.slice(0, 90) + " sticks out of its plot");
      const style = getComputedStyle(part);
      check(part.tagName !== "text" || parseFloat(style.fontSize) * scale >= 10, part.outerHTML.slice(0, 90) + " is too small");
      const ink = part.tagName === "polyline" ? style.stroke : style.fill;
      check(ink !== "none" && ink !== card, part.outerHTML.slice(0, 90) + " can't be seen");
    }
  }
  const seen = [document.querySelectorAll("svg polyline").length, document.querySelectorAll("tbody tr").length];
  const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  document.body.innerText = ["INSPECTED", theme, ...seen, ...found].join("|") + "|";
});
</script></body>"#;

/// The result of the inspection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) is_dark: bool,
    pub(crate) lines: usize,
    pub(crate) rows: usize,
    pub(crate) problems: Vec<String>,
}

/// The first browser found on the `PATH`.
pub(crate) fn installed() -> Option<&'static str> {
    let runs = |name: &&str| {
        let status = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    NAMES.into_iter().find(runs)
}

/// Opens the page in a window of this width in pixels.
pub(crate) fn look(browser: &str, page: &str, width: u32, is_dark: bool) -> Seen {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("page.html");
    std::fs::write(&path, page.replace("</body>", INSPECTION)).expect("a writable folder");
    // If only the browser is killed its children continue; `timeout` ends all of them.
    let output = Command::new("timeout")
        .args(["--kill-after=5", "100", browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("--window-size={width},2000"))
        .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!is_dark)))
        .arg(format!("file://{}", path.display()))
        .output()
        .expect("a browser that was there before");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    seen(&dom).unwrap_or_else(|| panic!("{browser} did not inspect the page: {output:?}"))
}

fn seen(dom: &str) -> Option<Seen> {
    let (_, found) = dom.split_once("INSPECTED|")?;
    let mut parts = found.split('|');
    let is_dark = parts.next()? == "dark";
    let (lines, rows) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let mut problems: Vec<String> = parts.map(str::to_owned).collect();
    // After the last bar follows the end of the document.
    problems.pop();
    Some(Seen { is_dark, lines, rows, problems })
}
