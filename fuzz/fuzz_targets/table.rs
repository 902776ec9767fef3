//! Field tables: what passes the check is read, every field of it is found, and an edit of nothing changes nothing.

#![no_main]

use leveret_codec::table::{check, check_headers, edit, fields, find, parse, parse_headers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = (parse_headers(input), fields(input).count(), find(input, b"a"));
    let Ok(len) = check_headers(input) else {
        assert!(check(input).is_err());
        return;
    };
    let table = &input[..len];
    assert_eq!(edit(table, &[]), table);
    if check(table).is_ok() {
        let parsed = parse(table).expect("a checked table can be read");
        for (name, _) in fields(table) {
            assert!(find(table, name).is_some());
        }
        assert_eq!(parse_headers(table).inner().len(), parsed.inner().len());
    }
});
