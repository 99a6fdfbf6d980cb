//! Taking a rendered prompt apart: the question, and the material between tags.

/// The tags the catalogue's prompts put around material. Anything else in pointed brackets is text.
const TAGS: &[&str] = &[
    "resource",
    "title",
    "description",
    "comment",
    "author",
    "file",
    "file_name",
    "code",
    "context",
    "notes",
    "template_name",
];

/// A prompt, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Prompt {
    /// What stands outside all tags.
    pub question: String,
    pub title: Option<String>,
    pub texts: Vec<Text>,
    pub code: Vec<String>,
}

impl Prompt {
    /// Whether the question came with something it is about, be it only a title.
    pub(super) fn has_material(&self) -> bool {
        self.title.is_some() || !self.texts.is_empty() || !self.code.is_empty()
    }
}

/// A piece of material in prose, and whose it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub source: String,
    pub text: String,
}

/// Reads the prompt once, front to back. A tag that is never closed lasts to the end.
pub(super) fn parse(prompt: &str) -> Prompt {
    let mut parts = Parts::default();
    let mut rest = prompt;
    while let Some(start) = rest.find('<') {
        let (text, from_tag) = rest.split_at(start);
        parts.text(text);
        match tag(from_tag) {
            Some((tag, after)) => {
                parts.tag(tag);
                rest = after;
            }
            None => {
                parts.text("<");
                rest = from_tag.get(1..).unwrap_or_default();
            }
        }
    }
    parts.text(rest);
    parts.finish()
}

enum Tag {
    Open(&'static str),
    Close(&'static str),
}

/// The known tag at the start of `text`, and what follows it.
fn tag(text: &str) -> Option<(Tag, &str)> {
    let inner = text.strip_prefix('<')?;
    let (inner, closing) = inner.strip_prefix('/').map_or((inner, false), |inner| (inner, true));
    let name =
        TAGS.iter().find(|name| inner.strip_prefix(**name).is_some_and(|rest| rest.starts_with('>')))?;
    let after = inner.get(name.len() + 1..)?;
    Some((if closing { Tag::Close(name) } else { Tag::Open(name) }, after))
}

#[derive(Default)]
struct Parts {
    open: Vec<&'static str>,
    /// The text since the last tag.
    pending: String,
    author: Option<String>,
    prompt: Prompt,
}

impl Parts {
    fn text(&mut self, text: &str) {
        self.pending.push_str(text);
    }

    fn tag(&mut self, tag: Tag) {
        self.settle();
        match tag {
            Tag::Open(name) => {
                if name == "comment" {
                    self.author = None;
                }
                self.open.push(name);
            }
            Tag::Close(name) => {
                if let Some(depth) = self.open.iter().rposition(|open| *open == name) {
                    self.open.truncate(depth);
                }
            }
        }
    }

    /// Puts the text since the last tag where it belongs.
    fn settle(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let text = pending.trim();
        if text.is_empty() {
            return;
        }
        let source = match self.open.last().copied() {
            None => {
                if !self.prompt.question.is_empty() {
                    self.prompt.question.push('\n');
                }
                return self.prompt.question.push_str(text);
            }
            Some("author") => return self.author = Some(text.to_owned()),
            Some("title") => return self.prompt.title = Some(text.to_owned()),
            Some("code") => return self.prompt.code.push(text.to_owned()),
            Some("file_name" | "template_name") => return,
            Some("comment") => self.author.clone().unwrap_or_else(|| "comment".to_owned()),
            Some(tag) => tag.to_owned(),
        };
        self.prompt.texts.push(Text { source, text: text.to_owned() });
    }

    fn finish(mut self) -> Prompt {
        self.settle();
        self.prompt
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_question_and_the_material_are_kept_apart() {
        let prompt = parse(
            "Before\n<resource><title>T</title><description>D &lt;b&gt; <b>bold</b></description>\n<comment>\n\
             <author>Ada</author>\nShe says.</comment></resource>\n<code>a < b</code>\nAfter?",
        );
        assert_eq!(prompt.question, "Before\nAfter?");
        assert_eq!(prompt.title.as_deref(), Some("T"));
        assert_eq!(prompt.code, ["a < b"]);
        let texts: Vec<(&str, &str)> =
            prompt.texts.iter().map(|text| (text.source.as_str(), text.text.as_str())).collect();
        assert_eq!(texts, [("description", "D &lt;b&gt; <b>bold</b>"), ("Ada", "She says.")]);
    }

    #[test]
    fn a_closing_tag_nobody_opened_and_an_open_one_nobody_closes_do_no_harm() {
        assert_eq!(parse("a</code>b").question, "a\nb");
        assert_eq!(parse("q<notes>rest").texts[0].text, "rest");
    }

    proptest! {
        #[test]
        fn any_prompt_can_be_taken_apart(prompt in "(<|</|>|code|comment|author|title|é|\\PC){0,60}") {
            parse(&prompt);
        }
    }
}
