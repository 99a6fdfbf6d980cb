use garde::Validate;
use serde::Deserialize;

/// Bounds of one GraphQL document.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct GraphqlConfig {
    #[garde(range(min = 1))]
    pub max_depth: usize,
    #[garde(range(min = 1))]
    pub max_complexity: usize,
    #[garde(range(min = 1))]
    pub max_query_characters: usize,
    #[garde(skip)]
    pub max_aliases: usize,
    #[garde(range(min = 1))]
    pub max_page_size: usize,
    #[garde(range(min = 1))]
    pub max_label_characters: usize,
    #[garde(range(min = 1))]
    pub max_flag_names: usize,
}
