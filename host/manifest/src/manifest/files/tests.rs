use super::*;

/// Makes an application's folder. The brackets in the folder's name must not count as a pattern.
fn application() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("app [1]");
    for file in ["a.txt", "assets/one.png", "assets/two.txt", "assets/deep/three.png", "secret/key.pem"] {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    (parent, root)
}

fn pattern(pattern: &str) -> FilesEntry {
    FilesEntry::Pattern(pattern.to_owned())
}

fn placement(source: &str, destination: &str) -> FilesEntry {
    FilesEntry::Placement { source: source.to_owned(), destination: destination.to_owned() }
}

fn guest_paths(root: &Path, entries: Vec<FilesEntry>, exclude: &[&str]) -> Vec<String> {
    let exclude: Vec<String> = exclude.iter().map(|pattern| (*pattern).to_owned()).collect();
    let files = Files::new(root, entries, &exclude).unwrap().resolve().unwrap();
    let mut paths: Vec<String> =
        files.into_iter().map(|file| format!("{}={}", file.guest, fs::read_to_string(file.host).unwrap())).collect();
    paths.sort();
    paths
}

#[test]
fn entries_resolve_as_in_spin() {
    let (_parent, root) = application();
    for (entry, expected) in [
        (pattern("a.txt"), vec!["/a.txt=a.txt"]),
        (pattern("assets/*.png"), vec!["/assets/one.png=assets/one.png"]),
        (
            pattern("assets/**/*.png"),
            vec!["/assets/deep/three.png=assets/deep/three.png", "/assets/one.png=assets/one.png"],
        ),
        (pattern("secret"), vec!["/secret/key.pem=secret/key.pem"]),
        (pattern("none/*"), vec![]),
        (placement("assets/deep", "/"), vec!["/three.png=assets/deep/three.png"]),
        (placement("assets/deep/", "img/"), vec!["/img/three.png=assets/deep/three.png"]),
        (placement("a.txt", "/b.txt"), vec!["/b.txt=a.txt"]),
    ] {
        assert_eq!(guest_paths(&root, vec![entry.clone()], &[]), expected, "{entry:?}");
    }
}

#[test]
fn excluded_files_are_left_out() {
    let (_parent, root) = application();
    let entries = vec![pattern("**/*")];
    assert_eq!(
        guest_paths(&root, entries, &["secret/*", "assets/**/*.png"]),
        ["/a.txt=a.txt", "/assets/two.txt=assets/two.txt"]
    );
}

#[test]
fn whole_folders_are_opened_as_they_are() {
    let (parent, root) = application();
    let scratch = parent.path().join("scratch");
    let files = Files::new(&root, vec![placement("assets", "/static")], &[]).unwrap();
    let mounts = files.prepare(&scratch, None).unwrap();
    assert_eq!(mounts, [Mount { host: root.join("assets"), guest: "/static".to_owned() }]);
    assert!(!scratch.exists());
}

#[test]
fn anything_else_is_copied() {
    let (parent, root) = application();
    let scratch = parent.path().join("scratch");
    let entries = vec![placement("assets", "/static"), pattern("a.txt")];
    for writable in [None, Some(Size::mebibytes(1))] {
        let files = Files::new(&root, entries.clone(), &[]).unwrap();
        let mounts = files.prepare(&scratch, writable).unwrap();
        assert_eq!(mounts, [Mount { host: scratch.clone(), guest: "/".to_owned() }]);
        assert!(scratch.join("static/deep/three.png").is_file());
        assert!(scratch.join("a.txt").is_file());
    }
}

#[test]
fn mistakes_are_explained() {
    let (_parent, root) = application();
    for (entry, expected) in [
        (pattern("../x"), "\"../x\" leaves the application's folder: use { source = …, destination = … }"),
        (pattern("/etc/*"), "\"/etc/*\" leaves the application's folder: use { source = …, destination = … }"),
        (pattern("."), "\".\" matches no files: use \"**/*\", or { source = …, destination = … }"),
        (placement("assets", "/../x"), "the destination \"/../x\" must not contain \"..\""),
    ] {
        let error = Files::new(&root, vec![entry], &[]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    for (entry, expected) in [
        (pattern("b.txt"), "the file or folder \"b.txt\" does not exist in"),
        (placement("b", "/b"), "the file or folder \"b\" does not exist in"),
        (placement("a.txt", "/b/"), "\"/b/\" is a folder, but \"a.txt\" is a file"),
    ] {
        let error = Files::new(&root, vec![entry], &[]).unwrap().resolve().unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn links_stay_in_the_application() {
    let (parent, root) = application();
    fs::create_dir(parent.path().join("other")).unwrap();
    fs::write(parent.path().join("other/secret.txt"), "secret").unwrap();
    fs::create_dir(root.join("site")).unwrap();
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, root.join(name)).unwrap();
    link("../assets/one.png", "site/one.png");
    link("../assets", "site/assets");
    // These links lead to files in the application.
    assert_eq!(guest_paths(&root, vec![pattern("site/*.png")], &[]), ["/site/one.png=assets/one.png"]);
    assert_eq!(guest_paths(&root, vec![placement("site/assets/deep", "/")], &[]), ["/three.png=assets/deep/three.png"]);
    // The manifest names these sources outside of the application itself.
    let outside = [placement("../other", "/"), placement(parent.path().join("other").to_str().unwrap(), "/")];
    for entry in outside {
        assert_eq!(guest_paths(&root, vec![entry], &[]), ["/secret.txt=secret"]);
    }

    link("/etc/hostname", "site/abs");
    link("../../other/secret.txt", "site/up.txt");
    link("../other", "folder");
    link("../../other", "site/folder");
    let scratch = parent.path().join("scratch");
    for (entry, file, target) in [
        (pattern("site/*"), "site/abs", "/etc/hostname"),
        (pattern("site/up.txt"), "site/up.txt", "other/secret.txt"),
        (pattern("site/folder/*"), "site/folder/secret.txt", "other/secret.txt"),
        (pattern("folder"), "folder/secret.txt", "other/secret.txt"),
        (placement("site/up.txt", "/a"), "site/up.txt", "other/secret.txt"),
        (placement("folder", "/a"), "folder", "other"),
        (placement("site", "/a"), "site/abs", "/etc/hostname"),
    ] {
        let files = Files::new(&root, vec![entry.clone()], &[]).unwrap();
        for writable in [None, Some(Size::mebibytes(1))] {
            // The host does not check the links in a folder that the guest opens directly. The guest's sandbox refuses
            // them.
            if writable.is_none() && entry == placement("site", "/a") {
                continue;
            }
            let error = files.prepare(&scratch, writable).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(target), "{entry:?}: {error}");
            assert!(error.contains("goes through a symbolic link to"), "{entry:?}: {error}");
        }
    }
    // The guest does not get excluded files, so the host does not check their links.
    assert_eq!(
        guest_paths(&root, vec![pattern("site/*")], &["site/abs", "site/up.txt"]),
        ["/site/one.png=assets/one.png"]
    );
}

#[test]
fn writable_copies_are_limited() {
    let (parent, root) = application();
    let files = Files::new(&root, vec![pattern("a.txt")], &[]).unwrap();
    let error = files.prepare(&parent.path().join("scratch"), Some(Size::new(4))).unwrap_err().to_string();
    assert!(error.starts_with("its files take 5 bytes") && error.contains("max-transient-write"), "{error}");
    files.prepare(&parent.path().join("scratch"), Some(Size::new(5))).unwrap();
}
