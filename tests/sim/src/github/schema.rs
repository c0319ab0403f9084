//! GitHub's published schema, parsed once per process.

use std::sync::OnceLock;

use apollo_compiler::schema::{ExtendedType, ScalarType};
use apollo_compiler::validation::Valid;
use apollo_compiler::{Name, Node, Schema};

const SDL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/github/schema.graphql"));

/// GitHub's schema, to validate documents against.
///
/// # Panics
/// If the fixture is no valid schema.
pub fn schema() -> &'static Valid<Schema> {
    static SCHEMA: OnceLock<Valid<Schema>> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::parse_and_validate(SDL, "schema.graphql").expect("the published schema is valid"))
}

/// The same schema with the enums of checks opened to any word, to execute with: GitHub may add a conclusion before the
/// published schema does, and a reader must live with it.
pub(super) fn open() -> &'static Valid<Schema> {
    static OPEN: OnceLock<Valid<Schema>> = OnceLock::new();
    OPEN.get_or_init(|| {
        let mut schema = schema().clone().into_inner();
        for name in ["CheckConclusionState", "CheckStatusState", "StatusState"] {
            let name = Name::new(name).expect("a plain name");
            let word = ScalarType {
                description: None,
                name: name.clone(),
                directives: apollo_compiler::schema::DirectiveList::default(),
            };
            schema.types.insert(name, ExtendedType::Scalar(Node::new(word)));
        }
        Valid::assume_valid(schema)
    })
}
