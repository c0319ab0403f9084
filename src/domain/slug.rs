//! A branch's name as the tools that push images write it into a tag.
//!
//! Each rule follows its tool to the letter, the odd corners too: a slug that is nearly the same finds no image. All
//! of them lose something, so two branches may share a slug.
//!
//! | rule | who | what it does |
//! |---|---|---|
//! | [`Slug::Docker`] | `docker/metadata-action` | each run of illegal characters is one `-`; case is kept, nothing trimmed or cut |
//! | [`Slug::Gitlab`] | `CI_COMMIT_REF_SLUG` | lower case; each other character is a `-`; cut at 63, then trimmed |
//! | [`Slug::Argo`] | Argo CD's `branch_slug` | transliterated, lower case, runs are one `-`, cut at a word's end within 50 |

use super::Branch;

/// How a branch's name is made fit for a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slug {
    /// As `docker/metadata-action` does for `type=ref`. The result may start with `.` or `-` and be too long.
    Docker,
    /// As GitLab's `CI_COMMIT_REF_SLUG`. The result may be empty.
    Gitlab,
    /// As Argo CD's `branch_slug` of the pullRequest generator. The result may be empty.
    Argo,
}

/// How long GitLab's slug may be.
const GITLAB_MAX: usize = 63;

/// How long Argo CD's slug may be.
const ARGO_MAX: usize = 50;

impl Slug {
    /// The branch's name by this rule.
    pub fn of(self, branch: &Branch) -> String {
        match self {
            Self::Docker => docker(branch.as_str()),
            Self::Gitlab => gitlab(branch.as_str()),
            Self::Argo => argo(branch.as_str()),
        }
    }
}

fn docker(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    let mut in_run = false;
    for c in name.chars() {
        let legal = c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if legal {
            slug.push(c);
        } else if !in_run {
            slug.push('-');
        }
        in_run = !legal;
    }
    slug
}

fn gitlab(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let slug: String = name.to_lowercase().chars().map(plain).take(GITLAB_MAX).collect();
    slug.trim_matches('-').to_owned()
}

/// `gosimple/slug` as Argo CD sets it up: at most 50 characters, `_` replaced by `-`, English.
fn argo(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for c in name.trim().chars() {
        for c in transliterated(c).chars().map(|c| c.to_ascii_lowercase()) {
            if c.is_ascii_alphanumeric() || c == '_' {
                slug.push(c);
            } else if !slug.ends_with('-') {
                slug.push('-');
            }
        }
    }
    truncated(slug.trim_matches(['-', '_'])).to_owned()
}

/// ASCII for a character.
///
/// The tables that Argo CD uses are older than `deunicode`'s. What branch names are made of is brought in line with
/// them here: Latin, Greek, Cyrillic, Kana, Hangul and Chinese agree but for some characters that are hardly in use,
/// and emoji leave nothing behind, or a `-`. Other scripts and symbols may differ.
fn transliterated(c: char) -> &'static str {
    match c {
        '&' => "and",
        '@' => "at",
        'Є' => "ie",
        '€' => "eu",
        'し' | 'シ' => "shi",
        'ち' | 'チ' => "chi",
        'っ' | 'つ' | 'ッ' | 'ツ' => "tsu",
        '"'
        | '\''
        | '\u{2019}'
        | '\u{2100}'..='\u{2129}'
        | '\u{2600}'..='\u{2613}'
        | '\u{2619}'..='\u{2671}'
        | '\u{2701}'..='\u{275e}'
        | '\u{2761}'..='\u{27af}'
        | '\u{2900}'..='\u{2dff}'
        | '\u{3400}'..='\u{4cff}'
        | '\u{10000}'.. => "",
        '_' | '\u{2012}'..='\u{2015}' | '\u{2614}'..='\u{27ff}' | '\u{fe00}'..='\u{fe0f}' => "-",
        c => deunicode::deunicode_char(c).unwrap_or_default(),
    }
}

/// Cut at the last `-` within the limit, where there is none at the limit.
fn truncated(slug: &str) -> &str {
    if slug.len() <= ARGO_MAX {
        return slug;
    }
    let end = slug.as_bytes()[..=ARGO_MAX].iter().rposition(|&byte| byte == b'-').unwrap_or(ARGO_MAX);
    &slug[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slugs(name: &str) -> [String; 3] {
        let branch: Branch = name.parse().unwrap();
        [Slug::Docker, Slug::Gitlab, Slug::Argo].map(|slug| slug.of(&branch))
    }

    /// What the tools themselves make of these names.
    #[test]
    fn slugs_are_those_of_the_tools() {
        for (name, docker, gitlab, argo) in [
            ("main", "main", "main", "main"),
            ("Feature/ABC-123_login", "Feature-ABC-123_login", "feature-abc-123-login", "feature-abc-123-login"),
            (
                "dependabot/npm_and_yarn/@types/node-20.1.0",
                "dependabot-npm_and_yarn-types-node-20.1.0",
                "dependabot-npm-and-yarn--types-node-20-1-0",
                "dependabot-npm-and-yarn-attypes-node-20-1-0",
            ),
            ("renovate/react_&_dom", "renovate-react_-_dom", "renovate-react---dom", "renovate-react-and-dom"),
            ("a--b__c", "a--b__c", "a--b--c", "a-b-c"),
            ("a-&-b", "a---b", "a---b", "a-and-b"),
            ("-lead", "-lead", "lead", "lead"),
            ("v1.2.3", "v1.2.3", "v1-2-3", "v1-2-3"),
            ("release/2026.01", "release-2026.01", "release-2026-01", "release-2026-01"),
            ("___", "___", "", ""),
            ("🎉", "-", "", ""),
            ("feat/🚀-launch", "feat--launch", "feat---launch", "feat-launch"),
            ("fix/⚡️-fast", "fix--fast", "fix----fast", "fix-fast"),
            ("don't/it’s", "don-t-it-s", "don-t-it-s", "dont-its"),
            ("a–b—c", "a-b-c", "a-b-c", "a-b-c"),
        ] {
            assert_eq!(slugs(name), [docker, gitlab, argo], "{name}");
        }
    }

    #[test]
    fn argo_transliterates() {
        for (name, slug) in [
            ("müller/straße", "muller-strasse"),
            ("Ünïcode/ÀÉ", "unicode-ae"),
            ("Łódź/Ærø", "lodz-aero"),
            ("İstanbul", "istanbul"),
            ("фича/новая-Єва", "ficha-novaia-ieva"),
            ("Ελλάδα", "ellada"),
            ("機能/追加", "ji-neng-zhui-jia"),
            ("つぎ/シチ", "tsugi-shichi"),
            ("한국어/기능", "hangugeo-gineung"),
            ("pay-in-€", "pay-in-eu"),
            ("™", ""),
            ("\u{a0}x\u{a0}", "x"),
        ] {
            assert_eq!(slugs(name)[2], slug, "{name}");
        }
    }

    #[test]
    fn long_names_are_cut_where_the_tools_cut() {
        let words = "abcdefghi/".repeat(6) + "abc";
        assert_eq!(slugs(&words)[1], "abcdefghi-".repeat(6) + "abc");
        assert_eq!(slugs(&words)[2], "abcdefghi-".repeat(5).trim_end_matches('-'));
        assert_eq!(slugs(&(words + "/d"))[1].len(), 63);
        assert_eq!(slugs(&"x".repeat(60)), ["x".repeat(60), "x".repeat(60), "x".repeat(50)]);
        for (name, length) in [("a".repeat(50) + "/b", 50), ("a".repeat(49) + "/b/c", 49), ("a".repeat(51) + "/b", 50)]
        {
            assert_eq!(slugs(&name)[2], "a".repeat(length), "{name}");
        }
        assert_eq!(slugs(&("a".repeat(62) + "//b").replace("//", "/-"))[1], "a".repeat(62), "cut, then trimmed");
    }

    proptest! {
        #[test]
        fn slugs_hold_only_what_their_tools_leave(name in "\\PC{1,200}") {
            let Ok(branch) = name.parse::<Branch>() else { return Ok(()) };
            let docker = Slug::Docker.of(&branch);
            prop_assert!(!docker.is_empty());
            prop_assert!(docker.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{docker}");
            for (slug, max, extra) in [(Slug::Gitlab, 63, b'-'), (Slug::Argo, 50, b'_')] {
                let slug = slug.of(&branch);
                prop_assert!(slug.len() <= max);
                let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == extra;
                prop_assert!(slug.bytes().all(fits), "{slug}");
                prop_assert!(!slug.starts_with('-') && !slug.ends_with('-'));
            }
        }
    }
}
