//! Cuts a resource down to what a prompt may hold, visibly.

use std::sync::Arc;

use crate::ports::{Comment, Resource};

/// The resource itself when it has at most `max_characters`, else a copy in which what is too much is
/// replaced by a marker that says how much is missing.
pub(super) fn excerpt(resource: Arc<Resource>, max_characters: usize) -> Arc<Resource> {
    let texts = || {
        let comments = resource.comments.iter().map(|comment| &comment.text);
        [&resource.title, &resource.description].into_iter().chain(comments)
    };
    if texts().map(|text| text.chars().count()).sum::<usize>() <= max_characters {
        return resource;
    }
    let mut left = max_characters;
    Arc::new(Resource {
        id: resource.id.clone(),
        title: cut(&resource.title, &mut left),
        description: cut(&resource.description, &mut left),
        comments: resource
            .comments
            .iter()
            .map(|comment| Comment { author: comment.author.clone(), text: cut(&comment.text, &mut left) })
            .collect(),
    })
}

fn cut(text: &str, left: &mut usize) -> String {
    let length = text.chars().count();
    if length <= *left {
        *left -= length;
        return text.to_owned();
    }
    let kept: String = text.chars().take(*left).collect();
    let missing = length - *left;
    *left = 0;
    format!("{kept} [{missing} characters left out]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::GlobalId;

    fn resource(description: &str) -> Arc<Resource> {
        Arc::new(Resource {
            id: GlobalId::of("Issue", 52),
            title: "Title".to_owned(),
            description: description.to_owned(),
            comments: vec![Comment { author: "bob".to_owned(), text: "éé".to_owned() }],
        })
    }

    #[test]
    fn a_resource_that_fits_is_not_touched() {
        let whole = resource("short");
        assert!(Arc::ptr_eq(&excerpt(whole.clone(), 12), &whole));
    }

    #[test]
    fn what_does_not_fit_is_cut_with_a_visible_marker() {
        let cut = excerpt(resource("0123456789"), 9);
        assert_eq!(cut.description, "0123 [6 characters left out]");
        assert_eq!(cut.comments[0].text, " [2 characters left out]");
    }
}
