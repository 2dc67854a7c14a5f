//! Reading files, folders and standard input.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::scenario::Story;
use crate::yaml::MAX_BYTES;

/// Most files of one run.
pub const MAX_FILES: usize = 20_000;
/// Most bytes of all of them.
const MAX_TOTAL: usize = 1 << 30;
/// Most folders within one another.
const MAX_FOLDERS: usize = 32;

/// A text and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as it was found, or `standard input`.
    pub file: Arc<str>,
    /// The text.
    pub text: String,
}

/// Why an input cannot be read.
#[derive(Debug, Error)]
pub enum InputProblem {
    /// It cannot be read.
    #[error("{file}: can not be read: {source}")]
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// It is too large.
    #[error("{0}: is larger than {MAX_BYTES} bytes; split it")]
    TooLarge(String),
    /// It is no text.
    #[error("{file}:{line}:{column}: the text is not UTF-8; save it as UTF-8")]
    NotUtf8 {
        /// Which.
        file: String,
        /// Line of the first byte that does not fit, from 1.
        line: usize,
        /// Its column, in characters, from 1.
        column: usize,
    },
    /// A folder without anything to read.
    #[error("{0}: there is no .yaml, .yml or .json file in this folder")]
    NothingIn(String),
    /// A folder without a test.
    #[error("{0}: there is no folder with policy.yaml, events.yaml and expected.yaml here")]
    NoStoryIn(String),
    /// Too many files.
    #[error("there are more than {MAX_FILES} files; give fewer at a time")]
    TooManyFiles,
    /// Too much altogether.
    #[error("the files have more than {MAX_TOTAL} bytes; give fewer at a time")]
    TooMuch,
    /// Folders within folders.
    #[error("{0}: folders are nested too deep")]
    TooDeep(String),
    /// Standard input can be read once.
    #[error("standard input (-) can be read for one option only, and once")]
    StdinTwice,
}

/// Opens a file that is read line by line; `-` is standard input.
///
/// # Errors
/// When it cannot be opened.
pub fn open_lines(path: &Path) -> Result<Box<dyn io::BufRead>, InputProblem> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::BufReader::new(io::stdin())));
    }
    let file = fs::File::open(path).map_err(|source| unreadable(path, source))?;
    Ok(Box::new(io::BufReader::new(file)))
}

/// Reads what `paths` name: files, folders (with the folders in them, sorted, hidden ones and kustomization files
/// left out), and `-` for standard input.
///
/// # Errors
/// The first input that cannot be read.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Source>, InputProblem> {
    let (mut sources, mut total) = (Vec::new(), 0);
    for path in paths {
        if path.as_os_str() == "-" {
            sources.push(read(io::stdin().lock(), "standard input")?);
            continue;
        }
        let mut files = Vec::new();
        if is_folder(path)? {
            walk(path, 0, &mut files)?;
            if files.is_empty() {
                return Err(InputProblem::NothingIn(shown(path)));
            }
        } else {
            files.push(path.clone());
        }
        for file in files {
            if sources.len() >= MAX_FILES {
                return Err(InputProblem::TooManyFiles);
            }
            let source = read_file(&file)?;
            total += source.text.len();
            if total > MAX_TOTAL {
                return Err(InputProblem::TooMuch);
            }
            sources.push(source);
        }
    }
    Ok(sources)
}

/// What a story expects.
pub const EXPECTED: &str = "expected.yaml";
const EVENTS: &str = "events.yaml";

/// The folders of stories: each of `folders` that has an `events.yaml`, else those within it, sorted.
///
/// # Errors
/// When a folder cannot be read, or has no story.
pub fn stories(folders: &[PathBuf]) -> Result<Vec<PathBuf>, InputProblem> {
    let mut stories = Vec::new();
    for folder in folders {
        let before = stories.len();
        find_stories(folder, 0, &mut stories)?;
        if stories.len() == before {
            return Err(InputProblem::NoStoryIn(shown(folder)));
        }
    }
    Ok(stories)
}

fn find_stories(folder: &Path, depth: usize, stories: &mut Vec<PathBuf>) -> Result<(), InputProblem> {
    if depth > MAX_FOLDERS {
        return Err(InputProblem::TooDeep(shown(folder)));
    }
    if folder.join(EVENTS).is_file() {
        stories.push(folder.to_owned());
        return if stories.len() > MAX_FILES { Err(InputProblem::TooManyFiles) } else { Ok(()) };
    }
    for (path, name) in entries(folder)? {
        if !name.starts_with('.') && is_folder(&path)? {
            find_stories(&path, depth + 1, stories)?;
        }
    }
    Ok(())
}

/// Reads the files of a story. One that is to be written need not expect anything yet.
///
/// # Errors
/// When one of them cannot be read.
pub fn read_story(folder: &Path, to_be_written: bool) -> Result<Story, InputProblem> {
    let expected = folder.join(EXPECTED);
    let expected = match to_be_written && !expected.exists() {
        true => Source { file: shown(&expected).into(), text: "open at the end: []".to_owned() },
        false => read_file(&expected)?,
    };
    Ok(Story {
        policy: read_file(&folder.join("policy.yaml"))?,
        events: read_file(&folder.join(EVENTS))?,
        expected,
    })
}

/// Reads one file.
///
/// # Errors
/// When it cannot be read, is too large, or no text.
pub fn read_file(path: &Path) -> Result<Source, InputProblem> {
    let file = fs::File::open(path).map_err(|source| unreadable(path, source))?;
    read(file, &shown(path))
}

/// Refuses what asks for standard input more than once.
///
/// # Errors
/// [`InputProblem::StdinTwice`].
pub fn stdin_once<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), InputProblem> {
    match paths.into_iter().filter(|path| path.as_os_str() == "-").count() {
        0 | 1 => Ok(()),
        _ => Err(InputProblem::StdinTwice),
    }
}

fn read(input: impl Read, name: &str) -> Result<Source, InputProblem> {
    let mut bytes = Vec::new();
    let most = MAX_BYTES as u64 + 1;
    input
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|source| InputProblem::Unreadable { file: name.to_owned(), source })?;
    if bytes.len() > MAX_BYTES {
        return Err(InputProblem::TooLarge(name.to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let good = String::from_utf8_lossy(good);
        let last = good.rsplit('\n').next().unwrap_or_default();
        InputProblem::NotUtf8 {
            file: name.to_owned(),
            line: good.matches('\n').count() + 1,
            column: last.chars().count() + 1,
        }
    })?;
    Ok(Source { file: name.into(), text })
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), InputProblem> {
    // A link may lead back to a folder above.
    if depth > MAX_FOLDERS {
        return Err(InputProblem::TooDeep(shown(folder)));
    }
    for (path, name) in entries(folder)? {
        if name.starts_with('.') {
            continue;
        }
        if is_folder(&path)? {
            walk(&path, depth + 1, files)?;
        } else if is_manifest(&name) {
            files.push(path);
            if files.len() > MAX_FILES {
                return Err(InputProblem::TooManyFiles);
            }
        }
    }
    Ok(())
}

/// What is in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, String)>, InputProblem> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(|source| unreadable(folder, source))? {
        let entry = entry.map_err(|source| unreadable(folder, source))?;
        entries.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
    }
    entries.sort();
    Ok(entries)
}

/// kustomization files name manifests and are none.
fn is_manifest(name: &str) -> bool {
    let ends = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
    ends && !["kustomization.yaml", "kustomization.yml"].contains(&name)
}

fn is_folder(path: &Path) -> Result<bool, InputProblem> {
    fs::metadata(path).map(|meta| meta.is_dir()).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: io::Error) -> InputProblem {
    InputProblem::Unreadable { file: shown(path), source }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
