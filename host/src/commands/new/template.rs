//! The templates of `epilogue new`, one for each language.

macro_rules! files {
    ($folder:literal, $(($name:literal, $file:literal)),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../templates/", $folder, "/", $file)))),+]
    };
}

/// A template for projects in one language: the project's files, and the package of Epilogue that the project uses.
pub(super) struct Template {
    /// The name and the text of each file.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// The name of Epilogue's package in messages, such as `epilogue-sdk`.
    pub(super) sdk: &'static str,
    /// A file of Epilogue's package, relative to the folder of Epilogue's source. If this file does not exist, the
    /// folder is not a clone of Epilogue.
    pub(super) sdk_file: &'static str,
    /// The project's file that contains the dependency on Epilogue's package, such as `Cargo.toml`.
    pub(super) manifest: &'static str,
    /// The strings in `manifest` that contain the path of a folder in Epilogue's source.
    pub(super) paths: &'static [&'static str],
    /// The shell commands that the user runs once to prepare a new project. Each command ends with a line break.
    pub(super) setup: &'static str,
    /// Reports whether the project uses a package with the given name. A project cannot have the name of a package that
    /// it uses.
    pub(super) uses: fn(&str) -> anyhow::Result<bool>,
}

pub(super) const RUST: Template = Template {
    files: files!(
        "new",
        // The file has another name in the repository, because cargo would treat the template as a package.
        ("Cargo.toml", "Cargo.toml.tmpl"),
        ("README.md", "README.md"),
        ("rust-toolchain.toml", "rust-toolchain.toml"),
        ("spin.toml", "spin.toml"),
        (".gitignore", ".gitignore"),
        ("src/lib.rs", "src/lib.rs"),
        ("tests/app.rs", "tests/app.rs"),
    ),
    sdk: "epilogue-sdk",
    sdk_file: "guest/sdk/Cargo.toml",
    manifest: "Cargo.toml",
    paths: &["/epilogue/guest/sdk", "/epilogue/host"],
    setup: "",
    uses: |name| {
        let manifest: toml::Table = include_str!("../../../templates/new/Cargo.toml.tmpl").parse()?;
        Ok(["dependencies", "dev-dependencies"].into_iter().any(|table| manifest[table].get(name).is_some()))
    },
};

pub(super) const TYPESCRIPT: Template = Template {
    files: files!(
        "ts",
        ("package.json", "package.json"),
        ("README.md", "README.md"),
        ("tsconfig.json", "tsconfig.json"),
        ("spin.toml", "spin.toml"),
        (".gitignore", ".gitignore"),
        ("src/index.ts", "src/index.ts"),
    ),
    sdk: "the npm package epilogue",
    sdk_file: "guest/typescript/package.json",
    manifest: "package.json",
    paths: &["file:/epilogue/guest/typescript"],
    setup: "",
    uses: |name| {
        let manifest: serde_json::Value = serde_json::from_str(include_str!("../../../templates/ts/package.json"))?;
        Ok(["dependencies", "devDependencies"].into_iter().any(|table| manifest[table].get(name).is_some()))
    },
};

pub(super) const PYTHON: Template = Template {
    files: files!(
        "fastapi",
        ("requirements.txt", "requirements.txt"),
        ("README.md", "README.md"),
        ("spin.toml", "spin.toml"),
        (".gitignore", ".gitignore"),
        ("app.py", "app.py"),
        ("tests/test_app.py", "tests/test_app.py"),
    ),
    sdk: "the Python package epilogue",
    sdk_file: "guest/python/pyproject.toml",
    manifest: "requirements.txt",
    paths: &[],
    setup: "python3 -m venv .venv && . .venv/bin/activate\npip install -r requirements.txt\n",
    uses: |_| Ok(false),
};

pub(super) const PYTHON_PLAIN: Template = Template {
    files: files!(
        "asgi",
        ("requirements.txt", "requirements.txt"),
        ("README.md", "README.md"),
        ("spin.toml", "spin.toml"),
        (".gitignore", ".gitignore"),
        ("app.py", "app.py"),
        ("tests/test_app.py", "tests/test_app.py"),
    ),
    ..PYTHON
};
