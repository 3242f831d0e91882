//! Mode bits: Unix's in the file system, Go's `os.FileMode` in trees.

/// Unix's special permission bits and Go's.
const SPECIAL: [(u32, u32); 3] = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];

const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const FIFO: u32 = 1 << 25;
const CHARACTER_DEVICE: u32 = 1 << 21;

/// Unix's mode with its file type to Go's.
pub(crate) fn to_go(unix: u32) -> u32 {
    let kind = match unix & 0o170_000 {
        0o040_000 => DIRECTORY,
        0o120_000 => SYMLINK,
        0o060_000 => DEVICE,
        0o020_000 => DEVICE | CHARACTER_DEVICE,
        0o010_000 => FIFO,
        _ => 0,
    };
    SPECIAL.iter().filter(|(ours, _)| unix & ours != 0).fold(unix & 0o777 | kind, |mode, (_, go)| mode | go)
}

/// Go's mode to Unix's permissions, without the file type.
pub(crate) fn to_unix(go: u32) -> u32 {
    SPECIAL.iter().filter(|(_, theirs)| go & theirs != 0).fold(go & 0o777, |mode, (unix, _)| mode | unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_both_ways() {
        assert_eq!(to_go(0o040_755), 2_147_484_141);
        assert_eq!(to_go(0o120_777), 134_218_239);
        assert_eq!(to_go(0o100_644), 420);
        assert_eq!(to_go(0o020_600), 0o600 | 1 << 26 | 1 << 21);
        for permissions in 0..0o10_000 {
            assert_eq!(to_unix(to_go(0o100_000 | permissions)), permissions);
        }
    }
}
