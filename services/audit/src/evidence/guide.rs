//! `VERIFY.md` and what else a stranger needs to follow it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tlog::Vkey;

use super::{framework::Framework, period::Period};

/// What stands before the 32 bytes of an Ed25519 key in a `SubjectPublicKeyInfo` (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What the guide says of a pack.
pub struct Guide<'p> {
    /// Whose controls.
    pub framework: &'p Framework,
    /// Of when.
    pub period: &'p Period,
    /// Of which log.
    pub origin: &'p str,
    /// Under which size of it.
    pub size: i64,
    /// How many events there are.
    pub events: u64,
    /// The size of the checkpoint from before the period; 0 for none.
    pub before: i64,
}

/// A verifier key as `openssl` reads it.
pub fn pem(key: &Vkey) -> String {
    let der = [SPKI.as_slice(), key.public()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(der))
}

impl Guide<'_> {
    /// The text. Its commands run as they stand, in order, in one bash in the pack's directory.
    pub fn text(&self) -> String {
        let mut text = self.contents() + SIGNED;
        text.push_str(&self.in_the_log());
        if self.events > 0 {
            text.push_str(BY_HAND);
        }
        text.push_str(ACCESS);
        text
    }

    fn contents(&self) -> String {
        let Self { framework, period, origin, size, .. } = self;
        format!(
            r"# Evidence for {title}

The period from {start} to before {end}, from the log `{origin}`, proved under its checkpoint of {size} events.

| file | what is in it |
|---|---|
| `controls.csv` | what the framework asks for, which events answer it (in the filter language), how many there are |
| `events.ndjson` | every event that some control asks for, once: index, leaf hash, and the recorded bytes, which the proofs are about |
| `controls/` | the same as tables, one for each control; an event can answer several |
| `reviews.csv` | reviews of access, retention and legal holds, erasures, earlier packs |
| `access-start.csv`, `access-end.csv`, `access-changes.csv` | who could use which plugin before the period and at its end, through which role and rule, and the difference; told from the log |
| `receipts/` | a proof (c2sp.org/tlog-proof) of the first event of each control, and the event's bytes |
| `log/` | signed checkpoints, verifier keys and hash tiles (c2sp.org/tlog-tiles): what proves every event |
| `summary.json` | the numbers |
| `key.pem`, `MANIFEST.sha256`, `MANIFEST.sha256.sig` | the log's key, the SHA-256 of every file, the key's signature over that list |

Data of people is sealed in what is recorded: tables say `(sealed)`, or `(erased)` once the key is destroyed. The hashes cover
the sealed bytes, so every proof holds before and after.

Run the commands in this directory, in order, in one bash. They take `openssl` 3.0 or later, `sha256sum` and the rest of
coreutils, `sed`, `cmp`, `find`, and `provost`, which needs no network for them.
",
            title = framework.title,
            start = period.start,
            end = period.end,
        )
    }

    fn in_the_log(&self) -> String {
        let (events, extends) = match self.before {
            0 => (self.events, String::new()),
            _ => (self.events, " --extends log/checkpoint.before".to_owned()),
        };
        let before = match self.before {
            0 => String::new(),
            size => format!(
                " `log/checkpoint.before` is the log's head from before the period ({size} events): that the checkpoint extends it\nproves that nothing older was altered or dropped either. An earlier pack's or mirror's checkpoint of that size is the same."
            ),
        };
        format!(
            r#"
## 4. Every event is in the log, as it was recorded

Each of the {events} entries is hashed and found in the tree under the checkpoint.{before}

```sh
test "$(wc -l < events.ndjson)" -eq {events}
provost audit verify log --vkey log/vkey --events events.ndjson{extends}
```
"#
        )
    }
}

const SIGNED: &str = r#"
## 1. Every file is as it was packed, none is missing and none was added

```sh
sha256sum --check --strict --quiet MANIFEST.sha256
find . -type f ! -name 'MANIFEST.sha256*' | cut -c 3- | LC_ALL=C sort | cmp - <(cut -c 67- MANIFEST.sha256 | LC_ALL=C sort)
```

## 2. The list of files is signed with the log's key

The second command checks that `key.pem` is the key in the first line of `log/vkey`. Compare that line with the one that you
got another way: from the contract, from the operator, from an earlier pack.

```sh
openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in MANIFEST.sha256 -sigfile MANIFEST.sha256.sig
openssl pkey -pubin -in key.pem -outform DER | tail -c 32 | cmp - <(head -n 1 log/vkey | cut -d + -f 3- | base64 -d | tail -c 32)
cat log/vkey
```

## 3. The checkpoint is signed with the same key

A checkpoint is a text (the log, its size, the root of its tree), an empty line, and signatures.

```sh
work=$(mktemp -d)
sed '/^$/,$d' log/checkpoint > "$work/text"
sed '1,/^$/d' log/checkpoint | head -n 1 | cut -d ' ' -f 3 | base64 -d | tail -c 64 > "$work/signature"
openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in "$work/text" -sigfile "$work/signature"
```
"#;

const BY_HAND: &str = r#"
The first one by hand: the leaf hash is the SHA-256 of a zero byte and the entry (RFC 6962), in base64.

```sh
head -n 1 events.ndjson | sed 's/^{"index":[0-9]*,"leaf_hash":"[^"]*","entry"://; s/}$//' | tr -d '\n' > "$work/entry"
{ printf '\000'; cat "$work/entry"; } | openssl dgst -sha256 -binary | base64 > "$work/hash"
head -n 1 events.ndjson | sed 's/^{"index":[0-9]*,"leaf_hash":"\([^"]*\)".*/\1/' | cmp - "$work/hash"
```

The receipts prove one event each without the tiles; any verifier of the format takes them.

```sh
for entry in receipts/*.entry; do provost audit verify-receipt "${entry%.entry}" --vkey log/vkey; done
```
"#;

const ACCESS: &str = r#"
## 5. The changes of access are the difference of start and end

```sh
rows() { tail -n +2 "$1" | LC_ALL=C sort; }
{
    LC_ALL=C comm -23 <(rows access-start.csv) <(rows access-end.csv) | sed 's/^/removed,/'
    LC_ALL=C comm -13 <(rows access-start.csv) <(rows access-end.csv) | sed 's/^/added,/'
} | LC_ALL=C sort | cmp - <(rows access-changes.csv)
```

When no command complained, everything above holds.
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_openssl_writes_it() {
        // RFC 8410, section 10.1
        let public = "19BF44096984CDFE8541BAC167DC3B96C85086AA30B6B6CB0C5C38AD703166E1";
        let bytes: Vec<u8> =
            (0..32).map(|n| u8::from_str_radix(&public[2 * n..2 * n + 2], 16).unwrap()).collect();
        let key = Vkey::new("x", tlog::Algorithm::Ed25519, &bytes.try_into().unwrap()).unwrap();
        let expected = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert_eq!(pem(&key), expected);
    }
}
