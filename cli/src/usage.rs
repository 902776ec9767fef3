//! What was wrong with the arguments, as one line with what to do. What arguments there are is said where they are used.

use clap::Error;

/// An error of the arguments as one line. Help that was asked for is no error, and has none.
#[must_use]
pub fn one_line(error: &Error) -> Option<String> {
    if !error.use_stderr() {
        return None;
    }
    let text = error.to_string();
    let (what, usage) = text.split_once("\nUsage: ").unwrap_or((&text, ""));
    let what = what.trim_start_matches("error: ").split("\nFor more information").next().unwrap_or_default();
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ").replace(" tip: ", "; ");
    // The verb that it was about: what stands before its arguments.
    let is_word = |word: &&str| word.starts_with(char::is_alphabetic);
    let verb: Vec<&str> = usage.lines().next().unwrap_or_default().split(' ').take_while(is_word).collect();
    let verb = if verb.is_empty() { "leveret".to_owned() } else { verb.join(" ") };
    Some(format!("{what}. `{verb} --help` says what there is."))
}

#[cfg(test)]
mod tests {
    use clap::{Command, arg};

    use super::*;

    fn refused(words: &[&str]) -> Option<String> {
        let show = Command::new("show")
            .arg(arg!(<QUEUE>))
            .arg(arg!(--format <FORMAT>).value_parser(["json", "csv"]));
        let program = Command::new("leveret").subcommand(Command::new("queue").subcommand(show));
        one_line(&program.try_get_matches_from(words).unwrap_err())
    }

    #[test]
    fn an_error_is_one_line_that_names_the_help_of_its_verb() {
        for (words, expected) in [
            (
                &["leveret", "queue", "show"][..],
                "the following required arguments were not provided: <QUEUE>. `leveret queue show --help` says what there is.",
            ),
            (
                &["leveret", "queue", "show", "q", "--format", "xml"],
                "invalid value 'xml' for '--format <FORMAT>' [possible values: json, csv]. `leveret --help` says what there is.",
            ),
            (
                &["leveret", "queue", "shwo"],
                "unrecognized subcommand 'shwo'; a similar subcommand exists: 'show'. `leveret queue --help` says what there is.",
            ),
            (
                &["leveret", "queue", "show", "q", "--frmat", "csv"],
                "unexpected argument '--frmat' found; a similar argument exists: '--format'. `leveret queue show --help` says what there is.",
            ),
        ] {
            assert_eq!(refused(words).as_deref(), Some(expected));
        }
        assert_eq!(refused(&["leveret", "queue", "show", "--help"]), None);
    }
}
