//! Whose a written file is. An operator may write as root what a server reads that runs as somebody else:
//! what is replaced keeps its owner, and what is new belongs to whom its folder belongs.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{MetadataExt, fchown, lchown},
    path::Path,
};

use super::folder_of;

const ROOT: u32 = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    fn of(metadata: &Metadata) -> Self {
        Self { user: metadata.uid(), group: metadata.gid() }
    }
}

/// Gives `file`, which is new and about to be `path`, to whom it should belong. Without the right to, it stays
/// as it is: it is written all the same.
pub(super) fn keep(file: &File, path: &Path) {
    if let Err(error) = give(file, path) {
        let (path, error) = (path.display().to_string(), error.to_string());
        tracing::warn!(path, error, "the owner of a file is not kept");
    }
}

/// The same for folders that are new, the innermost first.
pub(super) fn hand_down(folders: &[&Path]) {
    let Some(parent) = folders.last().map(|outermost| folder_of(outermost)) else { return };
    for folder in folders {
        if let Err(error) = give_folder(folder, parent) {
            let (path, error) = (folder.display().to_string(), error.to_string());
            tracing::warn!(path, error, "a folder does not belong to whom the one above it belongs");
        }
    }
}

fn give(file: &File, path: &Path) -> io::Result<()> {
    let own = Owner::of(&file.metadata()?);
    let (wanted, is_replaced) = match fs::metadata(path) {
        Ok(before) => (Owner::of(&before), true),
        Err(_) => (Owner::of(&fs::metadata(folder_of(path))?), false),
    };
    // Only root writes for others: whoever puts something new into `/tmp` does not give it to root.
    if own == wanted || !(is_replaced || own.user == ROOT) {
        return Ok(());
    }
    fchown(file, Some(wanted.user), Some(wanted.group))
}

fn give_folder(folder: &Path, parent: &Path) -> io::Result<()> {
    let own = Owner::of(&fs::symlink_metadata(folder)?);
    let wanted = Owner::of(&fs::metadata(parent)?);
    if own == wanted || own.user != ROOT {
        return Ok(());
    }
    // Should a link be in its place by now, nothing but the link is given away.
    lchown(folder, Some(wanted.user), Some(wanted.group))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::{
        super::{beside, lock, replace},
        *,
    };

    fn owner(path: &Path) -> Owner {
        Owner::of(&fs::metadata(path).unwrap())
    }

    /// Some other user. Who is not root can only write as themselves.
    fn somebody(id: u32, me: Owner) -> Owner {
        if me.user == ROOT { Owner { user: id, group: id } } else { me }
    }

    #[test]
    fn what_root_writes_can_be_read_by_whom_it_is_for() {
        let home = tempfile::tempdir().unwrap();
        let me = owner(home.path());
        let server = somebody(4_321, me);
        chown(home.path(), Some(server.user), Some(server.group)).unwrap();
        let path = home.path().join("var/data/flags.yaml");
        let held = lock(&path).unwrap();
        replace(&held, &path, "a: true\n").unwrap();
        let folder = path.parent().unwrap();
        for new in [folder.parent().unwrap(), folder, &path, &beside(&path, "lock")] {
            assert_eq!(owner(new), server, "{}", new.display());
        }

        let other = somebody(8_765, me);
        chown(&path, Some(other.user), Some(other.group)).unwrap();
        replace(&held, &path, "a: false\n").unwrap();
        assert_eq!(owner(&path), other, "of the file before, rather than of its folder");
        assert_eq!(fs::read_to_string(&path).unwrap(), "a: false\n");
    }
}
