//! What is said of a vhost: nothing the core acts on.

use super::record;
use crate::core::{Core, RecordTooBig, RegistryKind, Vhost};
use crate::engine::{Engine, Position};
use crate::message::Value;

/// See the module's page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VhostAbout {
    /// For people.
    pub description: String,
    /// Words to sort by.
    pub tags: Vec<String>,
    /// The type of a queue whose declaration names none; `None` is classic. Kept, and shown.
    pub default_queue_type: Option<String>,
}

impl VhostAbout {
    fn encode(&self) -> Vec<u8> {
        let text = |text: &String| Value::Text(text.clone());
        let mut fields = vec![
            ("description".to_owned(), text(&self.description)),
            ("tags".to_owned(), Value::List(self.tags.iter().map(text).collect())),
        ];
        fields.extend(self.default_queue_type.iter().map(|kind| ("default_queue_type".to_owned(), text(kind))));
        record::encode(fields)
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let fields = record::decode(value)?;
        let tags = fields.iter().find_map(|(name, value)| match value {
            Value::List(tags) if name == "tags" => Some(tags),
            _ => None,
        })?;
        let word = |value: &Value| if let Value::Text(text) = value { Some(text.clone()) } else { None };
        Some(VhostAbout {
            description: record::text(&fields, "description")?.into(),
            tags: tags.iter().filter_map(word).collect(),
            default_queue_type: record::text(&fields, "default_queue_type").map(Into::into),
        })
    }
}

impl<E: Engine> Core<E> {
    /// What is said of a vhost.
    pub fn vhost_about(&self, vhost: &Vhost) -> VhostAbout {
        let value = self.registry_get(RegistryKind::VHOST_ABOUT, vhost.name().as_bytes());
        value.and_then(|value| VhostAbout::decode(&value)).unwrap_or_default()
    }

    /// Says something else of a vhost. When it is durable.
    ///
    /// # Errors
    /// [`RecordTooBig`]; nothing was changed.
    pub fn set_vhost_about(&self, vhost: &Vhost, about: &VhostAbout) -> Result<Position, RecordTooBig> {
        self.registry_put(RegistryKind::VHOST_ABOUT, vhost.name().as_bytes(), &about.encode())
    }
}
