//! One damage to one file.

use std::fmt;

use crate::disk::{Files, SimulatedDisk};
use crate::random::Random;
use crate::shape::Shape;

const BLOCK: usize = 4096;

#[derive(Clone, Debug)]
pub(crate) enum What {
    FlipBit {
        at: usize,
        bit: u8,
    },
    ChangeByte {
        at: usize,
        to: u8,
    },
    Zero {
        at: usize,
    },
    Cut {
        to: usize,
    },
    Remove,
    /// As it was some commits earlier.
    Older,
    /// A copy of it stands under a neighbour's name.
    Duplicate {
        name: String,
    },
    /// A block that cannot be read.
    Unreadable {
        at: usize,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Harm {
    pub(crate) file: String,
    /// What kind of file it is.
    class: &'static str,
    /// Where in the file.
    place: &'static str,
    pub(crate) what: What,
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {:?}", self.file, self.class, self.what)
    }
}

impl Harm {
    pub(crate) fn choose(shape: &Shape, random: &mut Random) -> Harm {
        let names: Vec<&String> = shape.files.keys().collect();
        let file = names[random.below(names.len())].clone();
        let len = shape.files[&file].len();
        let active = names.iter().rev().find(|name| name.starts_with("journal-"));
        let class = match &*file {
            "catalog.redb" => "catalog",
            name if Some(&&name.to_owned()) == active => "active",
            name if name.starts_with("journal-") => "sealed",
            "write-ahead.log" => "log",
            _ => "high-water mark",
        };
        let bytes = &shape.files[&file];
        let (place, at) = place(bytes, random);
        let what = match random.below(100) {
            _ if len == 0 => What::Remove,
            0..45 => What::FlipBit { at, bit: random.below(8) as u8 },
            45..55 => What::ChangeByte { at, to: bytes[at] ^ (1 + random.below(255) as u8) },
            55..67 => What::Zero { at: at / BLOCK * BLOCK },
            67..75 => What::Cut { to: random.below(len) },
            75..80 => What::Remove,
            80..86 if shape.earlier.get(&file).is_some_and(|earlier| earlier != bytes) => What::Older,
            80..90 => What::Duplicate { name: neighbour(&file, shape, random) },
            _ => What::Unreadable { at: at / BLOCK * BLOCK },
        };
        Harm { file, class, place, what }
    }

    pub(crate) fn kind(&self) -> String {
        let what = match &self.what {
            What::FlipBit { .. } => "flip a bit",
            What::ChangeByte { .. } => "change a byte",
            What::Zero { .. } => "zero a block",
            What::Cut { .. } => "cut",
            What::Remove => "remove",
            What::Older => "older copy",
            What::Duplicate { .. } => "duplicate",
            What::Unreadable { .. } => "unreadable block",
        };
        let place = match &self.what {
            What::FlipBit { .. } | What::ChangeByte { .. } | What::Zero { .. } | What::Unreadable { .. } => {
                self.place
            }
            _ => "",
        };
        format!("{}: {what} {place}", self.class)
    }

    /// The disk with the damage.
    pub(crate) fn done_to(&self, shape: &Shape) -> SimulatedDisk {
        let mut files: Files = shape.files.clone();
        let bytes = files.get_mut(&self.file).expect("it was chosen of these");
        match &self.what {
            What::FlipBit { at, bit } => bytes[*at] ^= 1 << bit,
            What::ChangeByte { at, to } => bytes[*at] = *to,
            What::Zero { at } => {
                let end = bytes.len().min(at + BLOCK);
                bytes[*at..end].fill(0);
            }
            What::Cut { to } => bytes.truncate(*to),
            What::Remove => drop(files.remove(&self.file)),
            What::Older => *bytes = shape.earlier[&self.file].clone(),
            What::Duplicate { name } => {
                let copy = bytes.clone();
                files.insert(name.clone(), copy);
            }
            What::Unreadable { .. } => (),
        }
        let disk = SimulatedDisk::holding(&files);
        if let What::Unreadable { at } = self.what {
            disk.break_blocks(&self.file, at..at + BLOCK);
        }
        disk
    }

    pub(crate) fn is_of_log(&self) -> bool {
        self.class == "log"
    }

    /// Whether no more than one record may be lost.
    pub(crate) fn is_one_byte(&self) -> bool {
        matches!(self.what, What::FlipBit { .. } | What::ChangeByte { .. })
    }
}

/// A byte of the file: often one of those that others are found by.
fn place(bytes: &[u8], random: &mut Random) -> (&'static str, usize) {
    let len = bytes.len();
    if len == 0 {
        return ("", 0);
    }
    match random.below(100) {
        0..15 => ("head", random.below(len.min(320))),
        15..60 => {
            // The begin of a page that looks like one of a tree.
            let pages = bytes.chunks(BLOCK).enumerate().skip(1);
            let nodes: Vec<usize> =
                pages.filter(|(_, page)| matches!(page[0], 1 | 2)).map(|(at, _)| at * BLOCK).collect();
            if nodes.is_empty() {
                return ("anywhere", random.below(len));
            }
            let page = nodes[random.below(nodes.len())];
            let within = random.pick(&[4, 24, 200, 1000]);
            ("page", (page + random.below(within)).min(bytes.len() - 1))
        }
        _ => ("anywhere", random.below(len)),
    }
}

fn neighbour(file: &str, shape: &Shape, random: &mut Random) -> String {
    let journals: Vec<u64> = shape.files.keys().filter_map(|name| journal_number(name)).collect();
    match journal_number(file) {
        Some(_) if random.percent(50) => {
            let next = journals.iter().max().unwrap_or(&0) + 1;
            format!("journal-{next:08}.redb")
        }
        Some(_) => format!("journal-{:08}.redb", journals[random.below(journals.len())]),
        None => format!("{file}.bak"),
    }
}

fn journal_number(name: &str) -> Option<u64> {
    name.strip_prefix("journal-")?.strip_suffix(".redb")?.parse().ok()
}
