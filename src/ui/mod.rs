//! The page: plain HTML, CSS and JavaScript modules, in the binary. Served by `api::assets`.
//!
//! Its invariants: no build step, nothing inline, nothing from another host; what came from outside reaches the document
//! only as text (`dom.js` makes every element). Deliberately absent: a framework, and any knowledge that the API does not
//! give to everybody.

#[derive(Clone, Copy)]
pub struct File {
    pub path: &'static str,
    pub bytes: &'static [u8],
}

impl File {
    pub fn content_type(&self) -> &'static str {
        match self.path.rsplit_once('.') {
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }
}

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(file!($path)),*]
    };
}

macro_rules! file {
    ($path:literal) => {
        File {
            path: $path,
            bytes: include_bytes!($path),
        }
    };
}

pub const INDEX: File = file!("index.html");
pub const ICON: File = file!("icon.svg");

/// All that `/ui/` serves.
pub const FILES: &[File] = files![
    "icon.svg",
    "css/base.css",
    "css/parts.css",
    "css/views.css",
    "early.js",
    "app.js",
    "router.js",
    "keys.js",
    "dom.js",
    "api.js",
    "json.js",
    "format.js",
    "live.js",
    "session.js",
    "rights.js",
    "signed-in.html",
    "signed-in.js",
    "chart.js",
    "dialog.js",
    "diff.js",
    "editor.js",
    "payload.js",
    "mend.js",
    "bulk.js",
    "operation.js",
    "missing.js",
    "collections.js",
    "columns.js",
    "versions.js",
    "define.js",
    "plan.js",
    "sheet.js",
    "dress/orders.js",
    "view/find.js",
    "view/document.js",
    "view/stream.js",
    "view/groups.js",
    "view/letters.js",
    "view/letter.js",
    "view/collections.js",
    "view/definition.js",
    "view/sums.js",
    "view/operations.js",
    "view/account.js",
    "view/audit.js",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(dir: &Path, root: &Path, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found(&path, root, into);
            } else if path.extension().is_none_or(|ending| ending != "rs") {
                let path = path.strip_prefix(root).unwrap();
                into.push(path.to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui");
        let mut there = Vec::new();
        found(&root, &root, &mut there);
        there.retain(|path| path != INDEX.path);
        there.sort_unstable();
        let mut served: Vec<&str> = FILES.iter().map(|file| file.path).collect();
        served.sort_unstable();
        assert_eq!(there, served);
    }

    #[test]
    fn nothing_is_inline_and_nothing_from_elsewhere() {
        for file in FILES.iter().chain([&INDEX]) {
            let text = std::str::from_utf8(file.bytes).unwrap();
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                " style=",
                "onclick=",
                "https:",
            ] {
                assert!(!text.contains(forbidden), "{} has {forbidden}", file.path);
            }
            let http = text.replace("http://www.w3.org/", "");
            assert!(!http.contains("http:"), "{} leads elsewhere", file.path);
        }
    }
}
