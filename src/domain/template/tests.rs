use proptest::prelude::*;

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const MERGE: &str = "fedcba9876543210fedcba9876543210fedcba98";

fn render(template: &str, branch: &str, bare: bool) -> Result<String, String> {
    let (commit, merge) = (COMMIT.parse().unwrap(), MERGE.parse().unwrap());
    let context = TagContext {
        commit: &commit,
        test_merge: (!bare).then_some(&merge),
        number: (!bare).then_some(42),
        branch: &branch.parse().unwrap(),
    };
    let template = TagTemplate::parse(template).unwrap();
    template.render(&context).map(|tag| tag.to_string()).map_err(|error| error.to_string())
}

fn refusal(template: &str) -> String {
    TagTemplate::parse(template).unwrap_err().to_string()
}

#[test]
fn each_placeholder_has_its_text() {
    for (template, tag, names) in [
        ("latest", "latest", Names::Moving),
        ("sha-{sha}", "sha-0123456789abcdef0123456789abcdef01234567", Names::Head),
        ("{sha7}", "0123456", Names::Head),
        ("{sha8}", "01234567", Names::Head),
        ("{sha12}", "0123456789ab", Names::Head),
        ("{merge_sha}", MERGE, Names::TestMerge),
        ("{merge_sha7}", "fedcba9", Names::TestMerge),
        ("pr-{number}", "pr-42", Names::Moving),
        ("{branch:docker}", "Feat-A_b", Names::Moving),
        ("{branch:gitlab}", "feat-a-b", Names::Moving),
        ("{branch:argo}-{sha7}{sha7}", "feat-a-b-01234560123456", Names::Head),
    ] {
        assert_eq!(render(template, "Feat/A_b", false).as_deref(), Ok(tag), "{template}");
        let parsed = TagTemplate::parse(template).unwrap();
        assert_eq!((parsed.names(), parsed.to_string()), (names, template.to_owned()));
    }
    assert_eq!(render("{branch}", "main", true).as_deref(), Ok("main"));
}

#[test]
fn what_cannot_be_rendered_says_why() {
    for (template, branch, why) in [
        ("{merge_sha}", "x", "the tag names the test merge, and none is known for this commit"),
        ("pr-{number}", "x", "the tag names the pull request's number, and the branch has no pull request"),
        ("{branch}", "a/b", "the tag template `{branch}` gives no legal tag for this branch: a tag cannot contain `/`"),
        (
            "{branch}",
            "é",
            "the tag template `{branch}` gives no legal tag for this branch: a tag cannot contain U+00E9",
        ),
        (
            "{branch:docker}",
            "-a",
            "the tag template `{branch:docker}` gives no legal tag for this branch: a tag cannot start with `-`",
        ),
        (
            "{branch:gitlab}",
            "🎉",
            "the tag template `{branch:gitlab}` gives no legal tag for this branch: a tag cannot be empty",
        ),
        (
            "{branch:docker}-{sha}",
            &"x".repeat(100),
            "the tag template `{branch:docker}-{sha}` gives no legal tag for this branch: a tag has at most 128 characters",
        ),
    ] {
        assert_eq!(render(template, branch, true), Err(why.to_owned()), "{template}");
    }
}

#[test]
fn what_can_never_be_a_tag_is_refused() {
    let known = "known are {sha} {sha7} {sha8} {sha12} {merge_sha} {merge_sha7} {number} {branch} {branch:docker} \
                 {branch:gitlab} {branch:argo}";
    for (template, error) in [
        ("{shaa}", format!("unknown placeholder `{{shaa}}` (did you mean `{{sha}}`?); {known}")),
        (
            "{branch:dokcer}",
            format!("unknown placeholder `{{branch:dokcer}}` (did you mean `{{branch:docker}}`?); {known}"),
        ),
        ("{owner}-{sha}", format!("unknown placeholder `{{owner}}`; {known}")),
        ("{}", format!("unknown placeholder `{{}}`; {known}")),
        ("a{sha", "`{` without its partner in `a{sha`".to_owned()),
        ("{{sha}}", "`{` without its partner in `{{sha}}`".to_owned()),
        ("sha}", "`}` without its partner in `sha}`".to_owned()),
        ("{sha}-{merge_sha}", "a tag names the commit or its test merge, not both".to_owned()),
        ("", "it can never be a legal tag: a tag cannot be empty".to_owned()),
        ("a/{sha}", "it can never be a legal tag: a tag cannot contain `/`".to_owned()),
        ("{sha} ", "it can never be a legal tag: a tag cannot contain U+0020".to_owned()),
        (".{sha}", "it can never be a legal tag: a tag cannot start with `.`".to_owned()),
        ("-{sha}", "it can never be a legal tag: a tag cannot start with `-`".to_owned()),
        ("{sha}{sha}{sha}{sha12}", "it can never be a legal tag: a tag has at most 128 characters".to_owned()),
    ] {
        assert_eq!(refusal(template), error, "{template}");
    }
    assert!(TagTemplate::parse("{sha}{sha}{sha}{sha8}").is_ok());
}

proptest! {
    #[test]
    fn a_template_is_refused_or_gives_legal_tags_or_none(
        template in "([a-z./-]{0,3}(\\{(sha7|number|branch|branch:docker|branch:gitlab|branch:argo|x)\\})?){0,3}",
        branch in "\\PC{1,150}",
    ) {
        let (Ok(template), Ok(branch)) = (TagTemplate::parse(&template), branch.parse::<Branch>()) else { return Ok(()) };
        let commit = COMMIT.parse().unwrap();
        let context = TagContext { commit: &commit, test_merge: None, number: Some(1), branch: &branch };
        match template.render(&context) {
            Ok(tag) => prop_assert!(tag.as_str().parse::<Tag>().is_ok()),
            Err(error) => {
                let other = matches!(error, Unrenderable::Illegal { why: IllegalTag::Other, .. });
                prop_assert!(!other);
            },
        }
    }

    #[test]
    fn no_text_is_too_odd(text in "\\PC{0,40}") {
        let _ = TagTemplate::parse(&text);
    }
}
