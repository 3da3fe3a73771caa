//! Rules for the guide: its links lead somewhere, and the Rust code that it shows is included from code that is tested.

use std::fs;
use std::path::{Path, PathBuf};

use super::root;

const GUIDE: &str = "docs/guide";
const README_LINES: usize = 150;

#[test]
fn the_readme_takes_five_minutes() {
    let lines = read(Path::new("README.md")).lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines");
}

#[test]
fn links_lead_to_a_page_and_a_heading() {
    let dead = pages().into_iter().chain([PathBuf::from("README.md")]).flat_map(|page| {
        let links = links(&read(&page));
        let dead = links.into_iter().filter(|link| !leads_somewhere(&page, link));
        dead.map(|link| format!("{}: {link}", page.display())).collect::<Vec<_>>()
    });
    assert_none(dead);
}

#[test]
fn each_page_is_in_the_table_of_contents() {
    let contents = links(&read(&Path::new(GUIDE).join("SUMMARY.md")));
    let lost = pages().into_iter().filter(|page| {
        let page = page.strip_prefix(GUIDE).unwrap().to_string_lossy();
        page != "SUMMARY.md" && !contents.iter().any(|link| *link == page)
    });
    assert_none(lost.map(|page| format!("{} is not in SUMMARY.md", page.display())));
}

#[test]
fn rust_code_is_included_from_code_that_is_tested() {
    let bad = pages().into_iter().flat_map(|page| {
        let text = read(&page);
        let blocks = text.split("\n```rust").skip(1).filter_map(|block| block.split("\n```").next());
        let lines = blocks.flat_map(|block| block.lines().skip(1)).filter(|line| !includes_a_part(&page, line));
        lines.map(|line| format!("{}: {line}", page.display())).collect::<Vec<_>>()
    });
    assert_none(bad);
}

#[test]
fn the_tests_that_pages_name_exist() {
    let sources: String = super::sources().iter().map(|path| read(path)).collect();
    let unknown = pages().into_iter().flat_map(|page| {
        let text = read(&page);
        let names = text.split('`').filter(|name| is_a_test(name) && !sources.contains(&format!("fn {name}(")));
        names.map(|name| format!("{}: {name}", page.display())).collect::<Vec<_>>()
    });
    assert_none(unknown);
}

#[test]
fn manifests_can_be_read() {
    let bad = pages().into_iter().flat_map(|page| {
        let text = read(&page);
        let blocks = text.split("\n```toml\n").skip(1).filter_map(|block| block.split("\n```").next());
        // A block that includes a file is that file.
        let blocks = blocks.filter(|block| !block.contains("{{#include"));
        let errors = blocks.filter_map(|block| read_manifest(block).err());
        errors.map(|error| format!("{}: {error:#}", page.display())).collect::<Vec<_>>()
    });
    assert_none(bad);
}

/// Reads a manifest, or a part of one with what else a manifest must have.
fn read_manifest(block: &str) -> anyhow::Result<()> {
    let mut manifest: toml::Table = block.parse()?;
    if manifest.contains_key("package") || manifest.contains_key("dependencies") {
        return Ok(()); // It is cargo's.
    }
    if manifest.contains_key("key_value_store") || manifest.contains_key("variables_provider") {
        return epilogue_manifest::manifest::RuntimeConfig::parse(Path::new("runtime-config.toml"), block).map(drop);
    }
    let mut fill = |key: &str, value: toml::Value| _ = manifest.entry(key).or_insert(value);
    fill("spin_manifest_version", 2.into());
    fill("application", toml::Table::new().into());
    fill("component", toml::Table::new().into());
    let mentioned: Vec<String> =
        block.split("component = \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect();
    let mut table = |key: &str| manifest.get_mut(key).and_then(toml::Value::as_table_mut).unwrap().clone();
    let (mut application, mut components) = (table("application"), table("component"));
    application.entry("name").or_insert("app".into());
    for id in mentioned {
        components.entry(id).or_insert(toml::Table::new().into());
    }
    for (_, component) in components.iter_mut() {
        component.as_table_mut().unwrap().entry("source").or_insert("app.wasm".into());
    }
    manifest.insert("application".to_owned(), application.into());
    manifest.insert("component".to_owned(), components.into());
    epilogue_manifest::Manifest::parse(Path::new("spin.toml"), &toml::to_string(&manifest)?).map(drop)
}

/// Whether a word is the name of a promise's test, such as `s1_tasks_run_in_registration_order`.
fn is_a_test(word: &str) -> bool {
    let number = word.strip_prefix('s').and_then(|rest| rest.split_once('_')).map(|(number, _)| number);
    let is_number =
        number.is_some_and(|number| !number.is_empty() && number.chars().all(|letter| letter.is_ascii_digit()));
    // `s6_composed_…` stands for several.
    is_number && word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') && !word.ends_with('_')
}

/// Whether the line includes a part of a file, and the file has that part.
fn includes_a_part(page: &Path, line: &str) -> bool {
    let Some(name) = line.trim().strip_prefix("{{#include ").and_then(|line| line.strip_suffix("}}")) else {
        return false;
    };
    let (file, anchor) = name.split_once(':').unwrap_or((name, ""));
    let included = fs::read_to_string(root().join(page.with_file_name(file.trim())));
    let has_anchor = |text: &str| text.lines().any(|line| line.trim_end().ends_with(&format!("ANCHOR: {anchor}")));
    included.is_ok_and(|text| anchor.is_empty() || has_anchor(&text))
}

/// Whether a link from this page leads to another site, or to a file and one of its headings. The book has nothing but its own
/// pages, so a link of the guide must stay in it.
fn leads_somewhere(page: &Path, link: &str) -> bool {
    if link.contains("://") {
        return true;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { page.to_owned() } else { page.with_file_name(file) };
    let target = root().join(target);
    let folder = if page.starts_with(GUIDE) { root().join(GUIDE) } else { root().to_owned() };
    let exists = target.canonicalize().is_ok_and(|path| path.starts_with(folder.canonicalize().unwrap()));
    exists && (heading.is_empty() || headings(&fs::read_to_string(target).unwrap()).any(|id| id == heading))
}

/// The targets of the links of a page. Code is left out.
fn links(text: &str) -> Vec<String> {
    let mut fenced = false;
    let prose = text.lines().filter(|line| {
        fenced ^= line.trim_start().starts_with("```");
        !fenced
    });
    // A link's text and its target may be on two lines, but a target is on one.
    let links = prose.flat_map(|line| line.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    links.filter(|link| !link.is_empty()).map(str::to_owned).collect()
}

/// The ids that mdBook gives to the headings of a page.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let letters = title.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        letters.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    })
}

pub(super) fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![PathBuf::from(GUIDE)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn assert_none(offenses: impl Iterator<Item = String>) {
    let offenses: Vec<_> = offenses.collect();
    assert!(offenses.is_empty(), "{}", offenses.join("\n"));
}
