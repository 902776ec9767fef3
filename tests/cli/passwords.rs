//! Where passwords come from, and that they are told of where others can see them.

use std::io::Write;
use std::process::Stdio;

use crate::support::{Broker, free_port};
use crate::{command, ok, run, say, with};

#[test]
fn a_password_comes_from_the_environment_a_file_or_the_input_and_from_an_argument_with_a_warning() {
    let port = free_port();
    let broker = Broker::start_with(&["--management-listen", &format!("127.0.0.1:{port}")]);
    let data = broker.data();
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "of a file\nand more").unwrap();
    let file = file.to_str().unwrap();

    let authenticates = |user: &str, password: &str| {
        let asked =
            with(command(data, &["user", "authenticate", user]), &[("LEVERET_NEW_PASSWORD", password)]);
        say(asked).code == Some(0)
    };
    assert_eq!(
        ok(data, &["user", "add", "a", "--tag", "administrator", "--new-password-file", file]),
        "The user 'a' is added.\n"
    );
    assert!(authenticates("a", "of a file"));
    assert!(!authenticates("a", "of a file\n"));
    let environment =
        with(command(data, &["user", "add", "b"]), &[("LEVERET_NEW_PASSWORD", "of the environment")]);
    assert_eq!(say(environment).error, "");
    assert!(authenticates("b", "of the environment"));
    let mut input = command(data, &["user", "add", "c", "--new-password-file", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    input.stdin.take().unwrap().write_all(b"of the input\n").unwrap();
    assert!(input.wait().unwrap().success());
    assert!(authenticates("c", "of the input"));
    let argument = run(data, &["user", "add", "d", "--new-password", "of an argument"]);
    assert_eq!(argument.code, Some(0));
    assert!(argument.error.contains("others on this machine can see"), "{argument:?}");
    assert!(authenticates("d", "of an argument"));
    let nowhere = run(data, &["user", "add", "e"]);
    assert_eq!(nowhere.code, Some(2));
    assert!(nowhere.error.contains("LEVERET_NEW_PASSWORD"), "{nowhere:?}");

    // The same for who logs in.
    let uri = format!("http://a@127.0.0.1:{port}");
    let whoami = |uri: &str, more: &[&str]| {
        command(data, &[&["api", "GET", "/api/whoami", "--uri", uri], more].concat())
    };
    let file_said = say(whoami(&uri, &["--password-file", file]));
    assert_eq!((file_said.code, &*file_said.error), (Some(0), ""), "{file_said:?}");
    let environment = say(with(whoami(&uri, &[]), &[("LEVERET_PASSWORD", "of a file")]));
    assert_eq!((environment.code, &*environment.error), (Some(0), ""), "{environment:?}");
    let argument = say(whoami(&format!("http://a:of%20a%20file@127.0.0.1:{port}"), &[]));
    assert_eq!(argument.code, Some(0));
    assert!(argument.error.contains("others on this machine can see"), "{argument:?}");
    let by_variable = with(
        command(data, &["api", "GET", "/api/whoami"]),
        &[("LEVERET_URI", format!("http://a:of%20a%20file@127.0.0.1:{port}"))],
    );
    let by_variable = say(by_variable);
    assert!(by_variable.out.contains("\"name\":\"a\"") && by_variable.error.is_empty(), "{by_variable:?}");
    assert_eq!(say(whoami(&uri, &[])).code, Some(2), "nobody is there to be asked");
}
